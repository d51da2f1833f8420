// The table of ids: one number space for tasks, processes, groups and sessions. An id is free again when nothing uses it in any role
// (so a group keeps its number while it has members, even after its leader was reaped); numbers are handed out in rising order and wrap.
#ifndef KERNEL_TASK_PID_H
#define KERNEL_TASK_PID_H

#include <array>
#include <cstdint>

#include "kernel/base/ref.h"
#include "kernel/base/types.h"
#include "kernel/sync/lock.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {

struct IdSlot {
  RefPtr<Task> task;
  RefPtr<Process> process;
  std::uint32_t uses = 0;  // as task, process, group (per member), session (per member)
};

class IdTable {
 public:
  constexpr IdTable() = default;
  // Reserves a free id (one use). EAGAIN if all are taken, ENOMEM. Takes the lock itself: it may allocate.
  Result<Pid> allocate() EXCLUDES(tree_lock);
  // One more use of a reserved id, or one less; the slot is reused when none is left: then no pointer to it may be kept.
  void add_use(Pid id) REQUIRES(tree_lock);
  void drop_use(Pid id) REQUIRES(tree_lock);
  // The id that was handed out last; 0: none.
  std::int32_t last() const REQUIRES(tree_lock) { return last_; }
  // nullptr if the id and its neighbours are not in use.
  IdSlot* find(Pid id) REQUIRES(tree_lock);
  // The next slot with an id above `id`; its id goes into `id`.
  IdSlot* next(std::int32_t& id) REQUIRES(tree_lock);

 private:
  static constexpr std::size_t kPerChunk = 256;
  struct Chunk {
    std::array<IdSlot, kPerChunk> slots;
    std::size_t used = 0;  // slots with a use
  };
  void release_if_unused(std::size_t at) REQUIRES(tree_lock);
  std::array<Own<Chunk>, kPidMax / kPerChunk> chunks_ GUARDED_BY(tree_lock);
  std::int32_t last_ GUARDED_BY(tree_lock) = 0;
};

IdTable& id_table();

}  // namespace kernel
#endif  // KERNEL_TASK_PID_H
