// splice(2), vmsplice(2), tee(2).
#ifndef KERNEL_SYSCALL_SPLICE_H
#define KERNEL_SYSCALL_SPLICE_H

#include <cstdint>

#include "abi/fs.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<std::uint64_t> sys_splice(Task& task, Fd in, UserPtr<FileOffset> in_offset, Fd out, UserPtr<FileOffset> out_offset, std::uint64_t count,
                                 std::uint32_t flags);
Result<std::uint64_t> sys_vmsplice(Task& task, Fd pipe, UserPtr<const abi::Iovec> vector, std::uint64_t count, std::uint32_t flags);
Result<std::uint64_t> sys_tee(Task& task, Fd in, Fd out, std::uint64_t count, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_SPLICE_H
