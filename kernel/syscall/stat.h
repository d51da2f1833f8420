// Attributes: stat(2), statx(2), access(2), chmod(2), chown(2), utimensat(2), statfs(2), xattr(7).
#ifndef KERNEL_SYSCALL_STAT_H
#define KERNEL_SYSCALL_STAT_H

#include <cstdint>

#include "abi/fs.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<> sys_stat(Task& task, UserPtr<const char> path, UserPtr<abi::Stat> into);
Result<> sys_lstat(Task& task, UserPtr<const char> path, UserPtr<abi::Stat> into);
Result<> sys_fstat(Task& task, Fd fd, UserPtr<abi::Stat> into);
Result<> sys_newfstatat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<abi::Stat> into, std::uint32_t flags);
Result<> sys_statx(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags, std::uint32_t mask, UserPtr<abi::Statx> into);
Result<> sys_access(Task& task, UserPtr<const char> path, std::uint32_t mode);
Result<> sys_faccessat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t mode);
Result<> sys_faccessat2(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t mode, std::uint32_t flags);
Result<> sys_statfs(Task& task, UserPtr<const char> path, UserPtr<abi::Statfs> into);
Result<> sys_fstatfs(Task& task, Fd fd, UserPtr<abi::Statfs> into);

Result<> sys_chmod(Task& task, UserPtr<const char> path, Mode mode);
Result<> sys_fchmod(Task& task, Fd fd, Mode mode);
Result<> sys_fchmodat(Task& task, Fd dir, UserPtr<const char> path, Mode mode);
Result<> sys_chown(Task& task, UserPtr<const char> path, std::uint32_t uid, std::uint32_t gid);
Result<> sys_lchown(Task& task, UserPtr<const char> path, std::uint32_t uid, std::uint32_t gid);
Result<> sys_fchown(Task& task, Fd fd, std::uint32_t uid, std::uint32_t gid);
Result<> sys_fchownat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t uid, std::uint32_t gid, std::uint32_t flags);
Result<> sys_utime(Task& task, UserPtr<const char> path, UserPtr<const abi::Utimbuf> times);
Result<> sys_utimes(Task& task, UserPtr<const char> path, UserPtr<const abi::FileTimeval> times);
Result<> sys_futimesat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<const abi::FileTimeval> times);
Result<> sys_utimensat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<const abi::FileTimespec> times, std::uint32_t flags);

Result<std::uint64_t> sys_getxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<std::byte> value, std::uint64_t size);
Result<std::uint64_t> sys_lgetxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<std::byte> value, std::uint64_t size);
Result<std::uint64_t> sys_fgetxattr(Task& task, Fd fd, UserPtr<const char> name, UserPtr<std::byte> value, std::uint64_t size);
Result<> sys_setxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<const std::byte> value, std::uint64_t size, std::uint32_t flags);
Result<> sys_lsetxattr(Task& task, UserPtr<const char> path, UserPtr<const char> name, UserPtr<const std::byte> value, std::uint64_t size, std::uint32_t flags);
Result<> sys_fsetxattr(Task& task, Fd fd, UserPtr<const char> name, UserPtr<const std::byte> value, std::uint64_t size, std::uint32_t flags);
Result<std::uint64_t> sys_listxattr(Task& task, UserPtr<const char> path, UserPtr<char> list, std::uint64_t size);
Result<std::uint64_t> sys_llistxattr(Task& task, UserPtr<const char> path, UserPtr<char> list, std::uint64_t size);
Result<std::uint64_t> sys_flistxattr(Task& task, Fd fd, UserPtr<char> list, std::uint64_t size);
Result<> sys_removexattr(Task& task, UserPtr<const char> path, UserPtr<const char> name);
Result<> sys_lremovexattr(Task& task, UserPtr<const char> path, UserPtr<const char> name);
Result<> sys_fremovexattr(Task& task, Fd fd, UserPtr<const char> name);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_STAT_H
