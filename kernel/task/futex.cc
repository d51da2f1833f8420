#include "kernel/task/futex.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernel/base/checked.h"
#include "kernel/task/futex_queue.h"

namespace kernel {

namespace {
[[clang::no_destroy]] constinit std::array<FutexBucket, kFutexBuckets> buckets;
}  // namespace

FutexBucket& futex_bucket(const FutexKey& key) { return buckets[key.hash() % kFutexBuckets]; }
FutexBucket& futex_bucket_at(std::size_t index) { return buckets[index]; }

Result<FutexKey> key_of(Task& task, FutexAddress futex) {
  if (!is_aligned(futex.address, sizeof(std::uint32_t))) return Errno::inval;
  if (futex.address >= frame::user_window_end()) return Errno::fault;
  // A private key needs no memory behind it: waking where nobody can wait is 0, as on Linux.
  if (!futex.is_private) TRY(task.mm().check(futex.address, sizeof(std::uint32_t), Access::read));
  return task.mm().futex_key(futex.address, futex.is_private);
}

void enqueue(FutexBucket& bucket, FutexWaiter& waiter) {
  waiter.bucket.store(&bucket, std::memory_order_relaxed);
  bucket.waiters.push_back(waiter);
}

void wake_waiter(FutexBucket&, FutexWaiter& waiter) {
  waiter.unlink();
  Task* task = waiter.task;
  waiter.woken.store(true, std::memory_order_release);
  task->unpark();
}

namespace {
// Gives up waiting. True if it was still queued; false if it was woken meanwhile.
bool leave_queue(FutexWaiter& waiter) {
  for (;;) {
    FutexBucket* bucket = waiter.bucket.load(std::memory_order_acquire);
    if (bucket == nullptr) {  // in limbo: the mover is about to queue it again
      yield_now();
      continue;
    }
    const LockGuard guard(bucket->lock);
    if (waiter.bucket.load(std::memory_order_relaxed) != bucket) continue;
    if (!waiter.is_linked()) return false;
    waiter.unlink();
    return true;
  }
}
}  // namespace

Result<> wait_on(FutexWaiter& waiter, Instant deadline) {
  for (;;) {
    if (waiter.woken.load(std::memory_order_acquire)) {
      // The waker may still be using the waiter: it is done when it has released the lock.
      waiter.bucket.load(std::memory_order_acquire)->lock.wait_until_free();
      return {};
    }
    const ParkResult parked = park(deadline, Interruptible::yes);
    if (parked == ParkResult::woken) continue;
    if (!leave_queue(waiter)) return {};
    return parked == ParkResult::timed_out ? Errno::timedout : Errno::restart;
  }
}

Result<> bring_in(std::uint64_t address, bool for_write) {
  const std::uint32_t value = TRY(frame::load_user_word(address));
  if (for_write) TRY(frame::compare_exchange_user_word(address, value, value));
  return {};
}

Result<> futex_wait(Task& task, FutexAddress futex, std::uint32_t expected, std::uint32_t bitset, Instant deadline) {
  if (bitset == 0) return Errno::inval;
  FutexWaiter waiter;
  waiter.key = TRY(key_of(task, futex));
  waiter.bitset = bitset;
  waiter.task = &task;
  FutexBucket& bucket = futex_bucket(waiter.key);
  for (;;) {
    {
      const LockGuard guard(bucket.lock);
      const Result<std::uint32_t> value = frame::peek_user_word(futex.address);
      if (value.ok()) {
        if (Result<std::uint32_t>(value).release() != expected) return Errno::again;
        enqueue(bucket, waiter);
        break;
      }
      if (value.error() != Errno::again) return value.error();
    }
    TRY(bring_in(futex.address, false));
  }
  return wait_on(waiter, deadline);
}

namespace {
Result<std::uint32_t> wake_key(const FutexKey& key, std::uint32_t count, std::uint32_t bitset) {
  FutexBucket& bucket = futex_bucket(key);
  std::uint32_t woken = 0;
  const LockGuard guard(bucket.lock);
  FutexWaiter* next = nullptr;
  for (FutexWaiter* waiter = bucket.waiters.front(); waiter != nullptr && woken < count; waiter = next) {
    next = bucket.waiters.next(*waiter);
    if (!(waiter->key == key) || (waiter->bitset & bitset) == 0) continue;
    if (waiter->role != FutexRole::plain) return Errno::inval;  // PI waiters are woken by unlock or requeue only
    wake_waiter(bucket, *waiter);
    ++woken;
  }
  return woken;
}
}  // namespace

Result<std::uint32_t> futex_wake(Task& task, FutexAddress futex, std::uint32_t count, std::uint32_t bitset) {
  if (bitset == 0) return Errno::inval;
  const FutexKey key = TRY(key_of(task, futex));
  return wake_key(key, count, bitset);
}

namespace {
struct RequeuePlan {
  FutexKey from, to;
  std::uint64_t address;
  std::optional<std::uint32_t> expected;
  std::uint32_t wake, move;
};

// First step under the lock of the source: wakes some, takes others into limbo. EAGAIN from the peek means: bring the page in.
Result<std::uint32_t> requeue_out(const RequeuePlan& plan, List<FutexWaiter, FutexTag>& limbo, std::uint32_t& moved, bool& differs) {
  FutexBucket& source = futex_bucket(plan.from);
  const bool same_bucket = &source == &futex_bucket(plan.to);
  std::uint32_t woken = 0;
  const LockGuard guard(source.lock);
  if (plan.expected) {
    const std::uint32_t value = TRY(frame::peek_user_word(plan.address));
    differs = value != *plan.expected;
    if (differs) return std::uint32_t{0};
  }
  FutexWaiter* next = nullptr;
  for (FutexWaiter* waiter = source.waiters.front(); waiter != nullptr; waiter = next) {
    next = source.waiters.next(*waiter);
    if (!(waiter->key == plan.from)) continue;
    if (waiter->role != FutexRole::plain) return Errno::inval;
    if (woken < plan.wake) {
      wake_waiter(source, *waiter);
      ++woken;
    } else if (moved < plan.move) {
      ++moved;
      waiter->key = plan.to;
      if (same_bucket) continue;
      waiter->unlink();
      waiter->bucket.store(nullptr, std::memory_order_release);
      limbo.push_back(*waiter);
    } else {
      break;
    }
  }
  return woken;
}

void requeue_in(const FutexKey& to, List<FutexWaiter, FutexTag>& limbo) {
  if (limbo.empty()) return;
  FutexBucket& target = futex_bucket(to);
  const LockGuard guard(target.lock);
  while (FutexWaiter* waiter = limbo.pop_front()) {
    target.waiters.push_back(*waiter);
    waiter->bucket.store(&target, std::memory_order_release);
  }
}
}  // namespace

Result<std::uint32_t> futex_requeue(Task& task, FutexAddress from, FutexAddress to, std::uint32_t wake, std::uint32_t move,
                                    std::optional<std::uint32_t> expected) {
  const FutexKey from_key = TRY(key_of(task, from));
  const FutexKey to_key = TRY(key_of(task, to));
  const RequeuePlan plan{.from = from_key, .to = to_key, .address = from.address, .expected = expected, .wake = wake, .move = move};
  for (;;) {
    List<FutexWaiter, FutexTag> limbo;
    std::uint32_t moved = 0;
    bool differs = false;
    const Result<std::uint32_t> woken = requeue_out(plan, limbo, moved, differs);
    requeue_in(to_key, limbo);
    if (differs) return Errno::again;
    if (woken.ok()) return Result<std::uint32_t>(woken).release() + moved;
    if (woken.error() != Errno::again) return woken.error();
    TRY(bring_in(from.address, false));
  }
}

namespace {
struct WakeOperation {
  std::uint32_t operation, comparison;
  std::int32_t argument, compare_with;
};

Result<WakeOperation> decode_operation(std::uint32_t encoded) {
  const auto sign_extend = [](std::uint32_t bits) { return static_cast<std::int32_t>(bits << 20) >> 20; };
  WakeOperation decoded{.operation = (encoded >> 28) & 7,
                        .comparison = (encoded >> 24) & 15,
                        .argument = sign_extend((encoded >> 12) & 0xfff),
                        .compare_with = sign_extend(encoded & 0xfff)};
  if (((encoded >> 28) & abi::kFutexOpArgShift) != 0) {
    // Linux takes the low five bits of a shift out of range.
    decoded.argument = static_cast<std::int32_t>(std::uint32_t{1} << (static_cast<std::uint32_t>(decoded.argument) & 31));
  }
  if (decoded.operation > abi::kFutexOpXor || decoded.comparison > abi::kFutexCmpGe) return Errno::nosys;
  return decoded;
}

std::uint32_t apply(const WakeOperation& what, std::uint32_t old) {
  const auto argument = static_cast<std::uint32_t>(what.argument);
  switch (what.operation) {
    case abi::kFutexOpSet: return argument;
    case abi::kFutexOpAdd: return old + argument;
    case abi::kFutexOpOr: return old | argument;
    case abi::kFutexOpAndN: return old & ~argument;
    default: return old ^ argument;
  }
}

bool holds(const WakeOperation& what, std::uint32_t old_bits) {
  const auto old = static_cast<std::int32_t>(old_bits);
  switch (what.comparison) {
    case abi::kFutexCmpEq: return old == what.compare_with;
    case abi::kFutexCmpNe: return old != what.compare_with;
    case abi::kFutexCmpLt: return old < what.compare_with;
    case abi::kFutexCmpLe: return old <= what.compare_with;
    case abi::kFutexCmpGt: return old > what.compare_with;
    default: return old >= what.compare_with;
  }
}
}  // namespace

Result<std::uint32_t> futex_wake_op(Task& task, FutexAddress first, FutexAddress second, std::uint32_t wake, std::uint32_t wake_second,
                                    std::uint32_t operation) {
  const FutexKey first_key = TRY(key_of(task, first));
  const FutexKey second_key = TRY(key_of(task, second));
  const WakeOperation what = TRY(decode_operation(operation));
  std::uint32_t old = TRY(frame::load_user_word(second.address));
  for (;;) {
    const std::uint32_t seen = TRY(frame::compare_exchange_user_word(second.address, old, apply(what, old)));
    if (seen == old) break;
    old = seen;
  }
  std::uint32_t woken = TRY(wake_key(first_key, wake, abi::kFutexBitsetAny));
  if (holds(what, old)) woken += TRY(wake_key(second_key, wake_second, abi::kFutexBitsetAny));
  return woken;
}

// --- futex_waitv ---

namespace {
struct WaitManyBlock {
  std::array<FutexWaiter, abi::kFutexWaitvMax> waiters;
};

// Takes the first `count` waiters off their queues. The index of one that was woken, if any.
std::optional<std::uint32_t> leave_all(WaitManyBlock& block, std::uint32_t count) {
  std::optional<std::uint32_t> woken;
  for (std::uint32_t i = 0; i < count; ++i)
    if (!leave_queue(block.waiters[i]) && !woken) woken = i;
  return woken;
}

Result<> queue_one(Task& task, FutexWaiter& waiter, const abi::FutexWaitv& futex) {
  const bool is_private = (futex.flags & static_cast<std::uint32_t>(abi::kFutexPrivate)) != 0;
  waiter.key = TRY(key_of(task, {.address = futex.uaddr, .is_private = is_private}));
  waiter.task = &task;
  FutexBucket& bucket = futex_bucket(waiter.key);
  for (;;) {
    {
      const LockGuard guard(bucket.lock);
      const Result<std::uint32_t> value = frame::peek_user_word(futex.uaddr);
      if (value.ok()) {
        if (Result<std::uint32_t>(value).release() != static_cast<std::uint32_t>(futex.val)) return Errno::again;
        enqueue(bucket, waiter);
        return {};
      }
      if (value.error() != Errno::again) return value.error();
    }
    TRY(bring_in(futex.uaddr, false));
  }
}
}  // namespace

Result<std::uint32_t> futex_wait_many(Task& task, std::span<const abi::FutexWaitv> futexes, Instant deadline) {
  const auto count = static_cast<std::uint32_t>(futexes.size());
  Own<WaitManyBlock> block = TRY(make_own<WaitManyBlock>());
  for (std::uint32_t i = 0; i < count; ++i) {
    const Result<> queued = queue_one(task, block->waiters[i], futexes[i]);
    if (queued.ok()) continue;
    const std::optional<std::uint32_t> woken = leave_all(*block, i);
    return woken ? Result<std::uint32_t>(*woken) : Result<std::uint32_t>(queued.error());
  }
  for (;;) {
    bool any = false;
    for (std::uint32_t i = 0; i < count && !any; ++i) any = block->waiters[i].woken.load(std::memory_order_acquire);
    const ParkResult parked = any ? ParkResult::woken : park(deadline, Interruptible::yes);
    if (!any && parked == ParkResult::woken) continue;
    const std::optional<std::uint32_t> woken = leave_all(*block, count);
    if (woken) return *woken;
    return parked == ParkResult::timed_out ? Errno::timedout : Errno::restart;
  }
}

// --- the end of a thread ---

namespace {

// One lock of a dead thread's robust list.
void handle_death(Task& task, std::uint64_t address, bool pi, bool pending) {
  if (!is_aligned(address, sizeof(std::uint32_t))) return;
  const auto tid = static_cast<std::uint32_t>(task.tid());
  Result<std::uint32_t> loaded = frame::load_user_word(address);
  while (loaded.ok()) {
    const std::uint32_t value = std::move(loaded).release();
    if (pending && !pi && value == 0) {
      // It died between unlocking and waking.
      (void)futex_wake(task, {.address = address, .is_private = false}, 1, abi::kFutexBitsetAny);
      return;
    }
    if ((value & abi::kFutexTidMask) != tid) return;
    const std::uint32_t desired = (value & abi::kFutexWaiters) | abi::kFutexOwnerDied;
    if (pi && (value & abi::kFutexWaiters) != 0) return release_dead_owner(task, address);
    loaded = frame::compare_exchange_user_word(address, value, desired);
    if (!loaded.ok()) return;
    const std::uint32_t seen = Result<std::uint32_t>(loaded).release();
    if (seen != value) continue;
    if (!pi && (value & abi::kFutexWaiters) != 0)
      (void)futex_wake(task, {.address = address, .is_private = false}, 1, abi::kFutexBitsetAny);
    return;
  }
}

void walk_robust_list(Task& task) {
  const std::uint64_t head = std::exchange(task.robust_list, 0);
  if (head == 0) return;
  const Result<abi::RobustListHead> loaded = UserPtr<const abi::RobustListHead>(head).load();
  if (!loaded.ok()) return;
  const abi::RobustListHead list = Result<abi::RobustListHead>(loaded).release();
  const auto offset = static_cast<std::uint64_t>(list.futex_offset);
  const std::uint64_t pending = list.list_op_pending & ~std::uint64_t{1};
  std::uint64_t entry = list.list;
  for (std::uint32_t i = 0; i < abi::kRobustListLimit; ++i) {
    const std::uint64_t at = entry & ~std::uint64_t{1};
    if (at == head || at == 0) break;
    // The next pointer first: the entry may be freed as soon as its lock is given up.
    const Result<std::uint64_t> next = UserPtr<const std::uint64_t>(at).load();
    if (at != pending) handle_death(task, at + offset, (entry & 1) != 0, false);
    if (!next.ok()) break;
    entry = Result<std::uint64_t>(next).release();
    if (i % 64 == 63) preemption_point();
  }
  if (pending != 0) handle_death(task, pending + offset, (list.list_op_pending & 1) != 0, true);
}

}  // namespace

void futex_on_exit(Task& task) {
  walk_robust_list(task);
  if (task.pi_contended.load()) release_all_dead(task);
  const UserPtr<std::int32_t> tid_word = std::exchange(task.clear_child_tid, UserPtr<std::int32_t>());
  if (tid_word.is_null()) return;
  if (!tid_word.store(0).ok()) return;
  (void)futex_wake(task, {.address = tid_word.address(), .is_private = false}, 1, abi::kFutexBitsetAny);
}

}  // namespace kernel
