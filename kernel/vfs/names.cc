#include "kernel/vfs/names.h"

#include "abi/fs.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/regular_file.h"

namespace kernel {

namespace {

Result<> may_create(const Identity& who, const Dentry& directory) {
  TRY(check_writable(directory));
  return check_permission(who, directory.existing_inode(), kMayWrite | kMayExec);
}

// unlink(2), rmdir(2), rename(2): the directory must be writable, and a sticky one gives files to their owners only.
Result<> may_remove(const Identity& who, const Dentry& directory, const Inode& victim) {
  TRY(check_writable(directory));
  const Inode& parent = directory.existing_inode();
  TRY(check_permission(who, parent, kMayWrite | kMayExec));
  if ((parent.mode() & kModeSticky) != 0 && who.uid != victim.uid() && who.uid != parent.uid() && !has_capability(who, kCapFowner))
    return Errno::perm;
  return {};
}

// inode(7), "the set-group-ID bit": files in such a directory get its group, directories inherit the bit.
Owner owner_in(const Identity& who, const Inode& directory, Mode& mode) {
  Owner owner{.uid = who.uid, .gid = who.gid};
  if ((directory.mode() & kModeSetGid) != 0) {
    owner.gid = directory.gid();
    if (type_of(mode) == FileType::directory) mode |= kModeSetGid;
  }
  return owner;
}

// A directory and the name of something new in it.
Result<Ref<Dentry>> place_for_new(PathWalk& walk, std::string_view path, bool directory) {
  Ref<Dentry> parent = TRY(walk.find_parent(path, 0));
  if (walk.last_kind() != PathWalk::LastKind::name) return Errno::exist;
  if (walk.trailing_slash() && !directory) {
    // mknod("x/") and the like: ENOENT, but EEXIST if x is there.
    const LockGuard guard(parent->existing_inode().directory_mutex());
    const Ref<Dentry> child = TRY(DentryCache::instance().child(*parent, walk.last()));
    return child->inode() ? Errno::exist : Errno::noent;
  }
  return parent;
}

// The negative dentry that will hold the new file; the directory's mutex is held.
Result<Ref<Dentry>> free_name(const Identity& who, Dentry& parent, std::string_view name) {
  Ref<Dentry> child = TRY(DentryCache::instance().child(parent, name));
  if (child->inode()) return Errno::exist;
  TRY(may_create(who, parent));
  return child;
}

}  // namespace

Result<Ref<Dentry>> make_node_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, Mode mode, std::uint64_t rdev) {
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> parent = TRY(place_for_new(walk, path, false));
  Inode& directory = parent->existing_inode();
  const LockGuard guard(directory.directory_mutex());
  Ref<Dentry> child = TRY(free_name(context.who, *parent, walk.last()));
  Mode masked = mode & ~context.fs.umask();
  const Owner owner = owner_in(context.who, directory, masked);
  const Ref<Inode> inode = TRY(directory.create(walk.last(), masked, rdev, owner));
  DentryCache::instance().instantiate(*child, inode);
  notify_entry(directory, walk.last(), abi::kInCreate, false);
  return child;
}

Result<> make_directory_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, Mode mode) {
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> parent = TRY(place_for_new(walk, path, true));
  Inode& directory = parent->existing_inode();
  const LockGuard guard(directory.directory_mutex());
  const Ref<Dentry> child = TRY(free_name(context.who, *parent, walk.last()));
  Mode masked = (mode & 01777 & ~context.fs.umask()) | mode_of(FileType::directory);
  const Owner owner = owner_in(context.who, directory, masked);
  const Ref<Inode> inode = TRY(directory.make_directory(walk.last(), masked, owner));
  DentryCache::instance().instantiate(*child, inode);
  notify_entry(directory, walk.last(), abi::kInCreate, true);
  return {};
}

Result<> make_symlink_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, std::string_view target) {
  if (target.empty()) return Errno::noent;
  if (target.size() >= kPathMax) return Errno::nametoolong;
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> parent = TRY(place_for_new(walk, path, false));
  Inode& directory = parent->existing_inode();
  const LockGuard guard(directory.directory_mutex());
  const Ref<Dentry> child = TRY(free_name(context.who, *parent, walk.last()));
  Mode mode = mode_of(FileType::symlink) | 0777;
  const Owner owner = owner_in(context.who, directory, mode);
  const Ref<Inode> inode = TRY(directory.make_symlink(walk.last(), target, owner));
  DentryCache::instance().instantiate(*child, inode);
  notify_entry(directory, walk.last(), abi::kInCreate, false);
  return {};
}

Result<> make_link_at(const NameContext& context, Dentry& existing, RefPtr<Dentry> base, std::string_view path) {
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> parent = TRY(place_for_new(walk, path, false));
  Inode& directory = parent->existing_inode();
  const Ref<Inode> file(existing.existing_inode());
  const LockGuard guard(directory.directory_mutex());
  const Ref<Dentry> child = TRY(free_name(context.who, *parent, walk.last()));
  if (&parent->superblock() != &existing.superblock()) return Errno::xdev;
  if (file->is_directory()) return Errno::perm;
  TRY(directory.link(walk.last(), *file));
  DentryCache::instance().instantiate(*child, file);
  notify_file(nullptr, file.get(), abi::kInAttrib);
  notify_entry(directory, walk.last(), abi::kInCreate, false);
  return {};
}

Result<> unlink_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path) {
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> parent = TRY(walk.find_parent(path, 0));
  if (walk.last_kind() != PathWalk::LastKind::name) return Errno::isdir;
  Inode& directory = parent->existing_inode();
  RefPtr<Dentry> child;  // dropped after the mutex: a big file may die with it
  RefPtr<Inode> file;
  const LockGuard guard(directory.directory_mutex());
  child = TRY(DentryCache::instance().child(*parent, walk.last()));
  file = child->inode();
  if (!file) return Errno::noent;
  if (walk.trailing_slash()) return file->is_directory() ? Errno::isdir : Errno::notdir;
  TRY(may_remove(context.who, *parent, *file));
  if (file->is_directory()) return Errno::isdir;
  if (DentryCache::instance().mount_over(*child)) return Errno::busy;
  TRY(directory.unlink(walk.last(), *file));
  DentryCache::instance().remove(*child);
  notify_unlinked(*file);
  notify_entry(directory, walk.last(), abi::kInDelete, false);
  return {};
}

Result<> remove_directory_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path) {
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> parent = TRY(walk.find_parent(path, 0));
  switch (walk.last_kind()) {
    case PathWalk::LastKind::root:
      return Errno::busy;
    case PathWalk::LastKind::dot:
      return Errno::inval;
    case PathWalk::LastKind::dot_dot:
      return Errno::notempty;
    case PathWalk::LastKind::name:
      break;
  }
  Inode& directory = parent->existing_inode();
  RefPtr<Dentry> child;
  RefPtr<Inode> victim;
  const LockGuard guard(directory.directory_mutex());
  child = TRY(DentryCache::instance().child(*parent, walk.last()));
  victim = child->inode();
  if (!victim) return Errno::noent;
  TRY(may_remove(context.who, *parent, *victim));
  if (!victim->is_directory()) return Errno::notdir;
  // The victim's own mutex keeps others from adding entries and from mounting there meanwhile; it lies below its parent, so the order is by
  // depth here.
  const LockGuard victim_guard(victim->directory_mutex());
  if (DentryCache::instance().mount_over(*child)) return Errno::busy;
  TRY(directory.remove_directory(walk.last(), *victim));
  DentryCache::instance().remove(*child);
  notify_unlinked(*victim);
  notify_entry(directory, walk.last(), abi::kInDelete, true);
  return {};
}

Result<Ref<OpenFile>> open_dentry(const Identity& who, Dentry& dentry, std::uint32_t flags, bool created) {
  Inode& inode = dentry.existing_inode();
  if ((flags & abi::kOPath) != 0) return Ref<OpenFile>(TRY(make_ref<PathFile>(dentry, inode, flags)));
  if (inode.is_symlink()) return Errno::loop;
  const std::uint32_t mode = flags & abi::kOAccMode;
  const bool truncates = (flags & abi::kOTrunc) != 0 && inode.is_regular() && !created;
  const bool writes = mode == abi::kOWrOnly || mode == abi::kORdWr || mode == 3 || (flags & abi::kOTrunc) != 0;
  if (inode.is_directory() && (writes || (flags & abi::kOCreat) != 0)) return Errno::isdir;
  if (!created) {
    unsigned access = writes ? kMayWrite : 0;
    if (mode == abi::kORdOnly || mode == abi::kORdWr || mode == 3) access |= kMayRead;
    TRY(check_permission(who, inode, access));
    if (writes && inode.is_regular()) TRY(check_writable(dentry));
  }
  if ((flags & abi::kONoAtime) != 0 && who.uid != inode.uid() && !has_capability(who, kCapFowner)) return Errno::perm;
  // Devices see O_NOCTTY; an open file does not keep it.
  const std::uint32_t kept = flags & ~(abi::kOCreat | abi::kOExcl | abi::kOTrunc | abi::kOCloExec);
  if (truncates) {
    TRY(inode.begin_write_access());
    const Result<> truncated = inode.truncate(0);
    inode.end_write_access();
    TRY(truncated);
  }
  Ref<OpenFile> file = TRY(inode.open(dentry, kept));
  notify_file(&dentry, &inode, abi::kInOpen);
  if (truncates) notify_file(&dentry, &inode, abi::kInModify);
  return file;
}

namespace {

Result<Ref<OpenFile>> open_unnamed(const NameContext& context, RefPtr<Dentry> base, std::string_view path, std::uint32_t flags, Mode mode) {
  const std::uint32_t access = flags & abi::kOAccMode;
  if (access != abi::kOWrOnly && access != abi::kORdWr) return Errno::inval;
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> where = TRY(walk.find(path, kWalkFollow | kWalkDirectory));
  TRY(may_create(context.who, *where));
  Inode& directory = where->existing_inode();
  Mode masked = (mode & kModePermMask & ~context.fs.umask()) | mode_of(FileType::regular);
  const Owner owner = owner_in(context.who, directory, masked);
  RefPtr<Inode> inode;
  {
    const LockGuard guard(directory.directory_mutex());
    inode = TRY(directory.create_unnamed(masked, owner));
  }
  const Ref<Dentry> dentry = TRY(DentryCache::unnamed_child(*where, inode.as_ref()));
  return open_dentry(context.who, *dentry, flags & ~abi::kOTmpFile, true);
}

// open(2) with O_CREAT.
Result<Ref<OpenFile>> open_or_create(const NameContext& context, RefPtr<Dentry> base, std::string_view path, std::uint32_t flags, Mode mode) {
  const bool exclusive = (flags & abi::kOExcl) != 0;
  const bool follow = !exclusive && (flags & abi::kONoFollow) == 0;
  PathWalk walk(context.fs, std::move(base), context.who);
  const Ref<Dentry> parent = TRY(walk.find_parent(path, follow ? kWalkFollow : 0));
  if (walk.magic_target()) return open_dentry(context.who, *walk.magic_target(), flags & ~abi::kOCreat, false);
  if (walk.last_kind() != PathWalk::LastKind::name) return exclusive ? Errno::exist : Errno::isdir;
  if (walk.trailing_slash()) return Errno::isdir;
  Inode& directory = parent->existing_inode();
  RefPtr<Dentry> child;
  bool created = false;
  {
    const LockGuard guard(directory.directory_mutex());
    child = TRY(DentryCache::instance().child(*parent, walk.last()));
    if (!child->inode()) {
      TRY(may_create(context.who, *parent));
      Mode masked = (mode & kModePermMask & ~context.fs.umask()) | mode_of(FileType::regular);
      const Owner owner = owner_in(context.who, directory, masked);
      const Ref<Inode> inode = TRY(directory.create(walk.last(), masked, 0, owner));
      DentryCache::instance().instantiate(*child, inode);
      notify_entry(directory, walk.last(), abi::kInCreate, false);
      created = true;
    }
  }
  if (created) return open_dentry(context.who, *child, flags, true);
  if (exclusive) return Errno::exist;
  while (RefPtr<Mount> mount = DentryCache::instance().mount_over(*child)) child = mount->root();
  if (child->existing_inode().is_symlink()) return Errno::loop;
  return open_dentry(context.who, *child, flags, false);
}

}  // namespace

Result<Ref<OpenFile>> open_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, std::uint32_t flags, Mode mode) {
  if ((flags & abi::kOPath) != 0) flags &= abi::kOPath | abi::kODirectory | abi::kONoFollow | abi::kOCloExec;
  if ((flags & abi::kOTmpFileBit) != 0) {
    if ((flags & abi::kOTmpFile) != abi::kOTmpFile || (flags & abi::kOCreat) != 0) return Errno::inval;
    return open_unnamed(context, std::move(base), path, flags, mode);
  }
  if ((flags & abi::kOCreat) != 0) {
    if ((flags & abi::kODirectory) != 0) return Errno::inval;
    return open_or_create(context, std::move(base), path, flags, mode);
  }
  std::uint32_t walk_flags = (flags & abi::kONoFollow) != 0 ? 0 : kWalkFollow;
  if ((flags & abi::kODirectory) != 0) walk_flags |= kWalkDirectory;
  PathWalk walk(context.fs, std::move(base), context.who);
  const RefPtr<Dentry> dentry = TRY(walk.find_quick(path, walk_flags));
  return open_dentry(context.who, *dentry, flags, false);
}

}  // namespace kernel
