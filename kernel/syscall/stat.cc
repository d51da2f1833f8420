#include "kernel/syscall/stat.h"

#include <algorithm>

#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

constexpr FileTime kSecond = 1'000'000'000;

// Seconds rounded down, so that the nanoseconds are never negative.
abi::FileTimespec timespec_of(FileTime time) {
  FileTime seconds = time / kSecond;
  FileTime rest = time % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {.sec = seconds, .nsec = rest};
}

abi::StatxTimestamp statx_time(FileTime time) {
  const abi::FileTimespec split = timespec_of(time);
  return {.sec = split.sec, .nsec = static_cast<std::uint32_t>(split.nsec), .reserved = 0};
}

abi::Stat stat_of(const Attributes& from) {
  abi::Stat result{};
  result.dev = from.device;
  result.ino = from.ino;
  result.nlink = from.nlink;
  result.mode = from.mode;
  result.uid = from.uid;
  result.gid = from.gid;
  result.rdev = from.rdev;
  result.size = static_cast<std::int64_t>(from.size);
  result.blksize = from.block_size;
  result.blocks = static_cast<std::int64_t>(from.blocks);
  result.atim = timespec_of(from.atime);
  result.mtim = timespec_of(from.mtime);
  result.ctim = timespec_of(from.ctime);
  return result;
}

struct Found {
  Attributes attributes;
  bool mount_root = false;
};

// What the path, or with kAtEmptyPath the descriptor itself, shows.
Result<Found> find_attributes(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags, bool ask_mount) {
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path, (flags & abi::kAtEmptyPath) != 0));
  if (text.empty() && dir != kAtFdCwd) return Found{.attributes = TRY(TRY(files_of(task).get_any(dir))->attributes())};
  const std::uint32_t walk = ((flags & abi::kAtSymlinkNoFollow) != 0 ? 0 : kWalkFollow) | kWalkEmpty;
  const RefPtr<Dentry> found = TRY(lookup_path_quick(task, dir, text, walk));
  return Found{.attributes = found->existing_inode().attributes(), .mount_root = ask_mount && is_mount_root(*found)};
}

}  // namespace

Result<> sys_stat(Task& task, UserPtr<const char> path, UserPtr<abi::Stat> into) { return sys_newfstatat(task, kAtFdCwd, path, into, 0); }

Result<> sys_lstat(Task& task, UserPtr<const char> path, UserPtr<abi::Stat> into) {
  return sys_newfstatat(task, kAtFdCwd, path, into, abi::kAtSymlinkNoFollow);
}

Result<> sys_fstat(Task& task, Fd fd, UserPtr<abi::Stat> into) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get_any(fd));
  return into.store(stat_of(TRY(file->attributes())));
}

Result<> sys_newfstatat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<abi::Stat> into, std::uint32_t flags) {
  if ((flags & ~(abi::kAtSymlinkNoFollow | abi::kAtNoAutomount | abi::kAtEmptyPath)) != 0) return Errno::inval;
  return into.store(stat_of(TRY(find_attributes(task, dir, path, flags, false)).attributes));
}

Result<> sys_statx(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags, std::uint32_t mask, UserPtr<abi::Statx> into) {
  constexpr std::uint32_t kKnown = abi::kAtSymlinkNoFollow | abi::kAtNoAutomount | abi::kAtEmptyPath | abi::kAtStatxSyncType;
  if ((flags & ~kKnown) != 0 || (mask & abi::kStatxReserved) != 0) return Errno::inval;
  if ((flags & abi::kAtStatxSyncType) == abi::kAtStatxSyncType) return Errno::inval;
  const Found found = TRY(find_attributes(task, dir, path, flags, true));
  const Attributes& from = found.attributes;
  abi::Statx result{};
  result.mask = abi::kStatxBasicStats | abi::kStatxBtime | abi::kStatxMntId;
  result.blksize = from.block_size;
  result.attributes_mask = abi::kStatxAttrMountRoot;
  result.attributes = found.mount_root ? abi::kStatxAttrMountRoot : 0;
  result.nlink = from.nlink;
  result.uid = from.uid;
  result.gid = from.gid;
  result.mode = static_cast<std::uint16_t>(from.mode);
  result.ino = from.ino;
  result.size = from.size;
  result.blocks = from.blocks;
  result.atime = statx_time(from.atime);
  result.btime = statx_time(from.btime);
  result.ctime = statx_time(from.ctime);
  result.mtime = statx_time(from.mtime);
  result.rdev_major = abi::device_major(from.rdev);
  result.rdev_minor = abi::device_minor(from.rdev);
  result.dev_major = abi::device_major(from.device);
  result.dev_minor = abi::device_minor(from.device);
  result.mnt_id = from.device;
  return into.store(result);
}

Result<> sys_access(Task& task, UserPtr<const char> path, std::uint32_t mode) { return sys_faccessat2(task, kAtFdCwd, path, mode, 0); }

Result<> sys_faccessat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t mode) {
  return sys_faccessat2(task, dir, path, mode, 0);
}

Result<> sys_faccessat2(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t mode, std::uint32_t flags) {
  if ((mode & ~7U) != 0 || (flags & ~(abi::kAtEAccess | abi::kAtSymlinkNoFollow | abi::kAtEmptyPath)) != 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path, (flags & abi::kAtEmptyPath) != 0));
  RefPtr<Inode> inode;
  RefPtr<Dentry> where;
  if (text.empty() && dir != kAtFdCwd) {
    const RefPtr<OpenFile> file = TRY(files_of(task).get_any(dir));
    inode = file->inode();
    where = file->dentry();
    if (!inode) return {};  // an anonymous file: its owner may do everything
  } else {
    const std::uint32_t walk = ((flags & abi::kAtSymlinkNoFollow) != 0 ? 0 : kWalkFollow) | kWalkEmpty;
    where = TRY(lookup_path(task, dir, text, walk));
    inode = where->inode();
  }
  const Credentials& credentials = task.credentials();
  Identity who = identity_of(task);
  if ((flags & abi::kAtEAccess) == 0) {
    // access(2) asks for the real ids: capabilities count only for real root.
    who.uid = credentials.ruid;
    who.gid = credentials.rgid;
    who.capabilities = credentials.ruid == 0 ? credentials.permitted : 0;
  }
  const bool special = inode->type() != FileType::regular && inode->type() != FileType::directory && inode->type() != FileType::symlink;
  if ((mode & abi::kWOk) != 0 && where && !special) TRY(check_writable(*where));
  if ((mode & abi::kXOk) != 0 && where && inode->is_regular() && (mount_flags(*where) & kMountNoExec) != 0) return Errno::acces;
  return check_permission(who, *inode, mode);
}

namespace {

Result<> store_statistics(Superblock& superblock, UserPtr<abi::Statfs> into) {
  const FsStatistics from = TRY(superblock.statistics());
  abi::Statfs result{};
  result.type = from.type;
  result.bsize = from.block_size;
  result.blocks = from.blocks;
  result.bfree = from.free_blocks;
  result.bavail = from.available_blocks;
  result.files = from.files;
  result.ffree = from.free_files;
  result.fsid = from.fsid;
  result.namelen = from.name_max;
  result.frsize = from.block_size;
  constexpr std::uint64_t kSameBits = kMountReadOnly | kMountNoSuid | kMountNoDev | kMountNoExec | kMountNoAtime;  // ST_* = MS_* here
  result.flags = from.flags | abi::kStValid | (superblock.mount_flags() & kSameBits);
  return into.store(result);
}

}  // namespace

Result<> sys_statfs(Task& task, UserPtr<const char> path, UserPtr<abi::Statfs> into) {
  [[clang::uninitialized]] PathBuffer buffer;
  const Ref<Dentry> found = TRY(lookup_path(task, kAtFdCwd, TRY(buffer.load(path)), kWalkFollow));
  return store_statistics(found->superblock(), into);
}

Result<> sys_fstatfs(Task& task, Fd fd, UserPtr<abi::Statfs> into) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get_any(fd));
  if (file->inode()) return store_statistics(file->inode()->superblock(), into);
  abi::Statfs result{};
  result.type = abi::kMagicAnonInode;
  result.bsize = kPageSize;
  result.frsize = kPageSize;
  result.namelen = kNameMax;
  return into.store(result);
}

}  // namespace kernel
