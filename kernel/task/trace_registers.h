// Registers of a task that is stopped for its tracer, as ptrace(2) shows and takes them. What a tracer writes may be anything: it is made
// safe here, as sigreturn does it.
#ifndef KERNEL_TASK_TRACE_REGISTERS_H
#define KERNEL_TASK_TRACE_REGISTERS_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "abi/ptrace.h"
#include "kernel/base/result.h"
#include "kernel/task/task.h"

namespace kernel {

inline constexpr std::size_t kLegacyStateSize = 512;  // FXSAVE

abi::UserRegs get_registers(Task& task);
// EIO: a segment that there is none of, a base that no program may have. Nothing is changed then.
Result<> set_registers(Task& task, const abi::UserRegs& regs);

// The first `into.size()` bytes of the XSAVE image: at most the whole of it, at least the legacy part.
void get_vector_state(Task& task, std::span<std::byte> into);
// EINVAL: bits that the processor would refuse.
Result<> set_legacy_state(Task& task, std::span<const std::byte> from);
Result<> set_vector_state(Task& task, std::span<const std::byte> from);

}  // namespace kernel
#endif  // KERNEL_TASK_TRACE_REGISTERS_H
