// Names: mkdir(2), unlink(2), link(2), symlink(2), rename(2), mknod(2), readlink(2), mount(2), umount2(2).
#ifndef KERNEL_SYSCALL_PATH_H
#define KERNEL_SYSCALL_PATH_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<> sys_mkdir(Task& task, UserPtr<const char> path, Mode mode);
Result<> sys_mkdirat(Task& task, Fd dir, UserPtr<const char> path, Mode mode);
Result<> sys_rmdir(Task& task, UserPtr<const char> path);
Result<> sys_unlink(Task& task, UserPtr<const char> path);
Result<> sys_unlinkat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags);
Result<> sys_link(Task& task, UserPtr<const char> from, UserPtr<const char> to);
Result<> sys_linkat(Task& task, Fd from_dir, UserPtr<const char> from, Fd to_dir, UserPtr<const char> to, std::uint32_t flags);
Result<> sys_symlink(Task& task, UserPtr<const char> target, UserPtr<const char> path);
Result<> sys_symlinkat(Task& task, UserPtr<const char> target, Fd dir, UserPtr<const char> path);
Result<> sys_rename(Task& task, UserPtr<const char> from, UserPtr<const char> to);
Result<> sys_renameat(Task& task, Fd from_dir, UserPtr<const char> from, Fd to_dir, UserPtr<const char> to);
Result<> sys_renameat2(Task& task, Fd from_dir, UserPtr<const char> from, Fd to_dir, UserPtr<const char> to, std::uint32_t flags);
Result<> sys_mknod(Task& task, UserPtr<const char> path, Mode mode, std::uint32_t device);
Result<> sys_mknodat(Task& task, Fd dir, UserPtr<const char> path, Mode mode, std::uint32_t device);
Result<std::uint64_t> sys_readlink(Task& task, UserPtr<const char> path, UserPtr<char> into, std::int32_t size);
Result<std::uint64_t> sys_readlinkat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<char> into, std::int32_t size);
Result<> sys_mount(Task& task, UserPtr<const char> source, UserPtr<const char> target, UserPtr<const char> type, std::uint64_t flags,
                   UserPtr<const char> data);
Result<> sys_umount2(Task& task, UserPtr<const char> target, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_PATH_H
