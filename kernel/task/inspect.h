// Who may look into another process (ptrace(2), "Ptrace access mode checking").
#ifndef KERNEL_TASK_INSPECT_H
#define KERNEL_TASK_INSPECT_H

#include "kernel/base/result.h"
#include "kernel/task/task.h"

namespace kernel {

// Its own user's process that is dumpable, or anybody's with CAP_SYS_PTRACE; one's own always. EPERM.
Result<> may_inspect(const Task& who, Process& target);

}  // namespace kernel
#endif  // KERNEL_TASK_INSPECT_H
