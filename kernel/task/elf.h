// Reading ELF headers of programs and interpreters. Input is untrusted: every size and offset is checked. No I/O here.
#ifndef KERNEL_TASK_ELF_H
#define KERNEL_TASK_ELF_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "abi/elf.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"

namespace kernel {

inline constexpr std::size_t kMaxProgramHeaderBytes = 65536;  // as Linux
inline constexpr std::size_t kMaxInterpreterPath = 4096;

// A PT_LOAD segment. begin/end are page-rounded, relative to the load bias.
struct ElfSegment {
  std::uint64_t vaddr = 0;
  std::uint64_t memory_size = 0;
  std::uint64_t file_size = 0;
  std::uint64_t offset = 0;
  std::uint32_t prot = 0;  // kProt* bits (same as PROT_*)
  std::uint64_t begin() const;     // first page
  std::uint64_t end() const;       // end of the last page
  std::uint64_t file_end() const;  // end of the last page that holds file bytes; == begin() if there are none
};

struct ElfImage {
  bool position_independent = false;
  std::uint64_t entry = 0;
  std::uint64_t phdr_address = 0;  // where the program headers are loaded, 0 = nowhere
  std::uint16_t phdr_count = 0;
  std::uint64_t interpreter_offset = 0;  // of the path in the file
  std::uint64_t interpreter_size = 0;    // with its NUL; 0 = none
  bool executable_stack = false;
  std::uint64_t alignment = 4096;  // of the load bias
  std::uint64_t begin = 0, end = 0;  // pages spanned by the segments
  Vec<ElfSegment> segments;          // by rising address, not overlapping
};

// Where the program headers are: offset and size in the file. ENOEXEC if `header` is not an x86-64 executable or shared object.
struct ProgramHeaderRange {
  std::uint64_t offset = 0;
  std::size_t size = 0;
};
Result<ProgramHeaderRange> check_elf_header(const abi::ElfHeader& header, std::uint64_t file_size);

// What to load. `table` holds the program headers. ENOEXEC for anything that does not make sense; `address_limit` bounds the addresses.
Result<ElfImage> parse_program_headers(const abi::ElfHeader& header, std::span<const std::byte> table, std::uint64_t file_size,
                                       std::uint64_t address_limit);

}  // namespace kernel
#endif  // KERNEL_TASK_ELF_H
