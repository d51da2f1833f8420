#include "kernel/task/sysv_sem.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernel/task/task.h"

namespace kernel {
namespace {

constinit IpcTable<SemaphoreSet> table;  // NOLINT: the instance's one IPC namespace

std::int32_t pid_of(const Task& task) { return static_cast<std::int32_t>(task.process().pid()); }

Result<Ref<SemaphoreSet>> find_allowed(const Credentials& who, std::int32_t id, std::uint32_t wanted) REQUIRES(ipc_lock) {
  const RefPtr<SemaphoreSet> set = table.find(id);
  if (!set) return Errno::inval;
  TRY(ipc_check(who, set->permissions, wanted));
  return set.as_ref();
}

bool alters(std::span<const abi::SemBuf> operations) {
  return std::ranges::any_of(operations, [](const abi::SemBuf& each) { return each.op != 0; });
}

// All of the operations or none. False: they cannot be done now, `blocked_at` is the first that stands in the way. ERANGE.
Result<bool> attempt(SemaphoreSet& set, std::span<const abi::SemBuf> operations, SemUndo* undo, std::int32_t pid, std::size_t& blocked_at)
    REQUIRES(ipc_lock) {
  std::size_t done = 0;
  Result<bool> result = true;
  for (; done < operations.size(); ++done) {
    const abi::SemBuf& each = operations[done];
    SemaphoreSet::Semaphore& semaphore = set.semaphores[each.number];
    const std::int32_t value = semaphore.value + each.op;
    if ((each.op == 0 && semaphore.value != 0) || value < 0) {
      blocked_at = done;
      result = false;
      break;
    }
    if (value > abi::kSemMaxValue) {
      result = Errno::range;
      break;
    }
    if ((each.flags & abi::kSemUndo) != 0 && undo != nullptr) {
      const std::int32_t adjustment = undo->adjustments[each.number] - each.op;
      if (adjustment < -abi::kSemMaxValue - 1 || adjustment > abi::kSemMaxValue) {
        result = Errno::range;
        break;
      }
      undo->adjustments[each.number] = static_cast<std::int16_t>(adjustment);
    }
    semaphore.value = value;
  }
  if (done == operations.size()) {
    for (const abi::SemBuf& each : operations) set.semaphores[each.number].pid = pid;
    set.operation_time = ipc_now();
    return true;
  }
  while (done > 0) {
    const abi::SemBuf& each = operations[--done];
    set.semaphores[each.number].value -= each.op;
    if ((each.flags & abi::kSemUndo) != 0 && undo != nullptr)
      undo->adjustments[each.number] = static_cast<std::int16_t>(undo->adjustments[each.number] + each.op);
  }
  return result;
}

void finish(SemWaiter& waiter, Result<> result) REQUIRES(ipc_lock) {
  waiter.unlink();
  waiter.result = result;
  waiter.done = true;
  waiter.sleeper.unpark();
}

// A value has changed: does what waits, the longest waiting first; what one of them does may let an earlier one go on.
void serve_waiters(SemaphoreSet& set) REQUIRES(ipc_lock) {
  SemWaiter* waiter = set.waiters.front();
  while (waiter != nullptr) {
    SemWaiter* next = set.waiters.next(*waiter);
    const bool changes = alters(waiter->operations);
    const Result<bool> tried = attempt(set, waiter->operations, waiter->undo.get(), waiter->pid, waiter->blocked_at);
    if (!tried.ok()) {
      finish(*waiter, tried.error());
    } else if (Result<bool>(tried).release()) {
      finish(*waiter, {});
      if (changes) next = set.waiters.front();
    }
    waiter = next;
  }
}

void clear_adjustments(SemaphoreSet& set, std::size_t first, std::size_t count) REQUIRES(ipc_lock) {
  for (SemUndo* undo = set.undos.front(); undo != nullptr; undo = set.undos.next(*undo))
    std::ranges::fill(undo->adjustments.span().subspan(first, count), std::int16_t{0});
}

// The task's list, made at first use.
Result<Ref<SemUndoList>> undo_list(Task& task) {
  if (!task.sem_undo) task.sem_undo = TRY(make_ref<SemUndoList>());
  return task.sem_undo.as_ref();
}

SemUndo* find_undo(SemUndoList& list, const SemaphoreSet& set) REQUIRES(ipc_lock) {
  for (SemUndo* undo = list.undos.front(); undo != nullptr; undo = list.undos.next(*undo))
    if (undo->set == &set) return undo;
  return nullptr;
}

// What the task has to take back of this set.
Result<Ref<SemUndo>> undo_for(Task& task, SemaphoreSet& set) {
  const Ref<SemUndoList> list = TRY(undo_list(task));
  {
    const LockGuard guard(ipc_lock);
    if (SemUndo* there = find_undo(*list, set)) return Ref<SemUndo>(*there);
  }
  const Ref<SemUndo> fresh = TRY(make_ref<SemUndo>());
  TRY(fresh->adjustments.try_resize(set.semaphores.size()));
  const LockGuard guard(ipc_lock);
  if (SemUndo* there = find_undo(*list, set)) return Ref<SemUndo>(*there);  // another thread was quicker
  if (table.find(set.id).get() != &set) return Errno::idrm;
  fresh->set = &set;
  fresh->ref();  // the list's
  list->undos.push_back(*fresh);
  set.undos.push_back(*fresh);
  return fresh;
}

Result<Ref<SemaphoreSet>> make_set(const IpcPermissions& fresh, std::int32_t count) {
  if (count < 1) return Errno::inval;
  if (sem_use().semaphores + static_cast<std::uint64_t>(count) > ipc_limits().semmns.load()) return Errno::nospc;
  const Ref<SemaphoreSet> set = TRY(make_ref<SemaphoreSet>(fresh));
  TRY(set->semaphores.try_resize(static_cast<std::size_t>(count)));
  return set;
}

abi::SemIdDs exported(const SemaphoreSet& set) REQUIRES(ipc_lock) {
  abi::SemIdDs ds{};
  ds.perm = ipc_export(set.permissions, set.id);
  ds.otime = set.operation_time;
  ds.ctime = set.change_time;
  ds.nsems = set.semaphores.size();
  return ds;
}

// Sleeps until somebody has done the waiter's operations, or has removed the set.
Result<> sleep(SemWaiter& waiter, Instant deadline) {
  for (;;) {
    const ParkResult parked = park(deadline, Interruptible::yes);
    const LockGuard guard(ipc_lock);
    if (waiter.done) return waiter.result;
    if (parked == ParkResult::woken) continue;
    waiter.unlink();
    return parked == ParkResult::timed_out ? Errno::again : Errno::intr;
  }
}

}  // namespace

Result<std::int32_t> sem_get(Task& task, std::int32_t key, std::int32_t count, std::uint32_t flags) {
  if (count < 0 || static_cast<std::uint64_t>(count) > ipc_limits().semmsl.load()) return Errno::inval;
  const Result<std::int32_t> id = table.get(
      task.credentials(), key, flags, ipc_limits().semmni.load(),
      [count](const IpcPermissions& fresh) { return make_set(fresh, count); },
      [count](const SemaphoreSet& there) {
        return static_cast<std::size_t>(count) > there.semaphores.size() ? Result<>(Errno::inval) : Result<>();
      });
  return id;
}

Result<> sem_operate(Task& task, std::int32_t id, std::span<const abi::SemBuf> operations, Instant deadline) {
  const bool changes = alters(operations);
  const bool undoes = std::ranges::any_of(operations, [](const abi::SemBuf& each) { return (each.flags & abi::kSemUndo) != 0 && each.op != 0; });
  RefPtr<SemaphoreSet> set;
  {
    const LockGuard guard(ipc_lock);
    set = table.find(id);
    if (!set) return Errno::inval;
    for (const abi::SemBuf& each : operations)
      if (each.number >= set->semaphores.size()) return Errno::fbig;
    TRY(ipc_check(task.credentials(), set->permissions, changes ? kWriteAny : kReadAny));
  }
  SemWaiter waiter(current_sleeper());
  if (undoes) waiter.undo = TRY(undo_for(task, *set));
  waiter.operations = operations;
  waiter.pid = pid_of(task);
  {
    const LockGuard guard(ipc_lock);
    if (table.find(id).get() != set.get()) return Errno::idrm;
    const bool done = TRY(attempt(*set, operations, waiter.undo.get(), waiter.pid, waiter.blocked_at));
    if (done) {
      if (changes) serve_waiters(*set);
      return {};
    }
    if ((static_cast<std::uint16_t>(operations[waiter.blocked_at].flags) & abi::kIpcNoWait) != 0) return Errno::again;
    set->waiters.push_back(waiter);
  }
  return sleep(waiter, deadline);
}

Result<> sem_remove(Task& task, std::int32_t id) {
  RefPtr<SemaphoreSet> dead;
  const LockGuard guard(ipc_lock);
  const RefPtr<SemaphoreSet> set = table.find(id);
  if (!set) return Errno::inval;
  TRY(ipc_check_owner(task.credentials(), set->permissions));
  dead = table.remove(*set);
  while (SemWaiter* waiter = set->waiters.front()) finish(*waiter, Errno::idrm);
  while (SemUndo* undo = set->undos.pop_front()) {
    undo->set = nullptr;
    undo->ListNode<UndoOfListTag>::unlink();
    undo->deref();  // the list's reference; waiters may have one yet
  }
  return {};
}

Result<> sem_set(Task& task, std::int32_t id, const abi::IpcPerm& wanted) {
  const LockGuard guard(ipc_lock);
  const RefPtr<SemaphoreSet> set = table.find(id);
  if (!set) return Errno::inval;
  TRY(ipc_check_owner(task.credentials(), set->permissions));
  TRY(ipc_apply(set->permissions, wanted));
  set->change_time = ipc_now();
  return {};
}

Result<std::int32_t> sem_stat(Task& task, std::int32_t id, bool by_index, bool any, abi::SemIdDs& into) {
  const LockGuard guard(ipc_lock);
  if (id < 0) return Errno::inval;
  const RefPtr<SemaphoreSet> set = by_index ? table.at(IpcTable<SemaphoreSet>::index_of(id)) : table.find(id);
  if (!set) return Errno::inval;
  if (!any) TRY(ipc_check(task.credentials(), set->permissions, kReadAny));
  into = exported(*set);
  return set->id;
}

Result<std::int32_t> sem_ask(Task& task, std::int32_t id, std::int32_t number, std::int32_t command) {
  const LockGuard guard(ipc_lock);
  const Ref<SemaphoreSet> set = TRY(find_allowed(task.credentials(), id, kReadAny));
  if (number < 0 || static_cast<std::size_t>(number) >= set->semaphores.size()) return Errno::inval;
  const SemaphoreSet::Semaphore& semaphore = set->semaphores[static_cast<std::size_t>(number)];
  if (command == abi::kGetVal) return semaphore.value;
  if (command == abi::kGetPid) return semaphore.pid;
  std::int32_t waiting = 0;
  for (SemWaiter* waiter = set->waiters.front(); waiter != nullptr; waiter = set->waiters.next(*waiter)) {
    const abi::SemBuf& blocked = waiter->operations[waiter->blocked_at];
    if (blocked.number == number && (blocked.op == 0) == (command == abi::kGetZcnt)) ++waiting;
  }
  return waiting;
}

Result<> sem_set_value(Task& task, std::int32_t id, std::int32_t number, std::int32_t value) {
  if (value < 0 || value > abi::kSemMaxValue) return Errno::range;
  const LockGuard guard(ipc_lock);
  const RefPtr<SemaphoreSet> set = table.find(id);
  if (!set || number < 0 || static_cast<std::size_t>(number) >= set->semaphores.size()) return Errno::inval;
  TRY(ipc_check(task.credentials(), set->permissions, kWriteAny));
  const auto index = static_cast<std::size_t>(number);
  clear_adjustments(*set, index, 1);
  set->semaphores[index] = {.value = value, .pid = pid_of(task)};
  set->change_time = ipc_now();
  serve_waiters(*set);
  return {};
}

Result<std::uint32_t> sem_count(Task& task, std::int32_t id, bool changes) {
  const LockGuard guard(ipc_lock);
  const Ref<SemaphoreSet> set = TRY(find_allowed(task.credentials(), id, changes ? kWriteAny : kReadAny));
  return static_cast<std::uint32_t>(set->semaphores.size());
}

Result<> sem_get_all(Task& task, std::int32_t id, std::span<std::uint16_t> values) {
  const LockGuard guard(ipc_lock);
  const Ref<SemaphoreSet> set = TRY(find_allowed(task.credentials(), id, kReadAny));
  if (set->semaphores.size() != values.size()) return Errno::idrm;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(set->semaphores[i].value);
  return {};
}

Result<> sem_set_all(Task& task, std::int32_t id, std::span<const std::uint16_t> values) {
  for (const std::uint16_t value : values)
    if (value > abi::kSemMaxValue) return Errno::range;
  const std::int32_t pid = pid_of(task);
  const LockGuard guard(ipc_lock);
  const Ref<SemaphoreSet> set = TRY(find_allowed(task.credentials(), id, kWriteAny));
  if (set->semaphores.size() != values.size()) return Errno::idrm;
  clear_adjustments(*set, 0, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) set->semaphores[i] = {.value = values[i], .pid = pid};
  set->change_time = ipc_now();
  serve_waiters(*set);
  return {};
}

SemaphoreUse sem_use() {
  SemaphoreUse use;
  const LockGuard guard(ipc_lock);
  use.highest = table.highest();
  use.sets = table.in_use();
  for (std::size_t i = 0; i < table.size(); ++i)
    if (const RefPtr<SemaphoreSet> set = table.at(i)) use.semaphores += static_cast<std::uint32_t>(set->semaphores.size());
  return use;
}

bool sem_next(std::size_t& index, abi::SemIdDs& into, std::int32_t& id) {
  const LockGuard guard(ipc_lock);
  while (index < table.size()) {
    const RefPtr<SemaphoreSet> set = table.at(index++);
    if (!set) continue;
    into = exported(*set);
    id = set->id;
    return true;
  }
  return false;
}

Result<> sem_make_undo(Task& parent) {
  TRY(undo_list(parent));
  return {};
}

void sem_share_undo(Task& parent, Task& child) {
  parent.sem_undo->users.fetch_add(1, std::memory_order_relaxed);
  child.sem_undo = parent.sem_undo;
}

void sem_leave_undo(Task& task) {
  const RefPtr<SemUndoList> list = std::exchange(task.sem_undo, RefPtr<SemUndoList>());
  if (!list || list->users.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  const std::int32_t pid = pid_of(task);
  for (;;) {
    const LockGuard guard(ipc_lock);
    SemUndo* undo = list->undos.pop_front();
    if (undo == nullptr) return;
    SemaphoreSet& set = *undo->set;  // linked: the set is there
    undo->ListNode<UndoOfSetTag>::unlink();
    for (std::size_t i = 0; i < undo->adjustments.size(); ++i) {
      if (undo->adjustments[i] == 0) continue;
      SemaphoreSet::Semaphore& semaphore = set.semaphores[i];
      semaphore.value = std::clamp<std::int32_t>(semaphore.value + undo->adjustments[i], 0, abi::kSemMaxValue);
      semaphore.pid = pid;
    }
    set.operation_time = ipc_now();
    serve_waiters(set);
    undo->deref();
  }
}

}  // namespace kernel
