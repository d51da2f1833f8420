// Limits, system information, process settings, random bytes.
#ifndef KERNEL_SYSCALL_MISC_H
#define KERNEL_SYSCALL_MISC_H

#include <cstdint>

#include "abi/process.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<> sys_getrlimit(Task& task, std::uint32_t which, UserPtr<abi::RlimitPair> limit);
Result<> sys_setrlimit(Task& task, std::uint32_t which, UserPtr<const abi::RlimitPair> limit);
Result<> sys_prlimit64(Task& task, Pid pid, std::uint32_t which, UserPtr<const abi::RlimitPair> fresh, UserPtr<abi::RlimitPair> old);
Result<> sys_uname(Task& task, UserPtr<abi::UtsName> name);
Result<> sys_sethostname(Task& task, UserPtr<const char> name, std::int32_t length);
Result<> sys_setdomainname(Task& task, UserPtr<const char> name, std::int32_t length);
Result<> sys_sysinfo(Task& task, UserPtr<abi::SysInfo> info);
Result<std::uint64_t> sys_getrandom(Task& task, UserPtr<std::byte> buffer, std::uint64_t count, std::uint32_t flags);
Result<std::uint32_t> sys_personality(Task& task, std::uint32_t persona);
Result<std::uint64_t> sys_prctl(Task& task, std::int32_t option, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_MISC_H
