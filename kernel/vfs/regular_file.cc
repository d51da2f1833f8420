#include "kernel/vfs/regular_file.h"

#include <limits>

#include "abi/fs.h"
#include "kernel/frame/user.h"
#include "kernel/vfs/special_file.h"

namespace kernel {

namespace {

class PositionGuard {
 public:
  explicit PositionGuard(PositionLock& lock) : lock_(lock) { lock_.lock(); }
  ~PositionGuard() { lock_.unlock(); }
  PositionGuard(const PositionGuard&) = delete;
  PositionGuard& operator=(const PositionGuard&) = delete;

 private:
  PositionLock& lock_;
};

constexpr std::uint64_t kMaxOffset = std::numeric_limits<FileOffset>::max();

}  // namespace

RegularFile::~RegularFile() {
  if (counted_writer_) inode()->end_write_access();
}

Result<> RegularFile::start() {
  if (!may_write()) return {};
  TRY(inode()->begin_write_access());
  counted_writer_ = true;
  return {};
}

Result<std::size_t> RegularFile::read(IoSink& sink) {
  const PositionGuard guard(position_lock_);
  const std::uint64_t at = position_.load(std::memory_order_relaxed);
  const std::size_t count = TRY(inode()->read_at(at, sink));
  position_.store(at + count, std::memory_order_relaxed);
  if (count != 0 && (flags() & abi::kONoAtime) == 0) inode()->touch(true, false);
  return count;
}

Result<> RegularFile::sync_if_asked() {
  const std::uint32_t now = flags();
  if ((now & (abi::kODSync | abi::kOSync)) == 0) return {};
  return inode()->sync((now & abi::kOSync) != abi::kOSync);
}

Result<std::size_t> RegularFile::write(IoSource& source) {
  const PositionGuard guard(position_lock_);
  std::size_t count = 0;
  if (is_append()) {
    std::uint64_t end = 0;
    count = TRY(inode()->append(source, end));
    position_.store(end, std::memory_order_relaxed);
  } else {
    const std::uint64_t at = position_.load(std::memory_order_relaxed);
    count = TRY(inode()->write_at(at, source));
    position_.store(at + count, std::memory_order_relaxed);
  }
  TRY(sync_if_asked());
  return count;
}

Result<std::size_t> RegularFile::read_at(IoSink& sink, std::uint64_t offset) {
  const std::size_t count = TRY(inode()->read_at(offset, sink));
  if (count != 0 && (flags() & abi::kONoAtime) == 0) inode()->touch(true, false);
  return count;
}

Result<std::size_t> RegularFile::write_at(IoSource& source, std::uint64_t offset) {
  std::uint64_t end = 0;
  // pwrite(2), "BUGS": with O_APPEND the data go to the end whatever the offset says.
  const std::size_t count = is_append() ? TRY(inode()->append(source, end)) : TRY(inode()->write_at(offset, source));
  TRY(sync_if_asked());
  return count;
}

Result<std::uint64_t> seek_target(Inode& inode, std::uint64_t position, FileOffset offset, std::uint32_t whence) {
  FileOffset base = 0;
  switch (whence) {
    case abi::kSeekSet:
      break;
    case abi::kSeekCur:
      base = static_cast<FileOffset>(position);
      break;
    case abi::kSeekEnd:
      base = static_cast<FileOffset>(inode.size());
      break;
    case abi::kSeekData:
    case abi::kSeekHole:
      if (offset < 0) return Errno::nxio;
      return inode.seek_data(static_cast<std::uint64_t>(offset), whence == abi::kSeekHole);
    default:
      return Errno::inval;
  }
  FileOffset target = 0;
  if (__builtin_add_overflow(base, offset, &target)) return Errno::overflow;
  if (target < 0) return Errno::inval;
  return static_cast<std::uint64_t>(target);
}

Result<FileOffset> RegularFile::seek(FileOffset offset, std::uint32_t whence) {
  const PositionGuard guard(position_lock_);
  const std::uint64_t target = TRY(seek_target(*inode(), position_.load(std::memory_order_relaxed), offset, whence));
  position_.store(target, std::memory_order_relaxed);
  return static_cast<FileOffset>(target);
}

Result<std::uint64_t> RegularFile::ioctl(Task&, std::uint32_t request, std::uint64_t argument) {
  if (request != abi::kFioNRead) return Errno::notty;
  const std::uint64_t at = position_.load(std::memory_order_relaxed);
  const std::uint64_t end = inode()->size();
  const auto left = static_cast<std::int32_t>(end > at ? std::min<std::uint64_t>(end - at, 0x7fffffff) : 0);
  TRY(UserPtr<std::int32_t>(argument).store(left));
  return std::uint64_t{0};
}

Result<> RegularFile::allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) {
  return inode()->allocate(mode, offset, length);
}

Result<Ref<FileBacking>> RegularFile::mapping() { return inode()->backing(); }

Result<FileOffset> DirectoryFile::seek(FileOffset offset, std::uint32_t whence) {
  const PositionGuard guard(position_lock_);
  FileOffset base = 0;
  if (whence == abi::kSeekCur)
    base = static_cast<FileOffset>(position_.load(std::memory_order_relaxed));
  else if (whence == abi::kSeekEnd)
    base = static_cast<FileOffset>(kMaxOffset);
  else if (whence != abi::kSeekSet)
    return Errno::inval;
  FileOffset target = 0;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return Errno::inval;
  position_.store(static_cast<std::uint64_t>(target), std::memory_order_relaxed);
  return target;
}

namespace {

// Remembers where the last entry that was taken ends.
class CountingSink final : public DirectorySink {
 public:
  explicit CountingSink(DirectorySink& target) : target_(target) {}
  bool add(const DirectoryEntry& entry) override {
    if (!target_.add(entry)) {
      full_ = true;
      return false;
    }
    next_ = entry.next;
    return true;
  }
  std::uint64_t next(std::uint64_t otherwise) const { return next_ != 0 ? next_ : otherwise; }
  bool full() const { return full_; }

 private:
  DirectorySink& target_;
  std::uint64_t next_ = 0;
  bool full_ = false;
};

}  // namespace

Result<> DirectoryFile::read_directory(DirectorySink& sink) {
  const PositionGuard guard(position_lock_);
  std::uint64_t at = position_.load(std::memory_order_relaxed);
  CountingSink counting(sink);
  Inode& directory = *inode();
  if (dentry()->is_deleted()) return Errno::noent;
  if (at == 0 && counting.add({.name = ".", .ino = directory.ino(), .type = FileType::directory, .next = 1})) at = 1;
  if (at == 1) {
    const RefPtr<Dentry> parent = dentry()->parent();
    const std::uint64_t ino = parent ? parent->existing_inode().ino() : directory.ino();
    if (counting.add({.name = "..", .ino = ino, .type = FileType::directory, .next = 2})) at = 2;
  }
  if (at >= 2) {
    const LockGuard lock(directory.directory_mutex());
    TRY(directory.read_directory(at, counting));
  }
  position_.store(counting.next(at), std::memory_order_relaxed);
  directory.touch(true, false);
  return {};
}

Result<Ref<OpenFile>> open_ordinary(Dentry& where, Inode& inode, std::uint32_t flags) {
  switch (inode.type()) {
    case FileType::regular: {
      Ref<RegularFile> file = TRY(make_ref<RegularFile>(where, inode, flags));
      TRY(file->start());
      return Ref<OpenFile>(file);
    }
    case FileType::directory:
      return Ref<OpenFile>(TRY(make_ref<DirectoryFile>(where, inode, flags)));
    case FileType::fifo:
    case FileType::character:
    case FileType::block:
      return open_special(where, inode, flags);
    case FileType::socket:
      return Errno::nxio;
    case FileType::symlink:
      return Errno::loop;
    case FileType::none:
      break;
  }
  return Errno::inval;
}

}  // namespace kernel
