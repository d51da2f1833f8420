// What happens when memory runs out: one process is chosen and killed, as Linux's OOM killer does (proc(5), oom_score_adj).
#ifndef KERNEL_TASK_OOM_H
#define KERNEL_TASK_OOM_H

#include <cstdint>

#include "kernel/task/process.h"

namespace kernel {

inline constexpr std::int32_t kOomAdjustMax = 1000;  // of oom_score_adj; the lowest value, -1000, means never

// Boot: mm/ asks here from now on.
void init_oom();
// /proc/PID/oom_score: 0 to 2000.
std::uint64_t oom_score(const Process& process);
// Processes that were killed since boot.
std::uint64_t oom_kills();

}  // namespace kernel
#endif  // KERNEL_TASK_OOM_H
