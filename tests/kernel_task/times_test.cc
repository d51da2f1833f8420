// The arithmetic of CPU times and load averages.
#include <cstdint>

#include <gtest/gtest.h>

#include "kernel/task/cpu_time.h"
#include "kernel/task/load_average.h"

namespace kernel {
namespace {

constexpr std::uint64_t kMs = 1'000'000;

TEST(CpuSplit, IsAllUserTimeWithoutASample) {
  CpuSplit split;
  const CpuTimes times = split.split({.run_ns = 3 * kMs, .user_sampled = 0, .system_sampled = 0});
  EXPECT_EQ(times.user_ns, 3 * kMs);
  EXPECT_EQ(times.system_ns, 0u);
}

TEST(CpuSplit, DividesBySamples) {
  CpuSplit split;
  const CpuTimes times = split.split({.run_ns = 400 * kMs, .user_sampled = 25, .system_sampled = 75});
  EXPECT_EQ(times.user_ns, 100 * kMs);
  EXPECT_EQ(times.system_ns, 300 * kMs);
}

TEST(CpuSplit, NeverTakesBack) {
  CpuSplit split;
  static_cast<void>(split.split({.run_ns = 100 * kMs, .user_sampled = 0, .system_sampled = 25}));
  // The samples say half of 200 ms now, and 100 ms were system time already.
  CpuTimes times = split.split({.run_ns = 200 * kMs, .user_sampled = 75, .system_sampled = 25});
  EXPECT_EQ(times.system_ns, 100 * kMs);
  EXPECT_EQ(times.user_ns, 100 * kMs);
  times = split.split({.run_ns = 210 * kMs, .user_sampled = 75, .system_sampled = 7500});
  EXPECT_EQ(times.user_ns, 100 * kMs);
  EXPECT_EQ(times.system_ns, 110 * kMs);
  // A reading that was taken before.
  times = split.split({.run_ns = 150 * kMs, .user_sampled = 75, .system_sampled = 25});
  EXPECT_EQ(times.user_ns, 100 * kMs);
  EXPECT_EQ(times.system_ns, 110 * kMs);
}

TEST(CpuSplit, TakesAnyCounts) {
  CpuSplit split;
  const CpuTimes times = split.split({.run_ns = ~std::uint64_t{0} / 2, .user_sampled = std::uint64_t{1} << 40, .system_sampled = std::uint64_t{3} << 40});
  EXPECT_NEAR(static_cast<double>(times.system_ns), 0.75 * static_cast<double>(~std::uint64_t{0} / 2), 1e12);
  EXPECT_EQ(times.user_ns + times.system_ns, ~std::uint64_t{0} / 2);
}

// Linux's examples (kernel/sched/loadavg.c): exponential averages in 11 bits.
TEST(LoadAverage, RisesAndFallsAsLinuxsDoes) {
  constexpr std::uint64_t kOne = LoadAverage::kOne, kMinute = 1884;
  std::uint64_t load = 0;
  load = LoadAverage::after(load, kMinute, kOne, 1);
  EXPECT_EQ(load, (kOne * (2048 - 1884) + 2047) / 2048);
  for (int i = 0; i < 200; ++i) load = LoadAverage::after(load, kMinute, kOne, 1);
  EXPECT_EQ(load, kOne);  // it arrives
  for (int i = 0; i < 200; ++i) load = LoadAverage::after(load, kMinute, 0, 1);
  EXPECT_EQ(load, 0u);
}

TEST(LoadAverage, CatchesUpAtOnce) {
  std::uint64_t one_by_one = 4 * LoadAverage::kOne;
  for (int i = 0; i < 12; ++i) one_by_one = LoadAverage::after(one_by_one, 1884, 0, 1);
  EXPECT_NEAR(static_cast<double>(LoadAverage::after(4 * LoadAverage::kOne, 1884, 0, 12)), static_cast<double>(one_by_one), 30);
  EXPECT_EQ(LoadAverage::after(4 * LoadAverage::kOne, 1884, 0, 1'000'000), 0u);
  EXPECT_EQ(LoadAverage::after(0, 2037, LoadAverage::kOne, ~std::uint64_t{0}), LoadAverage::kOne);
}

TEST(LoadAverage, CountsEachPeriodOnce) {
  LoadAverage average;
  average.catch_up(1000, 5);  // begins
  EXPECT_FALSE(average.is_due(5'004'000'999));
  EXPECT_TRUE(average.is_due(5'004'001'000));
  average.catch_up(5'004'001'000, 1);
  const LoadAverage::Loads once = average.get();
  EXPECT_GT(once[0], once[1]);
  EXPECT_GT(once[1], once[2]);
  average.catch_up(5'004'001'000, 1);  // another virtual CPU, too late
  EXPECT_EQ(average.get(), once);
}

}  // namespace
}  // namespace kernel
