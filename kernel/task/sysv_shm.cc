#include "kernel/task/sysv_shm.h"

#include "kernel/base/checked.h"
#include "kernel/host/log.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/init.h"
#include "kernel/mm/user_memory.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constinit IpcTable<ShmSegment> table;  // NOLINT: the instance's one IPC namespace

// The process whose thread runs, 0 for threads of the kernel (they have no vector state).
std::int32_t running_pid() {
  if (current_thread().xsave_area().empty()) return 0;
  return static_cast<std::int32_t>(current_task().process().pid());
}

// An attachment of the segment has gone. The last one takes a segment with it that was marked for removal.
void on_area_gone(std::int32_t id) {
  RefPtr<ShmSegment> dead;
  const std::int64_t now = ipc_now();
  const std::int32_t pid = running_pid();
  const LockGuard guard(ipc_lock);
  const RefPtr<ShmSegment> segment = table.find(id);
  if (!segment) return;
  segment->detach_time = now;
  segment->last_pid = pid;
  if ((segment->permissions.mode & abi::kShmDest) != 0 && segment->attached() == 0) dead = table.remove(*segment);
}

Result<Ref<ShmSegment>> find_allowed(const Credentials& who, std::int32_t id, std::uint32_t wanted) REQUIRES(ipc_lock) {
  const RefPtr<ShmSegment> segment = table.find(id);
  if (!segment) return Errno::inval;
  TRY(ipc_check(who, segment->permissions, wanted));
  return segment.as_ref();
}

Result<Ref<ShmSegment>> find_owned(const Credentials& who, std::int32_t id) REQUIRES(ipc_lock) {
  const RefPtr<ShmSegment> segment = table.find(id);
  if (!segment) return Errno::inval;
  TRY(ipc_check_owner(who, segment->permissions));
  return segment.as_ref();
}

Result<Ref<ShmSegment>> make_segment(Task& task, const IpcPermissions& fresh, std::uint64_t size, std::uint32_t flags) {
  const IpcLimits& limits = ipc_limits();
  if (size < 1 || size > limits.shmmax.load()) return Errno::inval;
  if (size > mm::window_size()) return Errno::nomem;
  if (round_up(size, kPageSize) / kPageSize > limits.shmall.load()) return Errno::nospc;
  if ((flags & abi::kShmHugeTlb) != 0) return task.credentials().has(Capability::ipc_lock) ? Errno::nomem : Errno::perm;  // there are none
  if ((flags & abi::kShmNoReserve) == 0 && size > mm::system_memory().limit) return Errno::nomem;
  return make_ref<ShmSegment>(fresh, size, static_cast<std::int32_t>(task.process().pid()));
}

// The segment's window; the first to attach decides where it lies.
Result<Ref<SharedWindow>> window_of(ShmSegment& segment, std::uint64_t address) {
  std::int32_t id = 0;
  {
    const LockGuard guard(ipc_lock);
    if (segment.window) return segment.window.as_ref();
    id = segment.id;
  }
  const Ref<SharedWindow> fresh = TRY(SharedWindow::make_anonymous(round_up(segment.size(), kPageSize), address));
  fresh->set_segment(on_area_gone, id);
  const LockGuard guard(ipc_lock);
  if (!segment.window) segment.window = RefPtr<SharedWindow>(fresh.get());
  return segment.window.as_ref();
}

abi::ShmIdDs exported(const ShmSegment& segment) REQUIRES(ipc_lock) {
  abi::ShmIdDs ds{};
  ds.perm = ipc_export(segment.permissions, segment.id);
  ds.segsz = segment.size();
  ds.atime = segment.attach_time;
  ds.dtime = segment.detach_time;
  ds.ctime = segment.change_time;
  ds.cpid = segment.creator();
  ds.lpid = segment.last_pid;
  ds.nattch = segment.attached();
  return ds;
}

}  // namespace

Result<std::int32_t> shm_get(Task& task, std::int32_t key, std::uint64_t size, std::uint32_t flags) {
  return table.get(
      task.credentials(), key, flags, ipc_limits().shmmni.load(),
      [&](const IpcPermissions& fresh) { return make_segment(task, fresh, size, flags); },
      [size](const ShmSegment& there) { return size > there.size() ? Result<>(Errno::inval) : Result<>(); });
}

Result<std::uint64_t> shm_attach(Task& task, std::int32_t id, std::uint64_t address, std::uint32_t flags) {
  if ((flags & abi::kShmRnd) != 0) address = round_down(address, kPageSize);
  if (!is_aligned(address, kPageSize) || (address == 0 && (flags & abi::kShmRemap) != 0)) return Errno::inval;
  const bool writes = (flags & abi::kShmRdOnly) == 0;
  const bool executes = (flags & abi::kShmExec) != 0;
  const std::uint32_t prot = kProtRead | (writes ? kProtWrite : 0) | (executes ? kProtExec : 0);
  RefPtr<ShmSegment> segment;
  std::int32_t key = 0;
  {
    const LockGuard guard(ipc_lock);
    segment = TRY(find_allowed(task.credentials(), id, kReadAny | (writes ? kWriteAny : 0) | (executes ? kExecAny : 0)));
    key = segment->permissions.key;
  }
  auto window = window_of(*segment, address);
  // Somebody has these addresses: without SHM_REMAP that is EINVAL.
  if (!window.ok()) return address != 0 && (flags & abi::kShmRemap) == 0 ? Errno::inval : window.error();
  MapRequest request;
  request.address = address;
  request.size = segment->size();
  request.prot = prot;
  request.shared = true;
  request.max_prot = kProtRead | kProtExec | (writes ? kProtWrite : 0);
  if (address != 0) request.placement = (flags & abi::kShmRemap) != 0 ? Placement::fixed : Placement::fixed_noreplace;
  request.window = std::move(window).release();
  FixedString<24> name;
  name.append_clipped("/SYSV").append_clipped(Digits(static_cast<std::uint32_t>(key), 16, 8).view()).append_clipped(" (deleted)");
  request.label = TRY(MapLabel::make(name.view()));
  const auto mapped = task.mm().map(request);
  if (!mapped.ok()) {
    if (mapped.error() == Errno::exist) return Errno::inval;
    if (mapped.error() == Errno::nomem) LOG(warn) << "shmat: a segment has one place, the same in every process, and there once only";
    return mapped.error();
  }
  const std::int64_t now = ipc_now();
  const LockGuard guard(ipc_lock);
  segment->attach_time = now;
  segment->last_pid = static_cast<std::int32_t>(task.process().pid());
  return mapped;
}

Result<> shm_remove(Task& task, std::int32_t id) {
  RefPtr<ShmSegment> dead;
  const LockGuard guard(ipc_lock);
  const Ref<ShmSegment> segment = TRY(find_owned(task.credentials(), id));
  if (segment->attached() == 0) {
    dead = table.remove(*segment);
  } else {
    segment->permissions.mode |= abi::kShmDest;
    segment->permissions.key = abi::kIpcPrivate;  // nobody finds it by its key any more
  }
  return {};
}

Result<> shm_set(Task& task, std::int32_t id, const abi::IpcPerm& wanted) {
  const std::int64_t now = ipc_now();
  const LockGuard guard(ipc_lock);
  const Ref<ShmSegment> segment = TRY(find_owned(task.credentials(), id));
  TRY(ipc_apply(segment->permissions, wanted));
  segment->change_time = now;
  return {};
}

Result<> shm_set_locked(Task& task, std::int32_t id, bool locked) {
  const Credentials& who = task.credentials();
  const std::uint64_t limit = task.process().rlimit_current(abi::Rlimit::memlock);
  const LockGuard guard(ipc_lock);
  const RefPtr<ShmSegment> segment = table.find(id);
  if (!segment) return Errno::inval;
  if (!who.has(Capability::ipc_lock)) {
    if (who.euid != segment->permissions.uid && who.euid != segment->permissions.cuid) return Errno::perm;
    if (locked && limit == 0) return Errno::perm;
    if (locked && segment->size() > limit) return Errno::nomem;
  }
  // Pages of the enclave are never swapped by us: the mark is all there is to it.
  if (locked)
    segment->permissions.mode |= abi::kShmLocked;
  else
    segment->permissions.mode &= ~abi::kShmLocked;
  return {};
}

Result<std::int32_t> shm_stat(Task& task, std::int32_t id, bool by_index, bool any, abi::ShmIdDs& into) {
  const LockGuard guard(ipc_lock);
  if (id < 0) return Errno::inval;
  const RefPtr<ShmSegment> segment = by_index ? table.at(IpcTable<ShmSegment>::index_of(id)) : table.find(id);
  if (!segment) return Errno::inval;
  if (!any) TRY(ipc_check(task.credentials(), segment->permissions, kReadAny));
  into = exported(*segment);
  return segment->id;
}

abi::ShmUse shm_use(std::int32_t& highest) {
  abi::ShmUse use{};
  const LockGuard guard(ipc_lock);
  highest = table.highest();
  use.used_ids = static_cast<std::int32_t>(table.in_use());
  for (std::size_t i = 0; i < table.size(); ++i) {
    const RefPtr<ShmSegment> segment = table.at(i);
    if (!segment) continue;
    use.total += round_up(segment->size(), kPageSize) / kPageSize;
    if (segment->window) use.resident += segment->window->resident() / kPageSize;
  }
  return use;
}

bool shm_next(std::size_t& index, abi::ShmIdDs& into, std::int32_t& id, std::uint64_t& resident) {
  const LockGuard guard(ipc_lock);
  while (index < table.size()) {
    const RefPtr<ShmSegment> segment = table.at(index++);
    if (!segment) continue;
    into = exported(*segment);
    id = segment->id;
    resident = segment->window ? segment->window->resident() : 0;
    return true;
  }
  return false;
}

}  // namespace kernel
