// What terminals of all kinds have in common.
#ifndef KERNEL_FS_TTY_TERMINAL_H
#define KERNEL_FS_TTY_TERMINAL_H

#include <cstdint>
#include <optional>

#include "kernel/task/terminal.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class Terminal : public ControllingTerminal {
 public:
  // A further open file, as open(2) of one of its nodes makes it; takes the terminal for the caller's session unless O_NOCTTY is set.
  virtual Result<Ref<OpenFile>> open(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags) = 0;
};

// The requests about sessions and groups: TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID. nullopt: the request is another one.
// `through_master`: the file is the master of the pair, which controls nobody itself. `readable`: the file may be read.
Result<std::optional<std::uint64_t>> session_ioctl(Task& task, ControllingTerminal& terminal, bool through_master, bool readable,
                                                   std::uint32_t request, std::uint64_t argument);

// For register_character_device(): /dev/tty, /dev/console and /dev/ptmx (major 5).
inline constexpr std::uint32_t kTerminalMajor = 5;
inline constexpr std::uint32_t kTtyMinor = 0, kConsoleMinor = 1, kPtmxMinor = 2;
Result<Ref<OpenFile>> open_terminal_device(Dentry& where, Inode& inode, std::uint32_t flags);
// Nodes of pseudo terminals outside of devpts lead nowhere: EIO.
Result<Ref<OpenFile>> open_foreign_slave(Dentry& where, Inode& inode, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_FS_TTY_TERMINAL_H
