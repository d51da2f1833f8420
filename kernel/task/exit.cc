#include "kernel/task/exit.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/exec_files.h"
#include "kernel/task/futex.h"
#include "kernel/task/job_control.h"
#include "kernel/task/pid.h"
#include "kernel/task/posix_timers.h"
#include "kernel/task/sysv_sem.h"
#include "kernel/task/terminal.h"
#include "kernel/task/tracee.h"

namespace kernel {

namespace {

constinit std::atomic<InitExitHook> init_exit_hook{nullptr};
constexpr Pid kInitPid{1};

// The process that adopts the children of `dying`: the nearest living ancestor that asked for it, else the first process.
Process* find_reaper(Process& dying) REQUIRES(tree_lock) {
  for (Process* up = ProcessAccess::parent(dying).get(); up != nullptr; up = ProcessAccess::parent(*up).get())
    if (up->child_subreaper.load() && ProcessAccess::state(*up) == ProcessState::alive) return up;
  IdSlot* slot = id_table().find(kInitPid);
  return slot != nullptr && slot->process.get() != &dying ? slot->process.get() : nullptr;
}

// What is left to do for relatives once the tree lock is released.
struct Bereaved {
  Vec<Ref<Process>> death_signals;  // children that want a signal when their parent dies
  Vec<Pid> loosened;                // groups that may be orphaned now
  RefPtr<Process> reaper;
  bool reaper_has_zombies = false;
};

void give_children_away(Process& process, Bereaved& after) EXCLUDES(tree_lock) {
  const LockGuard guard(tree_lock);
  Process* reaper = find_reaper(process);
  auto& children = ProcessAccess::children(process);
  while (Process* child = children.pop_front()) {
    ProcessAccess::set_parent(*child, RefPtr<Process>(reaper));
    if (child->parent_death_signal.load() != 0) (void)after.death_signals.try_push(Ref<Process>(*child));
    if (reaper == nullptr) continue;
    ProcessAccess::children(*reaper).push_back(*child);
    ProcessAccess::exit_signal(*child) = abi::kSigChld;
    if (ProcessAccess::state(*child) == ProcessState::zombie) after.reaper_has_zombies = true;
  }
  after.reaper = RefPtr<Process>(reaper);
}

// Takes a zombie out of the tables. The references that kept it come back, to be dropped without the lock.
RefPtr<Process> reap_locked(Process& process, RefPtr<Tracee>& tracee) REQUIRES(tree_lock) {
  ProcessAccess::state(process) = ProcessState::reaped;
  tracee = ProcessAccess::leader_tracee(process);
  if (tracee) (void)unlink_tracee(*tracee);
  if (process.ListNode<ChildTag>::is_linked()) process.ListNode<ChildTag>::unlink();
  IdSlot* slot = id_table().find(process.pid());
  KASSERT(slot != nullptr);
  RefPtr<Process> kept = std::exchange(slot->process, RefPtr<Process>());
  id_table().drop_use(process.group());
  id_table().drop_use(process.session());
  id_table().drop_use(process.pid());
  return kept;
}

// The groups that may lose their last link to the session with this process: its own, if its parent links it, and those of its children.
void note_loosened_groups(Process& process, Bereaved& after) EXCLUDES(tree_lock) {
  const LockGuard guard(tree_lock);
  const auto links = [](const Process* parent, const Process& child) {
    return parent == nullptr || (parent->group() != child.group() && parent->session() == child.session());
  };
  // Without memory for the list a stopped group stays stopped: it can still be continued or killed by hand.
  if (links(ProcessAccess::parent(process).get(), process)) (void)after.loosened.try_push(process.group());
  auto& children = ProcessAccess::children(process);
  for (Process* child = children.front(); child != nullptr; child = children.next(*child)) {
    const bool known = std::find(after.loosened.begin(), after.loosened.end(), child->group()) != after.loosened.end();
    if (!known && links(&process, *child)) (void)after.loosened.try_push(child->group());
  }
}

// CLD_* code and si_status of a wait-status word of a process that ended.
std::pair<std::int32_t, std::int32_t> describe_exit(std::int32_t status) {
  if ((status & 0x7f) == 0) return {abi::kCldExited, (status >> 8) & 0xff};
  return {(status & 0x80) != 0 ? abi::kCldDumped : abi::kCldKilled, status & 0x7f};
}

// What becomes of a zombie as far as its parent is concerned.
struct ZombieNews {
  RefPtr<Process> parent;
  int signo = 0;
  bool autoreap = false;  // the parent does not care
};

ZombieNews zombie_news(Process& process) EXCLUDES(tree_lock) {
  ZombieNews news;
  {
    const LockGuard guard(tree_lock);
    news.parent = ProcessAccess::parent(process);
    news.signo = ProcessAccess::exit_signal(process);
  }
  news.autoreap = !news.parent;
  const auto& parent = news.parent;
  if (parent && news.signo == abi::kSigChld) {
    const abi::SigAction action = parent->handlers()->get(abi::kSigChld);
    news.autoreap = action.handler == abi::kSigIgn || (action.flags & abi::kSaNoCldWait) != 0;
    if (action.handler == abi::kSigIgn) news.signo = 0;
  }
  return news;
}

abi::SigInfo exit_info(Process& process, std::int32_t status, const Usage& usage, std::uint32_t uid) {
  const auto [code, value] = describe_exit(status);
  constexpr std::uint64_t kTick = 1'000'000'000 / abi::kClockTicksPerSecond;
  return abi::SigInfo::child(code, static_cast<std::int32_t>(process.pid()), uid, value, usage.user_ns / kTick, usage.system_ns / kTick);
}

void tell_of_zombie(const ZombieNews& news, abi::SigInfo info) {
  const auto& parent = news.parent;
  if (!parent) return;
  info.signo = news.signo;
  if (news.signo != 0) (void)send_signal(*parent, info);
  ProcessAccess::child_wait(*parent).wake_all();
}

// Makes the process a zombie, or reaps it at once if the parent does not care. Its threads are gone. A tracer that is not the parent sees
// it first.
void become_zombie(Process& process, std::int32_t status, const Usage& usage, std::uint32_t uid) {
  ZombieNews news = zombie_news(process);
  RefPtr<Process> kept;
  RefPtr<Tracee> tracee;
  RefPtr<Process> tracer;
  {
    const LockGuard guard(tree_lock);
    ProcessAccess::exit_status(process) = status;
    ProcessAccess::exit_uid(process) = uid;
    ProcessAccess::final_usage(process) = usage;
    ProcessAccess::state(process) = ProcessState::zombie;
    tracer = foreign_tracer(process);
    if (news.autoreap && !tracer) kept = reap_locked(process, tracee);
    news.parent = ProcessAccess::parent(process);  // it may have died meanwhile
  }
  process.ended().wake_all();
  const abi::SigInfo info = exit_info(process, status, usage, uid);
  if (tracer)
    tell_tracer(*tracer, info, false);
  else
    tell_of_zombie(news, info);
}

// The last task unmaps everything, while its memory is still the one in place: then nothing of it has to be kept for an exchange.
void leave_memory(Task& task) {
  const RefPtr<AddressSpace> mm = std::exchange(TaskAccess::mm(task), RefPtr<AddressSpace>());
  mm->drop_user();
  task.set_user_space(nullptr);
}

// The last thread has left the list: everything the process owned goes.
void finish_process(Task& task, Process& process, std::int32_t status) {
  process.timers().cancel_all();
  process.drop_aio();
  const std::uint32_t uid = task.credentials().ruid;
  Usage usage = process.usage();
  if (const RefPtr<AddressSpace> mm = process.mm()) usage.max_rss = mm->usage().peak_resident;
  ProcessAccess::set_mm(process, nullptr);
  leave_memory(task);
  process.set_executable(nullptr);
  finish_vfork(task);
  leave_terminal_at_exit(process);
  Bereaved bereaved;
  note_loosened_groups(process, bereaved);
  give_children_away(process, bereaved);
  for (const Ref<Process>& child : bereaved.death_signals)
    (void)send_signal(*child, abi::SigInfo::from_sender(child->parent_death_signal.load(), abi::kSiUser,
                                                         static_cast<std::int32_t>(process.pid()), uid));
  if (bereaved.reaper && bereaved.reaper_has_zombies) {
    (void)send_signal(*bereaved.reaper, abi::SigInfo::from_kernel(abi::kSigChld));
    ProcessAccess::child_wait(*bereaved.reaper).wake_all();
  }
  release_orphaned_groups(bereaved.loosened.span(), &process);
  become_zombie(process, status, usage, uid);
  if (process.pid() == kInitPid) {
    const InitExitHook hook = init_exit_hook.load();
    if (hook != nullptr) hook(status);
  }
}

// Takes the task out of its process. True if it was the last thread.
bool leave_process(Task& task, Process& process, std::int32_t own_status, std::int32_t& process_status) {
  bool last = false;
  bool all_stopped = false;
  int stop_signal = 0;
  if (task.tid() == process.pid()) process.keep_leader_name(task.name());
  {
    const LockGuard guard(process.signal_lock());
    task.ListNode<TaskListTag>::unlink();
    TaskAccess::exited(task) = true;
    TaskAccess::pending(task, process).clear();
    all_stopped = leave_group_stop_locked(task, process);
    stop_signal = ProcessAccess::group_stop_signal(process);
    const CpuTimes times = task.cpu_times();
    Usage ended;
    ended.user_ns = times.user_ns;
    ended.system_ns = times.system_ns;
    ended.voluntary_switches = task.voluntary_switches();
    ended.involuntary_switches = task.involuntary_switches();
    ProcessAccess::ended_usage(process).add(ended);
    std::int32_t& requested = ProcessAccess::requested_status(process);
    if (!process.is_exiting() && task.tid() == process.pid()) requested = own_status;
    last = ProcessAccess::tasks(process).empty();
    process_status = requested;
    if (last) ProcessAccess::exiting(process).store(true, std::memory_order_release);
    ProcessAccess::thread_count(process).fetch_sub(1, std::memory_order_acq_rel);
  }
  if (!last && all_stopped) report_stopped(process, stop_signal);
  if (!last) ProcessAccess::thread_ended(process).wake_all();
  return last;
}

void drop_id(Task& task) {
  RefPtr<Task> kept;
  const LockGuard guard(tree_lock);
  IdSlot* slot = id_table().find(task.tid());
  KASSERT(slot != nullptr);
  if (slot->task.get() == &task) kept = std::exchange(slot->task, RefPtr<Task>());
  id_table().drop_use(task.tid());
}

// The wait-status word of a thread that ends: that of its process if that ends, too.
std::int32_t status_of_thread(Process& process, std::int32_t own_status) {
  const LockGuard guard(process.signal_lock());
  return process.is_exiting() ? ProcessAccess::requested_status(process) : own_status;
}

void finish_task(Task& task, std::int32_t own_status) {
  TaskAccess::dying(task).store(true, std::memory_order_release);
  Process& process = task.process();
  const bool is_traced = task.is_traced();
  const std::int32_t told_status = is_traced ? status_of_thread(process, own_status) : 0;
  if (is_traced) (void)trace_event(task, abi::kPtraceEventExit, static_cast<std::uint64_t>(static_cast<std::uint32_t>(told_status)));
  trace_tracer_ends(task);
  // A thread that others may join or whose locks they wait for tells them while it still has its memory.
  futex_on_exit(task);
  sem_leave_undo(task);
  task.set_files(nullptr);
  task.set_fs(nullptr);
  // A signal of the process that only this thread could take goes to the others.
  task.pass_signals_on();
  std::int32_t process_status = 0;
  const bool last = leave_process(task, process, own_status, process_status);
  trace_thread_ended(task, told_status);
  if (last) {
    finish_process(task, process, process_status);
  } else {
    leave_memory(task);
    finish_vfork(task);
  }
  drop_id(task);
  note_task_ended();
}

}  // namespace

void announce_zombie(Process& process) {
  const ZombieNews news = zombie_news(process);
  RefPtr<Process> kept;
  RefPtr<Tracee> tracee;
  abi::SigInfo info{};
  {
    const LockGuard guard(tree_lock);
    if (ProcessAccess::state(process) != ProcessState::zombie) return;
    info = exit_info(process, ProcessAccess::exit_status(process), ProcessAccess::final_usage(process), process.exit_uid());
    if (news.autoreap) kept = reap_locked(process, tracee);
  }
  tell_of_zombie(news, info);
}

void set_init_exit_hook(InitExitHook hook) { init_exit_hook.store(hook); }

void finish_vfork(Task& task) {
  const RefPtr<Completion> done = std::exchange(TaskAccess::vfork_done(task), RefPtr<Completion>());
  if (done) done->complete();
}

void exit_one_thread(Task& task, std::int32_t code) {
  finish_task(task, abi::wait_exited(code));
  exit_thread();
}

void exit_whole_process(Task& task, std::int32_t code) {
  task.process().request_exit(abi::wait_exited(code));
  exit_dying_task(task);
}

void exit_dying_task(Task& task) {
  finish_task(task, abi::wait_signaled(abi::kSigKill, false));
  exit_thread();
}

Result<> become_only_thread(Task& task) {
  Process& process = task.process();
  {
    const LockGuard guard(process.signal_lock());
    if (process.is_exiting() || ProcessAccess::exec_task(process)) return Errno::again;
    if (process.thread_count() > 1) ProcessAccess::exec_task(process) = RefPtr<Task>(&task);
  }
  if (process.thread_count() > 1) {
    process.kill_other_threads(&task);
    const Task::KillableSection killable(task);
    (void)ProcessAccess::thread_ended(process).wait(
        [&] { return process.thread_count() == 1 || task.is_dying(); });
    RefPtr<Task> self;
    const LockGuard guard(process.signal_lock());
    std::swap(self, ProcessAccess::exec_task(process));
    if (task.is_dying()) return Errno::again;
  }
  if (task.tid() == process.pid()) return {};
  trace_forget_leader(process);
  // The leader has ended; its number is the process's and becomes this thread's.
  RefPtr<Task> kept;
  const LockGuard guard(tree_lock);
  IdSlot* old_slot = id_table().find(task.tid());
  IdSlot* new_slot = id_table().find(process.pid());
  KASSERT(old_slot != nullptr && new_slot != nullptr);
  kept = std::exchange(new_slot->task, std::exchange(old_slot->task, RefPtr<Task>()));
  id_table().add_use(process.pid());
  id_table().drop_use(task.tid());
  TaskAccess::set_tid(task, process.pid());
  return {};
}

// --- wait ---

namespace {

bool matches(const Process& child, const WaitRequest& request) REQUIRES(tree_lock) {
  if (request.kind == abi::kPPid && child.pid() != request.id) return false;
  if (request.kind == abi::kPPgid && child.group() != request.id) return false;
  return true;
}

bool wants_clone_kind(int exit_signal, std::uint32_t options) {
  if ((options & static_cast<std::uint32_t>(abi::kWAll)) != 0) return true;
  return (exit_signal != abi::kSigChld) == ((options & abi::kWClone) != 0);
}

// Looks once through the children. `any` tells whether there is one to wait for.
std::optional<WaitOutcome> look(Task& task, const WaitRequest& request, bool& any, Reaped& reaped) EXCLUDES(tree_lock) {
  Process& parent = task.process();
  const auto wants = [&request](std::int32_t option) { return (request.options & static_cast<std::uint32_t>(option)) != 0; };
  any = false;
  const LockGuard guard(tree_lock);
  auto& children = ProcessAccess::children(parent);
  for (Process* child = children.front(); child != nullptr; child = children.next(*child)) {
    const bool is_own_tracee = is_traced_by(*child, parent);
    if (!matches(*child, request) || (!is_own_tracee && !wants_clone_kind(ProcessAccess::exit_signal(*child), request.options))) continue;
    any = true;
    WaitOutcome outcome{.pid = child->pid(), .uid = 0, .status = 0, .usage = ProcessAccess::final_usage(*child)};
    if (ProcessAccess::state(*child) == ProcessState::zombie) {
      if (!wants(abi::kWExited) || foreign_tracer(*child)) continue;
      outcome.usage.add(ProcessAccess::children_usage(*child));
      outcome.status = ProcessAccess::exit_status(*child);
      outcome.uid = child->exit_uid();
      if (!wants(abi::kWNoWait)) {
        ProcessAccess::children_usage(parent).add(outcome.usage);
        reaped.process = reap_locked(*child, reaped.tracee);
      }
      return outcome;
    }
    if (wants(abi::kWStopped) && !is_own_tracee && ProcessAccess::stop_report(*child) != 0) {
      outcome.status = abi::wait_stopped(ProcessAccess::stop_report(*child));
      if (!wants(abi::kWNoWait)) ProcessAccess::stop_report(*child) = 0;
      return outcome;
    }
    if (wants(abi::kWContinued) && ProcessAccess::continue_report(*child)) {
      outcome.status = abi::kWaitContinued;
      if (!wants(abi::kWNoWait)) ProcessAccess::continue_report(*child) = false;
      return outcome;
    }
  }
  return is_anything_traced() ? look_at_tracees(task, request, any, reaped) : std::nullopt;
}

}  // namespace

Result<std::optional<WaitOutcome>> wait_for_child(Task& task, const WaitRequest& request) {
  const Ref<Task> self(task);
  std::optional<WaitOutcome> outcome;
  Reaped reaped;
  bool any = false;
  const auto ready = [&] {
    outcome = look(*self, request, any, reaped);
    return outcome.has_value() || !any;
  };
  if ((request.options & static_cast<std::uint32_t>(abi::kWNoHang)) != 0) {
    (void)ready();
  } else {
    TRY(ProcessAccess::child_wait(task.process()).wait(ready));
  }
  if (const auto& zombie = reaped.announce) announce_zombie(*zombie);
  if (!outcome && !any) return Errno::child;
  return outcome;
}

}  // namespace kernel
