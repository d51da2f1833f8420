// Running programs (execve(2)): scripts, ELF files, the new stack with arguments and auxiliary vector.
#ifndef KERNEL_TASK_EXEC_H
#define KERNEL_TASK_EXEC_H

#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/string.h"
#include "kernel/base/types.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/task/task.h"

namespace kernel {

// Strings for a new program, each with its NUL, in order. Bounded as Linux bounds them: 128 KiB a string, and for both blocks together
// a quarter of RLIMIT_STACK but at most 6 MiB and at least 128 KiB. E2BIG.
class StringBlock {
 public:
  static constexpr std::size_t kMaxString = 131072;

  Result<> add(std::string_view text);
  // A NULL-terminated array of strings of the running process. A null array is an empty one.
  Result<> add_all_from_user(UserPtr<const std::uint64_t> array, std::size_t limit);
  // Makes `first`, then these strings without their own first one.
  Result<> replace_first(std::span<const std::string_view> first);
  std::string_view bytes() const LIFETIMEBOUND { return text_.view(); }
  std::size_t count() const { return count_; }
  std::size_t cost() const { return text_.size() + (count_ + 1) * sizeof(std::uint64_t); }

 private:
  Result<> add_from_user(std::uint64_t address, std::size_t limit);
  String text_;
  std::size_t count_ = 0;
};

struct ExecRequest {
  Fd directory = kAtFdCwd;
  std::string_view path;
  std::uint32_t at_flags = 0;  // abi::kAtEmptyPath, kAtSymlinkNoFollow
  StringBlock arguments;
  StringBlock environment;
};
// The bound for both blocks, from RLIMIT_STACK.
std::size_t argument_limit(const Process& process);

// Replaces the program of the running task and edits `frame` so that it starts when the task returns to user code. On an error before
// the point of no return everything is as before; after it the process is killed. ENOEXEC, ELIBBAD, EACCES, ENOENT, E2BIG, ELOOP, ENOMEM...
Result<> execute(Task& task, frame::TrapFrame& frame, ExecRequest& request);

// The first program: process 1 with the given resources, root credentials and default limits. The task is not started yet. Called by a
// kernel thread. `argv` must not be empty.
Result<Ref<Task>> spawn_first(std::string_view path, std::span<const std::string_view> argv, std::span<const std::string_view> env,
                              Ref<ProcessResource> files, Ref<ProcessResource> fs);

}  // namespace kernel
#endif  // KERNEL_TASK_EXEC_H
