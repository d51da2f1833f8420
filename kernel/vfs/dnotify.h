// Directory notification (fcntl(2), F_NOTIFY): a signal to the file's owner when something happens in a directory. The older sibling of
// inotify; both hear of events in one place (notify.h).
#ifndef KERNEL_VFS_DNOTIFY_H
#define KERNEL_VFS_DNOTIFY_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

// What the descriptor `fd` of a table shall tell of; `events` are abi::kDn* bits, which add up over calls. None of them = nothing any
// more. ENOTDIR, EBADF: it was closed meanwhile, ENOMEM.
Result<> set_directory_notification(std::uint64_t table, OpenFile& file, Fd fd, std::uint32_t events);
// A descriptor of the file was closed in that table: as fcntl(2) has it, what any descriptor of the file asked for goes.
void drop_directory_notifications(std::uint64_t table, const OpenFile& file);

namespace notify {
// Tells those who asked about `directory`. `event`: abi::kIn*, or kRenamed.
void signal_directory(const Inode& directory, std::uint32_t event);
}  // namespace notify

}  // namespace kernel
#endif  // KERNEL_VFS_DNOTIFY_H
