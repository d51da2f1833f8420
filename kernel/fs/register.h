// The file systems of this folder, made known to the mount table: "image" and "unionfs" (image below, RAM above), "ramfs" and "tmpfs".
#ifndef KERNEL_FS_REGISTER_H
#define KERNEL_FS_REGISTER_H

#include "kernel/base/result.h"

namespace kernel {

// Boot, before mount_root(): also decides whether SHA-256 uses the processor's instructions (CPUID must be known). ENOMEM.
Result<> register_file_systems();

}  // namespace kernel
#endif  // KERNEL_FS_REGISTER_H
