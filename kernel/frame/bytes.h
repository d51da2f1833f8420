// Byte-wise work on spans that plain C++ without raw pointers does badly. All bounds are checked.
#ifndef KERNEL_FRAME_BYTES_H
#define KERNEL_FRAME_BYTES_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "kernel/base/config.h"

namespace kernel {

// Copies from.size() bytes to the start of `to`, which must be at least as long. The ranges do not overlap.
void copy_bytes(std::span<std::byte> to, std::span<const std::byte> from);
// As copy_bytes, but the ranges may overlap.
void move_bytes(std::span<std::byte> to, std::span<const std::byte> from);
void fill_bytes(std::span<std::byte> to, std::byte value);
inline void zero_bytes(std::span<std::byte> to) { fill_bytes(to, std::byte{0}); }
bool equal_bytes(std::span<const std::byte> a, std::span<const std::byte> b);

// A T from / to the bytes at `offset`; panics if it does not fit (check lengths of input first).
template <class T>
  requires std::is_trivially_copyable_v<T>
T load_bytes(std::span<const std::byte> from, std::size_t offset = 0) {
  T value{};
  copy_bytes(std::as_writable_bytes(std::span<T, 1>(&value, 1)), from.subspan(offset, sizeof(T)));
  return value;
}
template <class T>
  requires std::is_trivially_copyable_v<T>
void store_bytes(std::span<std::byte> to, std::size_t offset, const T& value) {
  copy_bytes(to.subspan(offset, sizeof(T)), std::as_bytes(std::span<const T, 1>(&value, 1)));
}
// Text as bytes and back.
inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span<const char>(text.data(), text.size())); }
std::string_view text_of(std::span<const std::byte> bytes LIFETIMEBOUND);

}  // namespace kernel
#endif  // KERNEL_FRAME_BYTES_H
