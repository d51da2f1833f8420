// Runs a function on several threads that begin together.
#ifndef TESTS_KERNEL_THREADS_THREADS_H
#define TESTS_KERNEL_THREADS_THREADS_H

#include <barrier>
#include <random>
#include <thread>
#include <vector>

namespace kernel_threads_test {

inline constexpr int kThreads = 4;

// work(number of the thread, its own random numbers)
template <class Work>
void on_threads(Work work) {
  std::barrier begin(kThreads);
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&begin, &work, i] {
      std::minstd_rand random(static_cast<unsigned>(i + 1));
      begin.arrive_and_wait();
      work(i, random);
    });
  }
}

}  // namespace kernel_threads_test
#endif  // TESTS_KERNEL_THREADS_THREADS_H
