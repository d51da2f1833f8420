#include "kernel/net/tcp_end.h"

#include <algorithm>

namespace kernel {

std::uint8_t TcpEnd::linux_state() const {
  switch (phase()) {
    case Phase::connecting: return abi::kTcpSynSent;
    case Phase::listening: return abi::kTcpListen;
    case Phase::closed: return abi::kTcpClose;
    case Phase::open: break;
  }
  if (write_shut()) return fin_received() ? abi::kTcpClose : abi::kTcpFinWait2;
  return fin_received() ? abi::kTcpCloseWait : abi::kTcpEstablished;
}

bool TcpEnd::complete() {
  Phase expected = Phase::connecting;
  return phase_.compare_exchange_strong(expected, Phase::open, std::memory_order_acq_rel);
}

void TcpEnd::shut_reading() {
  read_shut_.store(true, std::memory_order_release);
  queue().wake_all(kPollReadable | kPollRdHup | kPollHup);
}

void TcpEnd::shut_writing() {
  write_shut_.store(true, std::memory_order_release);
  queue().wake_all(kPollWritable | kPollHup);
}

void TcpEnd::receive_fin() {
  fin_received_.store(true, std::memory_order_release);
  queue().wake_all(kPollReadable | kPollRdHup | (write_shut_.load(std::memory_order_acquire) ? kPollHup : 0));
}

void TcpEnd::agree_on_room(TcpEnd& other) {
  constexpr std::uint32_t kHalf = StreamBuffer::kMaxSize / 2;
  const auto room = [](const TcpEnd& from, const TcpEnd& to) {
    const std::uint32_t kept = from.asked_send.load(std::memory_order_relaxed), window = to.asked_receive.load(std::memory_order_relaxed);
    return std::min<std::uint64_t>(std::uint64_t{kept != 0 ? kept : kHalf} + (window != 0 ? window : kHalf), StreamBuffer::kMaxSize);
  };
  stream_.set_limit(room(other, *this));
  other.stream_.set_limit(room(*this, other));
  queue().wake_all();
  other.queue().wake_all();
}

void TcpEnd::reset(Errno error) {
  if (is_closed()) return;
  error_.store(static_cast<std::int32_t>(error), std::memory_order_release);
  read_shut_.store(true, std::memory_order_release);
  write_shut_.store(true, std::memory_order_release);
  set_phase(Phase::closed);
  queue().wake_all(kPollReadable | kPollWritable | kPollErr | kPollHup | kPollRdHup);
}

void TcpEnd::renew() {
  fin_received_.store(false, std::memory_order_release);
  read_shut_.store(false, std::memory_order_release);
  write_shut_.store(false, std::memory_order_release);
  set_phase(Phase::closed);
  pass_mark();
  stream_.skip(~std::uint64_t{0});
}

// --- urgent data ---

void TcpEnd::receive_urgent(std::byte value, bool in_stream) {
  {
    const LockGuard guard(lock_);
    const std::uint64_t behind = stream_.given();
    urgent_ = {.present = true, .valid = !in_stream, .value = value, .at = in_stream ? behind - 1 : behind};
    urgent_present_.store(true, std::memory_order_release);
    urgent_valid_.store(!in_stream, std::memory_order_release);
  }
  queue().wake_all(kPollPri | (in_stream ? kPollReadable : 0));
}

TcpEnd::Urgent TcpEnd::urgent() const {
  const LockGuard guard(lock_);
  return urgent_;
}

void TcpEnd::take_urgent() {
  const LockGuard guard(lock_);
  urgent_.valid = false;
  urgent_valid_.store(false, std::memory_order_release);
}

void TcpEnd::pass_mark() {
  const LockGuard guard(lock_);
  urgent_ = {};
  urgent_present_.store(false, std::memory_order_release);
  urgent_valid_.store(false, std::memory_order_release);
}

// --- listening ---

// The client is connected from now on, unless it gave up.
bool TcpEnd::push_offer_locked(TcpEnd& server, const Ref<TcpEnd>& client) {
  server.offered_client_ = client;
  server.set_phase(Phase::open);
  if (!client->complete()) {
    server.set_phase(Phase::closed);
    server.offered_client_ = nullptr;
    return false;
  }
  server.ref();
  offers_.push_back(server);
  offer_count_.fetch_add(1, std::memory_order_release);
  return true;
}

Result<> TcpEnd::offer(TcpEnd& server, const Ref<TcpEnd>& client) {
  bool queued = false;
  {
    const LockGuard guard(lock_);
    if (!is_listening()) return Errno::connrefused;
    queued = offer_count_.load(std::memory_order_relaxed) <= backlog();
    if (queued) {
      static_cast<void>(push_offer_locked(server, client));
    } else {
      if (waiting_count_ >= kMostWaiting) return Errno::timedout;
      server.offered_client_ = client;
      server.ref();
      waiting_.push_back(server);
      ++waiting_count_;
    }
  }
  if (queued) queue().wake_all(kPollReadable);
  return {};
}

RefPtr<TcpEnd> TcpEnd::pop_waiting(RefPtr<TcpEnd>& client) {
  const LockGuard guard(lock_);
  RefPtr<TcpEnd> server(waiting_.pop_front());
  if (!server) return nullptr;
  server->deref();  // the list's
  --waiting_count_;
  client = std::move(server->offered_client_);
  return server;
}

// The backlog has room again: the first that wait are connected.
void TcpEnd::promote_waiting() {
  while (offer_count_.load(std::memory_order_acquire) <= backlog()) {
    RefPtr<TcpEnd> client;
    const RefPtr<TcpEnd> server = pop_waiting(client);
    if (!server) return;
    bool pushed = false;
    {
      const LockGuard guard(lock_);
      pushed = is_listening() && push_offer_locked(*server, client.as_ref());
    }
    if (pushed) {
      client->queue().wake_all(kPollWritable);
      queue().wake_all(kPollReadable);
    } else {
      inet_table().release(*server);
      if (!is_listening()) client->reset(Errno::connrefused);
    }
  }
}

RefPtr<TcpEnd> TcpEnd::take_offer(RefPtr<TcpEnd>& client) {
  RefPtr<TcpEnd> result;
  {
    const LockGuard guard(lock_);
    result = RefPtr<TcpEnd>(offers_.pop_front());
    if (!result) return nullptr;
    result->deref();  // the list's
    client = std::move(result->offered_client_);
    offer_count_.fetch_sub(1, std::memory_order_release);
  }
  promote_waiting();
  return result;
}

void TcpEnd::stop_listening() {
  {
    const LockGuard guard(lock_);
    if (!is_listening()) return;
    set_phase(Phase::closed);
  }
  RefPtr<TcpEnd> client;
  while (const RefPtr<TcpEnd> server = pop_waiting(client)) {
    inet_table().release(*server);
    client->reset(Errno::connrefused);
    client = nullptr;
  }
  while (const RefPtr<TcpEnd> server = take_offer(client)) {
    // A connection that was never accepted.
    server->mark_gone();
    server->reset(Errno::connreset);
    inet_table().release(*server);
    client->reset(Errno::connreset);
    client = nullptr;
  }
  queue().wake_all(kPollReadable | kPollHup);
}

NetRow TcpEnd::row() const {
  const bool listens = is_listening();
  return {.state = linux_state(),
          .send_queue = listens ? backlog() : 0,
          .receive_queue = listens ? offer_count() : static_cast<std::uint32_t>(std::min<std::uint64_t>(stream_.used(), 0x7fffffff))};
}

}  // namespace kernel
