// chmod(2), chown(2), utimensat(2) and their kin.
#include <array>

#include "kernel/mm/address_space.h"
#include "kernel/syscall/stat.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/path.h"

namespace kernel {

namespace {

// What an attribute call works on: a file in the tree, or an open one without a place.
struct Target {
  RefPtr<Dentry> where;
  RefPtr<Inode> inode;
  RefPtr<OpenFile> file;  // if it was named by descriptor

  Attributes attributes() const { return inode ? inode->attributes() : file->nameless().attributes(); }
  // EOPNOTSUPP comes before any question of rights.
  Result<> check_changeable() const { return inode || file->nameless().is_changeable() ? Result<>() : Result<>(Errno::opnotsupp); }
  Result<> apply(const AttributeChange& change) const {
    if (where) TRY(check_writable(*where));
    TRY(inode ? inode->change_attributes(change) : file->nameless().change(change));
    if (const std::uint32_t event = event_of(change); event != 0) notify_file(where.get(), inode.get(), event);
    return {};
  }
};

Result<Target> target_at(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags) {
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path, (flags & abi::kAtEmptyPath) != 0));
  if (text.empty() && dir != kAtFdCwd) {
    const RefPtr<OpenFile> file = TRY(files_of(task).get_any(dir));
    return Target{.where = file->dentry(), .inode = file->inode(), .file = file};
  }
  const std::uint32_t walk = ((flags & abi::kAtSymlinkNoFollow) != 0 ? 0 : kWalkFollow) | kWalkEmpty;
  const Ref<Dentry> found = TRY(lookup_path(task, dir, text, walk));
  return Target{.where = found, .inode = found->inode(), .file = nullptr};
}

Result<Target> target_of(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  return Target{.where = file->dentry(), .inode = file->inode(), .file = file};
}

bool owns(Task& task, const Attributes& attributes) {
  const Identity who = identity_of(task);
  return who.uid == attributes.uid || has_capability(who, kCapFowner);
}

Result<> change_mode(Task& task, const Target& target, Mode mode) {
  TRY(target.check_changeable());
  const Attributes now = target.attributes();
  if (!owns(task, now)) return Errno::perm;
  if (target.inode && target.inode->is_symlink()) return Errno::opnotsupp;
  const Credentials& credentials = task.credentials();
  mode &= kModePermMask;
  // chmod(2): set-group-ID is cleared if the group is not one of the caller's.
  if (!credentials.has(Capability::fsetid) && !credentials.in_group(now.gid)) mode &= ~kModeSetGid;
  return target.apply({.mode = mode});
}

Result<> change_owner(Task& task, const Target& target, std::uint32_t uid, std::uint32_t gid) {
  constexpr std::uint32_t kSame = 0xffffffff;
  TRY(target.check_changeable());
  const Attributes now = target.attributes();
  const Credentials& credentials = task.credentials();
  const bool privileged = credentials.has(Capability::chown);
  if (!privileged) {
    if (uid != kSame && (uid != now.uid || credentials.fsuid != now.uid)) return Errno::perm;
    if (gid != kSame && (credentials.fsuid != now.uid || (gid != now.gid && !credentials.in_group(gid)))) return Errno::perm;
  }
  AttributeChange change;
  if (uid != kSame) change.uid = uid;
  if (gid != kSame) change.gid = gid;
  // chown(2): an executable loses its set-ID bits; set-group-ID without group execute means mandatory locking and stays.
  if (type_of(now.mode) != FileType::directory) {
    Mode mode = now.mode & kModePermMask & ~kModeSetUid;
    if ((now.mode & 010) != 0) mode &= ~kModeSetGid;
    if (mode != (now.mode & kModePermMask)) change.mode = mode;
  }
  return target.apply(change);
}

struct TimePair {
  std::optional<FileTime> atime, mtime;
  bool now = false;  // both are "now": writers may do that too
};

Result<std::optional<FileTime>> time_from(const abi::FileTimespec& from, FileTime now) {
  if (from.nsec == abi::kUtimeOmit) return std::optional<FileTime>();
  if (from.nsec == abi::kUtimeNow) return std::optional<FileTime>(now);
  if (from.nsec < 0 || from.nsec >= 1'000'000'000) return Errno::inval;
  // Times beyond what inodes keep are clamped, as Linux does.
  FileTime time = 0;
  if (__builtin_mul_overflow(from.sec, FileTime{1'000'000'000}, &time) || __builtin_add_overflow(time, from.nsec, &time))
    time = from.sec < 0 ? std::numeric_limits<FileTime>::min() : std::numeric_limits<FileTime>::max();
  return std::optional<FileTime>(time);
}

Result<TimePair> times_from(const std::array<abi::FileTimespec, 2>& from) {
  const FileTime now = current_file_time();
  TimePair times;
  times.atime = TRY(time_from(from[0], now));
  times.mtime = TRY(time_from(from[1], now));
  times.now = from[0].nsec == abi::kUtimeNow && from[1].nsec == abi::kUtimeNow;
  return times;
}

Result<> change_times(Task& task, const Target& target, const TimePair& times) {
  if (!times.atime && !times.mtime) return {};
  TRY(target.check_changeable());
  if (!owns(task, target.attributes())) {
    if (!times.now) return Errno::perm;
    if (target.inode) TRY(check_access(task, *target.inode, kMayWrite));
  }
  return target.apply({.atime = times.atime, .mtime = times.mtime});
}

constexpr abi::FileTimespec kNow{.sec = 0, .nsec = abi::kUtimeNow};

Result<std::array<abi::FileTimespec, 2>> from_timevals(UserPtr<const abi::FileTimeval> times) {
  std::array<abi::FileTimespec, 2> result{kNow, kNow};
  if (times.is_null()) return result;
  std::array<abi::FileTimeval, 2> given{};
  TRY(times.load_all(given));
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i].usec < 0 || given[i].usec >= 1'000'000) return Errno::inval;
    result[i] = {.sec = given[i].sec, .nsec = given[i].usec * 1000};
  }
  return result;
}

}  // namespace

Result<> sys_chmod(Task& task, UserPtr<const char> path, Mode mode) { return sys_fchmodat(task, kAtFdCwd, path, mode); }
Result<> sys_fchmod(Task& task, Fd fd, Mode mode) { return change_mode(task, TRY(target_of(task, fd)), mode); }
Result<> sys_fchmodat(Task& task, Fd dir, UserPtr<const char> path, Mode mode) {
  return change_mode(task, TRY(target_at(task, dir, path, 0)), mode);
}

Result<> sys_chown(Task& task, UserPtr<const char> path, std::uint32_t uid, std::uint32_t gid) {
  return change_owner(task, TRY(target_at(task, kAtFdCwd, path, 0)), uid, gid);
}
Result<> sys_lchown(Task& task, UserPtr<const char> path, std::uint32_t uid, std::uint32_t gid) {
  return change_owner(task, TRY(target_at(task, kAtFdCwd, path, abi::kAtSymlinkNoFollow)), uid, gid);
}
Result<> sys_fchown(Task& task, Fd fd, std::uint32_t uid, std::uint32_t gid) {
  return change_owner(task, TRY(target_of(task, fd)), uid, gid);
}
Result<> sys_fchownat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t uid, std::uint32_t gid, std::uint32_t flags) {
  if ((flags & ~(abi::kAtSymlinkNoFollow | abi::kAtEmptyPath)) != 0) return Errno::inval;
  return change_owner(task, TRY(target_at(task, dir, path, flags)), uid, gid);
}

Result<> sys_utime(Task& task, UserPtr<const char> path, UserPtr<const abi::Utimbuf> times) {
  std::array<abi::FileTimespec, 2> given{kNow, kNow};
  if (!times.is_null()) {
    const abi::Utimbuf seconds = TRY(times.load());
    given = {abi::FileTimespec{.sec = seconds.actime, .nsec = 0}, abi::FileTimespec{.sec = seconds.modtime, .nsec = 0}};
  }
  return change_times(task, TRY(target_at(task, kAtFdCwd, path, 0)), TRY(times_from(given)));
}

Result<> sys_utimes(Task& task, UserPtr<const char> path, UserPtr<const abi::FileTimeval> times) {
  return sys_futimesat(task, kAtFdCwd, path, times);
}

Result<> sys_futimesat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<const abi::FileTimeval> times) {
  const TimePair pair = TRY(times_from(TRY(from_timevals(times))));
  if (path.is_null()) return change_times(task, TRY(target_of(task, dir)), pair);
  return change_times(task, TRY(target_at(task, dir, path, 0)), pair);
}

Result<> sys_utimensat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<const abi::FileTimespec> times, std::uint32_t flags) {
  std::array<abi::FileTimespec, 2> given{kNow, kNow};
  if (!times.is_null()) TRY(times.load_all(given));
  // utimensat(2): with UTIME_OMIT twice not even the path is looked at. The numbers are judged after the path.
  if (given[0].nsec == abi::kUtimeOmit && given[1].nsec == abi::kUtimeOmit) return {};
  const bool by_descriptor = path.is_null() && dir != kAtFdCwd;
  if (by_descriptor ? flags != 0 : (flags & ~(abi::kAtSymlinkNoFollow | abi::kAtEmptyPath)) != 0) return Errno::inval;
  const Target target = by_descriptor ? TRY(target_of(task, dir)) : TRY(target_at(task, dir, path, flags));
  return change_times(task, target, TRY(times_from(given)));
}

}  // namespace kernel
