// Root, working directory and umask of a process (CLONE_FS shares it).
#ifndef KERNEL_VFS_FS_CONTEXT_H
#define KERNEL_VFS_FS_CONTEXT_H

#include <atomic>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/task/resource.h"
#include "kernel/vfs/dentry.h"

namespace kernel {

class Task;

class FsContext final : public ProcessResource {
 public:
  FsContext(Ref<Dentry> root, Ref<Dentry> working_directory);
  ~FsContext() override = default;

  Ref<Dentry> root() const;
  Ref<Dentry> working_directory() const;
  // The caller has checked that it is a directory and may be searched.
  void set_root(Ref<Dentry> root);
  void set_working_directory(Ref<Dentry> directory);
  Mode umask() const { return umask_.load(std::memory_order_relaxed); }
  Mode exchange_umask(Mode mask) {
    if (!is_unique()) return umask_.exchange(mask & 0777, std::memory_order_relaxed);
    const Mode before = umask();  // no other thread shares it, so no other call can come between
    umask_.store(mask & 0777, std::memory_order_relaxed);
    return before;
  }

  // ProcessResource.
  Result<Ref<ProcessResource>> clone() override;
  void on_exec() override {}

 private:
  friend class PathWalk;
  // Guarded by the dentry cache's lock: a walk reads them under the hold it takes anyway.
  RefPtr<Dentry> root_, working_directory_;
  std::atomic<Mode> umask_{022};
};

FsContext& fs_of(Task& task);
// For the first process: root and working directory are the root of the mount tree.
Result<Ref<ProcessResource>> make_first_fs_context();

}  // namespace kernel
#endif  // KERNEL_VFS_FS_CONTEXT_H
