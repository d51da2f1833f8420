#include "kernel/host/clock.h"

#include <algorithm>
#include <atomic>

#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/host/client.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint32_t kShift = 24;
constexpr std::uint64_t kLatest = std::uint64_t{1} << 62;  // 146 years: so far no sum with one of our times overflows
constexpr std::uint64_t kMinHz = 100'000'000, kMaxHz = 20'000'000'000;

// Written under a sequence counter by refresh(), read by everybody without a lock.
struct Clock {
  std::atomic<std::uint32_t> sequence{0};
  std::atomic<std::uint64_t> base_tsc{0};
  std::atomic<std::uint64_t> base_ns{0};
  std::atomic<std::uint32_t> mult{0};
  std::atomic<std::uint64_t> real_offset{0};
  std::atomic<std::uint64_t> boot_offset{0};
  std::atomic<std::int64_t> adjustment{0};
  std::atomic<std::uint32_t> first_mult{0};  // of the first sample; spans measured with it never shrink
};
constinit Clock the_clock;
constinit SpinLock<LockRank::timer> update_lock;  // never held together with the timer queue's
constinit host::ClockListener listener = nullptr;
constinit std::uint64_t last_sequence = 0;

std::uint64_t scale(std::uint64_t ticks, std::uint32_t mult) {
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(ticks) * mult) >> kShift);
}

std::uint64_t read_monotonic() {
  for (;;) {
    const std::uint32_t before = the_clock.sequence.load(std::memory_order_acquire);
    const std::uint64_t base_tsc = the_clock.base_tsc.load(std::memory_order_relaxed);
    const std::uint64_t base = the_clock.base_ns.load(std::memory_order_relaxed);
    const std::uint32_t mult = the_clock.mult.load(std::memory_order_relaxed);
    const std::uint64_t tsc = frame::read_tsc();
    std::atomic_thread_fence(std::memory_order_acquire);
    if ((before & 1) == 0 && the_clock.sequence.load(std::memory_order_relaxed) == before)
      return base + (tsc > base_tsc ? scale(tsc - base_tsc, mult) : 0);
  }
}

struct Sample {
  std::uint64_t tsc, monotonic, real, boot, hz;
};

// A consistent sample of the host's page; false if it is being written or did not change. Every value in it is the host's claim.
bool take_sample(Sample& sample) {
  host_abi::ClockPage page{};
  const std::uint64_t address = host::boot().clock;
  if (!host::copy_from_host(std::as_writable_bytes(std::span<host_abi::ClockPage, 1>(&page, 1)), address).ok()) return false;
  const std::uint64_t first = page.seq;
  if ((first & 1) != 0 || first == last_sequence) return false;
  host_abi::ClockPage again{};
  if (!host::copy_from_host(std::as_writable_bytes(std::span<host_abi::ClockPage, 1>(&again, 1)), address).ok()) return false;
  if (again.seq != first) return false;
  last_sequence = first;
  sample = {.tsc = page.tsc, .monotonic = page.monotonic_ns, .real = page.realtime_ns, .boot = page.boottime_ns, .hz = page.tsc_hz};
  const std::uint64_t latest = std::max({sample.monotonic, sample.real, sample.boot});
  return sample.hz >= kMinHz && sample.hz <= kMaxHz && latest <= kLatest;
}

// Follows the sample but never goes back: if the host's clock is behind ours, ours runs a little slower until they meet.
void apply(const Sample& sample, bool first) {
  const std::uint64_t tsc = frame::read_tsc();
  const auto nominal = static_cast<std::uint32_t>((kNsPerSecond << kShift) / sample.hz);
  const std::uint64_t age = tsc > sample.tsc ? scale(tsc - sample.tsc, nominal) : 0;
  const std::uint64_t host_now = sample.monotonic + (age < kNsPerSecond ? age : 0);
  const std::uint64_t ours = first ? host_now : read_monotonic();
  const std::uint64_t base = host_now > ours ? host_now : ours;
  const std::uint32_t mult = ours > host_now ? nominal - nominal / 1024 : nominal;
  if (first) the_clock.first_mult.store(nominal, std::memory_order_relaxed);
  the_clock.sequence.fetch_add(1, std::memory_order_acq_rel);
  the_clock.base_tsc.store(tsc, std::memory_order_relaxed);
  the_clock.base_ns.store(base, std::memory_order_relaxed);
  the_clock.mult.store(mult, std::memory_order_relaxed);
  the_clock.real_offset.store(sample.real - sample.monotonic, std::memory_order_relaxed);
  the_clock.boot_offset.store(sample.boot - sample.monotonic, std::memory_order_relaxed);
  the_clock.sequence.fetch_add(1, std::memory_order_release);
}

void tell_listener() {
  if (listener == nullptr) return;
  listener({.base_tsc = the_clock.base_tsc.load(),
            .base_monotonic_ns = the_clock.base_ns.load(),
            .realtime_offset_ns = the_clock.real_offset.load() + static_cast<std::uint64_t>(the_clock.adjustment.load()),
            .boottime_offset_ns = the_clock.boot_offset.load(),
            .mult = the_clock.mult.load(),
            .shift = kShift});
}

}  // namespace

Instant monotonic_now() { return read_monotonic(); }
std::uint64_t realtime_now() {
  return read_monotonic() + the_clock.real_offset.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(the_clock.adjustment.load());
}
std::uint64_t boottime_now() { return read_monotonic() + the_clock.boot_offset.load(std::memory_order_relaxed); }

std::uint64_t ticks_to_ns(std::uint64_t ticks) { return scale(ticks, the_clock.first_mult.load(std::memory_order_relaxed)); }
std::uint64_t ns_to_ticks(std::uint64_t ns) {
  const std::uint32_t mult = the_clock.first_mult.load(std::memory_order_relaxed);
  return mult == 0 ? 0 : (ns << kShift) / mult;
}

void adjust_realtime(std::int64_t delta_ns) {
  the_clock.adjustment.fetch_add(delta_ns);
  const LockGuard guard(update_lock);
  tell_listener();
}

namespace host {

void clock_init() {
  // The host says the frequency as soon as it knows it; ask until then.
  for (;;) {
    Sample sample{};
    if (take_sample(sample)) {
      const LockGuard guard(update_lock);
      apply(sample, true);
      return;
    }
    static_cast<void>(call(host_abi::Op::clock).ok());
  }
}

void refresh_clock() {
  if (!update_lock.try_lock()) return;
  Sample sample{};
  if (take_sample(sample)) {
    apply(sample, false);
    tell_listener();
  }
  update_lock.unlock();
}

void set_clock_listener(ClockListener fresh) {
  listener = fresh;
  const LockGuard guard(update_lock);
  tell_listener();
}

}  // namespace host
}  // namespace kernel
