// Processor facts and state: extended state (XSAVE), FS base, time-stamp counter, RDRAND, the CPUID values that programs see.
#ifndef KERNEL_FRAME_CPU_H
#define KERNEL_FRAME_CPU_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"
#include "kernel/frame/vcpu_block.h"

namespace kernel::frame {

// Until cpu_init(): the vector state to clear at exits is what XCR0 says, so that a boot that fails leaves none behind either.
void cpu_init_early();
// XFRM of this enclave (== XCR0 inside), from the kernel's own report. Set once at boot.
void cpu_init(std::uint64_t xfrm);
std::uint64_t xfrm();
// The processor tells which components are in use (XGETBV with ECX = 1), so switches may use vector_state.S; `avx512` if it has the
// instructions and the layout for the AVX-512 part of it.
void cpu_allow_quick_switches(bool avx512);
// Bytes of a standard-format XSAVE area for xfrm().
std::size_t xsave_size();
// Writes the initial state into an area of xsave_size() bytes.
void xsave_make_initial(std::span<std::byte> area);

// The running thread's vector state and FS base into its context, if they are live; sets state_saved. Idempotent. Components that
// the header says are in their initial configuration keep old bytes in the area (XSAVEOPT): show them to nobody, see xsave_complete.
void save_user_state(ThreadContext& context);
// Writes the initial configuration of x87 and SSE into a saved area whose header says they are in it.
void xsave_complete(std::span<std::byte> area);
// The reverse, right before user code; clears state_saved. The area must have been made valid (see sanitise below).
void restore_user_state(ThreadContext& context);
// Makes a program-supplied area safe for XRSTOR: reserved header bits and unknown features cleared, MXCSR masked.
void xsave_sanitise(std::span<std::byte> area);
// Puts all extended state into its initial configuration (before every exit to the host).
void clear_vector_state();

// A fence between earlier writes and later reads: half of what MFENCE costs (std::atomic_thread_fence).
inline void full_fence() {
  // SAFETY: adds nothing to a word of this function's own stack.
  asm volatile("lock orl $0, (%%rsp)" : : : "memory", "cc");
}
inline std::uint64_t read_tsc() { return __builtin_ia32_rdtsc(); }
// The host's sampling interrupt found the running thread in the kernel or in its program: all time since the last one counts as that, even
// if the host ran something else meanwhile, as it counts as time of the thread. Any CSSA.
void count_sample(VcpuBlock& vcpu, bool in_kernel);
// 64 random bits of the processor; EIO if RDRAND does not deliver (never silently weak).
Result<std::uint64_t> hardware_random();

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_CPU_H
