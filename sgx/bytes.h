// Small helpers over byte ranges, for the sources of this folder.
#ifndef SGX_BYTES_H
#define SGX_BYTES_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "sgx/arch.h"
#include "sgx/result.h"

namespace sgx {

// Rounds up to a page. The caller has bounded `value`: it must not be within a page of 2^64.
constexpr std::uint64_t page_up(std::uint64_t value) { return (value + kPageSize - 1) & ~(kPageSize - 1); }
constexpr bool page_aligned(std::uint64_t value) { return value % kPageSize == 0; }

// True if [offset, offset + size) lies in [0, limit), without wrapping.
constexpr bool in_bounds(std::uint64_t offset, std::uint64_t size, std::uint64_t limit) {
  return offset <= limit && size <= limit - offset;
}

inline bool is_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

// The T at `offset`, or nothing if it does not lie within `bytes`.
template <class T>
  requires std::is_trivially_copyable_v<T>
std::optional<T> load_at(Bytes bytes, std::uint64_t offset) {
  if (!in_bounds(offset, sizeof(T), bytes.size())) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// Writes `value` at `offset`; false if it does not fit.
template <class T>
  requires std::has_unique_object_representations_v<T>
bool store_at(std::span<std::uint8_t> bytes, std::uint64_t offset, const T& value) {
  if (!in_bounds(offset, sizeof(T), bytes.size())) return false;
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
  return true;
}

}  // namespace sgx
#endif  // SGX_BYTES_H
