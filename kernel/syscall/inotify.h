// inotify(7).
#ifndef KERNEL_SYSCALL_INOTIFY_H
#define KERNEL_SYSCALL_INOTIFY_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::int32_t> sys_inotify_init(Task& task);
Result<std::int32_t> sys_inotify_init1(Task& task, std::uint32_t flags);
Result<std::int32_t> sys_inotify_add_watch(Task& task, Fd fd, UserPtr<const char> path, std::uint32_t mask);
Result<> sys_inotify_rm_watch(Task& task, Fd fd, std::int32_t wd);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_INOTIFY_H
