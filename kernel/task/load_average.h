// The load averages of /proc/loadavg and sysinfo(2), as Linux computes them: every five seconds the threads that run or want to are counted
// and go into three exponential averages. Nobody wakes up for it: whoever is in the kernel anyway looks whether a count is due, and who comes
// back from idling catches up.
#ifndef KERNEL_TASK_LOAD_AVERAGE_H
#define KERNEL_TASK_LOAD_AVERAGE_H

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel {

class LoadAverage {
 public:
  static constexpr unsigned kShift = 11;  // of the fixed-point numbers
  static constexpr std::uint64_t kOne = std::uint64_t{1} << kShift;
  using Loads = std::array<std::uint64_t, 3>;  // of 1, 5 and 15 minutes

  bool is_due(Instant now) const { return now >= next_.load(std::memory_order_relaxed); }
  // `active`: threads that have been running or runnable since the last time; each period that has ended counts them.
  void catch_up(Instant now, std::uint64_t active) EXCLUDES(lock_);
  Loads get() const EXCLUDES(lock_);

  // The average after `periods` periods with `active` threads (fixed point), from `load`; `decay` is e^(-5s/window).
  static std::uint64_t after(std::uint64_t load, std::uint64_t decay, std::uint64_t active, std::uint64_t periods);

 private:
  std::atomic<Instant> next_{0};  // 0: not begun
  mutable SpinLock<LockRank::residency> lock_;
  Loads loads_ GUARDED_BY(lock_){};
};

}  // namespace kernel
#endif  // KERNEL_TASK_LOAD_AVERAGE_H
