// Telling watchers what happens to files. The file layer calls these functions where the thing has been done; with no watch anywhere they
// cost one load. inotify.cc implements them, and tells dnotify.h of directories.
//
// Events on a file are seen by watches of the file itself and, with its name, by those of the directory it was reached through.
#ifndef KERNEL_VFS_NOTIFY_H
#define KERNEL_VFS_NOTIFY_H

#include <atomic>
#include <cstdint>
#include <string_view>

#include "abi/inotify.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"

namespace kernel {

namespace notify {

// A name changed within one directory: dnotify.h has an event for that.
inline constexpr std::uint32_t kRenamed = 0x1000;

extern std::atomic<std::uint32_t> watch_count;
inline bool is_watched() { return watch_count.load(std::memory_order_relaxed) != 0; }

void tell_file(const Dentry* where, Inode& inode, std::uint32_t event);
void tell_entry(Inode& directory, std::string_view name, std::uint32_t event, bool is_directory, std::uint32_t cookie);
void tell_removed(Inode& inode);
std::uint32_t next_cookie();

}  // namespace notify

// Something was done with an open file or by path: kInOpen, kInAccess, kInModify, kInAttrib, kInClose*. `where` may be null.
inline void notify_file(const Dentry* where, Inode* inode, std::uint32_t event) {
  if (notify::is_watched() && inode != nullptr) notify::tell_file(where, *inode, event);
}
// A name appeared in a directory or went from it: kInCreate, kInDelete, kInMovedFrom, kInMovedTo.
inline void notify_entry(Inode& directory, std::string_view name, std::uint32_t event, bool is_directory, std::uint32_t cookie = 0) {
  if (notify::is_watched()) notify::tell_entry(directory, name, event, is_directory, cookie);
}
// A name of the file went: its attributes have changed; if it was the last name and nobody has the file open, the file is gone.
inline void notify_unlinked(Inode& inode) {
  if (notify::is_watched()) notify::tell_removed(inode);
}
// The last open file of an inode was closed.
void notify_last_close(Inode& inode);
// The file system is mounted nowhere any more.
void notify_unmounted(const Superblock& superblock);
// What an AttributeChange is to a watcher; 0 = nothing.
std::uint32_t event_of(const AttributeChange& change);

}  // namespace kernel
#endif  // KERNEL_VFS_NOTIFY_H
