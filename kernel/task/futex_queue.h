// Futex internals: hashed queues of waiters. Only task/futex*.cc include it.
//
// A waiter lives on its thread's stack. Whoever wakes it takes it off its queue, sets `woken` and unparks the thread, all under the
// bucket's lock; the woken thread waits until that lock is free before its stack goes. A requeue moves waiters in two steps (two
// buckets have one rank): between them `bucket` is null and the waiter is "in limbo"; nobody but the mover touches it then.
#ifndef KERNEL_TASK_FUTEX_QUEUE_H
#define KERNEL_TASK_FUTEX_QUEUE_H

#include <atomic>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/sync/lock.h"
#include "kernel/task/futex.h"

namespace kernel {

struct FutexTag;
struct FutexBucket;

enum class FutexRole : std::uint8_t {
  plain,
  pi,          // waits for a PI lock
  requeue_pi,  // FUTEX_WAIT_REQUEUE_PI before it was requeued
};

struct FutexWaiter : ListNode<FutexTag> {
  FutexKey key;
  std::uint32_t bitset = abi::kFutexBitsetAny;
  FutexRole role = FutexRole::plain;
  Task* task = nullptr;
  std::atomic<FutexBucket*> bucket{nullptr};
  std::atomic<bool> woken{false};
  // PI: all under the bucket's lock.
  std::uint64_t address = 0;    // of the lock word
  std::uint32_t owner = 0;      // tid that holds the lock
  bool owns = false;            // the lock was handed over
  bool look_again = false;      // woken without the lock: its owner is gone
  FutexKey target{};            // requeue_pi: where it may be moved
};

struct FutexBucket {
  SpinLock<LockRank::futex_bucket> lock;
  List<FutexWaiter, FutexTag> waiters GUARDED_BY(lock);
};

FutexBucket& futex_bucket(const FutexKey& key);
inline constexpr std::size_t kFutexBuckets = 1024;
FutexBucket& futex_bucket_at(std::size_t index);

// EINVAL, EFAULT.
Result<FutexKey> key_of(Task& task, FutexAddress futex);
void enqueue(FutexBucket& bucket, FutexWaiter& waiter) REQUIRES(bucket.lock);
void wake_waiter(FutexBucket& bucket, FutexWaiter& waiter) REQUIRES(bucket.lock);
// Waits until woken. Otherwise takes the waiter off its queue: ETIMEDOUT or restart. Success if it was woken after all.
Result<> wait_on(FutexWaiter& waiter, Instant deadline);

// The word, with pages brought in: as frame::peek_user_word, but on EAGAIN the caller drops its lock and calls this, then tries again.
Result<> bring_in(std::uint64_t address, bool for_write);

// PI: hands the lock of a dead owner on. `address` is the lock word.
void release_dead_owner(Task& task, std::uint64_t address);
void release_all_dead(Task& task);

}  // namespace kernel
#endif  // KERNEL_TASK_FUTEX_QUEUE_H
