// The CPUID answers that programs get. CPUID is illegal in an enclave, so the host reports the processor's answers once at boot; the
// kernel keeps a filtered copy (only features that XFRM allows; nothing that programs could not use inside) and never asks again.
#ifndef KERNEL_FRAME_CPUID_H
#define KERNEL_FRAME_CPUID_H

#include <cstdint>
#include <span>

#include "host_abi/entry.h"

namespace kernel::frame {

inline constexpr std::size_t kMaxCpuidEntries = 128;

// Takes the host's table (already copied in). Called once at boot.
void cpuid_init(std::span<const host_abi::CpuidEntry> entries);

struct CpuidResult {
  std::uint32_t eax, ebx, ecx, edx;
};
CpuidResult cpuid(std::uint32_t leaf, std::uint32_t subleaf);

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_CPUID_H
