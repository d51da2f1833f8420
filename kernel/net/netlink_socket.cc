#include "kernel/net/netlink_socket.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/base/hash_map.h"
#include "kernel/frame/bytes.h"
#include "kernel/net/interface.h"
#include "kernel/net/netlink_message.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constexpr std::size_t kLongestRequest = 65536;

struct Ports {
  SpinLock<LockRank::socket> lock;
  HashMap<std::uint32_t, bool> taken GUARDED_BY(lock);
  std::uint32_t next GUARDED_BY(lock) = 0xfffff000;  // for a process's second socket, as Linux has it: downwards from -4096
};
constinit Ports ports;  // NOLINT: the one table

Result<> add_port(std::uint32_t port) {
  const LockGuard guard(ports.lock);
  auto added = ports.taken.try_insert(port, true);
  if (added.ok()) return {};
  return added.error() == Errno::exist ? Errno::addrinuse : added.error();
}

SocketAddress netlink_address(std::uint32_t pid, std::uint32_t groups) {
  SocketAddress address;
  store_bytes(address.bytes, 0, abi::SockaddrNl{.family = abi::kAfNetlink, .reserved = 0, .pid = pid, .groups = groups});
  address.size = sizeof(abi::SockaddrNl);
  return address;
}

Result<abi::SockaddrNl> parse_netlink_address(std::span<const std::byte> address) {
  if (address.size() < sizeof(abi::SockaddrNl)) return Errno::inval;
  const auto parsed = load_bytes<abi::SockaddrNl>(address);
  if (parsed.family != abi::kAfNetlink) return Errno::inval;
  return parsed;
}

}  // namespace

NetlinkSocket::~NetlinkSocket() {
  if (const std::uint32_t port = port_.load(); port != 0) {
    const LockGuard guard(ports.lock);
    ports.taken.erase(port);
  }
}

Result<> NetlinkSocket::take_port(Task& task, std::uint32_t wanted) {
  if (const std::uint32_t had = port_.load(); had != 0) return wanted == 0 || wanted == had ? Result<>() : Result<>(Errno::inval);
  std::uint32_t port = wanted != 0 ? wanted : static_cast<std::uint32_t>(task.process().pid());
  Result<> added = add_port(port);
  while (wanted == 0 && !added.ok() && added.error() == Errno::addrinuse) {
    {
      const LockGuard guard(ports.lock);
      port = --ports.next;
    }
    added = add_port(port);
  }
  TRY(std::move(added));
  std::uint32_t none = 0;
  if (port_.compare_exchange_strong(none, port)) return {};
  const LockGuard guard(ports.lock);
  ports.taken.erase(port);
  return {};
}

Result<> NetlinkSocket::bind(Task& task, std::span<const std::byte> address) {
  const abi::SockaddrNl wanted = TRY(parse_netlink_address(address));
  TRY(take_port(task, wanted.pid));
  groups_.store(wanted.groups);
  return {};
}

Result<> NetlinkSocket::connect(Task& task, std::span<const std::byte> address) {
  if (address.size() < sizeof(std::uint16_t)) return Errno::inval;
  if (load_bytes<std::uint16_t>(address) == abi::kAfUnspec) return {};
  const abi::SockaddrNl peer = TRY(parse_netlink_address(address));
  // Programs talk to the kernel here, not to each other.
  if (peer.pid != 0 || peer.groups != 0) return Errno::perm;
  return take_port(task, 0);
}

Result<SocketAddress> NetlinkSocket::local_address() { return netlink_address(port_.load(), groups_.load()); }
Result<SocketAddress> NetlinkSocket::peer_address() { return netlink_address(0, 0); }

Result<> NetlinkSocket::queue_answer(Vec<std::byte> bytes) {
  const Ref<Datagram> datagram = TRY(make_ref<Datagram>());
  datagram->data = std::move(bytes);
  if (!inbox_.push(datagram, static_cast<std::size_t>(plain_value(abi::kSoRcvBuf)))) return Errno::nobufs;
  queue_.wake_all(kPollReadable);
  return {};
}

Result<> NetlinkSocket::queue_error(const abi::Nlmsghdr& header, std::span<const std::byte> whole, std::int32_t error) {
  NetlinkWriter writer(header.sequence, port_.load());
  // The request comes back behind the error; of a success its header only.
  const std::span<const std::byte> copy = error == 0 ? whole.first(sizeof(header)) : whole;
  Vec<std::byte> body;
  TRY(body.try_resize(sizeof(error) + copy.size()));
  store_bytes(body.span(), 0, -error);
  copy_bytes(body.span().subspan(sizeof(error)), copy);
  TRY(writer.begin_bytes(abi::kNlmsgError, 0, body.span()));
  writer.end();
  return queue_answer(writer.release());
}

Result<> NetlinkSocket::answer(Task& task, const abi::Nlmsghdr& header, std::span<const std::byte> whole) {
  if ((header.flags & abi::kNlmFRequest) == 0) return {};
  Result<> answered;
  const bool dump = (header.flags & abi::kNlmFDump) != 0;
  if (header.type >= abi::kNlmsgMinType) {
    NetlinkWriter writer(header.sequence, port_.load());
    // Types come in fours: new, delete, get, set. All but get are for the administrator.
    const Ref<const Credentials> who = task.credentials_ref();
    const bool changes = (header.type & 3U) != 2;
    if (changes)
      answered = who->has(Capability::net_admin) ? Errno::opnotsupp : Errno::perm;
    else
      answered = answer_route_request(header, whole.subspan(sizeof(header)), writer);
    if (answered.ok()) {
      if (!writer.empty()) TRY(queue_answer(writer.release()));
      if (dump) {
        NetlinkWriter done(header.sequence, port_.load());
        TRY(done.begin(abi::kNlmsgDone, abi::kNlmFMulti, std::int32_t{0}));
        done.end();
        return queue_answer(done.release());
      }
    }
  }
  if (answered.ok() && (header.flags & abi::kNlmFAck) == 0) return {};
  return queue_error(header, whole, answered.ok() ? 0 : static_cast<std::int32_t>(answered.error()));
}

Result<std::size_t> NetlinkSocket::send(SendRequest& request) {
  if ((request.flags & abi::kMsgOob) != 0) return Errno::opnotsupp;
  if (!request.address.empty()) {
    const abi::SockaddrNl to = TRY(parse_netlink_address(request.address));
    if (to.groups != 0) return Errno::perm;
    if (to.pid != 0) return Errno::connrefused;
  }
  const Ref<Task> task(current_task());
  TRY(take_port(*task, 0));
  const auto size = static_cast<std::size_t>(request.source.remaining());
  if (size > kLongestRequest) return Errno::msgsize;
  Vec<std::byte> bytes;
  TRY(bytes.try_resize(size));
  if (size != 0 && TRY(request.source.take(bytes.span())) != size) return Errno::fault;
  std::span<const std::byte> rest = bytes.span();
  while (rest.size() >= sizeof(abi::Nlmsghdr)) {
    const auto header = load_bytes<abi::Nlmsghdr>(rest);
    if (header.length < sizeof(header) || header.length > rest.size()) break;
    TRY(answer(*task, header, rest.first(header.length)));
    rest = rest.subspan(std::min<std::uint64_t>(abi::nl_align(header.length), rest.size()));
  }
  return size;
}

Result<std::size_t> NetlinkSocket::receive(ReceiveRequest& request) {
  if ((request.flags & abi::kMsgOob) != 0) return Errno::opnotsupp;
  if ((request.flags & abi::kMsgErrQueue) != 0) return Errno::again;
  const bool peek = (request.flags & abi::kMsgPeek) != 0;
  const Instant deadline = receive_deadline();
  for (;;) {
    if (const RefPtr<Datagram> datagram = inbox_.take(peek)) {
      const std::size_t size = datagram->data.size();
      std::size_t given = 0;
      if (size > request.sink.remaining()) request.out_flags |= abi::kMsgTrunc;
      if (!request.sink.full()) given = TRY(request.sink.put(datagram->data.span()));
      if (request.from != nullptr) *request.from = netlink_address(0, 0);
      return (request.flags & abi::kMsgTrunc) != 0 ? size : given;
    }
    if (must_not_block(request.flags)) return Errno::again;
    const Result<> waited = queue_.wait([this] { return !inbox_.empty(); }, deadline);
    if (!waited.ok()) return waited.error() == Errno::timedout ? Errno::again : waited.error();
  }
}

Result<std::size_t> NetlinkSocket::get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) {
  if (level != abi::kSolNetlink) return level == abi::kSolSocket ? Socket::get_option(task, level, name, into) : Errno::noprotoopt;
  if (name < abi::kNetlinkPktInfo || name > abi::kNetlinkGetStrictChk) return Errno::noprotoopt;
  if (into.size() < sizeof(std::int32_t)) return Errno::inval;
  store_bytes(into, 0, static_cast<std::int32_t>((flags_.load() >> static_cast<std::uint32_t>(name)) & 1U));
  return sizeof(std::int32_t);
}

Result<> NetlinkSocket::set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) {
  if (level != abi::kSolNetlink) return level == abi::kSolSocket ? Socket::set_option(task, level, name, value) : Errno::noprotoopt;
  if (value.size() < sizeof(std::int32_t)) return Errno::inval;
  const auto number = load_bytes<std::uint32_t>(value);
  switch (name) {
    case abi::kNetlinkAddMembership:
    case abi::kNetlinkDropMembership:
      if (number == 0 || number > 32) return Errno::inval;
      if (name == abi::kNetlinkAddMembership)
        groups_.fetch_or(1U << (number - 1));
      else
        groups_.fetch_and(~(1U << (number - 1)));
      return {};
    case abi::kNetlinkBroadcastError:
    case abi::kNetlinkNoEnobufs:
    case abi::kNetlinkCapAck:
    case abi::kNetlinkExtAck:
    case abi::kNetlinkGetStrictChk:
      if (number != 0)
        flags_.fetch_or(1U << static_cast<std::uint32_t>(name));
      else
        flags_.fetch_and(~(1U << static_cast<std::uint32_t>(name)));
      return {};
    default: return Errno::noprotoopt;
  }
}

Result<std::uint64_t> NetlinkSocket::ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  TRY(interface_ioctl(task, request, argument));
  return std::uint64_t{0};
}

Result<Ref<Socket>> make_netlink_socket(Task&, std::int32_t type, std::int32_t protocol, std::uint32_t flags) {
  if (type != abi::kSockRaw && type != abi::kSockDgram) return Errno::socktnosupport;
  if (protocol != abi::kNetlinkRoute) return Errno::protonosupport;
  return Ref<Socket>(TRY(make_ref<NetlinkSocket>(type, flags)));
}

}  // namespace kernel
