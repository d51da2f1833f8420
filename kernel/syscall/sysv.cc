#include "kernel/syscall/sysv.h"

#include <algorithm>
#include <limits>

#include "kernel/mm/address_space.h"
#include "kernel/syscall/time.h"
#include "kernel/task/sysv_msg.h"
#include "kernel/task/sysv_sem.h"
#include "kernel/task/sysv_shm.h"

namespace kernel {

// --- shared memory ---

Result<std::int32_t> sys_shmget(Task& task, std::int32_t key, std::uint64_t size, std::uint32_t flags) { return shm_get(task, key, size, flags); }

Result<std::uint64_t> sys_shmat(Task& task, std::int32_t id, std::uint64_t address, std::uint32_t flags) {
  return shm_attach(task, id, address, flags);
}

Result<> sys_shmdt(Task& task, std::uint64_t address) {
  if (!is_aligned(address, kPageSize)) return Errno::inval;
  return task.mm().detach(address);
}

Result<std::int32_t> sys_shmctl(Task& task, std::int32_t id, std::int32_t command, UserPtr<abi::ShmIdDs> buffer) {
  command &= ~abi::kIpc64;
  if (id < 0 || command < 0) return Errno::inval;
  std::int32_t result = 0;
  switch (command) {
    case abi::kIpcInfo: {
      const IpcLimits& limits = ipc_limits();
      (void)shm_use(result);
      TRY(buffer.cast<abi::ShmLimits>().store({.shmmax = limits.shmmax.load(), .shmmin = 1, .shmmni = limits.shmmni.load(),
                                               .shmseg = limits.shmmni.load(), .shmall = limits.shmall.load(),
                                               .unused1 = 0, .unused2 = 0, .unused3 = 0, .unused4 = 0}));
      return result;
    }
    case abi::kShmInfo:
      TRY(buffer.cast<abi::ShmUse>().store(shm_use(result)));
      return result;
    case abi::kIpcStat:
    case abi::kShmStat:
    case abi::kShmStatAny: {
      abi::ShmIdDs ds{};
      result = TRY(shm_stat(task, id, command != abi::kIpcStat, command == abi::kShmStatAny, ds));
      TRY(buffer.store(ds));
      return command == abi::kIpcStat ? 0 : result;
    }
    case abi::kIpcSet: {
      const abi::ShmIdDs ds = TRY(buffer.load());
      TRY(shm_set(task, id, ds.perm));
      return 0;
    }
    case abi::kIpcRmid:
      TRY(shm_remove(task, id));
      return 0;
    case abi::kShmLock:
    case abi::kShmUnlock:
      TRY(shm_set_locked(task, id, command == abi::kShmLock));
      return 0;
    default:
      return Errno::inval;
  }
}

// --- semaphores ---

Result<std::int32_t> sys_semget(Task& task, std::int32_t key, std::int32_t count, std::uint32_t flags) { return sem_get(task, key, count, flags); }

Result<> sys_semop(Task& task, std::int32_t id, UserPtr<const abi::SemBuf> operations, std::uint32_t count) {
  return sys_semtimedop(task, id, operations, count, UserPtr<const abi::Timespec>());
}

Result<> sys_semtimedop(Task& task, std::int32_t id, UserPtr<const abi::SemBuf> operations, std::uint32_t count, UserPtr<const abi::Timespec> timeout) {
  Instant deadline = kNever;
  if (!timeout.is_null()) deadline = deadline_after(TRY(load_duration(timeout)));
  if (count < 1 || id < 0) return Errno::inval;
  if (count > ipc_limits().semopm.load()) return Errno::toobig;
  Vec<abi::SemBuf> list;
  TRY(list.try_resize(count));
  TRY(operations.load_all(list.span()));
  return sem_operate(task, id, list.span(), deadline);
}

namespace {

abi::SemLimits sem_limits(bool in_use, std::int32_t& highest) {
  const IpcLimits& limits = ipc_limits();
  const SemaphoreUse use = sem_use();
  highest = use.highest;
  abi::SemLimits info{};
  info.semmni = static_cast<std::int32_t>(limits.semmni.load());
  info.semmns = static_cast<std::int32_t>(limits.semmns.load());
  info.semmsl = static_cast<std::int32_t>(limits.semmsl.load());
  info.semopm = static_cast<std::int32_t>(limits.semopm.load());
  info.semvmx = abi::kSemMaxValue;
  // These are constants of Linux that mean nothing.
  info.semmap = info.semmnu = 32000 * 32000;
  info.semume = 500;
  info.semusz = in_use ? static_cast<std::int32_t>(use.sets) : 20;
  info.semaem = in_use ? static_cast<std::int32_t>(use.semaphores) : abi::kSemMaxValue;
  return info;
}

Result<> get_all(Task& task, std::int32_t id, UserPtr<std::uint16_t> into) {
  Vec<std::uint16_t> values;
  TRY(values.try_resize(TRY(sem_count(task, id, false))));
  TRY(sem_get_all(task, id, values.span()));
  return into.store_all(values.span());
}

Result<> set_all(Task& task, std::int32_t id, UserPtr<const std::uint16_t> from) {
  Vec<std::uint16_t> values;
  TRY(values.try_resize(TRY(sem_count(task, id, true))));
  TRY(from.load_all(values.span()));
  return sem_set_all(task, id, values.span());
}

}  // namespace

Result<std::int32_t> sys_semctl(Task& task, std::int32_t id, std::int32_t number, std::int32_t command, std::uint64_t argument) {
  command &= ~abi::kIpc64;
  if (id < 0) return Errno::inval;
  std::int32_t result = 0;
  switch (command) {
    case abi::kIpcInfo:
    case abi::kSemInfo: {
      const abi::SemLimits info = sem_limits(command == abi::kSemInfo, result);
      TRY(UserPtr<abi::SemLimits>(argument).store(info));
      return result;
    }
    case abi::kIpcStat:
    case abi::kSemStat:
    case abi::kSemStatAny: {
      abi::SemIdDs ds{};
      result = TRY(sem_stat(task, id, command != abi::kIpcStat, command == abi::kSemStatAny, ds));
      TRY(UserPtr<abi::SemIdDs>(argument).store(ds));
      return command == abi::kIpcStat ? 0 : result;
    }
    case abi::kGetVal:
    case abi::kGetPid:
    case abi::kGetNcnt:
    case abi::kGetZcnt:
      return sem_ask(task, id, number, command);
    case abi::kGetAll:
      TRY(get_all(task, id, UserPtr<std::uint16_t>(argument)));
      return 0;
    case abi::kSetAll:
      TRY(set_all(task, id, UserPtr<const std::uint16_t>(argument)));
      return 0;
    case abi::kSetVal:
      TRY(sem_set_value(task, id, number, static_cast<std::int32_t>(argument)));
      return 0;
    case abi::kIpcSet: {
      const abi::SemIdDs ds = TRY(UserPtr<const abi::SemIdDs>(argument).load());
      TRY(sem_set(task, id, ds.perm));
      return 0;
    }
    case abi::kIpcRmid:
      TRY(sem_remove(task, id));
      return 0;
    default:
      return Errno::inval;
  }
}

// --- messages ---

Result<std::int32_t> sys_msgget(Task& task, std::int32_t key, std::uint32_t flags) { return msg_get(task, key, flags); }

Result<> sys_msgsnd(Task& task, std::int32_t id, UserPtr<const std::int64_t> user, std::uint64_t size, std::uint32_t flags) {
  const std::int64_t type = TRY(user.load());
  if (id < 0 || size > ipc_limits().msgmax.load() || type < 1) return Errno::inval;
  Own<Message> message = TRY(make_own<Message>());
  message->type = type;
  TRY(message->bytes.try_resize(static_cast<std::size_t>(size)));
  const UserPtr<const std::int64_t> text = TRY(user.at(1));
  TRY(text.cast<const std::byte>().load_all(message->bytes.span()));
  return msg_send(task, id, std::move(message), flags);
}

Result<std::uint64_t> sys_msgrcv(Task& task, std::int32_t id, UserPtr<std::int64_t> user, std::uint64_t size, std::int64_t type, std::uint32_t flags) {
  if (id < 0 || size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return Errno::inval;
  if ((flags & abi::kMsgCopy) != 0 && ((flags & abi::kMsgExcept) != 0 || (flags & abi::kIpcNoWait) == 0)) return Errno::inval;
  const Own<Message> message = TRY(msg_receive(task, id, size, type, flags));
  TRY(user.store(message->type));
  const std::span<const std::byte> text = message->bytes.span().first(std::min<std::uint64_t>(message->bytes.size(), size));
  const UserPtr<std::int64_t> into = TRY(user.at(1));
  TRY(into.cast<std::byte>().store_all(text));
  return text.size();
}

namespace {
abi::MsgLimits msg_limits(bool in_use, std::int32_t& highest) {
  constexpr std::int32_t kMni = 32000, kMnb = 16384;  // Linux's defaults, from which the rest is made up
  const IpcLimits& limits = ipc_limits();
  const MessageUse use = msg_use();
  highest = use.highest;
  abi::MsgLimits info{};
  info.msgmni = static_cast<std::int32_t>(limits.msgmni.load());
  info.msgmax = static_cast<std::int32_t>(limits.msgmax.load());
  info.msgmnb = static_cast<std::int32_t>(limits.msgmnb.load());
  info.msgssz = 16;
  info.msgseg = 0xffff;
  info.msgpool = in_use ? static_cast<std::int32_t>(use.queues) : kMni * (kMnb / 1024);
  info.msgmap = in_use ? static_cast<std::int32_t>(use.messages) : kMnb;
  info.msgtql = in_use ? static_cast<std::int32_t>(use.bytes) : kMnb;
  return info;
}
}  // namespace

Result<std::int32_t> sys_msgctl(Task& task, std::int32_t id, std::int32_t command, UserPtr<abi::MsqIdDs> buffer) {
  command &= ~abi::kIpc64;
  if (id < 0 || command < 0) return Errno::inval;
  std::int32_t result = 0;
  switch (command) {
    case abi::kIpcInfo:
    case abi::kMsgInfo: {
      const abi::MsgLimits info = msg_limits(command == abi::kMsgInfo, result);
      TRY(buffer.cast<abi::MsgLimits>().store(info));
      return result;
    }
    case abi::kIpcStat:
    case abi::kMsgStat:
    case abi::kMsgStatAny: {
      abi::MsqIdDs ds{};
      result = TRY(msg_stat(task, id, command != abi::kIpcStat, command == abi::kMsgStatAny, ds));
      TRY(buffer.store(ds));
      return command == abi::kIpcStat ? 0 : result;
    }
    case abi::kIpcSet: {
      const abi::MsqIdDs ds = TRY(buffer.load());
      TRY(msg_set(task, id, ds.perm, ds.qbytes));
      return 0;
    }
    case abi::kIpcRmid:
      TRY(msg_remove(task, id));
      return 0;
    default:
      return Errno::inval;
  }
}

}  // namespace kernel
