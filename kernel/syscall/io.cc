#include "kernel/syscall/io.h"

#include <algorithm>
#include <limits>

#include "kernel/mm/address_space.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

constexpr std::uint64_t kMostInOffset = static_cast<std::uint64_t>(std::numeric_limits<FileOffset>::max());

std::uint64_t clamp_count(std::uint64_t count) { return std::min(count, abi::kMaxRwCount); }

Result<FileLease> readable(Task& task, Fd fd) {
  FileLease file = TRY(files_of(task).lease(fd));
  if (!file->may_read()) return Errno::badf;
  if (!file->has_read()) return Errno::inval;
  return file;
}

// For calls with an offset: files without one are refused before anything else is asked of them.
Result<> check_offsets(Task& task, Fd fd) { return TRY(files_of(task).lease(fd))->has_offsets() ? Result<>() : Result<>(Errno::spipe); }

Result<FileLease> writable(Task& task, Fd fd) {
  FileLease file = TRY(files_of(task).lease(fd));
  if (!file->may_write()) return Errno::badf;
  if (!file->has_write()) return Errno::inval;
  return file;
}

// RLIMIT_FSIZE: at most so many bytes may be written at the offset; EFBIG (and SIGXFSZ) if none.
Result<> limit_size(Task& task, const OpenFile& file, std::uint64_t offset, IoSource& source) {
  if (!file.inode() || !file.inode()->is_regular() || source.empty()) return {};
  const std::uint64_t limit = std::min(task.process().rlimit_current(abi::Rlimit::fsize), kMostInOffset);
  if (offset >= limit) {
    if (limit != kMostInOffset) raise_signal(task, abi::kSigXfsz);
    return Errno::fbig;
  }
  source.limit(limit - offset);
  return {};
}

// What was moved, told to watchers of the file.
Result<std::uint64_t> noted(OpenFile& file, Result<std::size_t> moved, std::uint32_t event) {
  const std::uint64_t count = TRY(std::move(moved));
  if (count != 0) notify_file(file.dentry().get(), file.inode().get(), event);
  return count;
}
Result<std::uint64_t> read_here(OpenFile& file, IoSink& sink) { return noted(file, file.read(sink), abi::kInAccess); }

// What write() and writev() have in common.
Result<std::uint64_t> write_here(Task& task, OpenFile& file, IoSource& source) {
  if (!file.is_stream()) {
    const std::uint64_t at = file.is_append() ? TRY(file.attributes()).size : static_cast<std::uint64_t>(TRY(file.seek(0, abi::kSeekCur)));
    TRY(limit_size(task, file, at, source));
    if (source.empty()) return std::uint64_t{0};
  }
  return noted(file, file.write(source), abi::kInModify);
}

Result<std::uint64_t> write_there(Task& task, OpenFile& file, IoSource& source, FileOffset offset) {
  if (offset < 0) return Errno::inval;
  const auto at = static_cast<std::uint64_t>(offset);
  if (!file.is_stream()) TRY(limit_size(task, file, at, source));
  return noted(file, file.write_at(source, at), abi::kInModify);
}

Result<std::uint64_t> read_there(OpenFile& file, IoSink& sink, FileOffset offset) {
  if (offset < 0) return Errno::inval;
  return noted(file, file.read_at(sink, static_cast<std::uint64_t>(offset)), abi::kInAccess);
}

}  // namespace

Result<> UserIovec::load(UserPtr<const abi::Iovec> vector, std::uint64_t count) {
  if (count > abi::kIovMax) return Errno::inval;
  if (count > kInline) TRY(long_.try_resize(static_cast<std::size_t>(count)));
  count_ = static_cast<std::size_t>(count);
  std::array<abi::Iovec, kInline> chunk{};
  for (std::size_t done = 0; done < count_;) {
    const std::span<abi::Iovec> part = std::span(chunk).first(std::min(kInline, count_ - done));
    TRY(TRY(vector.at(done)).load_all(part));
    for (const abi::Iovec& entry : part) {
      if (entry.length > kMostInOffset) return Errno::inval;
      const UserBytes bytes = entry.length == 0 ? UserBytes() : TRY(UserBytes::at(entry.base, entry.length));
      (count_ > kInline ? long_[done] : inline_[done]) = bytes;
      total_ = std::min(total_ + entry.length, abi::kMaxRwCount);
      ++done;
    }
  }
  return {};
}

Result<std::uint64_t> sys_read(Task& task, Fd fd, UserPtr<std::byte> buffer, std::uint64_t count) {
  const FileLease file = TRY(readable(task, fd));
  IoSink sink(TRY(UserBytes::at(buffer, clamp_count(count))));
  return read_here(*file, sink);
}

Result<std::uint64_t> sys_write(Task& task, Fd fd, UserPtr<const std::byte> buffer, std::uint64_t count) {
  const FileLease file = TRY(writable(task, fd));
  IoSource source(TRY(UserBytes::at(buffer, clamp_count(count))));
  return write_here(task, *file, source);
}

Result<std::uint64_t> sys_pread64(Task& task, Fd fd, UserPtr<std::byte> buffer, std::uint64_t count, FileOffset offset) {
  if (offset < 0) return Errno::inval;
  TRY(check_offsets(task, fd));
  const FileLease file = TRY(readable(task, fd));
  IoSink sink(TRY(UserBytes::at(buffer, clamp_count(count))));
  return read_there(*file, sink, offset);
}

Result<std::uint64_t> sys_pwrite64(Task& task, Fd fd, UserPtr<const std::byte> buffer, std::uint64_t count, FileOffset offset) {
  if (offset < 0) return Errno::inval;
  TRY(check_offsets(task, fd));
  const FileLease file = TRY(writable(task, fd));
  IoSource source(TRY(UserBytes::at(buffer, clamp_count(count))));
  return write_there(task, *file, source, offset);
}

Result<std::uint64_t> sys_readv(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count) {
  const FileLease file = TRY(readable(task, fd));
  UserIovec buffers;
  TRY(buffers.load(vector, count));
  if (buffers.total() == 0) return std::uint64_t{0};
  IoSink sink(buffers.segments(), buffers.total());
  return read_here(*file, sink);
}

Result<std::uint64_t> sys_writev(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count) {
  const FileLease file = TRY(writable(task, fd));
  UserIovec buffers;
  TRY(buffers.load(vector, count));
  if (buffers.total() == 0) return std::uint64_t{0};
  IoSource source(buffers.segments(), buffers.total());
  return write_here(task, *file, source);
}

Result<std::uint64_t> sys_preadv(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset) {
  if (offset < 0) return Errno::inval;
  TRY(check_offsets(task, fd));
  const FileLease file = TRY(readable(task, fd));
  UserIovec buffers;
  TRY(buffers.load(vector, count));
  if (buffers.total() == 0) return std::uint64_t{0};
  IoSink sink(buffers.segments(), buffers.total());
  return read_there(*file, sink, offset);
}

Result<std::uint64_t> sys_pwritev(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset) {
  if (offset < 0) return Errno::inval;
  TRY(check_offsets(task, fd));
  const FileLease file = TRY(writable(task, fd));
  UserIovec buffers;
  TRY(buffers.load(vector, count));
  if (buffers.total() == 0) return std::uint64_t{0};
  IoSource source(buffers.segments(), buffers.total());
  return write_there(task, *file, source, offset);
}

Result<std::uint64_t> sys_preadv2(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset, std::uint64_t,
                                  std::uint32_t flags) {
  // RWF_NOWAIT: nothing here waits for a disk, so regular files need nothing; streams would.
  if ((flags & ~(abi::kRwfHiPri | abi::kRwfNoWait | abi::kRwfDSync | abi::kRwfSync)) != 0) return Errno::opnotsupp;
  if ((flags & abi::kRwfNoWait) != 0 && TRY(readable(task, fd))->is_stream()) return Errno::opnotsupp;
  return offset == -1 ? sys_readv(task, fd, vector, count) : sys_preadv(task, fd, vector, count, offset);
}

Result<std::uint64_t> sys_pwritev2(Task& task, Fd fd, UserPtr<const abi::Iovec> vector, std::uint64_t count, FileOffset offset, std::uint64_t,
                                   std::uint32_t flags) {
  if ((flags & ~(abi::kRwfHiPri | abi::kRwfDSync | abi::kRwfSync)) != 0) return Errno::opnotsupp;
  const std::uint64_t written =
      offset == -1 ? TRY(sys_writev(task, fd, vector, count)) : TRY(sys_pwritev(task, fd, vector, count, offset));
  if ((flags & (abi::kRwfDSync | abi::kRwfSync)) != 0) TRY(TRY(writable(task, fd))->sync((flags & abi::kRwfSync) == 0));
  return written;
}

Result<FileOffset> sys_lseek(Task& task, Fd fd, FileOffset offset, std::uint32_t whence) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (whence > abi::kSeekHole) return Errno::inval;
  return file->seek(offset, whence);
}

Result<> sys_fsync(Task& task, Fd fd) { return TRY(files_of(task).get(fd))->sync(false); }
Result<> sys_fdatasync(Task& task, Fd fd) { return TRY(files_of(task).get(fd))->sync(true); }

Result<> sys_sync(Task&) {
  for (const Ref<Mount>& mount : TRY(list_mounts())) (void)mount->superblock().sync().ok();  // sync(2) reports nothing
  return {};
}

Result<> sys_syncfs(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (!file->inode()) return {};
  return file->inode()->superblock().sync();
}

Result<> sys_sync_file_range(Task& task, Fd fd, FileOffset offset, FileOffset count, std::uint32_t flags) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if ((flags & ~7U) != 0 || offset < 0 || count < 0) return Errno::inval;
  if (file->is_stream()) return Errno::spipe;
  return file->sync(true);
}

namespace {

Result<> check_new_size(Task& task, std::uint64_t size) {
  const std::uint64_t limit = task.process().rlimit_current(abi::Rlimit::fsize);
  if (size <= limit) return {};
  raise_signal(task, abi::kSigXfsz);
  return Errno::fbig;
}

}  // namespace

Result<> sys_truncate(Task& task, UserPtr<const char> path, FileOffset size) {
  if (size < 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path));
  const Ref<Dentry> found = TRY(lookup_path(task, kAtFdCwd, text, kWalkFollow));
  Inode& inode = found->existing_inode();
  if (inode.is_directory()) return Errno::isdir;
  if (!inode.is_regular()) return Errno::inval;
  TRY(check_access(task, inode, kMayWrite));
  TRY(check_writable(*found));
  TRY(check_new_size(task, static_cast<std::uint64_t>(size)));
  TRY(inode.begin_write_access());
  const Result<> truncated = inode.truncate(static_cast<std::uint64_t>(size));
  inode.end_write_access();
  if (truncated.ok()) notify_file(found.get(), &inode, abi::kInModify);
  return truncated;
}

Result<> sys_ftruncate(Task& task, Fd fd, FileOffset size) {
  if (size < 0) return Errno::inval;
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (!file->may_write()) return Errno::inval;
  TRY(check_new_size(task, static_cast<std::uint64_t>(size)));
  TRY(file->truncate(static_cast<std::uint64_t>(size)));
  notify_file(file->dentry().get(), file->inode().get(), abi::kInModify);
  return {};
}

Result<> sys_fallocate(Task& task, Fd fd, std::uint32_t mode, FileOffset offset, FileOffset length) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (offset < 0 || length <= 0) return Errno::inval;
  constexpr std::uint32_t kKnown = abi::kFallocKeepSize | abi::kFallocPunchHole | abi::kFallocCollapseRange | abi::kFallocZeroRange |
                                   abi::kFallocInsertRange | abi::kFallocUnshareRange;
  if ((mode & ~kKnown) != 0) return Errno::opnotsupp;
  // fallocate(2): punching needs KEEP_SIZE, and no two of the kinds go together.
  const std::uint32_t kind = mode & ~abi::kFallocKeepSize;
  if ((kind & (kind - 1)) != 0) return Errno::opnotsupp;
  const bool keep_size = (mode & abi::kFallocKeepSize) != 0;
  if (kind == abi::kFallocPunchHole && !keep_size) return Errno::opnotsupp;
  if ((kind == abi::kFallocCollapseRange || kind == abi::kFallocInsertRange) && keep_size) return Errno::opnotsupp;
  if (!file->may_write()) return Errno::badf;
  FileOffset end = 0;
  const bool regular = file->inode() && file->inode()->is_regular();
  if (regular && __builtin_add_overflow(offset, length, &end)) return Errno::fbig;
  if (regular && !keep_size) TRY(check_new_size(task, static_cast<std::uint64_t>(end)));
  TRY(file->allocate(mode, static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length)));
  notify_file(file->dentry().get(), file->inode().get(), abi::kInModify);
  return {};
}

Result<> sys_fadvise64(Task& task, Fd fd, FileOffset, FileOffset length, std::uint32_t advice) {
  constexpr std::uint32_t kLastAdvice = 5;
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (!file->inode() || file->inode()->type() == FileType::fifo || file->inode()->type() == FileType::socket) return Errno::spipe;
  if (length < 0 || advice > kLastAdvice) return Errno::inval;
  return {};  // advice only: the caches decide for themselves
}

Result<> sys_readahead(Task& task, Fd fd, FileOffset, std::uint64_t) {
  const FileLease file = TRY(readable(task, fd));
  if (!file->inode() || !file->inode()->is_regular()) return Errno::inval;
  return {};
}

}  // namespace kernel
