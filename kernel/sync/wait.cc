#include "kernel/sync/wait.h"

#include "kernel/frame/cpu.h"

namespace kernel {

namespace {

constinit SpinLock<LockRank::deferred_wake> deferred_lock;
constinit List<DeferredWake, DeferredWakeTag> deferred GUARDED_BY(deferred_lock);
constinit std::atomic<std::uint32_t> deferred_count{0};

void run_deferred_wakes() {
  while (deferred_count.load(std::memory_order_acquire) != 0) {
    DeferredWake* wake = nullptr;
    {
      const LockGuard guard(deferred_lock);
      wake = deferred.pop_front();
      if (wake == nullptr) return;
      deferred_count.fetch_sub(1, std::memory_order_relaxed);
    }
    wake->run_deferred();
  }
}

}  // namespace

bool defer_wake(DeferredWake& wake) {
  const LockGuard guard(deferred_lock);
  if (wake.is_linked()) return false;
  deferred.push_back(wake);
  deferred_count.fetch_add(1, std::memory_order_release);
  return true;
}

void WaitQueue::add(Waiter& waiter) {
  const LockGuard guard(lock_);
  waiters_.push_back(waiter);
  count_.fetch_add(1, std::memory_order_seq_cst);
}

void WaitQueue::add_first(Waiter& waiter) {
  const LockGuard guard(lock_);
  waiters_.push_front(waiter);
  count_.fetch_add(1, std::memory_order_seq_cst);
}

void WaitQueue::remove(Waiter& waiter) {
  const LockGuard guard(lock_);
  if (!waiter.is_linked()) return;
  List<Waiter, WaitTag>::remove(waiter);
  count_.store(count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);  // changed under the lock only
}

void WaitQueue::wake_all(std::uint32_t events) {
  // Pairs with the add-then-check of waiters: either they see the change that the caller made, or this sees them.
  frame::full_fence();
  wake_all_fenced(events);
}

void WaitQueue::wake_all_fenced(std::uint32_t events) {
  if (count_.load(std::memory_order_seq_cst) == 0) return;
  {
    const LockGuard guard(lock_);
    for (Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.next(*waiter)) waiter->on_wake(events);
  }
  run_deferred_wakes();
}

void WaitQueue::wake_one(std::uint32_t events) {
  frame::full_fence();
  if (!has_waiters()) return;
  {
    const LockGuard guard(lock_);
    for (Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.next(*waiter))
      if (waiter->on_wake(events)) break;
  }
  run_deferred_wakes();
}

}  // namespace kernel
