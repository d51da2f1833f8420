// What happens between an exception of user code and the return to it: page faults to the address space, trapped instructions to their
// emulation, the rest to the thread as signals; and the work on the way back.
#include <array>

#include "kernel/frame/asm.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/user.h"
#include "kernel/task/scheduler.h"
#include "sgx/arch.h"

namespace kernel {
namespace {

constexpr std::uint64_t kVectorInterrupt = 0xff;

bool is_vector(std::uint64_t vector, sgx::Vector which) { return vector == static_cast<std::uint64_t>(which); }

// Resolves a page fault of user code: true if the instruction may be tried again.
bool populate(Thread& thread, std::uint64_t address, std::uint64_t error) {
  UserSpace* space = thread.context().user_space;
  if (space == nullptr || !(address >= frame::user_window_begin() && address < frame::user_window_end())) return false;
  Access access = Access::read;
  if ((error & sgx::kPfWrite) != 0) access = Access::write;
  if ((error & sgx::kPfFetch) != 0) access = Access::execute;
  if (!space->populate(address, access).ok()) return false;
  thread.on_page_fault();
  return true;
}

enum class Played { no, call, instruction };

// Instructions that are illegal in an enclave and that we play: `syscall`, `cpuid`, `rdtsc`, `rdtscp`.
Played emulate(frame::TrapFrame& frame) {
  std::array<std::byte, 3> code{};
  if (!frame::copy_from_user(std::span(code).first(2), frame.rip).ok() || code[0] != std::byte{0x0f}) return Played::no;
  switch (std::to_integer<unsigned>(code[1])) {
    case 0x05:  // syscall
      frame.rip += 2;
      frame.rcx = frame.rip;
      frame.r11 = frame.rflags;
      frame.orig_rax = frame.rax;
      frame::this_vcpu().trapped_syscalls += 1;
      kernel_syscall(&frame);
      return Played::call;
    case 0xa2:  // cpuid
      frame.rip += 2;
      kernel_cpuid(&frame);
      return Played::instruction;
    case 0x31: {  // rdtsc, where the platform makes it fault (SGX1)
      const std::uint64_t tsc = frame::read_tsc();
      frame.rax = tsc & 0xffffffff;
      frame.rdx = tsc >> 32;
      frame.rip += 2;
      return Played::instruction;
    }
    default: return Played::no;
  }
}

// A step with the trap flag has led into the gate: what the gate would have done. False: it is elsewhere.
bool step_into_gate(Thread& thread, frame::TrapFrame& frame) {
  if (frame.rip == frame::address_of_code(gate_begin)) {
    frame.rip = frame.rcx;
    frame.orig_rax = frame.rax;
    kernel_syscall(&frame);
    return true;
  }
  if (frame.rip != frame::address_of_code(cpuid_gate_begin)) return false;
  frame.rip = frame.rbx;
  kernel_cpuid(&frame);
  thread.on_user_exception(frame, static_cast<std::uint32_t>(sgx::Vector::debug), 0, 0);
  return true;
}

}  // namespace
}  // namespace kernel

extern "C" void kernel_trap(kernel::frame::TrapFrame* frame, std::uint64_t vector, std::uint64_t address, std::uint64_t error) {
  using namespace kernel;
  if (vector == kVectorInterrupt) return;
  Thread& thread = current_thread();
  if (is_vector(vector, sgx::Vector::page_fault) && populate(thread, address, error)) return;
  if (is_vector(vector, sgx::Vector::debug) && step_into_gate(thread, *frame)) return;
  if (is_vector(vector, sgx::Vector::invalid_opcode) || is_vector(vector, sgx::Vector::general_protection)) {
    constexpr std::uint64_t kTrapFlag = 0x100;
    const Played played = emulate(*frame);
    if (played == Played::instruction && (frame->rflags & kTrapFlag) != 0) vector = static_cast<std::uint64_t>(sgx::Vector::debug);
    if (played == Played::call || (played == Played::instruction && !is_vector(vector, sgx::Vector::debug))) return;
  }
  thread.on_user_exception(*frame, static_cast<std::uint32_t>(vector), address, error);
}

extern "C" void kernel_before_user_return(kernel::frame::TrapFrame* frame) {
  using namespace kernel;
  Thread& thread = current_thread();
  frame::ThreadContext& context = thread.context();
  for (;;) {
    const std::uint32_t work = context.work.load(std::memory_order_acquire);
    if (work == 0) {
      if (context.state_saved.load(std::memory_order_relaxed) != 0) frame::restore_user_state(context);
      return;
    }
    if ((work & frame::kWorkTimers) != 0) {
      thread.clear_work(frame::kWorkTimers);
      scheduler().on_tick(frame::this_vcpu());
      run_deferred_lockers();
      if (scheduler().should_yield(thread)) thread.set_work(frame::kWorkResched);
    } else if ((work & frame::kWorkResched) != 0) {
      yield_now();
    } else {
      thread.before_user_return(*frame);
    }
  }
}
