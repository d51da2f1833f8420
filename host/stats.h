// What `--stats` prints: events by cause, and what they would cost on hardware (docs/stats.md names the figures' sources).
#ifndef HOST_STATS_H
#define HOST_STATS_H

#include <cstdint>
#include <string>

#include "host/calls.h"
#include "host/enclave_device.h"
#include "host/io_thread.h"
#include "host/vcpu.h"

namespace host {

// Cycles per event. docs/stats.md says where each figure comes from; keep the two alike.
namespace cost {
inline constexpr std::uint64_t kEenter = 3'800;
inline constexpr std::uint64_t kEexit = 3'300;
inline constexpr std::uint64_t kInterrupt = 7'100;   // AEX and ERESUME
inline constexpr std::uint64_t kException = 20'742;  // AEX, the operating system's fault path, ERESUME
inline constexpr std::uint64_t kPageAdded = 23'000;  // EADD and EEXTEND
inline constexpr std::uint64_t kPageAugmented = 10'000;
inline constexpr std::uint64_t kPageChanged = 5'000;  // EMODPR, EMODT, EREMOVE with their tracking
inline constexpr std::uint64_t kEaccept = 3'000;      // EACCEPT, EACCEPTCOPY, EMODPE
inline constexpr std::uint64_t kKey = 10'000;         // EREPORT, EGETKEY
inline constexpr std::uint64_t kAssumedHz = 3'000'000'000;
}  // namespace cost

struct RunStats {
  std::string device;
  DeviceCounters machine;
  VcpuCounters vcpus;
  const CallCounters* calls = nullptr;
  const IoCounters* io = nullptr;
  std::uint64_t ticks_sent = 0;
  std::uint64_t load_ns = 0;  // from the start to the first entry
  std::uint64_t run_ns = 0;   // from the first entry to the end
  std::string kernel;         // what the kernel logged as its statistics
};

struct ProjectedCost {
  std::uint64_t load_cycles = 0;
  std::uint64_t run_cycles = 0;
};
ProjectedCost project_cost(const DeviceCounters& machine);

// Several lines, each "name value", grouped; ends with a newline.
std::string format_stats(const RunStats& stats);

}  // namespace host
#endif  // HOST_STATS_H
