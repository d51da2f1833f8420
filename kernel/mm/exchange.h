// Inside mm/: steps of overlap groups (mm/overlap.h) that more than one file needs. All under overlap_lock.
#ifndef KERNEL_MM_EXCHANGE_H
#define KERNEL_MM_EXCHANGE_H

#include <cstdint>

#include "kernel/mm/address_space.h"

namespace kernel::mm {

// If other spaces have some of [begin, end), they and `space` become members of one group: true. EAGAIN: one of them is just ending.
Result<bool> meet_holders(AddressSpace& space, std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);
// Makes contended ranges of what others than `space` have in [begin, end), and sets aside what they have in place there. ENOMEM.
Result<> cover_holders(AddressSpace& space, std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);
bool is_sole_resident(const AddressSpace& space) REQUIRES(overlap_lock);
// Its pages are made again by faults if they go. Without faults nothing is.
bool can_refill(const Area& area);
// From in place to set aside.
Result<> set_aside(PageVersion& version, std::uint64_t page) REQUIRES(overlap_lock);
// The page in place as the kernel may read it.
Result<ConstPageView> readable_page(std::uint64_t page) REQUIRES(overlap_lock);
void clear_vacant(std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);

}  // namespace kernel::mm
#endif  // KERNEL_MM_EXCHANGE_H
