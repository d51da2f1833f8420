#include "kernel/syscall/futex.h"

#include <array>

#include "abi/process.h"
#include "kernel/syscall/time.h"
#include "kernel/task/futex.h"

namespace kernel {

namespace {

// A wait without a timeout obeys SA_RESTART; one with a timeout is restarted only if no handler ran, with its first deadline.
template <class T>
Result<T> with_timeout(Result<T> result, bool has_timeout) {
  if (!result.ok() && result.error() == Errno::restart && has_timeout) return Errno::restart_nohand;
  return result;
}

Result<Instant> load_absolute(std::uint64_t timeout, bool realtime) {
  if (timeout == 0) return kNever;
  const std::uint64_t when = TRY(load_duration(UserPtr<const abi::Timespec>(timeout)));
  return realtime ? realtime_deadline(when) : when;
}

struct FutexCall {
  Task& task;
  FutexAddress futex, second;
  std::uint32_t value, value2, value3;
  std::uint64_t timeout;
  bool realtime;
};

Result<std::uint32_t> zero(Result<> result) {
  TRY(result);
  return std::uint32_t{0};
}

Result<std::uint32_t> wait(const FutexCall& call, bool absolute, std::uint32_t bitset) {
  Instant deadline = kNever;
  if (call.timeout != 0) {
    deadline = absolute ? TRY(load_absolute(call.timeout, call.realtime))
                        : call.task.keep_deadline(deadline_after(TRY(load_duration(UserPtr<const abi::Timespec>(call.timeout)))));
  }
  return zero(with_timeout(futex_wait(call.task, call.futex, call.value, bitset, deadline), call.timeout != 0));
}

Result<std::uint32_t> run(const FutexCall& call, std::int32_t command) {
  switch (command) {
    case abi::kFutexWait:
      return wait(call, false, abi::kFutexBitsetAny);
    case abi::kFutexWaitBitset:
      return wait(call, true, call.value3);
    case abi::kFutexWake:
      return futex_wake(call.task, call.futex, call.value, abi::kFutexBitsetAny);
    case abi::kFutexWakeBitset:
      return futex_wake(call.task, call.futex, call.value, call.value3);
    case abi::kFutexRequeue:
      return futex_requeue(call.task, call.futex, call.second, call.value, call.value2, std::nullopt);
    case abi::kFutexCmpRequeue:
      return futex_requeue(call.task, call.futex, call.second, call.value, call.value2, call.value3);
    case abi::kFutexWakeOp:
      return futex_wake_op(call.task, call.futex, call.second, call.value, call.value2, call.value3);
    case abi::kFutexLockPi:
      return zero(with_timeout(futex_lock_pi(call.task, call.futex, TRY(load_absolute(call.timeout, true)), false), true));
    case abi::kFutexLockPi2:
      return zero(with_timeout(futex_lock_pi(call.task, call.futex, TRY(load_absolute(call.timeout, call.realtime)), false), true));
    case abi::kFutexTrylockPi:
      return zero(futex_lock_pi(call.task, call.futex, kNever, true));
    case abi::kFutexUnlockPi:
      return zero(futex_unlock_pi(call.task, call.futex));
    case abi::kFutexWaitRequeuePi:
      return zero(futex_wait_requeue_pi(call.task, call.futex, call.value, abi::kFutexBitsetAny,
                                        TRY(load_absolute(call.timeout, call.realtime)), call.second));
    case abi::kFutexCmpRequeuePi:
      if (call.value != 1) return Errno::inval;
      return futex_requeue_pi(call.task, call.futex, call.second, call.value2, call.value3);
    default:
      return Errno::nosys;
  }
}

bool realtime_allowed(std::int32_t command) {
  return command == abi::kFutexWait || command == abi::kFutexWaitBitset || command == abi::kFutexWaitRequeuePi || command == abi::kFutexLockPi2;
}

}  // namespace

Result<std::uint32_t> sys_futex(Task& task, std::uint64_t address, std::int32_t operation, std::uint32_t value, std::uint64_t timeout,
                                std::uint64_t second_address, std::uint32_t value3) {
  const std::int32_t command = operation & abi::kFutexCmdMask;
  const bool is_private = (operation & abi::kFutexPrivate) != 0;
  const bool realtime = (operation & abi::kFutexClockRealtime) != 0;
  if (realtime && !realtime_allowed(command)) return Errno::nosys;
  const bool counts = command == abi::kFutexRequeue || command == abi::kFutexCmpRequeue || command == abi::kFutexCmpRequeuePi;
  const auto value2 = static_cast<std::uint32_t>(timeout);
  if (counts && (static_cast<std::int32_t>(value) < 0 || static_cast<std::int32_t>(value2) < 0)) return Errno::inval;
  return run({.task = task,
              .futex = {.address = address, .is_private = is_private},
              .second = {.address = second_address, .is_private = is_private},
              .value = value,
              .value2 = value2,
              .value3 = value3,
              .timeout = timeout,
              .realtime = realtime},
             command);
}

Result<std::uint32_t> sys_futex_waitv(Task& task, UserPtr<const abi::FutexWaitv> waiters, std::uint32_t count, std::uint32_t flags,
                                      UserPtr<const abi::Timespec> timeout, std::int32_t clock) {
  if (flags != 0 || count == 0 || count > abi::kFutexWaitvMax || waiters.is_null()) return Errno::inval;
  Instant deadline = kNever;
  if (!timeout.is_null()) {
    if (clock != abi::kClockMonotonic && clock != abi::kClockRealtime) return Errno::inval;
    deadline = TRY(load_absolute(timeout.address(), clock == abi::kClockRealtime));
  }
  Vec<abi::FutexWaitv> futexes;
  TRY(futexes.try_resize(count));
  TRY(waiters.load_all(futexes.span()));
  constexpr auto kKnown = abi::kFutex32 | static_cast<std::uint32_t>(abi::kFutexPrivate);
  for (const abi::FutexWaitv& futex : futexes)
    if ((futex.flags & ~kKnown) != 0 || (futex.flags & 3) != abi::kFutex32 || futex.reserved != 0) return Errno::inval;
  return with_timeout(futex_wait_many(task, futexes.span(), deadline), !timeout.is_null());
}

Result<> sys_set_robust_list(Task& task, std::uint64_t head, std::uint64_t size) {
  if (size != sizeof(abi::RobustListHead)) return Errno::inval;
  task.robust_list = head;
  return {};
}

Result<> sys_get_robust_list(Task& task, Pid pid, UserPtr<std::uint64_t> head, UserPtr<std::uint64_t> size) {
  std::uint64_t address = task.robust_list;
  if (pid != Pid{}) {
    const RefPtr<Task> other = find_task(pid);
    if (!other) return Errno::srch;
    address = other->robust_list;
  }
  TRY(size.store(sizeof(abi::RobustListHead)));
  return head.store(address);
}

}  // namespace kernel
