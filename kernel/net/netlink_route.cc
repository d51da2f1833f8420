// What rtnetlink(7) tells of the one interface, its addresses and its routes.
#include <algorithm>
#include <string_view>

#include "abi/inet.h"
#include "abi/socket.h"
#include "kernel/net/inet_address.h"
#include "kernel/net/netlink_message.h"

namespace kernel {
namespace {

constexpr std::array<char, 3> kName{'l', 'o', '\0'};
constexpr std::array<char, 8> kQdisc{'n', 'o', 'q', 'u', 'e', 'u', 'e', '\0'};
constexpr std::uint32_t kUp = 0x10049;  // IFF_UP, IFF_LOOPBACK, IFF_RUNNING, IFF_LOWER_UP

Result<> put_link(NetlinkWriter& writer, std::uint16_t flags) {
  TRY(writer.begin(abi::kRtmNewLink, flags,
                   abi::Ifinfomsg{.family = 0, .reserved = 0, .type = abi::kArphrdLoopback, .index = abi::kLoopbackIndex, .flags = kUp, .change = 0}));
  TRY(writer.attribute(abi::kIflaIfname, std::as_bytes(std::span(kName))));
  TRY(writer.attribute_of(abi::kIflaTxQLen, std::uint32_t{1000}));
  TRY(writer.attribute_of(abi::kIflaOperState, std::uint8_t{0}));
  TRY(writer.attribute_of(abi::kIflaLinkMode, std::uint8_t{0}));
  TRY(writer.attribute_of(abi::kIflaMtu, static_cast<std::uint32_t>(abi::kLoopbackMtu)));
  TRY(writer.attribute_of(abi::kIflaGroup, std::uint32_t{0}));
  TRY(writer.attribute(abi::kIflaQdisc, std::as_bytes(std::span(kQdisc))));
  const std::array<std::uint8_t, 6> hardware{};
  TRY(writer.attribute_of(abi::kIflaAddress, hardware));
  TRY(writer.attribute_of(abi::kIflaBroadcast, hardware));
  writer.end();
  return {};
}

Result<> put_addresses(NetlinkWriter& writer, std::uint8_t family) {
  if (family == abi::kAfUnspec || family == abi::kAfInet) {
    TRY(writer.begin(abi::kRtmNewAddr, abi::kNlmFMulti,
                     abi::Ifaddrmsg{.family = abi::kAfInet, .prefix = 8, .flags = abi::kIfaFPermanent, .scope = abi::kRtScopeHost, .index = abi::kLoopbackIndex}));
    const auto address = InetAddress::loopback(true).v4_bytes();
    TRY(writer.attribute_of(abi::kIfaAddress, address));
    TRY(writer.attribute_of(abi::kIfaLocal, address));
    TRY(writer.attribute(abi::kIfaLabel, std::as_bytes(std::span(kName))));
    TRY(writer.attribute_of(abi::kIfaFlags, std::uint32_t{abi::kIfaFPermanent}));
    writer.end();
  }
  if (family == abi::kAfUnspec || family == abi::kAfInet6) {
    TRY(writer.begin(abi::kRtmNewAddr, abi::kNlmFMulti,
                     abi::Ifaddrmsg{.family = abi::kAfInet6, .prefix = 128, .flags = abi::kIfaFPermanent, .scope = abi::kRtScopeHost, .index = abi::kLoopbackIndex}));
    TRY(writer.attribute_of(abi::kIfaAddress, InetAddress::loopback(false).bytes));
    TRY(writer.attribute_of(abi::kIfaFlags, std::uint32_t{abi::kIfaFPermanent}));
    writer.end();
  }
  return {};
}

struct V4Route {
  std::array<std::uint8_t, 4> to;
  std::uint8_t prefix, type, scope;
};
constexpr auto kV4Routes = std::to_array<V4Route>({
    {.to = {127, 0, 0, 0}, .prefix = 8, .type = abi::kRtnLocal, .scope = abi::kRtScopeHost},
    {.to = {127, 0, 0, 1}, .prefix = 32, .type = abi::kRtnLocal, .scope = abi::kRtScopeHost},
    {.to = {127, 255, 255, 255}, .prefix = 32, .type = abi::kRtnBroadcast, .scope = abi::kRtScopeLink},
});

Result<> put_route(NetlinkWriter& writer, const abi::Rtmsg& route, std::span<const std::byte> to, std::span<const std::byte> from) {
  TRY(writer.begin(abi::kRtmNewRoute, abi::kNlmFMulti, route));
  TRY(writer.attribute_of(abi::kRtaTable, std::uint32_t{route.table}));
  TRY(writer.attribute(abi::kRtaDst, to));
  if (!from.empty()) TRY(writer.attribute(abi::kRtaPrefSrc, from));
  TRY(writer.attribute_of(abi::kRtaOif, abi::kLoopbackIndex));
  writer.end();
  return {};
}

Result<> put_routes(NetlinkWriter& writer, std::uint8_t family) {
  abi::Rtmsg route{};
  route.family = abi::kAfInet;
  route.table = abi::kRtTableLocal;
  route.protocol = abi::kRtProtKernel;
  if (family == abi::kAfUnspec || family == abi::kAfInet) {
    const auto from = InetAddress::loopback(true).v4_bytes();
    for (const V4Route& entry : kV4Routes) {
      route.dst_length = entry.prefix;
      route.type = entry.type;
      route.scope = entry.scope;
      TRY(put_route(writer, route, std::as_bytes(std::span(entry.to)), std::as_bytes(std::span(from))));
    }
  }
  if (family == abi::kAfUnspec || family == abi::kAfInet6) {
    const InetAddress to = InetAddress::loopback(false);
    route.family = abi::kAfInet6;
    route.dst_length = 128;
    route.type = abi::kRtnLocal;
    route.scope = 0;
    TRY(put_route(writer, route, std::as_bytes(std::span(to.bytes)), {}));
  }
  return {};
}

// The interface that a request for one link names, by index or IFLA_IFNAME.
Result<> check_is_loopback(std::span<const std::byte> body) {
  const auto wanted = load_bytes<abi::Ifinfomsg>(body);
  if (wanted.index != 0) return wanted.index == abi::kLoopbackIndex ? Result<>() : Result<>(Errno::nodev);
  std::span<const std::byte> rest = body.subspan(sizeof(wanted));
  while (rest.size() >= sizeof(abi::Rtattr)) {
    const auto attribute = load_bytes<abi::Rtattr>(rest);
    if (attribute.length < sizeof(attribute) || attribute.length > rest.size()) return Errno::inval;
    if (attribute.type == abi::kIflaIfname) {
      const std::string_view name = text_of(rest.subspan(sizeof(attribute), attribute.length - sizeof(attribute)));
      return name.substr(0, name.find('\0')) == "lo" ? Result<>() : Result<>(Errno::nodev);
    }
    rest = rest.subspan(std::min<std::uint64_t>(abi::nl_align(attribute.length), rest.size()));
  }
  return Errno::inval;
}

}  // namespace

Result<> answer_route_request(const abi::Nlmsghdr& header, std::span<const std::byte> body, NetlinkWriter& writer) {
  const bool dump = (header.flags & abi::kNlmFDump) != 0;
  const std::uint8_t family = body.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(body.front());
  if (header.type == abi::kRtmGetLink && !dump) {
    if (body.size() < sizeof(abi::Ifinfomsg)) return Errno::inval;
    TRY(check_is_loopback(body));
    return put_link(writer, 0);
  }
  if (!dump) return Errno::opnotsupp;
  switch (header.type) {
    case abi::kRtmGetLink: return put_link(writer, abi::kNlmFMulti);
    case abi::kRtmGetAddr: return put_addresses(writer, family);
    case abi::kRtmGetRoute: return put_routes(writer, family);
    default: return Errno::opnotsupp;
  }
}

}  // namespace kernel
