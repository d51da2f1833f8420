// dm-verity: a SHA-256 hash tree over 4096-byte blocks in the form that `veritysetup` writes and checks (hash type 1, the salt in
// front of each block, root level first behind a 512-byte superblock).
#ifndef IMAGE_VERITY_H
#define IMAGE_VERITY_H

#include <cstdint>
#include <filesystem>

#include "host_abi/enclave_config.h"
#include "image/result.h"

namespace image {

// Appends superblock and hash tree to the file, whose size must be a multiple of 4096 and not 0: all of it becomes the data area.
// Salt and UUID are constants, so the same data gives the same bytes. Returns the parameters (patch_offset and patch_size are 0).
// Uses two threads.
Result<host_abi::VerityParams> append_verity(const std::filesystem::path& file);

}  // namespace image
#endif  // IMAGE_VERITY_H
