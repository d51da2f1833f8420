#include "kernel/frame/code.h"

#include <bit>

#include "kernel/frame/asm.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/vcpu_slots.h"

namespace kernel::frame {

TrapFrame& ThreadContext::trap_frame() const {
  // SAFETY: the trap frame is at the very top of the thread's own kernel stack.
  return *reinterpret_cast<TrapFrame*>(stack_top - sizeof(TrapFrame));
}

void leave(host_abi::ExitCode code, std::uint64_t a, std::uint64_t b) {
  VcpuBlock& vcpu = this_vcpu();
  KASSERT(vcpu.spin_mask == 0);
  if (vcpu.current != nullptr) save_user_state(*vcpu.current);
  clear_vector_state();
  const std::uint64_t hints = exit_to_host(static_cast<std::uint64_t>(code), a, b);
  if ((hints & host_abi::kEntrySample) != 0) count_sample(vcpu, true);
}

void set_stack(ThreadContext& context, std::span<std::byte> stack) {
  // SAFETY: the address of kernel memory as a number.
  context.stack_base = reinterpret_cast<std::uint64_t>(stack.data());
  context.stack_top = context.stack_base + stack.size();
}

void prepare_stack(ThreadContext& context, ThreadFunction function, void* argument) {
  // Below the trap frame: the registers that switch_stack pops (r15 r14 r13 r12 rbx rbp) and the return address.
  // After those seven words RSP is 16-byte aligned, as the trampoline's call needs it.
  const std::uint64_t frame = context.stack_top - sizeof(TrapFrame) - 9 * 8;
  // SAFETY: a fresh stack of at least a page, owned by the caller; eight words below its trap frame.
  UNSAFE_BUFFERS(auto* words = reinterpret_cast<std::uint64_t*>(frame);
                 words[0] = 0; words[1] = 0; words[2] = reinterpret_cast<std::uint64_t>(function);
                 words[3] = reinterpret_cast<std::uint64_t>(argument); words[4] = 0; words[5] = 0;
                 words[6] = address_of_code(&thread_trampoline); words[7] = 0;)
  context.kernel_rsp = frame;
}

void switch_to(std::uint64_t& save, std::uint64_t load) { switch_stack(&save, load); }

void enter_user(ThreadContext& context) { enter_user_frame(&context.trap_frame()); }

const host_abi::KernelLayout& measured_layout(const VcpuBlock& vcpu) {
  // SAFETY: the builder wrote the address of the measured table into the measured block.
  return *reinterpret_cast<const host_abi::KernelLayout*>(vcpu.layout);
}

bool runs_where_measured(const host_abi::KernelLayout& where) {
  std::uint64_t here = 0;
  // SAFETY: computes an address, nothing else.
  asm("lea enclave_entry(%%rip), %0" : "=r"(here));
  return here == where.entry;
}

void vcpu_init(VcpuBlock& vcpu, const host_abi::KernelLayout& where, std::uint64_t canary) {
  vcpu.canary = canary;
  vcpu.gate = address_of_code(&syscall_gate);
  vcpu.cpuid_gate = address_of_code(&cpuid_gate);
  vcpu.ssa_frame_size = std::uint64_t{where.ssa_frame_pages} * kPageSize;
  vcpu.ssa = where.ssa_frame(vcpu.index, 0);  // last: from here on exceptions are handled
}

VcpuTotals vcpu_totals() {
  VcpuTotals totals;
  for (std::uint64_t left = existing_slots(); left != 0; left &= left - 1) {
    const VcpuBlock& vcpu = vcpu_block(static_cast<std::uint32_t>(std::countr_zero(left)));
    totals.syscalls += vcpu.syscalls;
    totals.trapped_syscalls += vcpu.trapped_syscalls;
    totals.exceptions += vcpu.exceptions;
  }
  return totals;
}

bool in_kernel_region(std::uint64_t address) { return address >= layout().kernel_base && address < layout().elrange_size; }

}  // namespace kernel::frame
