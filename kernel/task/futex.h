// Futexes (futex(2), futex_waitv(2), set_robust_list(2)).
#ifndef KERNEL_TASK_FUTEX_H
#define KERNEL_TASK_FUTEX_H

#include <cstdint>
#include <span>

#include "abi/futex.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/mm/address_space.h"
#include "kernel/sync/wait.h"
#include "kernel/task/task.h"

namespace kernel {

// Addresses of futex words as programs pass them; `is_private` = FUTEX_PRIVATE_FLAG. Deadlines are monotonic instants. Errors as
// futex(2): EINVAL (misaligned, bad arguments), EFAULT, EAGAIN (the value differs), ETIMEDOUT, restart on a signal.
struct FutexAddress {
  std::uint64_t address = 0;
  bool is_private = false;
};

Result<> futex_wait(Task& task, FutexAddress futex, std::uint32_t expected, std::uint32_t bitset, Instant deadline);
// How many were woken.
Result<std::uint32_t> futex_wake(Task& task, FutexAddress futex, std::uint32_t count, std::uint32_t bitset);
// FUTEX_REQUEUE and FUTEX_CMP_REQUEUE (`expected` given): woken plus moved.
Result<std::uint32_t> futex_requeue(Task& task, FutexAddress from, FutexAddress to, std::uint32_t wake, std::uint32_t move,
                                    std::optional<std::uint32_t> expected);
Result<std::uint32_t> futex_wake_op(Task& task, FutexAddress first, FutexAddress second, std::uint32_t wake, std::uint32_t wake_second,
                                    std::uint32_t operation);
// The index of a futex that was woken.
Result<std::uint32_t> futex_wait_many(Task& task, std::span<const abi::FutexWaitv> futexes, Instant deadline);

// Priority-inheriting locks: the word holds the owner's tid. Ownership and hand-over as Linux; priorities are not boosted since the
// scheduler does not starve threads.
Result<> futex_lock_pi(Task& task, FutexAddress futex, Instant deadline, bool try_only);
Result<> futex_unlock_pi(Task& task, FutexAddress futex);
Result<> futex_wait_requeue_pi(Task& task, FutexAddress from, std::uint32_t expected, std::uint32_t bitset, Instant deadline,
                               FutexAddress to);
Result<std::uint32_t> futex_requeue_pi(Task& task, FutexAddress from, FutexAddress to, std::uint32_t move, std::uint32_t expected);

// The running task ends or executes another program: robust list, PI locks that it holds, clear_child_tid.
void futex_on_exit(Task& task);

}  // namespace kernel
#endif  // KERNEL_TASK_FUTEX_H
