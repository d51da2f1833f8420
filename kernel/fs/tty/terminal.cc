#include "kernel/fs/tty/terminal.h"

#include "abi/fs.h"
#include "abi/tty.h"
#include "kernel/frame/user.h"
#include "kernel/fs/tty/console.h"
#include "kernel/fs/tty/devpts.h"

namespace kernel {

namespace {

Result<> change_foreground(Task& task, ControllingTerminal& terminal, UserPtr<const std::int32_t> argument) {
  const Result<> allowed = check_background(task, terminal, abi::kSigTtou);
  if (!allowed.ok()) return allowed.error() == Errno::io ? Result<>(Errno::notty) : allowed;
  return set_foreground(task, terminal, TRY(argument.load()));
}

Result<Ref<OpenFile>> open_own_terminal(Dentry& where, Inode& inode, std::uint32_t flags) {
  const RefPtr<ControllingTerminal> mine = terminal_of(current_task().process());
  if (!mine) return Errno::nxio;
  // SAFETY: Terminal is the only class that derives from ControllingTerminal.
  return static_cast<Terminal&>(*mine).open(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags | abi::kONoCtty);
}

}  // namespace

Result<std::optional<std::uint64_t>> session_ioctl(Task& task, ControllingTerminal& terminal, bool through_master, bool readable,
                                                   std::uint32_t request, std::uint64_t argument) {
  const auto is_mine = [&] { return terminal_of(task.process()).get() == &terminal; };
  switch (request) {
    case abi::kTiocSCtty:
      TRY(take_terminal(task, terminal, argument == 1, readable));
      return std::optional<std::uint64_t>(0);
    case abi::kTiocNotty:
      if (through_master) return Errno::notty;
      TRY(give_up_terminal(task, terminal));
      return std::optional<std::uint64_t>(0);
    case abi::kTiocGPgrp:
      if (!through_master && !is_mine()) return Errno::notty;
      TRY(UserPtr<std::int32_t>(argument).store(static_cast<std::int32_t>(terminal.foreground())));
      return std::optional<std::uint64_t>(0);
    case abi::kTiocSPgrp:
      TRY(change_foreground(task, terminal, UserPtr<const std::int32_t>(argument)));
      return std::optional<std::uint64_t>(0);
    case abi::kTiocGSid:
      if ((!through_master && !is_mine()) || terminal.session() == Pid{}) return Errno::notty;
      TRY(UserPtr<std::int32_t>(argument).store(static_cast<std::int32_t>(terminal.session())));
      return std::optional<std::uint64_t>(0);
    default:
      return std::optional<std::uint64_t>();
  }
}

Result<Ref<OpenFile>> open_terminal_device(Dentry& where, Inode& inode, std::uint32_t flags) {
  switch (abi::device_minor(inode.attributes().rdev)) {
    case kTtyMinor: return open_own_terminal(where, inode, flags);
    case kConsoleMinor: return open_console(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags);
    case kPtmxMinor: return open_master(where, inode, flags);
    default: return Errno::nxio;
  }
}

Result<Ref<OpenFile>> open_foreign_slave(Dentry&, Inode&, std::uint32_t) { return Errno::io; }

}  // namespace kernel
