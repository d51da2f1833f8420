// Raw access to untrusted memory outside ELRANGE. Only kernel/host uses this.
//
// Copies go in aligned multiples of 8 bytes with read-modify-write at ragged ends (INTEL-SA-00657, CVE-2022-21166: stale data), and
// have a fix-up: memory that the host took away is an error, not a crash. The caller has checked that the range is outside.
#ifndef KERNEL_FRAME_HOST_MEMORY_H
#define KERNEL_FRAME_HOST_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"

namespace kernel::frame {

// The range does not wrap, lies wholly outside ELRANGE and in the lower half of the address space.
bool outside_enclave(std::uint64_t address, std::uint64_t size);
Result<> copy_from_outside(std::span<std::byte> into, std::uint64_t address);
Result<> copy_to_outside(std::uint64_t address, std::span<const std::byte> from);
// Single aligned 8-byte words, read or written once.
Result<std::uint64_t> load_outside(std::uint64_t address);
// Atomic operations on an aligned 4-byte word. No fix-up: only for the shared blocks that were checked and touched at boot.
std::uint32_t load_outside_u32(std::uint64_t address);
void store_outside_u32(std::uint64_t address, std::uint32_t value);
std::uint32_t exchange_outside_u32(std::uint64_t address, std::uint32_t value);
std::uint64_t exchange_outside_u64(std::uint64_t address, std::uint64_t value);

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_HOST_MEMORY_H
