// Character devices of major 5 (tty(4), console(4)): other names of the terminal that `occlum run` was started on.
#ifndef KERNEL_FS_DEV_TERMINAL_H
#define KERNEL_FS_DEV_TERMINAL_H

#include <cstdint>

#include "kernel/vfs/open_file.h"

namespace kernel {

inline constexpr std::uint32_t kTerminalMajor = 5;
inline constexpr std::uint32_t kTtyMinor = 0, kConsoleMinor = 1, kPtmxMinor = 2;

// For register_character_device(). tty: the terminal among the host's streams, ENXIO if none is one. console: the same, or else the
// host's standard error. ptmx: ENXIO.
Result<Ref<OpenFile>> open_terminal_device(Dentry& where, Inode& inode, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_FS_DEV_TERMINAL_H
