// The system-call tracer: `OCCLUM_LOG_LEVEL=trace` prints each call (only in debuggable enclaves; see init).
#ifndef KERNEL_SYSCALL_TRACE_H
#define KERNEL_SYSCALL_TRACE_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/task/tracee.h"

namespace kernel {

class Task;

// Asked for every call: calls are logged, or some task is traced by a program (task/tracee.h).
inline bool trace_enabled() { return CallWatchers::count.load(std::memory_order_relaxed) != 0; }
void trace_init();
void trace_enter(Task& task, std::uint64_t number, const frame::TrapFrame& frame);
void trace_exit(Task& task, std::uint64_t number, const Result<std::uint64_t>& result);
// A number that has no handler; logged once per number at level warn.
void trace_unknown(Task& task, std::uint64_t number);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_TRACE_H
