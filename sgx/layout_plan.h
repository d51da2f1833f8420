// The address plan of an enclave: from the measured configuration to the KernelLayout table and the list of pages outside the
// kernel image. Writer and reader of the enclave file both use it, so a file that says something else is refused.
#ifndef SGX_LAYOUT_PLAN_H
#define SGX_LAYOUT_PLAN_H

#include <cstdint>
#include <vector>

#include "host_abi/enclave_config.h"
#include "host_abi/kernel_layout.h"
#include "sgx/arch.h"
#include "sgx/result.h"

namespace sgx {

// The header of a configuration blob, if it and the sizes in it are usable. Errors name the field.
Result<host_abi::ConfigHeader> check_config(Bytes blob);

// The parts of the layout that the kernel's ELF file decides, as addresses in ELRANGE.
struct ImageRanges {
  std::uint64_t entry;
  host_abi::LayoutRange image, text, rodata, relro, data;
};

// Fills the table. Error: the enclave does not fit into ELRANGE. `boot_heap_size` counts only with EDMM.
Result<host_abi::KernelLayout> plan_layout(const host_abi::ConfigHeader& config, const ImageRanges& image,
                                           std::uint64_t boot_heap_size);

// What a region outside the image holds.
enum class RegionRole : std::uint8_t { layout, config, tcs, ssa, vcpu_block, stack, heap, user };

struct PlannedRegion {
  RegionRole role;
  std::uint32_t slot;  // of tcs, ssa, vcpu_block and stack
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t secinfo_flags;
  bool measured;
};

// All regions outside the kernel image, in the order in which they are added.
std::vector<PlannedRegion> plan_regions(const host_abi::KernelLayout& layout);

}  // namespace sgx
#endif  // SGX_LAYOUT_PLAN_H
