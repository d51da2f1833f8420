// Descriptors of processes (pidfd_open(2), CLONE_PIDFD).
#ifndef KERNEL_VFS_PIDFD_H
#define KERNEL_VFS_PIDFD_H

#include <cstdint>

#include "kernel/task/process.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class PidFd final : public OpenFile {
 public:
  // `process` may come later, before anybody else sees the file.
  PidFd(RefPtr<Process> process, std::uint32_t flags);
  void attach(Process& process) { process_ = RefPtr<Process>(&process); }
  const RefPtr<Process>& process() const LIFETIMEBOUND { return process_; }
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &process_->ended(); }
  std::size_t describe(std::span<char> into) override;
  Result<> describe_info(String& out) override;
  FileKind kind() const override { return FileKind::process; }
  bool is_event_file() const override { return true; }
  bool has_read() const override { return false; }
  bool has_write() const override { return false; }

 private:
  RefPtr<Process> process_;
};

}  // namespace kernel
#endif  // KERNEL_VFS_PIDFD_H
