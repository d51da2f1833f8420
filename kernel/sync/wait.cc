#include "kernel/sync/wait.h"

namespace kernel {

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
  count_.fetch_sub(1, std::memory_order_relaxed);
}

void WaitQueue::wake_all(std::uint32_t events) {
  // Pairs with the add-then-check of waiters: either they see the change that the caller made, or this sees them.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!has_waiters()) return;
  const LockGuard guard(lock_);
  for (Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.next(*waiter)) waiter->on_wake(events);
}

void WaitQueue::wake_one(std::uint32_t events) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!has_waiters()) return;
  const LockGuard guard(lock_);
  for (Waiter* waiter = waiters_.front(); waiter != nullptr; waiter = waiters_.next(*waiter))
    if (waiter->on_wake(events)) return;
}

}  // namespace kernel
