// execve(2), execveat(2), and how exec opens files (task/exec_files.h) over the VFS.
#ifndef KERNEL_SYSCALL_EXEC_H
#define KERNEL_SYSCALL_EXEC_H

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/task/exec_files.h"
#include "kernel/task/task.h"

namespace kernel {

// For set_exec_files() at boot.
ExecFiles& path_exec_files();

Result<> sys_execve(Task& task, UserPtr<const char> path, UserPtr<const std::uint64_t> argv, UserPtr<const std::uint64_t> envp,
                    frame::TrapFrame& frame);
Result<> sys_execveat(Task& task, Fd directory, UserPtr<const char> path, UserPtr<const std::uint64_t> argv,
                      UserPtr<const std::uint64_t> envp, std::uint32_t flags, frame::TrapFrame& frame);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_EXEC_H
