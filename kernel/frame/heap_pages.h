// Runs of kernel pages: a buddy allocator over one growing range. Internal to frame/heap.cc; a class so that tests can have their own.
#ifndef KERNEL_FRAME_HEAP_PAGES_H
#define KERNEL_FRAME_HEAP_PAGES_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kernel/base/config.h"

namespace kernel::frame {

// A lock for the heap only: frame/ lies below sync/. Never held across anything that waits.
class HeapLock {
 public:
  void lock() {
    while (word_.exchange(1, std::memory_order_acquire) != 0)
      while (word_.load(std::memory_order_relaxed) != 0) __builtin_ia32_pause();
  }
  void unlock() { word_.store(0, std::memory_order_release); }

 private:
  std::atomic<std::uint32_t> word_{0};
};

class HeapGuard {
 public:
  explicit HeapGuard(HeapLock& lock) : lock_(lock) { lock_.lock(); }
  ~HeapGuard() { lock_.unlock(); }
  HeapGuard(const HeapGuard&) = delete;
  HeapGuard& operator=(const HeapGuard&) = delete;

 private:
  HeapLock& lock_;
};

// Blocks of 2^order pages, naturally aligned to the range's start. One byte per page says what the page is: the head of a free block
// (with its order), inside a free block, or used. Callers lock.
class PageRuns {
 public:
  static constexpr unsigned kOrders = 20;  // up to 2 GiB in one run

  // [begin, end) with `committed` bytes usable. The first pages of it hold the map; the range is shortened if the map would take more
  // than a quarter of what is committed. begin is aligned to 64 KiB.
  void init(std::uint64_t begin, std::uint64_t committed, std::uint64_t end);
  // `size` more bytes behind the committed part may be used now.
  void extend(std::uint64_t size);

  // Address of `pages` pages, or 0.
  std::uint64_t allocate(std::size_t pages);
  void release(std::uint64_t address, std::size_t pages);

  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return begin_ + (std::uint64_t{limit_} << kPageShift); }
  std::uint64_t committed_end() const { return begin_ + (committed_.load(std::memory_order_acquire) << kPageShift); }
  std::size_t free_pages() const { return free_pages_.load(std::memory_order_relaxed); }
  std::size_t committed_pages() const { return committed_.load(std::memory_order_relaxed); }

 private:
  struct FreeBlock {
    FreeBlock* next;
    FreeBlock* previous;
  };
  FreeBlock* block_at(std::size_t page) const;
  std::size_t page_of(const FreeBlock* block) const;
  std::uint8_t& state(std::size_t page) const;
  void push(std::size_t page, unsigned order);
  void unlink(std::size_t page, unsigned order);
  void release_block(std::size_t page, unsigned order);
  void release_pages(std::size_t page, std::size_t pages);
  void mark(std::size_t page, std::size_t pages, std::uint8_t value);

  std::uint64_t begin_ = 0;
  std::size_t limit_ = 0;  // pages in the whole range
  std::atomic<std::size_t> committed_{0};
  std::atomic<std::size_t> free_pages_{0};
  std::uint8_t* map_ = nullptr;
  std::array<FreeBlock*, kOrders> lists_{};
};

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_HEAP_PAGES_H
