// The auxiliary vector (getauxval(3)).
#ifndef ABI_AUXV_H
#define ABI_AUXV_H

#include <cstdint>

namespace abi {

enum : std::uint64_t {
  kAtNull = 0, kAtPhdr = 3, kAtPhent = 4, kAtPhnum = 5, kAtPagesz = 6, kAtBase = 7, kAtFlags = 8, kAtEntry = 9, kAtUid = 11,
  kAtEuid = 12, kAtGid = 13, kAtEgid = 14, kAtPlatform = 15, kAtHwcap = 16, kAtClktck = 17, kAtSecure = 23, kAtRandom = 25,
  kAtHwcap2 = 26, kAtExecfn = 31, kAtSysinfoEhdr = 33, kAtMinsigstksz = 51,
};
struct AuxEntry {
  std::uint64_t type;
  std::uint64_t value;
};
static_assert(sizeof(AuxEntry) == 16);
inline constexpr std::uint64_t kHwcap2Ring3Mwait = 1, kHwcap2Fsgsbase = 2;

}  // namespace abi
#endif  // ABI_AUXV_H
