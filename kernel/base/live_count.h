// Counts of kernel objects that exist now, by kind: /proc/slabinfo shows them, the leak check of tests/conformance/chaos.c compares them.
#ifndef KERNEL_BASE_LIVE_COUNT_H
#define KERNEL_BASE_LIVE_COUNT_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kernel {

enum class LiveKind : std::uint8_t { task, process, file, inode, dentry, pipe, socket, window };
inline constexpr std::size_t kLiveKinds = 8;

inline std::atomic<std::uint64_t>& live_count(LiveKind kind) {
  static constinit std::array<std::atomic<std::uint64_t>, kLiveKinds> counts{};
  return counts[static_cast<std::size_t>(kind)];
}

// A member of no size: the object that has it is counted as long as it lives.
template <LiveKind kKind>
class LiveMark {
 public:
  LiveMark() { live_count(kKind).fetch_add(1, std::memory_order_relaxed); }
  ~LiveMark() { live_count(kKind).fetch_sub(1, std::memory_order_relaxed); }
  LiveMark(const LiveMark&) = delete;
  LiveMark& operator=(const LiveMark&) = delete;
};

}  // namespace kernel
#endif  // KERNEL_BASE_LIVE_COUNT_H
