// timerfd_create(2): expirations of a timer as something to read.
#ifndef KERNEL_VFS_TIMERFD_H
#define KERNEL_VFS_TIMERFD_H

#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/sync/lock.h"
#include "kernel/task/timer.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

struct TimerFdTag;

class TimerFd final : public OpenFile, private Timer, public ListNode<TimerFdTag> {
 public:
  // Nanoseconds; value 0 = disarmed, interval 0 = once.
  struct Setting {
    std::uint64_t value = 0, interval = 0;
  };
  // `clock`: abi::kClock*, checked by the caller.
  TimerFd(std::int32_t clock, std::uint32_t flags) : OpenFile(flags), clock_(clock) {}
  ~TimerFd() override;

  // Arms or disarms it. With `absolute` the value is an instant of the clock; `cancel_on_set` makes reads fail with ECANCELED once
  // CLOCK_REALTIME has been set. The old setting, its value counted from now.
  Setting set(Setting setting, bool absolute, bool cancel_on_set) EXCLUDES(lock_);
  Setting get() EXCLUDES(lock_);
  // CLOCK_REALTIME was set by a program.
  void on_realtime_set() EXCLUDES(lock_);

  Result<std::size_t> read(IoSink& sink) override;
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }
  std::size_t describe(std::span<char> into) override;
  FileKind kind() const override { return FileKind::timer; }
  bool is_stream() const override { return true; }
  bool is_event_file() const override { return true; }
  bool has_write() const override { return false; }
  Result<> describe_info(String& out) override EXCLUDES(lock_);

 private:
  void on_timer(Instant now) override EXCLUDES(lock_);
  Setting remaining_locked(Instant now) REQUIRES(lock_);
  void count_locked(Instant now) REQUIRES(lock_);
  Instant deadline_of(std::uint64_t value, bool absolute) const;
  bool is_realtime() const;

  const std::int32_t clock_;
  SpinLock<LockRank::pipe> lock_;
  Instant deadline_ GUARDED_BY(lock_) = kNever;  // of the next expiration; kNever = disarmed or over
  std::uint64_t interval_ GUARDED_BY(lock_) = 0;
  std::uint64_t ticks_ GUARDED_BY(lock_) = 0;
  std::uint64_t absolute_ GUARDED_BY(lock_) = 0;  // instant of CLOCK_REALTIME, to arm again when that is set
  bool expired_ GUARDED_BY(lock_) = false;        // the timer fired; a periodic one goes on when it is read or asked
  std::uint32_t set_flags_ GUARDED_BY(lock_) = 0;  // of timerfd_settime
  bool cancels_ GUARDED_BY(lock_) = false;
  bool canceled_ GUARDED_BY(lock_) = false;
  WaitQueue queue_;
};

// After clock_settime(CLOCK_REALTIME) or settimeofday: cancels or re-arms what depends on that clock. No locks held.
void realtime_was_set();

}  // namespace kernel
#endif  // KERNEL_VFS_TIMERFD_H
