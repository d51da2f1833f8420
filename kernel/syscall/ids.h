// User and group ids, capabilities.
#ifndef KERNEL_SYSCALL_IDS_H
#define KERNEL_SYSCALL_IDS_H

#include <cstdint>

#include "abi/process.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::uint32_t> sys_getuid(Task& task);
Result<std::uint32_t> sys_geteuid(Task& task);
Result<std::uint32_t> sys_getgid(Task& task);
Result<std::uint32_t> sys_getegid(Task& task);
Result<> sys_setuid(Task& task, std::uint32_t uid);
Result<> sys_setgid(Task& task, std::uint32_t gid);
Result<> sys_setreuid(Task& task, std::uint32_t real, std::uint32_t effective);
Result<> sys_setregid(Task& task, std::uint32_t real, std::uint32_t effective);
Result<> sys_setresuid(Task& task, std::uint32_t real, std::uint32_t effective, std::uint32_t saved);
Result<> sys_setresgid(Task& task, std::uint32_t real, std::uint32_t effective, std::uint32_t saved);
Result<> sys_getresuid(Task& task, UserPtr<std::uint32_t> real, UserPtr<std::uint32_t> effective, UserPtr<std::uint32_t> saved);
Result<> sys_getresgid(Task& task, UserPtr<std::uint32_t> real, UserPtr<std::uint32_t> effective, UserPtr<std::uint32_t> saved);
Result<std::uint32_t> sys_setfsuid(Task& task, std::uint32_t uid);
Result<std::uint32_t> sys_setfsgid(Task& task, std::uint32_t gid);
Result<std::uint32_t> sys_getgroups(Task& task, std::int32_t size, UserPtr<std::uint32_t> list);
Result<> sys_setgroups(Task& task, std::uint64_t size, UserPtr<const std::uint32_t> list);
Result<> sys_capget(Task& task, UserPtr<abi::CapHeader> header, UserPtr<abi::CapData> data);
Result<> sys_capset(Task& task, UserPtr<abi::CapHeader> header, UserPtr<const abi::CapData> data);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_IDS_H
