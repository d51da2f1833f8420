#include "kernel/net/inet_options.h"

#include <algorithm>
#include <limits>

#include "abi/inet.h"
#include "kernel/frame/bytes.h"

namespace kernel {
namespace {

using abi::kIpProtoIp, abi::kIpProtoIpv6, abi::kIpProtoTcp;

enum class Kind : std::uint8_t {
  flag,    // 0 or 1
  number,  // from least to most
};
struct Spec {
  std::int32_t level, name;
  Kind kind;
  std::int32_t initial, least = 0, most = std::numeric_limits<std::int32_t>::max();
  std::optional<std::int32_t> unset = std::nullopt;  // a value that means: as at the start
};

constexpr auto kSpecs = std::to_array<Spec>({
    {.level = kIpProtoIp, .name = abi::kIpTos, .kind = Kind::number, .initial = 0, .least = 0, .most = 255},
    {.level = kIpProtoIp, .name = abi::kIpTtl, .kind = Kind::number, .initial = 64, .least = 1, .most = 255, .unset = -1},
    {.level = kIpProtoIp, .name = abi::kIpRecvOpts, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpRetOpts, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpPktInfo, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpMtuDiscover, .kind = Kind::number, .initial = 1, .least = 0, .most = 5},
    {.level = kIpProtoIp, .name = abi::kIpRecvErr, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpRecvTtl, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpRecvTos, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpFreeBind, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpBindAddressNoPort, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIp, .name = abi::kIpMulticastTtl, .kind = Kind::number, .initial = 1, .least = 0, .most = 255, .unset = -1},
    {.level = kIpProtoIp, .name = abi::kIpMulticastLoop, .kind = Kind::flag, .initial = 1},
    {.level = kIpProtoIp, .name = abi::kIpMulticastAll, .kind = Kind::flag, .initial = 1},
    {.level = kIpProtoIpv6, .name = abi::kIpv6UnicastHops, .kind = Kind::number, .initial = 64, .least = 0, .most = 255, .unset = -1},
    {.level = kIpProtoIpv6, .name = abi::kIpv6MulticastHops, .kind = Kind::number, .initial = 1, .least = 0, .most = 255, .unset = -1},
    {.level = kIpProtoIpv6, .name = abi::kIpv6MulticastLoop, .kind = Kind::number, .initial = 1, .least = 0, .most = 1},
    {.level = kIpProtoIpv6, .name = abi::kIpv6MtuDiscover, .kind = Kind::number, .initial = 1, .least = 0, .most = 5},
    {.level = kIpProtoIpv6, .name = abi::kIpv6RecvErr, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIpv6, .name = abi::kIpv6V6Only, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIpv6, .name = abi::kIpv6RecvPktInfo, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIpv6, .name = abi::kIpv6RecvHopLimit, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIpv6, .name = abi::kIpv6RecvTclass, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIpv6, .name = abi::kIpv6Tclass, .kind = Kind::number, .initial = 0, .least = 0, .most = 255, .unset = -1},
    {.level = kIpProtoIpv6, .name = abi::kIpv6DontFrag, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoIpv6, .name = abi::kIpv6FreeBind, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoTcp, .name = abi::kTcpNoDelay, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoTcp, .name = abi::kTcpMaxSeg, .kind = Kind::number, .initial = 536, .least = 88, .most = 32767, .unset = 0},
    {.level = kIpProtoTcp, .name = abi::kTcpCork, .kind = Kind::flag, .initial = 0},
    {.level = kIpProtoTcp, .name = abi::kTcpKeepIdle, .kind = Kind::number, .initial = 7200, .least = 1, .most = 32767},
    {.level = kIpProtoTcp, .name = abi::kTcpKeepIntvl, .kind = Kind::number, .initial = 75, .least = 1, .most = 32767},
    {.level = kIpProtoTcp, .name = abi::kTcpKeepCnt, .kind = Kind::number, .initial = 9, .least = 1, .most = 127},
    {.level = kIpProtoTcp, .name = abi::kTcpSynCnt, .kind = Kind::number, .initial = 6, .least = 1, .most = 127},
    {.level = kIpProtoTcp, .name = abi::kTcpLinger2, .kind = Kind::number, .initial = 60, .least = -1, .most = 120},
    {.level = kIpProtoTcp, .name = abi::kTcpDeferAccept, .kind = Kind::number, .initial = 0},
    {.level = kIpProtoTcp, .name = abi::kTcpQuickAck, .kind = Kind::flag, .initial = 1},
    {.level = kIpProtoTcp, .name = abi::kTcpUserTimeout, .kind = Kind::number, .initial = 0},
    {.level = kIpProtoTcp, .name = abi::kTcpNotSentLowat, .kind = Kind::number, .initial = 0},
});
static_assert(kSpecs.size() <= InetOptions::kCount);

std::optional<std::size_t> find_spec(std::int32_t level, std::int32_t name) {
  const auto* const at = std::ranges::find_if(kSpecs, [&](const Spec& spec) { return spec.level == level && spec.name == name; });
  if (at == kSpecs.end()) return std::nullopt;
  return static_cast<std::size_t>(at - kSpecs.begin());
}

}  // namespace

InetOptions::InetOptions() {
  for (std::size_t i = 0; i < kSpecs.size(); ++i) values_[i].store(kSpecs[i].initial, std::memory_order_relaxed);
}

Result<> InetOptions::set(std::int32_t level, std::int32_t name, std::int32_t value) {
  const std::optional<std::size_t> index = find_spec(level, name);
  if (!index) return Errno::noprotoopt;
  const Spec& spec = kSpecs[*index];
  if (spec.kind == Kind::flag)
    value = value != 0 ? 1 : 0;
  else if (spec.unset == value)
    value = spec.initial;
  else if (value < spec.least || value > spec.most)
    return Errno::inval;
  values_[*index].store(value, std::memory_order_relaxed);
  return {};
}

Result<std::int32_t> InetOptions::get(std::int32_t level, std::int32_t name) const {
  const std::optional<std::size_t> index = find_spec(level, name);
  if (!index) return Errno::noprotoopt;
  return values_[*index].load(std::memory_order_relaxed);
}

std::int32_t InetOptions::value(std::int32_t level, std::int32_t name) const {
  const std::optional<std::size_t> index = find_spec(level, name);
  return index ? values_[*index].load(std::memory_order_relaxed) : 0;
}

void InetOptions::copy_from(const InetOptions& other) {
  for (std::size_t i = 0; i < kCount; ++i) values_[i].store(other.values_[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
}

Result<std::int32_t> option_number(std::int32_t level, std::span<const std::byte> value) {
  if (value.size() >= sizeof(std::int32_t)) return load_bytes<std::int32_t>(value);
  if (level == kIpProtoIp && !value.empty()) return static_cast<std::int32_t>(value.front());
  return Errno::inval;
}

std::size_t give_option_number(std::int32_t level, std::int32_t number, std::span<std::byte> into) {
  if (level == kIpProtoIp && !into.empty() && into.size() < sizeof(number) && number >= 0 && number <= 255) {
    into.front() = static_cast<std::byte>(number);
    return 1;
  }
  const std::size_t count = std::min(into.size(), sizeof(number));
  copy_bytes(into, std::as_bytes(std::span<const std::int32_t, 1>(&number, 1)).first(count));
  return count;
}

}  // namespace kernel
