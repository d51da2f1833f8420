// Paths and files by task: what system calls, exec and sockets use.
#include "abi/fs.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/names.h"
#include "kernel/vfs/path.h"

namespace kernel {

Identity identity_of(Task& task) {
  const Credentials& credentials = task.credentials();
  return {.uid = credentials.fsuid, .gid = credentials.fsgid, .groups = credentials.groups.span(), .capabilities = credentials.effective};
}

Result<RefPtr<Dentry>> base_of(Task& task, Fd dir, std::string_view path) {
  if (dir == kAtFdCwd || (!path.empty() && path.front() == '/')) return RefPtr<Dentry>();
  const RefPtr<OpenFile> file = TRY(files_of(task).get_any(dir));
  if (!file->dentry()) return Errno::notdir;
  return file->dentry();
}

Result<Ref<Dentry>> lookup_path(Task& task, Fd dir, std::string_view path, std::uint32_t walk_flags) {
  const Identity who = identity_of(task);
  PathWalk walk(fs_of(task), TRY(base_of(task, dir, path)), who);
  return walk.find(path, walk_flags);
}

Result<RefPtr<Dentry>> lookup_path_quick(Task& task, Fd dir, std::string_view path, std::uint32_t walk_flags) {
  const Identity who = identity_of(task);
  PathWalk walk(fs_of(task), TRY(base_of(task, dir, path)), who);
  return walk.find_quick(path, walk_flags);
}

Result<Ref<OpenFile>> open_path(Task& task, Fd dir, std::string_view path, std::uint32_t flags, Mode mode) {
  const Identity who = identity_of(task);
  return open_at({.fs = fs_of(task), .who = who}, TRY(base_of(task, dir, path)), path, flags, mode);
}

Result<Ref<OpenFile>> open_executable(Task& task, Fd dir, std::string_view path, std::uint32_t walk_flags) {
  const Identity who = identity_of(task);
  RefPtr<Dentry> found;
  if (path.empty() && (walk_flags & kWalkEmpty) != 0 && dir != kAtFdCwd) {
    // fexecve: also files without a name (memfd).
    const RefPtr<OpenFile> file = TRY(files_of(task).get_any(dir));
    if (!file->inode()) return Errno::acces;
    TRY(check_executable(who, *file->inode(), file->dentry().get()));
    if (!file->dentry()) return file->inode()->open_anonymous(abi::kORdOnly);
    found = file->dentry();
  } else {
    found = TRY(lookup_path(task, dir, path, walk_flags));
    if (found->existing_inode().is_symlink()) return Errno::loop;
    TRY(check_executable(who, found->existing_inode(), found.get()));
  }
  return found->existing_inode().open(*found, abi::kORdOnly);
}

Result<Ref<Dentry>> make_node(Task& task, Fd dir, std::string_view path, Mode mode, std::uint64_t rdev) {
  const Identity who = identity_of(task);
  return make_node_at({.fs = fs_of(task), .who = who}, TRY(base_of(task, dir, path)), path, mode, rdev);
}

Result<> check_access(Task& task, const Inode& inode, unsigned access) { return check_permission(identity_of(task), inode, access); }

Result<> check_executable(const Identity& who, const Inode& inode, const Dentry* where) {
  if (!inode.is_regular()) return Errno::acces;
  if (where != nullptr && (mount_flags(*where) & kMountNoExec) != 0) return Errno::acces;
  return check_permission(who, inode, kMayExec);
}

Result<PathText> path_seen_by(Task& task, const Dentry& dentry, std::span<char> into) {
  const Ref<Dentry> root = fs_of(task).root();
  return path_text(dentry, root.get(), into);
}

}  // namespace kernel
