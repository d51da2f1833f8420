// What happens to a task on its way back to user code: death, stops, handlers, restarts; and exceptions turned into signals.
#include <utility>

#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/host/log.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/exit.h"
#include "kernel/task/job_control.h"
#include "kernel/task/signal_frame.h"
#include "kernel/task/task.h"
#include "kernel/task/tracee.h"

namespace kernel {

namespace {

enum class Restart { none, always, no_handler };

Restart restart_wanted(const frame::TrapFrame& frame) {
  if (frame.orig_rax == ~std::uint64_t{0}) return Restart::none;
  const auto result = static_cast<std::int64_t>(frame.rax);
  if (result == -static_cast<std::int64_t>(Errno::restart)) return Restart::always;
  if (result == -static_cast<std::int64_t>(Errno::restart_nohand)) return Restart::no_handler;
  return Restart::none;
}

constexpr std::uint64_t kSyscallLength = 2;

void rewind_to_syscall(frame::TrapFrame& frame) {
  frame.rax = frame.orig_rax;
  frame.rip -= kSyscallLength;
}

// One signal: runs its action. False if a handler's frame could not be built (SIGSEGV is pending then).
void deliver(Task& task, frame::TrapFrame& frame, const abi::SigInfo& info, Restart& restart) {
  const abi::SigAction action = task.process().take_own_action(info.signo);
  if (action.handler == abi::kSigIgn) return;
  if (action.handler == abi::kSigDfl) {
    switch (default_action(info.signo)) {
      case DefaultAction::ignore:
      case DefaultAction::resume:
        return;
      case DefaultAction::stop:
        begin_group_stop(task, info.signo);
        return;
      case DefaultAction::core:
      case DefaultAction::terminate:
        // No core file is ever written (the enclave's memory is secret), so the core bit stays off, as with RLIMIT_CORE 0.
        task.process().request_exit(abi::wait_signaled(info.signo, false));
        return;
    }
  }
  if (restart != Restart::none) {
    if (restart == Restart::always && (action.flags & abi::kSaRestart) != 0) {
      rewind_to_syscall(frame);
    } else {
      frame.rax = static_cast<std::uint64_t>(-static_cast<std::int64_t>(Errno::intr));
    }
    restart = Restart::none;
  }
  TaskAccess::restarting(task) = false;
  std::optional<SignalSet>& saved = TaskAccess::saved_mask(task);
  const SignalSet return_mask = saved.value_or(task.signal_mask());
  const bool steps = trace_end_step(task, frame);
  if (push_signal_frame(task, frame, action, info, return_mask).ok()) {
    saved.reset();
    if (steps) trace_handler_entered(task);
    return;
  }
  // As Linux: SIGSEGV; if it was the SIGSEGV handler's own frame that failed, by default action.
  if (info.signo == abi::kSigSegv) (void)task.process().handlers()->exchange(abi::kSigSegv, {});
  force_signal(task, abi::SigInfo::from_kernel(abi::kSigSegv));
}

}  // namespace

void Task::before_user_return(frame::TrapFrame& frame) {
  constexpr std::uint64_t kTrapFlag = 0x100;
  if ((trace_bits() & kTraceUnstep) != 0) {
    trace_bits_.fetch_and(~kTraceUnstep, std::memory_order_acq_rel);
    frame.rflags &= ~kTrapFlag;
  }
  if ((trace_bits() & kTraceInCall) != 0) trace_syscall_exit(*this, frame);
  Restart restart = restart_wanted(frame);
  if (restart != Restart::none) TaskAccess::note_restart(*this, frame);
  rewound_ = false;
  for (;;) {
    clear_work(frame::kWorkSignal);
    if (is_dying() || process_->is_exiting()) exit_dying_task(*this);
    if (must_stop(*this)) {
      stop_here(*this);
      continue;
    }
    if ((trace_bits() & kTraceTrap) != 0) {
      trace_take_trap(*this);
      continue;
    }
    std::optional<abi::SigInfo> info = dequeue_signal(*this, ~signal_mask());
    if (info && is_traced()) {
      info = trace_signal(*this, *info);
      if (!info) continue;
    }
    if (is_traced()) restart = restart_wanted(frame);  // the tracer may have changed its mind, and the registers
    if (info) {
      deliver(*this, frame, *info, restart);
      continue;
    }
    if (!saved_mask_) break;
    restore_signal_mask();  // no handler ran with the temporary mask
  }
  if (restart != Restart::none) {
    rewind_to_syscall(frame);
    rewound_ = true;
  }
}

namespace {

constexpr std::uint32_t kVectorDe = 0, kVectorDb = 1, kVectorBp = 3, kVectorOf = 4, kVectorBr = 5, kVectorUd = 6,
                        kVectorSs = 12, kVectorPf = 14, kVectorMf = 16, kVectorAc = 17, kVectorXm = 19;
constexpr std::uint64_t kPfWrite = 2, kPfInstruction = 16;

// si_code of SIGFPE from the exception flags that are set and not masked (both words have the same bit order).
std::int32_t float_code(std::uint32_t raised) {
  if ((raised & 0x01) != 0) return abi::kFpeFltInv;
  if ((raised & 0x04) != 0) return abi::kFpeFltDiv;
  if ((raised & 0x08) != 0) return abi::kFpeFltOvf;
  if ((raised & 0x12) != 0) return abi::kFpeFltUnd;
  if ((raised & 0x20) != 0) return abi::kFpeFltRes;
  return 0;
}

abi::SigInfo float_fault(Task& task, std::uint32_t vector, std::uint64_t rip) {
  save_user_state();
  const std::span<const std::byte> area = task.xsave_area();
  constexpr std::size_t kFcwOffset = 0, kFswOffset = 2, kMxcsrOffset = 24;
  std::uint32_t raised = 0;
  if (vector == kVectorMf) {
    const auto control = load_bytes<std::uint16_t>(area, kFcwOffset);
    const auto status = load_bytes<std::uint16_t>(area, kFswOffset);
    raised = static_cast<std::uint32_t>(status & ~control) & 0x3f;
  } else {
    const auto mxcsr = load_bytes<std::uint32_t>(area, kMxcsrOffset);
    raised = ~(mxcsr >> 7) & mxcsr & 0x3f;
  }
  return abi::SigInfo::fault(abi::kSigFpe, float_code(raised), rip);
}

// A page fault that the address space did not resolve. nullopt: it is resolved by now.
std::optional<abi::SigInfo> page_fault(Task& task, std::uint64_t address, std::uint64_t error_code) {
  Access access = Access::read;
  if ((error_code & kPfWrite) != 0) access = Access::write;
  if ((error_code & kPfInstruction) != 0) access = Access::execute;
  if (address >= frame::user_window_begin() && address < frame::user_window_end()) {
    const Result<> again = task.mm().populate(address, access);
    if (again.ok()) return std::nullopt;
    if (again.error() == Errno::nomem) {
      if (task.is_dying()) return std::nullopt;  // it was chosen itself (task/oom.cc)
      LOG(error) << "out of enclave memory: process " << static_cast<std::int32_t>(task.process().pid())
                 << " is killed (resource_limits.user_space_max_size)";
      return abi::SigInfo::from_kernel(abi::kSigKill);
    }
    if (again.error() != Errno::fault) return abi::SigInfo::fault(abi::kSigBus, abi::kBusAdrErr, address);  // past the file's end, or EIO
  }
  const bool mapped = task.mm().fault_reason(address, access) == FaultReason::protection;
  return abi::SigInfo::fault(abi::kSigSegv, mapped ? abi::kSegvAccErr : abi::kSegvMapErr, address);
}

}  // namespace

void Task::on_user_exception(frame::TrapFrame& frame, std::uint32_t vector, std::uint64_t address, std::uint64_t error_code) {
  if (const std::optional<std::uint64_t> original = mm().original_rip(frame.rip)) {
    if (vector == kVectorDb) return;  // a step through a stub goes on to its end
    frame.rip = *original;
  }
  fault_vector = vector;
  fault_error = error_code;
  fault_address = address;
  const std::uint64_t rip = frame.rip;
  switch (vector) {
    case kVectorDe:
      return force_signal(*this, abi::SigInfo::fault(abi::kSigFpe, abi::kFpeIntDiv, rip));
    case kVectorDb:
      if ((trace_bits() & kTraceUnstep) != 0) return set_work(frame::kWorkSignal);  // by a tracer that is gone
      return force_signal(*this, abi::SigInfo::fault(abi::kSigTrap, abi::kTrapTrace, rip));
    case kVectorBp:
      return force_signal(*this, abi::SigInfo::from_kernel(abi::kSigTrap));
    case kVectorOf:
      return force_signal(*this, abi::SigInfo::from_kernel(abi::kSigSegv));
    case kVectorBr:
      return force_signal(*this, abi::SigInfo::from_kernel(abi::kSigSegv));
    case kVectorUd:
      return force_signal(*this, abi::SigInfo::fault(abi::kSigIll, abi::kIllIllOpn, rip));
    case kVectorMf:
    case kVectorXm:
      return force_signal(*this, float_fault(*this, vector, rip));
    case kVectorAc:
      return force_signal(*this, abi::SigInfo::fault(abi::kSigBus, abi::kBusAdrAln, 0));
    case kVectorSs:
      return force_signal(*this, abi::SigInfo::from_kernel(abi::kSigBus));
    case kVectorPf:
      if (const std::optional<abi::SigInfo> info = page_fault(*this, address, error_code)) force_signal(*this, *info);
      return;
    default:  // #GP, #NP, #NM, #CP and what else there may be
      return force_signal(*this, abi::SigInfo::from_kernel(abi::kSigSegv));
  }
}

}  // namespace kernel
