// eventfd(2).
#ifndef KERNEL_VFS_EVENTFD_H
#define KERNEL_VFS_EVENTFD_H

#include <atomic>
#include <cstdint>

#include "kernel/vfs/open_file.h"

namespace kernel {

class EventFd final : public OpenFile {
 public:
  EventFd(std::uint64_t initial, bool semaphore, std::uint32_t flags);
  Result<std::size_t> read(IoSink& sink) override;
  Result<std::size_t> write(IoSource& source) override;
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }
  std::size_t describe(std::span<char> into) override;
  bool is_event_file() const override { return true; }
  EventFd* as_eventfd() override { return this; }
  // The kernel's own write: what does not fit is dropped, as Linux does. Any context.
  void add(std::uint64_t added);
  Result<> describe_info(String& out) override;

 private:
  static constexpr std::uint64_t kMax = ~std::uint64_t{0} - 1;
  std::atomic<std::uint64_t> count_;
  const bool semaphore_;
  const std::uint64_t id_;  // in /proc/PID/fdinfo
  WaitQueue queue_;
};

}  // namespace kernel
#endif  // KERNEL_VFS_EVENTFD_H
