// Sessions and the terminals that control them (credentials(7), "job control" of POSIX). What a terminal does with bytes is fs/tty's
// business; here is who belongs to it.
#ifndef KERNEL_TASK_TERMINAL_H
#define KERNEL_TASK_TERMINAL_H

#include <atomic>
#include <cstdint>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/sync/lock.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {

// A terminal that may control a session. Which session and which of its groups is in the foreground is guarded by tree_lock, as is each
// process's link to its terminal.
class ControllingTerminal : public RefCounted<ControllingTerminal> {
 public:
  virtual ~ControllingTerminal() = default;
  virtual std::uint64_t device() const = 0;  // as /proc/PID/stat shows it
  // The terminal that the instance was started on: a process of the host waits for the first process as a shell does for a job.
  virtual bool is_console() const { return false; }
  virtual void hang_up() = 0;  // vhangup(2): its open files are dead, its session has lost it
  Pid session() const { return static_cast<Pid>(session_.load(std::memory_order_relaxed)); }        // 0 = none
  Pid foreground() const { return static_cast<Pid>(foreground_.load(std::memory_order_relaxed)); }  // 0 = none

 protected:
  ControllingTerminal() = default;

 private:
  friend struct TerminalAccess;
  std::atomic<std::int32_t> session_{0}, foreground_{0};  // each holds a use of its id
};

// --- The terminal of a process. All: no locks held. ---

RefPtr<ControllingTerminal> terminal_of(const Process& process) EXCLUDES(tree_lock);

// It is the process's terminal and another group is in the foreground.
bool is_background(const Task& task, const ControllingTerminal& terminal) EXCLUDES(tree_lock);
// A background process reads (SIGTTIN) or changes (SIGTTOU) its terminal: the signal goes to its group and the call starts again
// (Errno::restart), EIO if nobody could continue the group. Nothing happens to processes that the terminal does not control.
Result<> check_background(Task& task, const ControllingTerminal& terminal, int signo) EXCLUDES(tree_lock);
// TIOCSCTTY. EPERM unless the caller leads a session without a terminal and the terminal has none, or `steal` and the right to.
Result<> take_terminal(Task& task, ControllingTerminal& terminal, bool steal, bool readable) EXCLUDES(tree_lock);
// open(2) without O_NOCTTY: the same, but whoever may not have it just goes without.
void adopt_terminal(Task& task, ControllingTerminal& terminal) EXCLUDES(tree_lock);
// Boot: the first process gets the terminal that the instance was started on.
void attach_first_session(Process& first, ControllingTerminal& terminal) EXCLUDES(tree_lock);
// TIOCNOTTY. ENOTTY if it is not the caller's terminal.
Result<> give_up_terminal(Task& task, const ControllingTerminal& terminal) EXCLUDES(tree_lock);
// The process ends: a session's leader takes the terminal from the whole session, and the foreground group gets SIGHUP.
void leave_terminal_at_exit(Process& process) EXCLUDES(tree_lock);
// The line was cut: nobody has this terminal any more; the session's leader gets SIGHUP and SIGCONT.
void hang_up_session(ControllingTerminal& terminal) EXCLUDES(tree_lock);
// TIOCSPGRP (as tcsetpgrp(3)): ENOTTY, ESRCH, EPERM; background callers get SIGTTOU.
Result<> set_foreground(Task& task, ControllingTerminal& terminal, std::int32_t group) EXCLUDES(tree_lock);
// A key or a change of size. No effect without a foreground group.
void signal_foreground(const ControllingTerminal& terminal, int signo) EXCLUDES(tree_lock);

// --- Groups and sessions. ---

// setsid(2), setpgid(2). EPERM, ESRCH, EACCES, EINVAL as there.
Result<Pid> create_session(Task& task) EXCLUDES(tree_lock);
Result<> set_process_group(Task& task, Pid pid, Pid group) EXCLUDES(tree_lock);

}  // namespace kernel
#endif  // KERNEL_TASK_TERMINAL_H
