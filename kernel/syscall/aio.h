// Linux AIO: io_setup(2), io_submit(2), io_getevents(2), io_pgetevents, io_cancel(2), io_destroy(2).
#ifndef KERNEL_SYSCALL_AIO_H
#define KERNEL_SYSCALL_AIO_H

#include <cstdint>

#include "abi/aio.h"
#include "abi/poll.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<> sys_io_setup(Task& task, std::uint32_t requests, UserPtr<std::uint64_t> context);
Result<> sys_io_destroy(Task& task, std::uint64_t context);
Result<std::uint64_t> sys_io_submit(Task& task, std::uint64_t context, std::int64_t count, UserPtr<const std::uint64_t> blocks);
Result<> sys_io_cancel(Task& task, std::uint64_t context, std::uint64_t block, UserPtr<abi::IoEvent> event);
Result<std::uint32_t> sys_io_getevents(Task& task, std::uint64_t context, std::int64_t least, std::int64_t most, UserPtr<abi::IoEvent> events,
                                       UserPtr<const abi::Timespec> timeout);
Result<std::uint32_t> sys_io_pgetevents(Task& task, std::uint64_t context, std::int64_t least, std::int64_t most, UserPtr<abi::IoEvent> events,
                                        UserPtr<const abi::Timespec> timeout, UserPtr<const abi::SigsetArgument> mask);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_AIO_H
