// The bytes on their way to one end of a stream socket: a ring with one running index per side, as in a pipe, that starts small and grows,
// and marks where descriptors or credentials travel along.
#ifndef KERNEL_NET_STREAM_BUFFER_H
#define KERNEL_NET_STREAM_BUFFER_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>

#include "kernel/base/list.h"
#include "kernel/net/socket.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

struct StreamMarkTag;
// Ancillary data that belongs to the bytes [begin, end).
struct StreamMark final : RefCounted<StreamMark>, ListNode<StreamMarkTag> {
  std::uint64_t begin = 0, end = 0;
  Ancillary ancillary;
};

class StreamBuffer {
 public:
  static constexpr std::uint32_t kFirstSize = 4 * 1024, kMaxSize = 256 * 1024, kLargest = 1024 * 1024;

  // Writers are told of room when it is full to `quarters` quarters, or less.
  explicit StreamBuffer(std::uint32_t quarters = 3) : quarters_(quarters) {}
  ~StreamBuffer();

  // Moves bytes in until it is full; 0 = no room. Grows it first if it may. `ancillary` (may be null) is taken with the first byte.
  Result<std::size_t> write(IoSource& source, Ancillary* ancillary);
  // Moves bytes out until a mark begins or ends; 0 = nothing there. What was attached goes to `ancillary` (null = dropped). `peek` leaves
  // the bytes, from `skip` on, where they are. `drained`: room has come where there was little.
  Result<std::size_t> read(IoSink& sink, Ancillary* ancillary, bool peek, bool& drained);

  // Drops up to `most` of the bytes that are there, with what was attached: how many.
  std::size_t skip(std::uint64_t most);
  // Nobody will read any more: closes the files in flight. May sleep.
  void drop_marks() EXCLUDES(marks_lock_);
  // Takes the oldest mark out; null if there is none.
  RefPtr<StreamMark> take_mark() EXCLUDES(marks_lock_);
  // Shows each mark, under its lock.
  template <class Visit>
  void each_mark(const Visit& visit) EXCLUDES(marks_lock_) {
    const LockGuard guard(marks_lock_);
    for (RefPtr<StreamMark> mark(marks_.front()); mark; mark = RefPtr<StreamMark>(marks_.next(*mark))) visit(mark->ancillary);
  }

  std::uint64_t used() const { return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire); }
  bool has_data() const { return used() != 0; }
  // How many bytes have ever come in and gone out.
  std::uint64_t given() const { return tail_.load(std::memory_order_acquire); }
  std::uint64_t taken() const { return head_.load(std::memory_order_acquire); }
  // A writer finds a good part of it free.
  bool is_writable() const;
  bool has_room() const { return used() < limit(); }
  // No more than this many bytes wait in it, at least 64 and at most kLargest. Writers that wait are the caller's to wake.
  void set_limit(std::uint64_t bytes) { limit_.store(static_cast<std::uint32_t>(std::clamp<std::uint64_t>(bytes, 64, kLargest)), std::memory_order_release); }

 private:
  std::uint32_t limit() const { return limit_.load(std::memory_order_acquire); }
  std::uint32_t low_water() const {
    const std::uint32_t all = limit();
    return all - all / 4 * (4 - quarters_);
  }
  bool has_become_writable(std::uint64_t before, std::uint64_t after) const;
  Result<> grow(std::uint64_t needed);
  std::span<std::byte> piece(std::uint64_t at, std::uint64_t most);
  std::uint64_t until_mark(std::uint64_t head, std::uint64_t there, RefPtr<StreamMark>& mark) EXCLUDES(marks_lock_);
  Result<std::size_t> copy_in(IoSource& source);

  const std::uint32_t quarters_;
  PositionLock read_lock_, write_lock_;
  std::span<std::byte> ring_;  // changes only with both locks held; its size is a power of two
  std::atomic<std::uint32_t> size_{0};
  std::atomic<std::uint32_t> limit_{kMaxSize};
  std::atomic<std::uint64_t> head_{0}, tail_{0};
  std::atomic<std::uint32_t> mark_count_{0};
  SpinLock<LockRank::socket> marks_lock_;
  List<StreamMark, StreamMarkTag> marks_ GUARDED_BY(marks_lock_);  // each holds a reference of its own
};

}  // namespace kernel
#endif  // KERNEL_NET_STREAM_BUFFER_H
