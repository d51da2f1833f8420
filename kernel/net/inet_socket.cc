#include "kernel/net/inet_socket.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/net/interface.h"
#include "kernel/net/tcp_socket.h"
#include "kernel/net/udp_socket.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

// What the level of a family's options is called when the other family's socket asks for it.
bool has_level(std::int32_t domain, std::int32_t level) {
  return level == abi::kIpProtoIp || (level == abi::kIpProtoIpv6 && domain == abi::kAfInet6);
}

}  // namespace

InetSocket::InetSocket(std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags, Ref<InetEnd> end)
    : Socket(domain, type, protocol, flags), end_(end) {
  end->inode.store(number(), std::memory_order_relaxed);
}

InetSocket::~InetSocket() { inet_table().release(*end_); }

Result<> InetSocket::bind(Task& task, std::span<const std::byte> address) {
  // ip(7): a family of AF_UNSPEC with INADDR_ANY is taken for AF_INET, for programs of old.
  std::array<std::byte, sizeof(abi::SockaddrIn)> as_inet{};
  if (domain() == abi::kAfInet && address.size() >= as_inet.size() && TRY(address_family(address)) == abi::kAfUnspec) {
    copy_bytes(as_inet, address.first(as_inet.size()));
    if (load_bytes<abi::SockaddrIn>(as_inet).address != std::array<std::uint8_t, 4>{}) return Errno::afnosupport;
    store_bytes<std::uint16_t>(as_inet, 0, abi::kAfInet);
    address = as_inet;
  }
  const InetEndpoint local = TRY(parse_inet_address(domain(), address));
  TRY(check_bindable(local.address, is_v6_only()));
  const Ref<const Credentials> who = task.credentials_ref();
  if (local.port != 0 && local.port < kFirstUnprivileged && !who->has(Capability::net_bind_service)) return Errno::acces;
  TRY(inet_table().bind(*end_, local));
  if (local.address.is_v4() || local.address.is_any()) return {};
  // An address of IPv6 takes nothing of IPv4.
  end_->v6_only.store(true, std::memory_order_relaxed);
  return options_.set(abi::kIpProtoIpv6, abi::kIpv6V6Only, 1);
}

Result<SocketAddress> InetSocket::local_address() { return make_inet_address(domain(), inet_table().names(*end_).local); }

Result<SocketAddress> InetSocket::peer_address() {
  const InetNames names = inet_table().names(*end_);
  if (!names.connected) return Errno::notconn;
  return make_inet_address(domain(), names.remote);
}

void InetSocket::inherit_options(InetSocket& listener) {
  options_.copy_from(listener.options_);
  copy_plain_options(listener);
  end_->v6_only.store(listener.is_v6_only(), std::memory_order_relaxed);
}

Result<std::size_t> InetSocket::get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) {
  if (level == abi::kSolSocket) {
    if (name != abi::kSoPeerCred) return Socket::get_option(task, level, name, into);
    const abi::Ucred nobody{.pid = 0, .uid = ~0U, .gid = ~0U};
    const std::size_t count = std::min(into.size(), sizeof(nobody));
    copy_bytes(into, std::as_bytes(std::span<const abi::Ucred, 1>(&nobody, 1)).first(count));
    return count;
  }
  if (!has_level(domain(), level)) return Errno::opnotsupp;
  if (level == abi::kIpProtoIp && name == abi::kIpOptions) return std::size_t{0};
  const bool is_mtu = level == abi::kIpProtoIp ? name == abi::kIpMtu : name == abi::kIpv6Mtu;
  if (is_mtu) {
    if (!inet_table().names(*end_).connected) return Errno::notconn;
    return give_option_number(level, abi::kLoopbackMtu, into);
  }
  return give_option_number(level, TRY(options_.get(level, name)), into);
}

// What bind() of other sockets looks at is kept beside the names, too.
Result<> InetSocket::set_socket_option(Task& task, std::int32_t name, std::span<const std::byte> value) {
  TRY(Socket::set_option(task, abi::kSolSocket, name, value));
  if (name != abi::kSoReuseAddr && name != abi::kSoReusePort) return {};
  const bool on = TRY(option_number(abi::kSolSocket, value)) != 0;
  (name == abi::kSoReuseAddr ? end_->reuse_address : end_->reuse_port).store(on, std::memory_order_relaxed);
  return {};
}

Result<> InetSocket::set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) {
  if (level == abi::kSolSocket) return set_socket_option(task, name, value);
  if (!has_level(domain(), level)) return Errno::noprotoopt;
  // There is no interface that could join a group.
  if (level == abi::kIpProtoIp && (name == abi::kIpAddMembership || name == abi::kIpDropMembership)) return value.size() < 8 ? Errno::inval : Errno::nodev;
  if (level == abi::kIpProtoIpv6 && (name == abi::kIpv6JoinGroup || name == abi::kIpv6LeaveGroup)) return value.size() < 20 ? Errno::inval : Errno::nodev;
  std::int32_t number = TRY(option_number(level, value));
  const bool is_stream = type() == abi::kSockStream;
  if (is_stream && level == abi::kIpProtoIpv6 && name == abi::kIpv6MulticastHops) return Errno::noprotoopt;
  // TCP keeps the two bits of congestion notification for itself.
  constexpr std::uint32_t kByte = 0xff, kStreamBits = 0xfc;
  if (level == abi::kIpProtoIp && name == abi::kIpTos) number = static_cast<std::int32_t>(static_cast<std::uint32_t>(number) & kByte);
  const bool is_class = level == abi::kIpProtoIp ? name == abi::kIpTos : name == abi::kIpv6Tclass;
  if (is_stream && is_class && number >= 0 && number <= 255) number = static_cast<std::int32_t>(static_cast<std::uint32_t>(number) & kStreamBits);
  if (level == abi::kIpProtoIpv6 && name == abi::kIpv6V6Only) {
    if (inet_table().names(*end_).local.port != 0) return Errno::inval;
    end_->v6_only.store(number != 0, std::memory_order_relaxed);
  }
  return options_.set(level, name, number);
}

Result<> InetSocket::give_count(std::uint64_t count, std::uint64_t argument) {
  return UserPtr<std::int32_t>(argument).store(static_cast<std::int32_t>(std::min<std::uint64_t>(count, 0x7fffffff)));
}

Result<std::uint64_t> InetSocket::ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  if (request == abi::kFioNRead || request == abi::kSiocOutQ) {
    TRY(give_count(TRY(queued_bytes(request == abi::kSiocOutQ)), argument));
    return std::uint64_t{0};
  }
  TRY(interface_ioctl(task, request, argument));
  return std::uint64_t{0};
}

Result<Ref<Socket>> make_inet_socket(Task& task, std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags) {
  if (protocol < 0 || protocol >= abi::kIpProtoMax) return Errno::inval;
  const Ref<const Credentials> who = task.credentials_ref();
  if (type == abi::kSockStream) {
    if (protocol != 0 && protocol != abi::kIpProtoTcp) return Errno::protonosupport;
    const Ref<TcpEnd> end = TRY(make_ref<TcpEnd>(domain, who->euid));
    return Ref<Socket>(TRY(make_ref<TcpSocket>(domain, flags, end, nullptr)));
  }
  if (type == abi::kSockDgram) {
    // Echo requests without root are for groups that the administrator names: by default nobody.
    const std::int32_t icmp = domain == abi::kAfInet ? abi::kIpProtoIcmp : abi::kIpProtoIcmpv6;
    if (protocol == icmp) return Errno::acces;
    if (protocol != 0 && protocol != abi::kIpProtoUdp) return Errno::protonosupport;
    const Ref<UdpEnd> end = TRY(make_ref<UdpEnd>(domain, who->euid));
    return Ref<Socket>(TRY(make_ref<UdpSocket>(domain, flags, end)));
  }
  if (type == abi::kSockRaw) {
    if (protocol == 0) return Errno::protonosupport;
    return who->has(Capability::net_raw) ? Errno::protonosupport : Errno::perm;
  }
  return Errno::socktnosupport;
}

}  // namespace kernel
