// What the three kinds of System V objects share (sysvipc(7)): keys, numbers, permissions, limits.
//
// One lock (rank ipc) guards all of them: an operation on one object is short, and an exit may touch many.
#ifndef KERNEL_TASK_IPC_H
#define KERNEL_TASK_IPC_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "abi/ipc.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/task/credentials.h"

namespace kernel {

class Task;

extern SpinLock<LockRank::ipc> ipc_lock;

struct IpcPermissions {
  std::int32_t key = 0;
  std::uint32_t uid = 0, gid = 0, cuid = 0, cgid = 0;
  std::uint32_t mode = 0;  // nine permission bits, above them what the kind of object keeps there
};

// Does the caller have all of `wanted` (rwxrwxrwx, any of the three places counts)? EACCES.
Result<> ipc_check(const Credentials& who, const IpcPermissions& permissions, std::uint32_t wanted);
// May the caller change or remove it? EPERM.
Result<> ipc_check_owner(const Credentials& who, const IpcPermissions& permissions);
IpcPermissions ipc_fresh(const Credentials& who, std::int32_t key, std::uint32_t flags);
abi::IpcPerm ipc_export(const IpcPermissions& permissions, std::int32_t id);
// IPC_SET: owner and mode bits. EINVAL for an id that nobody can have.
Result<> ipc_apply(IpcPermissions& permissions, const abi::IpcPerm& wanted) REQUIRES(ipc_lock);
std::int64_t ipc_now();  // seconds since the epoch

inline constexpr std::uint32_t kReadAny = 0444, kWriteAny = 0222, kExecAny = 0111;

// Limits of /proc/sys/kernel; root may change them.
struct IpcLimits {
  std::atomic<std::uint64_t> shmmax{~std::uint64_t{0} - (1 << 24)}, shmall{~std::uint64_t{0} - (1 << 24)}, shmmni{4096};
  std::atomic<std::uint64_t> semmsl{32000}, semmns{1024000000}, semopm{500}, semmni{32000};
  std::atomic<std::uint64_t> msgmax{8192}, msgmnb{16384}, msgmni{32000};
};
IpcLimits& ipc_limits();

inline constexpr std::int32_t kIpcIndexBits = 15;
inline constexpr std::uint32_t kIpcMost = 1U << kIpcIndexBits;

// All objects of one kind by number. T has `IpcPermissions permissions` and `std::int32_t id`, and is counted.
template <class T>
class IpcTable {
 public:
  constexpr IpcTable() = default;

  // EINVAL if there is none.
  RefPtr<T> find(std::int32_t id) const REQUIRES(ipc_lock) {
    if (id < 0) return nullptr;
    const RefPtr<T> found = at(index_of(id));
    return found && found->id == id ? found : RefPtr<T>();
  }
  // By its place, for SHM_STAT and the like.
  RefPtr<T> at(std::size_t index) const REQUIRES(ipc_lock) { return index < slots_.size() ? slots_[index] : RefPtr<T>(); }
  static std::size_t index_of(std::int32_t id) { return static_cast<std::size_t>(id) & (kIpcMost - 1); }
  std::size_t size() const REQUIRES(ipc_lock) { return slots_.size(); }
  std::uint32_t in_use() const REQUIRES(ipc_lock) { return used_; }
  // The highest place in use, 0 if there is none (what the *_INFO commands return).
  std::int32_t highest() const REQUIRES(ipc_lock) {
    for (std::size_t i = slots_.size(); i > 0; --i)
      if (slots_[i - 1]) return static_cast<std::int32_t>(i - 1);
    return 0;
  }

  // The *get calls: the object with `key`, if `check(T&)` (called with the lock) and the permissions allow; or a new one by
  // `make(IpcPermissions)`. `most` objects can be.
  template <class Make, class Check>
  Result<std::int32_t> get(const Credentials& who, std::int32_t key, std::uint32_t flags, std::uint64_t most, Make&& make, Check&& check)
      EXCLUDES(ipc_lock) {
    RefPtr<T> fresh;
    for (;;) {
      TRY(make_room());
      {
        const LockGuard guard(ipc_lock);
        const RefPtr<T> there = key == abi::kIpcPrivate ? RefPtr<T>() : by_key(key);
        if (there) {
          if ((flags & abi::kIpcCreat) != 0 && (flags & abi::kIpcExcl) != 0) return Errno::exist;
          TRY(check(*there));
          TRY(ipc_check(who, there->permissions, flags & 0777));
          return there->id;
        }
        if (key != abi::kIpcPrivate && (flags & abi::kIpcCreat) == 0) return Errno::noent;
        if (used_ >= std::min<std::uint64_t>(most, kIpcMost)) return Errno::nospc;
        if (fresh && add(fresh)) return fresh->id;
      }
      if (!fresh) fresh = TRY(make(ipc_fresh(who, key, flags)));
    }
  }
  // Takes it out; the caller drops it without the lock.
  RefPtr<T> remove(const T& object) REQUIRES(ipc_lock) {
    --used_;
    return std::exchange(slots_[index_of(object.id)], RefPtr<T>());
  }

 private:
  RefPtr<T> by_key(std::int32_t key) const REQUIRES(ipc_lock) {
    for (const RefPtr<T>& slot : slots_)
      if (slot && slot->permissions.key == key) return slot;
    return nullptr;
  }
  // Numbers are not reused soon: the place after the last one given, and a count of rounds above it.
  bool add(const RefPtr<T>& object) REQUIRES(ipc_lock) {
    for (std::size_t step = 0; step < slots_.size(); ++step) {
      const std::size_t index = (next_ + step) % slots_.size();
      if (slots_[index]) continue;
      if (index < next_) rounds_ = (rounds_ + 1) & 0xffff;
      next_ = index + 1;
      object->id = static_cast<std::int32_t>((rounds_ << kIpcIndexBits) | index);
      slots_[index] = object;
      ++used_;
      return true;
    }
    return false;
  }
  Result<> make_room() EXCLUDES(ipc_lock) {
    std::size_t wanted = 0;
    {
      const LockGuard guard(ipc_lock);
      if (slots_.size() != 0 && used_ * 2 < slots_.size()) return {};
      if (slots_.size() == kIpcMost) return {};
      wanted = std::min<std::size_t>(std::max<std::size_t>(slots_.size() * 2, 64), kIpcMost);
    }
    Vec<RefPtr<T>> fresh;
    TRY(fresh.try_resize(wanted));
    const LockGuard guard(ipc_lock);
    if (slots_.size() >= wanted) return {};
    for (std::size_t i = 0; i < slots_.size(); ++i) fresh[i] = std::move(slots_[i]);
    std::swap(slots_, fresh);
    return {};
  }

  Vec<RefPtr<T>> slots_ GUARDED_BY(ipc_lock);
  std::size_t next_ GUARDED_BY(ipc_lock) = 0;
  std::uint32_t rounds_ GUARDED_BY(ipc_lock) = 0;
  std::uint32_t used_ GUARDED_BY(ipc_lock) = 0;
};

}  // namespace kernel
#endif  // KERNEL_TASK_IPC_H
