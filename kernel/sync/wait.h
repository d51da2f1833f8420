// Waiting. A thread parks; a wait queue wakes it. Implemented on the scheduler's park/unpark (task/scheduler.cc), which sits above:
// sync/ only declares what it needs of it.
#ifndef KERNEL_SYNC_WAIT_H
#define KERNEL_SYNC_WAIT_H

#include <atomic>
#include <cstdint>
#include <limits>

#include "kernel/base/list.h"
#include "kernel/base/result.h"
#include "kernel/sync/lock.h"

namespace kernel {

// Nanoseconds of the kernel's monotonic clock. kNever = no deadline.
using Instant = std::uint64_t;
inline constexpr Instant kNever = std::numeric_limits<Instant>::max();

enum class Interruptible : bool { no, yes };
enum class ParkResult { woken, timed_out, interrupted };

// Something that sleeps and can be woken: a kernel thread's scheduling half.
class Sleeper {
 public:
  // Makes it runnable, or makes its next park() return at once. Any context, also under spinlocks of lower rank than run_queue.
  virtual void unpark() = 0;

 protected:
  ~Sleeper() = default;
};

Sleeper& current_sleeper();
// Blocks the running thread until unpark(), the deadline, or (if asked) a deliverable signal. May return early: callers loop.
ParkResult park(Instant deadline, Interruptible interruptible);
// True if the running thread has a deliverable signal or is dying.
bool signal_pending();
Instant monotonic_now();

struct WaitTag;
class WaitQueue;

// One thread's (or one epoll item's) entry in a queue.
class Waiter : public ListNode<WaitTag> {
 public:
  // Called by the waker with the queue's lock held, in any context: must not wait, allocate or take locks below wait_queue
  // (epoll's ready list has a lock of its own above). `events` are poll(2) bits, 0 = unspecific. Returns true if this used up an
  // exclusive wake-up.
  virtual bool on_wake(std::uint32_t events) = 0;

 protected:
  Waiter() = default;
  explicit Waiter(bool leaves_when_woken) : leaves_when_woken_(leaves_when_woken) {}
  ~Waiter() = default;

 private:
  friend class WaitQueue;
  const bool leaves_when_woken_ = false;  // the waker takes it out of the queue before on_wake()
};

// A waiter that wakes the thread that made it.
class ThreadWaiter final : public Waiter {
 public:
  ThreadWaiter() : sleeper_(current_sleeper()) {}
  bool on_wake(std::uint32_t) override {
    woken_.store(true, std::memory_order_release);
    sleeper_.unpark();
    return true;
  }
  bool take_woken() { return woken_.exchange(false, std::memory_order_acquire); }

 private:
  Sleeper& sleeper_;
  std::atomic<bool> woken_{false};
};

// The same for one wake-up, which takes it out of the queue: the thread need not lock the queue once more for that.
class OnceWaiter final : public Waiter {
 public:
  OnceWaiter() : Waiter(true), sleeper_(current_sleeper()) {}
  bool on_wake(std::uint32_t) override {
    sleeper_.unpark();
    told_.store(true, std::memory_order_release);  // the last that the waker does with it
    return true;
  }
  bool was_told() const { return told_.load(std::memory_order_acquire); }
  void renew() { told_.store(false, std::memory_order_relaxed); }

 private:
  Sleeper& sleeper_;
  std::atomic<bool> told_{false};
};

struct DeferredWakeTag;
// A wake-up that a waker must not do itself because it holds a wait queue's lock (an epoll instance that is watched by another one): it
// is run by the waker once that lock is free.
class DeferredWake : public ListNode<DeferredWakeTag> {
 public:
  virtual void run_deferred() = 0;
  bool takes_locks() const { return takes_locks_; }

 protected:
  // takes_locks: also locks below the wait queues (it sends a signal, say). A waker may hold such locks, and runs what others have deferred,
  // too; so these are run where no spinlock is held: by the next waker of that kind, before a thread parks, on the way to user code.
  explicit DeferredWake(bool takes_locks = false) : takes_locks_(takes_locks) {}
  ~DeferredWake() = default;

 private:
  const bool takes_locks_;
};
// Queues it unless it is queued already (false then). For Waiter::on_wake only. Another waker may run it before this returns: a reference that
// run_deferred() is to drop has to be taken before.
bool defer_wake(DeferredWake& wake);
// Runs those that take locks. No spinlock is held.
void run_deferred_lockers();

class WaitQueue {
 public:
  // Non-exclusive waiters are all woken; exclusive ones (added at the end) one per wake_one.
  void add(Waiter& waiter) EXCLUDES(lock_);
  void add_first(Waiter& waiter) EXCLUDES(lock_);
  void remove(Waiter& waiter) EXCLUDES(lock_);  // no effect if it is not linked
  void wake_all(std::uint32_t events = 0) EXCLUDES(lock_);
  // The same when a locked instruction (an exchange, say) stands between the change that is told here and this call.
  void wake_all_fenced(std::uint32_t events = 0) EXCLUDES(lock_);
  void wake_one(std::uint32_t events = 0) EXCLUDES(lock_);  // the first waiter that accepts
  bool has_waiters() const { return announced_.load(std::memory_order_relaxed) != 0; }  // may be true when there is none, never the reverse

  // Waits until ready() is true. Errno::restart if a signal came (the exit helper makes it EINTR or a restart), Errno::timedout at
  // the deadline. ready() is called without locks and may take its own.
  template <class Ready>
  Result<> wait(Ready&& ready, Instant deadline = kNever, Interruptible interruptible = Interruptible::yes) {
    assert_no_spinlocks_held();
    if (ready()) return {};
    ThreadWaiter waiter;
    add(waiter);
    Result<> result;
    while (!ready()) {
      const ParkResult parked = park(deadline, interruptible);
      if (parked == ParkResult::woken) continue;
      if (ready()) break;
      result = parked == ParkResult::timed_out ? Errno::timedout : Errno::restart;
      break;
    }
    remove(waiter);
    return result;
  }

  // wait() for a queue that is part of an object to which every waker holds a reference of its own (a pipe, by its descriptor): the waiting
  // thread may return, and drop its own reference, while the waker has yet to unlock the queue.
  template <class Ready>
  Result<> wait_kept(Ready&& ready, Instant deadline = kNever, Interruptible interruptible = Interruptible::yes) {
    assert_no_spinlocks_held();
    if (ready()) return {};
    OnceWaiter waiter;
    add(waiter);
    Result<> result;
    while (!ready()) {
      const ParkResult parked = park(deadline, interruptible);
      if (parked == ParkResult::woken) {
        if (ready()) break;
        add_again(waiter);
        continue;
      }
      if (ready()) break;
      result = parked == ParkResult::timed_out ? Errno::timedout : Errno::restart;
      break;
    }
    // Not told yet: it is in the queue, or a waker that holds the lock is at it.
    if (!waiter.was_told()) remove(waiter);
    return result;
  }

 private:
  // Puts it back if a waker has taken it out. A waker unparks the thread before it tells the waiter: not having been told does not mean that
  // it is still in the queue.
  void add_again(OnceWaiter& waiter) EXCLUDES(lock_);
  void announce() { announced_.store(1, std::memory_order_relaxed); }
  void confirm() REQUIRES(lock_);
  void unlink(Waiter& waiter) REQUIRES(lock_);
  bool wake(Waiter& waiter, std::uint32_t events) REQUIRES(lock_);

  SpinLock<LockRank::wait_queue> lock_;
  List<Waiter, WaitTag> waiters_ GUARDED_BY(lock_);
  std::atomic<std::uint32_t> announced_{0};  // 1: somebody waits, or is about to; 0 is written under the lock only
};

}  // namespace kernel
#endif  // KERNEL_SYNC_WAIT_H
