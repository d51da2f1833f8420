#include "kernel/syscall/process.h"

#include <array>
#include <limits>
#include <optional>

#include "kernel/frame/bytes.h"
#include "kernel/mm/address_space.h"
#include "kernel/syscall/pidfd.h"
#include "kernel/task/clone.h"
#include "kernel/task/exit.h"
#include "kernel/task/terminal.h"

namespace kernel {

namespace {
constexpr std::int32_t number_of(Pid pid) { return static_cast<std::int32_t>(pid); }
}  // namespace

// --- clone ---

Result<std::int32_t> sys_clone(Task& task, std::uint64_t flags, std::uint64_t stack, UserPtr<std::int32_t> parent_tid,
                               UserPtr<std::int32_t> child_tid, std::uint64_t tls, frame::TrapFrame& frame) {
  CloneRequest request;
  request.flags = (flags & 0xffffffff) & ~abi::kCloneSignalMask;  // the upper half does not exist in this call
  request.exit_signal = static_cast<int>(flags & abi::kCloneSignalMask);
  request.stack = stack;
  request.tls = tls;
  request.parent_tid = parent_tid;
  request.child_tid = child_tid;
  PidFdForChild pidfd(task);
  if ((flags & abi::kClonePidFd) != 0) {
    if ((flags & (abi::kCloneParentSetTid | abi::kCloneThread | abi::kCloneDetached)) != 0) return Errno::inval;
    TRY(pidfd.prepare(parent_tid, flags));
    request.observer = &pidfd;
  }
  const Pid child = TRY(clone_task(task, frame, request));
  pidfd.finish();
  return number_of(child);
}

Result<std::int32_t> sys_fork(Task& task, frame::TrapFrame& frame) {
  CloneRequest request;
  request.exit_signal = abi::kSigChld;
  return number_of(TRY(clone_task(task, frame, request)));
}

Result<std::int32_t> sys_vfork(Task& task, frame::TrapFrame& frame) {
  CloneRequest request;
  request.flags = abi::kCloneVfork | abi::kCloneVm;
  request.exit_signal = abi::kSigChld;
  return number_of(TRY(clone_task(task, frame, request)));
}

namespace {
// struct clone_args of any size: what we do not know must be zero.
Result<abi::CloneArgs> load_clone_args(UserPtr<const abi::CloneArgs> user, std::uint64_t size) {
  if (size > kPageSize) return Errno::toobig;
  if (size < abi::kCloneArgsSizeVer0) return Errno::inval;
  abi::CloneArgs args{};
  const std::size_t known = size < sizeof(args) ? size : sizeof(args);
  TRY(frame::copy_from_user(std::as_writable_bytes(std::span<abi::CloneArgs, 1>(&args, 1)).first(known), user.address()));
  for (std::uint64_t at = sizeof(args); at < size; ++at) {
    const UserPtr<const std::uint8_t> byte = TRY(user.cast<const std::uint8_t>().at(at));
    if (TRY(byte.load()) != 0) return Errno::toobig;
  }
  return args;
}
}  // namespace

Result<std::int32_t> sys_clone3(Task& task, UserPtr<const abi::CloneArgs> user, std::uint64_t size, frame::TrapFrame& frame) {
  const abi::CloneArgs args = TRY(load_clone_args(user, size));
  constexpr std::uint64_t kKnown = 0xffffffff | abi::kCloneClearSigHand | abi::kCloneIntoCgroup;
  if ((args.flags & ~kKnown) != 0 || (args.flags & (abi::kCloneDetached | (abi::kCloneSignalMask & ~abi::kCloneNewTime))) != 0) return Errno::inval;
  if (args.exit_signal > abi::kSigMax) return Errno::inval;
  if ((args.flags & (abi::kCloneThread | abi::kCloneParent)) != 0 && args.exit_signal != 0) return Errno::inval;
  if ((args.stack == 0) != (args.stack_size == 0)) return Errno::inval;
  if (args.set_tid != 0 || args.set_tid_size != 0) return Errno::inval;  // choosing ids is not offered
  CloneRequest request;
  request.flags = args.flags;
  request.exit_signal = static_cast<int>(args.exit_signal);
  if (__builtin_add_overflow(args.stack, args.stack_size, &request.stack)) return Errno::inval;
  request.tls = args.tls;
  request.parent_tid = UserPtr<std::int32_t>(args.parent_tid);
  request.child_tid = UserPtr<std::int32_t>(args.child_tid);
  PidFdForChild pidfd(task);
  if ((args.flags & abi::kClonePidFd) != 0) {
    if ((args.flags & abi::kCloneThread) != 0) return Errno::inval;
    if ((args.flags & abi::kCloneParentSetTid) != 0 && args.pidfd == args.parent_tid) return Errno::inval;
    TRY(pidfd.prepare(UserPtr<std::int32_t>(args.pidfd), args.flags));
    request.observer = &pidfd;
  }
  const Pid child = TRY(clone_task(task, frame, request));
  pidfd.finish();
  return number_of(child);
}

// --- exit and wait ---

Result<> sys_exit(Task& task, std::int32_t code) { exit_one_thread(task, code); }
Result<> sys_exit_group(Task& task, std::int32_t code) { exit_whole_process(task, code); }

Result<std::int32_t> sys_wait4(Task& task, std::int32_t pid, UserPtr<std::int32_t> status, std::uint32_t options, UserPtr<abi::Rusage> usage) {
  constexpr std::uint32_t kAllowed = static_cast<std::uint32_t>(abi::kWNoHang | abi::kWUntraced | abi::kWContinued | abi::kWNoThread | abi::kWAll) | abi::kWClone;
  if ((options & ~kAllowed) != 0) return Errno::inval;
  if (pid == std::numeric_limits<std::int32_t>::min()) return Errno::srch;
  WaitRequest request{.kind = abi::kPAll, .id = Pid{}, .options = options | static_cast<std::uint32_t>(abi::kWExited)};
  if (pid > 0) request = {.kind = abi::kPPid, .id = Pid{pid}, .options = request.options};
  if (pid == 0) request = {.kind = abi::kPPgid, .id = task.process().group(), .options = request.options};
  if (pid < -1) request = {.kind = abi::kPPgid, .id = Pid{-pid}, .options = request.options};
  const std::optional<WaitOutcome> outcome = TRY(wait_for_child(task, request));
  if (!outcome) return 0;
  if (!status.is_null()) TRY(status.store(outcome->status));
  if (!usage.is_null()) TRY(usage.store(to_rusage(outcome->usage)));
  return number_of(outcome->pid);
}

namespace {
abi::SigInfo wait_info(const WaitOutcome& outcome) {
  std::int32_t code = abi::kCldExited;
  std::int32_t value = (outcome.status >> 8) & 0xff;
  if (outcome.status == abi::kWaitContinued) {
    code = abi::kCldContinued;
    value = abi::kSigCont;
  } else if ((outcome.status & 0xff) == 0x7f) {
    code = outcome.trapped ? abi::kCldTrapped : abi::kCldStopped;
    value = outcome.status >> 8;
  } else if ((outcome.status & 0x7f) != 0) {
    code = (outcome.status & 0x80) != 0 ? abi::kCldDumped : abi::kCldKilled;
    value = outcome.status & 0x7f;
  }
  return abi::SigInfo::child(code, number_of(outcome.pid), outcome.uid, value, 0, 0);
}
}  // namespace

namespace {
// What waitid() finds; none with WNOHANG.
Result<std::optional<WaitOutcome>> find_waited(Task& task, std::int32_t kind, std::int32_t id, std::uint32_t options) {
  constexpr auto kReports = static_cast<std::uint32_t>(abi::kWExited | abi::kWStopped | abi::kWContinued);
  constexpr std::uint32_t kAllowed = kReports | static_cast<std::uint32_t>(abi::kWNoHang | abi::kWNoWait | abi::kWNoThread | abi::kWAll) | abi::kWClone;
  if ((options & ~kAllowed) != 0 || (options & kReports) == 0) return Errno::inval;
  if (kind != abi::kPAll && kind != abi::kPPid && kind != abi::kPPgid && kind != abi::kPPidFd) return Errno::inval;
  if (kind == abi::kPPid && id <= 0) return Errno::inval;
  if (kind == abi::kPPgid && id < 0) return Errno::inval;
  WaitRequest request{.kind = kind, .id = Pid{id}, .options = options};
  if (kind == abi::kPPgid && id == 0) request.id = task.process().group();
  bool nonblocking = false;
  if (kind == abi::kPPidFd) {
    if (id < 0) return Errno::inval;
    const PidFdTarget target = TRY(process_of_descriptor(task, Fd{id}));
    const Ref<Process> process(target.process);
    if (process->state() == ProcessState::reaped) return Errno::child;  // its number may be another's by now
    nonblocking = target.nonblocking && (options & static_cast<std::uint32_t>(abi::kWNoHang)) == 0;
    request = {.kind = abi::kPPid, .id = process->pid(), .options = options | (nonblocking ? static_cast<std::uint32_t>(abi::kWNoHang) : 0)};
  }
  const std::optional<WaitOutcome> outcome = TRY(wait_for_child(task, request));
  if (!outcome && nonblocking) return Errno::again;
  return outcome;
}
}  // namespace

Result<> sys_waitid(Task& task, std::int32_t kind, std::int32_t id, UserPtr<abi::SigInfo> info, std::uint32_t options,
                    UserPtr<abi::Rusage> usage) {
  Result<std::optional<WaitOutcome>> found = find_waited(task, kind, id, options);
  const Result<> failed = found.ok() ? Result<>() : Result<>(found.error());
  std::optional<WaitOutcome> outcome;
  if (failed.ok()) outcome = std::move(found).release();
  if (outcome && !usage.is_null()) TRY(usage.store(to_rusage(outcome->usage)));
  // Nothing found, for whatever reason: zeros.
  if (!info.is_null()) TRY(info.store(outcome ? wait_info(*outcome) : abi::SigInfo{}));
  return failed;
}

// --- ids ---

Result<std::int32_t> sys_getpid(Task& task) { return number_of(task.process().pid()); }
Result<std::int32_t> sys_gettid(Task& task) { return number_of(task.tid()); }
Result<std::int32_t> sys_getppid(Task& task) { return number_of(task.process().parent_pid()); }
Result<std::int32_t> sys_getpgrp(Task& task) { return number_of(task.process().group()); }

namespace {
Result<Ref<Process>> process_by_id(Task& task, Pid pid) {
  if (pid == Pid{}) return Ref<Process>(task.process());
  if (const RefPtr<Process> found = find_process(pid)) return found.as_ref();
  if (const RefPtr<Task> thread = find_task(pid)) return Ref<Process>(thread->process());
  return Errno::srch;
}
}  // namespace

Result<std::int32_t> sys_getpgid(Task& task, Pid pid) { return number_of(TRY(process_by_id(task, pid))->group()); }
Result<std::int32_t> sys_getsid(Task& task, Pid pid) { return number_of(TRY(process_by_id(task, pid))->session()); }
Result<> sys_setpgid(Task& task, Pid pid, Pid group) { return set_process_group(task, pid, group); }
Result<std::int32_t> sys_setsid(Task& task) { return number_of(TRY(create_session(task))); }

// Without a terminal there is nothing to do.
Result<> sys_vhangup(Task& task) {
  if (!task.credentials().has(Capability::sys_tty_config)) return Errno::perm;
  if (const RefPtr<ControllingTerminal> terminal = terminal_of(task.process())) terminal->hang_up();
  return {};
}

Result<std::int32_t> sys_set_tid_address(Task& task, UserPtr<std::int32_t> address) {
  task.clear_child_tid = address;
  return number_of(task.tid());
}

// --- usage ---

namespace {
constexpr std::uint64_t kNsPerUs = 1000;
abi::Timeval to_timeval(std::uint64_t ns) {
  return {.sec = static_cast<std::int64_t>(ns / abi::kNsPerSec), .usec = static_cast<std::int64_t>(ns % abi::kNsPerSec / kNsPerUs)};
}
constexpr std::uint64_t kTickNs = static_cast<std::uint64_t>(abi::kNsPerSec) / abi::kClockTicksPerSecond;
}  // namespace

abi::Rusage to_rusage(const Usage& usage) {
  abi::Rusage result{};
  result.utime = to_timeval(usage.user_ns);
  result.stime = to_timeval(usage.system_ns);
  result.maxrss = static_cast<std::int64_t>(usage.max_rss / 1024);
  result.minflt = static_cast<std::int64_t>(usage.minor_faults);
  result.majflt = static_cast<std::int64_t>(usage.major_faults);
  result.nvcsw = static_cast<std::int64_t>(usage.voluntary_switches);
  result.nivcsw = static_cast<std::int64_t>(usage.involuntary_switches);
  return result;
}

Result<> sys_getrusage(Task& task, std::int32_t who, UserPtr<abi::Rusage> usage) {
  Usage total;
  CpuTimes times;
  switch (who) {
    case abi::kRusageSelf:
      total = task.process().usage();
      total.max_rss = task.mm().usage().peak_resident;
      break;
    case abi::kRusageChildren:
      total = task.process().children_usage();
      break;
    case abi::kRusageThread:
      times = task.cpu_times();
      total.user_ns = times.user_ns;
      total.system_ns = times.system_ns;
      total.voluntary_switches = task.voluntary_switches();
      total.involuntary_switches = task.involuntary_switches();
      total.minor_faults = task.minor_faults();
      total.max_rss = task.mm().usage().peak_resident;
      break;
    default:
      return Errno::inval;
  }
  return usage.store(to_rusage(total));
}

Result<std::uint64_t> sys_times(Task& task, UserPtr<abi::Tms> buffer) {
  if (!buffer.is_null()) {
    const Usage own = task.process().usage();
    const Usage children = task.process().children_usage();
    const auto ticks = [](std::uint64_t ns) { return static_cast<std::int64_t>(ns / kTickNs); };
    TRY(buffer.store({.utime = ticks(own.user_ns), .stime = ticks(own.system_ns), .cutime = ticks(children.user_ns), .cstime = ticks(children.system_ns)}));
  }
  return monotonic_now() / kTickNs;
}

}  // namespace kernel
