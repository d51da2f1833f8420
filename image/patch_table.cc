#include "image/patch_table.h"

#include "host_abi/patch_table.h"
#include "image/little_endian.h"

namespace image {

Result<PatchTable> make_patch_table(const ErofsReader&) {
  PatchTable table;
  host_abi::PatchIndex index = {};
  index.magic = host_abi::kPatchMagic;
  index.version = 1;
  index.total_size = sizeof(index);
  const auto bytes = bytes_of(index);
  table.bytes.assign(bytes.begin(), bytes.end());
  return table;
}

}  // namespace image
