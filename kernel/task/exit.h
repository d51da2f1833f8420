// Ends of threads and processes (exit(2), exit_group(2)), and waiting for children (wait(2)).
#ifndef KERNEL_TASK_EXIT_H
#define KERNEL_TASK_EXIT_H

#include <cstdint>
#include <optional>

#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {

// exit(2): ends the running thread; the process ends with its last thread.
[[noreturn]] void exit_one_thread(Task& task, std::int32_t code);
// exit_group(2).
[[noreturn]] void exit_whole_process(Task& task, std::int32_t code);
// The running task was killed or its process ends.
[[noreturn]] void exit_dying_task(Task& task);

// execve: ends all other threads and takes over the leader's id. EAGAIN: the process is ending or another thread is faster.
Result<> become_only_thread(Task& task);
// A zombie that was its tracer's to see first is its parent's now.
void announce_zombie(Process& process);
// The running task no longer uses its parent's memory (vfork): exec or exit.
void finish_vfork(Task& task);

struct WaitRequest {
  std::int32_t kind = 0;  // abi::kPAll, kPPid, kPPgid
  Pid id{};
  std::uint32_t options = 0;  // abi::kW*; kWExited and kWStopped say what to report
};
struct WaitOutcome {
  Pid pid{};
  std::uint32_t uid = 0;
  std::int32_t status = 0;  // wait-status word
  bool trapped = false;     // a stop for its tracer
  Usage usage;
};
// A child's change of state. nullopt: WNOHANG and nothing to report. ECHILD: no such child. Errno::restart on a signal.
Result<std::optional<WaitOutcome>> wait_for_child(Task& task, const WaitRequest& request);

}  // namespace kernel
#endif  // KERNEL_TASK_EXIT_H
