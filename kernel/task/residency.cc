#include "kernel/task/residency.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "kernel/mm/address_space.h"
#include "kernel/mm/overlap.h"
#include "kernel/task/process.h"
#include "kernel/task/scheduler.h"

namespace kernel {

namespace {

using ReadyList = List<Thread, RunQueueTag>;

constexpr Instant kSliceNs = OverlapGroup::kSliceNs;
constexpr Instant kSliceFactor = 10;  // a slice is at least this many times as long as the exchange before it

constinit std::atomic<std::uint32_t> held_threads{0};

AddressSpace* space_of(UserSpace* space) {
  // SAFETY: the only implementation of UserSpace.
  return static_cast<AddressSpace*>(space);
}

void enqueue_all(ReadyList& ready) {
  while (Thread* thread = ready.pop_front()) scheduler().enqueue_admitted(*thread);
}

// --- under residency_lock ---

bool is_sole(OverlapGroup& group, const AddressSpace& space) REQUIRES(residency_lock) {
  AddressSpace* only = group.residents.front();
  return only == &space && group.residents.next(*only) == nullptr;
}

bool is_over(const OverlapGroup& group) REQUIRES(residency_lock) {
  return group.held_count != 0 && monotonic_now() - group.slice_start >= group.slice;
}

void push_held(OverlapGroup& group, Thread& thread) REQUIRES(residency_lock) {
  group.held.push_back(thread);
  ++group.held_count;
  held_threads.fetch_add(1, std::memory_order_relaxed);
}

void take_held(OverlapGroup& group, Thread& thread) REQUIRES(residency_lock) {
  ReadyList::remove(thread);
  --group.held_count;
  held_threads.fetch_sub(1, std::memory_order_relaxed);
}

// The held threads of one member may run.
void release_held(OverlapGroup& group, const AddressSpace& space, ReadyList& ready) REQUIRES(residency_lock) {
  for (Thread* thread = group.held.front(); thread != nullptr;) {
    Thread* next = group.held.next(*thread);
    if (thread->context().user_space == &space) {
      take_held(group, *thread);
      ready.push_back(*thread);
    }
    thread = next;
  }
}

bool others_run(OverlapGroup& group, const AddressSpace& space) REQUIRES(residency_lock) {
  for (AddressSpace* resident = group.residents.front(); resident != nullptr; resident = group.residents.next(*resident))
    if (resident != &space && resident->running.load(std::memory_order_seq_cst) != 0) return true;
  return false;
}

// Others in place have something to do, and time for it.
bool others_want(OverlapGroup& group, const AddressSpace& space) REQUIRES(residency_lock) {
  if (is_over(group)) return false;
  for (AddressSpace* resident = group.residents.front(); resident != nullptr; resident = group.residents.next(*resident))
    if (resident != &space && resident->queued.load(std::memory_order_seq_cst) != 0) return true;
  return false;
}

void move_held(OverlapGroup& from, OverlapGroup& to) REQUIRES(residency_lock) {
  while (Thread* thread = from.held.pop_front()) {
    --from.held_count;
    to.held.push_back(*thread);
    ++to.held_count;
  }
}

}  // namespace

// What needs the thread's fields.
struct ResidencyAccess {
  static AddressSpace* counted(const Thread& thread) { return thread.counted_; }

  static bool may_run(OverlapGroup& group, const AddressSpace& space, const Thread& thread) REQUIRES(residency_lock) {
    if (thread.exchanges_) return true;
    if (group.switching != 0 || !space.in_place.load(std::memory_order_relaxed)) return false;
    if (thread.wants_sole_ && !is_sole(group, space)) return false;
    return !is_over(group);
  }

  // Who is first of the held ones gets its turn, if nobody is in the way.
  static void dispatch(OverlapGroup& group, ReadyList& ready) REQUIRES(residency_lock) {
    Thread* first = group.held.front();
    if (group.switching != 0 || first == nullptr) return;
    // Who is to die because memory is short goes first.
    if (shortage_hooks().is_dying != nullptr && shortage_hooks().is_dying())
      for (Thread* thread = first; thread != nullptr; thread = group.held.next(*thread)) {
        if (!space_of(thread->context().user_space)->is_victim.load(std::memory_order_relaxed)) continue;
        first = thread;
        break;
      }
    AddressSpace& space = *space_of(first->context().user_space);
    if (space.in_place.load(std::memory_order_relaxed) && (!first->wants_sole_ || is_sole(group, space))) {
      group.slice_start = monotonic_now();
      release_held(group, space, ready);
      return;
    }
    if (others_run(group, space) || others_want(group, space)) return;
    take_held(group, *first);
    first->exchanges_ = true;
    ++group.switching;
    ready.push_back(*first);
  }

  static void count(Thread& thread, AddressSpace& space) {
    space.running.fetch_add(1, std::memory_order_seq_cst);
    thread.counted_ = &space;
  }

  // True if the exchange was done.
  static bool try_exchange(Thread& thread, AddressSpace& space, ReadyList& ready) EXCLUDES(overlap_lock) {
    const Instant start = monotonic_now();
    const LockGuard overlap(overlap_lock);
    OverlapGroup* group = space.group.load(std::memory_order_relaxed);
    KASSERT(group != nullptr);
    bool busy = false;
    {
      const LockGuard guard(residency_lock);
      busy = others_run(*group, space);
    }
    if (!busy) mm::exchange(space);
    {
      const LockGuard guard(residency_lock);
      thread.exchanges_ = false;
      --group->switching;
      if (!busy) {
        const Instant now = monotonic_now();
        group->slice_start = now;
        group->slice = std::max(kSliceNs, kSliceFactor * (now - start));
        thread.wants_sole_ = false;
        release_held(*group, space, ready);
      }
    }
    if (!busy) mm::disband(space);
    return !busy;
  }

  // Holds the running thread until its member's turn.
  static void wait_turn(Thread& thread) {
    Residency::left(thread);
    scheduler().enqueue(thread);
    scheduler().switch_away();
  }

  static bool has_turn(Thread& thread, AddressSpace& space) {
    if (space.group.load(std::memory_order_seq_cst) == nullptr) return true;
    const LockGuard guard(residency_lock);
    OverlapGroup* group = space.group.load(std::memory_order_relaxed);
    return group == nullptr || may_run(*group, space, thread);
  }

  static void become_sole() {
    Thread& thread = current_thread();
    thread.wants_sole_ = true;
    Residency::acquire(thread);
    thread.wants_sole_ = false;
  }

  static void uncount(AddressSpace& space) {
    space.running.fetch_sub(1, std::memory_order_seq_cst);
    if (space.group.load(std::memory_order_seq_cst) == nullptr) return;
    ReadyList ready;
    {
      const LockGuard guard(residency_lock);
      if (OverlapGroup* group = space.group.load(std::memory_order_relaxed); group != nullptr) dispatch(*group, ready);
    }
    enqueue_all(ready);
  }
};

namespace {

void members_changed(OverlapGroup& group) {
  ReadyList ready;
  {
    const LockGuard guard(residency_lock);
    ResidencyAccess::dispatch(group, ready);
  }
  enqueue_all(ready);
}

}  // namespace

void Residency::init() {
  set_overlap_hooks({.become_sole_resident = &ResidencyAccess::become_sole, .members_changed = &members_changed, .move_held = &move_held});
}

std::uint32_t Residency::held() { return held_threads.load(std::memory_order_relaxed); }

// The thread was counted in `running` just now. If it is the one that runs, it may have been counted before and never stopped.
void Residency::note_counted(Thread& thread, AddressSpace& space) {
  if (thread.counted_ == &space)
    space.running.fetch_sub(1, std::memory_order_seq_cst);
  else
    thread.counted_ = &space;
}

bool Residency::admit(Thread& thread) {
  AddressSpace* space = space_of(thread.context_.user_space);
  if (space == nullptr) return true;
  // It takes the place of the one that runs on the same memory: the count stays.
  if (frame::ThreadContext* context = frame::this_vcpu().current; context != nullptr && context->owner->counted_ == space && !thread.queued_ &&
      space->group.load(std::memory_order_relaxed) == nullptr) {
    context->owner->counted_ = nullptr;
    thread.counted_ = space;
    return true;
  }
  // Counted first, then asked: whoever forms a group sees the one or is seen by the other.
  space->running.fetch_add(1, std::memory_order_seq_cst);
  if (thread.queued_) {
    thread.queued_ = false;
    space->queued.fetch_sub(1, std::memory_order_seq_cst);
  }
  if (space->group.load(std::memory_order_seq_cst) == nullptr) {
    note_counted(thread, *space);
    return true;
  }
  ReadyList ready;
  bool may = true;
  {
    const LockGuard guard(residency_lock);
    OverlapGroup* group = space->group.load(std::memory_order_relaxed);
    may = group == nullptr || ResidencyAccess::may_run(*group, *space, thread);
    if (may) {
      note_counted(thread, *space);
    } else {
      space->running.fetch_sub(1, std::memory_order_seq_cst);
      push_held(*group, thread);
      ResidencyAccess::dispatch(*group, ready);
    }
  }
  enqueue_all(ready);
  return may;
}

void Residency::queued(Thread& thread) {
  AddressSpace* space = space_of(thread.context_.user_space);
  if (space == nullptr || space->group.load(std::memory_order_relaxed) == nullptr) return;
  thread.queued_ = true;
  space->queued.fetch_add(1, std::memory_order_seq_cst);
}

bool Residency::hold(Thread& thread) {
  AddressSpace* space = space_of(thread.context_.user_space);
  if (space == nullptr || space->group.load(std::memory_order_seq_cst) == nullptr) return false;
  ReadyList ready;
  {
    const LockGuard guard(residency_lock);
    OverlapGroup* group = space->group.load(std::memory_order_relaxed);
    if (group == nullptr || ResidencyAccess::may_run(*group, *space, thread)) return false;
    push_held(*group, thread);
    ResidencyAccess::dispatch(*group, ready);
  }
  enqueue_all(ready);
  return true;
}

void Residency::left(Thread& thread) {
  AddressSpace* outer = std::exchange(thread.outer_, nullptr);
  AddressSpace* space = std::exchange(thread.counted_, nullptr);
  if (outer != nullptr) ResidencyAccess::uncount(*outer);
  if (space != nullptr) ResidencyAccess::uncount(*space);
}

void Residency::arrived(Thread& thread) {
  while (thread.exchanges_) {
    AddressSpace& space = *space_of(thread.context_.user_space);
    ReadyList ready;
    const bool done = ResidencyAccess::try_exchange(thread, space, ready);
    enqueue_all(ready);
    if (!done) return ResidencyAccess::wait_turn(thread);
    if (space.is_damaged.load(std::memory_order_relaxed)) thread.on_memory_lost();
  }
}

bool Residency::is_time_over(const Thread& thread) {
  const AddressSpace* space = space_of(thread.context_.user_space);
  if (space == nullptr || space->group.load(std::memory_order_relaxed) == nullptr) return false;
  const LockGuard guard(residency_lock);
  OverlapGroup* group = space->group.load(std::memory_order_relaxed);
  return group != nullptr && is_over(*group);
}

void Residency::acquire(Thread& thread) {
  AddressSpace* space = space_of(thread.context_.user_space);
  if (space == nullptr) return left(thread);
  if (thread.counted_ != space) {
    if (AddressSpace* before = std::exchange(thread.counted_, nullptr); before != nullptr) ResidencyAccess::uncount(*before);
    ResidencyAccess::count(thread, *space);
  }
  if (!ResidencyAccess::has_turn(thread, *space)) ResidencyAccess::wait_turn(thread);
}

void Residency::enter(Thread& thread, UserSpace* space) {
  KASSERT(thread.outer_ == nullptr);
  thread.outer_ = std::exchange(thread.counted_, nullptr);
  thread.context_.user_space = space;
  acquire(thread);
}

void Residency::leave(Thread& thread, UserSpace* before) {
  if (thread.outer_ != nullptr && thread.outer_ == before) {
    AddressSpace* inner = std::exchange(thread.counted_, std::exchange(thread.outer_, nullptr));
    thread.context_.user_space = before;
    if (inner != nullptr) ResidencyAccess::uncount(*inner);
    return;
  }
  thread.context_.user_space = before;
  acquire(thread);
}

void Residency::change(Thread& thread, UserSpace* space) {
  thread.context_.user_space = space;
  acquire(thread);
}

}  // namespace kernel
