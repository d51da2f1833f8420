// Kernel timers: a callback at an instant of the monotonic clock. Resolution: ticks while vCPUs are busy (see scheduler), exact when idle.
#ifndef KERNEL_TASK_TIMER_H
#define KERNEL_TASK_TIMER_H

#include "kernel/base/list.h"
#include "kernel/sync/wait.h"

namespace kernel {

struct TimerTag;

class Timer : public ListNode<TimerTag> {
 public:
  Timer() = default;
  // The object must have been cancelled before it dies.
  virtual ~Timer() = default;
  // (Re)arms it. Any context but under locks of rank >= timer.
  void arm(Instant deadline);
  // Disarms; when it returns the callback does not run and will not run (it waits for a running one). No spinlocks held that the
  // callback takes.
  void cancel();
  bool armed() const;
  Instant deadline() const { return deadline_; }

 protected:
  // Runs on some vCPU in kernel context without the timer lock; must not wait. It may arm() this timer again.
  virtual void on_timer(Instant now) = 0;

 private:
  friend class TimerQueue;
  Instant deadline_ = kNever;
  bool running_ = false;
};

}  // namespace kernel
#endif  // KERNEL_TASK_TIMER_H
