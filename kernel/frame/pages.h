// Enclave pages: ENCLU page leaves, raw page access, zeroing. The only place that touches page memory by address.
#ifndef KERNEL_FRAME_PAGES_H
#define KERNEL_FRAME_PAGES_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/config.h"
#include "kernel/base/result.h"

namespace kernel::frame {

inline constexpr std::uint32_t kPageRead = 1, kPageWrite = 2, kPageExecute = 4;  // SECINFO bits

// ENCLU[EACCEPT] of one page whose EPCM entry must be: type REG, given permissions, PENDING. EIO if the hardware refuses (the host
// did not do its part).
Result<> accept_pending(std::uint64_t page, std::uint32_t permissions = kPageRead | kPageWrite);
// EACCEPT after EMODPR: the page's permissions are now exactly `permissions` (PR bit set).
Result<> accept_restricted(std::uint64_t page, std::uint32_t permissions);
// EACCEPT after EMODT(TRIM): the page is given up (MODIFIED, TRIM).
Result<> accept_trimmed(std::uint64_t page);
// ENCLU[EACCEPTCOPY]: the PENDING page gets the content of `source` (a page of ours) and `permissions` at once.
Result<> accept_copy(std::uint64_t page, std::span<const std::byte, kPageSize> source, std::uint32_t permissions);
// ENCLU[EMODPE]: adds permissions.
Result<> extend_permissions(std::uint64_t page, std::uint32_t permissions);

// Bytes of pages that the kernel owns for now (user pages before they are shown to the program, kernel pages). The caller guarantees
// that the range is accepted and writable. Lies within ELRANGE, checked.
std::span<std::byte> page_bytes(std::uint64_t address, std::size_t size);
void zero_pages(std::uint64_t address, std::size_t size);

// Whom the exception handler asks whether a page of the user window is the enclave's, with this access: if kernel code faults there, the
// host took it from the page tables. The answer takes no lock. Set once, at boot.
using PageQuery = bool (*)(std::uint64_t address, bool write);
void set_page_query(PageQuery query);

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_PAGES_H
