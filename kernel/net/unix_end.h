// One end of Unix sockets: what is on its way to it, who it is, who waits. It outlives its socket as long as a peer or a name refers to it.
#ifndef KERNEL_NET_UNIX_END_H
#define KERNEL_NET_UNIX_END_H

#include <atomic>
#include <cstdint>
#include <string_view>

#include "abi/socket.h"
#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/string.h"
#include "kernel/net/stream_buffer.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel {

class DiscardScope;

// The bytes of sun_path: empty = no name; a leading NUL = abstract; a path keeps its final NUL.
using UnixName = FixedString<abi::kUnixPathMax>;

class UnixEnd;
struct UnixMessageTag;
// A datagram or a record.
struct UnixMessage final : RefCounted<UnixMessage>, ListNode<UnixMessageTag> {
  ~UnixMessage();
  Vec<std::byte> data;
  Ancillary ancillary;         // while it is in a queue: guarded by that end's lock; then whoever took it out owns it
  std::size_t file_count = 0;  // what its files were when it came
  UnixName from;
  RefPtr<UnixEnd> sender;  // whose buffer it counts against, until it dies
  std::size_t charge = 0;
};

struct PendingTag;

class UnixEnd final : public RefCounted<UnixEnd>, public ListNode<PendingTag> {
 public:
  static constexpr std::uint32_t kMostMessages = 10;  // /proc/sys/net/unix/max_dgram_qlen: as many wait, and one
  static constexpr std::uint32_t kWritableQuarters = 1;  // poll(2): of the send buffer, this much or less is in use

  UnixEnd(std::int32_t type, abi::Ucred owner);
  ~UnixEnd();

  std::int32_t type() const { return type_; }
  bool is_stream() const { return type_ == abi::kSockStream; }
  WaitQueue& queue() LIFETIMEBOUND { return queue_; }
  StreamBuffer& stream() LIFETIMEBOUND { return stream_; }

  // --- state that the other side asks for; each change wakes whoever waits here ---
  bool write_closed() const { return write_closed_.load(std::memory_order_acquire); }  // nothing more will come
  bool read_closed() const { return read_closed_.load(std::memory_order_acquire); }    // nobody will read
  bool is_gone() const { return gone_.load(std::memory_order_acquire); }               // the socket was closed
  void close_writing(bool hangup);
  void close_reading();
  void set_error(std::int32_t error) { error_.store(error, std::memory_order_release); }
  std::int32_t take_error() { return error_.exchange(0, std::memory_order_acq_rel); }
  bool has_error() const { return error_.load(std::memory_order_relaxed) != 0; }
  // The socket is being closed: `scope` gets what has come.
  void mark_gone(DiscardScope& scope);
  // What has come goes, with what has come for connections in the backlog.
  void drop_input(DiscardScope& scope) EXCLUDES(lock_);
  // Shows what travels beside data that has come, of connections in the backlog too. Under locks of theirs.
  template <class Visit>
  void each_ancillary(const Visit& visit) EXCLUDES(lock_) {
    each_own_ancillary(visit);
    for (std::size_t index = 0; const RefPtr<UnixEnd> server = offered(index); ++index) server->each_own_ancillary(visit);
  }

  abi::Ucred owner() const EXCLUDES(lock_);
  void set_owner(abi::Ucred owner) EXCLUDES(lock_);
  UnixName name() const EXCLUDES(lock_);
  void set_name(const UnixName& name) EXCLUDES(lock_);

  // --- messages (datagram and seqpacket) ---
  // EAGAIN if it is full and takes_freely() is not true of the sender, EPIPE or ECONNREFUSED if nobody will read.
  Result<> push_message(Ref<UnixMessage> message) EXCLUDES(lock_);
  // The number of messages that wait is nothing to its own peer, nor to itself: the sender's buffer bounds them.
  bool takes_freely(const UnixEnd& sender) const { return type_ == abi::kSockSeqPacket || accepts_only_.load(std::memory_order_acquire) == &sender || &sender == this; }
  // The oldest, taken out unless `peek`; null if there is none. `drained`: it had been full.
  RefPtr<UnixMessage> take_message(bool peek, bool& drained) EXCLUDES(lock_);
  // Copies what travels beside a message that was peeked at. False: somebody has taken the message since. ENOMEM.
  Result<bool> peek_ancillary(const UnixMessage& message, Ancillary& into) EXCLUDES(lock_);
  bool has_messages() const { return message_count_.load(std::memory_order_acquire) != 0; }
  bool is_full() const { return message_count_.load(std::memory_order_acquire) > kMostMessages; }
  bool has_space() const { return is_gone() || read_closed() || !is_full(); }  // or a message would be refused for another reason
  // Somebody who polls found it full and is to be told when it is not any more. He has to look once more after this.
  void note_watcher() { watched_.exchange(true, std::memory_order_acq_rel); }
  bool take_watched() { return watched_.exchange(false, std::memory_order_acq_rel); }

  // --- the send buffer: messages that were sent from here and not yet read count against it ---
  // Wakes whoever waits here if it has become larger.
  void set_send_limit(std::uint32_t bytes);
  std::uint32_t send_limit() const { return send_limit_.load(std::memory_order_acquire); }
  std::size_t charged() const { return charged_.load(std::memory_order_acquire); }
  bool may_charge() const { return charged() < send_limit(); }
  bool is_charge_low() const { return is_low(charged(), send_limit()); }
  void charge(std::size_t bytes) { charged_.fetch_add(bytes, std::memory_order_acq_rel); }
  void credit(std::size_t bytes);
  // What a message of that size counts, as Linux counts the memory of its buffers.
  static std::size_t charge_of(std::size_t size);

  // A connected datagram socket takes messages of its peer only; null = of everybody. Compared, never followed.
  void accept_only(const UnixEnd* peer) { accepts_only_.store(peer, std::memory_order_release); }
  bool accepts_from(const UnixEnd& sender) const {
    const UnixEnd* only = accepts_only_.load(std::memory_order_acquire);
    return only == nullptr || only == &sender;
  }
  std::size_t next_message_size() EXCLUDES(lock_);
  bool has_input() const { return is_stream() ? stream_.has_data() : has_messages(); }
  WaitQueue& space() LIFETIMEBOUND { return space_; }  // senders without a connection wait here

  // --- listening ---
  bool is_listening() const { return listening_.load(std::memory_order_acquire); }
  void start_listening(std::uint32_t backlog) EXCLUDES(lock_);
  // Queues the server's end of a new connection. EAGAIN if the backlog is full, ECONNREFUSED if it does not listen any more.
  Result<> offer(UnixEnd& server, Ref<UnixEnd> client) EXCLUDES(lock_);
  RefPtr<UnixEnd> take_offer(RefPtr<UnixEnd>& client) EXCLUDES(lock_);
  bool has_offers() const { return offer_count_.load(std::memory_order_acquire) != 0; }
  bool may_offer() const { return offer_count_.load(std::memory_order_acquire) <= backlog_.load(std::memory_order_relaxed); }

 private:
  static bool is_low(std::size_t charged, std::uint32_t limit) { return charged * 4 <= std::uint64_t{limit} * kWritableQuarters; }
  template <class Visit>
  void each_own_ancillary(const Visit& visit) EXCLUDES(lock_) {
    stream_.each_mark(visit);
    const LockGuard guard(lock_);
    for (RefPtr<UnixMessage> message(messages_.front()); message; message = RefPtr<UnixMessage>(messages_.next(*message))) visit(message->ancillary);
  }
  void drop_own_input(DiscardScope& scope);
  RefPtr<UnixEnd> offered(std::size_t index) EXCLUDES(lock_);

  const std::int32_t type_;
  WaitQueue queue_, space_;
  StreamBuffer stream_{kWritableQuarters};
  std::atomic<bool> write_closed_{false}, read_closed_{false}, gone_{false}, listening_{false}, watched_{false};
  std::atomic<std::int32_t> error_{0};
  std::atomic<const UnixEnd*> accepts_only_{nullptr};
  std::atomic<std::uint32_t> message_count_{0}, offer_count_{0}, backlog_{0};
  std::atomic<std::uint32_t> send_limit_;
  std::atomic<std::size_t> charged_{0};
  mutable SpinLock<LockRank::socket> lock_;
  abi::Ucred owner_ GUARDED_BY(lock_);
  UnixName name_ GUARDED_BY(lock_);
  List<UnixMessage, UnixMessageTag> messages_ GUARDED_BY(lock_);  // each holds a reference of its own
  List<UnixEnd, PendingTag> offers_ GUARDED_BY(lock_);  // likewise
  RefPtr<UnixEnd> offered_client_;                      // of an end in a listener's list: guarded by that listener's lock
};

}  // namespace kernel
#endif  // KERNEL_NET_UNIX_END_H
