#include "kernel/mm/ranges.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/kernel_mm/malloc_heap.h"

namespace {
using namespace kernel;
using mm::RangeAllocator;

constexpr std::uint64_t kPage = 4096;

TEST(Ranges, GoDownFromTheTopAndKeepTheBottomFree) {
  RangeAllocator ranges;
  ASSERT_TRUE(ranges.init(0x10000, 0x1000000, 0x100000, 0x800000).ok());
  EXPECT_EQ(ranges.allocate(kPage, kPage).value_or(0), 0x7ff000U);
  EXPECT_EQ(ranges.allocate(0x10000, kPage).value_or(0), 0x7ef000U);
  EXPECT_EQ(ranges.allocate(0x10000, 0x10000).value_or(0), 0x7d0000U);
  // Too large for what is below the top: from the rest.
  EXPECT_EQ(ranges.allocate(0x780000, kPage).value_or(0), 0x880000U);
  EXPECT_EQ(ranges.allocate(0x1000000, kPage).error(), Errno::nomem);
  EXPECT_TRUE(ranges.claim(0x400000, 0x1000).ok());
  EXPECT_EQ(ranges.claim(0x3ff000, 0x2000).error(), Errno::nomem);
  EXPECT_EQ(ranges.claim(0x0, 0x1000).error(), Errno::nomem);
  EXPECT_EQ(ranges.claim(0x1000000, 0x1000).error(), Errno::nomem);
}

TEST(Ranges, NearMeansNear) {
  RangeAllocator ranges;
  ASSERT_TRUE(ranges.init(0x10000, std::uint64_t{1} << 40, 0x100000, std::uint64_t{1} << 40).ok());
  const std::uint64_t code = std::uint64_t{1} << 35;
  ASSERT_TRUE(ranges.claim(code, 0x200000).ok());
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t place = ranges.allocate_near(0x8000, code, code + 0x200000, std::uint64_t{3} << 29).value_or(0);
    ASSERT_NE(place, 0U);
    EXPECT_LE(code + 0x200000 - place, std::uint64_t{3} << 29);
    EXPECT_TRUE(place + 0x8000 <= code || place >= code + 0x200000);
  }
}

TEST(Ranges, AgreeWithAModel) {
  constexpr std::uint64_t kBegin = 0x10000;
  constexpr std::uint64_t kEnd = kBegin + 2000 * kPage;
  for (unsigned seed = 0; seed < 8; ++seed) {
    std::mt19937 random(seed);
    RangeAllocator ranges;
    ASSERT_TRUE(ranges.init(kBegin, kEnd, kBegin + 100 * kPage, kEnd - 50 * kPage).ok());
    std::map<std::uint64_t, std::uint64_t> taken;  // begin -> size
    std::uint64_t used = 0;
    const auto is_free = [&](std::uint64_t begin, std::uint64_t size) {
      if (begin < kBegin || begin + size > kEnd) return false;
      auto it = taken.upper_bound(begin);
      if (it != taken.end() && it->first < begin + size) return false;
      return it == taken.begin() || std::prev(it)->first + std::prev(it)->second <= begin;
    };
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t size = (random() % 60 + 1) * kPage;
      switch (random() % 4) {
        case 0: {
          const std::uint64_t align = kPage << (random() % 4);
          const auto got = ranges.allocate(size, align);
          bool possible = false;
          for (std::uint64_t at = (kBegin + align - 1) / align * align; at + size <= kEnd && !possible; at += align) possible = is_free(at, size);
          ASSERT_EQ(got.ok(), possible);
          if (!got.ok()) break;
          const std::uint64_t begin = auto(got).release();
          ASSERT_EQ(begin % align, 0U);
          ASSERT_TRUE(is_free(begin, size));
          taken[begin] = size;
          used += size;
          break;
        }
        case 1: {
          const std::uint64_t begin = kBegin + random() % 2000 * kPage;
          ASSERT_EQ(ranges.is_free(begin, size), is_free(begin, size));
          const bool got = ranges.claim(begin, size).ok();
          ASSERT_EQ(got, is_free(begin, size));
          if (got) {
            taken[begin] = size;
            used += size;
          }
          break;
        }
        default: {
          if (taken.empty()) break;
          auto it = taken.begin();
          std::advance(it, random() % taken.size());
          // Often only a part of it.
          auto [begin, whole] = *it;
          taken.erase(it);
          const std::uint64_t from = random() % (whole / kPage) * kPage;
          const std::uint64_t part = (random() % ((whole - from) / kPage) + 1) * kPage;
          ranges.release(begin + from, part);
          used -= part;
          if (from != 0) taken[begin] = from;
          if (from + part != whole) taken[begin + from + part] = whole - from - part;
        }
      }
      ASSERT_EQ(ranges.free_bytes(), kEnd - kBegin - used);
    }
  }
  EXPECT_EQ(kernel_mm_test::live_allocations, 0);
}

}  // namespace
