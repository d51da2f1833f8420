// Descriptors of processes, and kcmp(2).
#ifndef KERNEL_SYSCALL_PIDFD_H
#define KERNEL_SYSCALL_PIDFD_H

#include <cstdint>

#include "abi/signal.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"
#include "kernel/task/clone.h"
#include "kernel/task/task.h"
#include "kernel/vfs/pidfd.h"

namespace kernel {

// The process behind a descriptor of pidfd_open(2), and whether the descriptor is non-blocking. EBADF.
struct PidFdTarget {
  Ref<Process> process;
  bool nonblocking;
};
Result<PidFdTarget> process_of_descriptor(Task& task, Fd fd);

// CLONE_PIDFD: a descriptor that is ready before the child runs.
class PidFdForChild final : public ChildObserver {
 public:
  explicit PidFdForChild(Task& parent) : parent_(Ref<Task>(parent)) {}
  ~PidFdForChild();
  PidFdForChild(const PidFdForChild&) = delete;
  PidFdForChild& operator=(const PidFdForChild&) = delete;
  // Reserves the number and stores it in program memory; if the child gets a copy of that, not before the copy was made (finish).
  // EMFILE, ENOMEM, EFAULT.
  Result<> prepare(UserPtr<std::int32_t> where, std::uint64_t flags);
  void on_child(Process& child) override;
  // The child runs.
  void finish() const;

 private:
  const Ref<Task> parent_;
  RefPtr<PidFd> file_;
  Fd reserved_{-1};
  UserPtr<std::int32_t> where_;  // null unless finish() stores the number
  std::int32_t number_ = -1;
};

Result<std::int32_t> sys_pidfd_open(Task& task, Pid pid, std::uint32_t flags);
Result<> sys_pidfd_send_signal(Task& task, Fd fd, std::int32_t signo, UserPtr<const abi::SigInfo> info, std::uint32_t flags);
Result<std::int32_t> sys_pidfd_getfd(Task& task, Fd fd, Fd target, std::uint32_t flags);
Result<std::int32_t> sys_kcmp(Task& task, Pid first, Pid second, std::int32_t type, std::uint64_t first_index, std::uint64_t second_index);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_PIDFD_H
