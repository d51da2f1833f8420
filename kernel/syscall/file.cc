#include "kernel/syscall/file.h"

#include <algorithm>
#include <array>
#include <limits>

#include "abi/fs.h"
#include "abi/signal.h"
#include "kernel/frame/bytes.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dnotify.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/file_lock.h"
#include "kernel/vfs/file_owner.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

std::uint64_t descriptor_limit(Task& task) { return task.process().rlimit_current(abi::Rlimit::nofile); }

Result<std::int32_t> open_descriptor(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags, Mode mode) {
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path));
  FdTable& files = files_of(task);
  const Fd fd = TRY(files.reserve(descriptor_limit(task)));
  Result<Ref<OpenFile>> file = open_path(task, dir, text, flags, mode);
  if (!file.ok()) {
    files.release(fd);
    return file.error();
  }
  files.install(fd, FileHandle(std::move(file).release()), (flags & abi::kOCloExec) != 0);
  return static_cast<std::int32_t>(fd);
}

}  // namespace

Result<std::int32_t> sys_open(Task& task, UserPtr<const char> path, std::uint32_t flags, Mode mode) {
  return open_descriptor(task, kAtFdCwd, path, flags, mode);
}

Result<std::int32_t> sys_openat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags, Mode mode) {
  return open_descriptor(task, dir, path, flags, mode);
}

Result<std::int32_t> sys_openat2(Task& task, Fd dir, UserPtr<const char> path, UserPtr<const std::byte> how, std::uint64_t size) {
  if (size < sizeof(abi::OpenHow)) return Errno::inval;
  if (size > kPageSize) return Errno::toobig;
  const abi::OpenHow asked = TRY(how.cast<const abi::OpenHow>().load());
  // Later fields must be zero: the caller wants something that this kernel does not know.
  for (std::uint64_t at = sizeof(abi::OpenHow); at < size; ++at)
    if (TRY(TRY(how.at(at)).load()) != std::byte{0}) return Errno::toobig;
  constexpr std::uint64_t kKnown = 037777703 | abi::kOAccMode;
  if ((asked.flags & ~kKnown) != 0 || (asked.mode & ~std::uint64_t{kModePermMask}) != 0) return Errno::inval;
  if (asked.mode != 0 && (asked.flags & (abi::kOCreat | abi::kOTmpFileBit)) == 0) return Errno::inval;
  // RESOLVE_* restrictions are not supported: refuse rather than resolve without them.
  if (asked.resolve != 0) return Errno::inval;
  return open_descriptor(task, dir, path, static_cast<std::uint32_t>(asked.flags), static_cast<Mode>(asked.mode));
}

Result<std::int32_t> sys_creat(Task& task, UserPtr<const char> path, Mode mode) {
  return open_descriptor(task, kAtFdCwd, path, abi::kOCreat | abi::kOWrOnly | abi::kOTrunc, mode);
}

Result<> sys_close(Task& task, Fd fd) {
  FdTable& files = files_of(task);
  const FileHandle handle = TRY(files.take(fd));
  release_descriptor(files, *handle.file());
  return {};
}

Result<> sys_close_range(Task& task, std::uint32_t first, std::uint32_t last, std::uint32_t flags) {
  if ((flags & ~(abi::kCloseRangeUnshare | abi::kCloseRangeCloExec)) != 0 || first > last) return Errno::inval;
  if ((flags & abi::kCloseRangeUnshare) != 0) task.set_files(TRY(files_of(task).clone()));
  FdTable& files = files_of(task);
  for (std::uint32_t at = first;;) {
    const Result<Fd> next = files.next_used(at);
    if (!next.ok()) return {};
    const Fd fd = Result<Fd>(next).release();
    if (static_cast<std::uint32_t>(fd) > last) return {};
    // Another thread may have closed it meanwhile: that is what was asked for.
    if ((flags & abi::kCloseRangeCloExec) != 0)
      (void)files.set_close_on_exec(fd, true).ok();
    else
      (void)sys_close(task, fd).ok();
    at = static_cast<std::uint32_t>(fd) + 1;
  }
}

Result<std::int32_t> sys_dup(Task& task, Fd fd) {
  FdTable& files = files_of(task);
  FileHandle handle = TRY(files.get_handle(fd));
  return static_cast<std::int32_t>(TRY(files.add(std::move(handle), false, descriptor_limit(task))));
}

Result<std::int32_t> sys_dup2(Task& task, Fd from, Fd to) {
  FdTable& files = files_of(task);
  FileHandle handle = TRY(files.get_handle(from));
  if (from != to) TRY(files.put_at(to, std::move(handle), false, descriptor_limit(task)));
  return static_cast<std::int32_t>(to);
}

Result<std::int32_t> sys_dup3(Task& task, Fd from, Fd to, std::uint32_t flags) {
  if ((flags & ~abi::kOCloExec) != 0 || from == to) return Errno::inval;
  FdTable& files = files_of(task);
  FileHandle handle = TRY(files.get_handle(from));
  TRY(files.put_at(to, std::move(handle), (flags & abi::kOCloExec) != 0, descriptor_limit(task)));
  return static_cast<std::int32_t>(to);
}

namespace {

// The bytes that a struct flock names; fcntl(2).
Result<LockRange> lock_range(OpenFile& file, const abi::Flock& lock) {
  FileOffset base = 0;
  switch (static_cast<std::uint32_t>(lock.whence)) {
    case abi::kSeekSet:
      break;
    case abi::kSeekCur:
      base = TRY(file.seek(0, abi::kSeekCur));
      break;
    case abi::kSeekEnd:
      base = static_cast<FileOffset>(TRY(file.attributes()).size);
      break;
    default:
      return Errno::inval;
  }
  FileOffset start = 0;
  if (__builtin_add_overflow(base, lock.start, &start)) return Errno::overflow;
  if (start < 0) return Errno::inval;
  if (lock.len == 0) return LockRange{.begin = static_cast<std::uint64_t>(start), .end = ~std::uint64_t{0}};
  FileOffset end = 0;
  if (__builtin_add_overflow(start, lock.len, &end)) return Errno::overflow;
  if (lock.len < 0) std::swap(start, end);
  if (start < 0) return Errno::inval;
  return LockRange{.begin = static_cast<std::uint64_t>(start), .end = static_cast<std::uint64_t>(end)};
}

Result<> record_lock(Task& task, Fd fd, OpenFile& file, std::uint32_t command, UserPtr<abi::Flock> user) {
  abi::Flock lock = TRY(user.load());
  const bool by_file = command >= abi::kFOfdGetLk;
  const bool get = command == abi::kFGetLk || command == abi::kFOfdGetLk;
  if (by_file && lock.pid != 0) return Errno::inval;
  const LockRange range = TRY(lock_range(file, lock));
  const LockOwner owner = by_file ? LockOwner{.id = owner_id(&file), .pid = -1}
                                  : LockOwner{.id = owner_id(&files_of(task)), .pid = static_cast<std::int32_t>(task.process().pid())};
  const bool exclusive = lock.type == abi::kFWrLck;
  if (lock.type != abi::kFRdLck && lock.type != abi::kFWrLck && (get || lock.type != abi::kFUnLck)) return Errno::inval;
  const Ref<FileLocks> locks = TRY(file.file_locks());
  if (get) {
    const std::optional<HeldLock> held = locks->test(owner, range, exclusive);
    lock.type = abi::kFUnLck;
    if (held) {
      lock.type = held->exclusive ? abi::kFWrLck : abi::kFRdLck;
      lock.whence = abi::kSeekSet;
      lock.start = static_cast<std::int64_t>(held->range.begin);
      lock.len = held->range.end == ~std::uint64_t{0} ? 0 : static_cast<std::int64_t>(held->range.end - held->range.begin);
      lock.pid = held->owner.pid;
    }
    return user.store(lock);
  }
  if (lock.type == abi::kFUnLck) return locks->unlock(owner, range);
  if (exclusive ? !file.may_write() : !file.may_read()) return Errno::badf;
  TRY(locks->lock(owner, range, exclusive, command == abi::kFSetLkW || command == abi::kFOfdSetLkW));
  if (!by_file) {
    const Ref<FdTable> files(files_of(task));
    return confirm_record_lock(*files, fd, file, *locks);
  }
  if (file.is_closed()) locks->release_file(file);  // while it waited
  return {};
}

Result<std::uint64_t> owner_command(Task& task, OpenFile& file, std::uint32_t command, std::uint64_t argument) {
  const auto value = static_cast<std::int32_t>(argument);
  switch (command) {
    case abi::kFSetOwn:
      if (value == std::numeric_limits<std::int32_t>::min()) return Errno::inval;
      TRY(set_file_owner(task, file, {.type = value < 0 ? abi::kOwnerGroup : abi::kOwnerProcess, .pid = value < 0 ? -value : value}));
      return std::uint64_t{0};
    case abi::kFGetOwn: {
      const abi::FownerEx owner = file_owner(file);
      return static_cast<std::uint64_t>(std::int64_t{owner.type == abi::kOwnerGroup ? -owner.pid : owner.pid});
    }
    case abi::kFSetSig:
      if (value < 0 || value > abi::kSigMax) return Errno::inval;
      TRY(file.owner())->set_signal(value);
      return std::uint64_t{0};
    case abi::kFGetSig: {
      const RefPtr<FileOwner> owner = file.owner_if_any();
      return static_cast<std::uint64_t>(owner ? owner->signal() : 0);
    }
    case abi::kFSetOwnEx:
      TRY(set_file_owner(task, file, TRY(UserPtr<const abi::FownerEx>(argument).load())));
      return std::uint64_t{0};
    default:
      TRY(UserPtr<abi::FownerEx>(argument).store(file_owner(file)));
      return std::uint64_t{0};
  }
}

Result<std::uint64_t> duplicate_from(Task& task, Fd fd, std::uint64_t argument, bool close_on_exec) {
  const std::uint64_t limit = descriptor_limit(task);
  const auto lowest = static_cast<std::uint32_t>(argument);
  if (lowest > 0x7fffffff || lowest >= limit) return Errno::inval;
  FdTable& files = files_of(task);
  FileHandle handle = TRY(files.get_handle(fd));
  return static_cast<std::uint64_t>(TRY(files.add(std::move(handle), close_on_exec, limit, lowest)));
}

}  // namespace

Result<std::uint64_t> sys_fcntl(Task& task, Fd fd, std::uint32_t command, std::uint64_t argument) {
  FdTable& files = files_of(task);
  const RefPtr<OpenFile> file = TRY(files.get_any(fd));
  switch (command) {
    case abi::kFDupFd:
    case abi::kFDupFdCloExec:
      return duplicate_from(task, fd, argument, command == abi::kFDupFdCloExec);
    case abi::kFGetFd:
      return std::uint64_t{TRY(files.close_on_exec(fd)) ? abi::kFdCloExec : 0};
    case abi::kFSetFd:
      TRY(files.set_close_on_exec(fd, (argument & abi::kFdCloExec) != 0));
      return std::uint64_t{0};
    case abi::kFGetFl:
      // Linux sets O_LARGEFILE on every open of a 64-bit program but for O_PATH.
      return std::uint64_t{file->flags() | (file->is_path_only() || !file->dentry() ? 0 : abi::kOLargeFile)};
    default:
      break;
  }
  if (file->is_path_only()) return Errno::badf;
  switch (command) {
    case abi::kFSetFl:
      TRY(set_async(*file, fd, (argument & abi::kOAsync) != 0));
      TRY(file->set_status_flags(static_cast<std::uint32_t>(argument)));
      return std::uint64_t{0};
    case abi::kFGetLk:
    case abi::kFSetLk:
    case abi::kFSetLkW:
    case abi::kFOfdGetLk:
    case abi::kFOfdSetLk:
    case abi::kFOfdSetLkW:
      TRY(record_lock(task, fd, *file, command, UserPtr<abi::Flock>(argument)));
      return std::uint64_t{0};
    case abi::kFSetOwn:
    case abi::kFGetOwn:
    case abi::kFSetSig:
    case abi::kFGetSig:
    case abi::kFSetOwnEx:
    case abi::kFGetOwnEx:
      return owner_command(task, *file, command, argument);
    case abi::kFGetPipeSize:
      return std::uint64_t{TRY(file->pipe_size())};
    case abi::kFSetPipeSize:
      return std::uint64_t{TRY(file->set_pipe_size(static_cast<std::uint32_t>(argument)))};
    case abi::kFAddSeals:
    case abi::kFGetSeals:
      return std::uint64_t{TRY(file->seals(command == abi::kFAddSeals, static_cast<std::uint32_t>(argument)))};
    case abi::kFNotify:
      TRY(set_directory_notification(owner_id(&files), *file, fd, static_cast<std::uint32_t>(argument)));
      return std::uint64_t{0};
    default:
      return Errno::inval;  // leases too
  }
}

Result<> sys_flock(Task& task, Fd fd, std::uint32_t operation) {
  const bool wait = (operation & abi::kLockNb) == 0;
  const std::uint32_t kind = operation & ~abi::kLockNb;
  if (kind != abi::kLockSh && kind != abi::kLockEx && kind != abi::kLockUn) return Errno::inval;
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (kind != abi::kLockUn && !file->may_read() && !file->may_write()) return Errno::badf;
  const Ref<FileLocks> locks = TRY(file->file_locks());
  if (kind == abi::kLockUn) {
    locks->flock_release(*file);
    return {};
  }
  TRY(locks->flock(*file, kind == abi::kLockEx, wait));
  if (file->is_closed()) locks->release_file(*file);  // while it waited
  return {};
}

Result<std::uint64_t> sys_ioctl(Task& task, Fd fd, std::uint32_t request, std::uint64_t argument) {
  FdTable& files = files_of(task);
  const RefPtr<OpenFile> file = TRY(files.get(fd));
  switch (request) {
    case abi::kFioClex:
    case abi::kFioNClex:
      TRY(files.set_close_on_exec(fd, request == abi::kFioClex));
      return std::uint64_t{0};
    case abi::kFioNbio: {
      const bool on = TRY(UserPtr<const std::int32_t>(argument).load()) != 0;
      const std::uint32_t flags = file->flags();
      TRY(file->set_status_flags(on ? flags | abi::kONonBlock : flags & ~abi::kONonBlock));
      return std::uint64_t{0};
    }
    case abi::kFioAsync: {
      const bool on = TRY(UserPtr<const std::int32_t>(argument).load()) != 0;
      if (on != ((file->flags() & abi::kOAsync) != 0) && file->async_events() == 0) return Errno::notty;
      TRY(set_async(*file, fd, on));
      return std::uint64_t{0};
    }
    default:
      return file->ioctl(task, request, argument);
  }
}

}  // namespace kernel
