#include "kernel/vfs/nameless.h"

#include "kernel/vfs/inode.h"

namespace kernel {

namespace {
[[clang::no_destroy]] constinit Nameless event_files(0600, Nameless::Changes::refused);  // NOLINT: the one that all share
}  // namespace

Nameless& Nameless::of_event_files() { return event_files; }

Result<> Nameless::change(const AttributeChange& change) {
  if (!is_changeable()) return Errno::opnotsupp;
  const FileTime now = current_file_time();
  const LockGuard guard(lock_);
  if (change.mode) mode_ = (mode_ & kModeTypeMask) | (*change.mode & kModePermMask);
  if (change.uid) uid_ = *change.uid;
  if (change.gid) gid_ = *change.gid;
  if (change.atime) atime_ = *change.atime;
  if (change.mtime) mtime_ = *change.mtime;
  ctime_ = now;
  return {};
}

Attributes Nameless::attributes() const {
  Attributes result;
  const LockGuard guard(lock_);
  result.mode = mode_;
  result.uid = uid_;
  result.gid = gid_;
  result.atime = atime_;
  result.mtime = mtime_;
  result.ctime = ctime_;
  return result;
}

Result<Ref<FileLocks>> Nameless::locks() {
  if (RefPtr<FileLocks> there = locks_if_any()) return there.as_ref();
  Ref<FileLocks> fresh = TRY(make_ref<FileLocks>());
  const LockGuard guard(lock_);
  if (!locks_) locks_ = fresh;
  return locks_.as_ref();
}

RefPtr<FileLocks> Nameless::locks_if_any() const {
  const LockGuard guard(lock_);
  return locks_;
}

}  // namespace kernel
