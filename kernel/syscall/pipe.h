// System calls that make pipes (pipe(2)).
#ifndef KERNEL_SYSCALL_PIPE_H
#define KERNEL_SYSCALL_PIPE_H

#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<> sys_pipe(Task& task, UserPtr<std::int32_t> descriptors);
Result<> sys_pipe2(Task& task, UserPtr<std::int32_t> descriptors, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_PIPE_H
