// System V shared memory: segments are anonymous shared windows (mm/shared.h) that live as long as their number, or their last attachment.
#ifndef KERNEL_TASK_SYSV_SHM_H
#define KERNEL_TASK_SYSV_SHM_H

#include <cstdint>

#include "kernel/mm/shared.h"
#include "kernel/task/ipc.h"

namespace kernel {

class ShmSegment final : public RefCounted<ShmSegment> {
 public:
  ShmSegment(IpcPermissions fresh, std::uint64_t size, std::int32_t creator) : permissions(fresh), size_(size), creator_(creator) {}
  std::uint64_t size() const { return size_; }
  std::int32_t creator() const { return creator_; }
  // How often it is attached: a property of its window, so that whoever copies or splits areas need not know of segments.
  std::uint64_t attached() const REQUIRES(ipc_lock) { return window ? window->areas.load(std::memory_order_acquire) : 0; }

  IpcPermissions permissions GUARDED_BY(ipc_lock);
  std::int32_t id GUARDED_BY(ipc_lock) = -1;
  RefPtr<SharedWindow> window GUARDED_BY(ipc_lock);  // made by the first attachment
  std::int64_t attach_time GUARDED_BY(ipc_lock) = 0, detach_time GUARDED_BY(ipc_lock) = 0, change_time GUARDED_BY(ipc_lock) = ipc_now();
  std::int32_t last_pid GUARDED_BY(ipc_lock) = 0;

 private:
  const std::uint64_t size_;
  const std::int32_t creator_;
};

Result<std::int32_t> shm_get(Task& task, std::int32_t key, std::uint64_t size, std::uint32_t flags);
// The address of the attachment.
Result<std::uint64_t> shm_attach(Task& task, std::int32_t id, std::uint64_t address, std::uint32_t flags);
// Commands of shmctl.
Result<> shm_remove(Task& task, std::int32_t id);
Result<> shm_set(Task& task, std::int32_t id, const abi::IpcPerm& wanted);
Result<> shm_set_locked(Task& task, std::int32_t id, bool locked);
// IPC_STAT; SHM_STAT (`by_index`: `id` is a place in the table; the return value is the number), SHM_STAT_ANY (no permission asked).
Result<std::int32_t> shm_stat(Task& task, std::int32_t id, bool by_index, bool any, abi::ShmIdDs& into);
abi::ShmUse shm_use(std::int32_t& highest);
// For /proc/sysvipc/shm: the segment at or after place `index`, which moves behind it; false at the end.
bool shm_next(std::size_t& index, abi::ShmIdDs& into, std::int32_t& id, std::uint64_t& resident);

}  // namespace kernel
#endif  // KERNEL_TASK_SYSV_SHM_H
