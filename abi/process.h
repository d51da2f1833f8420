// Processes as programs see them: wait(2), getrlimit(2), getrusage(2), prctl(2), sysinfo(2), uname(2), capabilities(7).
#ifndef ABI_PROCESS_H
#define ABI_PROCESS_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "abi/time.h"

namespace abi {

inline constexpr std::int32_t kWNoHang = 1, kWUntraced = 2, kWStopped = 2, kWExited = 4, kWContinued = 8, kWNoWait = 0x01000000,
                              kWNoThread = 0x20000000, kWAll = 0x40000000;
inline constexpr std::uint32_t kWClone = 0x80000000;
inline constexpr std::int32_t kPAll = 0, kPPid = 1, kPPgid = 2, kPPidFd = 3;

// Wait status words.
constexpr std::int32_t wait_exited(std::int32_t code) { return (code & 0xff) << 8; }
constexpr std::int32_t wait_signaled(std::int32_t signal, bool core) { return (signal & 0x7f) | (core ? 0x80 : 0); }
constexpr std::int32_t wait_stopped(std::int32_t signal) { return (signal << 8) | 0x7f; }
inline constexpr std::int32_t kWaitContinued = 0xffff;

inline constexpr std::size_t kRlimitCount = 16;
enum class Rlimit : std::uint32_t {
  cpu = 0, fsize, data, stack, core, rss, nproc, nofile, memlock, as, locks, sigpending, msgqueue, nice, rtprio, rttime
};
inline constexpr std::uint64_t kRlimInfinity = ~std::uint64_t{0};
struct RlimitPair {
  std::uint64_t current;
  std::uint64_t maximum;
};
static_assert(sizeof(RlimitPair) == 16);

inline constexpr std::int32_t kRusageSelf = 0, kRusageChildren = -1, kRusageThread = 1;
struct Rusage {
  Timeval utime, stime;
  std::int64_t maxrss;  // KiB
  std::int64_t ixrss, idrss, isrss;
  std::int64_t minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
};
static_assert(sizeof(Rusage) == 144);

struct SysInfo {
  std::int64_t uptime;
  std::array<std::uint64_t, 3> loads;
  std::uint64_t totalram, freeram, sharedram, bufferram, totalswap, freeswap;
  std::uint16_t procs;
  std::uint16_t pad;
  std::uint32_t reserved;
  std::uint64_t totalhigh, freehigh;
  std::uint32_t mem_unit;
  std::uint32_t reserved2;
};
static_assert(sizeof(SysInfo) == 112 && std::has_unique_object_representations_v<SysInfo>);

inline constexpr std::size_t kUtsLength = 65;
struct UtsName {
  std::array<char, kUtsLength> sysname, nodename, release, version, machine, domainname;
};
static_assert(sizeof(UtsName) == 390);

inline constexpr std::int32_t kPrSetPdeathsig = 1, kPrGetPdeathsig = 2, kPrGetDumpable = 3, kPrSetDumpable = 4, kPrGetKeepcaps = 7,
                              kPrSetKeepcaps = 8, kPrGetTiming = 13, kPrSetTiming = 14, kPrSetName = 15, kPrGetName = 16,
                              kPrGetSeccomp = 21, kPrCapbsetRead = 23, kPrCapbsetDrop = 24, kPrGetTsc = 25, kPrSetTsc = 26,
                              kPrGetSecurebits = 27, kPrSetSecurebits = 28, kPrSetTimerslack = 29, kPrGetTimerslack = 30,
                              kPrSetMm = 35, kPrSetChildSubreaper = 36, kPrGetChildSubreaper = 37, kPrSetNoNewPrivs = 38,
                              kPrGetNoNewPrivs = 39, kPrGetTidAddress = 40, kPrSetThpDisable = 41, kPrGetThpDisable = 42,
                              kPrCapAmbient = 47, kPrSetVma = 0x53564d41, kPrSetPtracer = 0x59616d61;
inline constexpr std::size_t kTaskCommLength = 16;

inline constexpr std::int32_t kArchSetGs = 0x1001, kArchSetFs = 0x1002, kArchGetFs = 0x1003, kArchGetGs = 0x1004,
                              kArchGetCpuid = 0x1011, kArchSetCpuid = 0x1012, kArchCetStatus = 0x3001;

inline constexpr std::uint32_t kCapabilityVersion1 = 0x19980330, kCapabilityVersion2 = 0x20071026, kCapabilityVersion3 = 0x20080522;
inline constexpr std::int32_t kCapLast = 40;
inline constexpr std::uint64_t kCapAll = (std::uint64_t{1} << (kCapLast + 1)) - 1;
struct CapHeader {
  std::uint32_t version;
  std::int32_t pid;
};
struct CapData {
  std::uint32_t effective, permitted, inheritable;
};

inline constexpr std::int32_t kMembarrierQuery = 0, kMembarrierGlobal = 1, kMembarrierGlobalExpedited = 2,
                              kMembarrierRegisterGlobalExpedited = 4, kMembarrierPrivateExpedited = 8,
                              kMembarrierRegisterPrivateExpedited = 16, kMembarrierPrivateExpeditedSyncCore = 32,
                              kMembarrierRegisterPrivateExpeditedSyncCore = 64, kMembarrierGetRegistrations = 512;
inline constexpr std::uint32_t kMembarrierKnown = 0x7f | 0x200;

// robust_list(2 get_robust_list)
struct RobustListHead {
  std::uint64_t list;  // first entry; bit 0 = PI
  std::int64_t futex_offset;
  std::uint64_t list_op_pending;
};
static_assert(sizeof(RobustListHead) == 24);

inline constexpr std::uint32_t kPersonalityMask = 0xffffffff;

}  // namespace abi
#endif  // ABI_PROCESS_H
