// Advisory locks on files: POSIX record locks (owner: process), open-file-description locks and flock (owner: open file). fcntl(2),
// flock(2).
#ifndef KERNEL_VFS_FILE_LOCK_H
#define KERNEL_VFS_FILE_LOCK_H

#include <cstdint>
#include <optional>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel {

class OpenFile;

// Bytes [begin, end); end = ~0: to the end of the file, however long it gets.
struct LockRange {
  std::uint64_t begin = 0;
  std::uint64_t end = ~std::uint64_t{0};
  bool overlaps(const LockRange& other) const { return begin < other.end && other.begin < end; }
};

// Who owns a lock: a number that is unique among what can own one (the address of the descriptor table or the open file).
struct LockOwner {
  std::uint64_t id = 0;
  std::int32_t pid = 0;  // what F_GETLK shows; -1 for open-file-description locks
};

struct HeldLock {
  LockOwner owner;
  LockRange range;
  bool exclusive = false;
};

// All locks of one inode.
class FileLocks final : public RefCounted<FileLocks> {
 public:
  // Sets (exclusive or shared) or changes a record lock of the owner in the range. With `wait` it blocks until it can (Errno::restart on
  // a signal, EDEADLK if process owners wait for each other in a circle), else EAGAIN.
  Result<> lock(LockOwner owner, LockRange range, bool exclusive, bool wait) EXCLUDES(lock_);
  Result<> unlock(LockOwner owner, LockRange range) EXCLUDES(lock_);
  // The first lock of somebody else that would stop this one.
  std::optional<HeldLock> test(LockOwner owner, LockRange range, bool exclusive) EXCLUDES(lock_);
  // Everything of an owner (close of any descriptor of the file, exit).
  void release_owner(std::uint64_t owner) EXCLUDES(lock_);

  // flock(2): whole file, separate from record locks.
  Result<> flock(const OpenFile& file, bool exclusive, bool wait) EXCLUDES(lock_);
  void flock_release(const OpenFile& file) EXCLUDES(lock_);

  // The open file is closed for good.
  void release_file(const OpenFile& file) EXCLUDES(lock_);

 private:
  bool conflicts_locked(LockOwner owner, LockRange range, bool exclusive, HeldLock* found) const REQUIRES(lock_);
  Result<> set_locked(LockOwner owner, LockRange range, std::optional<bool> exclusive) REQUIRES(lock_);
  Result<bool> try_lock(LockOwner owner, LockRange range, bool exclusive);
  Result<bool> try_flock(std::uint64_t id, bool exclusive);
  bool would_deadlock(LockOwner owner, LockRange range, bool exclusive);

  SpinLock<LockRank::vfs_cache> lock_;
  Vec<HeldLock> records_ GUARDED_BY(lock_);
  Vec<HeldLock> flocks_ GUARDED_BY(lock_);
  WaitQueue changed_;
};

inline std::uint64_t owner_id(const void* object) { return __builtin_bit_cast(std::uint64_t, object); }

}  // namespace kernel
#endif  // KERNEL_VFS_FILE_LOCK_H
