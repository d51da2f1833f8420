// Making, removing and renaming files by name, with all checks of permissions and mounts: the part of mkdir(2), unlink(2), rename(2) and
// so on that comes after the path has been found. Errors as the man pages list them.
#ifndef KERNEL_VFS_NAMES_H
#define KERNEL_VFS_NAMES_H

#include <cstdint>
#include <string_view>

#include "kernel/vfs/path.h"

namespace kernel {

// Who asks, and where paths start.
struct NameContext {
  const FsContext& fs;
  const Identity& who;
};

// `base` is the directory that relative paths start at, nullptr = the working directory. `mode` before the umask.
Result<Ref<Dentry>> make_node_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, Mode mode, std::uint64_t rdev);
Result<> make_directory_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, Mode mode);
Result<> make_symlink_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, std::string_view target);
// A further name for an existing file.
Result<> make_link_at(const NameContext& context, Dentry& existing, RefPtr<Dentry> base, std::string_view path);
Result<> unlink_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path);
Result<> remove_directory_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path);
// renameat2(2): EINVAL for flags (abi::kRename*) that do not go together or are unknown; this is checked before the names are read.
Result<> check_rename_flags(std::uint32_t flags);
// One name of a rename, after find_parent() of its walk.
struct RenameSide {
  const PathWalk& walk;
  Dentry& parent;
};
// kRenameWhiteout is EINVAL, once all else is right.
Result<> rename_at(const NameContext& context, const RenameSide& from_side, const RenameSide& to_side, std::uint32_t flags);
// open(2) after the decoding of registers.
Result<Ref<OpenFile>> open_at(const NameContext& context, RefPtr<Dentry> base, std::string_view path, std::uint32_t flags, Mode mode);
// Opens what a walk found, after checks; `created` skips those that creat(2) skips for a new file.
Result<Ref<OpenFile>> open_dentry(const Identity& who, Dentry& dentry, std::uint32_t flags, bool created);

}  // namespace kernel
#endif  // KERNEL_VFS_NAMES_H
