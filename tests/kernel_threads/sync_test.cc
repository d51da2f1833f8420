// Locks, wait queues and deferred wake-ups as the kernel has them (kernel/sync).
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"
#include "tests/kernel_threads/host_thread.h"

namespace kernel {
void panic(const char* what, const char* file, int line) {
  std::fprintf(stderr, "panic: %s at %s:%d\n", what, file, line);
  std::abort();
}
}  // namespace kernel

namespace {

using namespace kernel;
using kernel_threads_test::kThreads;
using kernel_threads_test::on_threads;

TEST(Locks, OneAtATime) {
  Mutex<LockRank::inode> mutex;
  SpinLock<LockRank::pipe> spin;
  constexpr int kRounds = 5000;
  int under_mutex = 0, under_spin = 0;
  on_threads([&](int, std::minstd_rand& random) {
    for (int i = 0; i < kRounds; ++i) {
      const LockGuard guard(mutex);
      ++under_mutex;
      if (random() % 8 == 0) std::this_thread::yield();
      const LockGuard inner(spin);
      ++under_spin;
    }
  });
  EXPECT_EQ(under_mutex, kThreads * kRounds);
  EXPECT_EQ(under_spin, kThreads * kRounds);
}

// A buffer with room for a few, waited for at both ends.
class Buffer {
 public:
  explicit Buffer(bool kept) : kept_(kept) {}
  void put(int value) {
    wait(room_, [&] {
      const LockGuard guard(lock_);
      if (count_ == kRoom) return false;
      values_[(first_ + count_++) % kRoom] = value;
      return true;
    });
    filled_.wake_all();
  }
  int take() {
    int value = 0;
    wait(filled_, [&] {
      const LockGuard guard(lock_);
      if (count_ == 0) return false;
      value = values_[first_];
      first_ = (first_ + 1) % kRoom;
      --count_;
      return true;
    });
    room_.wake_all();
    return value;
  }

 private:
  static constexpr std::size_t kRoom = 3;
  template <class Ready>
  void wait(WaitQueue& queue, Ready&& ready) {
    EXPECT_TRUE((kept_ ? queue.wait_kept(ready) : queue.wait(ready)).ok());
  }
  const bool kept_;
  SpinLock<LockRank::pipe> lock_;
  std::array<int, kRoom> values_{};
  std::size_t first_ = 0, count_ = 0;
  WaitQueue room_, filled_;
};

class Waits : public testing::TestWithParam<bool> {};

// No wake-up is lost (the test would hang), no value either.
TEST_P(Waits, ProducersAndConsumers) {
  constexpr int kValues = 4000;
  Buffer buffer(GetParam());
  std::atomic<long> sum{0};
  on_threads([&](int me, std::minstd_rand&) {
    for (int i = 1; i <= kValues; ++i) {
      if (me % 2 == 0)
        buffer.put(i);
      else
        sum += buffer.take();
    }
  });
  EXPECT_EQ(sum, long{kThreads} / 2 * kValues * (kValues + 1) / 2);
}
INSTANTIATE_TEST_SUITE_P(Both, Waits, testing::Bool());

// wait_kept(): the waiting thread may drop the object at once, the waker has a reference of its own until it is through.
TEST(WaitKept, TheWaiterLetsGoFirst) {
  struct Object {
    WaitQueue queue;
    std::atomic<bool> ready{false};
  };
  constexpr int kRounds = 3000;
  std::array<std::shared_ptr<Object>, kRounds> objects;
  for (auto& object : objects) object = std::make_shared<Object>();
  std::array<std::array<std::shared_ptr<Object>, kRounds>, kThreads> held;
  held.fill(objects);
  objects.fill(nullptr);
  on_threads([&](int me, std::minstd_rand&) {
    for (std::shared_ptr<Object>& mine : held[static_cast<std::size_t>(me)]) {
      if (me == 0) {
        mine->ready.store(true, std::memory_order_release);
        mine->queue.wake_all();
      } else {
        EXPECT_TRUE(mine->queue.wait_kept([&] { return mine->ready.load(std::memory_order_acquire); }).ok());
      }
      mine.reset();
    }
  });
}

// Each waiter's on_wake puts off a wake-up: all that were queued are run, whoever runs them.
TEST(DeferredWakes, AllAreRun) {
  struct Later final : DeferredWake {
    void run_deferred() override { ++runs; }
    std::atomic<int> runs{0};
  };
  struct Relay final : Waiter {
    bool on_wake(std::uint32_t) override {
      if (defer_wake(later)) ++queued;
      return true;
    }
    Later later;
    std::atomic<int> queued{0};
  };
  WaitQueue queue;
  std::array<Relay, 3> relays;
  on_threads([&](int me, std::minstd_rand&) {
    for (int i = 0; i < 2000; ++i) {
      if (me == 0) {
        Relay& relay = relays[static_cast<std::size_t>(i) % relays.size()];
        queue.add(relay);
        queue.remove(relay);
        queue.add_first(relay);
        queue.remove(relay);
      } else if (i % 2 == 0) {
        queue.wake_all();
      } else {
        queue.wake_one();
      }
    }
  });
  for (const Relay& relay : relays) EXPECT_EQ(relay.later.runs, relay.queued);
}

}  // namespace
