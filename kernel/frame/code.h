// Kernel code addresses for the layers above: enough to start threads and to leave.
#ifndef KERNEL_FRAME_CODE_H
#define KERNEL_FRAME_CODE_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "host_abi/entry.h"
#include "host_abi/kernel_layout.h"
#include "kernel/frame/vcpu_block.h"

namespace kernel::frame {

// Leaves the enclave and comes back when the host enters this TCS again. The running thread's user state is saved before and vector
// registers are cleared. No spinlocks held.
void leave(host_abi::ExitCode code, std::uint64_t a = 0, std::uint64_t b = 0);

// Gives the context its kernel stack (page aligned).
void set_stack(ThreadContext& context, std::span<std::byte> stack);
// Prepares a fresh kernel stack so that switch_to() starts `function(argument)` on it.
using ThreadFunction = void (*)(void* argument);
void prepare_stack(ThreadContext& context, ThreadFunction function, void* argument);

// Switches stacks: saves the running one in *save, continues the one saved in `load`.
void switch_to(std::uint64_t& save, std::uint64_t load);

// Enters user code with the context's trap frame; the kernel stack starts anew.
[[noreturn]] void enter_user(ThreadContext& context);

// The layout table that the builder recorded in a vCPU's measured block.
const host_abi::KernelLayout& measured_layout(const VcpuBlock& vcpu);
// The kernel was relocated before it was measured, so code runs at the address it was measured for only if ELRANGE starts at 0: then a
// program-counter-relative address equals the recorded absolute one. (BASEADDR is not part of MRENCLAVE.)
bool runs_where_measured(const host_abi::KernelLayout& layout);

// Fills the kernel's part of a vCPU block at its first entry.
void vcpu_init(VcpuBlock& vcpu, const host_abi::KernelLayout& layout, std::uint64_t canary);

// Counters of all vCPUs, added up; exact only while the others are idle.
struct VcpuTotals {
  std::uint64_t syscalls = 0, trapped_syscalls = 0, exceptions = 0;
};
VcpuTotals vcpu_totals();

// Kernel text, for telling a program's wild jump and for the report.
bool in_kernel_region(std::uint64_t address);

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_CODE_H
