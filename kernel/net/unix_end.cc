#include "kernel/net/unix_end.h"

#include <algorithm>
#include <bit>

#include "kernel/net/unix_garbage.h"

namespace kernel {

UnixMessage::~UnixMessage() {
  if (const RefPtr<UnixEnd> owner = sender) owner->credit(charge);
}

UnixEnd::UnixEnd(std::int32_t type, abi::Ucred owner) : type_(type), send_limit_(kDefaultSocketBuffer), owner_(owner) {
  stream_.set_limit(kDefaultSocketBuffer);
}

// What came while it was closed is all that may be left.
UnixEnd::~UnixEnd() {
  if (!stream_.has_data() && !has_messages()) return;
  DiscardScope scope;
  drop_input(scope);
}

void UnixEnd::drop_input(DiscardScope& scope) {
  drop_own_input(scope);
  // What is offered is an end of a connection: nothing is offered to it.
  for (std::size_t index = 0; const RefPtr<UnixEnd> server = offered(index); ++index) server->drop_own_input(scope);
}

void UnixEnd::drop_own_input(DiscardScope& scope) {
  while (const RefPtr<StreamMark> mark = stream_.take_mark()) scope.add(mark.as_ref());
  bool drained = false;
  while (const RefPtr<UnixMessage> message = take_message(false, drained)) scope.add(message.as_ref());
}

RefPtr<UnixEnd> UnixEnd::offered(std::size_t index) {
  const LockGuard guard(lock_);
  RefPtr<UnixEnd> server(offers_.front());
  while (server && index-- != 0) server = RefPtr<UnixEnd>(offers_.next(*server));
  return server;
}

void UnixEnd::close_writing(bool hangup) {
  write_closed_.store(true, std::memory_order_release);
  queue_.wake_all(kPollReadable | kPollRdHup | (hangup ? kPollHup : 0));
}

void UnixEnd::close_reading() {
  read_closed_.store(true, std::memory_order_release);
  queue_.wake_all(kPollReadable | kPollRdHup);
  space_.wake_all();
}

void UnixEnd::mark_gone(DiscardScope& scope) {
  gone_.store(true, std::memory_order_release);
  listening_.store(false, std::memory_order_release);
  close_reading();
  drop_input(scope);
  RefPtr<UnixEnd> client;
  while (const RefPtr<UnixEnd> server = take_offer(client)) {
    // A connection that was never accepted.
    server->gone_.store(true, std::memory_order_release);
    server->close_reading();
    server->drop_input(scope);
    client->set_error(static_cast<std::int32_t>(Errno::connreset));
    client->close_writing(true);
    client = nullptr;
  }
}

abi::Ucred UnixEnd::owner() const {
  const LockGuard guard(lock_);
  return owner_;
}
void UnixEnd::set_owner(abi::Ucred owner) {
  const LockGuard guard(lock_);
  owner_ = owner;
}
UnixName UnixEnd::name() const {
  const LockGuard guard(lock_);
  return name_;
}
void UnixEnd::set_name(const UnixName& name) {
  const LockGuard guard(lock_);
  name_ = name;
}

void UnixEnd::set_send_limit(std::uint32_t bytes) {
  send_limit_.store(bytes, std::memory_order_release);
  queue_.wake_all(kPollWritable);
}

// Senders that wait and those that poll are told at the same mark, so a sender waits until a good part of the buffer is free.
void UnixEnd::credit(std::size_t bytes) {
  const std::size_t before = charged_.fetch_sub(bytes, std::memory_order_acq_rel);
  const std::uint32_t limit = send_limit();
  if (!is_low(before, limit) && is_low(before - bytes, limit)) queue_.wake_all_fenced(kPollWritable);  // by the subtraction
}

std::size_t UnixEnd::charge_of(std::size_t size) {
  constexpr std::size_t kBookkeeping = 256, kShared = 320, kLargestHead = 16384, kSmallest = 512;
  const std::size_t head = std::min(size, kLargestHead - kShared);
  return std::bit_ceil(std::max(head + kShared, kSmallest)) + round_up(size - head, kPageSize) + kBookkeeping;
}

Result<> UnixEnd::push_message(Ref<UnixMessage> message) {
  {
    const LockGuard guard(lock_);
    if (gone_.load(std::memory_order_relaxed)) return type_ == abi::kSockDgram ? Errno::connrefused : Errno::pipe;
    if (read_closed_.load(std::memory_order_relaxed)) return Errno::pipe;
    const bool freely = message->sender && takes_freely(*message->sender);
    if (!freely && is_full()) return Errno::again;
    message->file_count = message->ancillary.files.size();
    message->ref();
    messages_.push_back(*message);
    message_count_.fetch_add(1, std::memory_order_release);
  }
  queue_.wake_all(kPollReadable);
  return {};
}

RefPtr<UnixMessage> UnixEnd::take_message(bool peek, bool& drained) {
  const LockGuard guard(lock_);
  RefPtr<UnixMessage> message(messages_.front());
  if (!message || peek) return message;
  message->unlink();
  message->deref();  // the list's
  drained = message_count_.fetch_sub(1, std::memory_order_acq_rel) > kMostMessages;
  return message;
}

Result<bool> UnixEnd::peek_ancillary(const UnixMessage& message, Ancillary& into) {
  TRY(into.files.try_reserve(message.file_count));
  const LockGuard guard(lock_);
  if (messages_.front() != &message) return false;  // they leave in order: it is out of the queue
  InFlight::note_change();
  into.credential = message.ancillary.credential;
  for (const FileHandle& file : message.ancillary.files) {
    const Result<> copied = into.files.try_push(file);  // there is room: no allocation
    KASSERT(copied.ok());
  }
  return true;
}

std::size_t UnixEnd::next_message_size() {
  const LockGuard guard(lock_);
  const RefPtr<UnixMessage> message(messages_.front());
  return message ? message->data.size() : 0;
}

void UnixEnd::start_listening(std::uint32_t backlog) {
  {
    const LockGuard guard(lock_);
    backlog_.store(backlog, std::memory_order_relaxed);
    listening_.store(true, std::memory_order_release);
  }
  space_.wake_all();
}

Result<> UnixEnd::offer(UnixEnd& server, Ref<UnixEnd> client) {
  {
    const LockGuard guard(lock_);
    if (!listening_.load(std::memory_order_relaxed) || read_closed_.load(std::memory_order_relaxed)) return Errno::connrefused;
    if (offer_count_.load(std::memory_order_relaxed) > backlog_.load(std::memory_order_relaxed)) return Errno::again;
    server.ref();
    server.offered_client_ = client;
    offers_.push_back(server);
    offer_count_.fetch_add(1, std::memory_order_release);
  }
  queue_.wake_all(kPollReadable);
  return {};
}

RefPtr<UnixEnd> UnixEnd::take_offer(RefPtr<UnixEnd>& client) {
  RefPtr<UnixEnd> result;
  {
    const LockGuard guard(lock_);
    result = RefPtr<UnixEnd>(offers_.pop_front());
    if (!result) return nullptr;
    client = std::move(result->offered_client_);
    offer_count_.fetch_sub(1, std::memory_order_release);
  }
  result->deref();  // the list's reference
  space_.wake_all();
  return result;
}

}  // namespace kernel
