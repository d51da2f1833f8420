// A sweep over the machine code of an ELF file: where the `syscall` and `cpuid` instructions are, which instructions stand before
// them, and every address that a jump, call, table or unwinder may lead to.
#ifndef IMAGE_CODE_SCAN_H
#define IMAGE_CODE_SCAN_H

#include <array>
#include <cstdint>
#include <vector>

#include "host_abi/patch_table.h"
#include "image/elf_file.h"

namespace image {

// An instruction that traps in an enclave.
struct TrapSite {
  std::uint64_t address;
  std::uint64_t offset;  // in the file
  host_abi::SiteKind kind;
  // False if the sweep is not sure that this is an instruction: it lies in a stretch that could not be decoded, or outside of all
  // functions of a file that names its functions.
  bool certain;
  // Lengths of the instructions before it, nearest first, as far as they follow each other without a gap.
  std::uint8_t before_count;
  std::array<std::uint8_t, host_abi::kMaxDisplaced> before;
};

// An instruction that changes the GS base, which belongs to the kernel.
struct GsWrite {
  std::uint64_t offset;  // in the file
  const char* name;
};

// A bit for each byte of code that may be jumped to.
class TargetMap {
 public:
  explicit TargetMap(std::vector<ElfRange> code);
  // Addresses outside the code are ignored.
  void add(std::uint64_t address);
  bool is_code(std::uint64_t address) const;
  // True if a target lies in [first, last).
  bool any(std::uint64_t first, std::uint64_t last) const;
  const std::vector<ElfRange>& code() const { return code_; }

 private:
  std::uint64_t index(std::uint64_t address) const;  // UINT64_MAX if outside
  std::vector<ElfRange> code_;
  std::vector<std::uint64_t> first_;  // index of the first byte of each range
  std::vector<bool> bits_;
};

// Bytes of nops behind an instruction that ends the flow: nothing runs there unless a target lies inside.
struct Padding {
  std::uint64_t offset;   // in the file
  std::uint64_t address;
  std::uint32_t size;
};

struct CodeScan {
  TargetMap targets;
  std::vector<Padding> padding;  // by address, in certain code, each at least 5 bytes
  std::vector<TrapSite> sites;  // by address
  std::vector<GsWrite> gs_writes;
};

// Scans the whole file. Files without the bytes of a trapping or GS-changing instruction are skipped quickly: the result is empty.
CodeScan scan_code(const ElfFile& elf);

}  // namespace image
#endif  // IMAGE_CODE_SCAN_H
