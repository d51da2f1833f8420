// The tracer's side of ptrace(2): taking tracees, letting them go on, waiting for them, leaving them.
#include "kernel/task/tracee.h"

#include <utility>

#include "kernel/task/access.h"
#include "kernel/task/inspect.h"
#include "kernel/task/pid.h"

namespace kernel {

constinit std::atomic<std::uint32_t> CallWatchers::count{0};

namespace {

// Who traces whom from now on. EPERM: it is traced already; ESRCH: one of them ends.
Result<> link_tracee(Tracee& tracee) EXCLUDES(tree_lock) {
  const LockGuard guard(tree_lock);
  const auto& task = tracee.task;
  const auto& tracer = tracee.tracer;
  if (TaskAccess::tracee(*task)) return Errno::perm;
  if (task->is_dying() || tracer->is_dying()) return Errno::srch;  // the end of a task sets it before it takes the lock
  TaskAccess::tracee(*task) = RefPtr<Tracee>(&tracee);
  tracee.self = RefPtr<Tracee>(&tracee);
  ProcessAccess::tracees(tracer->process()).push_back(tracee);
  TaskAccess::trace_bits(*task).fetch_or(Task::kTraced, std::memory_order_acq_rel);
  CallWatchers::count.fetch_add(1, std::memory_order_acq_rel);
  return {};
}

// It is traced no more. What has to be dropped without the lock comes back.
RefPtr<Task> release_task(Tracee& tracee) REQUIRES(tree_lock) {
  RefPtr<Task> task = std::exchange(tracee.task, RefPtr<Task>());
  if (!task) return task;
  TaskAccess::tracee(*task) = RefPtr<Tracee>();  // not the last reference: the list's is still there
  const bool runs_stepping = tracee.owns_trap_flag && !tracee.is_stopped();
  TaskAccess::trace_bits(*task).store(runs_stepping ? Task::kTraceUnstep : 0, std::memory_order_release);
  return task;
}

void wake_tracee(Tracee& tracee) REQUIRES(tree_lock) {
  tracee.listening = false;
  tracee.stopped.store(false, std::memory_order_release);
  tracee.resumed.wake_all();
}

}  // namespace

RefPtr<Tracee> unlink_tracee(Tracee& tracee) {
  tracee.ListNode<TraceeTag>::unlink();
  CallWatchers::count.fetch_sub(1, std::memory_order_acq_rel);
  if (tracee.dead_tid != Pid{}) id_table().drop_use(tracee.dead_tid);
  RefPtr<Tracee>& of_process = ProcessAccess::leader_tracee(*tracee.process);
  if (of_process.get() == &tracee) of_process = RefPtr<Tracee>();  // not the last reference
  return std::exchange(tracee.self, RefPtr<Tracee>());
}

Result<> trace_me(Task& task) {
  const RefPtr<Process> parent = task.process().parent();
  if (!parent) return Errno::perm;
  Pid maker{};
  {
    const LockGuard guard(tree_lock);
    maker = ProcessAccess::forked_by(task.process());
  }
  RefPtr<Task> tracer = find_task(maker);
  if (!tracer || &tracer->process() != parent.get()) tracer = parent->any_thread();
  if (!tracer) return Errno::perm;
  const Ref<Tracee> tracee = TRY(make_ref<Tracee>(task, tracer, false, 0U));
  return link_tracee(*tracee);
}

Result<> trace_attach(Task& tracer, Task& target, bool seize, std::uint32_t options) {
  Process& process = target.process();
  if (&process == &tracer.process()) return Errno::perm;
  TRY(may_inspect(tracer, process));
  const Ref<Tracee> tracee = TRY(make_ref<Tracee>(target, RefPtr<Task>(&tracer), seize, options));
  TRY(link_tracee(*tracee));
  if (!seize) (void)send_signal(target, abi::SigInfo::from_kernel(abi::kSigStop));
  {
    // One that has stopped with its process stops once more, for its tracer.
    const LockGuard guard(process.signal_lock());
    if (ProcessAccess::group_stop_signal(process) == 0 || TaskAccess::exited(target)) return {};
    if (!TaskAccess::stop_counted(target).exchange(true)) ++ProcessAccess::stop_waiting_for(process);
  }
  ProcessAccess::stop_queue(process).wake_all();
  target.notify(frame::kWorkSignal);
  return {};
}

Result<Ref<Tracee>> find_tracee(Task& tracer, Pid pid, bool stopped) {
  const RefPtr<Task> task = find_task(pid);
  if (!task) return Errno::srch;
  const LockGuard guard(tree_lock);
  const RefPtr<Tracee> tracee = TaskAccess::tracee(*task);
  if (!tracee || tracee->tracer.get() != &tracer) return Errno::srch;
  if (stopped && (!tracee->is_stopped() || tracee->listening)) return Errno::srch;
  return tracee.as_ref();
}

Result<> check_stopped(const Tracee& tracee) {
  return tracee.task && tracee.is_stopped() && !tracee.listening ? Result<>() : Result<>(Errno::srch);
}

Result<> trace_resume(Tracee& tracee, ResumeMode mode, int signal) {
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  std::uint32_t set = 0;
  if (mode == ResumeMode::syscall) set = Task::kTraceSyscalls;
  if (mode == ResumeMode::step) set = Task::kTraceStep;
  std::atomic<std::uint32_t>& bits = TaskAccess::trace_bits(*task);
  bits.fetch_and(~(Task::kTraceSyscalls | Task::kTraceStep), std::memory_order_acq_rel);
  bits.fetch_or(set, std::memory_order_acq_rel);
  tracee.signal = signal;
  wake_tracee(tracee);
  return {};
}

Result<> trace_detach(Tracee& tracee, int signal) {
  RefPtr<Task> task;
  RefPtr<Tracee> kept;
  {
    const LockGuard guard(tree_lock);
    TRY(check_stopped(tracee));
    tracee.signal = signal;
    kept = unlink_tracee(tracee);
    task = release_task(tracee);
    wake_tracee(tracee);
  }
  task->notify(frame::kWorkSignal);  // its process may be stopped, and it with it from now on
  return {};
}

Result<> trace_interrupt(Tracee& tracee) {
  if (!tracee.seized) return Errno::io;
  RefPtr<Task> task;
  {
    const LockGuard guard(tree_lock);
    task = tracee.task;
    if (!task) return Errno::srch;
    TaskAccess::trace_bits(*task).fetch_or(Task::kTraceTrap, std::memory_order_acq_rel);
    if (tracee.listening) wake_tracee(tracee);
  }
  task->notify(frame::kWorkSignal);
  return {};
}

Result<> trace_listen(Tracee& tracee) {
  if (!tracee.seized) return Errno::io;
  const LockGuard guard(tree_lock);
  TRY(check_stopped(tracee));
  const auto& task = tracee.task;
  if ((tracee.stop.code >> 8) != abi::kPtraceEventStop) return Errno::io;
  if ((task->trace_bits() & Task::kTraceTrap) != 0)
    wake_tracee(tracee);  // something came since: it stops again at once
  else
    tracee.listening = true;
  return {};
}

SignalSet trace_mask(Task& task) { return TaskAccess::saved_mask(task).value_or(task.signal_mask()); }

void set_trace_mask(Task& task, SignalSet mask) {
  TaskAccess::saved_mask(task).reset();
  TaskAccess::mask(task).store(mask, std::memory_order_release);
  task.set_work(frame::kWorkSignal);
}

std::optional<abi::SigInfo> trace_peek_signal(Tracee& tracee, std::uint64_t index, bool shared) {
  RefPtr<Task> task;
  {
    const LockGuard guard(tree_lock);
    task = tracee.task;
  }
  if (!task) return std::nullopt;
  Process& process = task->process();
  const LockGuard guard(process.signal_lock());
  return (shared ? ProcessAccess::pending(process) : TaskAccess::pending(*task, process)).peek(index);
}

void trace_note_continue(Task& task) {
  const LockGuard guard(tree_lock);
  const auto& tracee = TaskAccess::tracee(task);
  if (!tracee || !tracee->seized) return;
  TaskAccess::trace_bits(task).fetch_or(Task::kTraceTrap, std::memory_order_acq_rel);
  task.set_work(frame::kWorkSignal);
  task.unpark();
  if (tracee->listening) wake_tracee(*tracee);
}

void trace_tracer_ends(Task& task) {
  while (is_anything_traced()) {
    RefPtr<Tracee> tracee;
    RefPtr<Task> target;
    RefPtr<Process> announce;
    bool kills = false;
    {
      const LockGuard guard(tree_lock);
      auto& tracees = ProcessAccess::tracees(task.process());
      RefPtr<Tracee> found(tracees.front());  // the list's own reference keeps it meanwhile
      while (found && found->tracer.get() != &task) found = RefPtr<Tracee>(tracees.next(*found));
      if (!found) return;
      kills = (found->options & abi::kPtraceOExitKill) != 0;
      if (found->is_dead_leader && foreign_tracer(*found->process) &&
          ProcessAccess::state(*found->process) == ProcessState::zombie)
        announce = RefPtr<Process>(found->process);
      tracee = unlink_tracee(*found);
      target = release_task(*found);
      // The signal that it stopped for is delivered, as on Linux.
      if (found->is_stopped()) found->signal = found->stop.is_signal ? found->stop.code : 0;
      wake_tracee(*found);
    }
    if (target && kills) (void)send_signal(target->process(), abi::SigInfo::from_kernel(abi::kSigKill));
    if (target) target->notify(frame::kWorkSignal);
    if (announce) announce_zombie(*announce);
  }
}

void trace_thread_ended(Task& task, std::int32_t status) {
  if (!is_anything_traced()) return;
  RefPtr<Tracee> tracee;
  RefPtr<Task> self;
  RefPtr<Process> tracer;
  Process& process = task.process();
  {
    const LockGuard guard(tree_lock);
    tracee = TaskAccess::tracee(task);
    if (!tracee) return;
    self = release_task(*tracee);
    tracee->dead_status = status;
    tracee->is_dead_leader = task.tid() == process.pid();
    if (tracee->is_dead_leader) {
      ProcessAccess::leader_tracee(process) = tracee;  // told when the process has ended
      return;
    }
    tracee->dead_tid = task.tid();
    id_table().add_use(task.tid());  // until the tracer has waited for it
    tracer = RefPtr<Process>(&tracee->tracer->process());
  }
  const bool killed = (status & 0x7f) != 0;
  tell_tracer(*tracer, abi::SigInfo::child(killed ? abi::kCldKilled : abi::kCldExited, static_cast<std::int32_t>(task.tid()),
                                           task.credentials().ruid, killed ? status & 0x7f : (status >> 8) & 0xff, 0, 0),
              false);
}

void trace_forget_leader(Process& process) {
  if (!is_anything_traced()) return;
  RefPtr<Tracee> tracee;
  const LockGuard guard(tree_lock);
  tracee = ProcessAccess::leader_tracee(process);
  if (!tracee) return;
  const RefPtr<Tracee> listed = unlink_tracee(*tracee);
}

Result<> trace_child(Task& parent, Task& child) {
  RefPtr<Tracee> model;
  RefPtr<Task> tracer;
  std::uint32_t options = 0;
  {
    const LockGuard guard(tree_lock);
    model = TaskAccess::tracee(parent);
    if (!model) return {};
    tracer = model->tracer;
    options = model->options;
  }
  const Ref<Tracee> fresh = TRY(make_ref<Tracee>(child, tracer, model->seized, options));
  if (!link_tracee(*fresh).ok()) return {};  // the tracer ends
  if (!model->seized) return send_signal(child, abi::SigInfo::from_sender(abi::kSigStop, abi::kSiUser, 0, 0));
  TaskAccess::trace_bits(child).fetch_or(Task::kTraceTrap, std::memory_order_acq_rel);
  child.set_work(frame::kWorkSignal);
  return {};
}

// --- wait(2) ---

void tell_tracer(Process& tracer, const abi::SigInfo& info, bool is_stop) {
  const abi::SigAction action = tracer.handlers()->get(abi::kSigChld);
  const bool wanted = action.handler != abi::kSigIgn && !(is_stop && (action.flags & abi::kSaNoCldStop) != 0);
  if (wanted) (void)send_signal(tracer, info);
  ProcessAccess::child_wait(tracer).wake_all();
}

bool is_traced_by(Process& process, const Process& tracer) {
  if (!is_anything_traced()) return false;
  const auto traces = [&tracer](const RefPtr<Tracee>& tracee) REQUIRES(tree_lock) { return tracee && &tracee->tracer->process() == &tracer; };
  if (const auto& ended = ProcessAccess::leader_tracee(process)) return traces(ended);
  const IdSlot* slot = id_table().find(process.pid());
  if (slot == nullptr || !slot->task) return false;
  const auto& leader = slot->task;
  return traces(TaskAccess::tracee(*leader));
}

RefPtr<Process> foreign_tracer(Process& process) {
  const auto& tracee = ProcessAccess::leader_tracee(process);
  if (!tracee) return nullptr;
  const auto& task = tracee->tracer;
  RefPtr<Process> tracer(&task->process());
  return tracer == ProcessAccess::parent(process) ? RefPtr<Process>() : tracer;
}

namespace {

// A thread that has ended. Of a first thread the end is that of its process.
bool report_dead(Tracee& tracee, Process& self, const WaitRequest& request, WaitOutcome& outcome, Reaped& reaped) REQUIRES(tree_lock) {
  if ((request.options & static_cast<std::uint32_t>(abi::kWExited)) == 0) return false;
  Process& process = *tracee.process;
  outcome.status = tracee.dead_status;
  if (tracee.is_dead_leader) {
    if (ProcessAccess::state(process) != ProcessState::zombie) return false;
    outcome.status = ProcessAccess::exit_status(process);
    outcome.uid = process.exit_uid();
    outcome.usage = ProcessAccess::final_usage(process);
    outcome.usage.add(ProcessAccess::children_usage(process));
  }
  if ((request.options & static_cast<std::uint32_t>(abi::kWNoWait)) != 0) return true;
  if (tracee.is_dead_leader && ProcessAccess::parent(process).get() != &self) reaped.announce = RefPtr<Process>(&process);
  reaped.tracee = unlink_tracee(tracee);
  return true;
}

}  // namespace

std::optional<WaitOutcome> look_at_tracees(Task& task, const WaitRequest& request, bool& any, Reaped& reaped) {
  Process& self = task.process();
  const bool own_only = (request.options & static_cast<std::uint32_t>(abi::kWNoThread)) != 0;
  auto& tracees = ProcessAccess::tracees(self);
  for (RefPtr<Tracee> tracee(tracees.front()); tracee; tracee = RefPtr<Tracee>(tracees.next(*tracee))) {
    if (own_only && tracee->tracer.get() != &task) continue;
    if (tracee->is_dead_leader && ProcessAccess::parent(*tracee->process).get() == &self) continue;  // seen as a child
    Pid pid = tracee->task ? tracee->task->tid() : tracee->dead_tid;
    if (tracee->is_dead_leader) pid = tracee->process->pid();
    if (request.kind == abi::kPPid && pid != request.id) continue;
    if (request.kind == abi::kPPgid && tracee->process->group() != request.id) continue;
    any = true;
    WaitOutcome outcome;
    outcome.pid = pid;
    if (!tracee->task) {
      if (report_dead(*tracee, self, request, outcome, reaped)) return outcome;
      continue;
    }
    if (!tracee->is_stopped() || tracee->reported || tracee->listening) continue;
    outcome.status = abi::wait_stopped(tracee->stop.code);
    outcome.trapped = true;
    if ((request.options & static_cast<std::uint32_t>(abi::kWNoWait)) == 0) tracee->reported = true;
    return outcome;
  }
  return std::nullopt;
}

Pid tracer_pid(Task& task) {
  if (!task.is_traced()) return Pid{};
  const LockGuard guard(tree_lock);
  const auto& tracee = TaskAccess::tracee(task);
  return tracee ? tracee->tracer->process().pid() : Pid{};
}

bool is_in_trace_stop(Task& task) {
  if (!task.is_traced()) return false;
  const LockGuard guard(tree_lock);
  const auto& tracee = TaskAccess::tracee(task);
  return tracee && tracee->is_stopped();
}

}  // namespace kernel
