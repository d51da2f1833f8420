// Times and clocks as programs see them (time(7), clock_gettime(2), setitimer(2), timer_create(2)).
#ifndef ABI_TIME_H
#define ABI_TIME_H

#include <cstdint>

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

}  // namespace abi
#endif  // ABI_TIME_H
