// epoll(7) and eventfd(2).
#ifndef KERNEL_SYSCALL_EVENT_H
#define KERNEL_SYSCALL_EVENT_H

#include "abi/poll.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::int32_t> sys_epoll_create(Task& task, std::int32_t size);
Result<std::int32_t> sys_epoll_create1(Task& task, std::uint32_t flags);
Result<> sys_epoll_ctl(Task& task, Fd epoll, std::int32_t operation, Fd target, UserPtr<const abi::EpollEvent> event);
Result<std::uint64_t> sys_epoll_wait(Task& task, Fd epoll, UserPtr<abi::EpollEvent> events, std::int32_t count, std::int32_t timeout_ms);
Result<std::uint64_t> sys_epoll_pwait(Task& task, Fd epoll, UserPtr<abi::EpollEvent> events, std::int32_t count, std::int32_t timeout_ms,
                                      UserPtr<const std::uint64_t> mask, std::uint64_t mask_size);
Result<std::uint64_t> sys_epoll_pwait2(Task& task, Fd epoll, UserPtr<abi::EpollEvent> events, std::int32_t count,
                                       UserPtr<const abi::Timespec> timeout, UserPtr<const std::uint64_t> mask, std::uint64_t mask_size);
Result<std::int32_t> sys_eventfd(Task& task, std::uint32_t initial);
Result<std::int32_t> sys_eventfd2(Task& task, std::uint32_t initial, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_EVENT_H
