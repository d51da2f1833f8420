// Moving bytes: read(2), write(2), readv(2), pread(2), preadv2(2), lseek(2), sendfile(2), copy_file_range(2), fsync(2), truncate(2)...
#ifndef KERNEL_SYSCALL_IO_H
#define KERNEL_SYSCALL_IO_H

#include <array>
#include <cstdint>
#include <span>

#include "abi/fs.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/base/vec.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

// An iovec array out of program memory, checked (readv(2), sendmsg(2), process_vm_readv(2)). Short ones need no allocation.
class UserIovec {
 public:
  UserIovec() = default;
  // EINVAL: more than 1024 entries or a length beyond SSIZE_MAX; EFAULT.
  Result<> load(UserPtr<const abi::Iovec> vector, std::uint64_t count);
  std::span<const UserBytes> segments() const LIFETIMEBOUND { return long_.empty() ? std::span(inline_).first(count_) : long_.span(); }
  std::uint64_t total() const { return total_; }  // at most kMaxRwCount

 private:
  static constexpr std::size_t kInline = 8;
  std::array<UserBytes, kInline> inline_{};
  Vec<UserBytes> long_;
  std::size_t count_ = 0;
  std::uint64_t total_ = 0;
};

Result<std::uint64_t> sys_read(Task& task, Fd fd, UserPtr<std::byte> buffer, std::uint64_t count);
Result<std::uint64_t> sys_write(Task& task, Fd fd, UserPtr<const std::byte> buffer, std::uint64_t count);
Result<std::uint64_t> sys_pread64(Task& task, Fd fd, UserPtr<std::byte> buffer, std::uint64_t count, FileOffset offset);
Result<std::uint64_t> sys_pwrite64(Task& task, Fd fd, UserPtr<const std::byte> buffer, std::uint64_t count, FileOffset offset);
Result<std::uint64_t> sys_readv(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count);
Result<std::uint64_t> sys_writev(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count);
Result<std::uint64_t> sys_preadv(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset);
Result<std::uint64_t> sys_pwritev(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset);
Result<std::uint64_t> sys_preadv2(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset,
                                  std::uint64_t offset_high, std::uint32_t flags);
Result<std::uint64_t> sys_pwritev2(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset,
                                   std::uint64_t offset_high, std::uint32_t flags);
Result<FileOffset> sys_lseek(Task& task, Fd fd, FileOffset offset, std::uint32_t whence);
Result<std::uint64_t> sys_sendfile(Task& task, Fd out, Fd in, UserPtr<FileOffset> offset, std::uint64_t count);
Result<std::uint64_t> sys_copy_file_range(Task& task, Fd in, UserPtr<FileOffset> in_offset, Fd out, UserPtr<FileOffset> out_offset,
                                          std::uint64_t count, std::uint32_t flags);
Result<> sys_fsync(Task& task, Fd fd);
Result<> sys_fdatasync(Task& task, Fd fd);
Result<> sys_sync(Task& task);
Result<> sys_syncfs(Task& task, Fd fd);
Result<> sys_sync_file_range(Task& task, Fd fd, FileOffset offset, FileOffset count, std::uint32_t flags);
Result<> sys_truncate(Task& task, UserPtr<const char> path, FileOffset size);
Result<> sys_ftruncate(Task& task, Fd fd, FileOffset size);
Result<> sys_fallocate(Task& task, Fd fd, std::uint32_t mode, FileOffset offset, FileOffset length);
Result<> sys_fadvise64(Task& task, Fd fd, FileOffset offset, FileOffset length, std::uint32_t advice);
Result<> sys_readahead(Task& task, Fd fd, FileOffset offset, std::uint64_t count);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_IO_H
