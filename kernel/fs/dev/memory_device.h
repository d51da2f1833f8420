// Character devices of major 1 (mem(4), null(4), random(4)).
#ifndef KERNEL_FS_DEV_MEMORY_DEVICE_H
#define KERNEL_FS_DEV_MEMORY_DEVICE_H

#include <cstdint>

#include "kernel/vfs/open_file.h"

namespace kernel {

inline constexpr std::uint32_t kMemoryMajor = 1;
inline constexpr std::uint32_t kNullMinor = 3, kZeroMinor = 5, kFullMinor = 7, kRandomMinor = 8, kUrandomMinor = 9, kKmsgMinor = 11;

// For register_character_device(). ENXIO for other minors.
Result<Ref<OpenFile>> open_memory_device(Dentry& where, Inode& inode, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_FS_DEV_MEMORY_DEVICE_H
