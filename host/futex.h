// Thin wrappers of futex(2) on words in this process's memory.
#ifndef HOST_FUTEX_H
#define HOST_FUTEX_H

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>

namespace host {

inline constexpr std::uint64_t kNoDeadline = UINT64_MAX;  // CLOCK_MONOTONIC ns
inline constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

inline timespec to_timespec(std::uint64_t ns) {
  return {static_cast<time_t>(ns / kNsPerSecond), static_cast<long>(ns % kNsPerSecond)};
}

// CLOCK_MONOTONIC in ns. Async-signal-safe.
inline std::uint64_t monotonic_now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<std::uint64_t>(now.tv_nsec);
}

// Sleeps while *word == expected, until woken or the absolute deadline. Returns 0, EAGAIN, EINTR or ETIMEDOUT.
inline int futex_wait(std::uint32_t* word, std::uint32_t expected, std::uint64_t deadline) {
  const timespec until = to_timespec(deadline > INT64_MAX ? INT64_MAX : deadline);
  const timespec* timeout = deadline == kNoDeadline ? nullptr : &until;
  const long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, timeout, nullptr,
                              FUTEX_BITSET_MATCH_ANY);
  return result == 0 ? 0 : errno;
}

// Wakes up to `count` sleepers. Async-signal-safe.
inline void futex_wake(std::uint32_t* word, int count = INT_MAX) {
  syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, 0);
}

}  // namespace host
#endif  // HOST_FUTEX_H
