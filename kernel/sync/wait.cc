#include "kernel/sync/wait.h"

#include "kernel/frame/cpu.h"
#include "kernel/frame/vcpu_block.h"

namespace kernel {

namespace {

struct Deferred {
  SpinLock<LockRank::deferred_wake> lock;
  List<DeferredWake, DeferredWakeTag> wakes GUARDED_BY(lock);
  List<DeferredWake, DeferredWakeTag> lockers GUARDED_BY(lock);  // those that take locks
  std::atomic<std::uint32_t> wake_count{0}, locker_count{0};
};
Deferred& deferred() {
  static constinit Deferred instance;
  return instance;
}

DeferredWake* take_deferred(bool takes_locks) {
  Deferred& all = deferred();
  const LockGuard guard(all.lock);
  DeferredWake* const wake = takes_locks ? all.lockers.pop_front() : all.wakes.pop_front();
  if (wake != nullptr) (takes_locks ? all.locker_count : all.wake_count).fetch_sub(1, std::memory_order_relaxed);
  return wake;
}

void run_deferred_wakes() {
  const Deferred& all = deferred();
  while (all.wake_count.load(std::memory_order_acquire) != 0) {
    DeferredWake* const wake = take_deferred(false);
    if (wake == nullptr) break;
    wake->run_deferred();
  }
  if (all.locker_count.load(std::memory_order_relaxed) != 0 && frame::spin_mask() == 0) run_deferred_lockers();
}

}  // namespace

void run_deferred_lockers() {
  while (deferred().locker_count.load(std::memory_order_acquire) != 0) {
    DeferredWake* const wake = take_deferred(true);
    if (wake == nullptr) return;
    wake->run_deferred();
  }
}

bool defer_wake(DeferredWake& wake) {
  const bool takes_locks = wake.takes_locks();
  {
    Deferred& all = deferred();
    const LockGuard guard(all.lock);
    if (wake.is_linked()) return false;
    (takes_locks ? all.lockers : all.wakes).push_back(wake);
    (takes_locks ? all.locker_count : all.wake_count).fetch_add(1, std::memory_order_release);
  }
  // The waker may hold spinlocks: at the latest it is run when this thread goes back to its program.
  if (frame::ThreadContext* const current = frame::this_vcpu().current; takes_locks && current != nullptr)
    current->work.fetch_or(frame::kWorkTimers, std::memory_order_relaxed);
  return true;
}

// A waiter announces itself, is linked, and then looks at what it waits for (its ready()); a waker changes that, then looks whether anybody is
// announced. With a full fence between the two steps of either, one of them sees the other. Here the fence is the exchange that takes
// the lock: on x86 every locked instruction is one, and the compiler must not move the announcement behind it (the signal fence).
void WaitQueue::add(Waiter& waiter) {
  announce();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const LockGuard guard(lock_);
  waiters_.push_back(waiter);
  confirm();
}

void WaitQueue::add_first(Waiter& waiter) {
  announce();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const LockGuard guard(lock_);
  waiters_.push_front(waiter);
  confirm();
}

void WaitQueue::add_again(OnceWaiter& waiter) {
  announce();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const LockGuard guard(lock_);
  if (!waiter.is_linked()) {
    waiter.renew();  // with the lock held no waker is between taking it out and telling it
    waiters_.push_back(waiter);
  }
  confirm();
}

// The last of others may have left, and taken the announcement back, before this one had the lock: then it is made again, with a fence of
// its own before ready(). From here on nobody takes it back, since the queue is not empty.
void WaitQueue::confirm() {
  if (announced_.load(std::memory_order_relaxed) == 0) announced_.store(1, std::memory_order_seq_cst);
}

void WaitQueue::unlink(Waiter& waiter) {
  List<Waiter, WaitTag>::remove(waiter);
  if (waiters_.front() == nullptr) announced_.store(0, std::memory_order_relaxed);
}

void WaitQueue::remove(Waiter& waiter) {
  const LockGuard guard(lock_);
  if (waiter.is_linked()) unlink(waiter);
}

// A waiter that leaves may be gone after on_wake().
bool WaitQueue::wake(Waiter& waiter, std::uint32_t events) {
  if (waiter.leaves_when_woken_) unlink(waiter);
  return waiter.on_wake(events);
}

void WaitQueue::wake_all(std::uint32_t events) {
  // Pairs with the add-then-check of waiters: either they see the change that the caller made, or this sees them.
  frame::full_fence();
  wake_all_fenced(events);
}

void WaitQueue::wake_all_fenced(std::uint32_t events) {
  if (!has_waiters()) return;
  {
    const LockGuard guard(lock_);
    Waiter* next = nullptr;
    for (Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = next) {
      next = waiters_.next(*waiter);
      wake(*waiter, events);
    }
  }
  run_deferred_wakes();
}

void WaitQueue::wake_one(std::uint32_t events) {
  frame::full_fence();
  if (!has_waiters()) return;
  {
    const LockGuard guard(lock_);
    Waiter* next = nullptr;
    for (Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = next) {
      next = waiters_.next(*waiter);
      if (wake(*waiter, events)) break;
    }
  }
  run_deferred_wakes();
}

}  // namespace kernel
