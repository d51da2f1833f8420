// Errors of the image builder and the command line: one line for the person who reads it.
#ifndef IMAGE_RESULT_H
#define IMAGE_RESULT_H

#include <fmt/format.h>

#include <expected>
#include <string>
#include <utility>

namespace image {

// The error is one line without newline: what failed, where, and if possible what to do.
template <class T>
using Result = std::expected<T, std::string>;
using Status = Result<void>;

// Builds an error from a format string.
template <class... Args>
std::unexpected<std::string> fail(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace image

// Yields the value of a Result, or returns its error from the enclosing function.
#define IMAGE_TRY(...)                                          \
  ({                                                            \
    auto image_try_result = (__VA_ARGS__);                      \
    if (!image_try_result)                                      \
      return std::unexpected(std::move(image_try_result.error())); \
    std::move(*image_try_result);                               \
  })

// The same for a Status, which has no value.
#define IMAGE_CHECK(...)                                        \
  do {                                                          \
    auto image_check_result = (__VA_ARGS__);                    \
    if (!image_check_result)                                    \
      return std::unexpected(std::move(image_check_result.error())); \
  } while (false)

#endif  // IMAGE_RESULT_H
