#include "kernel/net/unix_socket.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/net/interface.h"
#include "kernel/net/unix_garbage.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constexpr std::int32_t kSomaxconn = 4096;
constexpr std::uint32_t kSiocOutQ = 0x5411;
constexpr abi::Ucred kNobody{.pid = 0, .uid = ~0U, .gid = ~0U};

abi::Ucred credential_of(Task& task) {
  const Credentials& who = task.credentials();
  return {.pid = static_cast<std::int32_t>(task.process().pid()), .uid = who.euid, .gid = who.egid};
}

Result<> timed_out_is_again(Result<> waited) {
  if (!waited.ok() && waited.error() == Errno::timedout) return Errno::again;
  return waited;
}

}  // namespace

UnixSocket::UnixSocket(std::int32_t type, std::int32_t protocol, std::uint32_t flags, Ref<UnixEnd> end, RefPtr<UnixEnd> peer)
    : Socket(abi::kAfUnix, type, protocol, flags), end_(end) {
  if (peer) set_peer(std::move(peer));
  list_unix_socket(*this);
}

UnixRow UnixSocket::row() const {
  const bool connected = connected_.load(std::memory_order_relaxed);
  return {.references = connected ? 3U : 2U,  // as Linux counts: the table, the file, and what the peer holds
          .listening = end_->is_listening(),
          .connected = connected,
          .type = static_cast<std::uint16_t>(type()),
          .inode = number(),
          .name = end_->name()};
}

RefPtr<UnixEnd> UnixSocket::peer() const {
  const LockGuard guard(lock_);
  return peer_;
}

void UnixSocket::set_peer(RefPtr<UnixEnd> peer) {
  const bool some = static_cast<bool>(peer);
  {
    const LockGuard guard(lock_);
    if (type() != abi::kSockDgram) stream_peer_ = peer.get();
    std::swap(peer_, peer);
  }
  connected_.store(some, std::memory_order_release);
}  // the old one is dropped here, without the lock

// --- names ---

Result<> UnixSocket::bind(Task& task, std::span<const std::byte> address) {
  const UnixName name = TRY(parse_unix_address(address));
  bool free = false;
  if (!bound_.compare_exchange_strong(free, true)) {
    if (name.empty()) return {};
    // Linux makes the file first: a name that exists is what it complains about.
    return unix_name_exists(task, name) ? Errno::addrinuse : Errno::inval;
  }
  auto bound = bind_unix_name(task, end_, name);
  if (!bound.ok()) {
    bound_.store(false);
    return bound.error();
  }
  const LockGuard guard(lock_);
  binding_ = std::move(bound).release();
  return {};
}

Result<SocketAddress> UnixSocket::local_address() { return make_unix_address(end_->name()); }

Result<SocketAddress> UnixSocket::peer_address() {
  const RefPtr<UnixEnd> other = peer();
  if (!other) return Errno::notconn;
  return make_unix_address(other->name());
}

// --- connections ---

Result<> UnixSocket::connect(Task& task, std::span<const std::byte> address) {
  if (address.size() < sizeof(std::uint16_t)) return Errno::inval;
  if (type() == abi::kSockDgram && load_bytes<std::uint16_t>(address) == abi::kAfUnspec) {
    end_->accept_only(nullptr);
    set_peer(nullptr);
    return {};
  }
  if (type() != abi::kSockDgram && is_connected()) return Errno::isconn;
  if (is_listening()) return Errno::inval;
  const UnixName name = TRY(parse_unix_address(address));
  const Ref<UnixEnd> target = TRY(find_unix_name(task, name));
  if (target->type() != type()) return Errno::prototype;
  if (type() != abi::kSockDgram) return connect_stream(task, target);
  if (!target->accepts_from(*end_)) return Errno::perm;
  end_->accept_only(target.get());
  set_peer(target);
  return {};
}

Result<> UnixSocket::connect_stream(Task& task, const Ref<UnixEnd>& listener) {
  const Ref<UnixEnd> server = TRY(make_ref<UnixEnd>(type(), listener->owner()));
  server->set_name(listener->name());
  end_->set_owner(credential_of(task));
  const Instant deadline = send_deadline();
  for (;;) {
    if (!listener->is_listening()) return Errno::connrefused;
    const Result<> offered = listener->offer(*server, end_);
    if (offered.ok()) break;
    if (offered.error() != Errno::again) return offered;
    if (is_nonblocking()) return Errno::again;
    TRY(timed_out_is_again(listener->space().wait([&] { return listener->may_offer() || !listener->is_listening(); }, deadline)));
  }
  set_peer(server);
  apply_send_buffer();
  end_->queue().wake_all(kPollWritable);
  return {};
}

Result<> UnixSocket::listen(Task& task, std::int32_t backlog) {
  if (type() == abi::kSockDgram) return Errno::opnotsupp;
  if (!bound_.load() || is_connected()) return Errno::inval;
  end_->set_owner(credential_of(task));
  end_->start_listening(static_cast<std::uint32_t>(backlog < 0 || backlog > kSomaxconn ? kSomaxconn : backlog));
  return {};
}

Result<Ref<Socket>> UnixSocket::accept(std::uint32_t flags) {
  if (type() == abi::kSockDgram) return Errno::opnotsupp;
  if (!is_listening()) return Errno::inval;
  const Instant deadline = receive_deadline();
  for (;;) {
    RefPtr<UnixEnd> client;
    if (const RefPtr<UnixEnd> server = end_->take_offer(client)) {
      auto made = make_ref<UnixSocket>(type(), protocol(), flags, server.as_ref(), client);
      if (made.ok()) return Ref<Socket>(std::move(made).release());
      DiscardScope scope;
      server->mark_gone(scope);
      client->close_writing(true);
      return made.error();
    }
    if (!is_listening() || end_->read_closed()) return Errno::inval;
    if (is_nonblocking()) return Errno::again;
    TRY(timed_out_is_again(end_->queue().wait([this] { return end_->has_offers() || !is_listening() || end_->read_closed(); }, deadline)));
  }
}

Result<> UnixSocket::shutdown(std::int32_t how) {
  if (how < abi::kShutRd || how > abi::kShutRdWr) return Errno::inval;
  const RefPtr<UnixEnd> other = peer();
  if (how != abi::kShutWr) {
    end_->close_reading();
    if (other && type() != abi::kSockDgram) other->queue().wake_all(kPollWritable | kPollHup);
  }
  if (how != abi::kShutRd) {
    write_shut_.store(true, std::memory_order_release);
    if (other && type() != abi::kSockDgram) other->close_writing(end_->write_closed());
    end_->queue().wake_all(kPollWritable | kPollHup);
  }
  return {};
}

void UnixSocket::on_last_close() {
  release_unix_name(*end_);
  RefPtr<UnixBinding> binding;
  {
    const LockGuard guard(lock_);
    std::swap(binding, binding_);
  }
  if (binding) binding->clear();
  const bool unread = end_->has_input();
  {
    DiscardScope scope;
    end_->mark_gone(scope);
    if (end_->take_watched()) tell_unix_senders(*end_);
    const RefPtr<UnixEnd> other = peer();
    // unix(7) has it from TCP: data that nobody will read any more resets the connection.
    if (other && unread && type() != abi::kSockDgram) other->set_error(static_cast<std::int32_t>(Errno::connreset));
    if (other && type() != abi::kSockDgram) other->close_writing(true);
  }
  collect_unix_garbage();
}

// --- sending ---

Result<std::size_t> UnixSocket::send_stream(UnixEnd& to, SendRequest& request) {
  std::size_t total = 0;
  const auto partial = [&](Errno error) -> Result<std::size_t> {
    if (total != 0) return total;
    return error;
  };
  const bool block = !must_not_block(request.flags);
  const auto broken = [&] { return to.read_closed() || write_shut_.load(std::memory_order_acquire); };
  Instant deadline = 0;
  while (!request.source.empty()) {
    if (broken()) return partial(Errno::pipe);
    auto moved = to.stream().write(request.source, request.ancillary);
    if (!moved.ok()) return partial(moved.error());
    if (const std::size_t count = std::move(moved).release(); count != 0) {
      total += count;
      request.ancillary = nullptr;
      to.queue().wake_all_fenced(kPollReadable);  // by the release of the stream's lock
      continue;
    }
    if (!block) return partial(Errno::again);
    if (deadline == 0) deadline = send_deadline();
    const Result<> waited = timed_out_is_again(end_->queue().wait([&] { return to.stream().has_room() || broken(); }, deadline));
    if (!waited.ok()) return partial(waited.error());
  }
  return total;
}

Result<RefPtr<UnixEnd>> UnixSocket::receiver_of(Task& task, const SendRequest& request) {
  if (type() == abi::kSockSeqPacket)
    if (const std::int32_t error = end_->take_error(); error != 0) return Errno{error};
  RefPtr<UnixEnd> to;
  if (!request.address.empty() && type() == abi::kSockDgram)
    to = TRY(find_unix_name(task, TRY(parse_unix_address(request.address))));
  else
    to = peer();
  if (!to) return Errno::notconn;
  if (to->type() != type()) return Errno::prototype;
  if (write_shut_.load(std::memory_order_acquire)) return Errno::pipe;
  if (type() == abi::kSockDgram && !to->accepts_from(*end_)) return Errno::perm;
  constexpr std::uint32_t kReserve = 32;
  return request.source.remaining() > end_->send_limit() - kReserve ? Result<RefPtr<UnixEnd>>(Errno::msgsize) : Result<RefPtr<UnixEnd>>(to);
}

Result<std::size_t> UnixSocket::send_message(Task& task, SendRequest& request) {
  const RefPtr<UnixEnd> to = TRY(receiver_of(task, request));
  const Instant deadline = send_deadline();
  // As on Linux a sender that finds room may go beyond it with one message.
  while (!end_->may_charge()) {
    if (must_not_block(request.flags)) return Errno::again;
    const auto may_go_on = [own = end_, &shut = write_shut_, &to] { return own->may_charge() || shut.load(std::memory_order_acquire) || to->is_gone(); };
    TRY(timed_out_is_again(end_->queue().wait(may_go_on, deadline)));
    if (write_shut_.load(std::memory_order_acquire)) return Errno::pipe;
    if (to->is_gone()) break;
  }
  const Ref<UnixMessage> message = TRY(make_ref<UnixMessage>());
  const auto size = static_cast<std::size_t>(request.source.remaining());
  message->charge = UnixEnd::charge_of(size);
  end_->charge(message->charge);
  message->sender = end_;
  TRY(message->data.try_resize(size));
  if (size != 0 && TRY(request.source.take(message->data.span())) != size) return Errno::fault;
  if (request.ancillary != nullptr) message->ancillary = std::move(*request.ancillary);
  if (!message->ancillary.credential) message->ancillary.credential = credential_of(task);
  message->from = end_->name();
  for (;;) {
    const Result<> pushed = to->push_message(message);
    if (pushed.ok()) return size;
    if (pushed.error() != Errno::again || must_not_block(request.flags)) return pushed.error();
    TRY(timed_out_is_again(to->space().wait([&] { return to->has_space(); }, deadline)));
  }
}

Result<std::size_t> UnixSocket::send(SendRequest& request) {
  if ((request.flags & abi::kMsgOob) != 0) return Errno::opnotsupp;
  if (request.ancillary != nullptr) {
    request.ancillary->messages.clear();
    if (is_unix_garbage_likely()) collect_unix_garbage();
    TRY(request.ancillary->flight.depart(request.ancillary->files.span()));
  }
  if (type() != abi::kSockStream) return send_message(current_task(), request);
  if (!request.address.empty()) return is_connected() ? Errno::isconn : Errno::opnotsupp;
  if (!is_connected()) return Errno::notconn;
  return send_stream(*stream_peer_, request);
}

// --- receiving ---

Result<> UnixSocket::await_input(std::uint32_t flags, Instant deadline) {
  if (must_not_block(flags)) return Errno::again;
  return timed_out_is_again(
      end_->queue().wait_kept([this] { return end_->has_input() || end_->write_closed() || end_->read_closed() || end_->has_error(); }, deadline));
}

void UnixSocket::note_credential(ReceiveRequest& request, const RefPtr<UnixEnd>& other) {
  request.has_credential_option = passes_credentials();
  if (request.ancillary == nullptr) return;
  if (!request.has_credential_option)
    request.ancillary->credential.reset();
  else if (!request.ancillary->credential)
    request.ancillary->credential = other ? other->owner() : kNobody;
}

Result<std::size_t> UnixSocket::receive_stream(ReceiveRequest& request) {
  if (!is_connected()) return Errno::inval;
  UnixEnd& from = *stream_peer_;
  const bool peek = (request.flags & abi::kMsgPeek) != 0;
  std::size_t total = 0;
  Instant deadline = 0;
  while (!request.sink.full()) {
    bool drained = false;
    const bool had_files = request.ancillary != nullptr && !request.ancillary->files.empty();
    auto moved = end_->stream().read(request.sink, request.ancillary, peek, drained);
    if (drained) from.queue().wake_all(kPollWritable);
    if (!moved.ok()) return total != 0 ? Result<std::size_t>(total) : moved;
    if (const std::size_t count = std::move(moved).release(); count != 0) {
      total += count;
      const bool got_files = had_files || (request.ancillary != nullptr && !request.ancillary->files.empty());
      if (peek || got_files || (request.flags & abi::kMsgWaitAll) == 0) break;
      continue;
    }
    if (const std::int32_t error = end_->take_error(); error != 0) return total != 0 ? Result<std::size_t>(total) : Result<std::size_t>(Errno{error});
    if (end_->write_closed() || end_->read_closed()) {
      if (end_->stream().has_data() && !end_->is_gone()) continue;  // it came just before the end
      break;
    }
    if (deadline == 0) deadline = receive_deadline();
    if (const Result<> waited = await_input(request.flags, deadline); !waited.ok()) {
      if (total != 0) break;
      return waited.error();
    }
  }
  if (request.ancillary != nullptr || request.from != nullptr) {
    const RefPtr<UnixEnd> other = peer();
    note_credential(request, other);
    if (request.from != nullptr && other && !other->name().empty()) *request.from = make_unix_address(other->name());
  }
  return total;
}

Result<std::size_t> UnixSocket::receive_message(ReceiveRequest& request) {
  if (type() == abi::kSockSeqPacket && !is_connected()) return Errno::notconn;
  const bool peek = (request.flags & abi::kMsgPeek) != 0;
  Instant deadline = 0;
  for (;;) {
    bool drained = false;
    const RefPtr<UnixMessage> message = end_->take_message(peek, drained);
    if (!message) {
      if (const std::int32_t error = end_->take_error(); error != 0) return Errno{error};
      if (end_->write_closed() || end_->read_closed()) {
        if (end_->has_messages()) continue;
        return std::size_t{0};
      }
      if (deadline == 0) deadline = receive_deadline();
      TRY(await_input(request.flags, deadline));
      continue;
    }
    // First, so that one who has to look for another message has given out nothing of this one.
    if (peek && request.ancillary != nullptr && !TRY(end_->peek_ancillary(*message, *request.ancillary))) continue;
    const RefPtr<UnixEnd> other = peer();
    if (!peek) {
      end_->space().wake_all();
      if (drained && end_->take_watched()) tell_unix_senders(*end_);
    }
    const std::size_t size = message->data.size();
    std::size_t given = 0;
    if (size > request.sink.remaining()) request.out_flags |= abi::kMsgTrunc;
    if (size != 0 && !request.sink.full()) given = TRY(request.sink.put(message->data.span()));
    if (request.from != nullptr && !message->from.empty()) *request.from = make_unix_address(message->from);
    if (request.ancillary != nullptr && !peek) *request.ancillary = std::move(message->ancillary);
    note_credential(request, other);
    return (request.flags & abi::kMsgTrunc) != 0 ? size : given;
  }
}

Result<std::size_t> UnixSocket::receive(ReceiveRequest& request) {
  if ((request.flags & abi::kMsgOob) != 0) return Errno::opnotsupp;
  if ((request.flags & abi::kMsgErrQueue) != 0) return Errno::again;
  return type() == abi::kSockStream ? receive_stream(request) : receive_message(request);
}

// --- the rest ---

void UnixSocket::tell_of_room(const UnixEnd& end) {
  const LockGuard guard(lock_);
  if (peer_.get() == &end) end_->queue().wake_all(kPollWritable);
}

// Of datagrams and records: room in the own buffer, and in the queue of a receiver who is not bounded by it.
bool UnixSocket::is_writable(UnixEnd* other) const {
  if (!end_->is_charge_low()) return false;
  if (other == nullptr || other->takes_freely(*end_) || !other->is_full()) return true;
  other->note_watcher();
  return !other->is_full();
}

std::uint32_t UnixSocket::readiness() {
  if (is_listening()) return end_->has_offers() ? kPollReadable : 0;
  std::uint32_t events = 0;
  const bool no_input = end_->write_closed() || end_->read_closed();
  if (end_->has_input()) events |= kPollReadable;
  if (no_input) events |= kPollReadable | kPollRdHup;
  if (end_->has_error()) events |= kPollErr;
  const RefPtr<UnixEnd> other = peer();
  if (type() == abi::kSockDgram) return events | (is_writable(other.get()) ? kPollWritable : 0);
  if (!other) return events | kPollHup | kPollWritable;
  const bool no_output = write_shut_.load(std::memory_order_acquire) || other->read_closed();
  if (no_input && no_output) events |= kPollHup;
  const bool writable = type() == abi::kSockStream ? other->stream().is_writable() : is_writable(other.get());
  if (writable || no_output) events |= kPollWritable;
  return events;
}

Result<std::uint64_t> UnixSocket::ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  std::uint64_t count = 0;
  if (request == abi::kFioNRead) {
    if (is_listening()) return Errno::inval;
    count = type() == abi::kSockStream ? end_->stream().used() : end_->next_message_size();
  } else if (request == kSiocOutQ) {
    const RefPtr<UnixEnd> other = peer();
    count = type() != abi::kSockStream ? end_->charged() : other ? other->stream().used() : 0;
  } else {
    TRY(interface_ioctl(task, request, argument));
    return std::uint64_t{0};
  }
  TRY(UserPtr<std::int32_t>(argument).store(static_cast<std::int32_t>(std::min<std::uint64_t>(count, 0x7fffffff))));
  return std::uint64_t{0};
}

Result<std::size_t> UnixSocket::get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) {
  if (level != abi::kSolSocket || name != abi::kSoPeerCred) return Socket::get_option(task, level, name, into);
  const RefPtr<UnixEnd> other = peer();
  const abi::Ucred who = other ? other->owner() : kNobody;
  const std::size_t count = std::min(into.size(), sizeof(who));
  copy_bytes(into, std::as_bytes(std::span(&who, 1)).first(count));
  return count;
}

Result<> UnixSocket::set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) {
  TRY(Socket::set_option(task, level, name, value));
  if (level == abi::kSolSocket && (name == abi::kSoSndBuf || name == abi::kSoSndBufForce)) apply_send_buffer();
  return {};
}

// SO_RCVBUF changes nothing: what waits counts against its sender.
void UnixSocket::apply_send_buffer() {
  const auto bytes = static_cast<std::uint32_t>(plain_value(abi::kSoSndBuf));
  if (type() == abi::kSockStream && is_connected()) stream_peer_->stream().set_limit(bytes);
  end_->set_send_limit(bytes);
}

namespace {

Result<std::int32_t> checked_type(std::int32_t type, std::int32_t protocol) {
  if (protocol != 0 && protocol != abi::kAfUnix) return Errno::protonosupport;
  if (type == abi::kSockRaw) return abi::kSockDgram;  // as Linux has it
  if (type != abi::kSockStream && type != abi::kSockDgram && type != abi::kSockSeqPacket) return Errno::socktnosupport;
  return type;
}

}  // namespace

Result<Ref<Socket>> make_unix_socket(Task& task, std::int32_t type, std::int32_t protocol, std::uint32_t flags) {
  const std::int32_t kind = TRY(checked_type(type, protocol));
  const Ref<UnixEnd> end = TRY(make_ref<UnixEnd>(kind, credential_of(task)));
  return Ref<Socket>(TRY(make_ref<UnixSocket>(kind, 0, flags, end, nullptr)));
}

Result<SocketPair> make_unix_pair(Task& task, std::int32_t type, std::int32_t protocol, std::uint32_t flags) {
  const std::int32_t kind = TRY(checked_type(type, protocol));
  const abi::Ucred who = credential_of(task);
  const Ref<UnixEnd> first = TRY(make_ref<UnixEnd>(kind, who));
  const Ref<UnixEnd> second = TRY(make_ref<UnixEnd>(kind, who));
  if (kind == abi::kSockDgram) {
    first->accept_only(second.get());
    second->accept_only(first.get());
  }
  const Ref<Socket> one(TRY(make_ref<UnixSocket>(kind, 0, flags, first, second)));
  const Ref<Socket> two(TRY(make_ref<UnixSocket>(kind, 0, flags, second, first)));
  return SocketPair{.first = one, .second = two};
}

}  // namespace kernel
