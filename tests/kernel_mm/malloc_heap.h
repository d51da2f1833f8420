#ifndef TESTS_KERNEL_MM_MALLOC_HEAP_H
#define TESTS_KERNEL_MM_MALLOC_HEAP_H

#include <atomic>

namespace kernel_mm_test {
// How many more allocations succeed; negative = all.
extern long allocations_left;
extern std::atomic<long> live_allocations;
}  // namespace kernel_mm_test

#endif  // TESTS_KERNEL_MM_MALLOC_HEAP_H
