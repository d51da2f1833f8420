// Text. String owns bytes on the heap and its growth can fail; FixedString<N> holds up to N bytes in place. Both may contain any byte.
#ifndef KERNEL_BASE_STRING_H
#define KERNEL_BASE_STRING_H

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "kernel/base/vec.h"

namespace kernel {

class String {
 public:
  String() = default;
  // A copy of `text`; ENOMEM.
  static Result<String> from(std::string_view text) {
    String result;
    TRY(result.try_append(text));
    return result;
  }
  Result<String> clone() const { return from(view()); }

  std::string_view view() const LIFETIMEBOUND { return {bytes_.begin(), bytes_.size()}; }
  operator std::string_view() const LIFETIMEBOUND { return view(); }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  std::span<char> span() LIFETIMEBOUND { return bytes_.span(); }

  Result<> try_append(std::string_view text) {
    if (text.size() > bytes_.capacity() - bytes_.size()) {
      const std::size_t wanted = bytes_.size() + text.size();
      TRY(bytes_.try_reserve(std::max(wanted, bytes_.capacity() * 2)));
    }
    for (const char c : text) TRY(bytes_.try_push(c));
    return {};
  }
  Result<> try_append(char c) { return bytes_.try_push(c); }
  Result<> try_reserve(std::size_t size) { return bytes_.try_reserve(size); }
  // New bytes are NUL.
  Result<> try_resize(std::size_t size) { return bytes_.try_resize(size); }
  void truncate(std::size_t size) {
    while (bytes_.size() > size) bytes_.pop_back();
  }
  void clear() { bytes_.clear(); }

  friend bool operator==(const String& a, const String& b) { return a.view() == b.view(); }
  friend bool operator==(const String& a, std::string_view b) { return a.view() == b; }
  friend std::strong_ordering operator<=>(const String& a, const String& b) { return a.view() <=> b.view(); }
  friend std::strong_ordering operator<=>(const String& a, std::string_view b) { return a.view() <=> b; }

 private:
  Vec<char> bytes_;
};

template <std::size_t N>
class FixedString {
 public:
  constexpr FixedString() = default;
  // ENAMETOOLONG if it does not fit.
  static Result<FixedString> from(std::string_view text) {
    FixedString result;
    TRY(result.append(text));
    return result;
  }
  constexpr std::string_view view() const LIFETIMEBOUND { return std::string_view(bytes_.data(), size_); }
  constexpr operator std::string_view() const LIFETIMEBOUND { return view(); }
  constexpr std::size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr void clear() { size_ = 0; }
  static constexpr std::size_t capacity() { return N; }

  // All of `text`, or nothing and ENAMETOOLONG.
  Result<> append(std::string_view text) {
    if (text.size() > N - size_) return Errno::nametoolong;
    append_clipped(text);
    return {};
  }
  // As much of `text` as fits; for messages.
  constexpr FixedString& append_clipped(std::string_view text) {
    const std::size_t count = std::min(text.size(), N - size_);
    std::copy_n(text.begin(), count, std::span<char>(bytes_).subspan(size_).begin());
    size_ += count;
    return *this;
  }
  constexpr FixedString& append_clipped(char c) { return append_clipped(std::string_view(&c, 1)); }
  friend constexpr bool operator==(const FixedString& a, std::string_view b) { return a.view() == b; }
  friend constexpr bool operator==(const FixedString& a, const FixedString& b) { return a.view() == b.view(); }

 private:
  std::array<char, N> bytes_{};
  std::size_t size_ = 0;
};

// `value` in digits of `base` (2..16, lower case), at least `width` digits, filled with '0'.
class Digits {
 public:
  explicit constexpr Digits(std::uint64_t value, unsigned base = 10, unsigned width = 1) {
    std::size_t count = 0;
    while (value != 0 || count < std::min<std::size_t>(std::max(width, 1U), digits_.size())) {
      ++count;
      digits_[digits_.size() - count] = std::string_view("0123456789abcdef")[value % base];
      value /= base;
    }
    first_ = digits_.size() - count;
  }
  constexpr std::string_view view() const LIFETIMEBOUND { return std::string_view(digits_.data(), digits_.size()).substr(first_); }
  constexpr operator std::string_view() const LIFETIMEBOUND { return view(); }

 private:
  std::array<char, 64> digits_{};
  std::size_t first_ = 0;
};

// The decimal number that is all of `text`. EINVAL if there is anything else in it or nothing, ERANGE if it is too large.
inline Result<std::uint64_t> parse_decimal(std::string_view text) {
  if (text.empty()) return Errno::inval;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return Errno::inval;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value) || __builtin_add_overflow(value, digit, &value)) return Errno::range;
  }
  return value;
}

}  // namespace kernel
#endif  // KERNEL_BASE_STRING_H
