#include "kernel/syscall/path.h"

#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/names.h"
#include "kernel/vfs/path.h"

namespace kernel {

Result<> sys_mkdir(Task& task, UserPtr<const char> path, Mode mode) { return sys_mkdirat(task, kAtFdCwd, path, mode); }

Result<> sys_mkdirat(Task& task, Fd dir, UserPtr<const char> path, Mode mode) {
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path));
  const Identity who = identity_of(task);
  return make_directory_at({.fs = fs_of(task), .who = who}, TRY(base_of(task, dir, text)), text, mode);
}

Result<> sys_rmdir(Task& task, UserPtr<const char> path) { return sys_unlinkat(task, kAtFdCwd, path, abi::kAtRemoveDir); }
Result<> sys_unlink(Task& task, UserPtr<const char> path) { return sys_unlinkat(task, kAtFdCwd, path, 0); }

Result<> sys_unlinkat(Task& task, Fd dir, UserPtr<const char> path, std::uint32_t flags) {
  if ((flags & ~abi::kAtRemoveDir) != 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path));
  const Identity who = identity_of(task);
  const NameContext context{.fs = fs_of(task), .who = who};
  RefPtr<Dentry> base = TRY(base_of(task, dir, text));
  return flags != 0 ? remove_directory_at(context, std::move(base), text) : unlink_at(context, std::move(base), text);
}

Result<> sys_link(Task& task, UserPtr<const char> from, UserPtr<const char> to) { return sys_linkat(task, kAtFdCwd, from, kAtFdCwd, to, 0); }

Result<> sys_linkat(Task& task, Fd from_dir, UserPtr<const char> from, Fd to_dir, UserPtr<const char> to, std::uint32_t flags) {
  if ((flags & ~(abi::kAtSymlinkFollow | abi::kAtEmptyPath)) != 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer from_buffer;
  [[clang::uninitialized]] PathBuffer to_buffer;
  const std::string_view from_text = TRY(from_buffer.load(from, (flags & abi::kAtEmptyPath) != 0));
  const std::uint32_t walk = ((flags & abi::kAtSymlinkFollow) != 0 ? kWalkFollow : 0) | kWalkEmpty;
  const Ref<Dentry> existing = TRY(lookup_path(task, from_dir, from_text, walk));
  const std::string_view to_text = TRY(to_buffer.load(to));
  const Identity who = identity_of(task);
  return make_link_at({.fs = fs_of(task), .who = who}, *existing, TRY(base_of(task, to_dir, to_text)), to_text);
}

Result<> sys_symlink(Task& task, UserPtr<const char> target, UserPtr<const char> path) {
  return sys_symlinkat(task, target, kAtFdCwd, path);
}

Result<> sys_symlinkat(Task& task, UserPtr<const char> target, Fd dir, UserPtr<const char> path) {
  [[clang::uninitialized]] PathBuffer target_buffer;
  [[clang::uninitialized]] PathBuffer path_buffer;
  const std::string_view target_text = TRY(target_buffer.load(target));
  const std::string_view text = TRY(path_buffer.load(path));
  const Identity who = identity_of(task);
  return make_symlink_at({.fs = fs_of(task), .who = who}, TRY(base_of(task, dir, text)), text, target_text);
}

Result<> sys_rename(Task& task, UserPtr<const char> from, UserPtr<const char> to) {
  return sys_renameat2(task, kAtFdCwd, from, kAtFdCwd, to, 0);
}
Result<> sys_renameat(Task& task, Fd from_dir, UserPtr<const char> from, Fd to_dir, UserPtr<const char> to) {
  return sys_renameat2(task, from_dir, from, to_dir, to, 0);
}

Result<> sys_renameat2(Task& task, Fd from_dir, UserPtr<const char> from, Fd to_dir, UserPtr<const char> to, std::uint32_t flags) {
  TRY(check_rename_flags(flags));
  [[clang::uninitialized]] PathBuffer from_buffer;
  [[clang::uninitialized]] PathBuffer to_buffer;
  const Identity who = identity_of(task);
  const NameContext context{.fs = fs_of(task), .who = who};
  // The old name is walked before the new one is even read.
  const std::string_view from_text = TRY(from_buffer.load(from));
  PathWalk from_walk(context.fs, TRY(base_of(task, from_dir, from_text)), who);
  const Ref<Dentry> from_parent = TRY(from_walk.find_parent(from_text, 0));
  const std::string_view to_text = TRY(to_buffer.load(to));
  PathWalk to_walk(context.fs, TRY(base_of(task, to_dir, to_text)), who);
  const Ref<Dentry> to_parent = TRY(to_walk.find_parent(to_text, 0));
  return rename_at(context, {.walk = from_walk, .parent = *from_parent}, {.walk = to_walk, .parent = *to_parent}, flags);
}

Result<> sys_mknod(Task& task, UserPtr<const char> path, Mode mode, std::uint32_t device) {
  return sys_mknodat(task, kAtFdCwd, path, mode, device);
}

Result<> sys_mknodat(Task& task, Fd dir, UserPtr<const char> path, Mode mode, std::uint32_t device) {
  std::uint64_t number = 0;
  switch (type_of(mode)) {
    case FileType::none:
      mode |= mode_of(FileType::regular);
      break;
    case FileType::regular:
    case FileType::fifo:
    case FileType::socket:
      break;
    case FileType::character:
    case FileType::block:
      if (!has_capability(identity_of(task), kCapMknod)) return Errno::perm;
      number = abi::make_device(abi::device_major(device), abi::device_minor(device));
      break;
    case FileType::directory:
      return Errno::perm;
    default:
      return Errno::inval;
  }
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path));
  TRY(make_node(task, dir, text, mode & (kModeTypeMask | kModePermMask), number));
  return {};
}

Result<std::uint64_t> sys_readlink(Task& task, UserPtr<const char> path, UserPtr<char> into, std::int32_t size) {
  return sys_readlinkat(task, kAtFdCwd, path, into, size);
}

Result<std::uint64_t> sys_readlinkat(Task& task, Fd dir, UserPtr<const char> path, UserPtr<char> into, std::int32_t size) {
  if (size <= 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path, true));
  if (text.empty() && (dir == kAtFdCwd || !TRY(files_of(task).get_any(dir))->dentry())) return Errno::noent;
  const Ref<Dentry> found = TRY(lookup_path(task, dir, text, kWalkEmpty));
  Inode& inode = found->existing_inode();
  if (!inode.is_symlink()) return text.empty() ? Errno::noent : Errno::inval;
  const Own<PathPage> page = TRY(make_own<PathPage>());
  const std::size_t length = TRY(inode.read_link(page->bytes));
  const std::size_t count = std::min(length, static_cast<std::size_t>(size));
  TRY(into.store_all(std::span<const char>(page->bytes).first(count)));
  return std::uint64_t{count};
}

Result<> sys_mount(Task& task, UserPtr<const char> source, UserPtr<const char> target, UserPtr<const char> type, std::uint64_t flags,
                   UserPtr<const char> data) {
  if (!has_capability(identity_of(task), kCapSysAdmin)) return Errno::perm;
  if ((flags & abi::kMsMagicMask) == abi::kMsMagic) flags &= ~abi::kMsMagicMask;
  [[clang::uninitialized]] PathBuffer target_buffer;
  const Ref<Dentry> directory = TRY(lookup_path(task, kAtFdCwd, TRY(target_buffer.load(target)), kWalkFollow));
  constexpr std::uint64_t kKept = kMountReadOnly | kMountNoSuid | kMountNoDev | kMountNoExec | kMountNoSymlinks | kMountNoAtime;
  const auto kept = static_cast<std::uint32_t>(flags & kKept);
  if ((flags >> 31) != 0) return Errno::inval;  // MS_NOUSER, and what has no meaning
  // Propagation between name spaces: there is one name space, so nothing is ever propagated. Every mount is private.
  constexpr std::uint64_t kPropagation = abi::kMsShared | abi::kMsPrivate | abi::kMsSlave | abi::kMsUnbindable;
  if ((flags & abi::kMsRemount) == 0 && (flags & kPropagation) == abi::kMsPrivate && is_mount_root(*directory)) return {};
  if ((flags & kPropagation) != 0) return Errno::inval;
  if ((flags & (abi::kMsBind | abi::kMsMove)) != 0) return Errno::inval;
  if ((flags & abi::kMsRemount) != 0) {
    if (!is_mount_root(*directory)) return Errno::inval;
    const RefPtr<Mount> mount = mount_of(directory->superblock());
    if (!mount) return Errno::inval;
    mount->set_flags(kept);
    return {};
  }
  if (type.is_null()) return Errno::inval;
  [[clang::uninitialized]] PathBuffer type_buffer;
  [[clang::uninitialized]] PathBuffer source_buffer;
  const std::string_view type_text = TRY(type_buffer.load(type));
  const std::string_view source_text = source.is_null() ? std::string_view() : TRY(source_buffer.load(source, true));
  Own<PathPage> options = TRY(make_own<PathPage>());
  const std::size_t length = data.is_null() ? 0 : TRY(frame::copy_string_from_user(options->bytes, data.address()));
  const Ref<Superblock> superblock = TRY(make_file_system(type_text, source_text, std::string_view(options->bytes.data(), length)));
  const Result<> mounted = mount_at(*directory, superblock, kept, source_text);
  if (!mounted.ok()) superblock->on_unmounted();  // it never was, and nobody else knows it
  return mounted;
}

Result<> sys_umount2(Task& task, UserPtr<const char> target, std::uint32_t flags) {
  if ((flags & ~(abi::kMntForce | abi::kMntDetach | abi::kMntExpire | abi::kUmountNoFollow)) != 0) return Errno::inval;
  if (!has_capability(identity_of(task), kCapSysAdmin)) return Errno::perm;
  if ((flags & abi::kMntExpire) != 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer buffer;
  const Ref<Dentry> root =
      TRY(lookup_path(task, kAtFdCwd, TRY(buffer.load(target)), (flags & abi::kUmountNoFollow) != 0 ? 0 : kWalkFollow));
  if (!is_mount_root(*root)) return Errno::inval;
  return unmount(*root, (flags & abi::kMntDetach) != 0);
}

}  // namespace kernel
