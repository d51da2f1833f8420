#include "kernel/net/inet_address.h"

#include <algorithm>

#include "kernel/frame/bytes.h"

namespace kernel {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::uint16_t port_from(std::array<std::uint8_t, 2> bytes) { return static_cast<std::uint16_t>(bytes[0] << 8U | bytes[1]); }
std::array<std::uint8_t, 2> port_bytes(std::uint16_t port) { return {static_cast<std::uint8_t>(port >> 8U), static_cast<std::uint8_t>(port)}; }

}  // namespace

InetAddress InetAddress::v4(std::span<const std::uint8_t, 4> address) {
  InetAddress result;
  std::ranges::copy(kMapped, result.bytes.begin());
  std::ranges::copy(address, std::span(result.bytes).subspan<12>().begin());
  return result;
}

InetAddress InetAddress::any(std::int32_t domain) {
  return domain == abi::kAfInet ? v4(std::array<std::uint8_t, 4>{}) : InetAddress{};
}

InetAddress InetAddress::loopback(bool v4) {
  if (v4) return InetAddress::v4(std::array<std::uint8_t, 4>{127, 0, 0, 1});
  InetAddress result;
  result.bytes[15] = 1;
  return result;
}

bool InetAddress::is_v4() const { return std::ranges::equal(std::span(bytes).first<12>(), kMapped); }
bool InetAddress::is_any() const { return *this == InetAddress{} || *this == any(abi::kAfInet); }
bool InetAddress::is_loopback() const { return is_v4() ? bytes[12] == 127 : *this == loopback(false); }
bool InetAddress::is_multicast() const { return is_v4() ? (bytes[12] & 0xf0) == 0xe0 : bytes[0] == 0xff; }
bool InetAddress::is_link_local() const {
  if (bytes[0] == 0xff) return (bytes[1] & 0xf) <= 2;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

Result<std::int32_t> address_family(std::span<const std::byte> address) {
  if (address.size() < sizeof(std::uint16_t)) return Errno::inval;
  return std::int32_t{load_bytes<std::uint16_t>(address)};
}

Result<InetEndpoint> parse_inet_address(std::int32_t domain, std::span<const std::byte> address) {
  const std::size_t least = domain == abi::kAfInet ? sizeof(abi::SockaddrIn) : abi::kSockaddrIn6Least;
  if (address.size() < least) return Errno::inval;
  if (TRY(address_family(address)) != domain) return Errno::afnosupport;
  if (domain == abi::kAfInet) {
    const auto in = load_bytes<abi::SockaddrIn>(address);
    return InetEndpoint{.address = InetAddress::v4(in.address), .port = port_from(in.port)};
  }
  std::array<std::byte, sizeof(abi::SockaddrIn6)> whole{};
  copy_bytes(whole, address.first(std::min(address.size(), whole.size())));
  const auto in6 = load_bytes<abi::SockaddrIn6>(whole);
  return InetEndpoint{.address = {.bytes = in6.address}, .port = port_from(in6.port)};
}

SocketAddress make_inet_address(std::int32_t domain, const InetEndpoint& endpoint) {
  SocketAddress result;
  if (domain == abi::kAfInet) {
    const abi::SockaddrIn in{.family = abi::kAfInet, .port = port_bytes(endpoint.port), .address = endpoint.address.v4_bytes(), .zero = {}};
    store_bytes(result.bytes, 0, in);
    result.size = sizeof(in);
  } else {
    const abi::SockaddrIn6 in6{.family = abi::kAfInet6, .port = port_bytes(endpoint.port), .flow = 0, .address = endpoint.address.bytes, .scope = 0};
    store_bytes(result.bytes, 0, in6);
    result.size = sizeof(in6);
  }
  return result;
}

Result<> check_bindable(const InetAddress& address, bool v6_only) {
  if (address.is_v4()) {
    if (v6_only) return Errno::inval;
    const bool is_broadcast = address.v4_bytes() == std::array<std::uint8_t, 4>{255, 255, 255, 255};
    if (address.is_any() || address.is_loopback() || address.is_multicast() || is_broadcast) return {};
    return Errno::addrnotavail;
  }
  if (address.is_any() || address.is_loopback()) return {};
  return address.is_link_local() ? Errno::inval : Errno::addrnotavail;
}

Result<InetAddress> route(const InetAddress& target, bool v6_only) {
  if (target.is_v4() && v6_only) return Errno::netunreach;
  if (target.is_any()) return InetAddress::loopback(target.is_v4());
  if (target.is_loopback()) return target;
  return Errno::netunreach;
}

}  // namespace kernel
