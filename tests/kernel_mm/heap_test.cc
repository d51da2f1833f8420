#include "kernel/frame/heap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "kernel/base/heap.h"
#include "kernel/frame/heap_pages.h"

namespace {
using namespace kernel;

constexpr std::uint64_t kSize = 256 << 20;
constexpr std::uint64_t kCommitted = 4 << 20;

char* region() {
  static char* memory = [] {
    void* raw = mmap(nullptr, kSize + (64 << 10), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    const auto aligned = (reinterpret_cast<std::uint64_t>(raw) + 0xffff) & ~std::uint64_t{0xffff};
    return reinterpret_cast<char*>(aligned);
  }();
  return memory;
}
int grow_calls = 0;
bool refuse_growth = false;
Result<> grow(std::uint64_t address, std::size_t size) {
  ++grow_calls;
  if (refuse_growth) return Errno::nomem;
  if (mprotect(reinterpret_cast<void*>(address), size, PROT_READ | PROT_WRITE) != 0) return Errno::nomem;
  return {};
}

class Heap : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto begin = reinterpret_cast<std::uint64_t>(region());
    if (frame::heap_usage().committed != 0) return;
    ASSERT_TRUE(grow(begin, kCommitted).ok());
    frame::heap_init(begin, kCommitted, begin + kSize);
    frame::heap_set_grow(&grow);
  }
};

struct Block {
  unsigned char* memory;
  std::size_t size, align;
  unsigned char fill;
};

void random_work(unsigned seed, int rounds) {
  std::mt19937 random(seed);
  std::vector<Block> blocks;
  for (int i = 0; i < rounds; ++i) {
    if (blocks.size() < 200 && random() % 5 < 3) {
      const std::size_t size = random() % 10 == 0 ? random() % 40000 + 1 : random() % 3000 + 1;
      const std::size_t align = std::size_t{1} << (random() % 13);
      auto* memory = static_cast<unsigned char*>(heap_allocate(size, align));
      ASSERT_NE(memory, nullptr);
      ASSERT_EQ(reinterpret_cast<std::uint64_t>(memory) % std::max<std::size_t>(align, 16), 0U);
      const auto fill = static_cast<unsigned char>(random());
      std::memset(memory, fill, size);
      blocks.push_back({memory, size, align, fill});
    } else if (!blocks.empty()) {
      const std::size_t at = random() % blocks.size();
      const Block block = blocks[at];
      for (std::size_t k = 0; k < block.size; k += 7) ASSERT_EQ(block.memory[k], block.fill);
      heap_free(block.memory, block.size, block.align);
      blocks[at] = blocks.back();
      blocks.pop_back();
    }
  }
  for (const Block& block : blocks) heap_free(block.memory, block.size, block.align);
}

TEST_F(Heap, RandomAllocationsKeepTheirContent) { random_work(1, 200000); }

TEST_F(Heap, ThreadsDoNotDisturbEachOther) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back([i] { random_work(10 + i, 60000); });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(Heap, GrowsAndRefusesBeyondItsLimit) {
  std::vector<std::span<std::byte>> runs;
  while (true) {
    auto run = frame::allocate_pages(2048);
    if (!run.ok()) {
      EXPECT_EQ(run.error(), Errno::nomem);
      break;
    }
    runs.push_back(std::move(run).release());
    runs.back()[0] = runs.back()[runs.back().size() - 1] = std::byte{1};
  }
  EXPECT_GE(runs.size(), 28U);
  EXPECT_GT(grow_calls, 10);
  for (const auto& run : runs) frame::free_pages(run);
  EXPECT_EQ(frame::allocate_pages(0).error(), Errno::inval);
  EXPECT_EQ(frame::allocate_pages(~std::size_t{0} >> 12).error(), Errno::nomem);
  // After all is free again a run as large as before can be had: neighbours were joined.
  auto again = frame::allocate_pages(8192);
  ASSERT_TRUE(again.ok());
  frame::free_pages(std::move(again).release());
}

TEST_F(Heap, OddRunsGiveTheirTailBack) {
  const std::uint64_t before = frame::heap_usage().used;
  auto run = frame::allocate_pages(5);
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(frame::heap_usage().used - before, 5U * kPageSize);
  frame::free_pages(std::move(run).release());
  EXPECT_EQ(frame::heap_usage().used, before);
}

TEST_F(Heap, SecondFreeIsCaught) {
  void* memory = heap_allocate(100, 16);
  heap_free(memory, 100, 16);
  EXPECT_DEATH(heap_free(memory, 100, 16), "assertion failed");
  auto run = frame::allocate_pages(3);
  ASSERT_TRUE(run.ok());
  const auto span = std::move(run).release();
  frame::free_pages(span);
  EXPECT_DEATH(frame::free_pages(span), "assertion failed");
}

TEST_F(Heap, WrongSizeAndWriteAfterFreeAreCaught) {
  EXPECT_DEATH(
      {
        auto* memory = static_cast<std::uint64_t*>(heap_allocate(64, 16));
        heap_free(memory, 64, 16);
        memory[1] = 7;
        for (int i = 0; i < 300; ++i) heap_allocate(64, 16);
      },
      "assertion failed");
}

TEST_F(Heap, SmallPairsAreFast) {
  constexpr int kRounds = 2000000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) {
    void* memory = heap_allocate(static_cast<std::size_t>(i % 1000) + 1, 16);
    asm volatile("" : : "r"(memory) : "memory");
    heap_free(memory, static_cast<std::size_t>(i % 1000) + 1, 16);
  }
  const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / kRounds;
  std::printf("heap: %.1f ns per pair\n", ns);
  EXPECT_LT(ns, 200.0);  // loose: this is no timing test
}

TEST(PageRuns, BuddiesJoin) {
  constexpr std::uint64_t kBytes = 8 << 20;
  void* raw = std::aligned_alloc(1 << 16, kBytes);
  frame::PageRuns runs;
  const auto begin = reinterpret_cast<std::uint64_t>(raw);
  runs.init(begin, 4 << 20, begin + kBytes);
  const std::size_t free_at_start = runs.free_pages();
  std::mt19937 random(3);
  std::vector<std::pair<std::uint64_t, std::size_t>> taken;
  for (int i = 0; i < 100000; ++i) {
    if (random() % 2 == 0) {
      const std::size_t pages = random() % 40 + 1;
      if (const std::uint64_t at = runs.allocate(pages); at != 0) {
        for (const auto& [other, count] : taken) ASSERT_TRUE(at + pages * kPageSize <= other || other + count * kPageSize <= at);
        taken.emplace_back(at, pages);
      }
    } else if (!taken.empty()) {
      const std::size_t at = random() % taken.size();
      runs.release(taken[at].first, taken[at].second);
      taken[at] = taken.back();
      taken.pop_back();
    }
  }
  for (const auto& [at, pages] : taken) runs.release(at, pages);
  EXPECT_EQ(runs.free_pages(), free_at_start);
  runs.extend(4 << 20);
  EXPECT_NE(runs.allocate(1024), 0U);
  EXPECT_EQ(runs.allocate(1 << 20), 0U);
  std::free(raw);
}

}  // namespace
