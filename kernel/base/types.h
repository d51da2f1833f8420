// Distinct types for numbers that must not be mixed up.
#ifndef KERNEL_BASE_TYPES_H
#define KERNEL_BASE_TYPES_H

#include <cstdint>

namespace kernel {

enum class Fd : std::int32_t {};     // descriptor as a program passes it; may be negative
enum class Pid : std::int32_t {};    // process or thread id as a program passes it
using FileOffset = std::int64_t;     // bytes from the start of a file
using Mode = std::uint32_t;          // S_IF* | permission bits

inline constexpr Fd kAtFdCwd{-100};

}  // namespace kernel
#endif  // KERNEL_BASE_TYPES_H
