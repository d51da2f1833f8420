// Small helpers of the address-space files.
#ifndef KERNEL_MM_RANGE_WALK_H
#define KERNEL_MM_RANGE_WALK_H

#include <cstdint>

#include "kernel/base/checked.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/mm/area.h"

namespace kernel::mm {

// Whether PROT_* bits (or EPCM permissions, which have the same values for read and write) allow an access. As on x86, whatever may be
// written or executed may be read.
constexpr bool permits(std::uint32_t prot, Access access) {
  switch (access) {
    case Access::read:
      return prot != 0;
    case Access::write:
      return (prot & kProtWrite) != 0;
    case Access::execute:
      return (prot & kProtExec) != 0;
  }
  return false;
}

struct PageRange {
  std::uint64_t begin, end;
};
// [address, address + size) with the size rounded up to pages: EINVAL if the address is not aligned, ENOMEM if the range wraps.
inline Result<PageRange> page_range(std::uint64_t address, std::uint64_t size) {
  if (!is_aligned(address, kPageSize)) return Errno::inval;
  const std::uint64_t rounded = round_up(size, kPageSize);
  std::uint64_t end = 0;
  if (rounded < size || __builtin_add_overflow(address, rounded, &end)) return Errno::nomem;
  return PageRange{.begin = address, .end = end};
}

}  // namespace kernel::mm
#endif  // KERNEL_MM_RANGE_WALK_H
