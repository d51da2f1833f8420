// Builds the text of a generated file. Running out of memory is remembered: check status() at the end.
#ifndef KERNEL_FS_PSEUDO_TEXT_H
#define KERNEL_FS_PSEUDO_TEXT_H

#include <concepts>
#include <cstdint>
#include <string_view>

#include "kernel/base/string.h"

namespace kernel {

class Text {
 public:
  Text& operator<<(std::string_view text) {
    if (failed_) return *this;
    failed_ = !text_.try_append(text).ok();
    return *this;
  }
  Text& operator<<(char c) { return *this << std::string_view(&c, 1); }
  template <std::integral T>
    requires(!std::same_as<T, char> && !std::same_as<T, bool>)
  Text& operator<<(T number) {
    if constexpr (std::is_signed_v<T>) {
      if (number < 0) return *this << '-' << Digits(0 - static_cast<std::uint64_t>(number)).view();
    }
    return *this << Digits(static_cast<std::uint64_t>(number)).view();
  }
  // At least `width` digits with leading zeros.
  Text& hex(std::uint64_t number, unsigned width = 1) { return *this << Digits(number, 16, width).view(); }
  Text& octal(std::uint64_t number, unsigned width = 1) { return *this << Digits(number, 8, width).view(); }
  Text& decimal(std::uint64_t number, unsigned width) { return *this << Digits(number, 10, width).view(); }
  // Right-aligned in `width` columns.
  Text& right(std::uint64_t number, std::size_t width) {
    const Digits digits(number);
    for (std::size_t i = digits.view().size(); i < width; ++i) *this << ' ';
    return *this << digits.view();
  }
  Text& left(std::string_view text, std::size_t width) {
    *this << text;
    for (std::size_t i = text.size(); i < width; ++i) *this << ' ';
    return *this;
  }
  Text& spaces(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) *this << ' ';
    return *this;
  }

  std::size_t size() const { return text_.size(); }
  std::string_view view() const LIFETIMEBOUND { return text_.view(); }
  void clear() {
    text_.clear();
    failed_ = false;
  }
  Result<> status() const { return failed_ ? Result<>(Errno::nomem) : Result<>(); }

 private:
  String text_;
  bool failed_ = false;
};

}  // namespace kernel
#endif  // KERNEL_FS_PSEUDO_TEXT_H
