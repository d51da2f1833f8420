// futex(2), futex_waitv(2), robust lists.
#ifndef KERNEL_SYSCALL_FUTEX_H
#define KERNEL_SYSCALL_FUTEX_H

#include <cstdint>

#include "abi/futex.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::uint32_t> sys_futex(Task& task, std::uint64_t address, std::int32_t operation, std::uint32_t value, std::uint64_t timeout,
                                std::uint64_t second_address, std::uint32_t value3);
Result<std::uint32_t> sys_futex_waitv(Task& task, UserPtr<const abi::FutexWaitv> waiters, std::uint32_t count, std::uint32_t flags,
                                      UserPtr<const abi::Timespec> timeout, std::int32_t clock);
Result<> sys_set_robust_list(Task& task, std::uint64_t head, std::uint64_t size);
Result<> sys_get_robust_list(Task& task, Pid pid, UserPtr<std::uint64_t> head, UserPtr<std::uint64_t> size);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_FUTEX_H
