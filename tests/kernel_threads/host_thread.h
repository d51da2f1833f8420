// A thread of the host as the kernel's locks and waits see it: GS points to a vCPU block of its own, and it parks on an atomic word.
#ifndef TESTS_KERNEL_THREADS_HOST_THREAD_H
#define TESTS_KERNEL_THREADS_HOST_THREAD_H

#include <barrier>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "kernel/frame/vcpu_block.h"

namespace kernel_threads_test {

// Makes the calling thread such a one while this lives. In the end it must hold no spinlock.
class HostThread {
 public:
  HostThread();
  ~HostThread();
  HostThread(const HostThread&) = delete;
  HostThread& operator=(const HostThread&) = delete;

 private:
  const std::unique_ptr<kernel::frame::VcpuBlock> block_;
};

inline constexpr int kThreads = 4;

// Runs work(number of the thread, its own random numbers) on several threads that begin together.
template <class Work>
void on_threads(Work work) {
  std::barrier begin(kThreads);
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&begin, &work, i] {
      const HostThread thread;
      std::minstd_rand random(static_cast<unsigned>(i + 1));
      begin.arrive_and_wait();
      work(i, random);
    });
  }
}

}  // namespace kernel_threads_test
#endif  // TESTS_KERNEL_THREADS_HOST_THREAD_H
