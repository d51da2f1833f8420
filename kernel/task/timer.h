// Kernel timers: a callback at an instant of the monotonic clock. Resolution: the tick while all vCPUs are busy, exact when one idles.
#ifndef KERNEL_TASK_TIMER_H
#define KERNEL_TASK_TIMER_H

#include <atomic>

#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel {

class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  // The object must have been cancelled before it dies.
  virtual ~Timer() { KASSERT(!queued_); }
  // (Re)arms it. Any context but under locks of rank >= timer.
  void arm(Instant deadline);
  // Disarms; when it returns the callback does not run and will not run (it waits for a running one, so it must not be called from the
  // callback itself). No spinlocks held that the callback takes.
  void cancel();
  bool armed() const { return queued_; }
  Instant deadline() const { return deadline_; }

 protected:
  // Runs on some vCPU in kernel context without the timer lock; must not wait. It may arm() this timer again.
  virtual void on_timer(Instant now) = 0;

 private:
  friend class TimerQueue;
  Instant deadline_ = kNever;
  bool queued_ = false;
  std::atomic<bool> running_{false};
  // Pairing heap (min deadline at the root): first child, next sibling, and parent or previous sibling.
  Timer* child_ = nullptr;
  Timer* next_ = nullptr;
  Timer* prev_ = nullptr;
};

// All armed timers of the kernel.
class TimerQueue {
 public:
  void arm(Timer& timer, Instant deadline);
  void cancel(Timer& timer);
  // Runs what is due. Kernel context, no locks held.
  void run(Instant now);
  // The earliest deadline, kNever if none. Lock-free, may be out of date by one change.
  Instant next_deadline() const { return next_.load(std::memory_order_acquire); }

 private:
  void insert_locked(Timer& timer) REQUIRES(lock_);
  void remove_locked(Timer& timer) REQUIRES(lock_);
  void publish_locked() REQUIRES(lock_);
  static Timer* meld(Timer* a, Timer* b);
  static Timer* merge_pairs(Timer* first);

  SpinLock<LockRank::timer> lock_;
  Timer* root_ GUARDED_BY(lock_) = nullptr;
  std::atomic<Instant> next_{kNever};
};

TimerQueue& timers();

}  // namespace kernel
#endif  // KERNEL_TASK_TIMER_H
