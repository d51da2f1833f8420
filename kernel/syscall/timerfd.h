// timerfd_create(2), signalfd(2).
#ifndef KERNEL_SYSCALL_TIMERFD_H
#define KERNEL_SYSCALL_TIMERFD_H

#include <cstdint>

#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<std::int32_t> sys_timerfd_create(Task& task, std::int32_t clock, std::uint32_t flags);
Result<> sys_timerfd_settime(Task& task, Fd fd, std::uint32_t flags, UserPtr<const abi::Itimerspec> fresh, UserPtr<abi::Itimerspec> old);
Result<> sys_timerfd_gettime(Task& task, Fd fd, UserPtr<abi::Itimerspec> into);
Result<std::int32_t> sys_signalfd(Task& task, Fd fd, UserPtr<const std::uint64_t> mask, std::uint64_t mask_size);
Result<std::int32_t> sys_signalfd4(Task& task, Fd fd, UserPtr<const std::uint64_t> mask, std::uint64_t mask_size, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_TIMERFD_H
