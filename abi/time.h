// Times and clocks as programs see them (time(7), clock_gettime(2), setitimer(2), timer_create(2)).
#ifndef ABI_TIME_H
#define ABI_TIME_H

#include <array>
#include <cstdint>
#include <type_traits>

namespace abi {

struct Timespec {
  std::int64_t sec;
  std::int64_t nsec;
};
static_assert(sizeof(Timespec) == 16);
struct Timeval {
  std::int64_t sec;
  std::int64_t usec;
};
struct Timezone {
  std::int32_t minutes_west;
  std::int32_t dst_time;
};
struct Itimerspec {
  Timespec interval;
  Timespec value;
};
static_assert(sizeof(Itimerspec) == 32);
struct Itimerval {
  Timeval interval;
  Timeval value;
};
static_assert(sizeof(Itimerval) == 32);
struct Tms {
  std::int64_t utime, stime, cutime, cstime;  // ticks of 10 ms
};
inline constexpr std::uint64_t kClockTicksPerSecond = 100;  // USER_HZ

inline constexpr std::int32_t kClockRealtime = 0, kClockMonotonic = 1, kClockProcessCpu = 2, kClockThreadCpu = 3,
                              kClockMonotonicRaw = 4, kClockRealtimeCoarse = 5, kClockMonotonicCoarse = 6, kClockBoottime = 7,
                              kClockRealtimeAlarm = 8, kClockBoottimeAlarm = 9, kClockTai = 11;
inline constexpr std::int32_t kTimerAbstime = 1;
inline constexpr std::int32_t kTfdNonblock = 0x800, kTfdCloexec = 0x80000, kTfdTimerAbstime = 1, kTfdTimerCancelOnSet = 2;

inline constexpr std::int32_t kItimerReal = 0, kItimerVirtual = 1, kItimerProf = 2;

inline constexpr std::int64_t kNsPerSec = 1'000'000'000;

// struct timex of adjtimex(2).
struct Timex {
  std::uint32_t modes, reserved0;
  std::int64_t offset, frequency, max_error, estimated_error;
  std::int32_t status, reserved1;
  std::int64_t constant, precision, tolerance;
  Timeval time;
  std::int64_t tick, pps_frequency, jitter;
  std::int32_t shift, reserved2;
  std::int64_t stability, jitter_count, calibration_count, error_count, stability_count;
  std::int32_t tai;
  std::array<std::int32_t, 11> reserved3;
};
static_assert(sizeof(Timex) == 208 && std::has_unique_object_representations_v<Timex>);
inline constexpr std::uint32_t kAdjOffset = 1, kAdjReadOnly = 0x2000, kAdjTick = 0x4000, kAdjOld = 0x8000;
inline constexpr std::int32_t kStaUnsync = 0x40, kTimeError = 5;

}  // namespace abi
#endif  // ABI_TIME_H
