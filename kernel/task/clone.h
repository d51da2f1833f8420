// New threads and processes (clone(2), clone3(2), vfork(2)).
#ifndef KERNEL_TASK_CLONE_H
#define KERNEL_TASK_CLONE_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/task/task.h"

namespace kernel {

// Told of a new process before it runs.
class ChildObserver {
 public:
  virtual void on_child(Process& child) = 0;

 protected:
  ~ChildObserver() = default;
};

struct CloneRequest {
  std::uint64_t flags = 0;  // abi::kClone* without the exit signal
  int exit_signal = 0;
  std::uint64_t stack = 0;  // the child's RSP; 0 = as the parent's
  std::uint64_t tls = 0;
  UserPtr<std::int32_t> parent_tid, child_tid;
  ChildObserver* observer = nullptr;  // of CLONE_PIDFD
};

// Makes a child of the running task that goes on behind the system call of `frame`. Its thread id. EINVAL, EAGAIN, ENOMEM, EPERM as
// clone(2). With CLONE_VFORK it returns when the child has executed a program or ended.
Result<Pid> clone_task(Task& parent, const frame::TrapFrame& frame, const CloneRequest& request);

// The first process, without a program yet (exec fills it in). Id 1. Called once, by spawn_first.
Result<Ref<Task>> create_first_task(Ref<AddressSpace> mm, Ref<ProcessResource> files, Ref<ProcessResource> fs);

}  // namespace kernel
#endif  // KERNEL_TASK_CLONE_H
