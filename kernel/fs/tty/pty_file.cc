#include "kernel/fs/tty/pty_file.h"

#include <utility>

#include "kernel/task/task.h"

namespace kernel {

MasterFile::MasterFile(Dentry& dentry, Inode& inode, Ref<Pty> pty, std::uint32_t flags)
    : OpenFile(RefPtr<Dentry>(&dentry), RefPtr<Inode>(&inode), flags), pty_(pty) {}

Result<std::uint64_t> MasterFile::ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  return pty_->ioctl(task, true, may_read(), request, argument);
}

SlaveFile::SlaveFile(RefPtr<Dentry> dentry, RefPtr<Inode> inode, Ref<Pty> pty, std::uint32_t flags)
    : OpenFile(std::move(dentry), std::move(inode), flags), pty_(pty), opened_at_(pty->hangups()) {}

Result<std::size_t> SlaveFile::read(IoSink& sink) { return pty_->read_input(current_task(), sink, is_nonblocking(), opened_at_); }
Result<std::size_t> SlaveFile::write(IoSource& source) { return pty_->write_output(current_task(), source, is_nonblocking(), opened_at_); }

Result<std::uint64_t> SlaveFile::ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  if (pty_->is_hung_up(opened_at_)) return request == abi::kTiocSPgrp ? Errno::notty : Errno::io;
  return pty_->ioctl(task, false, may_read(), request, argument);
}

void SlaveFile::on_last_close() {
  if (counted_) pty_->close_slave();
}

}  // namespace kernel
