// poll(2), ppoll(2), select(2), pselect6.
#ifndef KERNEL_SYSCALL_POLL_H
#define KERNEL_SYSCALL_POLL_H

#include "abi/poll.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::uint32_t> sys_poll(Task& task, UserPtr<abi::PollFd> fds, std::uint32_t count, std::int32_t timeout_ms);
Result<std::uint32_t> sys_ppoll(Task& task, UserPtr<abi::PollFd> fds, std::uint32_t count, UserPtr<abi::Timespec> timeout,
                                UserPtr<const std::uint64_t> mask, std::uint64_t mask_size);
Result<std::uint32_t> sys_select(Task& task, std::int32_t count, UserPtr<std::uint64_t> read_set, UserPtr<std::uint64_t> write_set,
                                 UserPtr<std::uint64_t> except_set, UserPtr<abi::Timeval> timeout);
Result<std::uint32_t> sys_pselect6(Task& task, std::int32_t count, UserPtr<std::uint64_t> read_set, UserPtr<std::uint64_t> write_set,
                                   UserPtr<std::uint64_t> except_set, UserPtr<abi::Timespec> timeout,
                                   UserPtr<const abi::SigsetArgument> mask);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_POLL_H
