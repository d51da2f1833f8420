#include "kernel/syscall/time.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "kernel/host/clock.h"
#include "kernel/task/posix_timers.h"
#include "kernel/vfs/timerfd.h"

namespace kernel {

namespace {
constexpr auto kNsPerSec = static_cast<std::uint64_t>(abi::kNsPerSec);
constexpr std::uint64_t kNsPerUs = 1000;
constexpr std::uint64_t kLongest = std::numeric_limits<std::int64_t>::max();

Result<std::uint64_t> timeval_to_ns(const abi::Timeval& time) {
  if (time.sec < 0 || time.usec < 0 || time.usec >= 1'000'000) return Errno::inval;
  return to_ns(abi::Timespec{.sec = time.sec, .nsec = time.usec * 1000});
}
abi::Timeval to_timeval(std::uint64_t ns) {
  return {.sec = static_cast<std::int64_t>(ns / kNsPerSec), .usec = static_cast<std::int64_t>(ns % kNsPerSec / kNsPerUs)};
}
}  // namespace

Result<std::uint64_t> to_ns(const abi::Timespec& time) {
  if (time.sec < 0 || time.nsec < 0 || time.nsec >= abi::kNsPerSec) return Errno::inval;
  std::uint64_t ns = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(time.sec), kNsPerSec, &ns) ||
      __builtin_add_overflow(ns, static_cast<std::uint64_t>(time.nsec), &ns))
    return kLongest;
  return std::min(ns, kLongest);
}

Result<std::uint64_t> load_duration(UserPtr<const abi::Timespec> user) {
  const abi::Timespec time = TRY(user.load());
  return to_ns(time);
}

abi::Timespec to_timespec(std::uint64_t ns) {
  return {.sec = static_cast<std::int64_t>(ns / kNsPerSec), .nsec = static_cast<std::int64_t>(ns % kNsPerSec)};
}

Instant deadline_after(std::uint64_t ns) {
  Instant deadline = 0;
  return __builtin_add_overflow(monotonic_now(), ns, &deadline) ? kNever - 1 : std::min(deadline, kNever - 1);
}

Instant realtime_deadline(std::uint64_t when) {
  const std::uint64_t now = realtime_now();
  return deadline_after(when > now ? when - now : 0);
}

// --- clocks ---

Result<> sys_clock_gettime(Task&, std::int32_t clock, UserPtr<abi::Timespec> into) {
  const std::uint64_t now = TRY(clock_now(clock));
  return into.store(to_timespec(now));
}

namespace {
Result<> set_realtime(Task& task, std::uint64_t ns) {
  if (!task.credentials().has(Capability::sys_time)) return Errno::perm;
  adjust_realtime(static_cast<std::int64_t>(ns - realtime_now()));
  realtime_was_set();
  return {};
}
}  // namespace

Result<> sys_clock_settime(Task& task, std::int32_t clock, UserPtr<const abi::Timespec> time) {
  if (clock != abi::kClockRealtime) return Errno::inval;
  return set_realtime(task, TRY(load_duration(time)));
}

// Nobody disciplines the clock here: the host's time goes on as it is, and what is told is what Linux tells before an NTP daemon has
// spoken.
Result<std::int32_t> sys_adjtimex(Task&, UserPtr<abi::Timex> user) {
  abi::Timex state = TRY(user.load());
  if ((state.modes & abi::kAdjOld) != 0 && (state.modes & abi::kAdjOffset) == 0) return Errno::inval;
  const bool reads = (state.modes & abi::kAdjOld) != 0 ? (state.modes & abi::kAdjReadOnly) != 0 : state.modes == 0;
  if (!reads) return Errno::perm;
  constexpr std::int64_t kWorstError = 16'000'000, kTolerance = 500 << 16, kTick = 10'000;
  state.offset = state.frequency = 0;
  state.max_error = state.estimated_error = kWorstError;
  state.status = abi::kStaUnsync;
  state.constant = 2;
  state.precision = 1;
  state.tolerance = kTolerance;
  state.time = to_timeval(realtime_now());
  state.tick = kTick;
  state.pps_frequency = state.jitter = state.stability = 0;
  state.shift = state.tai = 0;
  state.jitter_count = state.calibration_count = state.error_count = state.stability_count = 0;
  TRY(user.store(state));
  return abi::kTimeError;
}

Result<std::int32_t> sys_clock_adjtime(Task& task, std::int32_t clock, UserPtr<abi::Timex> user) {
  if (clock == abi::kClockRealtime) return sys_adjtimex(task, user);
  const abi::Timex state = TRY(user.load());
  static_cast<void>(state);
  TRY(clock_now(clock));  // does it exist?
  return Errno::opnotsupp;
}

Result<> sys_clock_getres(Task&, std::int32_t clock, UserPtr<abi::Timespec> into) {
  TRY(clock_now(clock));  // does it exist?
  constexpr std::int64_t kCoarse = 4'000'000;
  const bool coarse = clock == abi::kClockRealtimeCoarse || clock == abi::kClockMonotonicCoarse;
  return into.is_null() ? Result<>() : into.store({.sec = 0, .nsec = coarse ? kCoarse : 1});
}

Result<> sys_gettimeofday(Task&, UserPtr<abi::Timeval> time, UserPtr<abi::Timezone> zone) {
  if (!time.is_null()) TRY(time.store(to_timeval(realtime_now())));
  return zone.is_null() ? Result<>() : zone.store({.minutes_west = 0, .dst_time = 0});
}

Result<> sys_settimeofday(Task& task, UserPtr<const abi::Timeval> time, UserPtr<const abi::Timezone> zone) {
  if (!zone.is_null()) {
    const abi::Timezone wanted = TRY(zone.load());
    if (wanted.minutes_west != 0) return Errno::inval;  // the kernel's clock is UTC
  }
  if (time.is_null()) return {};
  const abi::Timeval wanted = TRY(time.load());
  return set_realtime(task, TRY(timeval_to_ns(wanted)));
}

Result<std::uint64_t> sys_time(Task&, UserPtr<std::int64_t> into) {
  const std::uint64_t now = realtime_now() / kNsPerSec;
  if (!into.is_null()) TRY(into.store(static_cast<std::int64_t>(now)));
  return now;
}

// --- sleeping ---

namespace {

// Errno::restart_nohand if a signal came.
Result<> sleep_until(Instant deadline) {
  while (monotonic_now() < deadline)
    if (park(deadline, Interruptible::yes) == ParkResult::interrupted) return Errno::restart_nohand;
  return {};
}

// On a CPU clock: it runs at most as fast as the process has threads, so look again when it may have got there.
Result<> sleep_on_cpu_clock(Task& task, std::int32_t clock, std::uint64_t until) {
  constexpr std::uint64_t kLeast = 1'000'000;
  for (;;) {
    const std::uint64_t now = TRY(clock_now(clock));
    if (now >= until) return {};
    TRY(sleep_until(deadline_after(std::max((until - now) / std::max(task.process().thread_count(), 1u), kLeast))));
  }
}

Result<Instant> absolute_deadline(std::int32_t clock, std::uint64_t when) {
  switch (clock) {
    case abi::kClockRealtime:
    case abi::kClockRealtimeAlarm:
    case abi::kClockTai:
      return realtime_deadline(when);
    case abi::kClockMonotonic:
      return std::min(when, kNever - 1);
    case abi::kClockBoottime:
    case abi::kClockBoottimeAlarm: {
      const std::uint64_t now = boottime_now();
      return deadline_after(when > now ? when - now : 0);
    }
    default:
      return Errno::inval;
  }
}

Result<> sleep_for(Task& task, std::uint64_t duration, UserPtr<abi::Timespec> remaining) {
  const Instant deadline = task.keep_deadline(deadline_after(duration));
  const Result<> slept = sleep_until(deadline);
  if (slept.ok() || remaining.is_null()) return slept;
  const Instant now = monotonic_now();
  TRY(remaining.store(to_timespec(deadline > now ? deadline - now : 0)));
  return slept;
}

}  // namespace

Result<> sys_nanosleep(Task& task, UserPtr<const abi::Timespec> request, UserPtr<abi::Timespec> remaining) {
  return sleep_for(task, TRY(load_duration(request)), remaining);
}

Result<> sys_clock_nanosleep(Task& task, std::int32_t clock, std::int32_t flags, UserPtr<const abi::Timespec> request,
                             UserPtr<abi::Timespec> remaining) {
  const bool absolute = (flags & abi::kTimerAbstime) != 0;
  if (clock == abi::kClockThreadCpu) return Errno::inval;
  if (clock == abi::kClockMonotonicRaw || clock == abi::kClockRealtimeCoarse || clock == abi::kClockMonotonicCoarse) return Errno::opnotsupp;
  const bool cpu = clock == abi::kClockProcessCpu || clock < 0;
  const std::uint64_t start = TRY(clock_now(clock));
  const std::uint64_t wanted = TRY(load_duration(request));
  if (cpu) return sleep_on_cpu_clock(task, clock, absolute ? wanted : start + std::min(wanted, kLongest));
  if (absolute) {
    const Instant deadline = TRY(absolute_deadline(clock, wanted));
    return sleep_until(deadline);
  }
  return sleep_for(task, wanted, remaining);
}

// --- interval timers ---

Result<std::uint32_t> sys_alarm(Task& task, std::uint32_t seconds) {
  const TimerSetting old = task.process().timers().set_interval(abi::kItimerReal, {.value = seconds * kNsPerSec, .interval = 0});
  if (old.value == 0) return std::uint32_t{0};
  // Rounded, but never to "no alarm was set".
  return static_cast<std::uint32_t>(std::max<std::uint64_t>((old.value + kNsPerSec / 2) / kNsPerSec, 1));
}

namespace {
abi::Itimerval to_itimerval(const TimerSetting& setting) {
  abi::Itimerval result{.interval = to_timeval(setting.interval), .value = to_timeval(setting.value)};
  if (setting.value != 0 && result.value.sec == 0 && result.value.usec == 0) result.value.usec = 1;
  return result;
}
abi::Itimerspec to_itimerspec(const TimerSetting& setting) { return {.interval = to_timespec(setting.interval), .value = to_timespec(setting.value)}; }
bool is_interval_timer(std::int32_t which) { return which >= abi::kItimerReal && which <= abi::kItimerProf; }
}  // namespace

Result<> sys_getitimer(Task& task, std::int32_t which, UserPtr<abi::Itimerval> into) {
  if (!is_interval_timer(which)) return Errno::inval;
  return into.store(to_itimerval(task.process().timers().get_interval(which)));
}

Result<> sys_setitimer(Task& task, std::int32_t which, UserPtr<const abi::Itimerval> fresh, UserPtr<abi::Itimerval> old) {
  if (!is_interval_timer(which)) return Errno::inval;
  TimerSetting setting;  // a null pointer disarms, as Linux does it
  if (!fresh.is_null()) {
    const abi::Itimerval wanted = TRY(fresh.load());
    setting.value = TRY(timeval_to_ns(wanted.value));
    setting.interval = TRY(timeval_to_ns(wanted.interval));
  }
  const TimerSetting before = task.process().timers().set_interval(which, setting);
  return old.is_null() ? Result<>() : old.store(to_itimerval(before));
}

// --- POSIX timers ---

Result<> sys_timer_create(Task& task, std::int32_t clock, UserPtr<const abi::SigEvent> event, UserPtr<std::int32_t> id) {
  if (clock == abi::kClockMonotonicRaw || clock == abi::kClockRealtimeCoarse || clock == abi::kClockMonotonicCoarse) return Errno::opnotsupp;
  TRY(clock_now(clock));
  std::optional<abi::SigEvent> requested;
  if (!event.is_null()) {
    requested = TRY(event.load());
    const bool signals = requested->notify == abi::kSigEvSignal || requested->notify == abi::kSigEvThreadId;
    if (!signals && requested->notify != abi::kSigEvNone && requested->notify != abi::kSigEvThread) return Errno::inval;
    if (requested->notify != abi::kSigEvNone && !is_signal(requested->signo)) return Errno::inval;
  }
  const std::int32_t made = TRY(task.process().timers().create(clock, requested));
  const Result<> stored = id.store(made);
  if (!stored.ok()) (void)task.process().timers().remove(made);
  return stored;
}

Result<> sys_timer_settime(Task& task, std::int32_t id, std::int32_t flags, UserPtr<const abi::Itimerspec> fresh, UserPtr<abi::Itimerspec> old) {
  if (fresh.is_null()) return Errno::inval;
  const abi::Itimerspec wanted = TRY(fresh.load());
  const TimerSetting setting{.value = TRY(to_ns(wanted.value)), .interval = TRY(to_ns(wanted.interval))};
  const TimerSetting before = TRY(task.process().timers().set(id, setting, (flags & abi::kTimerAbstime) != 0));
  return old.is_null() ? Result<>() : old.store(to_itimerspec(before));
}

Result<> sys_timer_gettime(Task& task, std::int32_t id, UserPtr<abi::Itimerspec> into) {
  const TimerSetting setting = TRY(task.process().timers().get(id));
  return into.store(to_itimerspec(setting));
}

Result<std::int32_t> sys_timer_getoverrun(Task& task, std::int32_t id) { return task.process().timers().overrun(id); }
Result<> sys_timer_delete(Task& task, std::int32_t id) { return task.process().timers().remove(id); }

}  // namespace kernel
