// EDMM calls to the host, checked as far as checking is possible: the ENCLU leaf that follows each of them is what proves that the host
// did its part. All ranges are page aligned and inside ELRANGE. They leave the enclave: no spinlocks.
#ifndef KERNEL_HOST_MEMORY_H
#define KERNEL_HOST_MEMORY_H

#include <cstdint>

#include "kernel/base/result.h"

namespace kernel::host {

// EAUG of every page: RW and PENDING afterwards. ENOMEM if the host has none.
Result<> augment(std::uint64_t address, std::uint64_t size);
// EMODPR of every page to `permissions` (SECINFO bits); each page then needs accept_restricted().
Result<> restrict_permissions(std::uint64_t address, std::uint64_t size, std::uint32_t permissions);
// EMODT to TRIM; each page then needs accept_trimmed(), after which remove() gives the memory back.
Result<> trim(std::uint64_t address, std::uint64_t size);
// EMODT of one page to TCS, which then needs frame::accept_tcs().
Result<> make_tcs(std::uint64_t page);
Result<> remove(std::uint64_t address, std::uint64_t size);

}  // namespace kernel::host
#endif  // KERNEL_HOST_MEMORY_H
