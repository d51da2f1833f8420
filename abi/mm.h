// Numbers of the memory calls as programs pass them (Linux, x86-64: uapi/asm-generic/mman-common.h, mman.h, linux/mman.h).
#ifndef ABI_MM_H
#define ABI_MM_H

#include <cstdint>

namespace abi {

// PROT_*
inline constexpr std::uint32_t kProtNone = 0, kProtRead = 1, kProtWrite = 2, kProtExec = 4, kProtSem = 8;
inline constexpr std::uint32_t kProtGrowsDown = 0x01000000, kProtGrowsUp = 0x02000000;

// MAP_*
inline constexpr std::uint32_t kMapShared = 1, kMapPrivate = 2, kMapSharedValidate = 3, kMapTypeMask = 0x0f;
inline constexpr std::uint32_t kMapFixed = 0x10, kMapAnonymous = 0x20, kMap32Bit = 0x40, kMapGrowsDown = 0x100, kMapDenyWrite = 0x800,
                               kMapExecutable = 0x1000, kMapLocked = 0x2000, kMapNoReserve = 0x4000, kMapPopulate = 0x8000,
                               kMapNonblock = 0x10000, kMapStack = 0x20000, kMapHugeTlb = 0x40000, kMapSync = 0x80000,
                               kMapFixedNoReplace = 0x100000, kMapUninitialized = 0x4000000;

// mremap
inline constexpr std::uint32_t kMremapMayMove = 1, kMremapFixed = 2, kMremapDontUnmap = 4;

// msync
inline constexpr std::uint32_t kMsAsync = 1, kMsInvalidate = 2, kMsSync = 4;

// madvise
inline constexpr std::uint32_t kMadvNormal = 0, kMadvRandom = 1, kMadvSequential = 2, kMadvWillNeed = 3, kMadvDontNeed = 4, kMadvFree = 8,
                               kMadvRemove = 9, kMadvDontFork = 10, kMadvDoFork = 11, kMadvMergeable = 12, kMadvUnmergeable = 13,
                               kMadvHugePage = 14, kMadvNoHugePage = 15, kMadvDontDump = 16, kMadvDoDump = 17, kMadvWipeOnFork = 18,
                               kMadvKeepOnFork = 19, kMadvCold = 20, kMadvPageOut = 21, kMadvPopulateRead = 22, kMadvPopulateWrite = 23;

// mlockall, mlock2
inline constexpr std::uint32_t kMclCurrent = 1, kMclFuture = 2, kMclOnFault = 4;
inline constexpr std::uint32_t kMlockOnFault = 1;

}  // namespace abi
#endif  // ABI_MM_H
