#include "kernel/host/log.h"

#include <algorithm>

#include "kernel/frame/bytes.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/host/client.h"
#include "kernel/host/config.h"

namespace kernel {
namespace {

// Level 0 of Op::log: shown whatever the user's level is.
constexpr std::uint64_t kAlways = 0;

void send(std::uint64_t level, std::string_view text) {
  if (host::boot().vcpus == 0 || frame::this_vcpu().spin_mask != 0) return;
  static_cast<void>(host::call(host_abi::Op::log, {.args = {level}, .out = bytes_of(text), .in = {}, .in_exact = false}).ok());
}

}  // namespace

bool log_enabled(LogLevel level) {
  if (static_cast<std::uint32_t>(level) > host::boot().log_level) return false;
  // Release enclaves say errors at most; disable_log silences even those.
  if (config_flag(host_abi::kConfigDisableLog)) return false;
  return config_flag(host_abi::kConfigDebuggable) || level == LogLevel::error;
}

LogLine& LogLine::operator<<(std::string_view text) {
  const std::size_t room = buffer_.size() - used_;
  const std::size_t count = std::min(room, text.size());
  std::copy_n(text.begin(), count, std::span(buffer_).subspan(used_).begin());
  used_ += count;
  return *this;
}

LogLine& LogLine::decimal(std::uint64_t number) {
  std::array<char, 20> digits{};
  std::size_t start = digits.size();
  do {
    digits[--start] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  return *this << std::string_view(std::span(digits).subspan(start).data(), digits.size() - start);
}

LogLine& LogLine::hex(std::uint64_t number) {
  std::array<char, 16> digits{};
  std::size_t start = digits.size();
  do {
    const auto nibble = static_cast<char>(number & 15);
    digits[--start] = static_cast<char>(nibble < 10 ? '0' + nibble : 'a' + nibble - 10);
    number >>= 4;
  } while (number != 0);
  return *this << std::string_view(std::span(digits).subspan(start).data(), digits.size() - start);
}

void LogLine::write() { send(static_cast<std::uint64_t>(level_), std::string_view(buffer_.data(), used_)); }

void log_notice(std::string_view text) { send(kAlways, text.substr(0, 4096)); }

}  // namespace kernel
