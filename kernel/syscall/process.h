// Making, ending and relating processes and threads.
#ifndef KERNEL_SYSCALL_PROCESS_H
#define KERNEL_SYSCALL_PROCESS_H

#include <cstdint>

#include "abi/process.h"
#include "abi/sched.h"
#include "abi/signal.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::int32_t> sys_clone(Task& task, std::uint64_t flags, std::uint64_t stack, UserPtr<std::int32_t> parent_tid,
                               UserPtr<std::int32_t> child_tid, std::uint64_t tls, frame::TrapFrame& frame);
Result<std::int32_t> sys_clone3(Task& task, UserPtr<const abi::CloneArgs> args, std::uint64_t size, frame::TrapFrame& frame);
Result<std::int32_t> sys_fork(Task& task, frame::TrapFrame& frame);
Result<std::int32_t> sys_vfork(Task& task, frame::TrapFrame& frame);
Result<> sys_exit(Task& task, std::int32_t code);
Result<> sys_exit_group(Task& task, std::int32_t code);
Result<std::int32_t> sys_wait4(Task& task, std::int32_t pid, UserPtr<std::int32_t> status, std::uint32_t options, UserPtr<abi::Rusage> usage);
Result<> sys_waitid(Task& task, std::int32_t kind, std::int32_t id, UserPtr<abi::SigInfo> info, std::uint32_t options,
                    UserPtr<abi::Rusage> usage);

Result<std::int32_t> sys_getpid(Task& task);
Result<std::int32_t> sys_gettid(Task& task);
Result<std::int32_t> sys_getppid(Task& task);
Result<std::int32_t> sys_getpgrp(Task& task);
Result<std::int32_t> sys_getpgid(Task& task, Pid pid);
Result<> sys_setpgid(Task& task, Pid pid, Pid group);
Result<> sys_vhangup(Task& task);
Result<std::int32_t> sys_getsid(Task& task, Pid pid);
Result<std::int32_t> sys_setsid(Task& task);
Result<std::int32_t> sys_set_tid_address(Task& task, UserPtr<std::int32_t> address);
Result<> sys_getrusage(Task& task, std::int32_t who, UserPtr<abi::Rusage> usage);
Result<std::uint64_t> sys_times(Task& task, UserPtr<abi::Tms> buffer);

abi::Rusage to_rusage(const Usage& usage);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_PROCESS_H
