// Arithmetic on numbers from outside, and address rounding (rule checked-sizes).
#ifndef KERNEL_BASE_CHECKED_H
#define KERNEL_BASE_CHECKED_H

#include <concepts>
#include <cstdint>
#include <utility>

#include "kernel/base/result.h"

namespace kernel {

template <std::integral T>
Result<T> checked_add(T a, T b) {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return Errno::overflow;
  return sum;
}
template <std::integral T>
Result<T> checked_sub(T a, T b) {
  T difference{};
  if (__builtin_sub_overflow(a, b, &difference)) return Errno::overflow;
  return difference;
}
template <std::integral T>
Result<T> checked_mul(T a, T b) {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return Errno::overflow;
  return product;
}
// The same number in another type, or EOVERFLOW if it does not fit.
template <std::integral To, std::integral From>
Result<To> checked_cast(From value) {
  if (!std::in_range<To>(value)) return Errno::overflow;
  return static_cast<To>(value);
}

// align is a power of two. round_up wraps to 0 at the top: callers check ranges first.
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t align) { return value & ~(align - 1); }
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t align) { return (value + align - 1) & ~(align - 1); }
constexpr bool is_aligned(std::uint64_t value, std::uint64_t align) { return (value & (align - 1)) == 0; }

}  // namespace kernel
#endif  // KERNEL_BASE_CHECKED_H
