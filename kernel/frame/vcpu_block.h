// The per-vCPU block that GS points to while a TCS is inside (TCS.OGSBASE), and the trap frame. Assembly uses the offsets below.
#ifndef KERNEL_FRAME_VCPU_BLOCK_H
#define KERNEL_FRAME_VCPU_BLOCK_H

// Offsets for gate.S and entry.S; asserted against the structs.
#define VCPU_SELF 0
#define VCPU_ENTRY_STACK 8
#define VCPU_EXC_STACK 16
#define VCPU_LAYOUT 24
#define VCPU_INDEX 32
#define VCPU_SPIN_MASK 36
#define VCPU_CANARY 40
#define VCPU_IN_KERNEL 48
#define VCPU_TICKED 52
#define VCPU_USER_RSP 56
#define VCPU_FRAME_END 64
#define VCPU_GATE 72
#define VCPU_CPUID_GATE 80
#define VCPU_SCRATCH_RIP 88
#define VCPU_CURRENT 96
#define VCPU_EXIT_RSP 104
#define VCPU_HOST_RCX 112
#define VCPU_HOST_RSP 120
#define VCPU_HOST_RBP 128
#define VCPU_SSA 136
#define VCPU_FAULT_ADDR 144
#define VCPU_FAULT_CODE 152

#define CONTEXT_WORK 0
#define CONTEXT_RSP 8

#define TF_R15 0
#define TF_R14 8
#define TF_R13 16
#define TF_R12 24
#define TF_RBP 32
#define TF_RBX 40
#define TF_R11 48
#define TF_R10 56
#define TF_R9 64
#define TF_R8 72
#define TF_RAX 80
#define TF_RCX 88
#define TF_RDX 96
#define TF_RSI 104
#define TF_RDI 112
#define TF_ORIG_RAX 120
#define TF_RIP 128
#define TF_RFLAGS 136
#define TF_RSP 144
#define TF_KIND 152
#define TF_SIZE 160

#ifndef __ASSEMBLER__

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kernel {
class Thread;
class UserSpace;
}

namespace kernel::frame {

// How user code came into the kernel.
enum class TrapKind : std::uint64_t {
  syscall = 0,    // through the gate: rcx and r11 are free
  exception = 1,  // fault, trapped instruction or preemption: every register belongs to the program
};

// User registers, at the top of the thread's kernel stack while the thread is in the kernel. Handlers may edit it; an edited frame of
// kind `syscall` must be marked `exception` (mark_full), or only rax, rip and rsp of the edit are certain to be restored.
struct TrapFrame {
  std::uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
  std::uint64_t rax, rcx, rdx, rsi, rdi;
  std::uint64_t orig_rax;  // system-call number at entry, or ~0 for exceptions
  std::uint64_t rip, rflags, rsp;
  TrapKind kind;

  // The whole frame is restored, also callee-saved registers, rcx and r11.
  void mark_full() {
    if (kind == TrapKind::syscall) {
      rcx = rip;
      r11 = rflags;
      kind = TrapKind::exception;
    }
  }
};
static_assert(sizeof(TrapFrame) == TF_SIZE && offsetof(TrapFrame, rax) == TF_RAX && offsetof(TrapFrame, orig_rax) == TF_ORIG_RAX &&
              offsetof(TrapFrame, rip) == TF_RIP && offsetof(TrapFrame, kind) == TF_KIND);

// Bits of ThreadContext::work: what has to be done before the thread returns to user code.
inline constexpr std::uint16_t kWorkResched = 1;  // its time slice is over
inline constexpr std::uint16_t kWorkSignal = 2;   // a signal may be deliverable, or the thread must stop or die
inline constexpr std::uint16_t kWorkTimers = 8;   // this vCPU saw a tick: look at the timers

// The part of a kernel thread that assembly and entry code know. task/thread.h builds on it.
struct ThreadContext {
  // The gate compares `work` and `state_saved` to zero as one word.
  std::atomic<std::uint16_t> work{0};
  std::atomic<std::uint16_t> state_saved{0};  // 1: vector state and FS base are here, not in registers. Written by the thread only, so
                                              // that switches need no locked instruction for it
  std::uint32_t vcpu = 0;          // where it runs or ran last
  std::uint64_t kernel_rsp = 0;    // while switched out
  std::uint64_t stack_top = 0;     // end of the kernel stack == end of the TrapFrame
  std::uint64_t stack_base = 0;
  std::uint64_t fs_base = 0;       // the program's FS base while state_saved is set
  Thread* owner = nullptr;         // the object that this context is part of
  UserSpace* user_space = nullptr;  // memory of the process (kept alive by the Task), nullptr for kernel threads
  std::byte* xsave = nullptr;      // standard-format XSAVE area, 64-byte aligned; nullptr for kernel threads
  // Where the host's sampling interrupts found it, in ticks of the time-stamp counter (docs/decisions/cpu-time.md). Written on its vCPU only,
  // by the handler at CSSA 1 too.
  std::atomic<std::uint64_t> user_sampled{0}, system_sampled{0};

  TrapFrame& trap_frame() const;
};
static_assert(offsetof(ThreadContext, work) == CONTEXT_WORK && offsetof(ThreadContext, state_saved) == CONTEXT_WORK + 2 &&
              offsetof(ThreadContext, kernel_rsp) == CONTEXT_RSP);

// Starts with the fields of host_abi::VcpuSeed, which the enclave file fills in.
struct VcpuBlock {
  VcpuBlock* self;
  std::uint64_t entry_stack, exception_stack;  // tops
  std::uint64_t layout;                        // address of the KernelLayout
  std::uint32_t index;                         // number of this vCPU
  std::uint32_t spin_mask;                     // ranks of the spinlocks held (a bit per rank)
  std::uint64_t canary;
  std::uint32_t in_kernel;  // 0 only while user code runs
  std::uint32_t ticked;     // a tick came while in kernel code
  std::uint64_t user_rsp;   // scratch of the gate
  std::uint64_t frame_end;  // current->stack_top
  std::uint64_t gate;       // address of syscall_gate: stubs jump through it
  std::uint64_t cpuid_gate;
  std::uint64_t scratch_rip;
  ThreadContext* current;
  std::uint64_t exit_rsp;  // kernel stack of the code that left with exit_to_host, 0 = never left
  std::uint64_t host_rcx, host_rsp, host_rbp;  // what EEXIT needs to go back to the host's code
  std::uint64_t ssa;         // address of SSA frame 0
  std::uint64_t fault_addr;  // of the last fixed-up fault of a user or host copy
  std::uint64_t fault_code;  // its #PF error code, or ~0 for #GP and #AC
  std::uint64_t ssa_frame_size;    // bytes
  std::uint64_t shared;            // address of this vCPU's host_abi::VcpuBlock
  std::uint64_t syscalls;          // calls that came through the gate
  std::uint64_t trapped_syscalls;  // calls by a trapping `syscall` instruction
  std::uint64_t exceptions;
  std::atomic<std::uint32_t> copy_epoch;  // odd while a user copy is under way
  // Sampling: what all threads that ran here were found at; the least that a sample counts (written when the vCPU comes online); when the
  // last one was; since when threads run here without a break (0: it idles; the scheduler's).
  std::atomic<std::uint64_t> user_sampled, system_sampled;
  std::uint64_t sample_ticks, sampled_at;
  std::atomic<std::uint64_t> busy_since;
  std::uint64_t samples;
};
static_assert(offsetof(VcpuBlock, entry_stack) == VCPU_ENTRY_STACK && offsetof(VcpuBlock, exception_stack) == VCPU_EXC_STACK &&
              offsetof(VcpuBlock, layout) == VCPU_LAYOUT && offsetof(VcpuBlock, index) == VCPU_INDEX &&
              offsetof(VcpuBlock, canary) == VCPU_CANARY && offsetof(VcpuBlock, spin_mask) == VCPU_SPIN_MASK && offsetof(VcpuBlock, in_kernel) == VCPU_IN_KERNEL &&
              offsetof(VcpuBlock, user_rsp) == VCPU_USER_RSP && offsetof(VcpuBlock, frame_end) == VCPU_FRAME_END &&
              offsetof(VcpuBlock, gate) == VCPU_GATE && offsetof(VcpuBlock, cpuid_gate) == VCPU_CPUID_GATE &&
              offsetof(VcpuBlock, scratch_rip) == VCPU_SCRATCH_RIP && offsetof(VcpuBlock, current) == VCPU_CURRENT &&
              offsetof(VcpuBlock, exit_rsp) == VCPU_EXIT_RSP && offsetof(VcpuBlock, host_rcx) == VCPU_HOST_RCX &&
              offsetof(VcpuBlock, host_rbp) == VCPU_HOST_RBP && offsetof(VcpuBlock, ssa) == VCPU_SSA &&
              offsetof(VcpuBlock, fault_addr) == VCPU_FAULT_ADDR && offsetof(VcpuBlock, fault_code) == VCPU_FAULT_CODE);

// The block of the vCPU that executes this. Do not keep it across a wait: the thread may go on elsewhere.
inline VcpuBlock& this_vcpu() {
  VcpuBlock* block = nullptr;
  // SAFETY: GS points to this vCPU's block whenever kernel code runs, and its first word is its own address.
  asm volatile("mov %%gs:0, %0" : "=r"(block));
  return *block;
}

// VcpuBlock::spin_mask of this vCPU, in one instruction each.
inline std::uint32_t spin_mask() {
  std::uint32_t mask = 0;
  // SAFETY: GS points to this vCPU's block.
  asm volatile("movl %%gs:%c1, %0" : "=r"(mask) : "i"(VCPU_SPIN_MASK));
  return mask;
}
// SAFETY: GS points to this vCPU's block.
inline void set_spin_mask(std::uint32_t mask) { asm volatile("movl %0, %%gs:%c1" : : "r"(mask), "i"(VCPU_SPIN_MASK) : "memory"); }

}  // namespace kernel::frame
#endif  // __ASSEMBLER__
#endif  // KERNEL_FRAME_VCPU_BLOCK_H
