#include "kernel/syscall/trace.h"

#include <array>
#include <atomic>
#include <bit>

#include "kernel/host/log.h"
#include "kernel/syscall/table.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

// Numbers that were reported as unknown already: one bit each.
constinit std::array<std::atomic<std::uint64_t>, kSyscallCount / 64> reported{};

std::string_view name_of(std::uint64_t number) {
  if (number < kSyscalls.size() && kSyscalls[number].name != nullptr) return kSyscalls[number].name;
  return "?";
}

}  // namespace

void trace_init() {
  if (log_enabled(LogLevel::trace)) CallWatchers::count.fetch_or(kLogsCalls);
}

void trace_enter(Task& task, std::uint64_t number, const frame::TrapFrame& frame) {
  if (!log_enabled(LogLevel::trace)) return;
  LogLine line(LogLevel::trace);
  line << "[" << static_cast<std::int32_t>(task.tid()) << "] " << name_of(number) << "(0x";
  line.hex(frame.rdi) << ", 0x";
  line.hex(frame.rsi) << ", 0x";
  line.hex(frame.rdx) << ", 0x";
  line.hex(frame.r10) << ", 0x";
  line.hex(frame.r8) << ", 0x";
  line.hex(frame.r9) << ")";
}

void trace_exit(Task& task, std::uint64_t number, const Result<std::uint64_t>& result) {
  if (!log_enabled(LogLevel::trace)) return;
  LogLine line(LogLevel::trace);
  line << "[" << static_cast<std::int32_t>(task.tid()) << "] " << name_of(number) << " = ";
  if (result.ok()) {
    line << "0x";
    line.hex(Result<std::uint64_t>(result).release());
  } else {
    line << "-" << static_cast<std::int32_t>(result.error());
  }
}

void trace_unknown(Task& task, std::uint64_t number) {
  if (number < kSyscallCount) {
    const std::uint64_t bit = std::uint64_t{1} << (number % 64);
    if ((reported[number / 64].fetch_or(bit, std::memory_order_relaxed) & bit) != 0) return;
  }
  LOG(warn) << "system call " << number << " is not implemented (task " << static_cast<std::int32_t>(task.tid()) << ")";
}

}  // namespace kernel
