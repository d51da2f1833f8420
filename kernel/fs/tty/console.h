// The console: the terminal of the host that the instance was started on, if it was. The host's kernel edits lines and echoes; its
// settings are the ones that programs see and change. What its keys do to processes is decided here: the host passes the signals on.
#ifndef KERNEL_FS_TTY_CONSOLE_H
#define KERNEL_FS_TTY_CONSOLE_H

#include <cstdint>

#include "kernel/fs/tty/terminal.h"
#include "kernel/vfs/fs_context.h"

namespace kernel {

class Console final : public Terminal {
 public:
  explicit Console(std::uint32_t handle) : handle_(handle) {}
  std::uint64_t device() const override;
  bool is_console() const override { return true; }
  void hang_up() override { hang_up_session(*this); }
  Result<Ref<OpenFile>> open(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags) override;
  std::uint32_t handle() const { return handle_; }

 private:
  const std::uint32_t handle_;  // the first of the host's streams that is it
};

// Boot: looks for a terminal among the host's streams. ENOMEM.
Result<> console_init();
// nullptr: the host gave none.
RefPtr<Console> console();
// /dev/console: the terminal, or else the host's standard error.
Result<Ref<OpenFile>> open_console(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags);
// Boot: standard stream `handle` for the first program. A terminal is opened as /dev/console where `fs` has one. EBADF if the host gave none.
Result<Ref<OpenFile>> open_standard_stream(std::uint32_t handle, const FsContext& fs);

}  // namespace kernel
#endif  // KERNEL_FS_TTY_CONSOLE_H
