#include <algorithm>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/fs/ram/ram_fs.h"

namespace kernel {

Result<Ref<RamSuperblock>> RamSuperblock::create(std::uint64_t limit, Mode root_mode, Owner owner) {
  Ref<RamSuperblock> superblock = TRY(make_ref<RamSuperblock>(limit));
  superblock->root_ = TRY(make_ref<RamDirectory>(superblock, mode_of(FileType::directory) | root_mode, owner));
  return superblock;
}

Ref<Inode> RamSuperblock::root() { return root_.as_ref(); }

Result<FsStatistics> RamSuperblock::statistics() {
  FsStatistics result;
  const std::uint64_t used = std::min(used_.load(std::memory_order_relaxed), limit_);
  result.type = abi::kMagicTmpfs;
  result.blocks = limit_ / kPageSize;
  result.free_blocks = (limit_ - used) / kPageSize;
  result.available_blocks = result.free_blocks;
  result.files = limit_ / kPageSize;
  result.free_files = result.files - std::min(result.files, inodes_.load(std::memory_order_relaxed));
  result.fsid = device();
  return result;
}

// The tree holds its superblock and the reverse; taken apart without recursion, since trees may be deep. Nobody else is in it, so no lock is
// needed: the last user may go where none can be taken.
void RamSuperblock::on_unmounted() {
  RefPtr<RamDirectory> todo;
  std::swap(todo, root_);
  while (todo) {
    RefPtr<RamDirectory> rest = todo->take_apart();
    todo = std::move(rest);
  }
}

Result<> RamSuperblock::reserve(std::uint64_t bytes) {
  const std::uint64_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
  if (before <= limit_ && bytes <= limit_ - before) return {};
  used_.fetch_sub(bytes, std::memory_order_relaxed);
  return Errno::nospc;
}

RamInode::RamInode(Ref<RamSuperblock> superblock, Mode mode, Owner owner, std::uint64_t rdev)
    : Inode(superblock, superblock->next_ino(), mode, owner, current_file_time()), ram_(*superblock) {
  rdev_.store(rdev, std::memory_order_relaxed);
  ram_.count_inode(true);
}

RamInode::~RamInode() { ram_.count_inode(false); }

Result<> RamInode::change_attributes(const AttributeChange& change) {
  if (change.mode) set_mode((mode() & kModeTypeMask) | (*change.mode & kModePermMask));
  if (change.uid) uid_.store(*change.uid, std::memory_order_relaxed);
  if (change.gid) gid_.store(*change.gid, std::memory_order_relaxed);
  if (change.atime) atime_.store(*change.atime, std::memory_order_relaxed);
  if (change.mtime) mtime_.store(*change.mtime, std::memory_order_relaxed);
  note_change();
  return {};
}

// Access times as the mount option relatime has them, without its daily update: only when they are older than a change.
void RamInode::touch(bool access, bool modify) {
  if (modify) {
    const FileTime now = current_file_time();
    mtime_.store(now, std::memory_order_relaxed);
    ctime_.store(now, std::memory_order_relaxed);
  }
  if (!access) return;
  const FileTime seen = atime_.load(std::memory_order_relaxed);
  if (seen > mtime_.load(std::memory_order_relaxed) && seen > ctime_.load(std::memory_order_relaxed)) return;
  atime_.store(current_file_time(), std::memory_order_relaxed);
}

Result<std::size_t> RamInode::get_xattr(std::string_view name, std::span<std::byte> into) {
  const LockGuard guard(xattr_lock_);
  for (const Xattr& xattr : xattrs_) {
    if (xattr.name != name) continue;
    if (into.empty()) return xattr.value.size();
    if (xattr.value.size() > into.size()) return Errno::range;
    copy_bytes(into, xattr.value.span());
    return xattr.value.size();
  }
  return Errno::nodata;
}

Result<> RamInode::set_xattr(std::string_view name, std::span<const std::byte> value, bool must_create, bool must_replace) {
  Vec<std::byte> copy;
  TRY(copy.try_resize(value.size()));
  copy_bytes(copy.span(), value);
  const LockGuard guard(xattr_lock_);
  for (Xattr& xattr : xattrs_) {
    if (xattr.name != name) continue;
    if (must_create) return Errno::exist;
    if (xattr_bytes_ - xattr.value.size() + value.size() > kMostXattrBytes) return Errno::nospc;
    xattr_bytes_ = xattr_bytes_ - xattr.value.size() + value.size();
    xattr.value = std::move(copy);
    note_change();
    return {};
  }
  if (must_replace) return Errno::nodata;
  const std::size_t added = name.size() + value.size();
  if (xattr_bytes_ + added > kMostXattrBytes) return Errno::nospc;
  TRY(xattrs_.try_push({.name = TRY(String::from(name)), .value = std::move(copy)}));
  xattr_bytes_ += added;
  note_change();
  return {};
}

Result<> RamInode::remove_xattr(std::string_view name) {
  const LockGuard guard(xattr_lock_);
  for (std::size_t i = 0; i < xattrs_.size(); ++i) {
    if (xattrs_[i].name != name) continue;
    xattr_bytes_ -= name.size() + xattrs_[i].value.size();
    xattrs_.erase(i);
    note_change();
    return {};
  }
  return Errno::nodata;
}

Result<std::size_t> RamInode::list_xattrs(std::span<char> into) {
  const LockGuard guard(xattr_lock_);
  std::size_t size = 0;
  for (const Xattr& xattr : xattrs_) {
    const std::string_view name = xattr.name;
    if (!into.empty()) {
      if (size + name.size() + 1 > into.size()) return Errno::range;
      std::copy(name.begin(), name.end(), into.subspan(size).begin());
      into[size + name.size()] = '\0';
    }
    size += name.size() + 1;
  }
  return size;
}

RamSymlink::RamSymlink(Ref<RamSuperblock> superblock, String target, Mode mode, Owner owner)
    : RamInode(superblock, mode, owner, 0), target_(std::move(target)) {
  size_.store(target_.size(), std::memory_order_relaxed);
}

Result<std::size_t> RamSymlink::read_link(std::span<char> into) {
  const std::string_view target = target_;
  const std::size_t count = std::min(into.size(), target.size());
  std::copy_n(target.begin(), count, into.begin());
  return count;
}

}  // namespace kernel
