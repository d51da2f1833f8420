// The tracee's side of ptrace(2): where it stops, and how it goes on.
#include <utility>

#include "kernel/frame/user.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/tracee.h"

namespace kernel {

namespace {

constexpr std::uint64_t kTrapFlag = 0x100;
constexpr std::uint64_t kEntryMessage = 1, kExitMessage = 2;  // PTRACE_EVENTMSG_SYSCALL_*

void clear_bits(Task& task, std::uint32_t bits) { TaskAccess::trace_bits(task).fetch_and(~bits, std::memory_order_acq_rel); }
void set_bits(Task& task, std::uint32_t bits) { TaskAccess::trace_bits(task).fetch_or(bits, std::memory_order_acq_rel); }

// Registers as a program may have them: all of them in the frame, and a RIP of the original code.
void show_registers(Task& task, frame::TrapFrame& frame) {
  frame.mark_full();
  const Ref<AddressSpace> mm = task.mm_ref();
  if (const std::optional<std::uint64_t> original = mm->original_rip(frame.rip)) frame.rip = *original;
  save_user_state();
}

// Puts the task into its stop. Null: there is no tracer to stop for.
RefPtr<Tracee> begin_stop(Task& task, frame::TrapFrame& frame, const TraceStop& stop, RefPtr<Process>& tracer) {
  const LockGuard guard(tree_lock);
  RefPtr<Tracee> tracee = TaskAccess::tracee(task);
  if (!tracee || !tracee->tracer || (task.is_dying() && !stop.at_exit)) return nullptr;
  if (std::exchange(tracee->owns_trap_flag, false)) frame.rflags &= ~kTrapFlag;
  tracee->stop = stop;
  if (stop.message) tracee->message = *stop.message;
  tracee->reported = false;
  tracee->listening = false;
  tracee->signal = 0;
  tracee->stopped.store(true, std::memory_order_release);
  const auto& owner = tracee->tracer;
  tracer = RefPtr<Process>(&owner->process());
  return tracee;
}

// The stop is over: the signal to go on with.
int end_stop(Task& task, frame::TrapFrame& frame, Tracee& tracee, TraceStop& stop) {
  const LockGuard guard(tree_lock);
  tracee.stopped.store(false, std::memory_order_release);
  tracee.listening = false;
  stop.info = tracee.stop.info;  // PTRACE_SETSIGINFO
  if ((task.trace_bits() & Task::kTraceStep) != 0 && (frame.rflags & kTrapFlag) == 0) {
    frame.rflags |= kTrapFlag;
    tracee.owns_trap_flag = true;
  }
  return std::exchange(tracee.signal, 0);
}

// Stops until the tracer lets the task go on: the signal that it shall go on with. nullopt: it did not stop, or was killed.
std::optional<int> stop_for_tracer(Task& task, TraceStop& stop) {
  frame::TrapFrame& frame = task.trap_frame();
  show_registers(task, frame);
  RefPtr<Process> tracer;
  const RefPtr<Tracee> tracee = begin_stop(task, frame, stop, tracer);
  if (!tracee) return std::nullopt;
  tell_tracer(*tracer, abi::SigInfo::child(stop.cld_code, static_cast<std::int32_t>(task.tid()), task.credentials().ruid, stop.code & 0x7f, 0, 0),
              true);
  const bool at_exit = stop.at_exit;
  {
    const Task::KillableSection killable(task);
    const Ref<Task> self(task);
    (void)tracee->resumed.wait([&tracee, &self, at_exit] { return !tracee->is_stopped() || (!at_exit && self->is_dying()); }, kNever,
                               at_exit ? Interruptible::no : Interruptible::yes);
  }
  const int signal = end_stop(task, frame, *tracee, stop);
  // An address that is no program's would fault in the kernel's name: nothing is mapped at 0, which gives the same SIGSEGV.
  if (frame.rip < frame::user_window_begin() || frame.rip >= frame::user_window_end()) frame.rip = 0;
  if (task.is_dying()) return std::nullopt;
  return signal;
}

abi::SigInfo trap_info(Task& task, int signo, std::int32_t code) {
  return abi::SigInfo::from_sender(signo, code, static_cast<std::int32_t>(task.tid()), task.credentials().ruid);
}

// A stop at a system call; the signal that the tracer gives is sent to the task.
void stop_at_call(Task& task, std::uint64_t message) {
  bool marks = false;
  {
    const LockGuard guard(tree_lock);
    const auto& tracee = TaskAccess::tracee(task);
    if (!tracee) return;
    marks = (tracee->options & abi::kPtraceOSysGood) != 0;
  }
  TraceStop stop;
  stop.code = abi::kSigTrap | (marks ? abi::kSysGoodBit : 0);
  stop.info = trap_info(task, abi::kSigTrap, stop.code);
  stop.message = message;
  const std::optional<int> signal = stop_for_tracer(task, stop);
  if (signal && *signal != 0) (void)send_signal(task, abi::SigInfo::from_kernel(*signal));
}

}  // namespace

bool trace_syscall_entry(Task& task, frame::TrapFrame& frame) {
  constexpr std::uint32_t kWatched = Task::kTraceSyscalls | Task::kTraceStep;
  const std::uint32_t bits = task.trace_bits();
  if ((bits & kWatched) == 0) return true;
  set_bits(task, Task::kTraceInCall);
  task.set_work(frame::kWorkSignal);
  if ((bits & Task::kTraceSyscalls) == 0) return true;
  frame.mark_full();
  frame.rax = static_cast<std::uint64_t>(-static_cast<std::int64_t>(Errno::nosys));
  stop_at_call(task, kEntryMessage);
  return !task.is_dying() && static_cast<std::uint32_t>(frame.orig_rax) != ~std::uint32_t{0};
}

void trace_syscall_exit(Task& task, frame::TrapFrame& frame) {
  clear_bits(task, Task::kTraceInCall);
  const std::uint32_t bits = task.trace_bits();
  if ((bits & Task::kTraceSyscalls) != 0)
    stop_at_call(task, kExitMessage);
  else if ((bits & Task::kTraceStep) != 0)
    force_signal(task, abi::SigInfo::fault(abi::kSigTrap, abi::kTrapBrkpt, frame.rip));
}

std::optional<abi::SigInfo> trace_signal(Task& task, const abi::SigInfo& info) {
  if (info.signo == abi::kSigKill) return info;
  TraceStop stop;
  stop.code = info.signo;
  stop.info = info;
  stop.is_signal = true;
  const std::optional<int> signal = stop_for_tracer(task, stop);
  if (!signal) return task.is_dying() ? std::optional<abi::SigInfo>() : info;
  if (*signal == 0) return std::nullopt;
  abi::SigInfo result = stop.info.value_or(info);
  if (*signal != result.signo) {
    const RefPtr<Process> parent = task.process().parent();
    result = abi::SigInfo::from_sender(*signal, abi::kSiUser, parent ? static_cast<std::int32_t>(parent->pid()) : 0, 0);
  }
  if ((task.signal_mask() & ~kUnblockable & signal_bit(*signal)) == 0) return result;
  (void)send_signal(task, result);  // it waits until it is unblocked
  return std::nullopt;
}

void trace_group_stop(Task& task, int signo) {
  bool seized = false;
  {
    const LockGuard guard(tree_lock);
    const auto& tracee = TaskAccess::tracee(task);
    if (!tracee) return;
    seized = tracee->seized;
  }
  if (!seized && signo == 0) return;
  TraceStop stop;
  stop.code = seized ? (signo != 0 ? signo : abi::kSigTrap) | (abi::kPtraceEventStop << 8) : signo;
  stop.cld_code = signo != 0 ? abi::kCldStopped : abi::kCldTrapped;
  if (seized) stop.info = trap_info(task, stop.code & 0x7f, stop.code);
  (void)stop_for_tracer(task, stop);
}

void trace_take_trap(Task& task) {
  clear_bits(task, Task::kTraceTrap);
  Process& process = task.process();
  int signo = 0;
  {
    const LockGuard guard(process.signal_lock());
    signo = ProcessAccess::group_stop_signal(process);
  }
  trace_group_stop(task, signo);
}

bool wants_trace_event(Task& task, std::int32_t event) {
  if (!task.is_traced()) return false;
  const LockGuard guard(tree_lock);
  const auto& tracee = TaskAccess::tracee(task);
  return tracee && (tracee->options & (1U << static_cast<std::uint32_t>(event))) != 0;
}

bool trace_event(Task& task, std::int32_t event, std::uint64_t message) {
  if (!wants_trace_event(task, event)) return false;
  TraceStop stop;
  stop.code = abi::kSigTrap | (event << 8);
  stop.info = trap_info(task, abi::kSigTrap, stop.code);
  stop.message = message;
  stop.at_exit = event == abi::kPtraceEventExit;
  (void)stop_for_tracer(task, stop);
  if (stop.at_exit) return true;
  // In the middle of a call, whose end is of interest now if the tracer says so.
  set_bits(task, task.is_traced() ? Task::kTraceInCall : 0);
  task.set_work(frame::kWorkSignal);
  return true;
}

void trace_exec(Task& task, Pid former) {
  if (!task.is_traced() || trace_event(task, abi::kPtraceEventExec, static_cast<std::uint64_t>(former))) return;
  {
    const LockGuard guard(tree_lock);
    const auto& tracee = TaskAccess::tracee(task);
    if (!tracee || tracee->seized) return;
  }
  (void)send_signal(task, abi::SigInfo::from_sender(abi::kSigTrap, abi::kSiUser, static_cast<std::int32_t>(task.process().pid()),
                                                     task.credentials().ruid));
}

bool trace_end_step(Task& task, frame::TrapFrame& frame) {
  if ((task.trace_bits() & Task::kTraceStep) == 0) return false;
  const LockGuard guard(tree_lock);
  const RefPtr<Tracee>& tracee = TaskAccess::tracee(task);
  if (!tracee) return false;
  if (std::exchange(tracee->owns_trap_flag, false)) frame.rflags &= ~kTrapFlag;
  return true;
}

void trace_handler_entered(Task& task) {
  TraceStop stop;
  stop.code = abi::kSigTrap;
  stop.info = trap_info(task, abi::kSigTrap, abi::kSigTrap);
  (void)stop_for_tracer(task, stop);
}

}  // namespace kernel
