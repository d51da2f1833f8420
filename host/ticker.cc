// The ticker thread of VcpuSet: scheduler ticks, interrupts that must be sent again, fresh clock samples.
#include <algorithm>

#include "host/futex.h"
#include "host/vcpu.h"
#include "host/vcpu_thread.h"

namespace host {

// Moves an appointment of the ticker forward to `at` if that is sooner, and lets the ticker look.
void VcpuSet::alert_ticker(std::atomic<std::uint64_t>& field, std::uint64_t at) {
  std::uint64_t now = field.load();
  while (at < now && !field.compare_exchange_weak(now, at)) {
  }
  ticker_word_.fetch_add(1);
  futex_wake(reinterpret_cast<std::uint32_t*>(&ticker_word_));
}

void VcpuSet::ticker_loop() {
  std::uint64_t next_sample = monotonic_now() + ClockSource::kSampleInterval;
  std::uint64_t next_tick = kNoDeadline;
  while (!stopping_.load()) {
    const std::uint32_t word = ticker_word_.load();
    const std::uint64_t now = monotonic_now();
    const std::uint64_t period = tick_period_.load();
    if (period == 0) {
      next_tick = kNoDeadline;
    } else if (next_tick == kNoDeadline) {
      next_tick = now + period;
    } else if (now >= next_tick) {
      tick_all();
      next_tick = std::max(next_tick + period, now + period / 2);
    }
    if (now >= next_sample) {
      const bool busy = std::any_of(vcpus_.begin(), vcpus_.end(),
                                    [](const auto& vcpu) { return vcpu->place() == Vcpu::Place::inside; });
      if (busy) parts_.clock.sample();
      next_sample = now + ClockSource::kSampleInterval;
    }
    if (now >= resend_at_.load()) resend(now);
    if (now >= nudge_at_.load()) nudge();
    const std::uint64_t until = std::min({next_sample, next_tick, resend_at_.load(), nudge_at_.load()});
    futex_wait(reinterpret_cast<std::uint32_t*>(&ticker_word_), word, until);
  }
}

void VcpuSet::tick_all() {
  for (const auto& vcpu : vcpus_) {
    if (vcpu->place() != Vcpu::Place::inside) continue;
    shared(vcpu->block().pending).fetch_or(host_abi::kPendingTick, std::memory_order_seq_cst);
    vcpu->signal_thread();
    ticks_sent_.fetch_add(1, std::memory_order_relaxed);
  }
}

void VcpuSet::resend(std::uint64_t now) {
  constexpr std::uint32_t kMustArrive = host_abi::kPendingWake | host_abi::kPendingSignal;
  resend_at_.store(kNoDeadline);
  bool any = false;
  for (const auto& vcpu : vcpus_) {
    if (vcpu->finished()) continue;
    if ((shared(vcpu->block().pending).load(std::memory_order_seq_cst) & kMustArrive) == 0) continue;
    if (!vcpu->wake()) vcpu->signal_thread();
    any = true;
  }
  resend_distance_ = any ? std::min(resend_distance_ * 2, kLastResendNs) : kFirstResendNs;
  if (any) alert_ticker(resend_at_, now + resend_distance_);
}

// Completions lie in the ring, and when they came no virtual CPU was idle.
void VcpuSet::nudge() {
  nudge_at_.store(kNoDeadline);
  host_abi::Rings& rings = parts_.memory.rings();
  if (shared(rings.cq_head).load(std::memory_order_seq_cst) == shared(rings.cq_tail).load(std::memory_order_seq_cst)) return;
  if (wake_one_idle()) return;
  for (const Vcpu::Place place : {Vcpu::Place::inside, Vcpu::Place::serving}) {
    for (const auto& vcpu : vcpus_) {
      if (vcpu->place() != place) continue;
      interrupt(*vcpu, host_abi::kPendingWake);
      return;
    }
  }
}

}  // namespace host
