#include "kernel/vfs/fd_table.h"

#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/dnotify.h"
#include "kernel/vfs/file_lock.h"

namespace kernel {

FdTable& files_of(Task& task) {
  // SAFETY: every descriptor table that a task gets is an FdTable (init, FdTable::clone).
  return static_cast<FdTable&>(task.files());
}

Result<Fd> add_descriptor(Task& task, Ref<OpenFile> file, bool close_on_exec) {
  return files_of(task).add(FileHandle(file), close_on_exec, task.process().rlimit_current(abi::Rlimit::nofile));
}

void release_descriptor(const FdTable& table, OpenFile& file) {
  const std::uint64_t id = owner_id(&table);
  if (const RefPtr<FileLocks> locks = file.file_locks_if_any()) locks->release_owner(id);
  drop_directory_notifications(id, file);
  file.on_descriptor_closed();
}

Result<> confirm_record_lock(const FdTable& table, Fd fd, const OpenFile& file, FileLocks& locks) {
  if (table.refers_to(fd, file)) return {};
  locks.release_owner(owner_id(&table));
  return Errno::badf;
}

FdTable::~FdTable() {
  Vec<Slot> slots;
  {
    const LockGuard guard(lock_);
    std::swap(slots, slots_);
  }
  for (Slot& slot : slots) {
    if (!slot.file) continue;
    release_descriptor(*this, *slot.file.file());
    slot.file = FileHandle();
  }
}

const FdTable::Slot* FdTable::find_locked(Fd fd) const {
  const auto index = static_cast<std::uint32_t>(fd);  // negative: huge
  if (index >= slots_.size()) return nullptr;
  const Slot& slot = slots_[index];
  return slot.file ? &slot : nullptr;
}

Result<RefPtr<OpenFile>> FdTable::get(Fd fd) const {
  const LockGuard guard(lock_);
  const Slot* slot = find_locked(fd);
  if (slot == nullptr || slot->file.file()->is_path_only()) return Errno::badf;
  return slot->file.file();
}

// SAFETY: (no lock) only tasks that hold the table change it, and the only one is here, in a call that does not. Others read at most
// (/proc), under the lock and through a reference, which makes the table shared for calls that begin meanwhile.
Result<FileLease> FdTable::lease(Fd fd) const NO_THREAD_SAFETY_ANALYSIS {
  if (!is_unique()) return FileLease(TRY(get(fd)));
  const Slot* slot = find_locked(fd);
  if (slot == nullptr) return Errno::badf;
  OpenFile& file = *slot->file.file();
  if (file.is_path_only()) return Errno::badf;
  return FileLease(file);
}

Result<RefPtr<OpenFile>> FdTable::get_any(Fd fd) const {
  const LockGuard guard(lock_);
  const Slot* slot = find_locked(fd);
  if (slot == nullptr) return Errno::badf;
  return slot->file.file();
}

bool FdTable::refers_to(Fd fd, const OpenFile& file) const {
  const LockGuard guard(lock_);
  const Slot* slot = find_locked(fd);
  return slot != nullptr && slot->file.file().get() == &file;
}

Result<FileHandle> FdTable::get_handle(Fd fd) const {
  const LockGuard guard(lock_);
  const Slot* slot = find_locked(fd);
  if (slot == nullptr) return Errno::badf;
  return slot->file;
}

// Grows the table outside the lock: an allocation may leave the enclave.
Result<> FdTable::make_room(std::uint32_t slots) {
  std::size_t now = 0;
  {
    const LockGuard guard(lock_);
    now = slots_.size();
  }
  if (slots <= now) return {};
  std::size_t size = now < 32 ? 32 : now;
  while (size < slots) size *= 2;
  Vec<Slot> bigger;
  TRY(bigger.try_resize(size));
  const LockGuard guard(lock_);
  if (slots_.size() >= size) return {};
  for (std::size_t i = 0; i < slots_.size(); ++i) bigger[i] = std::move(slots_[i]);
  std::swap(slots_, bigger);
  return {};
}

Result<Fd> FdTable::reserve(std::uint64_t limit, std::uint32_t lowest) {
  for (;;) {
    std::uint32_t wanted = 0;
    {
      const LockGuard guard(lock_);
      std::uint32_t at = lowest > first_free_ ? lowest : first_free_;
      while (at < slots_.size() && slots_[at].used()) ++at;
      if (at >= limit || at > 0x7fffffff) return Errno::mfile;
      if (at < slots_.size()) {
        slots_[at].reserved = true;
        if (lowest <= first_free_) first_free_ = at + 1;
        return static_cast<Fd>(at);
      }
      wanted = at + 1;
    }
    TRY(make_room(wanted));
  }
}

void FdTable::install(Fd reserved, FileHandle file, bool close_on_exec) {
  const LockGuard guard(lock_);
  Slot& slot = slots_[static_cast<std::uint32_t>(reserved)];
  KASSERT(slot.reserved && !slot.file);
  slot.reserved = false;
  slot.file = std::move(file);
  slot.close_on_exec = close_on_exec;
}

void FdTable::release(Fd reserved) {
  const LockGuard guard(lock_);
  const auto index = static_cast<std::uint32_t>(reserved);
  KASSERT(slots_[index].reserved);
  slots_[index].reserved = false;
  if (index < first_free_) first_free_ = index;
}

Result<Fd> FdTable::add(FileHandle file, bool close_on_exec, std::uint64_t limit, std::uint32_t lowest) {
  const Fd fd = TRY(reserve(limit, lowest));
  install(fd, std::move(file), close_on_exec);
  return fd;
}

Result<> FdTable::put_at(Fd fd, FileHandle file, bool close_on_exec, std::uint64_t limit) {
  const auto index = static_cast<std::uint32_t>(fd);
  if (index >= limit || index > 0x7fffffff) return Errno::badf;
  TRY(make_room(index + 1));
  FileHandle old = std::move(file);
  {
    const LockGuard guard(lock_);
    Slot& slot = slots_[index];
    if (slot.reserved) return Errno::busy;  // dup2(2): an open in progress
    std::swap(slot.file, old);
    slot.close_on_exec = close_on_exec;
  }
  if (old) release_descriptor(*this, *old.file());
  return {};
}

Result<FileHandle> FdTable::take(Fd fd) {
  const LockGuard guard(lock_);
  if (find_locked(fd) == nullptr) return Errno::badf;
  const auto index = static_cast<std::uint32_t>(fd);
  Slot& slot = slots_[index];
  slot.close_on_exec = false;
  if (index < first_free_) first_free_ = index;
  return std::move(slot.file);
}

Result<bool> FdTable::close_on_exec(Fd fd) const {
  const LockGuard guard(lock_);
  const Slot* slot = find_locked(fd);
  if (slot == nullptr) return Errno::badf;
  return slot->close_on_exec;
}

Result<> FdTable::set_close_on_exec(Fd fd, bool on) {
  const LockGuard guard(lock_);
  if (find_locked(fd) == nullptr) return Errno::badf;
  slots_[static_cast<std::uint32_t>(fd)].close_on_exec = on;
  return {};
}

Result<Fd> FdTable::next_used(std::uint32_t from) const {
  const LockGuard guard(lock_);
  for (std::size_t at = from; at < slots_.size(); ++at)
    if (slots_[at].file) return static_cast<Fd>(at);
  return Errno::badf;
}

std::uint32_t FdTable::capacity() const {
  const LockGuard guard(lock_);
  return static_cast<std::uint32_t>(slots_.size());
}

Result<Ref<ProcessResource>> FdTable::clone() {
  Ref<FdTable> copy = TRY(make_ref<FdTable>());
  for (;;) {
    const std::uint32_t size = capacity();
    TRY(copy->make_room(size));
    Vec<Slot> mine;
    {
      const LockGuard guard(copy->lock_);
      std::swap(mine, copy->slots_);
    }
    const LockGuard guard(lock_);
    if (slots_.size() > mine.size()) continue;
    std::uint32_t first_free = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      mine[i].file = slots_[i].file;
      mine[i].close_on_exec = slots_[i].close_on_exec;
      if (mine[i].file && first_free == i) first_free = static_cast<std::uint32_t>(i) + 1;
    }
    copy->adopt_slots(std::move(mine), first_free);
    return Ref<ProcessResource>(copy);
  }
}

// SAFETY: the table is not shared yet, so nobody else can hold or want its lock.
void FdTable::adopt_slots(Vec<Slot> slots, std::uint32_t first_free) NO_THREAD_SAFETY_ANALYSIS {
  slots_ = std::move(slots);
  first_free_ = first_free;
}

void FdTable::on_exec() {
  for (std::uint32_t at = 0;; ++at) {
    FileHandle victim;
    {
      const LockGuard guard(lock_);
      while (at < slots_.size() && !(slots_[at].file && slots_[at].close_on_exec)) ++at;
      if (at >= slots_.size()) return;
      victim = std::move(slots_[at].file);
      slots_[at].close_on_exec = false;
      if (at < first_free_) first_free_ = at;
    }
    release_descriptor(*this, *victim.file());
  }
}

}  // namespace kernel
