// The image file (`image.bin`): [EROFS][patch tables][verity superblock and hash tree], each part 4096-aligned.
#ifndef IMAGE_IMAGE_FILE_H
#define IMAGE_IMAGE_FILE_H

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "host_abi/enclave_config.h"
#include "image/result.h"

namespace image {

struct ImageOptions {
  std::uint64_t epoch = 0;   // seconds: later file times become this one
  bool keep_modes = false;   // see ErofsOptions
  std::function<void(const std::string&)> progress = [](const std::string&) {};  // one short line per step
};

struct ImageStats {
  std::uint64_t erofs_size = 0;  // bytes
  std::uint64_t image_size = 0;
  std::uint32_t elf_files = 0;
  std::uint64_t patched_sites = 0;
  std::uint64_t trapping_sites = 0;
};

struct ImageResult {
  host_abi::VerityParams verity;
  ImageStats stats;
};

// The default epoch: a constant in the past of every build, so that files made by hand get the same time everywhere, while packaged
// files keep theirs (compiled Python files stay valid). SOURCE_DATE_EPOCH in the environment replaces it.
inline constexpr std::uint64_t kDefaultEpoch = 1767225600;  // 2026-01-01 00:00:00 UTC

// Packs the folder `root` into the image file `output` (atomically). Errors: unreadable files, ELF files that change the GS base.
Result<ImageResult> build_image(const std::filesystem::path& root, const std::filesystem::path& output, const ImageOptions& options);

}  // namespace image
#endif  // IMAGE_IMAGE_FILE_H
