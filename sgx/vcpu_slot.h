// What makes a vCPU slot (host_abi/kernel_layout.h) more than empty pages: its TCS and the first bytes of its vCPU block. The enclave file
// holds it for the slots of the build, the kernel writes it for slots that are added at run time.
#ifndef SGX_VCPU_SLOT_H
#define SGX_VCPU_SLOT_H

#include "host_abi/kernel_layout.h"
#include "sgx/arch.h"

namespace sgx {

// `tcs` is all zero before.
constexpr void fill_tcs(Tcs& tcs, const host_abi::KernelLayout& layout, std::uint32_t slot) {
  constexpr std::uint32_t kLimit = 0xfff;  // meaningful in 32-bit enclaves only, where the low bits must be set
  tcs.ossa = layout.ssa_frame(slot, 0);
  tcs.nssa = layout.ssa_frames;
  tcs.oentry = layout.entry;
  tcs.ofsbase = layout.vcpu_block(slot);
  tcs.ogsbase = layout.vcpu_block(slot);
  tcs.fs_limit = kLimit;
  tcs.gs_limit = kLimit;
}

constexpr host_abi::VcpuSeed make_vcpu_seed(const host_abi::KernelLayout& layout, std::uint32_t slot) {
  return {.self = layout.vcpu_block(slot),
          .entry_stack_top = layout.slot(slot) + layout.entry_stack_offset + layout.entry_stack_size,
          .exception_stack_top = layout.slot(slot) + layout.exception_stack_offset + layout.exception_stack_size,
          .layout = layout.image.end(),
          .index = slot,
          .reserved = 0};
}

}  // namespace sgx
#endif  // SGX_VCPU_SLOT_H
