// What a process owns and tasks/ does not know: descriptor table, working directory. vfs/ derives from it.
#ifndef KERNEL_TASK_RESOURCE_H
#define KERNEL_TASK_RESOURCE_H

#include "kernel/base/ref.h"
#include "kernel/base/result.h"

namespace kernel {

// Shared by the tasks that were made with CLONE_FILES or CLONE_FS; the last reference, dropped with no locks held in a context that may
// sleep, gives everything back.
class ProcessResource : public RefCounted<ProcessResource> {
 public:
  virtual ~ProcessResource() = default;
  // A private copy, as fork makes it (ENOMEM).
  virtual Result<Ref<ProcessResource>> clone() = 0;
  // The program is being replaced by execve: descriptors with FD_CLOEXEC go. The object is not shared with another process then.
  virtual void on_exec() {}

 protected:
  ProcessResource() = default;
};

}  // namespace kernel
#endif  // KERNEL_TASK_RESOURCE_H
