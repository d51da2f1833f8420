// Patch tables (host_abi/patch_table.h) of a whole EROFS image.
#ifndef IMAGE_PATCH_TABLE_H
#define IMAGE_PATCH_TABLE_H

#include <cstdint>

#include "image/erofs.h"
#include "image/files.h"
#include "image/result.h"

namespace image {

struct PatchTable {
  Bytes bytes;  // PatchIndex and all behind it, not padded
  std::uint32_t files = 0;
  std::uint64_t patched_sites = 0;
  std::uint64_t trapping_sites = 0;
};

// Scans every ELF file of the image. Error: a program that changes the GS base, with its path and the offset in the file.
Result<PatchTable> make_patch_table(const ErofsReader& image);

}  // namespace image
#endif  // IMAGE_PATCH_TABLE_H
