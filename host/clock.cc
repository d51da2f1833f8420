#include "host/clock.h"

#include <cpuid.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <atomic>
#include <cstring>
#include <string_view>

#include "host/futex.h"

namespace host {
namespace {

std::uint64_t now_ns(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

// The kernel's own judgement first: it watches the TSC against other clocks. Some machines hide the CPUID bit.
bool tsc_is_clocksource() {
  const int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[32] = {};
  const ssize_t length = read(fd, text, sizeof(text) - 1);
  close(fd);
  return length > 0 && std::string_view(text).starts_with("tsc");
}

bool tsc_is_invariant() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  constexpr unsigned kInvariantTsc = 1U << 8;  // SDM, CPUID 80000007H
  return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & kInvariantTsc) != 0;
}

// Readers see either the old or the new sample (host_abi::ClockPage::seq).
void store(std::uint64_t& word, std::uint64_t value) { std::atomic_ref(word).store(value, std::memory_order_relaxed); }

}  // namespace

ClockSource::ClockSource() : tsc_usable_(tsc_is_clocksource() || tsc_is_invariant()), anchor_(read_pair()) {}

ClockSource::Reading ClockSource::read_pair() {
  // Of three tries the one with the shortest bracket: an interrupt in between shows as a long one.
  Reading best;
  std::uint64_t best_width = UINT64_MAX;
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t before = __rdtsc();
    const std::uint64_t monotonic = now_ns(CLOCK_MONOTONIC);
    const std::uint64_t after = __rdtsc();
    if (after - before >= best_width) continue;
    best_width = after - before;
    best = {before + (after - before) / 2, monotonic};
  }
  return best;
}

void ClockSource::publish_to(host_abi::ClockPage& page) {
  const std::uint64_t earliest = anchor_.monotonic + kMinBaseline;
  while (tsc_usable_ && now_ns(CLOCK_MONOTONIC) < earliest) _mm_pause();
  {
    const std::lock_guard lock(mutex_);
    page_ = &page;
  }
  sample();
}

std::uint64_t ClockSource::rate_locked(const Reading& now) {
  const std::uint64_t elapsed = now.monotonic - anchor_.monotonic;
  if (!tsc_usable_ || elapsed < kMinBaseline) return 0;
  const auto ticks = static_cast<unsigned __int128>(now.tsc - anchor_.tsc) * kNsPerSecond;
  const auto rate = static_cast<std::uint64_t>(ticks / elapsed);
  // The clock is disciplined (NTP slews it), so an endless baseline would follow too slowly.
  constexpr std::uint64_t kLongestBaseline = 60 * kNsPerSecond;
  if (elapsed > kLongestBaseline) {
    anchor_.tsc += (now.tsc - anchor_.tsc) / 2;
    anchor_.monotonic += elapsed / 2;
  }
  return rate;
}

void ClockSource::sample() {
  const std::lock_guard lock(mutex_);
  if (page_ == nullptr) return;
  const Reading now = read_pair();
  // The other clocks are read right after and moved back to the instant of the reading.
  const std::uint64_t realtime = now_ns(CLOCK_REALTIME);
  const std::uint64_t boottime = now_ns(CLOCK_BOOTTIME);
  const std::uint64_t behind = now_ns(CLOCK_MONOTONIC) - now.monotonic;
  const std::uint64_t rate = rate_locked(now);

  const std::uint64_t sequence = page_->seq;
  store(page_->seq, sequence + 1);
  std::atomic_thread_fence(std::memory_order_release);
  store(page_->tsc, now.tsc);
  store(page_->monotonic_ns, now.monotonic);
  store(page_->realtime_ns, realtime - behind);
  store(page_->boottime_ns, boottime - behind);
  store(page_->tsc_hz, rate);
  std::atomic_ref(page_->seq).store(sequence + 2, std::memory_order_release);
}

}  // namespace host
