#include "kernel/task/signal.h"

#include <utility>

#include "kernel/task/access.h"
#include "kernel/task/job_control.h"
#include "kernel/task/posix_timers.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"
#include "kernel/task/tracee.h"

namespace kernel {

// --- Sending ---

namespace {

// What is left to do once the signal lock is released.
struct AfterSend {
  RefPtr<Task> wake;
  bool continued = false;  // tell the parent
  bool kill = false;
};

// Stop signals and SIGCONT cancel each other when they are generated, whatever their disposition.
void cancel_opposites(Process& process, int signo, AfterSend& after) REQUIRES(process.signal_lock()) {
  SignalSet remove = 0;
  if (signo == abi::kSigCont) remove = kStopSignals;
  if ((signal_bit(signo) & kStopSignals) != 0) remove = signal_bit(abi::kSigCont);
  if (remove == 0) return;
  ProcessAccess::pending(process).remove(remove);
  auto& tasks = ProcessAccess::tasks(process);
  for (Task* task = tasks.front(); task != nullptr; task = tasks.next(*task)) {
    TaskAccess::pending(*task, process).remove(remove);
    if (signo == abi::kSigCont && task->is_traced()) trace_note_continue(*task);
  }
  if (signo == abi::kSigCont) after.continued = resume_process_locked(process);
}

// The thread that shall take a signal of the process: one that does not block it, the first by preference.
Task* choose_target(Process& process, int signo) REQUIRES(process.signal_lock()) {
  auto& tasks = ProcessAccess::tasks(process);
  for (Task* task = tasks.front(); task != nullptr; task = tasks.next(*task))
    if ((task->signal_mask() & signal_bit(signo)) == 0 && !task->is_dying()) return task;
  return nullptr;
}

bool runs_here(Task& task) { return frame::this_vcpu().current == &task.context(); }

// The signal is one that its target, which does not block it, ignores.
bool is_dropped(Process& process, Task& target, int signo) REQUIRES(process.signal_lock()) {
  return runs_here(target) ? process.own_table_ignores(signo) : process.handlers()->ignores(signo);
}

// nullopt: a node is needed.
std::optional<Result<>> try_queue(Process& process, Task* only, const abi::SigInfo& info, Own<QueuedSignal> node, bool has_tried, AfterSend& after)
    EXCLUDES(process.signal_lock()) {
  const bool realtime = info.signo >= abi::kSigRtMin;
  const std::uint64_t limit = realtime ? process.rlimit_current(abi::Rlimit::sigpending) : 0;
  const LockGuard guard(process.signal_lock());
  if (process.is_exiting() || (only != nullptr && TaskAccess::exited(*only))) return Result<>();
  PendingSignals& pending = only != nullptr ? TaskAccess::pending(*only, process) : ProcessAccess::pending(process);
  if (!has_tried && info.signo != abi::kSigKill && !pending.has_spare()) return std::nullopt;
  cancel_opposites(process, info.signo, after);
  if (info.signo == abi::kSigKill) {
    after.kill = true;
    return Result<>();
  }
  Task* target = only != nullptr ? only : choose_target(process, info.signo);
  const bool blocked = target == nullptr || (target->signal_mask() & signal_bit(info.signo)) != 0;
  if (!blocked && is_dropped(process, *target, info.signo) && !target->is_traced()) return Result<>();
  // A timer's signal has a place of its own in Linux's queue, which the limit does not count.
  const bool is_over = pending.queued() >= limit && (info.code != abi::kSiTimer || pending.queued() - limit >= PendingSignals::kMostTimers);
  if (realtime && (is_over || !node)) {
    // kill() of a real-time signal still arrives, without its siginfo; queued ones are refused.
    if (info.code != abi::kSiUser && info.code != abi::kSiKernel) return Result<>(Errno::again);
    node = Own<QueuedSignal>();
  }
  if (!pending.add(info, node)) return Result<>();
  // The read-modify-write of the pending set and the exchange of the waiters' lock order this look against a waiter's own.
  if (process.signal_arrived().has_waiters()) process.signal_arrived().wake_all(1);
  if (target == nullptr || blocked) return Result<>();
  if (runs_here(*target))
    target->set_work(frame::kWorkSignal);  // it sees it on its way back
  else
    after.wake = RefPtr<Task>(target);
  return Result<>();
}

// Nodes are made without the lock. Standard signals mostly need none.
Result<> queue_signal(Process& process, Task* only, const abi::SigInfo& info, AfterSend& after) EXCLUDES(process.signal_lock()) {
  if (info.signo < abi::kSigRtMin)
    if (const std::optional<Result<>> done = try_queue(process, only, info, {}, false, after)) return *done;
  Own<QueuedSignal> node;
  if (Result<Own<QueuedSignal>> made = make_own<QueuedSignal>(); made.ok()) node = std::move(made).release();
  return *try_queue(process, only, info, std::move(node), true, after);
}

Result<> send(Process& process, Task* only, const abi::SigInfo& info) {
  AfterSend after;
  const Result<> result = queue_signal(process, only, info, after);
  if (after.kill) process.request_exit(abi::wait_signaled(abi::kSigKill, false));
  if (after.continued) report_continued(process);
  if (after.wake) after.wake->notify(frame::kWorkSignal);
  return result;
}

}  // namespace

Result<> send_signal(Process& process, const abi::SigInfo& info) { return send(process, nullptr, info); }
Result<> send_signal(Task& task, const abi::SigInfo& info) { return send(task.process(), &task, info); }

Result<> send_signal_to_group(Pid group, const abi::SigInfo& info) {
  const Vec<Ref<Process>> members = TRY(group_members(group));
  bool found = false;
  for (const Ref<Process>& member : members) {
    if (member->state() != ProcessState::alive) continue;
    found = true;
    TRY(send_signal(*member, info));
  }
  return found ? Result<>() : Result<>(Errno::srch);
}

void force_signal(Task& task, const abi::SigInfo& info) {
  Process& process = task.process();
  const Ref<SignalHandlers> handlers = process.handlers();
  const bool blocked = (task.signal_mask() & signal_bit(info.signo)) != 0;
  if (blocked || handlers->get(info.signo).handler == abi::kSigIgn) {
    abi::SigAction fallback{};
    handlers->exchange(info.signo, fallback);
    TaskAccess::mask(task).fetch_and(~signal_bit(info.signo), std::memory_order_acq_rel);
  }
  (void)send_signal(task, info);  // standard signals are never refused
  task.set_work(frame::kWorkSignal);
}

void raise_signal(Task& task, int signo) {
  (void)send_signal(task, abi::SigInfo::from_sender(signo, abi::kSiUser, static_cast<std::int32_t>(task.process().pid()),
                                                     task.credentials_ref()->ruid));
}

abi::SigAction change_action(Process& process, int signo, const abi::SigAction& action) {
  const Ref<SignalHandlers> handlers = process.handlers();
  const abi::SigAction old = handlers->exchange(signo, action);
  if (!is_ignored(action, signo)) return old;
  const LockGuard guard(process.signal_lock());
  ProcessAccess::pending(process).remove(signal_bit(signo));
  auto& tasks = ProcessAccess::tasks(process);
  for (Task* task = tasks.front(); task != nullptr; task = tasks.next(*task)) TaskAccess::pending(*task, process).remove(signal_bit(signo));
  return old;
}

std::optional<abi::SigInfo> dequeue_signal(Task& task, SignalSet from) {
  Process& process = task.process();
  if (((task.pending().set() | process.pending_signals()) & from) == 0) return std::nullopt;
  std::optional<abi::SigInfo> info;
  {
    const LockGuard guard(process.signal_lock());
    PendingSignals& own = TaskAccess::pending(task, process);
    info = (own.set() & from) != 0 ? own.take(from) : ProcessAccess::pending(process).take(from);
  }
  if (info && info->code == abi::kSiTimer) info = process.timers().note_taken(*info);
  return info;
}

bool is_timer_queued(Process& process, const Task* only, std::int32_t id) {
  const LockGuard guard(process.signal_lock());
  return only != nullptr ? only->pending().has_timer(id) : ProcessAccess::pending(process).has_timer(id);
}

void drop_timer_signals(Process& process, Task* only, std::optional<std::int32_t> id) {
  const LockGuard guard(process.signal_lock());
  PendingSignals& pending = only != nullptr ? TaskAccess::pending(*only, process) : ProcessAccess::pending(process);
  pending.remove_timer(id);
}

Result<> may_signal(const Task& sender, const Process& target, int signo) {
  const Credentials& who = sender.credentials();
  if (who.has(Capability::kill) || &sender.process() == &target) return {};
  if (signo == abi::kSigCont && sender.process().session() == target.session()) return {};
  const RefPtr<Task> any = target.any_thread();
  if (!any) return {};  // a zombie: the signal has no effect
  const Ref<const Credentials> theirs = any->credentials_ref();
  const auto allowed = [&theirs](std::uint32_t uid) { return uid == theirs->ruid || uid == theirs->suid; };
  return allowed(who.euid) || allowed(who.ruid) ? Result<>() : Result<>(Errno::perm);
}

}  // namespace kernel
