// The system-call table: number, name, handler. Absent numbers are ENOSYS.
#ifndef KERNEL_SYSCALL_TABLE_H
#define KERNEL_SYSCALL_TABLE_H

#include <array>
#include <cstddef>

#include "kernel/syscall/bind.h"

namespace kernel {

inline constexpr std::size_t kSyscallCount = 512;

struct SyscallEntry {
  const char* name = nullptr;
  SyscallFunction function = nullptr;
};

extern const std::array<SyscallEntry, kSyscallCount> kSyscalls;

}  // namespace kernel
#endif  // KERNEL_SYSCALL_TABLE_H
