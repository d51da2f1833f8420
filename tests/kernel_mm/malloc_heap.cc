// base/heap.h by malloc, with a switch that makes allocations fail.
#include "tests/kernel_mm/malloc_heap.h"

#include <algorithm>
#include <cstdlib>

#include "kernel/base/heap.h"
#include "kernel/frame/heap.h"

namespace kernel_mm_test {
long allocations_left = -1;
std::atomic<long> live_allocations = 0;
}  // namespace kernel_mm_test

namespace kernel {

void* heap_allocate(std::size_t size, std::size_t align) {
  if (kernel_mm_test::allocations_left == 0) return nullptr;
  if (kernel_mm_test::allocations_left > 0) --kernel_mm_test::allocations_left;
  ++kernel_mm_test::live_allocations;
  align = std::max<std::size_t>(align, 16);
  return std::aligned_alloc(align, (size + align - 1) / align * align);
}

void heap_free(void* memory, std::size_t, std::size_t) {
  if (memory != nullptr) --kernel_mm_test::live_allocations;
  std::free(memory);
}

namespace frame {
HeapUsage heap_usage() { return {.committed = 0, .used = 0, .limit = std::uint64_t{1} << 40}; }  // no limit but the switch
}  // namespace frame

}  // namespace kernel
