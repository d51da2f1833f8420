// Stopping and continuing processes, and what parents are told of it (signal(7), wait(2), "job control" of POSIX).
#ifndef KERNEL_TASK_JOB_CONTROL_H
#define KERNEL_TASK_JOB_CONTROL_H

#include <span>

#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {

// The running task took a stop signal: asks all threads of its process to stop. SIGTSTP, SIGTTIN and SIGTTOU do nothing in an orphaned
// process group.
void begin_group_stop(Task& task, int signo);
// The running task waits while its process is stopped. The last thread to get here reports the stop to the parent.
void stop_here(Task& task);
// True if the running task has to go to stop_here().
bool must_stop(Task& task);
// SIGCONT was generated. True: the process was stopped and report_continued() has to be called without the lock.
bool resume_process_locked(Process& process) REQUIRES(process.signal_lock());
void report_continued(Process& process);
// A thread ends: it no longer counts for a stop in progress. True: the others have all stopped, call report_stopped().
bool leave_group_stop_locked(Task& task, Process& process) REQUIRES(process.signal_lock());
void report_stopped(Process& process, int signo);

// Called when the first process has stopped: nobody inside could tell its parent. Set by init. No locks are held.
using InitStopHook = void (*)();
void set_init_stop_hook(InitStopHook hook);

// Sends SIGHUP and SIGCONT to each of these groups that is orphaned and has a stopped member (POSIX, exit()). `ignoring`: about to end.
void release_orphaned_groups(std::span<const Pid> groups, const Process* ignoring) EXCLUDES(tree_lock);

// No member of the group has a parent in another group of the same session.
bool is_orphaned_group(Pid group, const Process* ignoring) REQUIRES(tree_lock);

}  // namespace kernel
#endif  // KERNEL_TASK_JOB_CONTROL_H
