#include "kernel/asan/shadow.h"

#include <algorithm>

#include "kernel/base/config.h"

// SAFETY: (whole file) shadow bytes of covered addresses are committed pages that belong to the sanitizer alone; frame pointers are
// followed only within covered memory.
UNSAFE_BUFFERS_BEGIN
namespace kernel::asan {

constinit Shadow shadow;

std::uint8_t& shadow_of(std::uint64_t address) {
  // SAFETY: see the top of the file.
  return reinterpret_cast<std::uint8_t*>(shadow.address)[(address - shadow.base) >> 3];
}

void poison(std::uint64_t address, std::uint64_t size, Poison value) {
  if (!is_covered(address) || size == 0) return;
  size = std::min(size, shadow.covered.load(std::memory_order_relaxed) - (address - shadow.base));
  __builtin_memset(&shadow_of(address), static_cast<int>(value), (size + 7) / 8);
}

void unpoison(std::uint64_t address, std::uint64_t size) {
  poison(address, size & ~std::uint64_t{7}, Poison::none);
  if ((size & 7) != 0 && is_covered(address + size)) shadow_of(address + size) = static_cast<std::uint8_t>(size & 7);
}

namespace {
bool word_is_clean(std::uint64_t group) {
  std::uint64_t word = 0;
  __builtin_memcpy(&word, &shadow_of(group), sizeof(word));
  return word == 0;
}
}  // namespace

void check_range(std::uint64_t address, std::uint64_t size, AccessKind kind, const void* frame) {
  if (size == 0 || !is_covered(address)) return;
  const std::uint64_t end = address + std::min(size, shadow.covered.load(std::memory_order_relaxed) - (address - shadow.base));
  for (std::uint64_t group = address & ~std::uint64_t{7}; group < end;) {
    if ((group & 63) == 0 && end - group >= 64 && word_is_clean(group)) {
      group += 64;
      continue;
    }
    const std::uint8_t value = shadow_of(group);
    // The last byte of this group that is touched must be among the first `value`.
    if (value != 0 && (value > 7 || std::min(end - group, std::uint64_t{8}) > value)) {
      if (!shadow.quiet.load(std::memory_order_relaxed)) report_access(address, size, kind, frame);
      return;
    }
    group += 8;
  }
}

Trace trace_from(const void* frame) {
  constexpr std::uint64_t kMaxStack = 1 << 20;
  Trace trace{};
  // SAFETY: only the number is used.
  auto at = reinterpret_cast<std::uint64_t>(frame);
  for (std::uint32_t& entry : trace) {
    if ((at & 7) != 0 || !is_covered(at) || !is_covered(at + 8)) break;
    // SAFETY: a frame in covered memory: the caller's frame pointer and the return address.
    const auto* words = reinterpret_cast<const std::uint64_t*>(at);
    entry = static_cast<std::uint32_t>(words[1] - shadow.base);
    if (words[0] <= at || words[0] - at > kMaxStack) break;
    at = words[0];
  }
  return trace;
}

}  // namespace kernel::asan
UNSAFE_BUFFERS_END
