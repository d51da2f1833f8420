// Process: what the threads of one program share besides memory. And the table of ids.
//
// Locks: tree_lock (rank process_tree, one for all) guards parents, children, groups, sessions, the id table and life-cycle states;
// Process::signal_lock() (rank signal, taken before tree_lock) guards pending signals, the list of tasks and group stop and exit;
// Process::lock() (rank process) guards the rest.
#ifndef KERNEL_TASK_PROCESS_H
#define KERNEL_TASK_PROCESS_H

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "abi/process.h"
#include "kernel/base/list.h"
#include "kernel/base/live_count.h"
#include "kernel/base/ref.h"
#include "kernel/base/types.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"
#include "kernel/task/cpu_time.h"
#include "kernel/task/resource.h"
#include "kernel/task/signal.h"

namespace kernel {

class AddressSpace;
class ControllingTerminal;
class ExecFile;
class PosixTimers;
class Task;
class Tracee;
struct TraceeTag;

inline constexpr std::int32_t kPidMax = 65536;  // ids are below (/proc/sys/kernel/pid_max)

extern SpinLock<LockRank::process_tree> tree_lock;

// A one-shot event.
class Completion final : public RefCounted<Completion> {
 public:
  Completion() = default;
  void complete() {
    done_.store(true, std::memory_order_release);
    queue_.wake_all();
  }
  bool done() const { return done_.load(std::memory_order_acquire); }
  Result<> wait(Interruptible interruptible) {
    return queue_.wait([this] { return done(); }, kNever, interruptible);
  }

 private:
  std::atomic<bool> done_{false};
  WaitQueue queue_;
};

enum class ProcessState : std::uint8_t { alive, zombie, reaped };

// CPU time and fault counts in nanoseconds and numbers.
struct Usage {
  std::uint64_t user_ns = 0, system_ns = 0;
  std::uint64_t minor_faults = 0, major_faults = 0;
  std::uint64_t max_rss = 0;  // bytes
  std::uint64_t voluntary_switches = 0, involuntary_switches = 0;
  void add(const Usage& other) {
    user_ns += other.user_ns;
    system_ns += other.system_ns;
    minor_faults += other.minor_faults;
    major_faults += other.major_faults;
    voluntary_switches += other.voluntary_switches;
    involuntary_switches += other.involuntary_switches;
    if (other.max_rss > max_rss) max_rss = other.max_rss;
  }
};

// Where execve put things; for /proc/PID/{cmdline,environ,auxv,stat,exe}. Addresses in program memory.
struct ProgramLayout {
  std::uint64_t arg_begin = 0, arg_end = 0, env_begin = 0, env_end = 0, auxv_begin = 0, auxv_end = 0;
  std::uint64_t stack_top = 0;  // RSP at the program's start
  std::uint64_t code_begin = 0, code_end = 0, data_begin = 0, data_end = 0;
  std::uint64_t vdso = 0;
};

struct TaskListTag;
struct ChildTag;

class Process final : public RefCounted<Process>, public ListNode<ChildTag> {
 public:
  // Made by create_process() (clone, the first program) only.
  Process(Pid pid, Ref<SignalHandlers> handlers, Ref<AddressSpace> mm);
  ~Process();

  Pid pid() const { return pid_; }
  RefPtr<Process> parent() const EXCLUDES(tree_lock);
  Pid parent_pid() const;  // 0 for the first process
  Pid group() const { return static_cast<Pid>(group_.load(std::memory_order_relaxed)); }
  Pid session() const { return static_cast<Pid>(session_.load(std::memory_order_relaxed)); }
  ProcessState state() const EXCLUDES(tree_lock);
  // A stop signal was taken and SIGCONT has not come: threads are to stop or have stopped.
  bool is_stopping() const { return stopping_.load(std::memory_order_acquire); }
  bool is_stopped() const { return stopped_.load(std::memory_order_relaxed); }

  // Live threads, the oldest first. ENOMEM.
  Result<Vec<Ref<Task>>> threads() const EXCLUDES(signal_lock_);
  // The thread with the lowest age that still runs; null if all have ended.
  RefPtr<Task> any_thread() const EXCLUDES(signal_lock_);
  std::uint32_t thread_count() const { return thread_count_.load(std::memory_order_relaxed); }
  // Memory of the process; null once it has exited.
  RefPtr<AddressSpace> mm() const EXCLUDES(lock_);

  abi::RlimitPair rlimit(abi::Rlimit which) const EXCLUDES(lock_);
  std::uint64_t rlimit_current(abi::Rlimit which) const EXCLUDES(lock_) { return rlimit(which).current; }
  void set_rlimit(abi::Rlimit which, abi::RlimitPair value) EXCLUDES(lock_);

  Ref<SignalHandlers> handlers() const EXCLUDES(lock_);
  // For the running task of this process only, without the lock: execve alone replaces the table, once the other threads are gone.
  bool own_table_ignores(int signo) const {
    const auto& handlers = handlers_;
    return handlers->ignores(signo);
  }
  abi::SigAction take_own_action(int signo) {
    const auto& handlers = handlers_;
    return handlers->take_for_delivery(signo);
  }
  SignalSet pending_signals() const { return pending_.set(); }
  // Woken whenever a signal is queued for the process or one of its threads (signalfd, sigtimedwait).
  WaitQueue& signal_arrived() LIFETIMEBOUND { return signal_arrived_; }
  SpinLock<LockRank::signal>& signal_lock() const LIFETIMEBOUND { return signal_lock_; }

  // Woken when it has become a zombie.
  WaitQueue& ended() LIFETIMEBOUND { return ended_; }

  // Ends all threads of the process; the first caller's status counts. Wait-status word (abi::wait_*). Any context.
  void request_exit(std::int32_t wait_status) EXCLUDES(signal_lock_);
  // Marks all threads but `survivor` as dying and wakes them. task/ only; exiting_ or exec_task_ is set.
  void kill_other_threads(const Task* survivor) EXCLUDES(signal_lock_);
  bool is_exiting() const { return exiting_.load(std::memory_order_acquire); }

  ProgramLayout layout() const EXCLUDES(lock_);
  void set_layout(const ProgramLayout& layout) EXCLUDES(lock_);
  RefPtr<ExecFile> executable() const EXCLUDES(lock_);  // null before the first execve
  void set_executable(RefPtr<ExecFile> file) EXCLUDES(lock_);

  // Its AIO contexts (vfs/aio.h); null if it has none. set_aio: what was there first stays, and is returned. drop_aio: at exec and exit.
  RefPtr<ProcessResource> aio() const EXCLUDES(lock_);
  Ref<ProcessResource> set_aio(Ref<ProcessResource> fresh) EXCLUDES(lock_);
  void drop_aio() EXCLUDES(lock_);

  // The name of the leader that has ended, for those who look at the zombie.
  std::array<char, abi::kTaskCommLength> leader_name() const EXCLUDES(lock_);
  void keep_leader_name(const std::array<char, abi::kTaskCommLength>& name) EXCLUDES(lock_);

  // Times of the live threads and those that ended; of the children that were waited for.
  Usage usage() const EXCLUDES(signal_lock_);
  std::uint64_t cpu_time_ns() const EXCLUDES(signal_lock_);
  CpuTimes cpu_times() const EXCLUDES(signal_lock_);
  Usage children_usage() const EXCLUDES(tree_lock);
  void count_fault(bool major) { (major ? major_faults_ : minor_faults_).fetch_add(1, std::memory_order_relaxed); }
  std::uint32_t exit_uid() const REQUIRES(tree_lock) { return exit_uid_; }  // of a zombie
  std::uint64_t start_time() const { return start_time_; }  // monotonic ns

  PosixTimers& timers() LIFETIMEBOUND;

  // Plain settings (prctl, umask lives in vfs).
  std::atomic<std::uint32_t> dumpable{1};
  std::atomic<std::uint32_t> personality{0};
  std::atomic<bool> no_new_privileges{false};
  std::atomic<bool> child_subreaper{false};
  std::atomic<std::int32_t> parent_death_signal{0};
  std::atomic<std::int32_t> oom_score_adj{0};
  std::atomic<bool> thp_disabled{false};
  std::atomic<std::uint32_t> membarrier{0};  // registrations, as bits of membarrier(2)'s commands
  std::atomic<bool> has_execed{false};  // since fork: setpgid by the parent is refused then

 private:
  [[no_unique_address]] LiveMark<LiveKind::process> live_;
  friend struct ProcessAccess;

  const Pid pid_;
  const std::uint64_t start_time_;

  // tree_lock
  RefPtr<Process> parent_;
  std::atomic<std::int32_t> parent_pid_{0};  // its number, for readers without the lock
  List<Process, ChildTag> children_;  // each child holds itself alive through the id table until it is reaped
  std::atomic<std::int32_t> group_{0}, session_{0};
  RefPtr<ControllingTerminal> terminal_;          // that controls it
  std::atomic<std::int32_t> hung_up_group_{0};  // of a session leader: the foreground group when its terminal was hung up
  ProcessState state_ = ProcessState::alive;
  std::uint32_t exit_uid_ = 0;
  int exit_signal_ = 0;          // what the parent gets
  std::int32_t exit_status_ = 0;  // wait-status word once it is a zombie
  std::int32_t stop_report_ = 0;  // signal of a stop that was not waited for, 0 = none
  bool continue_report_ = false;  // continued and not waited for
  Usage children_usage_;
  Usage final_usage_;
  List<Tracee, TraceeTag> tracees_;  // of its threads
  RefPtr<Tracee> leader_tracee_;     // of its first thread once that has ended
  Pid forked_by_{};                  // the parent's thread that made it: who traces it after PTRACE_TRACEME
  WaitQueue child_wait_;  // woken when a child changes state

  mutable SpinLock<LockRank::signal> signal_lock_;
  PendingSignals pending_;
  List<Task, TaskListTag> tasks_;  // each is kept alive by the id table while it is listed
  Usage ended_usage_;  // of threads that have ended
  int group_stop_signal_ = 0;
  std::uint32_t stop_waiting_for_ = 0;  // threads that have not stopped yet
  std::int32_t requested_status_ = 0;
  RefPtr<Task> exec_task_;  // execve waits for the other threads to end
  std::atomic<bool> stopping_{false};  // group_stop_signal_ != 0
  std::atomic<bool> stopped_{false};
  std::atomic<bool> exiting_{false};
  std::atomic<std::uint32_t> thread_count_{0};
  WaitQueue stop_queue_;    // stopped threads wait here
  WaitQueue thread_ended_;  // execve waits here
  WaitQueue signal_arrived_;
  WaitQueue ended_;

  mutable SpinLock<LockRank::process> lock_;
  std::array<char, abi::kTaskCommLength> leader_name_ GUARDED_BY(lock_){};
  Ref<SignalHandlers> handlers_;
  RefPtr<AddressSpace> mm_;
  RefPtr<ProcessResource> aio_;
  std::array<abi::RlimitPair, abi::kRlimitCount> rlimits_{};
  ProgramLayout layout_;
  RefPtr<ExecFile> executable_;
  Own<PosixTimers> timers_;
  std::atomic<std::uint64_t> minor_faults_{0}, major_faults_{0};
};

// --- The table of ids. ---

// The process or thread with that id; null if there is none (zombies count as processes, ended threads do not).
RefPtr<Process> find_process(Pid pid) EXCLUDES(tree_lock);
RefPtr<Task> find_task(Pid tid) EXCLUDES(tree_lock);
// All processes, zombies too, by rising pid. ENOMEM.
Result<Vec<Ref<Process>>> all_processes() EXCLUDES(tree_lock);
// Members of a process group or session. ENOMEM.
Result<Vec<Ref<Process>>> group_members(Pid group) EXCLUDES(tree_lock);
std::uint32_t task_count();  // live threads of all programs (sysinfo, RLIMIT_NPROC)
void note_task_started();       // clone only
void note_task_ended();         // exit only
std::uint32_t process_count();

// Called once when the first process has ended, with its wait-status word; its other tasks are gone by then. Set by init.
using InitExitHook = void (*)(std::int32_t wait_status);
void set_init_exit_hook(InitExitHook hook);

}  // namespace kernel
#endif  // KERNEL_TASK_PROCESS_H
