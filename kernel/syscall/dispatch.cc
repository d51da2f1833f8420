// From the gate to the handler and back: the only place where an Errno becomes a negative number.
#include "kernel/frame/asm.h"
#include "kernel/frame/heap.h"
#include "kernel/syscall/table.h"
#include "kernel/syscall/trace.h"
#include "kernel/task/task.h"
#include "kernel/task/tracee.h"

namespace kernel {
namespace {

Result<std::uint64_t> call(Task& task, std::uint64_t number, frame::TrapFrame& frame) {
  if (number >= kSyscalls.size() || kSyscalls[number].function == nullptr) {
    trace_unknown(task, number);
    return Errno::nosys;
  }
  const RawArgs args{frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9};
  return kSyscalls[number].function(task, args, frame);
}

}  // namespace
}  // namespace kernel

extern "C" void kernel_syscall(kernel::frame::TrapFrame* frame) {
  using namespace kernel;
  Task& task = current_task();
  if (frame::heap_is_low()) [[unlikely]]
    frame::heap_top_up();
  frame::this_vcpu().syscalls += 1;
  for (;;) {
    const bool tracing = trace_enabled();
    if (tracing) [[unlikely]] {
      if (!trace_syscall_entry(task, *frame)) return;
      trace_enter(task, frame->orig_rax, *frame);
    }
    const std::uint64_t number = frame->orig_rax;
    const Result<std::uint64_t> result = call(task, number, *frame);
    if (tracing) [[unlikely]]
      trace_exit(task, number, result);
    if (result.ok()) {
      frame->rax = Result<std::uint64_t>(result).release();
      return;
    }
    const Errno error = result.error();
    frame->rax = static_cast<std::uint64_t>(-static_cast<std::int64_t>(error));
    if (error != Errno::restart && error != Errno::restart_nohand) [[likely]]
      return;
    // Delivers a signal or stops; with no handler entered the call simply runs again.
    task.set_work(frame::kWorkSignal);
    task.before_user_return(*frame);
    if (!task.take_restart(*frame)) return;
  }
}
