// Clocks, sleeping, timers.
#ifndef KERNEL_SYSCALL_TIME_H
#define KERNEL_SYSCALL_TIME_H

#include <cstdint>

#include "abi/signal.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/sync/wait.h"
#include "kernel/task/task.h"

namespace kernel {

// --- helpers for calls with timeouts ---
// Nanoseconds of a valid, non-negative timespec (saturating); EINVAL, EFAULT.
Result<std::uint64_t> load_duration(UserPtr<const abi::Timespec> user);
Result<std::uint64_t> to_ns(const abi::Timespec& time);
abi::Timespec to_timespec(std::uint64_t ns);
// The instant `ns` from now; never kNever.
Instant deadline_after(std::uint64_t ns);
// The instant at which CLOCK_REALTIME will show `when`.
Instant realtime_deadline(std::uint64_t when);

Result<> sys_clock_gettime(Task& task, std::int32_t clock, UserPtr<abi::Timespec> into);
Result<> sys_clock_settime(Task& task, std::int32_t clock, UserPtr<const abi::Timespec> time);
Result<std::int32_t> sys_adjtimex(Task& task, UserPtr<abi::Timex> user);
Result<std::int32_t> sys_clock_adjtime(Task& task, std::int32_t clock, UserPtr<abi::Timex> user);
Result<> sys_clock_getres(Task& task, std::int32_t clock, UserPtr<abi::Timespec> into);
Result<> sys_clock_nanosleep(Task& task, std::int32_t clock, std::int32_t flags, UserPtr<const abi::Timespec> request,
                             UserPtr<abi::Timespec> remaining);
Result<> sys_nanosleep(Task& task, UserPtr<const abi::Timespec> request, UserPtr<abi::Timespec> remaining);
Result<> sys_gettimeofday(Task& task, UserPtr<abi::Timeval> time, UserPtr<abi::Timezone> zone);
Result<> sys_settimeofday(Task& task, UserPtr<const abi::Timeval> time, UserPtr<const abi::Timezone> zone);
Result<std::uint64_t> sys_time(Task& task, UserPtr<std::int64_t> into);
Result<std::uint32_t> sys_alarm(Task& task, std::uint32_t seconds);
Result<> sys_getitimer(Task& task, std::int32_t which, UserPtr<abi::Itimerval> into);
Result<> sys_setitimer(Task& task, std::int32_t which, UserPtr<const abi::Itimerval> fresh, UserPtr<abi::Itimerval> old);
Result<> sys_timer_create(Task& task, std::int32_t clock, UserPtr<const abi::SigEvent> event, UserPtr<std::int32_t> id);
Result<> sys_timer_settime(Task& task, std::int32_t id, std::int32_t flags, UserPtr<const abi::Itimerspec> fresh, UserPtr<abi::Itimerspec> old);
Result<> sys_timer_gettime(Task& task, std::int32_t id, UserPtr<abi::Itimerspec> into);
Result<std::int32_t> sys_timer_getoverrun(Task& task, std::int32_t id);
Result<> sys_timer_delete(Task& task, std::int32_t id);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_TIME_H
