#include "kernel/vfs/memfd.h"

#include <algorithm>
#include <limits>

#include "abi/fs.h"
#include "kernel/task/task.h"
#include "kernel/vfs/mount.h"

namespace kernel {
namespace {

// The file system that memory files live in; mounted nowhere.
struct MemoryFiles {
  Mutex<LockRank::mount> lock;
  RefPtr<Inode> root GUARDED_BY(lock);
};
constinit MemoryFiles memory_files;  // NOLINT: made at first use

Result<Ref<Inode>> memory_root() {
  const LockGuard guard(memory_files.lock);
  if (!memory_files.root) memory_files.root = TRY(make_file_system("ramfs", "memfd", {}))->root();
  return memory_files.root.as_ref();
}

Result<Ref<OpenFile>> open_memory_file(Inode& inode, const Ref<MemoryFileState>& state, std::uint32_t flags) {
  const Ref<RegularFile> file = TRY(make_ref<RegularFile>(inode, flags));
  TRY(file->start());
  return Ref<OpenFile>(TRY(make_ref<MemoryFd>(file, state, flags)));
}

}  // namespace

Result<> MemoryFileState::add(std::uint32_t seals) {
  std::uint32_t seen = seals_.load(std::memory_order_relaxed);
  do {
    if ((seen & abi::kSealSeal) != 0) return Errno::perm;
  } while (!seals_.compare_exchange_weak(seen, seen | seals, std::memory_order_acq_rel));
  return {};
}

MemoryFd::MemoryFd(Ref<RegularFile> file, Ref<MemoryFileState> state, std::uint32_t flags)
    : OpenFile(nullptr, file->inode(), flags), file_(file), state_(state) {}

Result<> MemoryFd::check_write(std::uint64_t offset, std::uint64_t count) const {
  const std::uint32_t seals = state_->seals();
  if (count == 0 || seals == 0) return {};
  if ((seals & (abi::kSealWrite | abi::kSealFutureWrite)) != 0) return Errno::perm;
  std::uint64_t end = 0;
  if ((seals & abi::kSealGrow) != 0 && (__builtin_add_overflow(offset, count, &end) || end > inode()->size())) return Errno::perm;
  return {};
}

Result<std::size_t> MemoryFd::write(IoSource& source) {
  if (state_->seals() != 0) {
    const std::uint64_t at = is_append() ? inode()->size() : static_cast<std::uint64_t>(TRY(file_->seek(0, abi::kSeekCur)));
    TRY(check_write(at, source.remaining()));
  }
  return file_->write(source);
}

Result<std::size_t> MemoryFd::write_at(IoSource& source, std::uint64_t offset) {
  TRY(check_write(offset, source.remaining()));
  return file_->write_at(source, offset);
}

Result<> MemoryFd::truncate(std::uint64_t size) {
  const std::uint32_t seals = state_->seals();
  const std::uint64_t now = inode()->size();
  if (size < now && (seals & abi::kSealShrink) != 0) return Errno::perm;
  if (size > now && (seals & abi::kSealGrow) != 0) return Errno::perm;
  return file_->truncate(size);
}

Result<> MemoryFd::allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) {
  const std::uint32_t seals = state_->seals();
  const bool punches = (mode & (abi::kFallocPunchHole | abi::kFallocZeroRange)) != 0;
  if (punches && (seals & (abi::kSealWrite | abi::kSealFutureWrite)) != 0) return Errno::perm;
  std::uint64_t end = 0;
  const bool grows = (mode & abi::kFallocKeepSize) == 0 && (__builtin_add_overflow(offset, length, &end) || end > inode()->size());
  if (grows && (seals & abi::kSealGrow) != 0) return Errno::perm;
  return file_->allocate(mode, offset, length);
}

Result<std::uint32_t> MemoryFd::seals(bool add, std::uint32_t which) {
  if (!add) return state_->seals();
  constexpr std::uint32_t kAll = abi::kSealSeal | abi::kSealShrink | abi::kSealGrow | abi::kSealWrite | abi::kSealFutureWrite;
  if (!may_write()) return Errno::perm;
  if ((which & ~kAll) != 0) return Errno::inval;
  // fcntl(2): EBUSY while there are writable shared mappings; any shared mapping counts here.
  if ((which & abi::kSealWrite) != 0 && (state_->seals() & abi::kSealWrite) == 0 && inode()->has_shared_window()) return Errno::busy;
  TRY(state_->add(which));
  return 0U;
}

Result<Ref<OpenFile>> MemoryFd::reopen(std::uint32_t flags) {
  const std::uint32_t access = flags & abi::kOAccMode;
  if ((flags & abi::kOTrunc) != 0 && access != abi::kORdOnly) TRY(truncate(0));
  return open_memory_file(*inode(), state_, flags & (abi::kOAccMode | abi::kSettableFlags | abi::kOLargeFile));
}

std::size_t MemoryFd::describe(std::span<char> into) {
  std::size_t used = 0;
  for (const std::string_view part : {std::string_view("/memfd:"), state_->name(), std::string_view(" (deleted)")}) {
    const std::size_t count = std::min(part.size(), into.size() - used);
    std::copy_n(part.begin(), count, into.subspan(used).begin());
    used += count;
  }
  return used;
}

Result<Ref<OpenFile>> make_memory_file(std::string_view name, bool sealable, bool executable) {
  const Ref<MemoryFileState> state = TRY(make_ref<MemoryFileState>(TRY(String::from(name)), sealable ? 0U : abi::kSealSeal));
  const Credentials& who = current_task().credentials();
  const Ref<Inode> root = TRY(memory_root());
  RefPtr<Inode> inode;
  {
    const LockGuard guard(root->directory_mutex());
    inode = TRY(root->create_unnamed(mode_of(FileType::regular) | (executable ? 0777U : 0666U), {.uid = who.fsuid, .gid = who.fsgid}));
  }
  return open_memory_file(*inode, state, abi::kORdWr | abi::kOLargeFile);
}

}  // namespace kernel
