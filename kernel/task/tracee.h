// Tracee: what a thread that is traced (ptrace(2)) and its tracer share. docs/decisions/ptrace.md.
//
// Lock: tree_lock guards every field and the lists of tracees. A stopped tracee sleeps in stop_for_tracer(): its trap frame and saved
// vector state belong to whoever holds the lock and sees is_stopped().
#ifndef KERNEL_TASK_TRACEE_H
#define KERNEL_TASK_TRACEE_H

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "abi/ptrace.h"
#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/task/exit.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {

enum class ResumeMode : std::uint8_t { run, syscall, step };

// Why a tracee stops.
struct TraceStop {
  std::int32_t code = 0;  // what wait() reports above the low byte
  std::int32_t cld_code = abi::kCldTrapped;
  std::optional<abi::SigInfo> info;      // for PTRACE_GETSIGINFO; none in a group stop of who was not seized
  std::optional<std::uint64_t> message;  // for PTRACE_GETEVENTMSG; none = it stays
  bool is_signal = false;                // a signal is about to be delivered
  bool at_exit = false;                  // also a dying task stops
};

class Tracee final : public RefCounted<Tracee>, public ListNode<TraceeTag> {
 public:
  Tracee(Task& task, RefPtr<Task> tracer, bool is_seized, std::uint32_t trace_options)
      : process(task.process()), seized(is_seized), task(&task), tracer(std::move(tracer)), options(trace_options) {}

  bool is_stopped() const { return stopped.load(std::memory_order_acquire); }

  const Ref<Process> process;
  const bool seized;
  RefPtr<Task> task GUARDED_BY(tree_lock);    // null once its thread has ended
  RefPtr<Task> tracer GUARDED_BY(tree_lock);
  RefPtr<Tracee> self GUARDED_BY(tree_lock);  // while it is in its tracer's list
  std::uint32_t options GUARDED_BY(tree_lock);
  Pid dead_tid GUARDED_BY(tree_lock){};  // of a thread that has ended and was not the first of its process
  std::int32_t dead_status GUARDED_BY(tree_lock) = 0;
  bool is_dead_leader GUARDED_BY(tree_lock) = false;
  bool reported GUARDED_BY(tree_lock) = false;   // wait() has told of the stop
  bool listening GUARDED_BY(tree_lock) = false;  // PTRACE_LISTEN
  TraceStop stop GUARDED_BY(tree_lock);
  std::uint64_t message GUARDED_BY(tree_lock) = 0;
  int signal GUARDED_BY(tree_lock) = 0;       // to go on with
  bool owns_trap_flag GUARDED_BY(tree_lock) = false;
  std::atomic<bool> stopped{false};  // written under tree_lock
  WaitQueue resumed;
};

// How many tracees there are; the bit of OCCLUM_LOG_LEVEL=trace with it: whether system calls have to be looked at.
inline constexpr std::uint32_t kLogsCalls = 0x80000000;
struct CallWatchers {
  static std::atomic<std::uint32_t> count;
};
inline bool is_anything_traced() { return CallWatchers::count.load(std::memory_order_acquire) != 0; }

// --- What a tracer asks for (kernel/syscall/ptrace.cc) ---

Result<> trace_me(Task& task) EXCLUDES(tree_lock);
Result<> trace_attach(Task& tracer, Task& target, bool seize, std::uint32_t options) EXCLUDES(tree_lock);
// ESRCH: not a tracee of the caller, or it runs although it should be stopped.
Result<Ref<Tracee>> find_tracee(Task& tracer, Pid pid, bool stopped) EXCLUDES(tree_lock);
// ESRCH: it is not stopped any more. Else its task is there.
Result<> check_stopped(const Tracee& tracee) REQUIRES(tree_lock);
Result<> trace_resume(Tracee& tracee, ResumeMode mode, int signal) EXCLUDES(tree_lock);
Result<> trace_detach(Tracee& tracee, int signal) EXCLUDES(tree_lock);
Result<> trace_interrupt(Tracee& tracee) EXCLUDES(tree_lock);
Result<> trace_listen(Tracee& tracee) EXCLUDES(tree_lock);

// The mask that it will have back in its program.
SignalSet trace_mask(Task& task) REQUIRES(tree_lock);
void set_trace_mask(Task& task, SignalSet mask) REQUIRES(tree_lock);
// The index-th signal that waits for the thread, or for its whole process.
std::optional<abi::SigInfo> trace_peek_signal(Tracee& tracee, std::uint64_t index, bool shared) EXCLUDES(tree_lock);

// --- What happens to a tracee. Called by the running task itself; nothing happens to who is not traced. ---

// At a system call. False: the call is not to be made.
bool trace_syscall_entry(Task& task, frame::TrapFrame& frame) EXCLUDES(tree_lock);
// On the way back from one.
void trace_syscall_exit(Task& task, frame::TrapFrame& frame) EXCLUDES(tree_lock);
// A signal was taken out of the queue: what to deliver in its place; nullopt = nothing.
std::optional<abi::SigInfo> trace_signal(Task& task, const abi::SigInfo& info) EXCLUDES(tree_lock);
// The process stops by `signo`; 0 = PTRACE_INTERRUPT and its like.
void trace_group_stop(Task& task, int signo) EXCLUDES(tree_lock);
// kTraceTrap is set.
void trace_take_trap(Task& task) EXCLUDES(tree_lock);
bool wants_trace_event(Task& task, std::int32_t event) EXCLUDES(tree_lock);
// An event that has an option. False: the option is not set.
bool trace_event(Task& task, std::int32_t event, std::uint64_t message) EXCLUDES(tree_lock);
void trace_exec(Task& task, Pid former) EXCLUDES(tree_lock);
// A handler is entered: takes the tracer's trap flag out of the frame. True if it was there: call trace_handler_entered() then.
bool trace_end_step(Task& task, frame::TrapFrame& frame) EXCLUDES(tree_lock);
void trace_handler_entered(Task& task) EXCLUDES(tree_lock);
// The child of a clone is traced by who traces the parent. Before it runs.
Result<> trace_child(Task& parent, Task& child) EXCLUDES(tree_lock);
// The thread has left its process, with that wait-status word.
void trace_thread_ended(Task& task, std::int32_t status) EXCLUDES(tree_lock);
// A tracer ends: its tracees go on without it.
void trace_tracer_ends(Task& task) EXCLUDES(tree_lock);
// execve of another thread has taken the leader's number over.
void trace_forget_leader(Process& process) EXCLUDES(tree_lock);
// SIGCONT was generated for its process. Under the signal lock.
void trace_note_continue(Task& task) EXCLUDES(tree_lock);

// --- wait(2) ---

struct Reaped {
  RefPtr<Process> process;
  RefPtr<Tracee> tracee;
  RefPtr<Process> announce;  // a zombie whose parent has to be told now
};
std::optional<WaitOutcome> look_at_tracees(Task& task, const WaitRequest& request, bool& any, Reaped& reaped) REQUIRES(tree_lock);
// Some thread of `tracer` traces the process's first thread, or did when that ended.
bool is_traced_by(Process& process, const Process& tracer) REQUIRES(tree_lock);
// The tracer, if it is another process than the parent, of a process that has become a zombie.
RefPtr<Process> foreign_tracer(Process& process) REQUIRES(tree_lock);
// The reference that its list held.
RefPtr<Tracee> unlink_tracee(Tracee& tracee) REQUIRES(tree_lock);
// What a tracer hears: SIGCHLD, and the end of its wait().
void tell_tracer(Process& tracer, const abi::SigInfo& info, bool is_stop) EXCLUDES(tree_lock);

// For /proc: the tracer's process id, 0 = none.
Pid tracer_pid(Task& task) EXCLUDES(tree_lock);
bool is_in_trace_stop(Task& task) EXCLUDES(tree_lock);

}  // namespace kernel
#endif  // KERNEL_TASK_TRACEE_H
