// POSIX message queues.
#ifndef KERNEL_SYSCALL_MQUEUE_H
#define KERNEL_SYSCALL_MQUEUE_H

#include <cstdint>

#include "abi/mqueue.h"
#include "abi/signal.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::int32_t> sys_mq_open(Task& task, UserPtr<const char> name, std::uint32_t flags, std::uint32_t mode, UserPtr<const abi::MqAttr> attributes);
Result<> sys_mq_unlink(Task& task, UserPtr<const char> name);
Result<> sys_mq_timedsend(Task& task, Fd fd, UserPtr<const std::byte> message, std::uint64_t size, std::uint32_t priority, UserPtr<const abi::Timespec> timeout);
Result<std::uint64_t> sys_mq_timedreceive(Task& task, Fd fd, UserPtr<std::byte> message, std::uint64_t size, UserPtr<std::uint32_t> priority,
                                          UserPtr<const abi::Timespec> timeout);
Result<> sys_mq_notify(Task& task, Fd fd, UserPtr<const abi::SigEvent> event);
Result<> sys_mq_getsetattr(Task& task, Fd fd, UserPtr<const abi::MqAttr> fresh, UserPtr<abi::MqAttr> old);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_MQUEUE_H
