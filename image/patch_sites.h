// Choosing, for each `syscall` and `cpuid` of a program, the instructions before it that make room for a jump (design: patch tables
// of host_abi/patch_table.h).
//
// Repeating: of the displaced instructions none but the last writes memory or a register that the sequence reads from outside, so
// that a prefix of them may run again; the last one runs exactly once (the contract with the kernel is in that header).
// A site without room uses dead padding nearby: the bytes between the end of one function and the start of the next, or what a
// neighbouring site displaces beyond its own jump.
#ifndef IMAGE_PATCH_SITES_H
#define IMAGE_PATCH_SITES_H

#include <cstdint>
#include <vector>

#include "host_abi/patch_table.h"
#include "image/code_scan.h"
#include "image/elf_file.h"
#include "image/result.h"

namespace image {

// Why a site is left to trap.
enum class SiteRefusal : std::uint8_t {
  none,
  uncertain,      // not certainly an instruction
  signal_return,  // mov $15, %eax/%rax; syscall: unwinders match these bytes
  jump_inside,    // something jumps into the displaced bytes
  no_room,        // too few known bytes before it
  instruction,    // an instruction there cannot be moved (branch, stack, string, system, unknown)
  run_twice,      // the instructions there cannot be run again
};
inline constexpr std::size_t kRefusals = 7;

struct SiteChoice {
  SiteRefusal refusal;
  host_abi::PatchSite site;  // valid if refusal is none
};

// Looks at one site. A padded site takes its 5 bytes out of `padding` (sorted by offset).
SiteChoice choose_site(const ElfFile& elf, const TargetMap& targets, std::vector<Padding>& padding, const TrapSite& trap);

struct FilePatches {
  std::vector<host_abi::PatchSite> sites;  // by file_offset
  std::array<std::uint32_t, kRefusals> refused = {};
  std::uint32_t trapping() const;
};

// All sites of a program. Error: the program changes the GS base (offset and instruction are named).
Result<FilePatches> patch_program(const ElfFile& elf);

}  // namespace image
#endif  // IMAGE_PATCH_SITES_H
