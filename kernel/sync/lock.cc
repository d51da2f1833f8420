#include "kernel/sync/lock.h"

#include "kernel/frame/vcpu_block.h"
#include "kernel/sync/wait.h"

namespace kernel {

namespace {
// A mutex waiter lives on its thread's stack while it is linked.
struct MutexWaiter {
  MutexWaiter* next = nullptr;
  Sleeper* sleeper = nullptr;
  std::atomic<bool> granted{false};
};

constexpr int kSpinsBeforeYield = 20'000;

void raw_spin(std::atomic<std::uint32_t>& word) {
  for (int spins = 0;; ++spins) {
    if (word.load(std::memory_order_relaxed) == 0 && word.exchange(1, std::memory_order_acquire) == 0) return;
    // The host may have descheduled the holder; giving up the processor from here is not possible (the holder may be anybody's
    // caller), so only pause longer.
    for (int pause = 0; pause < (spins < kSpinsBeforeYield ? 1 : 64); ++pause) __builtin_ia32_pause();
  }
}
}  // namespace

namespace sync_detail {

void spin_wait(std::atomic<std::uint32_t>& word) { raw_spin(word); }

bool spin_try_lock(std::atomic<std::uint32_t>& word, LockRank rank) {
  if (word.load(std::memory_order_relaxed) != 0 || word.exchange(1, std::memory_order_acquire) != 0) return false;
  frame::set_spin_mask(frame::spin_mask() | rank_bit(rank));
  return true;
}

void spin_until_free(const std::atomic<std::uint32_t>& word) {
  while (word.load(std::memory_order_acquire) != 0) __builtin_ia32_pause();
}

// SAFETY: (mutex functions) waiters are linked only between their own push and the unlock that grants them, both under `spin`, and the
// waiter does not leave its stack frame before it has been granted.
void mutex_lock(MutexState& state, LockRank) {
  assert_no_spinlocks_held();
  std::uint32_t free = 0;
  if (state.word.compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
  MutexWaiter waiter;
  waiter.sleeper = &current_sleeper();
  raw_spin(state.spin);
  if (state.word.exchange(2, std::memory_order_acquire) == 0) {
    // Released meanwhile, and nobody waits (waiters are handed the lock directly).
    if (state.waiters_head == nullptr) state.word.store(1, std::memory_order_relaxed);
    state.spin.store(0, std::memory_order_release);
    return;
  }
  if (state.waiters_tail == nullptr)
    state.waiters_head = &waiter;
  else
    static_cast<MutexWaiter*>(state.waiters_tail)->next = &waiter;
  state.waiters_tail = &waiter;
  state.spin.store(0, std::memory_order_release);
  while (!waiter.granted.load(std::memory_order_acquire)) park(kNever, Interruptible::no);
  // The granter still touches us and the lock until it lets `spin` go.
  raw_spin(state.spin);
  state.spin.store(0, std::memory_order_release);
}

bool mutex_try_lock(MutexState& state, LockRank) {
  std::uint32_t free = 0;
  return state.word.compare_exchange_strong(free, 1, std::memory_order_acquire);
}

void mutex_unlock(MutexState& state, LockRank) {
  std::uint32_t held = 1;
  if (state.word.compare_exchange_strong(held, 0, std::memory_order_release)) return;
  raw_spin(state.spin);
  auto* next = static_cast<MutexWaiter*>(state.waiters_head);
  if (next == nullptr) {
    state.word.store(0, std::memory_order_release);
    state.spin.store(0, std::memory_order_release);
    return;
  }
  // Hand over: the word stays held. It stays 2 while others wait.
  state.waiters_head = next->next;
  if (state.waiters_head == nullptr) {
    state.waiters_tail = nullptr;
    state.word.store(1, std::memory_order_release);
  }
  next->granted.store(true, std::memory_order_release);
  next->sleeper->unpark();
  state.spin.store(0, std::memory_order_release);  // the waiter goes on after this: nothing of it may be touched any more
}

}  // namespace sync_detail

void assert_no_spinlocks_held() { KASSERT(frame::spin_mask() == 0); }

}  // namespace kernel
