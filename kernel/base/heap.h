// Where base's containers get memory. Implemented by frame/heap.cc in the kernel and by malloc in unit tests. Never throws.
#ifndef KERNEL_BASE_HEAP_H
#define KERNEL_BASE_HEAP_H

#include <cstddef>

namespace kernel {

// `size` bytes aligned to max(16, align), or nullptr. Content is undefined. align is a power of two up to 4096.
// May be called with spinlocks held: it then takes from what is committed and never leaves the enclave.
void* heap_allocate(std::size_t size, std::size_t align);

// Gives back what heap_allocate(size, align) returned; nullptr is ignored.
void heap_free(void* memory, std::size_t size, std::size_t align);

}  // namespace kernel
#endif  // KERNEL_BASE_HEAP_H
