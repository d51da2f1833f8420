#include "kernel/net/stream_buffer.h"

#include <algorithm>
#include <bit>

#include "kernel/frame/bytes.h"
#include "kernel/frame/heap.h"

namespace kernel {
namespace {

class PositionGuard {
 public:
  explicit PositionGuard(PositionLock& lock) : lock_(lock) { lock_.lock(); }
  ~PositionGuard() { lock_.unlock(); }
  PositionGuard(const PositionGuard&) = delete;
  PositionGuard& operator=(const PositionGuard&) = delete;

 private:
  PositionLock& lock_;
};

}  // namespace

StreamBuffer::~StreamBuffer() {
  if (!ring_.empty()) frame::free_pages(ring_);
  drop_marks();
}

RefPtr<StreamMark> StreamBuffer::take_mark() {
  const LockGuard guard(marks_lock_);
  RefPtr<StreamMark> mark(marks_.pop_front());
  if (!mark) return nullptr;
  mark->deref();  // the list's; `mark` keeps it
  mark_count_.fetch_sub(1, std::memory_order_release);
  return mark;
}

void StreamBuffer::drop_marks() {
  while (take_mark()) {
  }
}

std::size_t StreamBuffer::skip(std::uint64_t most) {
  drop_marks();
  const PositionGuard guard(read_lock_);
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  const std::uint64_t count = std::min(most, tail_.load(std::memory_order_acquire) - head);
  head_.store(head + count, std::memory_order_release);
  return count;
}

std::span<std::byte> StreamBuffer::piece(std::uint64_t at, std::uint64_t most) {
  const std::size_t offset = at & (ring_.size() - 1);
  return ring_.subspan(offset, std::min<std::uint64_t>(most, ring_.size() - offset));
}

bool StreamBuffer::is_writable() const { return used() <= low_water(); }

// With the reader's lock, when the head has gone from `before` to `after`. A writer that finds the ring full sees the old head only if its
// tail is seen here, thanks to the fence: he has one of his own between the tail and looking for room once more.
bool StreamBuffer::has_become_writable(std::uint64_t before, std::uint64_t after) const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint64_t tail = tail_.load(std::memory_order_acquire);
  const std::uint64_t most = low_water();
  return tail - before > most && tail - after <= most;
}

// Makes the ring large enough for `needed` bytes, as far as it may be. With neither lock held.
Result<> StreamBuffer::grow(std::uint64_t needed) {
  const auto wanted = static_cast<std::uint32_t>(std::bit_ceil(std::clamp<std::uint64_t>(needed, kFirstSize, kLargest)));
  const std::span<std::byte> fresh = TRY(frame::allocate_pages(wanted / kPageSize));
  std::span<std::byte> old = fresh;
  {
    const PositionGuard reader(read_lock_);
    const PositionGuard writer(write_lock_);
    if (ring_.size() < wanted) {
      // The indices go on running: a byte's place follows from its index and the ring's size.
      old = ring_;
      const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
      for (std::uint64_t at = head_.load(std::memory_order_relaxed); at < tail;) {
        const std::span<std::byte> from = piece(at, tail - at);
        const std::size_t offset = at & (wanted - 1);
        const std::size_t count = std::min<std::size_t>(from.size(), wanted - offset);
        copy_bytes(fresh.subspan(offset, count), from.first(count));
        at += count;
      }
      ring_ = fresh;
      size_.store(wanted, std::memory_order_release);
    }
  }
  if (!old.empty()) frame::free_pages(old);
  return {};
}

// With the writer's lock.
Result<std::size_t> StreamBuffer::copy_in(IoSource& source) {
  std::size_t moved = 0;
  while (!source.empty()) {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    const std::uint64_t most = std::min<std::uint64_t>(ring_.size(), limit()), there = tail - head_.load(std::memory_order_acquire);
    if (there >= most) break;
    const std::uint64_t room = most - there;
    const std::span<std::byte> into = piece(tail, std::min(room, source.remaining()));
    auto taken = source.take(into);
    if (!taken.ok()) {
      if (moved != 0) break;
      return taken.error();
    }
    const std::size_t count = std::move(taken).release();
    tail_.store(tail + count, std::memory_order_release);
    moved += count;
    if (count < into.size()) break;
  }
  return moved;
}

Result<std::size_t> StreamBuffer::write(IoSource& source, Ancillary* ancillary) {
  RefPtr<StreamMark> mark;
  if (ancillary != nullptr && !ancillary->empty()) mark = TRY(make_ref<StreamMark>());
  const std::uint32_t size = size_.load(std::memory_order_acquire);
  if (size < limit() && source.remaining() > size - used()) {
    // Without memory for more what is there must do; to wait for a reader is right only when the ring is as large as it may be.
    const auto grown = grow(std::min<std::uint64_t>(used() + source.remaining(), limit()));
    if (!grown.ok() && used() >= size_.load(std::memory_order_acquire)) return grown.error();
  }
  const PositionGuard guard(write_lock_);
  if (used() >= std::min<std::uint64_t>(ring_.size(), limit())) return std::size_t{0};
  if (!mark) return copy_in(source);
  mark->begin = tail_.load(std::memory_order_relaxed);
  mark->end = mark->begin + source.remaining();
  mark->ancillary = std::move(*ancillary);
  {
    const LockGuard marks(marks_lock_);
    mark->ref();
    marks_.push_back(*mark);
  }
  mark_count_.fetch_add(1, std::memory_order_release);
  auto moved = copy_in(source);
  if (moved.ok()) return moved;
  // Not a byte went in (EFAULT): nobody can have read past the mark.
  bool taken = false;
  {
    const LockGuard marks(marks_lock_);
    taken = mark->is_linked();
    if (taken) mark->unlink();
  }
  *ancillary = std::move(mark->ancillary);
  if (taken) {
    mark_count_.fetch_sub(1, std::memory_order_release);
    mark->deref();
  }
  return moved;
}

// How many of the bytes that are there may be given in one go, and the mark that belongs to them, if any. With the reader's lock.
std::uint64_t StreamBuffer::until_mark(std::uint64_t head, std::uint64_t there, RefPtr<StreamMark>& mark) {
  if (mark_count_.load(std::memory_order_acquire) == 0) return there;
  const LockGuard guard(marks_lock_);
  StreamMark* first = marks_.front();
  if (first == nullptr) return there;
  if (first->begin > head) return std::min(there, first->begin - head);
  mark = RefPtr<StreamMark>(first);
  StreamMark* second = marks_.next(*first);
  std::uint64_t end = first->end;
  if (second != nullptr) end = std::min(end, second->begin);
  return std::min(there, end - head);
}

Result<std::size_t> StreamBuffer::read(IoSink& sink, Ancillary* ancillary, bool peek, bool& drained) {
  RefPtr<StreamMark> mark;
  Vec<FileHandle> dropped;  // closed after the lock
  std::size_t moved = 0;
  {
    const PositionGuard guard(read_lock_);
    const std::uint64_t start = head_.load(std::memory_order_relaxed);
    const std::uint64_t there = tail_.load(std::memory_order_acquire) - start;
    if (there == 0 || sink.full()) return std::size_t{0};
    const std::uint64_t most = std::min(until_mark(start, there, mark), sink.remaining());
    while (moved < most) {
      const std::span<std::byte> from = piece(start + moved, most - moved);
      auto put = sink.put(from);
      if (!put.ok()) {
        if (moved != 0) break;
        return put.error();
      }
      const std::size_t count = std::move(put).release();
      moved += count;
      if (!peek) head_.store(start + moved, std::memory_order_release);
      if (count < from.size()) break;
    }
    if (mark && peek && ancillary != nullptr) {
      InFlight::note_change();
      ancillary->credential = mark->ancillary.credential;
      for (const FileHandle& file : mark->ancillary.files) TRY(ancillary->files.try_push(file));
    } else if (mark && !peek) {
      bool taken = false;  // not by drop_marks()
      {
        const LockGuard marks(marks_lock_);
        taken = mark->is_linked();
        if (taken) mark->unlink();
      }
      if (taken) {
        mark_count_.fetch_sub(1, std::memory_order_release);
        mark->deref();
      }
      if (ancillary != nullptr)
        *ancillary = std::move(mark->ancillary);
      else
        dropped = std::move(mark->ancillary.files);
    }
    if (!peek) drained = has_become_writable(start, start + moved);
  }
  return moved;
}

}  // namespace kernel
