// The folder's own view of Task and Process. Only task/*.cc include it.
#ifndef KERNEL_TASK_ACCESS_H
#define KERNEL_TASK_ACCESS_H

#include <utility>

#include "kernel/mm/address_space.h"
#include "kernel/task/posix_timers.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"
#include "kernel/task/terminal.h"

namespace kernel {

struct TaskAccess {
  static std::optional<SignalSet>& saved_mask(Task& task) { return task.saved_mask_; }
  static std::atomic<SignalSet>& mask(Task& task) { return task.mask_; }
  // `process` is the task's own.
  static PendingSignals& pending(Task& task, [[maybe_unused]] Process& process) REQUIRES(process.signal_lock()) { return task.pending_; }
  static std::atomic<bool>& dying(Task& task) { return task.dying_; }
  static std::atomic<bool>& stop_counted(Task& task) { return task.stop_counted_; }
  static bool& exited(Task& task) { return task.exited_; }
  static RefPtr<AddressSpace>& mm(Task& task) { return task.mm_; }
  static void set_tid(Task& task, Pid tid) { task.tid_ = tid; }
  static RefPtr<Completion>& vfork_done(Task& task) { return task.vfork_done_; }
  static bool has_vfork_parent(const Task& task) { return static_cast<bool>(task.vfork_done_); }
  static bool& restarting(Task& task) { return task.restarting_; }
  static bool& rewound(Task& task) { return task.rewound_; }
  static std::atomic<std::uint32_t>& trace_bits(Task& task) { return task.trace_bits_; }
  static RefPtr<Tracee>& tracee(Task& task) REQUIRES(tree_lock) { return task.tracee_; }
  static void note_restart(Task& task, const frame::TrapFrame& frame) {
    task.restarting_ = task.kept_call_ == frame.orig_rax && task.kept_rip_ == frame.rip;
  }
};

struct ProcessAccess {
  // tree_lock
  static RefPtr<Process>& parent(Process& process) REQUIRES(tree_lock) { return process.parent_; }
  static void set_parent(Process& process, RefPtr<Process> parent) REQUIRES(tree_lock) {
    process.parent_pid_.store(parent ? static_cast<std::int32_t>(parent->pid()) : 0, std::memory_order_relaxed);
    process.parent_ = std::move(parent);
  }
  static List<Process, ChildTag>& children(Process& process) REQUIRES(tree_lock) { return process.children_; }
  static void set_group(Process& process, Pid id) REQUIRES(tree_lock) { process.group_.store(static_cast<std::int32_t>(id)); }
  static void set_session(Process& process, Pid id) REQUIRES(tree_lock) { process.session_.store(static_cast<std::int32_t>(id)); }
  static ProcessState& state(Process& process) REQUIRES(tree_lock) { return process.state_; }
  static int& exit_signal(Process& process) REQUIRES(tree_lock) { return process.exit_signal_; }
  static std::uint32_t& exit_uid(Process& process) REQUIRES(tree_lock) { return process.exit_uid_; }
  static std::int32_t& exit_status(Process& process) REQUIRES(tree_lock) { return process.exit_status_; }
  static std::int32_t& stop_report(Process& process) REQUIRES(tree_lock) { return process.stop_report_; }
  static bool& continue_report(Process& process) REQUIRES(tree_lock) { return process.continue_report_; }
  static Usage& children_usage(Process& process) REQUIRES(tree_lock) { return process.children_usage_; }
  static Usage& final_usage(Process& process) REQUIRES(tree_lock) { return process.final_usage_; }
  static RefPtr<ControllingTerminal>& terminal(Process& process) REQUIRES(tree_lock) { return process.terminal_; }
  static const RefPtr<ControllingTerminal>& terminal(const Process& process) REQUIRES(tree_lock) { return process.terminal_; }
  static std::atomic<std::int32_t>& hung_up_group(Process& process) REQUIRES(tree_lock) { return process.hung_up_group_; }
  static List<Tracee, TraceeTag>& tracees(Process& process) REQUIRES(tree_lock) { return process.tracees_; }
  static RefPtr<Tracee>& leader_tracee(Process& process) REQUIRES(tree_lock) { return process.leader_tracee_; }
  static Pid& forked_by(Process& process) REQUIRES(tree_lock) { return process.forked_by_; }
  static WaitQueue& child_wait(Process& process) { return process.child_wait_; }
  // signal lock
  static PendingSignals& pending(Process& process) REQUIRES(process.signal_lock()) { return process.pending_; }
  static List<Task, TaskListTag>& tasks(Process& process) REQUIRES(process.signal_lock()) { return process.tasks_; }
  static Usage& ended_usage(Process& process) REQUIRES(process.signal_lock()) { return process.ended_usage_; }
  static int group_stop_signal(Process& process) REQUIRES(process.signal_lock()) { return process.group_stop_signal_; }
  static void set_group_stop_signal(Process& process, int signo) REQUIRES(process.signal_lock()) {
    process.group_stop_signal_ = signo;
    process.stopping_.store(signo != 0, std::memory_order_release);
  }
  static std::uint32_t& stop_waiting_for(Process& process) REQUIRES(process.signal_lock()) { return process.stop_waiting_for_; }
  static std::int32_t& requested_status(Process& process) REQUIRES(process.signal_lock()) { return process.requested_status_; }
  static RefPtr<Task>& exec_task(Process& process) REQUIRES(process.signal_lock()) { return process.exec_task_; }
  static std::atomic<bool>& stopped(Process& process) { return process.stopped_; }
  static std::atomic<bool>& exiting(Process& process) { return process.exiting_; }
  static std::atomic<std::uint32_t>& thread_count(Process& process) { return process.thread_count_; }
  static WaitQueue& stop_queue(Process& process) { return process.stop_queue_; }
  static WaitQueue& thread_ended(Process& process) { return process.thread_ended_; }
  // process lock
  static SpinLock<LockRank::process>& lock(Process& process) { return process.lock_; }
  static const RefPtr<AddressSpace>& mm(Process& process) REQUIRES(lock(process)) { return process.mm_; }
  static void set_mm(Process& process, RefPtr<AddressSpace> mm) {
    {
      const LockGuard guard(process.lock_);
      std::swap(process.mm_, mm);
    }
  }  // the old one is dropped here, without the lock
  static void set_handlers(Process& process, Ref<SignalHandlers> handlers) {
    const LockGuard guard(process.lock_);
    std::swap(process.handlers_, handlers);
  }
  static void set_timers(Process& process, Own<PosixTimers> timers) { process.timers_ = std::move(timers); }  // before it is published
  static void copy_limits(Process& from, Process& to) {
    std::array<abi::RlimitPair, abi::kRlimitCount> limits{};
    {
      const LockGuard guard(from.lock_);
      limits = from.rlimits_;
    }
    const LockGuard guard(to.lock_);
    to.rlimits_ = limits;
  }
};

}  // namespace kernel
#endif  // KERNEL_TASK_ACCESS_H
