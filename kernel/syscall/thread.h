// Scheduling, CPU affinity, thread-local state.
#ifndef KERNEL_SYSCALL_THREAD_H
#define KERNEL_SYSCALL_THREAD_H

#include <cstdint>

#include "abi/sched.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<> sys_sched_yield(Task& task);
Result<> sys_sched_setparam(Task& task, Pid pid, UserPtr<const abi::SchedParam> param);
Result<> sys_sched_getparam(Task& task, Pid pid, UserPtr<abi::SchedParam> param);
Result<> sys_sched_setscheduler(Task& task, Pid pid, std::int32_t policy, UserPtr<const abi::SchedParam> param);
Result<std::int32_t> sys_sched_getscheduler(Task& task, Pid pid);
Result<std::int32_t> sys_sched_get_priority_max(Task& task, std::int32_t policy);
Result<std::int32_t> sys_sched_get_priority_min(Task& task, std::int32_t policy);
Result<> sys_sched_rr_get_interval(Task& task, Pid pid, UserPtr<abi::Timespec> interval);
Result<> sys_sched_setattr(Task& task, Pid pid, UserPtr<abi::SchedAttr> attributes, std::uint32_t flags);
Result<> sys_sched_getattr(Task& task, Pid pid, UserPtr<abi::SchedAttr> attributes, std::uint32_t size, std::uint32_t flags);
Result<> sys_sched_setaffinity(Task& task, Pid pid, std::uint32_t size, UserPtr<const std::uint8_t> mask);
Result<std::uint32_t> sys_sched_getaffinity(Task& task, Pid pid, std::uint32_t size, UserPtr<std::uint8_t> mask);
Result<std::int32_t> sys_getpriority(Task& task, std::int32_t which, std::int32_t who);
Result<> sys_setpriority(Task& task, std::int32_t which, std::int32_t who, std::int32_t nice);
Result<> sys_getcpu(Task& task, UserPtr<std::uint32_t> cpu, UserPtr<std::uint32_t> node, std::uint64_t unused);
Result<> sys_ioprio_set(Task& task, std::int32_t which, std::int32_t who, std::int32_t priority);
Result<std::int32_t> sys_ioprio_get(Task& task, std::int32_t which, std::int32_t who);
Result<> sys_unshare(Task& task, std::uint64_t flags);
Result<> sys_setns(Task& task, Fd fd, std::int32_t type);
Result<std::uint32_t> sys_membarrier(Task& task, std::int32_t command, std::uint32_t flags, std::int32_t cpu);
Result<> sys_arch_prctl(Task& task, std::int32_t code, std::uint64_t address);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_THREAD_H
