// futex(2) as programs see it.
#ifndef ABI_FUTEX_H
#define ABI_FUTEX_H

#include <cstdint>
#include <type_traits>

namespace abi {

inline constexpr std::int32_t kFutexWait = 0, kFutexWake = 1, kFutexFd = 2, kFutexRequeue = 3, kFutexCmpRequeue = 4, kFutexWakeOp = 5,
                              kFutexLockPi = 6, kFutexUnlockPi = 7, kFutexTrylockPi = 8, kFutexWaitBitset = 9, kFutexWakeBitset = 10,
                              kFutexWaitRequeuePi = 11, kFutexCmpRequeuePi = 12, kFutexLockPi2 = 13;
inline constexpr std::int32_t kFutexPrivate = 128, kFutexClockRealtime = 256, kFutexCmdMask = ~(kFutexPrivate | kFutexClockRealtime);
inline constexpr std::uint32_t kFutexWaiters = 0x80000000, kFutexOwnerDied = 0x40000000, kFutexTidMask = 0x3fffffff;
inline constexpr std::uint32_t kFutexBitsetAny = 0xffffffff;

inline constexpr std::uint32_t kFutexOpSet = 0, kFutexOpAdd = 1, kFutexOpOr = 2, kFutexOpAndN = 3, kFutexOpXor = 4,
                               kFutexOpArgShift = 8;
inline constexpr std::uint32_t kFutexCmpEq = 0, kFutexCmpNe = 1, kFutexCmpLt = 2, kFutexCmpLe = 3, kFutexCmpGt = 4, kFutexCmpGe = 5;

inline constexpr std::uint32_t kFutex32 = 2;  // size flag of futex_waitv
inline constexpr std::uint32_t kFutexWaitvMax = 128;
struct FutexWaitv {
  std::uint64_t val;
  std::uint64_t uaddr;
  std::uint32_t flags;
  std::uint32_t reserved;
};
static_assert(sizeof(FutexWaitv) == 24);

inline constexpr std::uint32_t kRobustListLimit = 2048;

}  // namespace abi
#endif  // ABI_FUTEX_H
