// Task: a thread of a program.
#ifndef KERNEL_TASK_TASK_H
#define KERNEL_TASK_TASK_H

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "abi/process.h"
#include "abi/signal.h"
#include "kernel/base/list.h"
#include "kernel/base/live_count.h"
#include "kernel/base/ref.h"
#include "kernel/base/types.h"
#include "kernel/task/credentials.h"
#include "kernel/task/process.h"
#include "kernel/task/resource.h"
#include "kernel/task/signal.h"
#include "kernel/task/thread.h"

namespace kernel {

class AddressSpace;
class SemUndoList;
class Tracee;

// Fields without a lock note belong to the task itself: only the running task touches them (or its maker before start()).
class Task final : public Thread, public ListNode<TaskListTag> {
 public:
  // Made by create_task() (clone, exec, the first program) only.
  Task(Ref<Process> process, Pid tid, Ref<AddressSpace> mm, Ref<const Credentials> credentials);
  ~Task() override;

  Pid tid() const { return tid_; }
  Process& process() const LIFETIMEBOUND { return *process_; }
  // The memory of the task. It stays the same but for execve of the task itself.
  AddressSpace& mm() const LIFETIMEBOUND { return *mm_; }
  Ref<AddressSpace> mm_ref() const;

  // Descriptor table and working directory. Others than the task itself use files_ref()/fs_ref(), which are null once it has exited.
  ProcessResource& files() const LIFETIMEBOUND { return *files_; }
  ProcessResource& fs() const LIFETIMEBOUND { return *fs_; }
  RefPtr<ProcessResource> files_ref() const EXCLUDES(lock_);
  RefPtr<ProcessResource> fs_ref() const EXCLUDES(lock_);
  void set_files(RefPtr<ProcessResource> files) EXCLUDES(lock_);
  void set_fs(RefPtr<ProcessResource> fs) EXCLUDES(lock_);

  // The running task's own; other tasks' through credentials_ref().
  const Credentials& credentials() const LIFETIMEBOUND { return *credentials_; }
  Ref<const Credentials> credentials_ref() const EXCLUDES(lock_);
  void set_credentials(Ref<const Credentials> credentials) EXCLUDES(lock_);

  // comm, as prctl(PR_SET_NAME) and /proc/PID/comm have it: at most 15 bytes, NUL padded.
  std::array<char, abi::kTaskCommLength> name() const EXCLUDES(lock_);
  void set_name(std::string_view name) EXCLUDES(lock_);

  // Signals. The mask is written by the task itself, read by senders.
  SignalSet signal_mask() const { return mask_.load(std::memory_order_acquire); }
  void set_signal_mask(SignalSet mask);
  // For ppoll, pselect, epoll_pwait, sigsuspend: sets the mask until the call has ended; if it is interrupted by a signal, the handler
  // runs with the temporary mask and the old one comes back through sigreturn. Call restore_signal_mask() when the call succeeded
  // (before_user_return does it if it was left set).
  void set_temporary_mask(SignalSet mask);
  void restore_signal_mask();
  SignalSet pending_signals() const;
  const PendingSignals& pending() const LIFETIMEBOUND { return pending_; }
  // True if a signal could be delivered now, the process is to stop, or the task must die.
  bool has_interrupt() override;
  void on_memory_lost() override;
  void on_page_fault() override {
    process_->count_fault(false);
    minor_faults_.store(minor_faults() + 1, std::memory_order_relaxed);
  }
  // Of this thread alone; written by itself. Pages come without a wait for a device: there are no major ones.
  std::uint64_t minor_faults() const { return minor_faults_.load(std::memory_order_relaxed); }
  Task* as_task() override { return this; }
  // It was killed, or its process ends: waits end at once and it never returns to user code.
  bool is_dying() const { return dying_.load(std::memory_order_acquire); }

  // Traced by ptrace(2): task/tracee.h. Bits are changed under tree_lock.
  static constexpr std::uint32_t kTraced = 1, kTraceSyscalls = 2, kTraceStep = 4, kTraceTrap = 8, kTraceInCall = 16, kTraceUnstep = 32;
  std::uint32_t trace_bits() const { return trace_bits_.load(std::memory_order_acquire); }
  bool is_traced() const { return (trace_bits() & kTraced) != 0; }

  // While an object lives, only death interrupts waits of the running task ("killable").
  class KillableSection {
   public:
    explicit KillableSection(Task& task) : task_(task), before_(std::exchange(task.killable_only_, true)) {}
    ~KillableSection() { task_.killable_only_ = before_; }
    KillableSection(const KillableSection&) = delete;
    KillableSection& operator=(const KillableSection&) = delete;

   private:
    Task& task_;
    const bool before_;
  };

  // A call with a relative timeout calls this with its absolute deadline; if it is interrupted and restarted (by Errno::restart or
  // restart_nohand without a handler, for example after SIGSTOP and SIGCONT) the call gets the first deadline back.
  Instant keep_deadline(Instant fresh);
  // A system call that ended with Errno::restart or restart_nohand: the dispatcher puts -512 or -514 into rax and calls
  // before_user_return(), which makes EINTR, a handler's frame or a rewind to the `syscall` instruction of it. Then it asks
  // take_restart(): true = rewound with no handler entered; the rewind is undone, so that the dispatcher can run the same call again
  // without going through user code. It need not ask: the rewound frame is right as it is.
  bool take_restart(frame::TrapFrame& frame);

  // It ends: blocks everything and lets the other threads take what is pending for the process. task/ only.
  void pass_signals_on();

  // Thread
  void run() override;
  void before_user_return(frame::TrapFrame& frame) override;
  void on_user_exception(frame::TrapFrame& frame, std::uint32_t vector, std::uint64_t address, std::uint64_t error_code) override;

  CpuTimes cpu_times() const EXCLUDES(lock_);
  std::uint64_t start_time() const { return start_time_; }  // monotonic ns

  // State that system calls keep in the task.
  UserPtr<std::int32_t> clear_child_tid;
  UserPtr<std::int32_t> set_child_tid;  // where a forked child puts its id before it runs (CLONE_CHILD_SETTID)
  std::uint64_t robust_list = 0;  // address of the RobustListHead, 0 = none
  abi::StackT altstack{.sp = 0, .flags = abi::kSsDisable, .reserved = 0, .size = 0};
  std::uint64_t timer_slack_ns = 50'000;
  int nice = 0;
  std::int32_t policy = 0, rt_priority = 0;
  bool sched_reset_on_fork = false;
  std::uint16_t io_priority = 0;  // of ioprio_set(2): kept, there is no queue of requests that it could order

  RefPtr<SemUndoList> sem_undo;  // adjustments of System V semaphores, made at first use

  std::atomic<bool> pi_contended{false};  // some thread waited for a PI lock of this one

  std::uint64_t plain_restorer = 0;  // a restorer that was found to do nothing but call rt_sigreturn

  // What the last exception left for sigcontext.
  std::uint64_t fault_vector = 0, fault_error = 0, fault_address = 0;

 private:
  [[no_unique_address]] LiveMark<LiveKind::task> live_;
  friend class Process;
  friend struct TaskAccess;

  void wake_siblings();  // those that could take a pending signal of the process

  const Ref<Process> process_;
  Pid tid_;  // changes once: when execve of another thread takes over the leader's
  RefPtr<AddressSpace> mm_;  // null once it has exited
  mutable SpinLock<LockRank::process> lock_;  // for readers from outside; the task itself reads without, writes with it
  RefPtr<ProcessResource> files_;
  RefPtr<ProcessResource> fs_;
  Ref<const Credentials> credentials_;
  std::array<char, abi::kTaskCommLength> name_{};
  mutable CpuSplit cpu_split_ GUARDED_BY(lock_);

  std::atomic<SignalSet> mask_{0};
  std::optional<SignalSet> saved_mask_;  // while a temporary mask is set
  PendingSignals pending_;               // guarded by process_->signal_lock()
  std::atomic<bool> dying_{false};
  bool killable_only_ = false;
  std::atomic<bool> stop_counted_{false};  // written under process_->signal_lock(): it has yet to stop for the current group stop
  bool exited_ = false;        // guarded by process_->signal_lock()

  Instant kept_deadline_ = 0;
  std::uint64_t kept_call_ = ~std::uint64_t{0}, kept_rip_ = 0;
  bool restarting_ = false;  // the kept deadline is good for the next matching call
  bool rewound_ = false;

  std::atomic<std::uint64_t> minor_faults_{0};
  const std::uint64_t start_time_;
  std::atomic<std::uint32_t> trace_bits_{0};
  RefPtr<Tracee> tracee_;  // guarded by tree_lock; null unless it is traced
  RefPtr<Completion> vfork_done_;  // signalled when the borrowed memory is left (exec, exit)
};

// The task that runs. Only on threads of programs (every system call).
inline Task& current_task() {
  // SAFETY: system calls and exceptions of programs run on Tasks only; kernel threads never call this.
  return static_cast<Task&>(current_thread());
}

}  // namespace kernel
#endif  // KERNEL_TASK_TASK_H
