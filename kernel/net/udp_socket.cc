#include "kernel/net/udp_socket.h"

#include <algorithm>

#include "abi/fs.h"
#include "abi/time.h"
#include "kernel/frame/bytes.h"
#include "kernel/host/clock.h"

namespace kernel {
namespace {

constexpr std::size_t kLongestV4 = 65507, kLongestV6 = 65527, kLongestAny = 65535;
constexpr std::uint64_t kNsPerSec = 1'000'000'000, kNsPerUs = 1000;
constexpr std::uint8_t kUdpEstablished = 1, kUdpUnconnected = 7;

template <class T>
Result<> add_message(ReceiveRequest& request, std::int32_t level, std::int32_t type, const T& value) {
  ControlMessage message{.level = level, .type = type, .size = sizeof(T)};
  static_assert(sizeof(T) <= sizeof(message.data));
  store_bytes(message.data, 0, value);
  return request.ancillary->messages.try_push(message);
}

}  // namespace

NetRow UdpEnd::row() const {
  return {.state = connected.load() ? kUdpEstablished : kUdpUnconnected, .receive_queue = static_cast<std::uint32_t>(inbox_.bytes())};
}

UdpSocket::UdpSocket(std::int32_t domain, std::uint32_t flags, Ref<UdpEnd> end)
    : InetSocket(domain, abi::kSockDgram, abi::kIpProtoUdp, flags, end), end_(end) {
  end->receive_limit.store(plain_value(abi::kSoRcvBuf));
}

Result<InetEndpoint> UdpSocket::target_of(std::span<const std::byte> address) {
  const std::int32_t family = TRY(address_family(address));
  InetEndpoint target;
  if (domain() == abi::kAfInet6 && family == abi::kAfInet) {
    target = TRY(parse_inet_address(abi::kAfInet, address));
  } else if (domain() == abi::kAfInet && family == abi::kAfUnspec) {
    std::array<std::byte, sizeof(abi::SockaddrIn)> as_inet{};
    if (address.size() < as_inet.size()) return Errno::inval;
    copy_bytes(as_inet, address.first(as_inet.size()));
    store_bytes<std::uint16_t>(as_inet, 0, abi::kAfInet);
    target = TRY(parse_inet_address(abi::kAfInet, as_inet));
  } else {
    target = TRY(parse_inet_address(domain(), address));
  }
  target.address = TRY(route(target.address, is_v6_only()));
  return target;
}

Result<> UdpSocket::connect(Task&, std::span<const std::byte> address) {
  if (TRY(address_family(address)) == abi::kAfUnspec) {
    end_->connected.store(false);
    inet_table().disconnect(*end_);
    return {};
  }
  // Link-local groups need an interface that is named.
  if (domain() == abi::kAfInet6 && TRY(address_family(address)) == abi::kAfInet6)
    if (TRY(parse_inet_address(domain(), address)).address.is_link_local()) return Errno::inval;
  const InetEndpoint target = TRY(target_of(address));
  TRY(inet_table().bind_automatically(*end_));
  inet_table().connect(*end_, target);
  end_->connected.store(true);
  return {};
}

Result<> UdpSocket::shutdown(std::int32_t how) {
  if (how < abi::kShutRd || how > abi::kShutRdWr) return Errno::inval;
  if (how != abi::kShutWr) read_shut_.store(true);
  if (how != abi::kShutRd) write_shut_.store(true);
  end_->queue().wake_all(kPollReadable | kPollWritable | kPollHup | kPollRdHup);
  return end_->connected.load() ? Result<>() : Result<>(Errno::notconn);
}

void UdpSocket::on_last_close() {
  inet_table().release(*end_);
  end_->closed.store(true);
  end_->inbox().clear();
}

Result<> UdpSocket::set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) {
  TRY(InetSocket::set_option(task, level, name, value));
  if (level == abi::kSolSocket) end_->receive_limit.store(plain_value(abi::kSoRcvBuf));
  return {};
}

// --- sending ---

// A datagram that finds nobody comes back as an error, to sockets that can tell whose it was.
Result<> UdpSocket::deliver(const Ref<Datagram>& datagram) {
  const RefPtr<InetEnd> found = inet_table().find_datagram(datagram->to, datagram->from);
  if (!found) {
    const bool wants_errors = options().value(abi::kIpProtoIp, abi::kIpRecvErr) != 0;
    if (end_->connected.load() || wants_errors) {
      end_->error.store(static_cast<std::int32_t>(Errno::connrefused));
      end_->queue().wake_all(kPollErr);
    }
    return {};
  }
  // SAFETY: find_datagram() gives ends of datagram sockets only.
  const Ref<UdpEnd> to(static_cast<UdpEnd&>(*found));
  if (!to->closed.load() && to->inbox().push(datagram, static_cast<std::size_t>(to->receive_limit.load()))) {
    to->queue().wake_all(kPollReadable);
    if (to->closed.load()) to->inbox().clear();
  }
  return {};
}

// ip(7), ipv6(7): what sendmsg() may say for one datagram.
Result<> UdpSocket::apply_controls(const SendRequest& request, Datagram& datagram) {
  if (request.ancillary == nullptr) return {};
  for (const ControlMessage& message : request.ancillary->messages) {
    const std::span<const std::byte> data = std::span(message.data).first(message.size);
    const bool v6_level = message.level == abi::kIpProtoIpv6;
    if (message.level != abi::kIpProtoIp && !(v6_level && domain() == abi::kAfInet6)) continue;
    if (message.type == (v6_level ? abi::kIpv6PktInfo : abi::kIpPktInfo)) {
      if (data.size() != (v6_level ? sizeof(abi::In6PktInfo) : sizeof(abi::InPktInfo))) return Errno::inval;
      const InetAddress source = v6_level ? InetAddress{.bytes = load_bytes<abi::In6PktInfo>(data).address} : InetAddress::v4(load_bytes<abi::InPktInfo>(data).spec_dst);
      if (source.is_any()) continue;
      if (!source.is_loopback() || source.is_v4() != datagram.to.address.is_v4()) return Errno::inval;
      datagram.from.address = source;
      continue;
    }
    const bool is_ttl = message.type == (v6_level ? abi::kIpv6HopLimit : abi::kIpTtl);
    if (!is_ttl && message.type != (v6_level ? abi::kIpv6Tclass : abi::kIpTos)) return Errno::inval;
    const bool is_byte = !v6_level && !is_ttl && data.size() == 1;
    if (!is_byte && data.size() != sizeof(std::int32_t)) return Errno::inval;
    const std::int32_t number = is_byte ? static_cast<std::int32_t>(data.front()) : load_bytes<std::int32_t>(data);
    if (v6_level && number == -1) continue;  // as the socket has it
    if (number < (is_ttl && !v6_level ? 1 : 0) || number > 255) return Errno::inval;
    (is_ttl ? datagram.ttl : datagram.tos) = static_cast<std::uint8_t>(number);
  }
  return {};
}

Result<std::size_t> UdpSocket::send(SendRequest& request) {
  // Datagrams that are put together from several calls are not offered.
  if ((request.flags & (abi::kMsgOob | abi::kMsgMore)) != 0) return Errno::opnotsupp;
  const auto size = static_cast<std::size_t>(request.source.remaining());
  if (size > kLongestAny) return Errno::msgsize;
  TRY(inet_table().bind_automatically(*end_));
  const InetNames names = inet_table().names(*end_);
  InetEndpoint target = names.remote;
  if (!request.address.empty()) {
    target = TRY(target_of(request.address));
    if (target.port == 0) return Errno::inval;
  } else if (!names.connected) {
    return Errno::destaddrreq;
  }
  if (size > (target.address.is_v4() ? kLongestV4 : kLongestV6)) return Errno::msgsize;
  if (const std::int32_t error = take_error(); error != 0) return Errno{error};
  if (write_shut_.load()) return Errno::pipe;
  const Ref<Datagram> datagram = TRY(make_ref<Datagram>());
  TRY(datagram->data.try_resize(size));
  if (size != 0 && TRY(request.source.take(datagram->data.span())) != size) return Errno::fault;
  const bool v4 = target.address.is_v4();
  datagram->to = target;
  datagram->from = names.local;
  if (datagram->from.address.is_any()) datagram->from.address = InetAddress::loopback(v4);
  datagram->ttl = static_cast<std::uint8_t>(v4 ? options().value(abi::kIpProtoIp, abi::kIpTtl) : options().value(abi::kIpProtoIpv6, abi::kIpv6UnicastHops));
  datagram->tos = static_cast<std::uint8_t>(v4 ? options().value(abi::kIpProtoIp, abi::kIpTos) : options().value(abi::kIpProtoIpv6, abi::kIpv6Tclass));
  TRY(apply_controls(request, *datagram));
  datagram->arrival = realtime_now();
  TRY(deliver(datagram));
  return size;
}

// --- receiving ---

Result<RefPtr<Datagram>> UdpSocket::next_datagram(ReceiveRequest& request) {
  const bool peek = (request.flags & abi::kMsgPeek) != 0;
  Instant deadline = 0;
  for (;;) {
    if (const std::int32_t error = take_error(); error != 0) return Errno{error};
    if (const RefPtr<Datagram> datagram = end_->inbox().take(peek)) return datagram;
    if (must_not_block(request.flags)) return Errno::again;
    if (read_shut_.load()) return RefPtr<Datagram>();
    if (deadline == 0) deadline = receive_deadline();
    const Result<> waited = end_->queue().wait([this] { return !end_->inbox().empty() || end_->error.load() != 0 || read_shut_.load(); }, deadline);
    if (!waited.ok()) return waited.error() == Errno::timedout ? Errno::again : waited.error();
  }
}

// ip(7), ipv6(7): what the receiver asked to be told beside the data.
Result<> UdpSocket::note_options(const Datagram& datagram, ReceiveRequest& request) {
  if (request.ancillary == nullptr) return {};
  const bool v4 = datagram.to.address.is_v4();
  const auto wants = [this](std::int32_t level, std::int32_t name) { return options().value(level, name) != 0; };
  if (plain_value(abi::kSoTimestampNs) != 0) {
    TRY(add_message(request, abi::kSolSocket, abi::kSoTimestampNs,
                    abi::Timespec{.sec = static_cast<std::int64_t>(datagram.arrival / kNsPerSec), .nsec = static_cast<std::int64_t>(datagram.arrival % kNsPerSec)}));
  } else if (plain_value(abi::kSoTimestamp) != 0) {
    TRY(add_message(request, abi::kSolSocket, abi::kSoTimestamp,
                    abi::Timeval{.sec = static_cast<std::int64_t>(datagram.arrival / kNsPerSec), .usec = static_cast<std::int64_t>(datagram.arrival % kNsPerSec / kNsPerUs)}));
  }
  if (v4 && wants(abi::kIpProtoIp, abi::kIpPktInfo)) {
    const auto address = datagram.to.address.v4_bytes();
    TRY(add_message(request, abi::kIpProtoIp, abi::kIpPktInfo, abi::InPktInfo{.interface = abi::kLoopbackIndex, .spec_dst = address, .addr = address}));
  }
  if (v4 && wants(abi::kIpProtoIp, abi::kIpRecvTtl)) TRY(add_message(request, abi::kIpProtoIp, abi::kIpTtl, std::int32_t{datagram.ttl}));
  if (v4 && wants(abi::kIpProtoIp, abi::kIpRecvTos)) TRY(add_message(request, abi::kIpProtoIp, abi::kIpTos, datagram.tos));
  if (domain() != abi::kAfInet6) return {};
  if (wants(abi::kIpProtoIpv6, abi::kIpv6RecvPktInfo))
    TRY(add_message(request, abi::kIpProtoIpv6, abi::kIpv6PktInfo,
                    abi::In6PktInfo{.address = datagram.to.address.bytes, .interface = abi::kLoopbackIndex}));
  if (!v4 && wants(abi::kIpProtoIpv6, abi::kIpv6RecvHopLimit))
    TRY(add_message(request, abi::kIpProtoIpv6, abi::kIpv6HopLimit, std::int32_t{datagram.ttl}));
  if (!v4 && wants(abi::kIpProtoIpv6, abi::kIpv6RecvTclass)) TRY(add_message(request, abi::kIpProtoIpv6, abi::kIpv6Tclass, std::int32_t{datagram.tos}));
  return {};
}

Result<std::size_t> UdpSocket::receive(ReceiveRequest& request) {
  if ((request.flags & abi::kMsgErrQueue) != 0) return Errno::again;
  const RefPtr<Datagram> datagram = TRY(next_datagram(request));
  if (!datagram) return std::size_t{0};
  const std::size_t size = datagram->data.size();
  std::size_t given = 0;
  if (size > request.sink.remaining()) request.out_flags |= abi::kMsgTrunc;
  if (size != 0 && !request.sink.full()) given = TRY(request.sink.put(datagram->data.span()));
  if (request.from != nullptr) *request.from = make_inet_address(domain(), datagram->from);
  TRY(note_options(*datagram, request));
  return (request.flags & abi::kMsgTrunc) != 0 ? size : given;
}

// --- the rest ---

std::uint32_t UdpSocket::readiness() {
  std::uint32_t events = kPollWritable;
  if (!end_->inbox().empty()) events |= kPollReadable;
  if (end_->error.load() != 0) events |= kPollErr;
  if (read_shut_.load()) events |= kPollReadable | kPollRdHup;
  if (read_shut_.load() && write_shut_.load()) events |= kPollHup;
  return events;
}

Result<std::uint64_t> UdpSocket::queued_bytes(bool outgoing) { return std::uint64_t{outgoing ? 0 : end_->inbox().next_size()}; }

}  // namespace kernel
