// Finding and opening files by path, as path_resolution(7) says.
#ifndef KERNEL_VFS_PATH_H
#define KERNEL_VFS_PATH_H

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/frame/user.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/fs_context.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

// Room for one path.
struct PathPage {
  PathPage() {}  // NOLINT: bytes stay undefined on purpose
  std::array<char, kPathMax> bytes;
};

// A path out of program memory. Short ones need no allocation; make it [[clang::uninitialized]].
class PathBuffer {
 public:
  PathBuffer() {}  // NOLINT: inline_ stays undefined on purpose
  // EFAULT, ENAMETOOLONG, ENOMEM; an empty path is ENOENT unless allow_empty.
  Result<std::string_view> load(UserPtr<const char> path, bool allow_empty = false) LIFETIMEBOUND;

 private:
  std::array<char, 192> inline_;
  Own<PathPage> long_;
};

inline constexpr std::uint32_t kWalkFollow = 1;       // follow a symbolic link in the last place
inline constexpr std::uint32_t kWalkDirectory = 2;    // the result must be a directory (ENOTDIR)
inline constexpr std::uint32_t kWalkEmpty = 4;        // AT_EMPTY_PATH: an empty path is the start itself

// One walk for one caller. Not shared between threads.
class PathWalk {
 public:
  // `base` is where relative paths start; nullptr = the working directory. `context` and `who` outlive the walk.
  PathWalk(const FsContext& context LIFETIMEBOUND, RefPtr<Dentry> base, const Identity& who LIFETIMEBOUND)
      : context_(context), base_(std::move(base)), who_(who) {}

  // The dentry of an existing file. ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, EIO...
  Result<Ref<Dentry>> find(std::string_view path, std::uint32_t flags);
  // The same for hot paths: never null on success, and handed on without touching its count.
  Result<RefPtr<Dentry>> find_quick(std::string_view path, std::uint32_t flags);

  // Everything but the last component, which is then in last(). With kWalkFollow symbolic links in the last place are resolved too (as
  // O_CREAT does), so that last() is the name of something else or of nothing. The dentry is a directory.
  enum class LastKind : std::uint8_t { name, dot, dot_dot, root };
  Result<Ref<Dentry>> find_parent(std::string_view path, std::uint32_t flags);
  std::string_view last() const LIFETIMEBOUND { return last_; }  // valid as long as the path given and this object
  LastKind last_kind() const { return last_kind_; }
  bool trailing_slash() const { return trailing_slash_; }
  // find_parent() ended at a magic link in the last place: this is the file it leads to.
  const RefPtr<Dentry>& magic_target() const LIFETIMEBOUND { return magic_target_; }

 private:
  struct Component;
  struct Step;
  Result<RefPtr<Dentry>> walk(std::string_view path, std::uint32_t flags, bool stop_at_parent);
  Step cached_steps(RefPtr<Dentry> at, RefPtr<Dentry> supplied, std::string_view& rest, std::uint32_t flags, bool stop_at_parent);
  Component scan(const Dentry& at, std::string_view rest) const;
  void note_last(const Component& component);
  static Dentry* go_up(Dentry* at, const Dentry* root);
  // Puts the link's target in front of `rest`.
  Result<> expand_link(Inode& link, std::string_view& rest);

  const FsContext& context_;
  RefPtr<Dentry> base_;
  const Identity& who_;
  std::string_view last_;
  LastKind last_kind_ = LastKind::name;
  bool trailing_slash_ = false;
  unsigned links_ = 0;
  unsigned page_ = 0;
  std::array<Own<PathPage>, 2> pages_;  // paths after symbolic links, used in turn
  RefPtr<Dentry> magic_target_;
};

// EACCES unless `who` may do all of `access` (kMayRead | ...) with a file, by owner, group, mode and capabilities.
Result<> check_permission(const Identity& who, const Inode& inode, unsigned access);

// --- by task; what system calls, exec and sockets use. `dir` is a descriptor or kAtFdCwd. ---
Result<Ref<Dentry>> lookup_path(Task& task, Fd dir, std::string_view path, std::uint32_t walk_flags);
Result<RefPtr<Dentry>> lookup_path_quick(Task& task, Fd dir, std::string_view path, std::uint32_t walk_flags);  // never null
// open(2) without the descriptor: flags and mode (umask is applied here) as the program gave them, unknown ones ignored as Linux does.
Result<Ref<OpenFile>> open_path(Task& task, Fd dir, std::string_view path, std::uint32_t flags, Mode mode);
// For exec: a regular file that the task may execute, opened for reading. EACCES otherwise. Also the interpreter of one.
// `walk_flags`: kWalkFollow (not with AT_SYMLINK_NOFOLLOW: ELOOP on a link) and kWalkEmpty.
Result<Ref<OpenFile>> open_executable(Task& task, Fd dir, std::string_view path, std::uint32_t walk_flags = kWalkFollow);
// Makes a node (mknod, bind of a Unix socket): `mode` holds the type and permissions before the umask. EEXIST.
Result<Ref<Dentry>> make_node(Task& task, Fd dir, std::string_view path, Mode mode, std::uint64_t rdev);
// EACCES unless the task may do all of `access` (kMayRead...) to the file, by its file-system ids.
Result<> check_access(Task& task, const Inode& inode, unsigned access);
// Valid as long as the task's credentials do not change (only the task itself changes them).
Identity identity_of(Task& task);
// The directory that a relative path starts at: nullptr for the working directory (and for absolute paths, where `dir` is not looked
// at). EBADF, ENOTDIR for files without a place.
Result<RefPtr<Dentry>> base_of(Task& task, Fd dir, std::string_view path);
// EACCES unless it is a regular file that `who` may execute, on a mount that allows it.
Result<> check_executable(const Identity& who, const Inode& inode, const Dentry* where);
// The name of a file as the task sees it (getcwd, /proc/self/exe, /proc/self/fd), at the end of `into`.
Result<PathText> path_seen_by(Task& task, const Dentry& dentry, std::span<char> into LIFETIMEBOUND);

}  // namespace kernel
#endif  // KERNEL_VFS_PATH_H
