// Mapping an ELF program into an address space, and building its first stack.
#ifndef KERNEL_TASK_PROGRAM_H
#define KERNEL_TASK_PROGRAM_H

#include <cstdint>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/elf.h"
#include "kernel/task/exec.h"
#include "kernel/task/exec_files.h"
#include "kernel/task/process.h"

namespace kernel {

// An opened program: the file that runs and its interpreter, if it has one, headers read and checked.
struct OpenedElf {
  RefPtr<ExecFile> file;
  ElfImage image;
};
struct OpenedProgram {
  OpenedElf main;
  OpenedElf interpreter;  // file is null if there is none
};
// ENOEXEC, ELIBBAD (the interpreter is no proper ELF file), EIO...; `head` = the first bytes of the file.
Result<OpenedProgram> open_program(Task& task, Ref<ExecFile> file, std::span<const std::byte> head);

// What the program starts with.
struct LoadedProgram {
  std::uint64_t start = 0;  // RIP: the interpreter's entry or the program's
  std::uint64_t stack = 0;  // RSP
  ProgramLayout layout;
};

// Maps everything into the empty address space `mm` and fills the stack. The running task's user copies must go to `mm` (it is set as
// the task's user space).
Result<LoadedProgram> load_program(Task& task, AddressSpace& mm, const OpenedProgram& program, const ExecRequest& request,
                                   std::string_view exec_name);

}  // namespace kernel
#endif  // KERNEL_TASK_PROGRAM_H
