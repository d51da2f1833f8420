// The mount table, and what devfs, procfs and special files register at boot.
#ifndef KERNEL_VFS_MOUNT_H
#define KERNEL_VFS_MOUNT_H

#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/vfs/dentry.h"

namespace kernel {

// MS_* flags that a mount keeps.
inline constexpr std::uint32_t kMountReadOnly = 1, kMountNoSuid = 2, kMountNoDev = 4, kMountNoExec = 8, kMountNoSymlinks = 256,
                               kMountNoAtime = 1024;

class Mount final : public RefCounted<Mount> {
 public:
  Mount(Ref<Superblock> superblock, Ref<Dentry> root, RefPtr<Dentry> mountpoint, std::uint32_t flags)
      : superblock_(superblock), root_(root), mountpoint_(std::move(mountpoint)) {
    set_flags(flags);
  }
  Superblock& superblock() const { return *superblock_; }
  const Ref<Dentry>& root() const { return root_; }
  const RefPtr<Dentry>& mountpoint() const { return mountpoint_; }  // nullptr: the root of everything
  std::uint32_t flags() const { return superblock_->mount_flags(); }
  void set_flags(std::uint32_t flags) { superblock_->set_mount_flags(flags); }
  std::string_view source() const LIFETIMEBOUND { return {source_.begin(), source_.size()}; }
  Result<> set_source(std::string_view source);

 private:
  const Ref<Superblock> superblock_;
  const Ref<Dentry> root_;
  const RefPtr<Dentry> mountpoint_;
  Vec<char> source_;
};

// Mounts a file system on a directory, or on what has been mounted there meanwhile. EBUSY if the superblock is mounted already, ENOTDIR,
// ENOENT if the directory has been removed or its file system is not in the tree any more.
Result<> mount_at(Dentry& directory, Ref<Superblock> superblock, std::uint32_t flags, std::string_view source);
// umount2(2): EINVAL if nothing is mounted with this root, EBUSY if it is in use (unless `detach`: then what is mounted below goes too, and
// each file system lives on for those who use it).
Result<> unmount(Dentry& root, bool detach);
// The last user of a file system that is not in the tree any more is gone. Called by the last dentry.
void finish_unmount(Superblock& superblock);
// The mounts now, oldest first, for /proc/mounts.
Result<Vec<Ref<Mount>>> list_mounts();
// The mount of a superblock; nullptr if it is mounted nowhere.
RefPtr<Mount> mount_of(const Superblock& superblock);
// Flags of the mount that holds the dentry.
std::uint32_t mount_flags(const Dentry& dentry);
// True for the root directory of a mounted file system.
bool is_mount_root(const Dentry& dentry);
// EROFS if nothing may be changed there.
Result<> check_writable(const Dentry& dentry);
// The root of the mount tree (after mount_root()).
Ref<Dentry> root_dentry();

// A file system type that mount tables and mount(2) may name. `source` and `options` as given there.
struct FileSystemType {
  std::string_view name;
  Result<Ref<Superblock>> (*make)(std::string_view source, std::string_view options);
};
// Boot only, before other vCPUs run. For "procfs"/"proc", "devfs", "devpts", "sysfs" (K4's folders), "ramfs"/"tmpfs".
Result<> register_file_system(FileSystemType type);

// A new file system of a registered type. ENODEV if there is no such type.
Result<Ref<Superblock>> make_file_system(std::string_view type_name, std::string_view source, std::string_view options);

// Boot: the root of everything.
Result<> install_root(Ref<Superblock> superblock, std::uint32_t flags);

// Boot: builds the mount tree from config().mounts (root first), plus /proc and /dev of the registered types. An error names the mount
// in the log.
Result<> mount_root();

// Boot: builds the tree from a list of "type\ttarget\tsource\toptions"; mount_root() calls it with the configuration's.
Result<> mount_list(std::span<const std::string_view> entries);

// What opens character and block devices by number, and FIFOs. Boot only. `maker` gets the inode's dentry and the open flags.
using SpecialOpen = Result<Ref<OpenFile>> (*)(Dentry& where, Inode& inode, std::uint32_t flags);
Result<> register_character_device(std::uint32_t major, SpecialOpen open);
void register_fifo(SpecialOpen open);

}  // namespace kernel
#endif  // KERNEL_VFS_MOUNT_H
