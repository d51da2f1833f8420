#include "kernel/net/tcp_socket.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constexpr std::int32_t kSomaxconn = 4096;
constexpr std::int32_t kFirstSendBuffer = 16384, kFirstReceiveBuffer = 131072;

Result<> timed_out_is(Errno error, Result<> waited) {
  if (!waited.ok() && waited.error() == Errno::timedout) return error;
  return waited;
}

}  // namespace

TcpSocket::TcpSocket(std::int32_t domain, std::uint32_t flags, Ref<TcpEnd> end, RefPtr<TcpEnd> peer)
    : InetSocket(domain, abi::kSockStream, abi::kIpProtoTcp, flags, end), end_(end), peer_(std::move(peer)) {
  set_plain(abi::kSoSndBuf, kFirstSendBuffer);
  set_plain(abi::kSoRcvBuf, kFirstReceiveBuffer);
  if (end->phase() != TcpEnd::Phase::closed) attempt_.store(Attempt::done);
}

RefPtr<TcpEnd> TcpSocket::peer() const {
  const LockGuard guard(lock_);
  return peer_;
}

void TcpSocket::set_peer(RefPtr<TcpEnd> peer) {
  const LockGuard guard(lock_);
  std::swap(peer_, peer);
}  // the parameter, hence the old one, goes after the lock

Result<SocketAddress> TcpSocket::peer_address() {
  if (end_->is_closed() || end_->phase() == TcpEnd::Phase::connecting) return Errno::notconn;
  return InetSocket::peer_address();
}

// --- connecting ---

// Back to a socket without a connection; the peer sees a reset.
void TcpSocket::disconnect() {
  end_->stop_listening();
  if (const RefPtr<TcpEnd> other = peer()) {
    if (end_->is_open()) other->reset(Errno::connreset);
    set_peer(nullptr);
  }
  inet_table().disconnect(*end_);
  end_->renew();
  attempt_.store(Attempt::none);
}

Result<> TcpSocket::start_connecting(std::span<const std::byte> address) {
  InetEndpoint remote = TRY(parse_inet_address(domain(), address));
  if (end_->phase() != TcpEnd::Phase::closed) return Errno::isconn;
  if (remote.address.is_link_local() && !remote.address.is_multicast()) return Errno::inval;
  remote.address = TRY(route(remote.address, is_v6_only()));
  TRY(inet_table().bind_automatically(*end_));
  inet_table().connect(*end_, remote);
  end_->take_error();
  end_->set_phase(TcpEnd::Phase::connecting);
  attempt_.store(Attempt::running);
  const InetEndpoint local = inet_table().names(*end_).local;
  const RefPtr<InetEnd> found = inet_table().find_listener(remote);
  Result<> offered = Errno::connrefused;
  if (found) {
    // SAFETY: find_listener() gives ends of stream sockets only.
    const Ref<TcpEnd> listener(static_cast<TcpEnd&>(*found));
    const Ref<TcpEnd> server = TRY(make_ref<TcpEnd>(listener->domain(), listener->uid()));
    server->reuse_address.store(listener->reuse_address.load());
    server->reuse_port.store(listener->reuse_port.load());
    server->v6_only.store(listener->v6_only.load());
    server->asked_send.store(listener->asked_send.load());
    server->asked_receive.store(listener->asked_receive.load());
    server->agree_on_room(*end_);
    inet_table().enter_connected(*server, remote, local);
    set_peer(server);
    offered = listener->offer(*server, end_);
    if (!offered.ok()) inet_table().release(*server);
  }
  // A refusal is told as the answer of the other side would be: the connection has failed, not the call.
  if (!offered.ok()) end_->reset(offered.error());
  return {};
}

// `pending` is the answer as long as nothing is decided.
Result<> TcpSocket::finish_connecting(Errno pending) {
  if (end_->phase() == TcpEnd::Phase::connecting) {
    if (is_nonblocking()) return pending;
    TRY(timed_out_is(pending, end_->queue().wait([this] { return end_->phase() != TcpEnd::Phase::connecting; }, send_deadline())));
  }
  if (end_->phase() == TcpEnd::Phase::closed) {
    const std::int32_t error = end_->take_error();
    disconnect();
    return error != 0 ? Errno{error} : Errno::connaborted;
  }
  attempt_.store(Attempt::done);
  return {};
}

Result<> TcpSocket::connect(Task&, std::span<const std::byte> address) {
  if (TRY(address_family(address)) == abi::kAfUnspec) {
    disconnect();
    return {};
  }
  switch (attempt_.load()) {
    case Attempt::done: return Errno::isconn;
    case Attempt::running: return finish_connecting(Errno::already);
    case Attempt::none: break;
  }
  TRY(start_connecting(address));
  // Linux has the answer of even this machine only once the call is over.
  if (is_nonblocking()) return Errno::inprogress;
  return finish_connecting(Errno::inprogress);
}

Result<> TcpSocket::listen(Task&, std::int32_t backlog) {
  const TcpEnd::Phase phase = end_->phase();
  const bool had_connection = attempt_.load() != Attempt::none;
  if ((phase != TcpEnd::Phase::closed && phase != TcpEnd::Phase::listening) || had_connection) return Errno::inval;
  const auto limit = static_cast<std::uint32_t>(backlog < 0 || backlog > kSomaxconn ? kSomaxconn : backlog);
  if (phase == TcpEnd::Phase::listening) {
    end_->start_listening(limit);
    return {};
  }
  TRY(inet_table().bind_automatically(*end_));
  return inet_table().listen(*end_, [&] { end_->start_listening(limit); });
}

Result<Ref<Socket>> TcpSocket::accept(std::uint32_t flags) {
  if (!is_listening()) return Errno::inval;
  const Instant deadline = receive_deadline();
  for (;;) {
    RefPtr<TcpEnd> client;
    if (const RefPtr<TcpEnd> server = end_->take_offer(client)) {
      auto made = make_ref<TcpSocket>(domain(), flags, server.as_ref(), client);
      if (made.ok()) {
        const Ref<TcpSocket> socket = std::move(made).release();
        socket->inherit_options(*this);
        server->urgent_inline.store(end_->urgent_inline.load());
        return Ref<Socket>(socket);
      }
      inet_table().release(*server);
      server->mark_gone();
      client->reset(Errno::connreset);
      return made.error();
    }
    if (!is_listening()) return Errno::inval;
    if (is_nonblocking()) return Errno::again;
    TRY(timed_out_is(Errno::again, end_->queue().wait([this] { return end_->has_offers() || !is_listening(); }, deadline)));
  }
}

Result<> TcpSocket::shutdown(std::int32_t how) {
  if (how < abi::kShutRd || how > abi::kShutRdWr) return Errno::inval;
  const TcpEnd::Phase phase = end_->phase();
  if (phase == TcpEnd::Phase::listening && how == abi::kShutWr) return {};
  if (phase == TcpEnd::Phase::listening || phase == TcpEnd::Phase::connecting) {
    disconnect();
    end_->queue().wake_all(kPollReadable | kPollWritable | kPollHup);
    return {};
  }
  const bool was_closed = end_->is_closed();
  if (how != abi::kShutWr) end_->shut_reading();
  if (how != abi::kShutRd) {
    end_->shut_writing();
    const RefPtr<TcpEnd> other = peer();
    if (other && !was_closed) other->receive_fin();
  }
  return was_closed ? Result<>(Errno::notconn) : Result<>();
}

void TcpSocket::on_last_close() {
  end_->mark_gone();
  end_->stop_listening();
  const RefPtr<TcpEnd> other = peer();
  const bool was_open = end_->is_open();
  if (other && was_open) {
    // RFC 2525, 2.17: data that nobody will read resets the connection.
    if (end_->stream().has_data() || resets_at_close())
      other->reset(Errno::connreset);
    else
      other->receive_fin();
  }
  inet_table().release(*end_);
  end_->shut_writing();
  end_->shut_reading();
  end_->set_phase(TcpEnd::Phase::closed);
}

// --- sending ---

Errno TcpSocket::broken_pipe() {
  const std::int32_t error = end_->take_error();
  return error != 0 ? Errno{error} : Errno::pipe;
}

Result<> TcpSocket::await_connection(std::uint32_t flags) {
  if (end_->phase() == TcpEnd::Phase::connecting) {
    if (must_not_block(flags)) return Errno::again;
    TRY(timed_out_is(Errno::again, end_->queue().wait([this] { return end_->phase() != TcpEnd::Phase::connecting; }, send_deadline())));
  }
  if (end_->phase() != TcpEnd::Phase::open || end_->write_shut()) return broken_pipe();
  return {};
}

Result<std::size_t> TcpSocket::send_stream(TcpEnd& to, SendRequest& request) {
  std::size_t total = 0;
  const auto partial = [&](Errno error) -> Result<std::size_t> {
    if (total != 0) return total;
    return error;
  };
  const bool block = !must_not_block(request.flags);
  const auto broken = [&] { return end_->write_shut() || end_->has_error(); };
  Instant deadline = 0;
  while (!request.source.empty()) {
    if (broken()) return total != 0 ? Result<std::size_t>(total) : Result<std::size_t>(broken_pipe());
    if (to.is_gone()) {
      // Nobody is there any more: the bytes go, and a reset comes back.
      total += static_cast<std::size_t>(request.source.remaining());
      end_->reset(end_->fin_received() ? Errno::pipe : Errno::connreset);
      return total;
    }
    auto moved = to.stream().write(request.source, nullptr);
    if (!moved.ok()) return partial(moved.error());
    if (const std::size_t count = std::move(moved).release(); count != 0) {
      total += count;
      to.queue().wake_all_fenced(kPollReadable);  // by the release of the stream's lock
      continue;
    }
    if (!block) return partial(Errno::again);
    if (deadline == 0) deadline = send_deadline();
    const Result<> waited =
        timed_out_is(Errno::again, end_->queue().wait([&] { return to.stream().has_room() || broken() || to.is_gone(); }, deadline));
    if (!waited.ok()) return partial(waited.error());
  }
  return total;
}

// tcp(7), MSG_OOB: the last byte is the urgent one.
Result<std::size_t> TcpSocket::send_urgent(TcpEnd& to, SendRequest& request) {
  std::array<std::byte, 256> bytes{};
  if (request.source.remaining() > bytes.size()) return Errno::nobufs;
  const std::size_t count = TRY(request.source.take(bytes));
  if (count == 0) return count;
  const bool in_stream = to.urgent_inline.load(std::memory_order_relaxed);
  IoSource plain(std::span<const std::byte>(bytes).first(in_stream ? count : count - 1));
  SendRequest rest{.source = plain, .address = {}, .flags = request.flags};
  const std::size_t expected = plain.remaining();
  if (TRY(send_stream(to, rest)) != expected) return Errno::again;
  to.receive_urgent(bytes[count - 1], in_stream);
  return count;
}

Result<std::size_t> TcpSocket::send(SendRequest& request) {
  if ((request.flags & abi::kMsgFastOpen) != 0) return Errno::opnotsupp;
  TRY(await_connection(request.flags));
  const RefPtr<TcpEnd> to = peer();
  if (!to) return Errno::pipe;
  return (request.flags & abi::kMsgOob) != 0 ? send_urgent(*to, request) : send_stream(*to, request);
}

// --- receiving ---

Result<std::size_t> TcpSocket::receive_urgent(ReceiveRequest& request) {
  const TcpEnd::Urgent urgent = end_->urgent();
  if (plain_value(abi::kSoOobInline) != 0 || !urgent.present || !urgent.valid) return Errno::inval;
  request.out_flags |= abi::kMsgOob;
  if (request.sink.full()) {
    request.out_flags |= abi::kMsgTrunc;
    return std::size_t{0};
  }
  const std::array<std::byte, 1> byte{urgent.value};
  TRY(request.sink.put(byte));
  if ((request.flags & abi::kMsgPeek) == 0) end_->take_urgent();
  return std::size_t{1};
}

// Reads what is there, up to an urgent mark.
Result<std::size_t> TcpSocket::read_stream(ReceiveRequest& request, std::size_t total) {
  if (end_->may_have_mark()) {
    const TcpEnd::Urgent urgent = end_->urgent();
    const std::uint64_t here = end_->stream().taken();
    if (urgent.present && here < urgent.at)
      request.sink.limit(urgent.at - here);
    else if (urgent.present && total != 0)
      request.sink.limit(0);
    else if (urgent.present && end_->stream().has_data())
      end_->pass_mark();
  }
  bool drained = false;
  if ((request.flags & (abi::kMsgTrunc | abi::kMsgPeek)) == abi::kMsgTrunc) {
    // tcp(7): the bytes are dropped, not copied.
    const std::size_t dropped = end_->stream().skip(request.sink.remaining());
    request.sink.limit(request.sink.remaining() - dropped);
    if (const RefPtr<TcpEnd> from = peer()) from->queue().wake_all(kPollWritable);
    return dropped;
  }
  auto moved = end_->stream().read(request.sink, nullptr, (request.flags & abi::kMsgPeek) != 0, drained);
  if (drained)
    if (const RefPtr<TcpEnd> from = peer()) from->queue().wake_all(kPollWritable);
  return moved;
}

// There is no data: is there an end, or an error?
Result<bool> TcpSocket::input_is_over() {
  if (end_->fin_received()) return true;
  if (const std::int32_t error = end_->take_error(); error != 0) return Errno{error};
  if (end_->read_shut()) return true;
  if (end_->phase() == TcpEnd::Phase::closed) return Errno::notconn;
  return false;
}

Result<std::size_t> TcpSocket::receive(ReceiveRequest& request) {
  if ((request.flags & abi::kMsgErrQueue) != 0) return Errno::again;
  if (is_listening()) return Errno::notconn;
  if ((request.flags & abi::kMsgOob) != 0) return receive_urgent(request);
  const bool wait_all = (request.flags & abi::kMsgWaitAll) != 0 && (request.flags & abi::kMsgPeek) == 0;
  const auto lowat = static_cast<std::uint64_t>(plain_value(abi::kSoRcvLowat));
  const std::uint64_t target = wait_all ? request.sink.remaining() : std::min(lowat, request.sink.remaining());
  std::size_t total = 0;
  Instant deadline = 0;
  // Even a call for no bytes waits until there are some.
  while (!request.sink.full() || (target == 0 && !end_->stream().has_data())) {
    auto moved = read_stream(request, total);
    if (!moved.ok()) return total != 0 ? Result<std::size_t>(total) : moved;
    const std::size_t count = std::move(moved).release();
    total += count;
    if (count != 0 && ((request.flags & abi::kMsgPeek) != 0 || total >= target)) break;
    if (count != 0) continue;
    const bool over = (total != 0 && end_->has_error()) || TRY(input_is_over());
    if (over) {
      if (end_->stream().has_data()) continue;  // it came just before the end
      break;
    }
    if (must_not_block(request.flags)) return total != 0 ? Result<std::size_t>(total) : Result<std::size_t>(Errno::again);
    if (deadline == 0) deadline = receive_deadline();
    const auto ready = [this] {
      return end_->stream().has_data() || end_->input_ended() || end_->has_error() || end_->phase() == TcpEnd::Phase::closed;
    };
    const Result<> waited = timed_out_is(Errno::again, end_->queue().wait(ready, deadline));
    if (!waited.ok()) return total != 0 ? Result<std::size_t>(total) : Result<std::size_t>(waited.error());
  }
  return total;
}

// --- the rest ---

std::uint32_t TcpSocket::readiness() {
  if (is_listening()) return end_->has_offers() ? kPollReadable : 0;
  std::uint32_t events = end_->has_error() ? kPollErr : 0;
  const bool closed = end_->is_closed();
  const bool no_input = end_->input_ended();
  const bool no_output = end_->write_shut();
  if (closed || (no_input && no_output)) events |= kPollHup;
  if (no_input) events |= kPollReadable | kPollRdHup;
  if (end_->phase() == TcpEnd::Phase::connecting) return events;
  if (end_->stream().used() >= static_cast<std::uint64_t>(plain_value(abi::kSoRcvLowat))) events |= kPollReadable;
  const RefPtr<TcpEnd> other = peer();
  if (no_output || !other || other->is_gone() || other->stream().is_writable()) events |= kPollWritable;
  if (end_->has_urgent()) events |= kPollPri;
  return events;
}

Result<std::uint64_t> TcpSocket::queued_bytes(bool outgoing) {
  if (is_listening()) return Errno::inval;
  // What was sent is with the receiver: nothing ever waits here.
  return outgoing ? std::uint64_t{0} : end_->stream().used();
}

Result<std::uint64_t> TcpSocket::ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  if (request != abi::kSiocAtMark) return InetSocket::ioctl(task, request, argument);
  const TcpEnd::Urgent urgent = end_->urgent();
  TRY(give_count(urgent.present && urgent.at == end_->stream().taken() ? 1 : 0, argument));
  return std::uint64_t{0};
}

}  // namespace kernel
