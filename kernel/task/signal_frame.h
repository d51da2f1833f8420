// Signal frames on the program's stack, byte for byte as Linux lays them out on x86-64, and sigreturn.
#ifndef KERNEL_TASK_SIGNAL_FRAME_H
#define KERNEL_TASK_SIGNAL_FRAME_H

#include <cstdint>
#include <optional>
#include <span>

#include "abi/signal.h"
#include "kernel/base/result.h"
#include "kernel/task/task.h"

namespace kernel {

// Bytes of an XSAVE image of `state_size` bytes in a frame: with its trailing magic number.
std::uint64_t state_image_size(std::uint64_t state_size);

// Where the parts of a frame lie, given the stack pointer to grow down from. nullopt if it would wrap.
struct FramePlacement {
  std::uint64_t frame;  // RtSigFrame; RSP when the handler starts (16n + 8)
  std::uint64_t state;  // XSAVE image, 64-byte aligned
};
std::optional<FramePlacement> place_frame(std::uint64_t sp, std::uint64_t state_size);

// Bytes that a frame takes at most: AT_MINSIGSTKSZ.
std::uint64_t max_frame_size(std::uint64_t state_size);

// Makes the running task enter `action`'s handler when it returns to user code. EFAULT: the stack is not usable (the caller raises
// SIGSEGV). Changes the mask as sigaction(2) says; `return_mask` is what sigreturn brings back.
Result<> push_signal_frame(Task& task, frame::TrapFrame& frame, const abi::SigAction& action, const abi::SigInfo& info,
                           SignalSet return_mask);

// rt_sigreturn: the state comes from the frame that RSP points to. Everything in it is the program's and gets checked. EFAULT (then the
// caller raises SIGSEGV) leaves the task as it is.
Result<> pop_signal_frame(Task& task, frame::TrapFrame& frame);

// An XSAVE image that a program made. EFAULT: XRSTOR would refuse it.
Result<> check_vector_state(std::span<const std::byte> area);

// sigaltstack(2): is the stack pointer on the alternate stack?
bool on_altstack(const abi::StackT& altstack, std::uint64_t sp);
// SS_ONSTACK, SS_DISABLE or 0 as sigaltstack(2) reports.
std::int32_t altstack_flags(const abi::StackT& altstack, std::uint64_t sp);

}  // namespace kernel
#endif  // KERNEL_TASK_SIGNAL_FRAME_H
