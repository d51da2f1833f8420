#include "kernel/task/job_control.h"

#include "kernel/task/access.h"
#include "kernel/task/pid.h"
#include "kernel/task/tracee.h"

namespace kernel {

bool is_orphaned_group(Pid group, const Process* ignoring) {
  std::int32_t id = 0;
  while (IdSlot* slot = id_table().next(id)) {
    Process* process = slot->process.get();
    if (process == nullptr || process == ignoring || process->group() != group) continue;
    if (ProcessAccess::state(*process) != ProcessState::alive) continue;
    Process* parent = ProcessAccess::parent(*process).get();
    if (parent == nullptr) {
      // The first process: its parent, the host's shell, sees to it if it has the host's terminal.
      const ControllingTerminal* terminal = ProcessAccess::terminal(*process).get();
      if (terminal != nullptr && terminal->is_console()) return false;
      continue;
    }
    if (parent->group() != group && parent->session() == process->session()) return false;
  }
  return true;
}

void begin_group_stop(Task& task, int signo) {
  Process& process = task.process();
  if (signo != abi::kSigStop) {
    const LockGuard guard(tree_lock);
    if (is_orphaned_group(process.group(), nullptr)) return;
  }
  Vec<Ref<Task>> others;
  {
    Result<Vec<Ref<Task>>> all = process.threads();
    if (all.ok()) others = std::move(all).release();
  }
  {
    const LockGuard guard(process.signal_lock());
    if (process.is_exiting()) return;
    if (ProcessAccess::group_stop_signal(process) != 0) {
      // One that its tracer lets run in a stopped process stops like the others.
      if (task.is_traced() && !TaskAccess::stop_counted(task).exchange(true)) ++ProcessAccess::stop_waiting_for(process);
      return;
    }
    // SIGCONT may have come since the stop signal was taken: nothing tells the two orders apart for the sender, as on Linux.
    ProcessAccess::set_group_stop_signal(process, signo);
    std::uint32_t& waiting_for = ProcessAccess::stop_waiting_for(process);
    waiting_for = 0;
    auto& tasks = ProcessAccess::tasks(process);
    for (Task* other = tasks.front(); other != nullptr; other = tasks.next(*other)) {
      TaskAccess::stop_counted(*other) = true;
      other->set_work(frame::kWorkSignal);
      ++waiting_for;
    }
  }
  for (const Ref<Task>& other : others) {
    if (other.get() == &task) continue;
    other->notify(frame::kWorkSignal);
    other->unpark();
  }
}

bool must_stop(Task& task) { return task.process().is_stopping() && (!task.is_traced() || TaskAccess::stop_counted(task)); }

bool leave_group_stop_locked(Task& task, Process& process) {
  if (!TaskAccess::stop_counted(task)) return false;
  TaskAccess::stop_counted(task) = false;
  std::uint32_t& waiting_for = ProcessAccess::stop_waiting_for(process);
  KASSERT(waiting_for != 0);
  if (--waiting_for != 0) return false;
  return !ProcessAccess::stopped(process).exchange(true);  // told once, also if a tracee stops again
}

void stop_here(Task& task) {
  Process& process = task.process();
  bool last = false;
  int signo = 0;
  {
    const LockGuard guard(process.signal_lock());
    signo = ProcessAccess::group_stop_signal(process);
    if (signo == 0) return;
    last = leave_group_stop_locked(task, process);
  }
  if (last) report_stopped(process, signo);
  if (task.is_traced()) return trace_group_stop(task, signo);
  const Task::KillableSection killable(task);
  (void)ProcessAccess::stop_queue(process).wait([&task] { return task.is_dying() || !must_stop(task) || task.is_traced(); });
}

bool resume_process_locked(Process& process) {
  if (ProcessAccess::group_stop_signal(process) == 0) return false;
  const bool was_stopped = ProcessAccess::stopped(process).exchange(false);
  ProcessAccess::set_group_stop_signal(process, 0);
  ProcessAccess::stop_waiting_for(process) = 0;
  auto& tasks = ProcessAccess::tasks(process);
  for (Task* task = tasks.front(); task != nullptr; task = tasks.next(*task)) TaskAccess::stop_counted(*task) = false;
  ProcessAccess::stop_queue(process).wake_all();
  return was_stopped;
}

namespace {
constinit std::atomic<InitStopHook> init_stop_hook{nullptr};

// Tells the parent by SIGCHLD (unless SA_NOCLDSTOP) and by waking its wait().
void tell_parent(Process& process, std::int32_t code, std::int32_t status) {
  const RefPtr<Process> parent = process.parent();
  if (!parent) {
    const InitStopHook hook = init_stop_hook.load();
    if (code == abi::kCldStopped && hook != nullptr) hook();
    return;
  }
  const abi::SigAction action = parent->handlers()->get(abi::kSigChld);
  if (action.handler != abi::kSigIgn && (action.flags & abi::kSaNoCldStop) == 0) {
    const RefPtr<Task> any = process.any_thread();
    const std::uint32_t uid = any ? any->credentials_ref()->ruid : 0;
    const Usage usage = process.usage();
    constexpr std::uint64_t kTick = 1'000'000'000 / abi::kClockTicksPerSecond;
    (void)send_signal(*parent, abi::SigInfo::child(code, static_cast<std::int32_t>(process.pid()), uid, status, usage.user_ns / kTick,
                                                    usage.system_ns / kTick));
  }
  ProcessAccess::child_wait(*parent).wake_all();
}
}  // namespace

void set_init_stop_hook(InitStopHook hook) { init_stop_hook.store(hook); }

void report_stopped(Process& process, int signo) {
  {
    const LockGuard guard(tree_lock);
    ProcessAccess::stop_report(process) = signo;
    ProcessAccess::continue_report(process) = false;
    const RefPtr<Process>& parent = ProcessAccess::parent(process);
    if (parent && is_traced_by(process, *parent)) return;  // it is told as the tracer
  }
  tell_parent(process, abi::kCldStopped, signo);
}

void report_continued(Process& process) {
  {
    const LockGuard guard(tree_lock);
    ProcessAccess::stop_report(process) = 0;
    ProcessAccess::continue_report(process) = true;
  }
  tell_parent(process, abi::kCldContinued, abi::kSigCont);
}

void release_orphaned_groups(std::span<const Pid> groups, const Process* ignoring) {
  for (const Pid group : groups) {
    bool stopped = false;
    {
      const LockGuard guard(tree_lock);
      if (!is_orphaned_group(group, ignoring)) continue;
      std::int32_t id = 0;
      while (IdSlot* slot = id_table().next(id))
        if (slot->process && slot->process->group() == group && slot->process->is_stopped()) stopped = true;
    }
    if (!stopped) continue;
    (void)send_signal_to_group(group, abi::SigInfo::from_kernel(abi::kSigHup));
    (void)send_signal_to_group(group, abi::SigInfo::from_kernel(abi::kSigCont));
  }
}

}  // namespace kernel
