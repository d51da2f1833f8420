// devpts: the file system of the slaves of pseudo terminals, and the table of pairs.
#ifndef KERNEL_FS_TTY_DEVPTS_H
#define KERNEL_FS_TTY_DEVPTS_H

#include <cstdint>
#include <string_view>

#include "kernel/fs/tty/pty.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

inline constexpr std::uint32_t kMaxPtys = 4096;  // /proc/sys/kernel/pty/max

// For register_file_system(). All mounts show the same pairs; options: uid=, gid=, mode= (of nodes made from now on), others are ignored.
Result<Ref<Superblock>> make_devpts(std::string_view source, std::string_view options);
// Opens /dev/ptmx: a new pair. ENOSPC if there are too many.
Result<Ref<OpenFile>> open_master(Dentry& where, Inode& inode, std::uint32_t flags);
// TIOCGPTPEER: the slave, wherever its node is mounted.
Result<Ref<OpenFile>> open_peer(Pty& pty, std::uint32_t flags);
// The master was closed: the node goes, the number is free.
void forget_pty(Pty& pty);
std::uint32_t pty_count();

}  // namespace kernel
#endif  // KERNEL_FS_TTY_DEVPTS_H
