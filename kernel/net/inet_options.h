// Options of the levels IPPROTO_IP, IPPROTO_IPV6 and IPPROTO_TCP that are a number: what a program may set, and what it reads back.
#ifndef KERNEL_NET_INET_OPTIONS_H
#define KERNEL_NET_INET_OPTIONS_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/base/result.h"

namespace kernel {

class InetOptions {
 public:
  InetOptions();
  // ENOPROTOOPT if there is no such option, EINVAL for a value that it does not take.
  Result<> set(std::int32_t level, std::int32_t name, std::int32_t value);
  Result<std::int32_t> get(std::int32_t level, std::int32_t name) const;
  // Of an option that exists.
  std::int32_t value(std::int32_t level, std::int32_t name) const;
  void copy_from(const InetOptions& other);

  static constexpr std::size_t kCount = 48;

 private:
  std::array<std::atomic<std::int32_t>, kCount> values_{};
};

// The number in an option's value. IP takes one byte too.
Result<std::int32_t> option_number(std::int32_t level, std::span<const std::byte> value);
// Puts a number there as Linux does for that level: how many bytes.
std::size_t give_option_number(std::int32_t level, std::int32_t number, std::span<std::byte> into);

}  // namespace kernel
#endif  // KERNEL_NET_INET_OPTIONS_H
