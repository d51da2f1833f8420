// Placing the kernel's ELF file: segments become pages, relocations are applied, so that the measured bytes are the final ones.
#ifndef SGX_KERNEL_IMAGE_H
#define SGX_KERNEL_IMAGE_H

#include <cstdint>
#include <string>
#include <vector>

#include "host_abi/kernel_layout.h"
#include "sgx/result.h"

namespace sgx {

// Neighbouring pages of one permission. Offsets count from the start of the image.
struct PageRun {
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t permissions;  // kSecinfoR, W, X
};

struct KernelImage {
  std::vector<std::uint8_t> bytes;  // whole pages, as at `base`
  std::vector<PageRun> runs;        // ascending
  std::uint64_t entry = 0;          // from the start of the image
  host_abi::LayoutRange text{}, rodata{}, relro{}, data{};  // from the start of the image
};

// Lays out a static-PIE linked at 0 for the address `base` (page aligned). Accepted: ELF64 x86-64 ET_DYN, no interpreter, no needed
// libraries, no TLS, no constructors, no segment that is writable and executable, one run of pages each of R, RX, RELRO and RW,
// relocations of type R_X86_64_RELATIVE (RELA or RELR) within writable segments. Pages of PT_GNU_RELRO become read-only.
Result<KernelImage> place_kernel(Bytes elf, std::uint64_t base);

}  // namespace sgx
#endif  // SGX_KERNEL_IMAGE_H
