// Datagrams that wait for their receiver.
#ifndef KERNEL_NET_DATAGRAM_QUEUE_H
#define KERNEL_NET_DATAGRAM_QUEUE_H

#include <atomic>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/vec.h"
#include "kernel/net/inet_address.h"
#include "kernel/sync/lock.h"

namespace kernel {

struct DatagramTag;
struct Datagram final : RefCounted<Datagram>, ListNode<DatagramTag> {
  Vec<std::byte> data;
  InetEndpoint from, to;
  std::uint8_t ttl = 0, tos = 0;
  std::uint64_t arrival = 0;  // CLOCK_REALTIME, ns
};

class DatagramQueue {
 public:
  // What a datagram counts beside its bytes, as Linux counts the memory of its buffers.
  static constexpr std::size_t kOverhead = 768;

  DatagramQueue() = default;
  ~DatagramQueue() { clear(); }
  // False if more than `most` bytes would wait: it is dropped.
  bool push(const Ref<Datagram>& datagram, std::size_t most) EXCLUDES(lock_);
  // The oldest, taken out unless `peek`; null if there is none.
  RefPtr<Datagram> take(bool peek) EXCLUDES(lock_);
  std::size_t next_size() const EXCLUDES(lock_);
  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  bool empty() const { return count_.load(std::memory_order_acquire) == 0; }
  void clear() EXCLUDES(lock_);

 private:
  mutable SpinLock<LockRank::socket> lock_;
  mutable List<Datagram, DatagramTag> list_ GUARDED_BY(lock_);  // each holds a reference of its own
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::uint32_t> count_{0};
};

}  // namespace kernel
#endif  // KERNEL_NET_DATAGRAM_QUEUE_H
