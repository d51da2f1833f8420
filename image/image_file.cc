#include "image/image_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "image/erofs.h"
#include "image/files.h"
#include "image/little_endian.h"
#include "image/patch_table.h"
#include "image/verity.h"

namespace image {
namespace {

// Appends the tables behind the file system and pads the data area to whole blocks.
Status append_patches(const std::filesystem::path& file, std::uint64_t erofs_size, const PatchTable& table) {
  const Fd output = IMAGE_TRY(open_file(file, O_WRONLY));
  IMAGE_CHECK(write_at(output, erofs_size, table.bytes, file.string()));
  const std::uint64_t size = erofs_size + align_up(table.bytes.size(), kBlockSize);
  if (::ftruncate(output.get(), static_cast<off_t>(size)) != 0) return fail("{}: {}", file.string(), errno_text(errno));
  return {};
}

}  // namespace

Result<ImageResult> build_image(const std::filesystem::path& root, const std::filesystem::path& output, const ImageOptions& options) {
  TempFile temp(output);
  options.progress("packing the file system");
  IMAGE_CHECK(make_erofs(root, temp.path(), {.epoch = options.epoch, .keep_modes = options.keep_modes}));
  ImageResult result = {};
  options.progress("finding system calls in programs");
  PatchTable table;
  {
    const MappedFile mapped = IMAGE_TRY(MappedFile::open(temp.path()));
    const ErofsReader reader = IMAGE_TRY(ErofsReader::open(mapped.data()));
    result.stats.erofs_size = align_up(mapped.data().size(), kBlockSize);
    table = IMAGE_TRY(make_patch_table(reader));
  }
  IMAGE_CHECK(append_patches(temp.path(), result.stats.erofs_size, table));
  options.progress("hashing blocks");
  result.verity = IMAGE_TRY(append_verity(temp.path()));
  result.verity.patch_offset = result.stats.erofs_size;
  result.verity.patch_size = table.bytes.size();
  result.stats.elf_files = table.files;
  result.stats.patched_sites = table.patched_sites;
  result.stats.trapping_sites = table.trapping_sites;
  if (::chmod(temp.path().c_str(), 0644) != 0) return fail("{}: {}", temp.path().string(), errno_text(errno));
  std::error_code error;
  result.stats.image_size = std::filesystem::file_size(temp.path(), error);
  IMAGE_CHECK(temp.commit());
  return result;
}

}  // namespace image
