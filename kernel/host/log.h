// Log lines to the host's standard error. What they say is seen by the host: nothing secret goes in. Off in release enclaves with
// metadata.disable_log, and for levels above the one asked for at start.
#ifndef KERNEL_HOST_LOG_H
#define KERNEL_HOST_LOG_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace kernel {

enum class LogLevel : std::uint32_t { error = 1, warn = 2, info = 3, debug = 4, trace = 5 };

bool log_enabled(LogLevel level);

// Builds one line of at most 400 bytes without the heap; longer text is cut.
class LogLine {
 public:
  explicit LogLine(LogLevel level) : level_(level) {}
  ~LogLine() { write(); }
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;
  LogLine& operator<<(std::string_view text);
  template <class T>
    requires std::is_integral_v<T>
  LogLine& operator<<(T number) {
    if constexpr (std::is_signed_v<T>) {
      if (number < 0) return *this << std::string_view("-") << (0 - static_cast<std::uint64_t>(number));
    }
    return decimal(static_cast<std::uint64_t>(number));
  }
  LogLine& hex(std::uint64_t number);

 private:
  LogLine& decimal(std::uint64_t number);
  void write();
  LogLevel level_;
  std::array<char, 400> buffer_{};
  std::size_t used_ = 0;
};

// Writes a message that is shown whatever the level (notices for the user); one line.
void log_notice(std::string_view text);

}  // namespace kernel

// Usage: LOG(warn) << "no such thing: " << number; costs a compare when the level is off. Leaves the enclave: no spinlocks.
#define LOG(level_name) \
  if (::kernel::log_enabled(::kernel::LogLevel::level_name)) ::kernel::LogLine(::kernel::LogLevel::level_name)

#endif  // KERNEL_HOST_LOG_H
