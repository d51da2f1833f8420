// FIFOs and device nodes on any file system: who opens them. The registration functions are in mount.h.
#ifndef KERNEL_VFS_SPECIAL_FILE_H
#define KERNEL_VFS_SPECIAL_FILE_H

#include "kernel/vfs/open_file.h"

namespace kernel {

// Opens a FIFO or device inode through what has been registered for it. ENXIO if there is nothing; EACCES on a nodev mount.
Result<Ref<OpenFile>> open_special(Dentry& where, Inode& inode, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_VFS_SPECIAL_FILE_H
