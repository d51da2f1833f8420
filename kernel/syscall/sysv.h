// System V IPC (sysvipc(7)).
#ifndef KERNEL_SYSCALL_SYSV_H
#define KERNEL_SYSCALL_SYSV_H

#include <cstdint>

#include "abi/ipc.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {

Result<std::int32_t> sys_shmget(Task& task, std::int32_t key, std::uint64_t size, std::uint32_t flags);
Result<std::uint64_t> sys_shmat(Task& task, std::int32_t id, std::uint64_t address, std::uint32_t flags);
Result<> sys_shmdt(Task& task, std::uint64_t address);
Result<std::int32_t> sys_shmctl(Task& task, std::int32_t id, std::int32_t command, UserPtr<abi::ShmIdDs> buffer);
Result<std::int32_t> sys_semget(Task& task, std::int32_t key, std::int32_t count, std::uint32_t flags);
Result<> sys_semop(Task& task, std::int32_t id, UserPtr<const abi::SemBuf> operations, std::uint32_t count);
Result<> sys_semtimedop(Task& task, std::int32_t id, UserPtr<const abi::SemBuf> operations, std::uint32_t count, UserPtr<const abi::Timespec> timeout);
// `argument` is the union semun: a number or an address.
Result<std::int32_t> sys_semctl(Task& task, std::int32_t id, std::int32_t number, std::int32_t command, std::uint64_t argument);
Result<std::int32_t> sys_msgget(Task& task, std::int32_t key, std::uint32_t flags);
Result<> sys_msgsnd(Task& task, std::int32_t id, UserPtr<const std::int64_t> message, std::uint64_t size, std::uint32_t flags);
Result<std::uint64_t> sys_msgrcv(Task& task, std::int32_t id, UserPtr<std::int64_t> message, std::uint64_t size, std::int64_t type, std::uint32_t flags);
Result<std::int32_t> sys_msgctl(Task& task, std::int32_t id, std::int32_t command, UserPtr<abi::MsqIdDs> buffer);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_SYSV_H
