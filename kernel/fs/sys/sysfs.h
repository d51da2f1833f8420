// /sys: what C libraries and language runtimes read of it (processors, caches, memory, cgroups, network and block devices).
#ifndef KERNEL_FS_SYS_SYSFS_H
#define KERNEL_FS_SYS_SYSFS_H

#include "kernel/base/result.h"

namespace kernel {

// Boot, before mount_root(): the type "sysfs". ENOMEM.
Result<> register_sys_file_system();

}  // namespace kernel
#endif  // KERNEL_FS_SYS_SYSFS_H
