// Directories and the place of a process: getdents64(2), getcwd(2), chdir(2), chroot(2), umask(2).
#ifndef KERNEL_SYSCALL_DIRECTORY_H
#define KERNEL_SYSCALL_DIRECTORY_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<std::uint64_t> sys_getdents(Task& task, Fd fd, UserPtr<std::byte> into, std::uint32_t size);
Result<std::uint64_t> sys_getdents64(Task& task, Fd fd, UserPtr<std::byte> into, std::uint32_t size);
Result<std::uint64_t> sys_getcwd(Task& task, UserPtr<char> into, std::uint64_t size);
Result<> sys_chdir(Task& task, UserPtr<const char> path);
Result<> sys_fchdir(Task& task, Fd fd);
Result<> sys_chroot(Task& task, UserPtr<const char> path);
Result<Mode> sys_umask(Task& task, Mode mask);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_DIRECTORY_H
