// Kernel memory. Two levels: runs of pages from the kernel region (grown by EDMM in chunks, up to a limit), and a slab allocator for
// small objects on top (base/heap.h is its interface).
#ifndef KERNEL_FRAME_HEAP_H
#define KERNEL_FRAME_HEAP_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"

namespace kernel::frame {

// Makes [begin, end) usable: `committed` bytes from begin are accepted already, the rest may be committed later by `grow`.
void heap_init(std::uint64_t begin, std::uint64_t committed, std::uint64_t end);

// Commits [address, address + size) of the kernel region (EAUG by the host, then EACCEPT). Set once at boot; without EDMM there is none.
using GrowFunction = Result<> (*)(std::uint64_t address, std::size_t size);
void heap_set_grow(GrowFunction grow);

// Tops up the reserve so that allocations under spinlocks find memory. Called at system-call entry when low() and when idle; no locks held.
bool heap_is_low();
void heap_top_up();

// A run of whole pages, page aligned, content undefined. nullptr-free: ENOMEM.
Result<std::span<std::byte>> allocate_pages(std::size_t pages);
void free_pages(std::span<std::byte> pages);

struct HeapUsage {
  std::uint64_t committed, used, limit;  // bytes
};
HeapUsage heap_usage();
// Memory in use by size: small objects, and what is taken in whole pages (size 4096). While others allocate the counts are about right.
struct HeapClassUsage {
  std::uint64_t size, used, total, pages;  // bytes of one; objects in use and in all slabs; pages that the slabs have
};
inline constexpr std::size_t kHeapClasses = 25;
std::array<HeapClassUsage, kHeapClasses> heap_classes();

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_HEAP_H
