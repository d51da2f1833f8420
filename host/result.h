// Errors of the host runtime: a code for the program that asked and one line for the person who reads it.
#ifndef HOST_RESULT_H
#define HOST_RESULT_H

#include <fmt/format.h>

#include <cstring>
#include <expected>
#include <string>
#include <utility>

namespace host {

struct Error {
  std::string message;  // one line without newline: what failed, where, and if possible what to do
  int code = 0;         // errno value, 0 if none fits
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// Builds an error with an errno value and a formatted line.
template <class... Args>
std::unexpected<Error> fail(int code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...), code});
}

// The text of an errno value. Safe in every thread.
inline std::string errno_text(int code) {
  char buffer[128] = {};
  return strerror_r(code < 0 ? -code : code, buffer, sizeof(buffer));
}

}  // namespace host
#endif  // HOST_RESULT_H
