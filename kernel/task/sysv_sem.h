// System V semaphores: sets, operations that happen all or not at all, adjustments undone at exit.
#ifndef KERNEL_TASK_SYSV_SEM_H
#define KERNEL_TASK_SYSV_SEM_H

#include <atomic>
#include <cstdint>
#include <span>

#include "kernel/base/list.h"
#include "kernel/sync/wait.h"
#include "kernel/task/ipc.h"

namespace kernel {

class SemaphoreSet;
struct UndoOfSetTag;
struct UndoOfListTag;

// What one process (or several that share it) has to take back of one set.
struct SemUndo final : RefCounted<SemUndo>, ListNode<UndoOfSetTag>, ListNode<UndoOfListTag> {
  SemaphoreSet* set = nullptr;  // null once the set is gone (ipc_lock)
  Vec<std::int16_t> adjustments;
};

// The adjustments of a task; shared by those made with CLONE_SYSVSEM. The last one to leave applies them.
class SemUndoList final : public RefCounted<SemUndoList> {
 public:
  SemUndoList() = default;
  std::atomic<std::uint32_t> users{1};
  List<SemUndo, UndoOfListTag> undos GUARDED_BY(ipc_lock);  // each holds itself: the list owns one reference
};

struct SemWaiterTag;
// A task that sleeps in semop(2), on its stack.
struct SemWaiter final : ListNode<SemWaiterTag> {
  explicit SemWaiter(Sleeper& owner) : sleeper(owner) {}
  Sleeper& sleeper;
  std::span<const abi::SemBuf> operations;
  RefPtr<SemUndo> undo;
  std::int32_t pid = 0;
  std::size_t blocked_at = 0;  // the operation that cannot be done
  bool done = false;           // ipc_lock
  Result<> result;
};

class SemaphoreSet final : public RefCounted<SemaphoreSet> {
 public:
  struct Semaphore {
    std::int32_t value = 0, pid = 0;
  };
  explicit SemaphoreSet(IpcPermissions fresh) : permissions(fresh) {}

  IpcPermissions permissions GUARDED_BY(ipc_lock);
  std::int32_t id GUARDED_BY(ipc_lock) = -1;
  Vec<Semaphore> semaphores;  // the number does not change
  std::int64_t operation_time GUARDED_BY(ipc_lock) = 0, change_time GUARDED_BY(ipc_lock) = ipc_now();
  List<SemWaiter, SemWaiterTag> waiters GUARDED_BY(ipc_lock);  // the longest waiting first
  List<SemUndo, UndoOfSetTag> undos GUARDED_BY(ipc_lock);
};

Result<std::int32_t> sem_get(Task& task, std::int32_t key, std::int32_t count, std::uint32_t flags);
// `deadline` kNever = none.
Result<> sem_operate(Task& task, std::int32_t id, std::span<const abi::SemBuf> operations, Instant deadline);
Result<> sem_remove(Task& task, std::int32_t id);
Result<> sem_set(Task& task, std::int32_t id, const abi::IpcPerm& wanted);
Result<std::int32_t> sem_stat(Task& task, std::int32_t id, bool by_index, bool any, abi::SemIdDs& into);
// GETVAL, GETPID, GETNCNT, GETZCNT.
Result<std::int32_t> sem_ask(Task& task, std::int32_t id, std::int32_t number, std::int32_t command);
Result<> sem_set_value(Task& task, std::int32_t id, std::int32_t number, std::int32_t value);
Result<std::uint32_t> sem_count(Task& task, std::int32_t id, bool changes);  // semaphores in the set, if the caller may read (change) it
Result<> sem_get_all(Task& task, std::int32_t id, std::span<std::uint16_t> values);
Result<> sem_set_all(Task& task, std::int32_t id, std::span<const std::uint16_t> values);
struct SemaphoreUse {
  std::uint32_t sets = 0, semaphores = 0;
  std::int32_t highest = 0;
};
SemaphoreUse sem_use();
bool sem_next(std::size_t& index, abi::SemIdDs& into, std::int32_t& id);

// For CLONE_SYSVSEM: the parent has adjustments to share (ENOMEM), then the child shares them.
Result<> sem_make_undo(Task& parent);
void sem_share_undo(Task& parent, Task& child);
// The task ends, or stops sharing (unshare(2), CLONE_SYSVSEM): its adjustments are applied if nobody else has them.
void sem_leave_undo(Task& task);

}  // namespace kernel
#endif  // KERNEL_TASK_SYSV_SEM_H
