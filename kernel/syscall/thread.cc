#include "kernel/syscall/thread.h"

#include <algorithm>
#include <array>
#include <bit>

#include "abi/process.h"
#include "abi/sched.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/syscall/time.h"
#include "kernel/task/scheduler.h"
#include "kernel/task/sysv_sem.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {

namespace {

Result<Ref<Task>> task_by_id(Task& task, Pid pid) {
  if (static_cast<std::int32_t>(pid) < 0) return Errno::inval;
  if (pid == Pid{}) return Ref<Task>(task);
  const RefPtr<Task> found = find_task(pid);
  return found ? Result<Ref<Task>>(found.as_ref()) : Result<Ref<Task>>(Errno::srch);
}

// The affinity calls look for a negative id like for any other.
Result<Ref<Task>> task_for_affinity(Task& task, Pid pid) { return static_cast<std::int32_t>(pid) < 0 ? Result<Ref<Task>>(Errno::srch) : task_by_id(task, pid); }

bool is_realtime(std::int32_t policy) { return policy == abi::kSchedFifo || policy == abi::kSchedRr; }
bool is_fair(std::int32_t policy) { return policy == abi::kSchedOther || policy == abi::kSchedBatch || policy == abi::kSchedIdle; }

SchedClass class_of(std::int32_t policy) {
  switch (policy) {
    case abi::kSchedFifo: return SchedClass::fifo;
    case abi::kSchedRr: return SchedClass::rr;
    case abi::kSchedBatch: return SchedClass::batch;
    case abi::kSchedIdle: return SchedClass::idle;
    default: return SchedClass::other;
  }
}

// May `task` change the scheduling of `target`?
Result<> may_schedule(const Task& task, const Task& target) {
  const Credentials& who = task.credentials();
  if (who.has(Capability::sys_nice)) return {};
  const Ref<const Credentials> theirs = target.credentials_ref();
  return who.euid == theirs->euid || who.euid == theirs->ruid ? Result<>() : Result<>(Errno::perm);
}

struct Schedule {
  std::int32_t policy = 0, priority = 0, nice = 0;
  bool reset_on_fork = false;
};

// What one may do to one's own tasks without CAP_SYS_NICE (sched(7)).
Result<> may_rise(const Task& target, const Schedule& wanted) {
  const Ref<const Process> process(target.process());
  if (is_realtime(wanted.policy)) {
    const std::uint64_t limit = process->rlimit_current(abi::Rlimit::rtprio);
    if (limit == 0 && wanted.policy != target.policy) return Errno::perm;
    if (wanted.priority > target.rt_priority && static_cast<std::uint64_t>(wanted.priority) > limit) return Errno::perm;
  }
  const std::uint64_t nice_limit = process->rlimit_current(abi::Rlimit::nice);
  const auto may_be_nice = [nice_limit](int nice) { return static_cast<std::uint64_t>(20 - nice) <= nice_limit; };
  if (is_fair(wanted.policy) && wanted.nice < target.nice && !may_be_nice(wanted.nice)) return Errno::perm;
  if (target.policy == abi::kSchedIdle && wanted.policy != abi::kSchedIdle && !may_be_nice(target.nice)) return Errno::perm;
  return target.sched_reset_on_fork && !wanted.reset_on_fork ? Result<>(Errno::perm) : Result<>();
}

Result<> apply(Task& task, Task& target, const Schedule& wanted) {
  if (!is_realtime(wanted.policy) && !is_fair(wanted.policy)) return Errno::inval;
  if (is_realtime(wanted.policy) ? (wanted.priority < 1 || wanted.priority > 99) : wanted.priority != 0) return Errno::inval;
  TRY(may_schedule(task, target));
  if (!task.credentials().has(Capability::sys_nice)) TRY(may_rise(target, wanted));
  target.policy = wanted.policy;
  target.rt_priority = wanted.priority;
  target.nice = wanted.nice;
  target.sched_reset_on_fork = wanted.reset_on_fork;
  target.set_schedule(class_of(wanted.policy), wanted.priority, wanted.nice);
  return {};
}

}  // namespace

Result<> sys_sched_yield(Task&) {
  yield_now();
  return {};
}

Result<> sys_sched_setparam(Task& task, Pid pid, UserPtr<const abi::SchedParam> param) {
  if (param.is_null()) return Errno::inval;
  const abi::SchedParam wanted = TRY(param.load());
  const Ref<Task> target = TRY(task_by_id(task, pid));
  return apply(task, *target, {.policy = target->policy, .priority = wanted.priority, .nice = target->nice, .reset_on_fork = target->sched_reset_on_fork});
}

Result<> sys_sched_getparam(Task& task, Pid pid, UserPtr<abi::SchedParam> param) {
  if (param.is_null()) return Errno::inval;
  const Ref<Task> target = TRY(task_by_id(task, pid));
  return param.store({.priority = target->rt_priority});
}

Result<> sys_sched_setscheduler(Task& task, Pid pid, std::int32_t policy, UserPtr<const abi::SchedParam> param) {
  if (param.is_null() || policy < 0) return Errno::inval;
  const abi::SchedParam wanted = TRY(param.load());
  const Ref<Task> target = TRY(task_by_id(task, pid));
  return apply(task, *target, {.policy = policy & ~abi::kSchedResetOnFork, .priority = wanted.priority, .nice = target->nice, .reset_on_fork = (policy & abi::kSchedResetOnFork) != 0});
}

Result<std::int32_t> sys_sched_getscheduler(Task& task, Pid pid) {
  const Ref<Task> target = TRY(task_by_id(task, pid));
  return target->policy | (target->sched_reset_on_fork ? abi::kSchedResetOnFork : 0);
}

namespace {
Result<std::int32_t> priority_bound(std::int32_t policy, std::int32_t bound) {
  if (is_realtime(policy)) return bound;
  return is_fair(policy) || policy == abi::kSchedDeadline ? Result<std::int32_t>(0) : Result<std::int32_t>(Errno::inval);
}
}  // namespace

Result<std::int32_t> sys_sched_get_priority_max(Task&, std::int32_t policy) { return priority_bound(policy, 99); }
Result<std::int32_t> sys_sched_get_priority_min(Task&, std::int32_t policy) { return priority_bound(policy, 1); }

Result<> sys_sched_rr_get_interval(Task& task, Pid pid, UserPtr<abi::Timespec> interval) {
  const Ref<Task> target = TRY(task_by_id(task, pid));
  constexpr std::uint64_t kRrSlice = 100'000'000, kFairSlice = 4'000'000;
  return interval.store(to_timespec(target->policy == abi::kSchedRr ? kRrSlice : target->policy == abi::kSchedFifo ? 0 : kFairSlice));
}

namespace {
// struct sched_attr of any size: what we do not know must be zero. E2BIG: the size that we know is stored in it.
Result<abi::SchedAttr> load_attributes(UserPtr<abi::SchedAttr> user) {
  std::uint32_t size = TRY(user.cast<const std::uint32_t>().load());
  if (size == 0) size = abi::kSchedAttrSizeVer0;
  bool fits = size >= abi::kSchedAttrSizeVer0 && size <= kPageSize;
  for (std::uint64_t at = sizeof(abi::SchedAttr); fits && at < size; ++at) fits = TRY(TRY(user.cast<const std::uint8_t>().at(at)).load()) == 0;
  if (!fits) {
    TRY(user.cast<std::uint32_t>().store(static_cast<std::uint32_t>(sizeof(abi::SchedAttr))));
    return Errno::toobig;
  }
  abi::SchedAttr attributes{};
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span<abi::SchedAttr, 1>(&attributes, 1));
  TRY(frame::copy_from_user(bytes.first(std::min<std::size_t>(size, bytes.size())), user.address()));
  attributes.size = size;
  return attributes;
}
}  // namespace

Result<> sys_sched_setattr(Task& task, Pid pid, UserPtr<abi::SchedAttr> attributes, std::uint32_t flags) {
  if (attributes.is_null() || flags != 0) return Errno::inval;
  const abi::SchedAttr wanted = TRY(load_attributes(attributes));
  // The two of SCHED_DEADLINE mean nothing to other policies; of the clamps of utilisation the older struct has no fields.
  constexpr std::uint64_t kResetOnFork = 1, kDeadline = 2 | 4, kKeepPolicy = 8, kKeepParams = 16, kUtil = 0x60;
  if ((wanted.flags & ~(kResetOnFork | kDeadline | kKeepPolicy | kKeepParams | kUtil)) != 0) return Errno::inval;
  if ((wanted.flags & kUtil) != 0) return wanted.size < sizeof(abi::SchedAttr) ? Errno::inval : Errno::opnotsupp;
  const Ref<Task> target = TRY(task_by_id(task, pid));
  Schedule schedule{.policy = static_cast<std::int32_t>(wanted.policy), .priority = static_cast<std::int32_t>(wanted.priority), .nice = wanted.nice, .reset_on_fork = (wanted.flags & kResetOnFork) != 0};
  if ((wanted.flags & kKeepPolicy) != 0) schedule.policy = target->policy;
  if ((wanted.flags & kKeepParams) != 0) {
    schedule.priority = target->rt_priority;
    schedule.nice = target->nice;
  }
  if (is_fair(schedule.policy)) {
    schedule.nice = std::clamp(schedule.nice, -20, 19);
  } else {
    schedule.nice = target->nice;
  }
  return apply(task, *target, schedule);
}

Result<> sys_sched_getattr(Task& task, Pid pid, UserPtr<abi::SchedAttr> attributes, std::uint32_t size, std::uint32_t flags) {
  if (attributes.is_null() || flags != 0 || size < abi::kSchedAttrSizeVer0 || size > kPageSize) return Errno::inval;
  const Ref<Task> target = TRY(task_by_id(task, pid));
  abi::SchedAttr result{};
  result.size = std::min(size, static_cast<std::uint32_t>(sizeof(result)));
  result.policy = static_cast<std::uint32_t>(target->policy);
  result.flags = target->sched_reset_on_fork ? 1 : 0;
  result.nice = is_fair(target->policy) ? target->nice : 0;
  result.priority = static_cast<std::uint32_t>(target->rt_priority);
  return frame::copy_to_user(attributes.address(), std::as_bytes(std::span<const abi::SchedAttr, 1>(&result, 1)).first(result.size));
}

// --- affinity: CPUs are vCPUs ---

namespace {
std::uint64_t online_mask() {
  const std::uint32_t count = vcpu_count();
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}
}  // namespace

Result<> sys_sched_setaffinity(Task& task, Pid pid, std::uint32_t size, UserPtr<const std::uint8_t> mask) {
  std::array<std::byte, sizeof(std::uint64_t)> bytes{};
  TRY(frame::copy_from_user(std::span(bytes).first(std::min<std::size_t>(size, bytes.size())), mask.address()));
  const Ref<Task> target = TRY(task_for_affinity(task, pid));
  TRY(may_schedule(task, *target));
  const std::uint64_t wanted = load_bytes<std::uint64_t>(bytes) & online_mask();
  if (wanted == 0) return Errno::inval;
  target->set_affinity(wanted == online_mask() ? ~std::uint64_t{0} : wanted);
  if (target.get() == &task) yield_now();  // it may have to move
  return {};
}

Result<std::uint32_t> sys_sched_getaffinity(Task& task, Pid pid, std::uint32_t size, UserPtr<std::uint8_t> mask) {
  if (size % sizeof(std::uint64_t) != 0 || std::uint64_t{size} * 8 < vcpu_count()) return Errno::inval;
  const Ref<Task> target = TRY(task_for_affinity(task, pid));
  const std::uint64_t bits = target->affinity() & online_mask();
  TRY(mask.cast<std::uint64_t>().store(bits));
  return static_cast<std::uint32_t>(sizeof(bits));
}

// --- nice ---

namespace {
// The tasks that `which` and `who` name. ESRCH, EINVAL.
Result<Vec<Ref<Task>>> named_tasks(Task& task, std::int32_t which, std::int32_t who) {
  Vec<Ref<Task>> found;
  if (which == abi::kPrioProcess) {
    if (who < 0) return Errno::srch;
    TRY(found.try_push(TRY(task_by_id(task, Pid{who}))));
    return found;
  }
  if (which != abi::kPrioPgrp && which != abi::kPrioUser) return Errno::inval;
  const Vec<Ref<Process>> processes = TRY(all_processes());
  const Pid group = who == 0 ? task.process().group() : Pid{who};
  const std::uint32_t user = who == 0 ? task.credentials().ruid : static_cast<std::uint32_t>(who);
  for (const Ref<Process>& process : processes) {
    if (which == abi::kPrioPgrp && process->group() != group) continue;
    const Vec<Ref<Task>> threads = TRY(process->threads());
    for (const Ref<Task>& thread : threads) {
      if (which == abi::kPrioUser && thread->credentials_ref()->ruid != user) continue;
      TRY(found.try_push(thread));
    }
  }
  if (found.empty()) return Errno::srch;
  return found;
}
}  // namespace

Result<std::int32_t> sys_getpriority(Task& task, std::int32_t which, std::int32_t who) {
  const Vec<Ref<Task>> tasks = TRY(named_tasks(task, which, who));
  int lowest = 19;
  for (const Ref<Task>& each : tasks) lowest = std::min(lowest, each->nice);
  return 20 - lowest;  // as the kernel reports it; libraries turn it round
}

Result<> sys_setpriority(Task& task, std::int32_t which, std::int32_t who, std::int32_t nice) {
  const Vec<Ref<Task>> tasks = TRY(named_tasks(task, which, who));
  const int wanted = std::clamp(nice, -20, 19);
  Result<> result;
  for (const Ref<Task>& each : tasks) {
    Result<> allowed = may_schedule(task, *each);
    const std::uint64_t limit = each->process().rlimit_current(abi::Rlimit::nice);
    if (allowed.ok() && wanted < each->nice && !task.credentials().has(Capability::sys_nice) && static_cast<std::uint64_t>(20 - wanted) > limit)
      allowed = Errno::acces;
    if (!allowed.ok()) {
      result = allowed;
      continue;
    }
    each->nice = wanted;
    each->set_schedule(class_of(each->policy), each->rt_priority, wanted);
  }
  return result;
}

// --- priorities of input and output ---

Result<> sys_ioprio_set(Task& task, std::int32_t which, std::int32_t who, std::int32_t priority) {
  constexpr std::int32_t kRealtime = 1, kBestEffort = 2, kIdle = 3, kLevels = 7, kClassShift = 13;
  const Ref<const Credentials> own = task.credentials_ref();
  const std::int32_t io_class = priority >> kClassShift & 7;
  if (io_class > kIdle || (io_class == 0 && (priority & kLevels) != 0)) return Errno::inval;
  static_assert(kRealtime < kBestEffort);
  if (io_class == kRealtime && !own->has(Capability::sys_admin) && !own->has(Capability::sys_nice)) return Errno::perm;
  if (which < 1 || which > 3) return Errno::inval;
  if (which == 1 && who < 0) return Errno::srch;
  const Vec<Ref<Task>> tasks = TRY(named_tasks(task, which - 1, who));
  for (const Ref<Task>& each : tasks) {
    const Ref<const Credentials> theirs = each->credentials_ref();
    if (theirs->ruid != own->euid && theirs->ruid != own->ruid && !own->has(Capability::sys_nice)) return Errno::perm;
    each->io_priority = static_cast<std::uint16_t>(priority);
  }
  return {};
}

// Of several the best; a class of its own is better than none.
Result<std::int32_t> sys_ioprio_get(Task& task, std::int32_t which, std::int32_t who) {
  if (which < 1 || which > 3) return Errno::inval;
  if (which == 1 && who < 0) return Errno::srch;
  const Vec<Ref<Task>> tasks = TRY(named_tasks(task, which - 1, who));
  constexpr std::int32_t kNormal = 2 << 13 | 4;
  std::int32_t best = tasks[0]->io_priority;
  for (const Ref<Task>& each : tasks) {
    const std::int32_t other = each->io_priority;
    if ((other != 0 ? other : kNormal) < (best != 0 ? best : kNormal)) best = other;
  }
  return best;
}

Result<> sys_getcpu(Task&, UserPtr<std::uint32_t> cpu, UserPtr<std::uint32_t> node, std::uint64_t) {
  const std::uint32_t number = frame::this_vcpu().index;
  if (!cpu.is_null()) TRY(cpu.store(number));
  return node.is_null() ? Result<>() : node.store(0);
}

Result<std::uint32_t> sys_membarrier(Task& task, std::int32_t command, std::uint32_t flags, std::int32_t) {
  if (flags != 0) return Errno::inval;
  std::atomic<std::uint32_t>& registered = task.process().membarrier;
  const auto bit = static_cast<std::uint32_t>(command);
  switch (command) {
    case abi::kMembarrierQuery:
      return abi::kMembarrierKnown;
    case abi::kMembarrierRegisterGlobalExpedited:
    case abi::kMembarrierRegisterPrivateExpedited:
    case abi::kMembarrierRegisterPrivateExpeditedSyncCore:
      registered.fetch_or(bit);
      return 0;
    case abi::kMembarrierGetRegistrations:
      return registered.load();
    case abi::kMembarrierPrivateExpedited:
    case abi::kMembarrierPrivateExpeditedSyncCore:
      if ((registered.load() & (bit << 1)) == 0) return Errno::perm;
      break;
    case abi::kMembarrierGlobal:
    case abi::kMembarrierGlobalExpedited:
      break;
    default:
      return Errno::inval;
  }
  scheduler().visit_busy_vcpus();
  return 0;
}

// Namespaces are not configured, as Linux calls that: EINVAL. What can be had for oneself again are the tables that tasks may share.
Result<> sys_unshare(Task& task, std::uint64_t flags) {
  constexpr std::uint64_t kAlone = abi::kCloneThread | abi::kCloneSigHand | abi::kCloneVm;
  if ((flags & ~(kAlone | abi::kCloneFs | abi::kCloneFiles | abi::kCloneSysVSem)) != 0) return Errno::inval;
  if ((flags & kAlone) != 0 && task.process().thread_count() > 1) return Errno::inval;
  if ((flags & abi::kCloneFiles) != 0) {
    const Ref<ProcessResource> files(task.files());
    task.set_files(TRY(files->clone()));
  }
  if ((flags & abi::kCloneFs) != 0) {
    const Ref<ProcessResource> fs(task.fs());
    task.set_fs(TRY(fs->clone()));
  }
  if ((flags & abi::kCloneSysVSem) != 0) sem_leave_undo(task);
  return {};
}

Result<> sys_setns(Task& task, Fd fd, std::int32_t) {
  const Ref<FdTable> files(files_of(task));
  TRY(files->get(fd));
  return Errno::inval;
}

Result<> sys_arch_prctl(Task& task, std::int32_t code, std::uint64_t address) {
  switch (code) {
    case abi::kArchSetFs:
      return set_user_fs_base(task, address);
    case abi::kArchGetFs:
      return UserPtr<std::uint64_t>(address).store(user_fs_base(task));
    case abi::kArchGetGs:
      return UserPtr<std::uint64_t>(address).store(0);
    case abi::kArchSetGs:
      return Errno::perm;  // GS belongs to the kernel
    default:
      return Errno::inval;
  }
}

}  // namespace kernel
