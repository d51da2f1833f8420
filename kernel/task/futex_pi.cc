// Priority-inheriting futexes: the word holds the owner's tid, FUTEX_WAITERS tells that the kernel has a queue. A lock is handed to the
// longest waiter; there is no boosting (see futex.h).
#include <utility>

#include "kernel/task/futex.h"
#include "kernel/task/futex_queue.h"

namespace kernel {

namespace {

std::uint32_t tid_of(const Task& task) { return static_cast<std::uint32_t>(task.tid()); }

FutexWaiter* first_pi_waiter(FutexBucket& bucket, const FutexKey& key) REQUIRES(bucket.lock) {
  for (FutexWaiter* waiter = bucket.waiters.front(); waiter != nullptr; waiter = bucket.waiters.next(*waiter))
    if (waiter->role == FutexRole::pi && waiter->key == key) return waiter;
  return nullptr;
}

// Tells all that still wait who holds the lock now. True if there are any.
bool note_owner(FutexBucket& bucket, const FutexKey& key, std::uint32_t owner, const FutexWaiter* except) REQUIRES(bucket.lock) {
  bool any = false;
  for (FutexWaiter* waiter = bucket.waiters.front(); waiter != nullptr; waiter = bucket.waiters.next(*waiter)) {
    if (waiter == except || waiter->role != FutexRole::pi || !(waiter->key == key)) continue;
    waiter->owner = owner;
    any = true;
  }
  return any;
}

// Gives the lock, whose word holds `value`, to the first waiter. EAGAIN: the word changed or its page is away.
Result<> hand_over(FutexBucket& bucket, FutexWaiter& first, std::uint32_t value, std::uint32_t extra) REQUIRES(bucket.lock) {
  const std::uint32_t new_owner = tid_of(*first.task);
  const bool more = note_owner(bucket, first.key, new_owner, &first);
  if (more) first.task->pi_contended = true;
  const std::uint32_t desired = new_owner | extra | (more ? abi::kFutexWaiters : 0);
  const std::uint32_t seen = TRY(frame::peek_compare_exchange_user_word(first.address, value, desired));
  if (seen != value) return Errno::again;
  first.owns = true;
  wake_waiter(bucket, first);
  return {};
}

enum class LockTry { acquired, must_wait };

// One attempt on the word under the bucket's lock, for `tid`. must_wait: FUTEX_WAITERS is set and `owner` is who holds it. EAGAIN: try
// again (bring the page in before). EDEADLK.
Result<LockTry> try_word(FutexBucket& bucket, const FutexKey& key, std::uint64_t address, std::uint32_t tid, std::uint32_t& owner)
    REQUIRES(bucket.lock) {
  for (;;) {
    const std::uint32_t value = TRY(frame::peek_user_word(address));
    owner = value & abi::kFutexTidMask;
    if (owner == tid) return Errno::deadlk;
    if (owner == 0) {
      const bool waiters = first_pi_waiter(bucket, key) != nullptr;
      const std::uint32_t desired = tid | (value & abi::kFutexOwnerDied) | (waiters ? abi::kFutexWaiters : 0);
      if (TRY(frame::peek_compare_exchange_user_word(address, value, desired)) != value) continue;
      if (waiters) (void)note_owner(bucket, key, tid, nullptr);
      return LockTry::acquired;
    }
    if ((value & abi::kFutexWaiters) != 0) return LockTry::must_wait;
    if (TRY(frame::peek_compare_exchange_user_word(address, value, value | abi::kFutexWaiters)) == value) return LockTry::must_wait;
  }
}

// The thread that holds the lock must exist and be of a kind that can hold it. ESRCH.
Result<> check_owner(std::uint64_t address) {
  const std::uint32_t value = TRY(frame::load_user_word(address));
  const std::uint32_t owner = value & abi::kFutexTidMask;
  if (owner == 0) return {};
  const RefPtr<Task> task = find_task(Pid{static_cast<std::int32_t>(owner)});
  if (!task) {
    // It may have given the lock up and ended since the word was read.
    return TRY(frame::load_user_word(address)) == value ? Result<>(Errno::srch) : Result<>();
  }
  task->pi_contended = true;
  return {};
}

// After a wake-up: true if the lock is ours, false if its owner died and the word has to be looked at again.
bool got_lock(FutexWaiter& waiter) {
  FutexBucket* bucket = waiter.bucket.load();
  const LockGuard guard(bucket->lock);
  return waiter.owns;
}

}  // namespace

Result<> futex_lock_pi(Task& task, FutexAddress futex, Instant deadline, bool try_only) {
  const FutexKey key = TRY(key_of(task, futex));
  FutexBucket& bucket = futex_bucket(key);
  for (;;) {
    TRY(check_owner(futex.address));
    FutexWaiter waiter;
    waiter.key = key;
    waiter.task = &task;
    waiter.role = FutexRole::pi;
    waiter.address = futex.address;
    Result<LockTry> tried = Errno::again;
    {
      const LockGuard guard(bucket.lock);
      tried = try_word(bucket, key, futex.address, tid_of(task), waiter.owner);
      if (tried.ok() && Result<LockTry>(tried).release() == LockTry::must_wait) {
        if (try_only) return Errno::again;
        enqueue(bucket, waiter);
      }
    }
    if (!tried.ok()) {
      if (tried.error() != Errno::again) return tried.error();
      TRY(bring_in(futex.address, true));
      continue;
    }
    if (Result<LockTry>(tried).release() == LockTry::acquired) return {};
    TRY(wait_on(waiter, deadline));
    if (got_lock(waiter)) return {};
  }
}

Result<> futex_unlock_pi(Task& task, FutexAddress futex) {
  const FutexKey key = TRY(key_of(task, futex));
  FutexBucket& bucket = futex_bucket(key);
  for (;;) {
    Result<> done = Errno::again;
    {
      const LockGuard guard(bucket.lock);
      const Result<std::uint32_t> peeked = frame::peek_user_word(futex.address);
      if (peeked.ok()) {
        const std::uint32_t value = Result<std::uint32_t>(peeked).release();
        if ((value & abi::kFutexTidMask) != tid_of(task)) return Errno::perm;
        if (FutexWaiter* first = first_pi_waiter(bucket, key)) {
          done = hand_over(bucket, *first, value, 0);
        } else {
          const Result<std::uint32_t> seen = frame::peek_compare_exchange_user_word(futex.address, value, 0);
          if (seen.ok() && Result<std::uint32_t>(seen).release() == value) return {};
          if (!seen.ok()) done = seen.error();
        }
      } else {
        done = peeked.error();
      }
    }
    if (done.ok()) return {};
    if (done.error() != Errno::again) return done;
    TRY(bring_in(futex.address, true));
  }
}

Result<> futex_wait_requeue_pi(Task& task, FutexAddress from, std::uint32_t expected, std::uint32_t bitset, Instant deadline,
                               FutexAddress to) {
  if (bitset == 0 || from.address == to.address) return Errno::inval;
  FutexWaiter waiter;
  waiter.key = TRY(key_of(task, from));
  waiter.target = TRY(key_of(task, to));
  waiter.address = to.address;
  waiter.bitset = bitset;
  waiter.task = &task;
  waiter.role = FutexRole::requeue_pi;
  FutexBucket& bucket = futex_bucket(waiter.key);
  for (;;) {
    {
      const LockGuard guard(bucket.lock);
      const Result<std::uint32_t> value = frame::peek_user_word(from.address);
      if (value.ok()) {
        if (Result<std::uint32_t>(value).release() != expected) return Errno::again;
        enqueue(bucket, waiter);
        break;
      }
      if (value.error() != Errno::again) return value.error();
    }
    TRY(bring_in(from.address, false));
  }
  const Result<> waited = wait_on(waiter, deadline);
  if (!waited.ok()) {
    // A signal before the requeue: the caller must look at its condition again (futex(2): EAGAIN, not a restart).
    return waited.error() == Errno::restart ? Errno::again : waited.error();
  }
  if (got_lock(waiter)) return {};
  return futex_lock_pi(task, to, deadline, false);
}

namespace {
// Second step: a waiter in limbo gets the lock or waits for it.
Result<> settle(FutexBucket& bucket, FutexWaiter& waiter) REQUIRES(bucket.lock) {
  std::uint32_t owner = 0;
  const Result<LockTry> tried = try_word(bucket, waiter.target, waiter.address, tid_of(*waiter.task), owner);
  if (!tried.ok() && tried.error() == Errno::again) return Errno::again;
  waiter.key = waiter.target;
  waiter.role = FutexRole::pi;
  waiter.owner = owner;
  bucket.waiters.push_back(waiter);
  waiter.bucket.store(&bucket, std::memory_order_release);
  if (tried.ok() && Result<LockTry>(tried).release() == LockTry::must_wait) return {};
  // Either the lock is free and now the waiter's, or the word is bad and the waiter finds out itself.
  waiter.owns = tried.ok();
  waiter.look_again = !tried.ok();
  wake_waiter(bucket, waiter);
  return {};
}
}  // namespace

Result<std::uint32_t> futex_requeue_pi(Task& task, FutexAddress from, FutexAddress to, std::uint32_t move, std::uint32_t expected) {
  const FutexKey from_key = TRY(key_of(task, from));
  const FutexKey to_key = TRY(key_of(task, to));
  if (from_key == to_key) return Errno::inval;
  FutexBucket& source = futex_bucket(from_key);
  FutexBucket& target = futex_bucket(to_key);
  std::uint32_t moved = 0;
  const std::uint64_t limit = std::uint64_t{move} + 1;  // one may get the lock at once, `move` others wait for it
  while (moved < limit) {
    FutexWaiter* taken = nullptr;
    bool away = false;
    TRY(check_owner(to.address));
    {
      const LockGuard guard(source.lock);
      const Result<std::uint32_t> value = frame::peek_user_word(from.address);
      away = !value.ok();
      if (away && value.error() != Errno::again) return value.error();
      if (!away && moved == 0 && Result<std::uint32_t>(value).release() != expected) return Errno::again;
      for (FutexWaiter* waiter = source.waiters.front(); !away && waiter != nullptr && taken == nullptr; waiter = source.waiters.next(*waiter))
        if (waiter->key == from_key) taken = waiter;
      if (taken != nullptr && (taken->role != FutexRole::requeue_pi || !(taken->target == to_key))) return Errno::inval;
      if (taken != nullptr) {
        taken->unlink();
        taken->bucket.store(nullptr, std::memory_order_release);
      }
    }
    if (away) {
      TRY(bring_in(from.address, false));
      continue;
    }
    if (taken == nullptr) break;
    ++moved;
    for (;;) {
      Result<> settled = Errno::again;
      {
        const LockGuard guard(target.lock);
        settled = settle(target, *taken);
      }
      if (settled.ok()) break;
      if (!bring_in(to.address, true).ok()) {
        const LockGuard guard(target.lock);  // the lock's memory is gone: the waiter finds out itself
        taken->role = FutexRole::pi;
        target.waiters.push_back(*taken);
        taken->bucket.store(&target, std::memory_order_release);
        wake_waiter(target, *taken);
        break;
      }
    }
  }
  return moved;
}

void release_dead_owner(Task& task, std::uint64_t address) {
  const Result<FutexKey> found = key_of(task, {.address = address, .is_private = false});
  if (!found.ok()) return;
  const FutexKey key = Result<FutexKey>(found).release();
  FutexBucket& bucket = futex_bucket(key);
  for (int attempt = 0; attempt < 8; ++attempt) {
    {
      const LockGuard guard(bucket.lock);
      const Result<std::uint32_t> peeked = frame::peek_user_word(address);
      if (peeked.ok()) {
        const std::uint32_t value = Result<std::uint32_t>(peeked).release();
        if ((value & abi::kFutexTidMask) != tid_of(task)) return;
        if (FutexWaiter* first = first_pi_waiter(bucket, key)) {
          if (hand_over(bucket, *first, value, abi::kFutexOwnerDied).ok()) return;
        } else {
          const Result<std::uint32_t> seen = frame::peek_compare_exchange_user_word(address, value, abi::kFutexOwnerDied);
          if (seen.ok() && Result<std::uint32_t>(seen).release() == value) return;
        }
      }
    }
    if (!bring_in(address, true).ok()) return;
  }
}

void release_all_dead(Task& task) {
  const std::uint32_t tid = tid_of(task);
  for (std::size_t i = 0; i < kFutexBuckets; ++i) {
    for (;;) {
      FutexBucket& bucket = futex_bucket_at(i);
      std::uint64_t address = 0;
      {
        const LockGuard guard(bucket.lock);
        for (FutexWaiter* waiter = bucket.waiters.front(); waiter != nullptr && address == 0; waiter = bucket.waiters.next(*waiter)) {
          if (waiter->role != FutexRole::pi || waiter->owner != tid) continue;
          address = waiter->address;
          waiter->owner = 0;  // looked at once
        }
      }
      if (address == 0) break;
      release_dead_owner(task, address);
    }
  }
}

}  // namespace kernel
