// ptrace(2). What it does not do: docs/decisions/ptrace.md.
#ifndef KERNEL_SYSCALL_PTRACE_H
#define KERNEL_SYSCALL_PTRACE_H

#include "abi/ptrace.h"
#include "kernel/base/types.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::uint64_t> sys_ptrace(Task& task, abi::PtraceRequest request, Pid pid, std::uint64_t address, std::uint64_t data);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_PTRACE_H
