#include "kernel/task/posix_timers.h"

#include <algorithm>
#include <utility>

#include "kernel/host/clock.h"
#include "kernel/task/task.h"

namespace kernel {

namespace {

constexpr std::size_t kMaxTimers = 4096;           // of timer_create, per process
constexpr std::uint64_t kShortestPeriod = 50'000;  // ns between two firings of one timer
constexpr std::uint64_t kCpuCheck = 1'000'000;     // least distance between two looks at a CPU clock

bool is_cpu_clock(std::int32_t clock) { return clock == abi::kClockProcessCpu || clock == abi::kClockThreadCpu || clock < 0; }

// Clock ids of other processes and threads: ~id in the upper bits, bit 2 = thread, bits 0-1 = kind (0 and 2 = all CPU time, 1 = user time).
constexpr std::int32_t kCpuKindMask = 3, kCpuKindUser = 1;
constexpr std::int32_t kOwnUserTime = ~7 | kCpuKindUser;  // of the process itself: what ITIMER_VIRTUAL counts

Result<std::uint64_t> foreign_cpu_clock(std::int32_t clock) {
  constexpr std::int32_t kThread = 4;
  if ((clock & kCpuKindMask) == 3) return Errno::inval;
  const bool user_only = (clock & kCpuKindMask) == kCpuKindUser;
  const Pid id{~(clock >> 3)};
  if ((clock & kThread) != 0) {
    const RefPtr<Task> task = id == Pid{} ? RefPtr<Task>(&current_task()) : find_task(id);
    if (!task || &task->process() != &current_task().process()) return Errno::inval;
    return user_only ? task->cpu_times().user_ns : task->run_time_ns();
  }
  const RefPtr<Process> process = id == Pid{} ? RefPtr<Process>(&current_task().process()) : find_process(id);
  if (!process) return Errno::inval;
  return user_only ? process->cpu_times().user_ns : process->cpu_time_ns();
}

}  // namespace

Result<std::uint64_t> clock_now(std::int32_t clock) {
  switch (clock) {
    case abi::kClockRealtime:
    case abi::kClockRealtimeCoarse:
    case abi::kClockRealtimeAlarm:
    case abi::kClockTai:
      return realtime_now();
    case abi::kClockMonotonic:
    case abi::kClockMonotonicRaw:
    case abi::kClockMonotonicCoarse:
      return monotonic_now();
    case abi::kClockBoottime:
    case abi::kClockBoottimeAlarm:
      return boottime_now();
    case abi::kClockProcessCpu: {
      const Ref<Process> process(current_task().process());
      return process->cpu_time_ns();
    }
    case abi::kClockThreadCpu:
      return current_task().run_time_ns();
    default:
      return clock < 0 ? foreign_cpu_clock(clock) : Result<std::uint64_t>(Errno::inval);
  }
}

// One timer. Its fields are guarded by the owner's lock.
class PosixTimer final : public Timer {
 public:
  PosixTimer(PosixTimers& timers, std::int32_t clock, std::int32_t notify, abi::SigInfo info, RefPtr<Task> target)
      : timers_(timers), clock_(clock), notify_(notify), info_(info), target_(std::move(target)) {}
  ~PosixTimer() override { cancel(); }

 private:
  friend class PosixTimers;
  void on_timer(Instant now) override { timers_.expire(*this, now); }

  PosixTimers& timers_;
  const std::int32_t clock_;
  const std::int32_t notify_;
  const abi::SigInfo info_;
  const RefPtr<Task> target_;  // SIGEV_THREAD_ID
  bool active_ = false;
  bool removed_ = false;  // its id is in use until its signals are gone
  std::uint64_t next_ = 0;  // on the timer's own clock
  std::uint64_t interval_ = 0;
  std::uint64_t missed_ = 0;        // expirations since the signal that is pending was sent
  std::uint64_t last_overrun_ = 0;  // of the signal taken last
};

PosixTimers::PosixTimers(Process& process) : process_(process) {}
PosixTimers::~PosixTimers() { cancel_all(); }

// The timer's clock now. CPU clocks are read without the running task, since timers fire anywhere.
std::uint64_t PosixTimers::read_clock(const PosixTimer& timer) const {
  if (is_cpu_clock(timer.clock_)) {
    if (timer.clock_ == abi::kClockThreadCpu && timer.target_) return timer.target_->run_time_ns();
    return timer.clock_ == kOwnUserTime ? process_.cpu_times().user_ns : process_.cpu_time_ns();
  }
  switch (timer.clock_) {
    case abi::kClockMonotonic:
      return monotonic_now();
    case abi::kClockBoottime:
    case abi::kClockBoottimeAlarm:
      return boottime_now();
    default:
      return realtime_now();
  }
}

// (Re)arms for next_, given what the clock says now.
void PosixTimers::arm_locked(PosixTimer& timer, std::uint64_t clock_time) {
  std::uint64_t distance = timer.next_ > clock_time ? timer.next_ - clock_time : 0;
  // A CPU clock runs at most as fast as there are threads: look again when it may have got there.
  if (is_cpu_clock(timer.clock_)) distance = std::max(distance / std::max(process_.thread_count(), 1u), kCpuCheck);
  Instant deadline = 0;
  if (__builtin_add_overflow(monotonic_now(), distance, &deadline)) deadline = kNever - 1;
  timer.arm(deadline);
}

// Whether the last signal has yet to be taken: of those of timer_create each one's own, of the others any of that number. Asked under the
// lock that note_taken() takes: a signal that is taken right afterwards is told of what was missed. No reference to the process is made: a
// callback may run when the last one has gone, while the destructor waits for it.
bool PosixTimers::is_signal_pending(const PosixTimer& timer) const {
  if (timer.info_.code == abi::kSiTimer) return is_timer_queued(process_, timer.target_.get(), timer.info_.pid());
  return (process_.pending_signals() & signal_bit(timer.info_.signo)) != 0;
}

abi::SigInfo PosixTimers::note_taken(const abi::SigInfo& info) {
  const LockGuard guard(lock_);
  const Result<PosixTimer*> found = find_locked(info.pid());
  if (!found.ok()) return info;  // deleted, or a program made this up
  PosixTimer& timer = *Result<PosixTimer*>(found).release();
  if (timer.info_.signo != info.signo) return info;
  timer.last_overrun_ = std::min<std::uint64_t>(timer.missed_, 0x7fffffff);
  timer.missed_ = 0;
  return abi::SigInfo::timer(info.signo, info.pid(), static_cast<std::int32_t>(timer.last_overrun_), info.value());
}

void PosixTimers::expire(PosixTimer& timer, Instant) {
  const std::uint64_t clock_time = read_clock(timer);
  abi::SigInfo info = timer.info_;
  {
    const LockGuard guard(lock_);
    if (!timer.active_) return;
    if (clock_time < timer.next_) return arm_locked(timer, clock_time);
    std::uint64_t expirations = 1;
    if (timer.interval_ == 0) {
      timer.active_ = false;
    } else {
      expirations += (clock_time - timer.next_) / timer.interval_;
      timer.next_ += expirations * timer.interval_;
      timer.next_ = std::max(timer.next_, clock_time + kShortestPeriod);
      arm_locked(timer, clock_time);
    }
    if (timer.notify_ == abi::kSigEvNone) return;
    if (is_signal_pending(timer)) {
      timer.missed_ += expirations;
      return;
    }
    timer.missed_ = expirations - 1;
  }
  if (info.signo == abi::kSigXcpu && timer.notify_ == abi::kSigEvSignal && info.code == abi::kSiKernel && clock_time >= cpu_maximum_.load())
    info = abi::SigInfo::from_kernel(abi::kSigKill);
  if (timer.target_)
    (void)send_signal(*timer.target_, info);
  else
    (void)send_signal(process_, info);
}

// --- setitimer ---

namespace {
constexpr int kCpuLimit = 3;
constexpr std::array<int, 4> kIntervalSignals{abi::kSigAlrm, abi::kSigVtAlrm, abi::kSigProf, abi::kSigXcpu};
}  // namespace

TimerSetting PosixTimers::remaining_locked(const PosixTimer& timer, std::uint64_t clock_time) const {
  if (!timer.active_) return {.value = 0, .interval = timer.interval_};
  // An expired timer that has not fired yet still shows 1 ns: 0 would mean disarmed.
  return {.value = timer.next_ > clock_time ? timer.next_ - clock_time : 1, .interval = timer.interval_};
}

TimerSetting PosixTimers::set_interval(int which, TimerSetting setting) {
  const auto index = static_cast<std::size_t>(which);
  Own<PosixTimer> fresh;
  bool exists = false;
  {
    const LockGuard guard(lock_);
    exists = static_cast<bool>(intervals_[index]);
  }
  if (!exists && setting.value == 0) return {};
  if (!exists) {
    constexpr std::array<std::int32_t, 4> kClocks{abi::kClockMonotonic, kOwnUserTime, abi::kClockProcessCpu, abi::kClockProcessCpu};
    const std::int32_t clock = kClocks[index];
    Result<Own<PosixTimer>> made =
        make_own<PosixTimer>(*this, clock, abi::kSigEvSignal, abi::SigInfo::from_kernel(kIntervalSignals[index]), RefPtr<Task>());
    if (!made.ok()) return {};
    fresh = std::move(made).release();
  }
  const LockGuard guard(lock_);
  if (closed_) return {};
  if (!intervals_[index]) intervals_[index] = std::move(fresh);
  PosixTimer& timer = *intervals_[index];
  const std::uint64_t clock_time = read_clock(timer);
  TimerSetting old = remaining_locked(timer, clock_time);
  timer.active_ = setting.value != 0;
  // Disarmed, the timers on CPU time keep their interval; ITIMER_REAL does not.
  timer.interval_ = timer.active_ || which != abi::kItimerReal ? setting.interval : 0;
  timer.missed_ = 0;
  if (__builtin_add_overflow(clock_time, setting.value, &timer.next_)) timer.next_ = ~std::uint64_t{0};
  if (timer.active_) arm_locked(timer, clock_time);
  return old;
}

void PosixTimers::set_cpu_limit(std::uint64_t current, std::uint64_t maximum) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  const auto to_ns = [](std::uint64_t seconds) { return seconds > ~std::uint64_t{0} / kSecond ? ~std::uint64_t{0} : seconds * kSecond; };
  cpu_maximum_.store(to_ns(maximum));
  const Ref<Process> process(process_);
  const std::uint64_t used = process->cpu_time_ns();
  const std::uint64_t first = std::min(to_ns(current), to_ns(maximum));
  const bool none = first == ~std::uint64_t{0};
  set_interval(kCpuLimit, {.value = none ? 0 : std::max<std::uint64_t>(first - std::min(first, used), 1), .interval = kSecond});
}

TimerSetting PosixTimers::get_interval(int which) const {
  const LockGuard guard(lock_);
  const Own<PosixTimer>& timer = intervals_[static_cast<std::size_t>(which)];
  return timer ? remaining_locked(*timer, read_clock(*timer)) : TimerSetting{};
}

// --- timer_create ---

Result<PosixTimer*> PosixTimers::find_locked(std::int32_t id) const {
  const auto index = static_cast<std::size_t>(id);
  if (id < 0 || index >= timers_.size() || !timers_[index] || timers_[index]->removed_) return Errno::inval;
  return timers_[index].get();
}

Result<std::int32_t> PosixTimers::create(std::int32_t clock, std::optional<abi::SigEvent> requested) {
  abi::SigEvent event{};
  event.signo = abi::kSigAlrm;
  if (requested) event = *requested;
  RefPtr<Task> target;
  if (event.notify == abi::kSigEvThreadId) {
    target = find_task(Pid{event.tid});
    if (!target || &target->process() != &process_) return Errno::inval;
  } else if (clock == abi::kClockThreadCpu) {
    target = RefPtr<Task>(&current_task());
  }
  const auto make = [&](std::int32_t id) {
    return make_own<PosixTimer>(*this, clock, event.notify, abi::SigInfo::timer(event.signo, id, 0, requested ? event.value : static_cast<std::uint64_t>(id)), target);
  };
  for (;;) {
    std::size_t index = 0;
    {
      const LockGuard guard(lock_);
      while (index < timers_.size() && timers_[index]) ++index;
    }
    if (index >= kMaxTimers) return Errno::again;
    Own<PosixTimer> fresh = TRY(make(static_cast<std::int32_t>(index)));
    const LockGuard guard(lock_);
    if (index == timers_.size()) TRY(timers_.try_push(Own<PosixTimer>()));
    if (index > timers_.size() || timers_[index]) continue;  // another thread was faster
    timers_[index] = std::move(fresh);
    return static_cast<std::int32_t>(index);
  }
}

Result<TimerSetting> PosixTimers::set(std::int32_t id, TimerSetting setting, bool absolute) {
  const LockGuard guard(lock_);
  PosixTimer& timer = *TRY(find_locked(id));
  const std::uint64_t clock_time = read_clock(timer);
  const TimerSetting old = remaining_locked(timer, clock_time);
  timer.active_ = setting.value != 0;
  timer.interval_ = timer.active_ ? setting.interval : 0;
  timer.missed_ = 0;
  timer.last_overrun_ = 0;
  timer.next_ = setting.value;
  if (!absolute && __builtin_add_overflow(clock_time, setting.value, &timer.next_)) timer.next_ = ~std::uint64_t{0};
  if (timer.active_) arm_locked(timer, clock_time);
  return old;
}

Result<TimerSetting> PosixTimers::get(std::int32_t id) const {
  const LockGuard guard(lock_);
  const PosixTimer& timer = *TRY(find_locked(id));
  return remaining_locked(timer, read_clock(timer));
}

Result<std::int32_t> PosixTimers::overrun(std::int32_t id) const {
  const LockGuard guard(lock_);
  const PosixTimer& timer = *TRY(find_locked(id));
  return static_cast<std::int32_t>(timer.last_overrun_);
}

Result<> PosixTimers::remove(std::int32_t id) {
  PosixTimer* timer = nullptr;
  {
    const LockGuard guard(lock_);
    timer = TRY(find_locked(id));
    timer->active_ = false;
    timer->removed_ = true;  // nobody else finds it now
  }
  // Its signal goes with it, and only then its id is free: the next timer of that id would take the signal for its own.
  timer->cancel();
  const Ref<Process> process(process_);
  drop_timer_signals(*process, timer->target_.get(), id);
  Own<PosixTimer> gone;  // dies after the lock
  const LockGuard guard(lock_);
  std::swap(gone, timers_[static_cast<std::size_t>(id)]);
  return {};
}

void PosixTimers::remove_posix(Task& only_task) {
  {
    Vec<Own<PosixTimer>> gone;
    const LockGuard guard(lock_);
    std::swap(gone, timers_);
  }
  const Ref<Process> process(process_);
  drop_timer_signals(*process, nullptr, std::nullopt);
  drop_timer_signals(*process, &only_task, std::nullopt);
}

void PosixTimers::cancel_all() {
  Vec<Own<PosixTimer>> timers;
  std::array<Own<PosixTimer>, 4> intervals;
  const LockGuard guard(lock_);
  closed_ = true;
  std::swap(timers, timers_);
  std::swap(intervals, intervals_);
}

}  // namespace kernel
