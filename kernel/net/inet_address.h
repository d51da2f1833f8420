// Addresses and ports of internet sockets. There is one interface, lo: 127.0.0.0/8 and ::1 are here, everything else cannot be reached.
#ifndef KERNEL_NET_INET_ADDRESS_H
#define KERNEL_NET_INET_ADDRESS_H

#include <array>
#include <cstdint>
#include <span>

#include "abi/inet.h"
#include "kernel/base/result.h"
#include "kernel/net/socket.h"

namespace kernel {

// An IPv6 address; IPv4 as ::ffff:a.b.c.d.
struct InetAddress {
  std::array<std::uint8_t, 16> bytes{};

  static InetAddress v4(std::span<const std::uint8_t, 4> address);
  static InetAddress any(std::int32_t domain);
  static InetAddress loopback(bool v4);
  bool is_v4() const;  // mapped ones too
  bool is_any() const;
  bool is_loopback() const;
  bool is_multicast() const;
  bool is_link_local() const;  // of IPv6, unicast or multicast
  std::array<std::uint8_t, 4> v4_bytes() const { return {bytes[12], bytes[13], bytes[14], bytes[15]}; }
  friend bool operator==(const InetAddress&, const InetAddress&) = default;
};

struct InetEndpoint {
  InetAddress address;
  std::uint16_t port = 0;
  friend bool operator==(const InetEndpoint&, const InetEndpoint&) = default;
};

// The sockaddr of a bind() or connect() on a socket of `domain`. EINVAL (too short), EAFNOSUPPORT.
Result<InetEndpoint> parse_inet_address(std::int32_t domain, std::span<const std::byte> address);
// The family of a sockaddr; EINVAL if it is too short for one.
Result<std::int32_t> address_family(std::span<const std::byte> address);
// As a program with a socket of `domain` sees it.
SocketAddress make_inet_address(std::int32_t domain, const InetEndpoint& endpoint);

// May a socket bind to it? EADDRNOTAVAIL, EINVAL.
Result<> check_bindable(const InetAddress& address, bool v6_only);
// Turns the target of a connect or a datagram into the address that it reaches: the unspecified address means this machine.
// ENETUNREACH; EINVAL for link-local addresses.
Result<InetAddress> route(const InetAddress& target, bool v6_only);

}  // namespace kernel
#endif  // KERNEL_NET_INET_ADDRESS_H
