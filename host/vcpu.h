// The virtual CPUs: one host thread per TCS that has been started. A thread enters the enclave, serves what the kernel asks for at
// each exit, sleeps while the kernel is idle, and takes exceptions and ticks to the kernel's handler at CSSA 1.
//
// How an interrupt reaches the kernel: a bit is set in VcpuBlock::pending, then kVcpuSignal is sent to the thread. If the signal
// finds the thread in the enclave, the handler enters at CSSA 1 (nested) and then lets ERESUME go on. If it finds it outside, the
// bit is enough: the kernel looks at it on each entry, and the thread before each ERESUME. What falls between (a signal just before
// ERESUME, or before a blocking read) is sent again by the ticker until the kernel has cleared the bit.
#ifndef HOST_VCPU_H
#define HOST_VCPU_H

#include <signal.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "host/calls.h"
#include "host/clock.h"
#include "host/enclave_device.h"
#include "host/entry.h"
#include "host/shared_memory.h"

namespace host {

// Interrupts a virtual CPU's thread. An ordinary signal, so that several that wait become one.
inline constexpr int kVcpuSignal = SIGVTALRM;

// How an instance ended.
struct Outcome {
  enum class Kind : std::uint8_t {
    shutdown,  // the kernel is finished: `status` is the exit code
    panic,     // the kernel gave up: `detail` is its line or code
    crashed,   // the enclave cannot go on: `message` says why
  };
  Kind kind = Kind::crashed;
  int status = 0;
  std::uint64_t detail = 0;
  std::string message;
};

struct VcpuCounters {
  std::array<std::uint64_t, 8> exits = {};  // by host_abi::ExitCode, at CSSA 0
  std::uint64_t faults = 0;                 // exceptions in the enclave that the host saw
  std::uint64_t interrupts = 0;             // nested entries for a tick or kick
  std::uint64_t idle_spins = 0;             // idle exits that ended while spinning
  std::uint64_t idle_sleeps = 0;            // ... that slept
  VcpuCounters& operator+=(const VcpuCounters& other);
};

class Vcpu;

// Why an instance crashed, for its message.
enum class EndReason : std::uint8_t { none, entry_fault, refused, retired, handler_fault, handler_exit, unknown_exit, thread };

class VcpuSet final : public VcpuControl {
 public:
  struct Parts {
    EnclaveDevice& device;
    SharedMemory& memory;
    ClockSource& clock;
    std::vector<std::uint64_t> tcs;  // addresses; [0] boots. At least memory.vcpu_count()
    HostCalls* calls = nullptr;
    std::function<void()> wake_io;
  };
  explicit VcpuSet(Parts parts);
  ~VcpuSet() override;  // stops

  // Who serves the kernel's calls; before start().
  void set_calls(HostCalls& calls) { parts_.calls = &calls; }

  // Boots virtual CPU 0. The caller's signal mask is inherited; kVcpuSignal is unblocked in the threads.
  Status start();
  // Waits for the end and returns how it came; the threads still exist.
  Outcome wait();
  // True once there is an outcome.
  bool ended() const { return ended_.load() != 0; }
  // Takes all threads out of the enclave, wherever they are, and ends them. A thread that hangs in the kernel's CSSA 1 handler
  // cannot be taken out: after `patience_ms` the answer is false and the threads are left behind.
  bool stop(unsigned patience_ms = 2000);

  // VcpuControl; any thread.
  std::int64_t start_vcpu(std::uint64_t index) override;
  std::int64_t wake_vcpu(std::uint64_t index) override;
  std::int64_t kick_vcpu(std::uint64_t index) override;
  std::int64_t set_tick(std::uint64_t period_us) override;
  void wake_io() override;
  std::int64_t suspend() override;

  // Tells one virtual CPU that SharedMemory::user_signal has new bits.
  void deliver_signal();
  // Tells the kernel that cq_tail was raised: wakes an idle virtual CPU, or interrupts a busy one if nobody looks soon.
  void completions_arrived();

  // Sum over all virtual CPUs; exact after stop().
  VcpuCounters counters() const;
  std::uint64_t ticks_sent() const { return ticks_sent_.load(std::memory_order_relaxed); }

 private:
  friend class Vcpu;
  // A wake-up or signal that may have fallen between is sent again after this time, then at twice the distance, up to the limit.
  static constexpr std::uint64_t kFirstResendNs = 200'000;
  static constexpr std::uint64_t kLastResendNs = 20'000'000;
  static void on_signal(int signal, siginfo_t* info, ucontext_t* context);
  // Records the outcome if there is none yet. Async-signal-safe.
  void finish(Outcome::Kind kind, std::uint64_t detail, EndReason reason, const ExitEvent& event);
  bool wake_one_idle();
  void interrupt(Vcpu& vcpu, std::uint32_t bits);
  void ticker_loop();
  void alert_ticker(std::atomic<std::uint64_t>& field, std::uint64_t at);
  void tick_all();
  void resend(std::uint64_t now);
  void nudge();

  Parts parts_;
  std::mutex mutex_;  // start_vcpu, stop: creation and joining of threads
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::thread ticker_;
  std::atomic<bool> stopping_ = false;
  // Who moves ended_ from 0 to 1 writes the three fields below; they are readable at 2. A futex word.
  std::atomic<std::uint32_t> ended_ = 0;
  Outcome outcome_;
  EndReason end_reason_ = EndReason::none;
  ExitEvent end_event_;
  // The ticker sleeps on ticker_word_; times are CLOCK_MONOTONIC ns, kNoDeadline = nothing to do.
  std::atomic<std::uint32_t> ticker_word_ = 0;
  std::atomic<std::uint64_t> tick_period_ = 0;  // ns, 0 = off
  std::atomic<std::uint64_t> resend_at_ = UINT64_MAX;
  std::atomic<std::uint64_t> nudge_at_ = UINT64_MAX;
  std::atomic<std::uint64_t> ticks_sent_ = 0;
  std::uint64_t resend_distance_ = kFirstResendNs;  // only the ticker uses it
};

}  // namespace host
#endif  // HOST_VCPU_H
