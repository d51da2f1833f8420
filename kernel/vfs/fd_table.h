// The descriptor table of a process: small numbers to open files.
#ifndef KERNEL_VFS_FD_TABLE_H
#define KERNEL_VFS_FD_TABLE_H

#include <atomic>
#include <cstdint>
#include <utility>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/task/resource.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

// An open file for the length of a system call: counted if others may close the descriptor meanwhile, else borrowed from the table.
class FileLease {
 public:
  explicit FileLease(RefPtr<OpenFile> counted) : counted_(std::move(counted)), file_(counted_.get()) {}
  explicit FileLease(OpenFile& borrowed) : file_(&borrowed) {}
  OpenFile& operator*() const LIFETIMEBOUND { return *file_; }
  OpenFile* operator->() const LIFETIMEBOUND { return file_; }

 private:
  RefPtr<OpenFile> counted_;
  OpenFile* file_;
};

class FdTable final : public ProcessResource {
 public:
  FdTable() = default;
  ~FdTable() override;  // closes everything

  // The file behind a descriptor, kept alive for the caller (never null on success). EBADF. get() refuses O_PATH files, get_any() gives
  // them too.
  Result<RefPtr<OpenFile>> get(Fd fd) const EXCLUDES(lock_);
  Result<RefPtr<OpenFile>> get_any(Fd fd) const EXCLUDES(lock_);
  // The descriptor is (still) one of this file.
  bool refers_to(Fd fd, const OpenFile& file) const EXCLUDES(lock_);
  // As get(), for the running task's own table and no longer than its system call, which must not close descriptors: costs nothing where
  // no other task shares the table.
  Result<FileLease> lease(Fd fd) const EXCLUDES(lock_);
  // A further handle for a descriptor (SCM_RIGHTS, pidfd_getfd).
  Result<FileHandle> get_handle(Fd fd) const EXCLUDES(lock_);

  // The lowest free descriptor that is >= lowest and < limit (RLIMIT_NOFILE) now refers to the file. EMFILE, ENOMEM.
  Result<Fd> add(FileHandle file, bool close_on_exec, std::uint64_t limit, std::uint32_t lowest = 0) EXCLUDES(lock_);
  // Two-step form for calls that must store numbers in program memory before the files appear (pipe2, SCM_RIGHTS): a reserved number is
  // EBADF for everybody until it is installed or released.
  Result<Fd> reserve(std::uint64_t limit, std::uint32_t lowest = 0) EXCLUDES(lock_);
  void install(Fd reserved, FileHandle file, bool close_on_exec) EXCLUDES(lock_);
  void release(Fd reserved) EXCLUDES(lock_);
  // dup2/dup3: puts the file at exactly `fd`, closing what was there. EBADF beyond the limit.
  Result<> put_at(Fd fd, FileHandle file, bool close_on_exec, std::uint64_t limit) EXCLUDES(lock_);
  // Takes a descriptor out; the caller drops the handle (and runs what close(2) does besides, see release_descriptor).
  Result<FileHandle> take(Fd fd) EXCLUDES(lock_);

  Result<bool> close_on_exec(Fd fd) const EXCLUDES(lock_);
  Result<> set_close_on_exec(Fd fd, bool on) EXCLUDES(lock_);

  // The lowest used descriptor >= from, or EBADF if there is none: to list them (/proc/self/fd).
  Result<Fd> next_used(std::uint32_t from) const EXCLUDES(lock_);
  // One more than the highest slot ever used.
  std::uint32_t capacity() const EXCLUDES(lock_);

  // ProcessResource.
  Result<Ref<ProcessResource>> clone() override EXCLUDES(lock_);
  void on_exec() override EXCLUDES(lock_);

 private:
  struct Slot {
    FileHandle file;
    bool reserved = false;
    bool close_on_exec = false;
    bool used() const { return reserved || static_cast<bool>(file); }
  };
  Result<> make_room(std::uint32_t slots) EXCLUDES(lock_);
  void adopt_slots(Vec<Slot> slots, std::uint32_t first_free);
  const Slot* find_locked(Fd fd) const REQUIRES(lock_);

  mutable SpinLock<LockRank::fd_table> lock_;
  Vec<Slot> slots_ GUARDED_BY(lock_);
  std::uint32_t first_free_ GUARDED_BY(lock_) = 0;  // no free slot below it
};

// What close(2) does besides dropping the handle: POSIX locks of the process on the file go, and what it asked to be told of.
void release_descriptor(const FdTable& table, OpenFile& file);

// After a record lock was got: the descriptor may have been closed meanwhile, and that close had nothing to release yet. Then it is as if it
// came afterwards, as in fcntl_setlk() of Linux: the process has no lock on the file, EBADF.
Result<> confirm_record_lock(const FdTable& table, Fd fd, const OpenFile& file, FileLocks& locks);

// The running task's tables.
FdTable& files_of(Task& task);

// Makes a descriptor of `task` for a new file, under its RLIMIT_NOFILE.
Result<Fd> add_descriptor(Task& task, Ref<OpenFile> file, bool close_on_exec);

}  // namespace kernel
#endif  // KERNEL_VFS_FD_TABLE_H
