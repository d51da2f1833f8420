// One end of a TCP connection, or a listener: what is on its way to it, its state, who waits. Both ends are here, so there are no packets:
// a segment that Linux would send is a change of the other end's state.
#ifndef KERNEL_NET_TCP_END_H
#define KERNEL_NET_TCP_END_H

#include <atomic>
#include <cstdint>
#include <optional>

#include "kernel/base/list.h"
#include "kernel/net/inet_table.h"
#include "kernel/net/stream_buffer.h"

namespace kernel {

struct TcpOfferTag;

class TcpEnd final : public InetEnd, public ListNode<TcpOfferTag> {
 public:
  enum class Phase : std::uint8_t { closed, connecting, open, listening };
  static constexpr std::size_t kMostWaiting = 4096;  // connections that find the backlog full

  TcpEnd(std::int32_t domain, std::uint32_t uid) : InetEnd(domain, abi::kIpProtoTcp, uid) {}

  StreamBuffer& stream() LIFETIMEBOUND { return stream_; }  // the bytes on their way to here

  // --- room ---
  // What the program asked for with SO_SNDBUF and SO_RCVBUF, in bytes of data; 0: nothing, the stream may have as much as it needs.
  std::atomic<std::uint32_t> asked_send{0}, asked_receive{0};
  // Both streams of a connection get the room that the two ends ask for: what the sender may keep and what the receiver's window takes.
  void agree_on_room(TcpEnd& other);

  // --- state ---
  Phase phase() const { return phase_.load(std::memory_order_acquire); }
  // Linux's TCP_CLOSE: never connected, reset, or ended from both sides.
  bool is_closed() const { return phase() == Phase::closed || (phase() == Phase::open && fin_received() && write_shut()); }
  bool is_open() const { return phase() == Phase::open && !is_closed(); }
  bool fin_received() const { return fin_received_.load(std::memory_order_acquire); }
  bool read_shut() const { return read_shut_.load(std::memory_order_acquire); }    // by the program, or by a reset
  bool write_shut() const { return write_shut_.load(std::memory_order_acquire); }  // likewise
  bool is_gone() const { return gone_.load(std::memory_order_acquire); }           // the socket was closed
  bool input_ended() const { return fin_received() || read_shut(); }
  std::uint8_t linux_state() const;

  void set_phase(Phase phase) { phase_.store(phase, std::memory_order_release); }
  // connecting to open: false if the program gave the connection up.
  bool complete();
  void shut_reading();
  void shut_writing();
  void receive_fin();
  // The connection is over at once; `error` for SO_ERROR. No effect on an end that is closed.
  void reset(Errno error);
  // As a new socket again, after a connect() that failed or was undone.
  void renew();
  void mark_gone() { gone_.store(true, std::memory_order_release); }
  std::int32_t take_error() { return error_.exchange(0, std::memory_order_acq_rel); }
  bool has_error() const { return error_.load(std::memory_order_acquire) != 0; }

  // --- urgent data: one byte beside the stream ---
  std::atomic<bool> urgent_inline{false};  // SO_OOBINLINE of this end
  // The byte stands behind what is in the stream now.
  void receive_urgent(std::byte value, bool in_stream) EXCLUDES(lock_);
  struct Urgent {
    bool present = false;  // a mark is ahead of the reader, or at him
    bool valid = false;    // the byte has not been read
    std::byte value{};
    std::uint64_t at = 0;  // StreamBuffer::taken() at the mark
  };
  Urgent urgent() const EXCLUDES(lock_);
  bool has_urgent() const { return urgent_valid_.load(std::memory_order_acquire); }
  bool may_have_mark() const { return urgent_present_.load(std::memory_order_acquire); }
  void take_urgent() EXCLUDES(lock_);
  void pass_mark() EXCLUDES(lock_);  // the reader goes on behind it

  // --- listening ---
  bool is_listening() const override { return phase() == Phase::listening; }
  void start_listening(std::uint32_t backlog) { backlog_.store(backlog, std::memory_order_relaxed), set_phase(Phase::listening); }
  // Queues the server's end of a new connection; if the backlog is full the client goes on connecting until there is room.
  // ECONNREFUSED if it does not listen any more, ETIMEDOUT if far too many wait.
  Result<> offer(TcpEnd& server, const Ref<TcpEnd>& client) EXCLUDES(lock_);
  RefPtr<TcpEnd> take_offer(RefPtr<TcpEnd>& client) EXCLUDES(lock_);
  // Refuses and resets everything that waits. The socket does not listen any more.
  void stop_listening() EXCLUDES(lock_);
  bool has_offers() const { return offer_count_.load(std::memory_order_acquire) != 0; }
  std::uint32_t offer_count() const { return offer_count_.load(std::memory_order_relaxed); }
  std::uint32_t backlog() const { return backlog_.load(std::memory_order_relaxed); }

  NetRow row() const override;

 private:
  void promote_waiting() EXCLUDES(lock_);
  RefPtr<TcpEnd> pop_waiting(RefPtr<TcpEnd>& client) EXCLUDES(lock_);
  bool push_offer_locked(TcpEnd& server, const Ref<TcpEnd>& client) REQUIRES(lock_);

  StreamBuffer stream_;
  std::atomic<Phase> phase_{Phase::closed};
  std::atomic<bool> fin_received_{false}, read_shut_{false}, write_shut_{false}, gone_{false};
  std::atomic<bool> urgent_present_{false}, urgent_valid_{false};
  std::atomic<std::int32_t> error_{0};
  std::atomic<std::uint32_t> offer_count_{0}, backlog_{0};
  mutable SpinLock<LockRank::socket> lock_;
  Urgent urgent_ GUARDED_BY(lock_);
  using OfferList = List<TcpEnd, TcpOfferTag>;
  OfferList offers_ GUARDED_BY(lock_);   // server ends, each with a reference of its own
  OfferList waiting_ GUARDED_BY(lock_);  // likewise, whose clients are still connecting
  std::size_t waiting_count_ GUARDED_BY(lock_) = 0;
  RefPtr<TcpEnd> offered_client_;  // of an end in a listener's list: guarded by that listener's lock
};

}  // namespace kernel
#endif  // KERNEL_NET_TCP_END_H
