// The open files of the two sides of a pseudo terminal.
#ifndef KERNEL_FS_TTY_PTY_FILE_H
#define KERNEL_FS_TTY_PTY_FILE_H

#include "kernel/fs/tty/pty.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class MasterFile final : public OpenFile {
 public:
  MasterFile(Dentry& dentry, Inode& inode, Ref<Pty> pty, std::uint32_t flags);
  Result<std::size_t> read(IoSink& sink) override { return pty_->read_output(sink, is_nonblocking()); }
  Result<std::size_t> write(IoSource& source) override { return pty_->write_input(source, is_nonblocking()); }
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override { return pty_->master_readiness(); }
  WaitQueue* wait_queue() override { return &pty_->master_queue(); }
  std::uint32_t async_events() const override { return kPollIn | kPollOut | kPollHup; }
  void on_last_close() override { pty_->close_master(); }

 private:
  const Ref<Pty> pty_;
};

class SlaveFile final : public OpenFile {
 public:
  SlaveFile(RefPtr<Dentry> dentry, RefPtr<Inode> inode, Ref<Pty> pty, std::uint32_t flags);
  // The pair counts it as open; closing will tell the pair.
  void set_counted() { counted_ = true; }
  Result<std::size_t> read(IoSink& sink) override;
  Result<std::size_t> write(IoSource& source) override;
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override { return pty_->slave_readiness(opened_at_); }
  WaitQueue* wait_queue() override { return &pty_->slave_queue(); }
  std::uint32_t async_events() const override { return kPollIn | kPollOut | kPollHup; }
  Pid async_group() const override { return pty_->foreground(); }
  void on_last_close() override;

 private:
  const Ref<Pty> pty_;
  const std::uint32_t opened_at_;
  bool counted_ = false;
};

}  // namespace kernel
#endif  // KERNEL_FS_TTY_PTY_FILE_H
