// Exception-handling tables of an ELF file: where functions start and end, and where the unwinder may land (.eh_frame and
// .gcc_except_table; forms from the Linux Standard Base and the DWARF standard).
#ifndef IMAGE_EH_FRAME_H
#define IMAGE_EH_FRAME_H

#include <cstdint>
#include <vector>

#include "image/elf_file.h"

namespace image {

struct EhFunctions {
  std::vector<ElfRange> functions;          // sorted by address; offset is 0
  std::vector<std::uint64_t> landing_pads;  // addresses
};

// What the tables say. Damaged or unknown parts are left out.
EhFunctions read_eh_frame(const ElfFile& elf);

}  // namespace image
#endif  // IMAGE_EH_FRAME_H
