#include "kernel/task/clone.h"

#include <utility>

#include "abi/sched.h"

#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/host/log.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/exec_files.h"
#include "kernel/task/exit.h"
#include "kernel/task/pid.h"
#include "kernel/task/posix_timers.h"
#include "kernel/task/residency.h"
#include "kernel/task/sysv_sem.h"
#include "kernel/task/tracee.h"

namespace kernel {

namespace {

// Gives a reserved id back unless it was taken into use.
class IdReservation {
 public:
  explicit IdReservation(Pid id) : id_(id) {}
  ~IdReservation() {
    if (id_ == Pid{}) return;
    const LockGuard guard(tree_lock);
    id_table().drop_use(id_);
  }
  IdReservation(const IdReservation&) = delete;
  IdReservation& operator=(const IdReservation&) = delete;
  Pid id() const { return id_; }
  void keep() { id_ = Pid{}; }

 private:
  Pid id_;
};

Result<> check_flags(const Task& parent, const CloneRequest& request) {
  const std::uint64_t flags = request.flags;
  const auto has = [flags](std::uint64_t bits) { return (flags & bits) == bits; };
  if ((flags & (abi::kCloneNamespaces | abi::kCloneNewTime)) != 0) return Errno::inval;  // there is one namespace of each kind
  if ((flags & abi::kCloneIntoCgroup) != 0) return Errno::inval;
  if (has(abi::kClonePidFd) && (flags & (abi::kCloneThread | abi::kCloneDetached)) != 0) return Errno::inval;
  if (has(abi::kCloneThread) && !has(abi::kCloneSigHand)) return Errno::inval;
  if (has(abi::kCloneSigHand) && !has(abi::kCloneVm)) return Errno::inval;
  if (has(abi::kCloneSigHand | abi::kCloneClearSigHand)) return Errno::inval;
  if (has(abi::kCloneParent) && parent.process().parent_pid() == Pid{}) return Errno::inval;
  const Credentials& who = parent.credentials();
  const std::uint64_t limit = parent.process().rlimit_current(abi::Rlimit::nproc);
  if (task_count() >= limit && !(who.ruid == 0 || who.has(Capability::sys_resource) || who.has(Capability::sys_admin)))
    return Errno::again;
  return {};
}

Result<Ref<Process>> make_process(Task& parent, const CloneRequest& request, Pid pid, Ref<AddressSpace> mm) {
  Process& old = parent.process();
  const Ref<SignalHandlers> old_handlers = old.handlers();
  Ref<SignalHandlers> handlers = old_handlers;
  if ((request.flags & abi::kCloneClearSigHand) != 0)
    handlers = TRY(old_handlers->copy(true));
  else if ((request.flags & abi::kCloneSigHand) == 0)
    handlers = TRY(old_handlers->copy(false));
  Ref<Process> fresh = TRY(make_ref<Process>(pid, handlers, mm));
  ProcessAccess::set_timers(*fresh, TRY(make_own<PosixTimers>(*fresh)));
  ProcessAccess::copy_limits(old, *fresh);
  fresh->set_layout(old.layout());
  fresh->set_executable(old.executable());
  fresh->dumpable = old.dumpable.load();
  fresh->personality = old.personality.load();
  fresh->no_new_privileges = old.no_new_privileges.load();
  fresh->oom_score_adj = old.oom_score_adj.load();
  return fresh;
}

Result<> copy_resources(Task& parent, Task& child, std::uint64_t flags) {
  const Ref<ProcessResource> files(parent.files());
  const Ref<ProcessResource> fs(parent.fs());
  child.set_files((flags & abi::kCloneFiles) != 0 ? files : TRY(files->clone()));
  child.set_fs((flags & abi::kCloneFs) != 0 ? fs : TRY(fs->clone()));
  return {};
}

// Registers, vector state, names, settings: what a child has of its parent.
Result<> copy_state(Task& parent, Task& child, const frame::TrapFrame& frame, const CloneRequest& request) {
  TRY(child.allocate_stack(true));
  save_user_state();
  copy_bytes(child.xsave_area(), parent.xsave_area());
  child.context().fs_base = parent.context().fs_base;
  if ((request.flags & abi::kCloneSetTls) != 0) TRY(set_user_fs_base(child, request.tls));
  frame::TrapFrame& registers = child.trap_frame();
  registers = frame;
  registers.mark_full();
  if ((parent.trace_bits() & Task::kTraceStep) != 0) registers.rflags &= ~std::uint64_t{0x100};  // the step is the parent's
  registers.rax = 0;
  registers.orig_rax = ~std::uint64_t{0};
  if (request.stack != 0) registers.rsp = request.stack;

  const std::array<char, abi::kTaskCommLength> name = parent.name();
  child.set_name(std::string_view(name.data(), name.size()).substr(0, std::string_view(name.data(), name.size()).find('\0')));
  TaskAccess::mask(child).store(TaskAccess::saved_mask(parent).value_or(parent.signal_mask()));
  if ((request.flags & abi::kCloneVm) == 0 || (request.flags & abi::kCloneVfork) != 0) child.altstack = parent.altstack;
  if ((request.flags & abi::kCloneChildClearTid) != 0) child.clear_child_tid = request.child_tid;
  child.timer_slack_ns = parent.timer_slack_ns;
  child.io_priority = parent.io_priority;
  if (!parent.sched_reset_on_fork) {
    child.nice = parent.nice;
    child.policy = parent.policy;
    child.rt_priority = parent.rt_priority;
  } else {
    child.nice = parent.nice > 0 ? parent.nice : 0;
  }
  child.set_affinity(parent.affinity());
  child.set_schedule(static_cast<SchedClass>(child.policy == abi::kSchedIdle ? 4 : child.policy), child.rt_priority, child.nice);
  return {};
}

// Makes the child visible. From here on it can be found, signalled and killed.
Result<> publish_thread(Process& process, Task& child) {
  {
    const LockGuard guard(tree_lock);
    id_table().find(child.tid())->task = RefPtr<Task>(&child);
  }
  bool refused = false;
  {
    const LockGuard guard(process.signal_lock());
    refused = process.is_exiting() || static_cast<bool>(ProcessAccess::exec_task(process));
    if (!refused) {
      ProcessAccess::tasks(process).push_back(child);
      ProcessAccess::thread_count(process).fetch_add(1, std::memory_order_acq_rel);
      if (process.is_stopping() && !process.is_stopped()) {
        TaskAccess::stop_counted(child) = true;
        ++ProcessAccess::stop_waiting_for(process);
      }
      child.set_work(frame::kWorkSignal);  // it may have been born into a stop, or with a pending signal
    }
  }
  if (!refused) return {};
  RefPtr<Task> kept;
  const LockGuard guard(tree_lock);
  kept = std::exchange(id_table().find(child.tid())->task, RefPtr<Task>());
  return Errno::again;
}

// False: its maker is being killed, and so must it be. Whoever kills several processes looks under the same lock whether all have been told
// (sys_kill): a child is found there or comes with this answer.
bool publish_process(Process& process, RefPtr<Process> parent, const Process* maker_process, Pid maker, int exit_signal) {
  const LockGuard guard(tree_lock);
  ProcessAccess::forked_by(process) = maker;
  const Pid group = parent ? parent->group() : process.pid();
  const Pid session = parent ? parent->session() : process.pid();
  if (parent && ProcessAccess::state(*parent) != ProcessState::alive) parent = id_table().find(Pid{1})->process;
  ProcessAccess::set_parent(process, parent);
  ProcessAccess::exit_signal(process) = exit_signal;
  ProcessAccess::set_group(process, group);
  ProcessAccess::set_session(process, session);
  if (parent) ProcessAccess::terminal(process) = ProcessAccess::terminal(*parent);
  id_table().add_use(process.pid());
  id_table().add_use(group);
  id_table().add_use(session);
  id_table().find(process.pid())->process = RefPtr<Process>(&process);
  if (parent) ProcessAccess::children(*parent).push_back(process);
  return maker_process == nullptr || !maker_process->is_exiting();
}

}  // namespace

namespace {

// The event that the tracer of `parent` may want to see.
std::int32_t event_of(const CloneRequest& request) {
  if ((request.flags & abi::kCloneVfork) != 0) return abi::kPtraceEventVfork;
  return (request.flags & abi::kCloneThread) != 0 || request.exit_signal != abi::kSigChld ? abi::kPtraceEventClone : abi::kPtraceEventFork;
}

bool child_is_traced(Task& parent, const CloneRequest& request) {
  if ((request.flags & abi::kClonePtrace) != 0) return true;
  return (request.flags & abi::kCloneUntraced) == 0 && wants_trace_event(parent, event_of(request));
}

// The rest of clone_task(): the child is complete but for its copy of the memory, if it gets one, and nobody knows it yet.
Result<> launch(Task& parent, Process& process, Task& child, const CloneRequest& request) {
  const bool forks = (request.flags & abi::kCloneVm) == 0;
  if ((request.flags & abi::kCloneSysVSem) != 0) TRY(sem_make_undo(parent));
  // If nobody else runs on this memory the child goes first: most children replace or end it soon, and what they have not touched by
  // then need not be copied back.
  if (forks) TRY(parent.mm().fork_into(child.mm(), parent.mm().users() == 1));
  TRY(publish_thread(process, child));
  if ((request.flags & abi::kCloneSysVSem) != 0) sem_share_undo(parent, child);
  if ((request.flags & abi::kCloneThread) == 0) {
    const RefPtr<Process> relative = (request.flags & abi::kCloneParent) != 0 ? parent.process().parent() : RefPtr<Process>(&parent.process());
    if (!publish_process(process, relative, &parent.process(), parent.tid(), request.exit_signal))
      process.request_exit(abi::wait_signaled(abi::kSigKill, false));
    // Not earlier: the timer's signal must find a process that ends like any other.
    if (const abi::RlimitPair cpu = process.rlimit(abi::Rlimit::cpu); cpu.current != abi::kRlimInfinity || cpu.maximum != abi::kRlimInfinity)
      process.timers().set_cpu_limit(cpu.current, cpu.maximum);
  }
  if (request.observer != nullptr) request.observer->on_child(process);
  if (parent.is_traced() && child_is_traced(parent, request)) (void)trace_child(parent, child);  // without memory it runs untraced
  note_task_started();
  child.start();
  return {};
}

}  // namespace

Result<Pid> clone_task(Task& parent, const frame::TrapFrame& frame, const CloneRequest& request) {
  TRY(check_flags(parent, request));
  const bool thread = (request.flags & abi::kCloneThread) != 0;
  const bool forks = (request.flags & abi::kCloneVm) == 0;
  IdReservation reservation(TRY(id_table().allocate()));
  const Pid tid = reservation.id();
  const Ref<AddressSpace> mm = forks ? TRY(AddressSpace::create()) : parent.mm_ref();
  Ref<Process> process(parent.process());
  if (!thread) process = TRY(make_process(parent, request, tid, mm));
  Ref<Task> child = TRY(make_ref<Task>(process, tid, mm, parent.credentials_ref()));
  TRY(copy_state(parent, *child, frame, request));
  TRY(copy_resources(parent, *child, request.flags));
  RefPtr<Completion> vfork_done;
  if ((request.flags & abi::kCloneVfork) != 0) {
    vfork_done = TRY(make_ref<Completion>());
    TaskAccess::vfork_done(*child) = vfork_done;
  }
  // As Linux: a bad address for the ids does not undo the clone.
  if ((request.flags & abi::kCloneChildSetTid) != 0 && !forks) (void)request.child_tid.store(static_cast<std::int32_t>(tid));
  if ((request.flags & abi::kCloneChildSetTid) != 0 && forks) child->set_child_tid = request.child_tid;
  if ((request.flags & abi::kCloneParentSetTid) != 0 && !forks) (void)request.parent_tid.store(static_cast<std::int32_t>(tid));
  const Result<> launched = launch(parent, *process, *child, request);
  if (launched.ok()) reservation.keep();
  if (launched.ok() && parent.is_traced() && (request.flags & abi::kCloneUntraced) == 0)
    (void)trace_event(parent, event_of(request), static_cast<std::uint64_t>(tid));
  if (launched.ok() && vfork_done) {
    {
      const Task::KillableSection killable(parent);
      (void)vfork_done->wait(Interruptible::yes);
    }
    if (parent.is_traced()) (void)trace_event(parent, abi::kPtraceEventVforkDone, static_cast<std::uint64_t>(tid));
  }
  // The child's memory may be the one in place now.
  if (forks) Residency::acquire(parent);
  TRY(launched);
  if ((request.flags & abi::kCloneParentSetTid) != 0 && forks) (void)request.parent_tid.store(static_cast<std::int32_t>(tid));
  return tid;
}

Result<Ref<Task>> create_first_task(Ref<AddressSpace> mm, Ref<ProcessResource> files, Ref<ProcessResource> fs) {
  IdReservation reservation(TRY(id_table().allocate()));
  if (reservation.id() != Pid{1}) return Errno::busy;
  Ref<SignalHandlers> handlers = TRY(make_ref<SignalHandlers>());
  Ref<Process> process = TRY(make_ref<Process>(Pid{1}, handlers, mm));
  ProcessAccess::set_timers(*process, TRY(make_own<PosixTimers>(*process)));
  Ref<Credentials> credentials = TRY(make_ref<Credentials>());
  Ref<Task> task = TRY(make_ref<Task>(process, Pid{1}, mm, credentials));
  TRY(task->allocate_stack(true));
  task->set_files(files);
  task->set_fs(fs);
  TRY(publish_thread(*process, *task));
  reservation.keep();
  (void)publish_process(*process, nullptr, nullptr, Pid{}, 0);
  note_task_started();
  return task;
}

}  // namespace kernel
