#include "kernel/vfs/file_lock.h"

#include <algorithm>

#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

namespace {

// Who waits for whom, for the detection of deadlocks between owners of POSIX locks. Small: only blocked F_SETLKW callers.
struct WaitEdge {
  std::uint64_t waiter;
  std::uint64_t holder;
};
struct WaitGraph {
  SpinLock<LockRank::pipe> lock;  // taken with an inode's locks held
  Vec<WaitEdge> edges GUARDED_BY(lock);
};
constinit WaitGraph wait_graph;  // NOLINT: the one graph

// True if adding waiter -> holder closes a circle; else adds it (or replaces the waiter's edge). ENOMEM counts as no circle.
bool add_edge(std::uint64_t waiter, std::uint64_t holder) {
  const LockGuard guard(wait_graph.lock);
  std::uint64_t at = holder;
  for (std::size_t hops = 0; hops <= wait_graph.edges.size(); ++hops) {
    if (at == waiter) return true;
    const auto* next = std::find_if(wait_graph.edges.begin(), wait_graph.edges.end(), [&](const WaitEdge& e) { return e.waiter == at; });
    if (next == wait_graph.edges.end()) break;
    at = next->holder;
  }
  for (WaitEdge& edge : wait_graph.edges)
    if (edge.waiter == waiter) {
      edge.holder = holder;
      return false;
    }
  (void)wait_graph.edges.try_push({.waiter = waiter, .holder = holder}).ok();
  return false;
}

void remove_edge(std::uint64_t waiter) {
  const LockGuard guard(wait_graph.lock);
  for (std::size_t i = 0; i < wait_graph.edges.size(); ++i)
    if (wait_graph.edges[i].waiter == waiter) {
      wait_graph.edges.erase_unordered(i);
      return;
    }
}

}  // namespace

bool FileLocks::conflicts_locked(LockOwner owner, LockRange range, bool exclusive, HeldLock* found) const {
  for (const HeldLock& held : records_) {
    if (held.owner.id == owner.id || !held.range.overlaps(range) || (!held.exclusive && !exclusive)) continue;
    if (found != nullptr) *found = held;
    return true;
  }
  return false;
}

// Replaces what the owner holds in the range by a lock of the given kind, or by nothing.
Result<> FileLocks::set_locked(LockOwner owner, LockRange range, std::optional<bool> exclusive) {
  // Cutting may add one piece per lock and the new one: make room first, so that nothing fails half-way.
  TRY(records_.try_reserve(records_.size() + 2));
  for (std::size_t i = 0; i < records_.size();) {
    const HeldLock held = records_[i];
    if (held.owner.id != owner.id || !held.range.overlaps(range)) {
      ++i;
      continue;
    }
    records_.erase_unordered(i);
    if (held.range.begin < range.begin)
      TRY(records_.try_push({.owner = held.owner, .range = {.begin = held.range.begin, .end = range.begin}, .exclusive = held.exclusive}));
    if (held.range.end > range.end)
      TRY(records_.try_push({.owner = held.owner, .range = {.begin = range.end, .end = held.range.end}, .exclusive = held.exclusive}));
  }
  if (!exclusive) return {};
  // Join neighbours of the same kind, so that a program that locks byte after byte does not fill the list.
  for (std::size_t i = 0; i < records_.size();) {
    const HeldLock& held = records_[i];
    if (held.owner.id == owner.id && held.exclusive == *exclusive && (held.range.end == range.begin || held.range.begin == range.end)) {
      range.begin = std::min(range.begin, held.range.begin);
      range.end = std::max(range.end, held.range.end);
      records_.erase_unordered(i);
      continue;
    }
    ++i;
  }
  return records_.try_push({.owner = owner, .range = range, .exclusive = *exclusive});
}

Result<bool> FileLocks::try_lock(LockOwner owner, LockRange range, bool exclusive) {
  const LockGuard guard(lock_);
  if (conflicts_locked(owner, range, exclusive, nullptr)) return false;
  TRY(set_locked(owner, range, exclusive));
  return true;
}

bool FileLocks::would_deadlock(LockOwner owner, LockRange range, bool exclusive) {
  HeldLock holder;
  {
    const LockGuard guard(lock_);
    if (!conflicts_locked(owner, range, exclusive, &holder)) return false;
  }
  return add_edge(owner.id, holder.owner.id);
}

Result<> FileLocks::lock(LockOwner owner, LockRange range, bool exclusive, bool wait) {
  if (TRY(try_lock(owner, range, exclusive))) {
    changed_.wake_all();  // an exclusive lock may have become a shared one
    return {};
  }
  if (!wait) return Errno::again;
  const bool of_process = owner.pid >= 0;
  Result<> outcome;
  const Result<> waited = changed_.wait([&] {
    const Result<bool> got = try_lock(owner, range, exclusive);
    if (!got.ok()) {
      outcome = got.error();
      return true;
    }
    if (Result<bool>(got).release()) return true;
    if (of_process && would_deadlock(owner, range, exclusive)) {
      outcome = Errno::deadlk;
      return true;
    }
    return false;
  });
  if (of_process) remove_edge(owner.id);
  TRY(waited);
  return outcome;
}

Result<> FileLocks::unlock(LockOwner owner, LockRange range) {
  {
    const LockGuard guard(lock_);
    TRY(set_locked(owner, range, std::nullopt));
  }
  changed_.wake_all();
  return {};
}

std::optional<HeldLock> FileLocks::test(LockOwner owner, LockRange range, bool exclusive) {
  HeldLock found;
  const LockGuard guard(lock_);
  if (!conflicts_locked(owner, range, exclusive, &found)) return std::nullopt;
  return found;
}

void FileLocks::release_owner(std::uint64_t owner) {
  bool any = false;
  {
    const LockGuard guard(lock_);
    for (std::size_t i = 0; i < records_.size();) {
      if (records_[i].owner.id == owner) {
        records_.erase_unordered(i);
        any = true;
      } else {
        ++i;
      }
    }
  }
  if (any) changed_.wake_all();
}

Result<bool> FileLocks::try_flock(std::uint64_t id, bool exclusive) {
  const LockGuard guard(lock_);
  HeldLock* own = nullptr;
  for (HeldLock& held : flocks_) {
    if (held.owner.id == id)
      own = &held;
    else if (held.exclusive || exclusive)
      return false;
  }
  if (own != nullptr) {
    own->exclusive = exclusive;
    return true;
  }
  TRY(flocks_.try_push({.owner = {.id = id, .pid = -1}, .range = {}, .exclusive = exclusive}));
  return true;
}

Result<> FileLocks::flock(const OpenFile& file, bool exclusive, bool wait) {
  const std::uint64_t id = owner_id(&file);
  if (!TRY(try_flock(id, exclusive))) {
    // A change of kind is not atomic (flock(2)): the old lock goes first.
    flock_release(file);
    if (!wait) return TRY(try_flock(id, exclusive)) ? Result<>() : Result<>(Errno::again);
    Result<> outcome;
    TRY(changed_.wait([&] {
      Result<bool> got = try_flock(id, exclusive);
      if (!got.ok()) {
        outcome = got.error();
        return true;
      }
      return std::move(got).release();
    }));
    return outcome;
  }
  changed_.wake_all();
  return {};
}

void FileLocks::flock_release(const OpenFile& file) {
  const std::uint64_t id = owner_id(&file);
  {
    const LockGuard guard(lock_);
    for (std::size_t i = 0; i < flocks_.size(); ++i)
      if (flocks_[i].owner.id == id) {
        flocks_.erase_unordered(i);
        break;
      }
  }
  changed_.wake_all();
}

void FileLocks::release_file(const OpenFile& file) {
  flock_release(file);
  release_owner(owner_id(&file));
}

}  // namespace kernel
