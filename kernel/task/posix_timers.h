// Timers of a process: setitimer(2), alarm(2), timer_create(2).
#ifndef KERNEL_TASK_POSIX_TIMERS_H
#define KERNEL_TASK_POSIX_TIMERS_H

#include <array>
#include <cstdint>
#include <optional>

#include "abi/signal.h"
#include "abi/time.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/task/process.h"
#include "kernel/task/timer.h"

namespace kernel {

// Nanoseconds; 0 = disarmed or one shot.
struct TimerSetting {
  std::uint64_t value = 0;
  std::uint64_t interval = 0;
};

class PosixTimer;

class PosixTimers {
 public:
  explicit PosixTimers(Process& process);
  ~PosixTimers();

  // The old setting; the remaining time is counted from now. `which` = abi::kItimer*. ITIMER_VIRTUAL and ITIMER_PROF run on the
  // process's CPU time, checked at timer resolution.
  TimerSetting set_interval(int which, TimerSetting setting);
  TimerSetting get_interval(int which) const;

  // RLIMIT_CPU in seconds: SIGXCPU at `current` and each second after, SIGKILL at `maximum`. abi::kRlimInfinity = none.
  void set_cpu_limit(std::uint64_t current, std::uint64_t maximum);

  // timer_create: the new id. `clock` and `event` were checked by the caller; no event = SIGALRM with the id as value. EAGAIN if there
  // are too many, EINVAL: no such thread.
  Result<std::int32_t> create(std::int32_t clock, std::optional<abi::SigEvent> requested);
  // `absolute`: value is an instant of the timer's clock. EINVAL: no such id.
  Result<TimerSetting> set(std::int32_t id, TimerSetting setting, bool absolute);
  Result<TimerSetting> get(std::int32_t id) const;
  Result<std::int32_t> overrun(std::int32_t id) const;
  // A timer's signal has been taken out of its queue: with how often the timer has expired since it was sent (si_overrun), which is what
  // overrun() says from now on.
  abi::SigInfo note_taken(const abi::SigInfo& info);
  Result<> remove(std::int32_t id);
  // execve removes POSIX timers (interval timers stay), with the signals of theirs that nobody has taken. Exit cancels everything, and
  // from then on nothing is armed: a zombie can still be given a limit of CPU time. They wait for running callbacks.
  void remove_posix(Task& only_task);
  void cancel_all();

 private:
  friend class PosixTimer;
  bool is_signal_pending(const PosixTimer& timer) const REQUIRES(lock_);
  void expire(PosixTimer& timer, Instant now) EXCLUDES(lock_);  // a timer's callback
  std::uint64_t read_clock(const PosixTimer& timer) const;
  void arm_locked(PosixTimer& timer, std::uint64_t clock_time) REQUIRES(lock_);
  TimerSetting remaining_locked(const PosixTimer& timer, std::uint64_t clock_time) const REQUIRES(lock_);
  Result<PosixTimer*> find_locked(std::int32_t id) const REQUIRES(lock_);

  Process& process_;
  mutable SpinLock<LockRank::pipe> lock_;  // below the signal lock, which reading CPU clocks takes
  std::array<Own<PosixTimer>, 4> intervals_ GUARDED_BY(lock_);  // abi::kItimer*, then the limit of CPU time
  std::atomic<std::uint64_t> cpu_maximum_{~std::uint64_t{0}};    // ns
  Vec<Own<PosixTimer>> timers_ GUARDED_BY(lock_);
  bool closed_ GUARDED_BY(lock_) = false;  // by cancel_all()
};

// Now, on a clock of clock_gettime(2), in nanoseconds, for the running task. EINVAL for clocks that do not exist.
Result<std::uint64_t> clock_now(std::int32_t clock);

}  // namespace kernel
#endif  // KERNEL_TASK_POSIX_TIMERS_H
