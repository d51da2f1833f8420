#include "kernel/vfs/inode.h"

#include "kernel/frame/bytes.h"
#include "kernel/host/clock.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/file_lock.h"
#include "kernel/vfs/regular_file.h"

namespace kernel {

namespace {
std::atomic<std::uint32_t> next_minor{1};  // NOLINT: device numbers are drawn from it
}

FileTime current_file_time() { return static_cast<FileTime>(realtime_now()); }

// Major 0, as Linux gives to file systems without a device.
Superblock::Superblock() : device_(next_minor.fetch_add(1, std::memory_order_relaxed)) {}

Result<Ref<Inode>> Superblock::inode_by_number(std::uint64_t) { return Errno::noent; }

Inode::Inode(Ref<Superblock> superblock, std::uint64_t ino, Mode mode, Owner owner, FileTime now)
    : mode_(mode), uid_(owner.uid), gid_(owner.gid), atime_(now), mtime_(now), ctime_(now), btime_(now), superblock_(superblock), ino_(ino) {}

Inode::~Inode() = default;

Attributes Inode::attributes() const {
  Attributes result;
  result.device = superblock_->device();
  result.ino = ino_;
  result.mode = mode();
  result.nlink = link_count();
  result.uid = uid();
  result.gid = gid();
  result.rdev = rdev_.load(std::memory_order_relaxed);
  result.size = size_.load(std::memory_order_relaxed);
  result.blocks = blocks_.load(std::memory_order_relaxed);
  result.atime = atime_.load(std::memory_order_relaxed);
  result.mtime = mtime_.load(std::memory_order_relaxed);
  result.ctime = ctime_.load(std::memory_order_relaxed);
  result.btime = btime_;
  return result;
}

Result<> Inode::change_attributes(const AttributeChange&) { return Errno::perm; }
void Inode::touch(bool, bool) {}

Result<> Inode::read_page(std::uint64_t index, PageView into) {
  IoSink sink{std::span<std::byte>(into)};
  const std::size_t count = TRY(read_at(index * kPageSize, sink));
  zero_bytes(into.subspan(count));
  return {};
}

Result<Ref<Inode>> Inode::lookup(std::string_view) { return Errno::notdir; }
Result<Ref<Inode>> Inode::create(std::string_view, Mode, std::uint64_t, Owner) { return Errno::perm; }
Result<Ref<Inode>> Inode::make_directory(std::string_view, Mode, Owner) { return Errno::perm; }
Result<Ref<Inode>> Inode::make_symlink(std::string_view, std::string_view, Owner) { return Errno::perm; }
Result<> Inode::link(std::string_view, Inode&) { return Errno::perm; }
Result<Ref<Inode>> Inode::create_unnamed(Mode, Owner) { return Errno::opnotsupp; }
Result<> Inode::unlink(std::string_view, Inode&) { return Errno::perm; }
Result<> Inode::remove_directory(std::string_view, Inode&) { return Errno::perm; }
Result<> Inode::rename(std::string_view, Inode&, Inode&, std::string_view, Inode*, bool) { return Errno::perm; }
Result<> Inode::read_directory(std::uint64_t, DirectorySink&) { return Errno::notdir; }
Result<std::size_t> Inode::read_link(std::span<char>) { return Errno::inval; }

Result<RefPtr<Dentry>> Inode::follow() { return RefPtr<Dentry>(); }

Result<std::size_t> Inode::read_at(std::uint64_t, IoSink&) { return is_directory() ? Errno::isdir : Errno::inval; }
Result<std::size_t> Inode::write_at(std::uint64_t, IoSource&) { return is_directory() ? Errno::isdir : Errno::inval; }
Result<std::size_t> Inode::append(IoSource& source, std::uint64_t& end) {
  const std::uint64_t start = size();
  const std::size_t count = TRY(write_at(start, source));
  end = start + count;
  return count;
}
Result<> Inode::truncate(std::uint64_t) { return is_directory() ? Errno::isdir : Errno::inval; }
Result<> Inode::allocate(std::uint32_t, std::uint64_t, std::uint64_t) { return Errno::opnotsupp; }
Result<std::uint64_t> Inode::seek_data(std::uint64_t offset, bool hole) {
  const std::uint64_t end = size();
  if (offset >= end) return Errno::nxio;
  return hole ? end : offset;
}

Result<std::size_t> Inode::get_xattr(std::string_view, std::span<std::byte>) { return Errno::opnotsupp; }
Result<> Inode::set_xattr(std::string_view, std::span<const std::byte>, bool, bool) { return Errno::opnotsupp; }
Result<> Inode::remove_xattr(std::string_view) { return Errno::opnotsupp; }
Result<std::size_t> Inode::list_xattrs(std::span<char>) { return std::size_t{0}; }

Result<Ref<OpenFile>> Inode::open(Dentry& where, std::uint32_t flags) { return open_ordinary(where, *this, flags); }

Result<Ref<OpenFile>> Inode::open_anonymous(std::uint32_t flags) {
  if (!is_regular()) return Errno::acces;
  Ref<RegularFile> file = TRY(make_ref<RegularFile>(*this, flags));
  TRY(file->start());
  return Ref<OpenFile>(file);
}

Result<Ref<FileLocks>> Inode::file_locks() {
  if (RefPtr<FileLocks> there = file_locks_if_any()) return there.as_ref();
  Ref<FileLocks> fresh = TRY(make_ref<FileLocks>());
  const LockGuard guard(attachments_lock_);
  if (!file_locks_) file_locks_ = fresh;
  has_locks_.store(true, std::memory_order_release);
  return file_locks_.as_ref();
}

RefPtr<FileLocks> Inode::file_locks_if_any() const {
  if (!has_locks_.load(std::memory_order_acquire)) return nullptr;
  const LockGuard guard(attachments_lock_);
  return file_locks_;
}

RefPtr<InodePayload> Inode::payload() const {
  const LockGuard guard(attachments_lock_);
  return payload_;
}

Ref<InodePayload> Inode::install_payload(Ref<InodePayload> payload) {
  const LockGuard guard(attachments_lock_);
  if (!payload_) payload_ = payload;
  return payload_.as_ref();
}

void Inode::clear_payload() {
  RefPtr<InodePayload> old;  // dropped without the lock
  const LockGuard guard(attachments_lock_);
  std::swap(old, payload_);
}

Result<> Inode::begin_write_access() {
  std::int32_t seen = writers_.load(std::memory_order_relaxed);
  do {
    if (seen < 0) return Errno::txtbsy;
  } while (!writers_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel));
  return {};
}

void Inode::end_write_access() { writers_.fetch_sub(1, std::memory_order_release); }

Result<> Inode::deny_write() {
  std::int32_t seen = writers_.load(std::memory_order_relaxed);
  do {
    if (seen > 0) return Errno::txtbsy;
  } while (!writers_.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel));
  return {};
}

void Inode::allow_write() { writers_.fetch_add(1, std::memory_order_release); }

}  // namespace kernel
