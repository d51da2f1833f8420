#include "kernel/vfs/timerfd.h"

#include <algorithm>
#include <string_view>

#include "abi/time.h"
#include "kernel/base/string.h"
#include "kernel/host/clock.h"

namespace kernel {
namespace {

// Timers that follow CLOCK_REALTIME (absolute ones).
struct RealtimeTimers {
  SpinLock<LockRank::socket> lock;  // below the timers' own
  List<TimerFd, TimerFdTag> list GUARDED_BY(lock);
};
constinit RealtimeTimers realtime_timers;  // NOLINT: the one list

void follow_realtime(TimerFd& timer, bool on) {
  const LockGuard guard(realtime_timers.lock);
  if (timer.is_linked()) timer.unlink();
  if (on) realtime_timers.list.push_back(timer);
}

}  // namespace

void realtime_was_set() {
  const LockGuard guard(realtime_timers.lock);
  for (TimerFd* timer = realtime_timers.list.front(); timer != nullptr; timer = realtime_timers.list.next(*timer)) timer->on_realtime_set();
}

TimerFd::~TimerFd() {
  follow_realtime(*this, false);
  cancel();
}

bool TimerFd::is_realtime() const { return clock_ == abi::kClockRealtime || clock_ == abi::kClockRealtimeAlarm; }

Instant TimerFd::deadline_of(std::uint64_t value, bool absolute) const {
  const Instant now = monotonic_now();
  if (absolute) {
    const std::uint64_t clock = is_realtime() ? realtime_now() : clock_ == abi::kClockMonotonic ? now : boottime_now();
    value = value > clock ? value - clock : 0;
  }
  Instant deadline = 0;
  return __builtin_add_overflow(now, value, &deadline) ? kNever - 1 : std::min(deadline, kNever - 1);
}

// Takes account of the periods that have gone by since the timer fired, and lets it go on.
void TimerFd::count_locked(Instant now) {
  if (!expired_ || interval_ == 0 || deadline_ == kNever) return;
  if (now >= deadline_) {
    const std::uint64_t periods = (now - deadline_) / interval_ + 1;
    ticks_ += periods - 1;  // on_timer() counted the first
    deadline_ += periods * interval_;
  }
  expired_ = false;
  arm(deadline_);
}

TimerFd::Setting TimerFd::remaining_locked(Instant now) {
  count_locked(now);
  if (deadline_ == kNever || (expired_ && interval_ == 0)) return {.value = 0, .interval = interval_};
  return {.value = deadline_ > now ? deadline_ - now : 1, .interval = interval_};
}

TimerFd::Setting TimerFd::set(Setting setting, bool absolute, bool cancel_on_set) {
  cancel();
  const Instant deadline = setting.value == 0 ? kNever : deadline_of(setting.value, absolute);
  follow_realtime(*this, absolute && is_realtime() && setting.value != 0);
  const LockGuard guard(lock_);
  const Setting old = remaining_locked(monotonic_now());
  ticks_ = 0;
  expired_ = false;
  canceled_ = false;
  set_flags_ = (absolute ? abi::kTfdTimerAbstime : 0U) | (cancel_on_set ? abi::kTfdTimerCancelOnSet : 0U);
  cancels_ = cancel_on_set && absolute && is_realtime();
  absolute_ = setting.value;
  interval_ = setting.interval;
  deadline_ = deadline;
  if (deadline_ != kNever) arm(deadline_);
  return old;
}

TimerFd::Setting TimerFd::get() {
  const LockGuard guard(lock_);
  return remaining_locked(monotonic_now());
}

void TimerFd::on_realtime_set() {
  {
    const LockGuard guard(lock_);
    if (deadline_ == kNever) return;
    if (cancels_) canceled_ = true;
    if (!expired_ && interval_ == 0) {
      deadline_ = deadline_of(absolute_, true);
      arm(deadline_);
    }
    if (!canceled_) return;
  }
  queue_.wake_all(kPollReadable);
}

void TimerFd::on_timer(Instant now) {
  {
    const LockGuard guard(lock_);
    if (deadline_ == kNever || expired_) return;
    if (now < deadline_) {  // set again meanwhile
      arm(deadline_);
      return;
    }
    expired_ = true;
    ++ticks_;
  }
  queue_.wake_all(kPollReadable);
}

Result<std::size_t> TimerFd::read(IoSink& sink) {
  if (sink.remaining() < sizeof(std::uint64_t)) return Errno::inval;
  for (;;) {
    std::uint64_t count = 0;
    {
      const LockGuard guard(lock_);
      if (canceled_) {
        canceled_ = false;
        ticks_ = 0;
        return Errno::canceled;
      }
      if (ticks_ != 0) {
        count_locked(monotonic_now());
        count = ticks_;
        ticks_ = 0;
      }
    }
    if (count != 0) {
      sink.limit(sizeof(count));
      return sink.put(std::as_bytes(std::span<const std::uint64_t, 1>(&count, 1)));
    }
    if (is_nonblocking()) return Errno::again;
    TRY(queue_.wait([this] { return readiness() != 0; }));
  }
}

std::uint32_t TimerFd::readiness() {
  const LockGuard guard(lock_);
  return ticks_ != 0 || canceled_ ? kPollReadable : 0;
}

std::size_t TimerFd::describe(std::span<char> into) {
  constexpr std::string_view kName = "anon_inode:[timerfd]";
  const std::size_t count = std::min(kName.size(), into.size());
  std::copy_n(kName.begin(), count, into.begin());
  return count;
}

Result<> TimerFd::describe_info(String& out) {
  constexpr std::uint64_t kNsPerSec = 1'000'000'000;
  Setting setting;
  std::uint64_t ticks = 0;
  std::uint32_t flags = 0;
  {
    const LockGuard guard(lock_);
    setting = remaining_locked(monotonic_now());
    ticks = ticks_;
    flags = set_flags_;
  }
  const auto number = [&out](std::string_view before, std::uint64_t value, unsigned base = 10) -> Result<> {
    TRY(out.try_append(before));
    return out.try_append(Digits(value, base).view());
  };
  TRY(number("clockid: ", static_cast<std::uint64_t>(clock_)));
  TRY(number("\nticks: ", ticks));
  TRY(number("\nsettime flags: 0", flags, 8));
  TRY(number("\nit_value: (", setting.value / kNsPerSec));
  TRY(number(", ", setting.value % kNsPerSec));
  TRY(number(")\nit_interval: (", setting.interval / kNsPerSec));
  TRY(number(", ", setting.interval % kNsPerSec));
  return out.try_append(")\n");
}

}  // namespace kernel
