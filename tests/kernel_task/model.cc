// What lies under the code that is tested: memory by malloc, locks that lock, byte copies.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "kernel/base/heap.h"
#include "kernel/frame/bytes.h"
#include "kernel/sync/lock.h"

namespace kernel {

void panic(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what);
  std::abort();
}

void* heap_allocate(std::size_t size, std::size_t align) {
  const std::size_t alignment = std::max<std::size_t>(align, 16);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}
void heap_free(void* memory, std::size_t, std::size_t) { std::free(memory); }

void copy_bytes(std::span<std::byte> to, std::span<const std::byte> from) {
  if (to.size() < from.size()) panic("copy_bytes", __FILE_NAME__, __LINE__);
  std::copy(from.begin(), from.end(), to.begin());
}

namespace sync_detail {
void spin_lock(std::atomic<std::uint32_t>& word, LockRank) {
  while (word.exchange(1, std::memory_order_acquire) != 0) {
  }
}
bool spin_try_lock(std::atomic<std::uint32_t>& word, LockRank) { return word.exchange(1, std::memory_order_acquire) == 0; }
void spin_unlock(std::atomic<std::uint32_t>& word, LockRank) { word.store(0, std::memory_order_release); }
}  // namespace sync_detail

}  // namespace kernel
