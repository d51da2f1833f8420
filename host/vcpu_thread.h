// One virtual CPU and its thread: the inside of vcpu.cc.
#ifndef HOST_VCPU_THREAD_H
#define HOST_VCPU_THREAD_H

#include <sys/types.h>
#include <ucontext.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "host/entry.h"
#include "host/vcpu.h"

namespace host {

class Vcpu {
 public:
  // Where the thread is, for those who want to interrupt it.
  enum class Place : std::uint32_t {
    none,     // no thread
    inside,   // in the enclave, or about to be
    serving,  // in a host call
    idle,     // asleep or spinning until VcpuBlock::state changes
  };

  Vcpu(VcpuSet& set, std::uint32_t index, std::uint64_t tcs, sgx::EnterFunction function);
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  // Starts the thread, which first enters with these; there must be none (finished()). It ends at stop_vcpu, at the end of the
  // instance, or when it was abandoned.
  void begin(host_abi::EntryCode first, std::uint64_t argument);
  // The signal handler's part, in this thread; `sample`: the signal is that of the sampling timer. Async-signal-safe.
  void on_interrupt(ucontext_t& context, bool sample);
  // Sends kVcpuSignal to the thread. Any thread; async-signal-safe.
  void signal_thread() const;
  // If the kernel left it idle: makes it run. True if it was idle. Any thread; async-signal-safe.
  bool wake();

  Place place() const { return place_.load(std::memory_order_seq_cst); }
  bool sleeping() const { return sleeping_.load(std::memory_order_seq_cst) != 0; }
  host_abi::VcpuBlock& block() const { return block_; }
  const VcpuCounters& counters() const { return counters_; }
  std::thread& thread() { return thread_; }
  bool finished() const { return place() == Place::none; }

 private:
  void run(host_abi::EntryCode first, std::uint64_t argument);
  bool handle(const ExitEvent& event);
  bool handle_exit(const ExitEvent& event);
  ExitEvent enter(host_abi::EntryCode code, std::uint64_t argument);
  bool run_handler(bool sample = false);
  ExitEvent enter_handler(std::uint64_t hints);
  void start_sampling();
  void serve_call();
  void idle(std::uint64_t deadline);
  bool should_wake() const;
  bool wants_attention() const;

  VcpuSet& set_;
  const std::uint64_t tcs_;
  host_abi::VcpuBlock& block_;
  Entry entry_;    // CSSA 0
  Entry handler_;  // CSSA 1
  // Shared between the thread and its own signal handler.
  std::atomic<Entry*> active_ = nullptr;  // whose AEP an interrupt would find
  std::atomic<bool> in_handler_ = false;  // the kernel's CSSA 1 handler runs
  std::atomic<bool> sampled_ = false;     // the sampling timer went off outside: the next entry tells
  // Shared with other threads.
  std::atomic<Place> place_ = Place::none;
  std::atomic<std::uint32_t> sleeping_ = 0;
  std::atomic<pid_t> tid_ = 0;
  std::thread thread_;
  VcpuCounters counters_;
  std::uint32_t refusals_ = 0;  // handler entries in a row that the kernel refused
  const std::function<bool()> interrupted_;
};

}  // namespace host
#endif  // HOST_VCPU_THREAD_H
