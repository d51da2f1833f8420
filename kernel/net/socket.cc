#include "kernel/net/socket.h"

#include <algorithm>
#include <limits>

#include "abi/fs.h"
#include "abi/time.h"
#include "kernel/base/string.h"
#include "kernel/frame/bytes.h"
#include "kernel/net/inet_socket.h"
#include "kernel/net/netlink_socket.h"
#include "kernel/net/unix_socket.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constinit std::atomic<std::uint64_t> socket_numbers{1};  // NOLINT: inode numbers
constexpr std::uint64_t kNsPerSec = 1'000'000'000, kNsPerUs = 1000;

template <class T>
Result<std::size_t> give(std::span<std::byte> into, const T& value) {
  const std::size_t count = std::min(into.size(), sizeof(T));
  copy_bytes(into, std::as_bytes(std::span<const T, 1>(&value, 1)).first(count));
  return count;
}

Result<std::int32_t> number_from(std::span<const std::byte> value) {
  if (value.size() < sizeof(std::int32_t)) return Errno::inval;
  return load_bytes<std::int32_t>(value);
}

}  // namespace

Socket::Socket(std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags)
    : OpenFile(flags | abi::kORdWr),
      domain_(domain),
      type_(type),
      protocol_(protocol),
      number_(socket_numbers.fetch_add(1, std::memory_order_relaxed)),
      plain_options_{{{abi::kSoReuseAddr, 0},
                      {abi::kSoReusePort, 0},
                      {abi::kSoKeepAlive, 0},
                      {abi::kSoBroadcast, 0},
                      {abi::kSoOobInline, 0},
                      {abi::kSoPriority, 0},
                      {abi::kSoSndBuf, kDefaultSocketBuffer},
                      {abi::kSoRcvBuf, kDefaultSocketBuffer},
                      {abi::kSoRcvLowat, 1},
                      {abi::kSoTimestamp, 0},
                      {abi::kSoPassSec, 0},
                      {abi::kSoDontRoute, 0},
                      {abi::kSoMark, 0},
                      {abi::kSoNoCheck, 0},
                      {abi::kSoTimestampNs, 0}}} {}

Instant Socket::deadline(const std::atomic<std::uint64_t>& timeout) {
  const std::uint64_t ns = timeout.load(std::memory_order_relaxed);
  Instant at = 0;
  if (ns == 0 || __builtin_add_overflow(monotonic_now(), ns, &at)) return kNever;
  return at;
}

std::int32_t Socket::plain_value(std::int32_t name) const {
  for (const PlainOption& option : plain_options_)
    if (option.name == name) return option.value.load(std::memory_order_relaxed);
  return 0;
}

void Socket::set_plain(std::int32_t name, std::int32_t value) {
  if (std::atomic<std::int32_t>* plain = plain_option(name)) plain->store(value, std::memory_order_relaxed);
}

void Socket::copy_plain_options(const Socket& other) {
  for (PlainOption& option : plain_options_) option.value.store(other.plain_value(option.name), std::memory_order_relaxed);
  receive_timeout_.store(other.receive_timeout_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  send_timeout_.store(other.send_timeout_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  for (std::size_t i = 0; i < linger_.size(); ++i) linger_[i].store(other.linger_[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
}

std::atomic<std::int32_t>* Socket::plain_option(std::int32_t name) {
  for (PlainOption& option : plain_options_)
    if (option.name == name) return &option.value;
  return nullptr;
}

Result<std::size_t> Socket::read(IoSink& sink) {
  if (sink.full()) return std::size_t{0};
  ReceiveRequest request{.sink = sink};
  return receive(request);
}

Result<std::size_t> Socket::write(IoSource& source) {
  SendRequest request{.source = source, .address = {}};
  auto sent = send(request);
  if (!sent.ok() && sent.error() == Errno::pipe && wants_sigpipe()) raise_signal(current_task(), abi::kSigPipe);
  return sent;
}

Result<Attributes> Socket::attributes() {
  Attributes attributes = nameless_.attributes();
  attributes.ino = number_;
  return attributes;
}

std::size_t Socket::describe(std::span<char> into) {
  FixedString<40> text;
  text.append_clipped("socket:[").append_clipped(Digits(number_).view()).append_clipped("]");
  const std::size_t count = std::min(text.view().size(), into.size());
  std::copy_n(text.view().begin(), count, into.begin());
  return count;
}

Result<std::size_t> Socket::get_option(Task&, std::int32_t level, std::int32_t name, std::span<std::byte> into) {
  if (level != abi::kSolSocket) return Errno::opnotsupp;
  switch (name) {
    case abi::kSoType: return give(into, type_);
    case abi::kSoDomain: return give(into, domain_);
    case abi::kSoProtocol: return give(into, protocol_);
    case abi::kSoAcceptConn: return give(into, std::int32_t{is_listening() ? 1 : 0});
    case abi::kSoError: return give(into, take_error());
    case abi::kSoPassCred: return give(into, std::int32_t{passes_credentials() ? 1 : 0});
    case abi::kSoSndLowat: return give(into, std::int32_t{1});
    case abi::kSoCookie: return into.size() < sizeof(number_) ? Result<std::size_t>(Errno::inval) : give(into, number_);
    case abi::kSoLinger: return give(into, abi::Linger{.on = linger_[0].load(), .seconds = linger_[1].load()});
    case abi::kSoRcvTimeo:
    case abi::kSoRcvTimeoNew:
    case abi::kSoSndTimeo:
    case abi::kSoSndTimeoNew: {
      const bool receives = name == abi::kSoRcvTimeo || name == abi::kSoRcvTimeoNew;
      const std::uint64_t ns = (receives ? receive_timeout_ : send_timeout_).load(std::memory_order_relaxed);
      return give(into, abi::Timeval{.sec = static_cast<std::int64_t>(ns / kNsPerSec), .usec = static_cast<std::int64_t>(ns % kNsPerSec / kNsPerUs)});
    }
    default: break;
  }
  const std::atomic<std::int32_t>* plain = plain_option(name);
  if (plain == nullptr) return Errno::noprotoopt;
  return give(into, plain->load(std::memory_order_relaxed));
}

Result<> Socket::set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) {
  if (level != abi::kSolSocket) return Errno::noprotoopt;
  switch (name) {
    case abi::kSoPassCred: pass_credentials_.store(TRY(number_from(value)) != 0, std::memory_order_relaxed); return {};
    case abi::kSoLinger: {
      if (value.size() < sizeof(abi::Linger)) return Errno::inval;
      const auto linger = load_bytes<abi::Linger>(value);
      linger_[0].store(linger.on != 0 ? 1 : 0);
      linger_[1].store(linger.seconds);
      return {};
    }
    case abi::kSoRcvTimeo:
    case abi::kSoRcvTimeoNew:
    case abi::kSoSndTimeo:
    case abi::kSoSndTimeoNew: {
      if (value.size() < sizeof(abi::Timeval)) return Errno::inval;
      const auto time = load_bytes<abi::Timeval>(value);
      if (time.usec < 0 || time.usec >= 1'000'000) return Errno::dom;
      std::uint64_t ns = 0;
      // A negative time is none at all; one too far away too.
      if (time.sec < 0 || __builtin_mul_overflow(static_cast<std::uint64_t>(time.sec), kNsPerSec, &ns) ||
          __builtin_add_overflow(ns, static_cast<std::uint64_t>(time.usec) * kNsPerUs, &ns))
        ns = 0;
      (name == abi::kSoRcvTimeo || name == abi::kSoRcvTimeoNew ? receive_timeout_ : send_timeout_).store(ns, std::memory_order_relaxed);
      return {};
    }
    case abi::kSoType:
    case abi::kSoDomain:
    case abi::kSoProtocol:
    case abi::kSoError:
    case abi::kSoAcceptConn: return Errno::noprotoopt;
    default: break;
  }
  return set_plain_option(task, name, TRY(number_from(value)));
}

namespace {
// The kernel doubles buffer sizes, and clips them: a negative one counts as a very large one.
std::int32_t buffer_size(std::int32_t asked, bool force) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max() / 2;
  const std::int32_t most = force ? kMost : kDefaultSocketBuffer;
  return (asked < 0 ? most : std::min(asked, most)) * 2;
}
}  // namespace

// socket(7), options that are a number.
Result<> Socket::set_plain_option(Task& task, std::int32_t name, std::int32_t number) {
  // socket(7): beyond the administrator's limits, for those who may administrate.
  const bool force = name == abi::kSoSndBufForce || name == abi::kSoRcvBufForce;
  if (force && !task.credentials_ref()->has(Capability::net_admin)) return Errno::perm;
  if (force) number = std::max(number, 0);
  if (force) name = name == abi::kSoSndBufForce ? abi::kSoSndBuf : abi::kSoRcvBuf;
  std::atomic<std::int32_t>* plain = plain_option(name);
  if (plain == nullptr) return Errno::noprotoopt;
  const Ref<const Credentials> who = task.credentials_ref();
  const bool may_all = who->has(Capability::net_admin) || who->has(Capability::net_raw);
  constexpr std::int32_t kLeastSend = 4608, kLeastReceive = 2304, kMostPriority = 6;
  switch (name) {
    case abi::kSoSndBuf: number = std::max(buffer_size(number, force), kLeastSend); break;
    case abi::kSoRcvBuf: number = std::max(buffer_size(number, force), kLeastReceive); break;
    case abi::kSoRcvLowat: number = number < 0 ? std::numeric_limits<std::int32_t>::max() : std::max(number, 1); break;
    case abi::kSoPriority:
      if ((number < 0 || number > kMostPriority) && !may_all) return Errno::perm;
      break;
    case abi::kSoMark:
      if (!may_all) return Errno::perm;
      break;
    default: number = number != 0 ? 1 : 0; break;
  }
  plain->store(number, std::memory_order_relaxed);
  return {};
}

Result<Ref<Socket>> make_socket(Task& task, std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags) {
  if (domain < 0 || domain >= abi::kAfMax) return Errno::afnosupport;
  if (domain == abi::kAfUnix) return make_unix_socket(task, type, protocol, flags);
  if (type < 0 || type >= abi::kSockMax) return Errno::inval;
  if (domain == abi::kAfInet || domain == abi::kAfInet6) return make_inet_socket(task, domain, type, protocol, flags);
  if (domain == abi::kAfNetlink) return make_netlink_socket(task, type, protocol, flags);
  return Errno::afnosupport;
}

Result<SocketPair> make_socket_pair(Task& task, std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags) {
  if (domain == abi::kAfUnix) return make_unix_pair(task, type, protocol, flags);
  // Whatever socket(2) says against such a socket comes first.
  TRY(make_socket(task, domain, type, protocol, flags));
  return Errno::opnotsupp;
}

}  // namespace kernel
