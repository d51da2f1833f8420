// Reading and writing fixed-width little-endian numbers in byte ranges.
#ifndef IMAGE_LITTLE_ENDIAN_H
#define IMAGE_LITTLE_ENDIAN_H

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace image {

static_assert(std::endian::native == std::endian::little);

// The value of type T at `offset`. The caller has checked that it lies inside `data`.
template <class T>
  requires std::is_trivially_copyable_v<T>
T load(std::span<const std::uint8_t> data, std::uint64_t offset) {
  T value;
  std::memcpy(&value, data.subspan(offset, sizeof(T)).data(), sizeof(T));
  return value;
}

// True if [offset, offset + size) lies inside `data`, also for values that would wrap.
inline bool inside(std::span<const std::uint8_t> data, std::uint64_t offset, std::uint64_t size) {
  return offset <= data.size() && size <= data.size() - offset;
}

// The object representation of a padding-free structure.
template <class T>
  requires std::has_unique_object_representations_v<T>
std::span<const std::uint8_t> bytes_of(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof(T)};
}

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace image
#endif  // IMAGE_LITTLE_ENDIAN_H
