// The user window as a whole: who owns which addresses, and a bounded cache of address ranges whose pages are still committed. Taking a
// cached range and writing zeros over it costs no exit; giving pages back to the host and asking for others does.
//
// Ranges are owned exclusively: pages of a range may be touched by its owner only. All functions may leave the enclave: no spinlocks.
#ifndef KERNEL_MM_USER_MEMORY_H
#define KERNEL_MM_USER_MEMORY_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/mm/init.h"

namespace kernel::mm {

// `owner` in what follows: AddressSpace::id(), or 0 for objects of the kernel. A range that changes owners waits for a grace period.

struct TakenRange {
  std::uint64_t begin = 0;
  bool dirty = false;  // present pages are RW and hold old bytes: zero them before anybody sees them
};
// `size` bytes anywhere. With `may_be_dirty` a cached range is preferred. ENOMEM.
Result<TakenRange> take_range(std::uint64_t size, std::uint64_t align, std::uint64_t owner, bool may_be_dirty);
// Near [around, around_end): every byte within `distance` of every byte there. Without present pages.
Result<std::uint64_t> take_range_near(std::uint64_t size, std::uint64_t around, std::uint64_t around_end, std::uint64_t distance);
// Exactly these addresses, without present pages. ENOMEM if somebody has one of them or they lie outside the window.
Result<> claim_range(std::uint64_t begin, std::uint64_t size, std::uint64_t owner);
// Gives addresses and pages up. With `cacheable` (private anonymous memory) the pages may stay committed for a later take_range().
void give_range(std::uint64_t begin, std::uint64_t size, std::uint64_t owner, bool cacheable);

// Gives cached pages back to the host until `pages` fewer are committed. False if there was nothing to give.
bool reclaim_cached_pages(std::uint64_t pages);
std::uint64_t cached_pages();
// Nobody has any of these addresses, the cache neither.
bool is_free(std::uint64_t begin, std::uint64_t size);
// Whether a page lies in the user window.
bool in_window(std::uint64_t begin, std::uint64_t size);
// Addresses that nobody has, of the whole window.
std::uint64_t free_addresses();
// Size of the window, for proportions.
std::uint64_t window_size();

}  // namespace kernel::mm
#endif  // KERNEL_MM_USER_MEMORY_H
