// signalfd(2): pending signals of the reader as something to read.
#ifndef KERNEL_VFS_SIGNALFD_H
#define KERNEL_VFS_SIGNALFD_H

#include <atomic>
#include <cstdint>

#include "kernel/task/process.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class SignalFd final : public OpenFile {
 public:
  // `owner` is the process whose signals wake pollers; reads always give the reader's own.
  SignalFd(Ref<Process> owner, SignalSet mask, std::uint32_t flags) : OpenFile(flags), owner_(owner), mask_(mask & ~kUnblockable) {}
  void set_mask(SignalSet mask);

  Result<std::size_t> read(IoSink& sink) override;
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &owner_->signal_arrived(); }
  std::size_t describe(std::span<char> into) override;
  FileKind kind() const override { return FileKind::signal; }
  bool is_stream() const override { return true; }
  bool is_event_file() const override { return true; }
  bool has_write() const override { return false; }
  Result<> describe_info(String& out) override;

 private:
  const Ref<Process> owner_;
  std::atomic<SignalSet> mask_;
};

}  // namespace kernel
#endif  // KERNEL_VFS_SIGNALFD_H
