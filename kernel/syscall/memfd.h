// memfd_create(2).
#ifndef KERNEL_SYSCALL_MEMFD_H
#define KERNEL_SYSCALL_MEMFD_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<std::int32_t> sys_memfd_create(Task& task, UserPtr<const char> name, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_MEMFD_H
