#include "tests/kernel_threads/host_thread.h"

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "kernel/sync/wait.h"

namespace kernel_threads_test {
namespace {

class HostSleeper final : public kernel::Sleeper {
 public:
  void unpark() override {
    token_.store(1, std::memory_order_release);
    token_.notify_one();
  }
  void park() {
    token_.wait(0, std::memory_order_acquire);
    token_.exchange(0, std::memory_order_acquire);
  }

 private:
  std::atomic<int> token_{0};
};

// Sleepers stay: a waker may still be in unpark() of a thread that has gone on, and ended.
HostSleeper& own_sleeper() {
  thread_local HostSleeper* const sleeper = new HostSleeper;  // NOLINT: see above
  return *sleeper;
}

const HostThread main_thread;

}  // namespace

HostThread::HostThread() : block_(std::make_unique<kernel::frame::VcpuBlock>()) {
  block_->self = block_.get();
  if (syscall(SYS_arch_prctl, ARCH_SET_GS, block_.get()) != 0) std::abort();
}

HostThread::~HostThread() {
  if (block_->spin_mask != 0) std::abort();
}

}  // namespace kernel_threads_test

namespace kernel {
Sleeper& current_sleeper() { return kernel_threads_test::own_sleeper(); }
ParkResult park(Instant, Interruptible) {
  kernel_threads_test::own_sleeper().park();
  return ParkResult::woken;
}
}  // namespace kernel
