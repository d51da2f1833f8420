#include "host/cpuid_table.h"

#include <cpuid.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace host {
namespace {

constexpr std::size_t kMaxEntries = 128;

host_abi::CpuidEntry ask(std::uint32_t leaf, std::uint32_t subleaf) {
  host_abi::CpuidEntry entry{.leaf = leaf, .subleaf = subleaf, .eax = 0, .ebx = 0, .ecx = 0, .edx = 0};
  __cpuid_count(leaf, subleaf, entry.eax, entry.ebx, entry.ecx, entry.edx);
  return entry;
}

// The highest component of extended state that this system uses: each CPUID costs microseconds in a virtual machine.
std::uint32_t last_component() {
  static const std::uint32_t kLast = [] {
    std::uint32_t low = 0, high = 0;
    // SAFETY: reads XCR0, which systems with AVX let programs do.
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    const std::uint64_t components = std::uint64_t{high} << 32 | low;
    return std::max(1U, static_cast<std::uint32_t>(std::bit_width(components)) - 1);
  }();
  return kLast;
}

// Whether the walk over a leaf's subleaves is at its end (SDM vol. 2, CPUID).
bool is_last(const host_abi::CpuidEntry& entry) {
  switch (entry.leaf) {
    case 4: return (entry.eax & 0x1f) == 0;                            // no more caches
    case 7: case 0x14: return entry.subleaf >= 1;
    case 0xb: case 0x1f: return (entry.ecx >> 8 & 0xff) == 0;          // invalid level
    case 0xd: return entry.subleaf >= last_component();
    default: return true;
  }
}

}  // namespace

std::vector<host_abi::CpuidEntry> read_cpuid_table() {
  std::vector<host_abi::CpuidEntry> table;
  const auto add_range = [&](std::uint32_t first, std::uint32_t last) {
    for (std::uint32_t leaf = first; leaf <= last; ++leaf) {
      for (std::uint32_t subleaf = 0; table.size() < kMaxEntries; ++subleaf) {
        const host_abi::CpuidEntry entry = ask(leaf, subleaf);
        const bool empty_component = leaf == 0xd && subleaf >= 2 && entry.eax == 0;
        if (!empty_component) table.push_back(entry);
        if (is_last(entry)) break;
      }
    }
  };
  add_range(0, std::min<std::uint32_t>(ask(0, 0).eax, 0x20));
  add_range(0x8000'0000, std::min<std::uint32_t>(ask(0x8000'0000, 0).eax, 0x8000'0008));
  return table;
}

}  // namespace host
