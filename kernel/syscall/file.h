// Opening, closing and duplicating descriptors; fcntl, flock, ioctl. open(2), close(2), dup(2), fcntl(2), flock(2), ioctl(2)...
#ifndef KERNEL_SYSCALL_FILE_H
#define KERNEL_SYSCALL_FILE_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<std::int32_t> sys_open(Task& task, UserPtr<const char> path, std::uint32_t flags, Mode mode);
Result<std::int32_t> sys_openat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags, Mode mode);
Result<std::int32_t> sys_openat2(Task& task, Fd dir, UserPtr<const char> path, UserPtr<const std::byte> how, std::uint64_t size);
Result<std::int32_t> sys_creat(Task& task, UserPtr<const char> path, Mode mode);
Result<> sys_close(Task& task, Fd fd);
Result<> sys_close_range(Task& task, std::uint32_t first, std::uint32_t last, std::uint32_t flags);
Result<std::int32_t> sys_dup(Task& task, Fd fd);
Result<std::int32_t> sys_dup2(Task& task, Fd from, Fd to);
Result<std::int32_t> sys_dup3(Task& task, Fd from, Fd to, std::uint32_t flags);
Result<std::uint64_t> sys_fcntl(Task& task, Fd fd, std::uint32_t command, std::uint64_t argument);
Result<> sys_flock(Task& task, Fd fd, std::uint32_t operation);
Result<std::uint64_t> sys_ioctl(Task& task, Fd fd, std::uint32_t request, std::uint64_t argument);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_FILE_H
