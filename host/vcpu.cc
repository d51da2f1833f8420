#include "host/vcpu.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "host/futex.h"
#include "host/sgx_error.h"
#include "host/vcpu_thread.h"

namespace host {
namespace {

using host_abi::EntryCode;

// If no busy virtual CPU looks at new completions within this time, one is interrupted.
constexpr std::uint64_t kNudgeNs = 200'000;
constexpr std::uint64_t kMinTickUs = 100;
constexpr std::uint64_t kMaxTickUs = 10'000'000;


std::string crash_message(EndReason reason, const ExitEvent& event) {
  switch (reason) {
    case EndReason::entry_fault:
      return fmt::format("the enclave cannot be entered any more (exception {} at {:#x}): the machine may have been suspended",
                         event.vector, event.address);
    case EndReason::refused: return fmt::format("entering the enclave failed: {}", errno_text(static_cast<int>(event.rdi)));
    case EndReason::retired: return "the kernel refuses to be entered";
    case EndReason::handler_fault:
      return fmt::format("the kernel's exception handler faults: exception {}, error code {:#x}, address {:#x}", event.vector,
                         event.error_code, event.address);
    case EndReason::handler_exit: return fmt::format("the kernel's exception handler left with code {}", event.rdi);
    case EndReason::unknown_exit: return fmt::format("the kernel left with the unknown code {}", event.rdi);
    case EndReason::thread: return "a thread of the runtime could not be prepared for the enclave";
    case EndReason::none: break;
  }
  return "the enclave ended for an unknown reason";
}

}  // namespace

VcpuCounters& VcpuCounters::operator+=(const VcpuCounters& other) {
  for (std::size_t i = 0; i < exits.size(); ++i) exits[i] += other.exits[i];
  faults += other.faults;
  interrupts += other.interrupts;
  idle_spins += other.idle_spins;
  idle_sleeps += other.idle_sleeps;
  return *this;
}

VcpuSet::VcpuSet(Parts parts) : parts_(std::move(parts)) {
  const sgx::EnterFunction function = parts_.device.enter_function();
  const std::size_t count = std::min<std::size_t>(parts_.memory.vcpu_count(), parts_.tcs.size());
  for (std::size_t i = 0; i < count; ++i) {
    vcpus_.push_back(std::make_unique<Vcpu>(*this, static_cast<std::uint32_t>(i), parts_.tcs[i], function));
  }
}

VcpuSet::~VcpuSet() {
  if (stop()) return;
  // Threads that cannot be stopped still use these objects; they end with the process.
  for (auto& vcpu : vcpus_) {
    if (vcpu->thread().joinable()) vcpu->thread().detach();
    static_cast<void>(vcpu.release());
  }
}

Status VcpuSet::start() {
  if (vcpus_.empty()) return fail(EINVAL, "the enclave has no thread control structure");
  for (const int signal : {kVcpuSignal, SIGTRAP}) {
    const Status installed = parts_.device.install_signal(signal, &VcpuSet::on_signal);
    if (!installed) return installed;
  }
  ticker_ = std::thread([this] { ticker_loop(); });
  if (start_vcpu(0) != 0) return fail(EAGAIN, "cannot start the first virtual CPU");
  return {};
}

Outcome VcpuSet::wait() {
  for (;;) {
    const std::uint32_t state = ended_.load(std::memory_order_acquire);
    if (state == 2) break;
    futex_wait(reinterpret_cast<std::uint32_t*>(&ended_), state, kNoDeadline);
  }
  Outcome outcome = outcome_;
  if (outcome.kind == Outcome::Kind::crashed) outcome.message = crash_message(end_reason_, end_event_);
  return outcome;
}

void VcpuSet::finish(Outcome::Kind kind, std::uint64_t detail, EndReason reason, const ExitEvent& event) {
  std::uint32_t expected = 0;
  if (!ended_.compare_exchange_strong(expected, 1)) return;
  outcome_.kind = kind;
  outcome_.detail = detail;
  if (kind == Outcome::Kind::shutdown) outcome_.status = static_cast<int>(detail & 0xff);
  end_reason_ = reason;
  end_event_ = event;
  ended_.store(2, std::memory_order_release);
  futex_wake(reinterpret_cast<std::uint32_t*>(&ended_));
}

bool VcpuSet::stop(unsigned patience_ms) {
  const std::lock_guard lock(mutex_);
  stopping_.store(true);
  alert_ticker(resend_at_, kNoDeadline);
  if (ticker_.joinable()) ticker_.join();
  // Counted in rounds, not by the clock: after a stall of the whole machine the threads must still get their chance.
  constexpr long kRoundNs = 200'000;
  std::uint64_t rounds_left = std::uint64_t{patience_ms} * 1'000'000 / kRoundNs;
  bool all = false;
  while (!all) {
    all = true;
    for (const auto& vcpu : vcpus_) {
      if (vcpu->finished()) continue;
      all = false;
      vcpu->wake();
      vcpu->signal_thread();
    }
    if (!all && rounds_left-- == 0) return false;
    const timespec pause = {0, kRoundNs};
    if (!all) nanosleep(&pause, nullptr);
  }
  for (const auto& vcpu : vcpus_) {
    if (vcpu->thread().joinable()) vcpu->thread().join();
  }
  return true;
}

std::int64_t VcpuSet::start_vcpu(std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  if (index >= vcpus_.size()) return -EINVAL;
  if (stopping_.load()) return -ESRCH;
  Vcpu& vcpu = *vcpus_[index];
  if (!vcpu.finished()) return -EBUSY;
  if (vcpu.thread().joinable()) vcpu.thread().join();
  const bool boot = index == 0;
  const EntryCode code = boot ? EntryCode::boot : EntryCode::start_vcpu;
  const std::uint64_t argument = boot ? reinterpret_cast<std::uintptr_t>(&parts_.memory.boot()) : index;
  vcpu.begin(code, argument);
  return 0;
}

std::int64_t VcpuSet::wake_vcpu(std::uint64_t index) {
  if (index >= vcpus_.size()) return -EINVAL;
  vcpus_[index]->wake();
  return 0;
}

std::int64_t VcpuSet::kick_vcpu(std::uint64_t index) {
  if (index >= vcpus_.size()) return -EINVAL;
  interrupt(*vcpus_[index], host_abi::kPendingWake);
  return 0;
}

void VcpuSet::interrupt(Vcpu& vcpu, std::uint32_t bits) {
  shared(vcpu.block().pending).fetch_or(bits, std::memory_order_seq_cst);
  if (vcpu.finished() || vcpu.wake()) return;
  vcpu.signal_thread();
  alert_ticker(resend_at_, monotonic_now() + kFirstResendNs);
}

std::int64_t VcpuSet::set_tick(std::uint64_t period_us) {
  if (period_us != 0) period_us = std::clamp(period_us, kMinTickUs, kMaxTickUs);
  tick_period_.store(period_us * 1000);
  ticker_word_.fetch_add(1);
  futex_wake(reinterpret_cast<std::uint32_t*>(&ticker_word_));
  return 0;
}

std::int64_t VcpuSet::suspend() { return kill(getpid(), SIGSTOP) == 0 ? 0 : -errno; }

void VcpuSet::wake_io() {
  if (parts_.wake_io) parts_.wake_io();
}

void VcpuSet::deliver_signal() {
  for (const auto& vcpu : vcpus_) {
    if (vcpu->finished() || vcpu->place() != Vcpu::Place::idle) continue;
    shared(vcpu->block().pending).fetch_or(host_abi::kPendingSignal, std::memory_order_seq_cst);
    if (vcpu->wake()) return;
  }
  interrupt(*vcpus_[0], host_abi::kPendingSignal);
}

bool VcpuSet::wake_one_idle() {
  // One that still spins costs nothing to wake.
  for (const bool asleep : {false, true}) {
    for (const auto& vcpu : vcpus_) {
      if (vcpu->sleeping() == asleep && vcpu->wake()) return true;
    }
  }
  return false;
}

void VcpuSet::completions_arrived() {
  if (!wake_one_idle()) alert_ticker(nudge_at_, monotonic_now() + kNudgeNs);
}

VcpuCounters VcpuSet::counters() const {
  VcpuCounters sum;
  for (const auto& vcpu : vcpus_) sum += vcpu->counters();
  return sum;
}

}  // namespace host
