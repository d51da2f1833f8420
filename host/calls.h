// Serves the calls of the kernel (host_abi::Op). A request is copied out of shared memory before it is looked at; buffers must lie
// in the bounce arena.
#ifndef HOST_CALLS_H
#define HOST_CALLS_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "host/clock.h"
#include "host/enclave_device.h"
#include "host/handles.h"
#include "host_abi/entry.h"

namespace host {

// What calls need from the virtual CPUs. Results are 0 or -errno.
class VcpuControl {
 public:
  virtual ~VcpuControl() = default;
  virtual std::int64_t start_vcpu(std::uint64_t index) = 0;
  virtual std::int64_t wake_vcpu(std::uint64_t index) = 0;
  virtual std::int64_t kick_vcpu(std::uint64_t index) = 0;
  virtual std::int64_t set_tick(std::uint64_t period_us) = 0;
  virtual void wake_io() = 0;
  // Stops the whole process until SIGCONT, so that the user's shell has the terminal.
  virtual std::int64_t suspend() = 0;
};

inline constexpr std::uint32_t kOpCount = 20;  // Op values are below

// Requests by operation, for --stats.
struct CallCounters {
  std::atomic<std::uint64_t> synchronous[kOpCount] = {};
  std::atomic<std::uint64_t> asynchronous[kOpCount] = {};
  std::atomic<std::uint64_t> bytes_read = 0;
  std::atomic<std::uint64_t> bytes_written = 0;
};

// Where log lines go. Level 1 error .. 5 trace; level 6 is the kernel's statistics.
using LogSink = std::function<void(std::uint64_t level, std::string_view text)>;

class HostCalls {
 public:
  struct Parts {
    EnclaveDevice& device;
    HandleTable& handles;
    ClockSource& clock;
    VcpuControl& vcpus;
    std::span<std::byte> arena;
    LogSink log;
  };
  explicit HostCalls(Parts parts) : parts_(std::move(parts)) {}

  // Serves a request and returns its result (>= 0 or -errno). May block in read, write and poll; a signal ends the wait with
  // -EINTR if `interrupted` says so then, otherwise the wait goes on.
  std::int64_t serve(const host_abi::CallSlot& request, const std::function<bool()>& interrupted);

  // The asynchronous form: never waits for a file. Nothing: not ready, ask again when poll(2) reports `events` on `file`.
  struct NotReady {
    std::shared_ptr<HostFile> file;
    short events = 0;
    std::uint64_t deadline = UINT64_MAX;  // CLOCK_MONOTONIC ns (Op::poll with a timeout)
  };
  std::optional<std::int64_t> try_serve(const host_abi::CallSlot& request, NotReady& not_ready);

  CallCounters& counters() { return counters_; }

 private:
  std::int64_t serve_common(const host_abi::CallSlot& request);  // everything that does not wait
  std::int64_t read_write(const host_abi::CallSlot& request, const std::function<bool()>& interrupted);
  std::optional<std::int64_t> try_read_write(const host_abi::CallSlot& request, NotReady& not_ready);
  std::int64_t poll_handle(const host_abi::CallSlot& request, const std::function<bool()>& interrupted);
  std::optional<std::int64_t> try_poll(const host_abi::CallSlot& request, NotReady& not_ready);
  std::int64_t terminal_get(const host_abi::CallSlot& request);
  std::int64_t terminal_set(const host_abi::CallSlot& request);
  std::int64_t file_stat(const host_abi::CallSlot& request);
  std::int64_t seek(const host_abi::CallSlot& request);
  std::int64_t log(const host_abi::CallSlot& request);
  std::int64_t pages(const host_abi::CallSlot& request);
  std::byte* buffer(const host_abi::CallSlot& request, std::uint64_t minimum) const;
  void count_bytes(const host_abi::CallSlot& request, std::int64_t result);

  Parts parts_;
  CallCounters counters_;
};

}  // namespace host
#endif  // HOST_CALLS_H
