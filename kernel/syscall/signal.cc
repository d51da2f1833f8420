#include "kernel/syscall/signal.h"

#include <limits>
#include <optional>

#include "kernel/syscall/time.h"
#include "kernel/task/signal_frame.h"

namespace kernel {

namespace {
Result<> check_size(std::uint64_t size) { return size == sizeof(SignalSet) ? Result<>() : Result<>(Errno::inval); }
constexpr std::int32_t number_of(Pid pid) { return static_cast<std::int32_t>(pid); }
}  // namespace

Result<> sys_rt_sigaction(Task& task, std::int32_t signo, UserPtr<const abi::SigAction> action, UserPtr<abi::SigAction> old, std::uint64_t size) {
  TRY(check_size(size));
  if (!is_signal(signo)) return Errno::inval;
  abi::SigAction before{};
  if (!action.is_null()) {
    abi::SigAction fresh = TRY(action.load());
    if ((signal_bit(signo) & kUnblockable) != 0) return Errno::inval;
    fresh.flags &= abi::kSaKnown;  // as Linux: a program learns from the old action which flags count
    fresh.mask &= ~kUnblockable;
    before = change_action(task.process(), signo, fresh);
  } else {
    before = task.process().handlers()->get(signo);
  }
  return old.is_null() ? Result<>() : old.store(before);
}

Result<> sys_rt_sigprocmask(Task& task, std::int32_t how, UserPtr<const SignalSet> set, UserPtr<SignalSet> old, std::uint64_t size) {
  TRY(check_size(size));
  const SignalSet before = task.signal_mask();
  if (!set.is_null()) {
    const SignalSet given = TRY(set.load());
    switch (static_cast<abi::SigHow>(how)) {
      case abi::SigHow::block: task.set_signal_mask(before | given); break;
      case abi::SigHow::unblock: task.set_signal_mask(before & ~given); break;
      case abi::SigHow::setmask: task.set_signal_mask(given); break;
      default: return Errno::inval;
    }
  }
  return old.is_null() ? Result<>() : old.store(before);
}

Result<std::uint64_t> sys_rt_sigreturn(Task& task, frame::TrapFrame& frame) {
  if (!pop_signal_frame(task, frame).ok()) force_signal(task, abi::SigInfo::from_kernel(abi::kSigSegv));
  return frame.rax;  // the dispatcher stores it again
}

Result<> sys_rt_sigpending(Task& task, UserPtr<SignalSet> set, std::uint64_t size) {
  if (size > sizeof(SignalSet)) return Errno::inval;
  const SignalSet pending = task.pending_signals() & task.signal_mask();
  return frame::copy_to_user(set.address(), std::as_bytes(std::span<const SignalSet, 1>(&pending, 1)).first(size));
}

Result<std::int32_t> sys_rt_sigtimedwait(Task& task, UserPtr<const SignalSet> set, UserPtr<abi::SigInfo> info,
                                         UserPtr<const abi::Timespec> timeout, std::uint64_t size) {
  TRY(check_size(size));
  const SignalSet wanted = TRY(set.load()) & ~kUnblockable;
  const Instant deadline = timeout.is_null() ? kNever : deadline_after(TRY(load_duration(timeout)));
  std::optional<abi::SigInfo> got;
  const Result<> waited = task.process().signal_arrived().wait(
      [&] {
        got = dequeue_signal(task, wanted);
        return got.has_value();
      },
      deadline);
  if (!waited.ok()) return waited.error() == Errno::timedout ? Errno::again : Errno::intr;
  if (!info.is_null()) TRY(info.store(*got));
  return got->signo;
}

namespace {
// Until a signal is delivered. The dispatcher's exit helper runs the handler and makes EINTR of it.
Result<> wait_for_signal(Task& task) {
  while (!task.has_interrupt()) (void)park(kNever, Interruptible::yes);
  return Errno::restart_nohand;
}
}  // namespace

Result<> sys_rt_sigsuspend(Task& task, UserPtr<const SignalSet> mask, std::uint64_t size) {
  TRY(check_size(size));
  task.set_temporary_mask(TRY(mask.load()));
  return wait_for_signal(task);
}

Result<> sys_pause(Task& task) { return wait_for_signal(task); }

Result<> sys_sigaltstack(Task& task, UserPtr<const abi::StackT> stack, UserPtr<abi::StackT> old, frame::TrapFrame& frame) {
  abi::StackT before = task.altstack;
  before.flags = altstack_flags(task.altstack, frame.rsp) | static_cast<std::int32_t>(static_cast<std::uint32_t>(task.altstack.flags) & abi::kSsAutoDisarm);
  before.reserved = 0;
  if (!stack.is_null()) {
    const abi::StackT fresh = TRY(stack.load());
    if (on_altstack(task.altstack, frame.rsp)) return Errno::perm;
    const auto flags = static_cast<std::uint32_t>(fresh.flags);
    const auto mode = static_cast<std::int32_t>(flags & ~abi::kSsAutoDisarm);
    if (mode != abi::kSsDisable && mode != abi::kSsOnStack && mode != 0) return Errno::inval;
    if (mode == abi::kSsDisable) {
      task.altstack = {.sp = 0, .flags = abi::kSsDisable, .reserved = 0, .size = 0};
    } else {
      if (fresh.size < abi::kMinSigStackSize) return Errno::nomem;
      task.altstack = {.sp = fresh.sp, .flags = static_cast<std::int32_t>(flags & abi::kSsAutoDisarm), .reserved = 0, .size = fresh.size};
    }
  }
  return old.is_null() ? Result<>() : old.store(before);
}

// --- sending ---

namespace {

abi::SigInfo own_info(Task& task, int signo, std::int32_t code) {
  return abi::SigInfo::from_sender(signo, code, number_of(task.process().pid()), task.credentials().ruid);
}

// Checks and sends; signal 0 only checks.
Result<> send_checked(Task& task, Process& target, const abi::SigInfo& info) {
  TRY(may_signal(task, target, info.signo == 0 ? abi::kSigTerm : info.signo));
  return info.signo == 0 ? Result<>() : send_signal(target, info);
}

// kill() of several processes: success if one was signalled, else the last error. `alive`: one of them had not been killed before.
Result<> send_to_many(Task& task, const Vec<Ref<Process>>& targets, const abi::SigInfo& info, bool everybody, bool& alive) {
  Result<> result = Errno::srch;
  bool any = false;
  alive = false;
  for (const Ref<Process>& target : targets) {
    if (everybody && (target.get() == &task.process() || target->pid() == Pid{1})) continue;
    const bool was_alive = target->state() == ProcessState::alive && !target->is_exiting();
    const Result<> sent = send_checked(task, *target, info);
    if (sent.ok())
      any = true;
    else
      result = sent;
    alive = alive || (was_alive && sent.ok());
  }
  return any ? Result<>() : result;
}

// A group, or everybody for none. Nobody escapes SIGKILL by a fork at the right moment: who is being killed has no children any more that
// live (clone.cc), so when a look finds nobody alive there is nobody. Few looks are needed, as a fork takes longer than one.
Result<> send_to_group(Task& task, std::optional<Pid> group, const abi::SigInfo& info) {
  constexpr int kMostLooks = 32;
  Result<> result;
  bool again = true;
  for (int look = 0; look < kMostLooks && again; ++look) {
    const Vec<Ref<Process>> targets = group ? TRY(group_members(*group)) : TRY(all_processes());
    const Result<> sent = send_to_many(task, targets, info, !group, again);
    if (look == 0) result = sent;
    again = again && info.signo == abi::kSigKill;
  }
  return result;
}

Result<Ref<Process>> target_process(Pid pid) {
  if (const RefPtr<Process> found = find_process(pid)) return found.as_ref();
  if (const RefPtr<Task> thread = find_task(pid)) return Ref<Process>(thread->process());
  return Errno::srch;
}

Result<> send_to_thread(Task& task, std::optional<Pid> pid, Pid tid, abi::SigInfo info) {
  const RefPtr<Task> target = find_task(tid);
  if (!target || (pid && target->process().pid() != *pid)) return Errno::srch;
  TRY(may_signal(task, target->process(), info.signo == 0 ? abi::kSigTerm : info.signo));
  return info.signo == 0 ? Result<>() : send_signal(*target, info);
}

bool is_bad_number(std::int32_t signo) { return signo < 0 || signo > abi::kSigMax; }

// A siginfo that a program made: it may not look like one of the kernel or of kill(), unless it goes to itself.
Result<abi::SigInfo> load_info(Task& task, Pid target, std::int32_t signo, UserPtr<const abi::SigInfo> info) {
  abi::SigInfo loaded = TRY(info.load());
  loaded.signo = signo;
  const bool to_self = target == task.process().pid() || target == task.tid();
  if ((loaded.code >= 0 || loaded.code == abi::kSiTkill) && !to_self) return Errno::perm;
  return loaded;
}

}  // namespace

Result<> sys_kill(Task& task, std::int32_t pid, std::int32_t signo) {
  if (is_bad_number(signo)) return Errno::inval;
  const abi::SigInfo info = own_info(task, signo, abi::kSiUser);
  if (pid > 0) {
    if (Pid{pid} == task.process().pid()) return send_checked(task, task.process(), info);
    const Ref<Process> target = TRY(target_process(Pid{pid}));
    return send_checked(task, *target, info);
  }
  if (pid == std::numeric_limits<std::int32_t>::min()) return Errno::srch;
  if (pid == -1) return send_to_group(task, std::nullopt, info);
  return send_to_group(task, pid == 0 ? task.process().group() : Pid{-pid}, info);
}

Result<> sys_tkill(Task& task, Pid tid, std::int32_t signo) {
  if (number_of(tid) <= 0 || is_bad_number(signo)) return Errno::inval;
  return send_to_thread(task, std::nullopt, tid, own_info(task, signo, abi::kSiTkill));
}

Result<> sys_tgkill(Task& task, Pid pid, Pid tid, std::int32_t signo) {
  if (number_of(pid) <= 0 || number_of(tid) <= 0 || is_bad_number(signo)) return Errno::inval;
  return send_to_thread(task, pid, tid, own_info(task, signo, abi::kSiTkill));
}

Result<> sys_rt_sigqueueinfo(Task& task, Pid pid, std::int32_t signo, UserPtr<const abi::SigInfo> user) {
  const abi::SigInfo info = TRY(load_info(task, pid, signo, user));
  if (is_bad_number(signo)) return Errno::inval;
  const Ref<Process> target = TRY(target_process(pid));
  return send_checked(task, *target, info);
}

Result<> sys_rt_tgsigqueueinfo(Task& task, Pid pid, Pid tid, std::int32_t signo, UserPtr<const abi::SigInfo> user) {
  if (number_of(pid) <= 0 || number_of(tid) <= 0) return Errno::inval;
  const abi::SigInfo info = TRY(load_info(task, tid, signo, user));
  if (is_bad_number(signo)) return Errno::inval;
  return send_to_thread(task, pid, tid, info);
}

}  // namespace kernel
