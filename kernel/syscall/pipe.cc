#include "kernel/syscall/pipe.h"

#include <array>

#include "abi/fs.h"
#include "abi/process.h"
#include "kernel/task/process.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/pipe.h"

namespace kernel {

Result<> sys_pipe(Task& task, UserPtr<std::int32_t> descriptors) { return sys_pipe2(task, descriptors, 0); }

Result<> sys_pipe2(Task& task, UserPtr<std::int32_t> descriptors, std::uint32_t flags) {
  if ((flags & ~(abi::kOCloExec | abi::kONonBlock | abi::kODirect)) != 0) return Errno::inval;
  const PipePair pair = TRY(make_pipe(flags & ~abi::kOCloExec));
  const bool close_on_exec = (flags & abi::kOCloExec) != 0;
  const std::uint64_t limit = task.process().rlimit_current(abi::Rlimit::nofile);
  FdTable& files = files_of(task);
  // Handles first: whatever fails below closes the ends.
  FileHandle read_handle(pair.read_end);
  FileHandle write_handle(pair.write_end);
  const Fd read_fd = TRY(files.reserve(limit));
  auto write_fd = files.reserve(limit);
  if (!write_fd.ok()) {
    files.release(read_fd);
    return write_fd.error();
  }
  const Fd second = std::move(write_fd).release();
  const std::array<std::int32_t, 2> numbers{static_cast<std::int32_t>(read_fd), static_cast<std::int32_t>(second)};
  if (const auto stored = descriptors.store_all(numbers); !stored.ok()) {
    files.release(read_fd);
    files.release(second);
    return stored;
  }
  files.install(read_fd, std::move(read_handle), close_on_exec);
  files.install(second, std::move(write_handle), close_on_exec);
  return {};
}

}  // namespace kernel
