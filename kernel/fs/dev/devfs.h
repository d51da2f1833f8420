// /dev: a RAM file system that starts with the usual nodes, so that programs can add their own (sockets, links, directories) as on Linux.
#ifndef KERNEL_FS_DEV_DEVFS_H
#define KERNEL_FS_DEV_DEVFS_H

#include "kernel/base/result.h"

namespace kernel {

// Boot, before mount_root(): the types "devfs" and "devpts", the character devices of memory (major 1) and terminals (major 5), FIFOs.
// "devfs" needs "ramfs" when it is mounted. ENOMEM.
Result<> register_device_file_systems();

}  // namespace kernel
#endif  // KERNEL_FS_DEV_DEVFS_H
