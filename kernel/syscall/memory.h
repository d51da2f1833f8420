// Memory calls: mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), madvise(2), mincore(2), mlock(2), msync(2), process_vm_readv(2).
#ifndef KERNEL_SYSCALL_MEMORY_H
#define KERNEL_SYSCALL_MEMORY_H

#include <cstdint>

#include "abi/fs.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

// Addresses are plain numbers here: the calls are about addresses, not about what lies there.
Result<std::uint64_t> sys_mmap(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t prot, std::uint32_t flags, Fd fd,
                               std::uint64_t offset);
Result<> sys_munmap(Task& task, std::uint64_t address, std::uint64_t size);
Result<> sys_mprotect(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t prot);
// Only key -1 (none): EINVAL for others, since pkey_alloc does not exist.
Result<> sys_pkey_mprotect(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t prot, std::int32_t key);
Result<std::uint64_t> sys_mremap(Task& task, std::uint64_t address, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
                                 std::uint64_t new_address);
Result<std::uint64_t> sys_brk(Task& task, std::uint64_t address);
Result<> sys_madvise(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t advice);
Result<> sys_mincore(Task& task, std::uint64_t address, std::uint64_t size, UserPtr<std::uint8_t> vector);
Result<> sys_mlock(Task& task, std::uint64_t address, std::uint64_t size);
Result<> sys_mlock2(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t flags);
Result<> sys_munlock(Task& task, std::uint64_t address, std::uint64_t size);
Result<> sys_mlockall(Task& task, std::uint32_t flags);
Result<> sys_munlockall(Task& task);
Result<> sys_msync(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t flags);
Result<std::uint64_t> sys_process_vm_readv(Task& task, Pid pid, UserPtr<const abi::Iovec> local, std::uint64_t local_count,
                                           UserPtr<const abi::Iovec> remote, std::uint64_t remote_count, std::uint64_t flags);
Result<std::uint64_t> sys_process_vm_writev(Task& task, Pid pid, UserPtr<const abi::Iovec> local, std::uint64_t local_count,
                                            UserPtr<const abi::Iovec> remote, std::uint64_t remote_count, std::uint64_t flags);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_MEMORY_H
