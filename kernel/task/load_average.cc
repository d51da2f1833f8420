#include "kernel/task/load_average.h"

namespace kernel {

namespace {
// LOAD_FREQ of Linux is five seconds and a tick, so that it does not run in step with programs that count seconds.
constexpr Instant kPeriodNs = 5'004'000'000;
constexpr LoadAverage::Loads kDecay{1884, 2014, 2037};  // e^(-5/60), e^(-5/300), e^(-5/900)

// base^exponent of fixed-point numbers below one, rounded at each step.
std::uint64_t power(std::uint64_t base, std::uint64_t exponent) {
  const auto times = [](std::uint64_t a, std::uint64_t b) { return (a * b + LoadAverage::kOne / 2) >> LoadAverage::kShift; };
  std::uint64_t result = LoadAverage::kOne;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result = times(result, base);
    base = times(base, base);
  }
  return result;
}
}  // namespace

std::uint64_t LoadAverage::after(std::uint64_t load, std::uint64_t decay, std::uint64_t active, std::uint64_t periods) {
  const std::uint64_t kept = power(decay, periods);
  std::uint64_t sum = load * kept + active * (kOne - kept);
  if (active >= load) sum += kOne - 1;  // rounds up while the load rises, so that it arrives
  return sum / kOne;
}

void LoadAverage::catch_up(Instant now, std::uint64_t active) {
  const LockGuard guard(lock_);
  const Instant next = next_.load(std::memory_order_relaxed);
  if (now < next) return;  // another vCPU was quicker
  if (next == 0) return next_.store(now + kPeriodNs, std::memory_order_relaxed);
  const std::uint64_t periods = (now - next) / kPeriodNs + 1;
  for (std::size_t i = 0; i < loads_.size(); ++i) loads_[i] = after(loads_[i], kDecay[i], active << kShift, periods);
  next_.store(next + periods * kPeriodNs, std::memory_order_relaxed);
}

LoadAverage::Loads LoadAverage::get() const {
  const LockGuard guard(lock_);
  return loads_;
}

}  // namespace kernel
