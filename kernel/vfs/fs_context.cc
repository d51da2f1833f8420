#include "kernel/vfs/fs_context.h"

#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"

namespace kernel {

FsContext::FsContext(Ref<Dentry> root, Ref<Dentry> working_directory) : root_(root), working_directory_(working_directory) {}

Ref<Dentry> FsContext::root() const {
  const LockGuard guard(DentryCache::instance().lock());
  return root_.as_ref();
}

Ref<Dentry> FsContext::working_directory() const {
  const LockGuard guard(DentryCache::instance().lock());
  return working_directory_.as_ref();
}

void FsContext::set_root(Ref<Dentry> root) {
  RefPtr<Dentry> old(root);  // dropped after the lock
  const LockGuard guard(DentryCache::instance().lock());
  std::swap(old, root_);
}

void FsContext::set_working_directory(Ref<Dentry> directory) {
  RefPtr<Dentry> old(directory);
  const LockGuard guard(DentryCache::instance().lock());
  std::swap(old, working_directory_);
}

Result<Ref<ProcessResource>> FsContext::clone() {
  Ref<FsContext> copy = TRY(make_ref<FsContext>(root(), working_directory()));
  copy->umask_.store(umask(), std::memory_order_relaxed);
  return Ref<ProcessResource>(copy);
}

FsContext& fs_of(Task& task) {
  // SAFETY: every such object that a task gets is an FsContext (make_first_fs_context, FsContext::clone).
  return static_cast<FsContext&>(task.fs());
}

Result<Ref<ProcessResource>> make_first_fs_context() {
  const Ref<Dentry> root = root_dentry();
  return Ref<ProcessResource>(TRY(make_ref<FsContext>(root, root)));
}

}  // namespace kernel
