// What an inode is to files in the tree, for files that have no place there: attributes that fchmod(2) and its like change, and locks.
// Each pipe and each socket has one of its own; all event files (eventfd, epoll and their like) share one, as Linux's anonymous inode.
#ifndef KERNEL_VFS_NAMELESS_H
#define KERNEL_VFS_NAMELESS_H

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/file_lock.h"
#include "kernel/vfs/types.h"

namespace kernel {

class Nameless {
 public:
  enum class Changes : bool { refused, allowed };
  constexpr Nameless(Mode mode, Changes changes) : changes_(changes), mode_(mode) {}

  bool is_changeable() const { return changes_ == Changes::allowed; }
  Result<> change(const AttributeChange& change) EXCLUDES(lock_);  // EOPNOTSUPP
  Attributes attributes() const EXCLUDES(lock_);                   // mode, owner and times; the rest is the file's
  // As Inode::file_locks() and file_locks_if_any().
  Result<Ref<FileLocks>> locks() EXCLUDES(lock_);
  RefPtr<FileLocks> locks_if_any() const EXCLUDES(lock_);

  static Nameless& of_event_files();

 private:
  const Changes changes_;
  mutable SpinLock<LockRank::vfs_cache> lock_;
  Mode mode_ GUARDED_BY(lock_);
  std::uint32_t uid_ GUARDED_BY(lock_) = 0, gid_ GUARDED_BY(lock_) = 0;
  FileTime atime_ GUARDED_BY(lock_) = 0, mtime_ GUARDED_BY(lock_) = 0, ctime_ GUARDED_BY(lock_) = 0;
  RefPtr<FileLocks> locks_ GUARDED_BY(lock_);
};

}  // namespace kernel
#endif  // KERNEL_VFS_NAMELESS_H
