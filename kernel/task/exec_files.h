// What exec needs of the file layer, which sits above. Implemented by syscall/exec.cc.
#ifndef KERNEL_TASK_EXEC_FILES_H
#define KERNEL_TASK_EXEC_FILES_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/mm/backing.h"

namespace kernel {

class Task;

// An executable file, opened; the caller may execute it.
class ExecFile : public RefCounted<ExecFile> {
 public:
  virtual ~ExecFile() = default;
  // Bytes read; fewer only at the end of the file. EIO.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) = 0;
  virtual std::uint64_t size() = 0;
  // The pages, to map (ENODEV, EACCES: not from this file system).
  virtual Result<Ref<FileBacking>> backing() = 0;
  // Its path as the task saw it when it was opened: /proc/PID/exe, labels in /proc/PID/maps.
  virtual std::string_view path() const LIFETIMEBOUND = 0;

 protected:
  ExecFile() = default;
};

class ExecFiles {
 public:
  // Opens a regular file that `task` may execute. EACCES otherwise, ENOENT, ELOOP... `at_flags`: abi::kAtEmptyPath, kAtSymlinkNoFollow.
  virtual Result<Ref<ExecFile>> open(Task& task, Fd directory, std::string_view path, std::uint32_t at_flags) = 0;

 protected:
  ~ExecFiles() = default;
};

// Set once at boot, before the first program.
void set_exec_files(ExecFiles& files);
ExecFiles& exec_files();

}  // namespace kernel
#endif  // KERNEL_TASK_EXEC_FILES_H
