// EROFS: making an uncompressed image from a folder, and reading one back to find its inodes. Layout facts from the Linux
// documentation of EROFS (compact and extended inodes, flat plain and flat inline data, sorted directory blocks).
#ifndef IMAGE_EROFS_H
#define IMAGE_EROFS_H

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "image/files.h"
#include "image/result.h"

namespace image {

inline constexpr std::uint64_t kBlockSize = 4096;

struct ErofsOptions {
  std::uint64_t epoch = 0;  // seconds: later file times become this one
  // Keep the permission bits of the folder. Otherwise group and others get what the owner has, except write: then the umask under
  // which the folder was filled makes no difference.
  bool keep_modes = false;
};

// Packs the folder `root` into `output`: no compression, all owned by root, fixed UUID, no extended attributes. The same tree
// gives the same bytes whatever its place, owner, umask and order of creation. Errors carry what mkfs.erofs said.
Status make_erofs(const std::filesystem::path& root, const std::filesystem::path& output, const ErofsOptions& options);

// One inode of an image.
struct ErofsInode {
  std::uint64_t nid;
  std::uint64_t size;          // bytes
  std::uint64_t offset;        // of the inode in the image
  std::uint64_t data;          // offset of the blocks outside the inode (if any)
  std::uint64_t tail;          // offset of the last partial block if it lies behind the inode, else 0
  std::uint32_t nlink;
  std::uint16_t mode;          // S_IF* and permissions
  bool extended;
};

struct ErofsEntry {
  std::string name;
  std::uint64_t nid;
};

// A reader over the bytes of an image. Every access is checked; a damaged image is an error.
class ErofsReader {
 public:
  static Result<ErofsReader> open(std::span<const std::uint8_t> image);

  std::uint64_t root_nid() const { return root_nid_; }
  // Bytes of the file system (a multiple of the block size).
  std::uint64_t size() const { return blocks_ * kBlockSize; }

  Result<ErofsInode> inode(std::uint64_t nid) const;
  // Entries of a directory without "." and "..".
  Result<std::vector<ErofsEntry>> list(const ErofsInode& directory) const;
  Result<Bytes> read(const ErofsInode& file) const;
  // The first bytes of a file, at most `limit`.
  Result<Bytes> read_start(const ErofsInode& file, std::uint64_t limit) const;
  // The inode of an absolute path, symbolic links followed as a program inside would see it. Empty if there is none.
  Result<std::optional<ErofsInode>> find(std::string_view path) const;

  // Calls `visit` once for each name (hard links: once per name), parents first, in the order of the directories.
  using Visitor = std::function<Status(const std::string& path, const ErofsInode& inode)>;
  Status walk(const Visitor& visit) const;

 private:
  explicit ErofsReader(std::span<const std::uint8_t> image) : image_(image) {}
  Result<std::span<const std::uint8_t>> part(std::uint64_t offset, std::uint64_t size) const;
  Status walk_folder(const std::string& path, const ErofsInode& folder, int depth, const Visitor& visit) const;

  std::span<const std::uint8_t> image_;
  std::uint64_t root_nid_ = 0;
  std::uint64_t meta_offset_ = 0;
  std::uint64_t blocks_ = 0;
};

}  // namespace image
#endif  // IMAGE_EROFS_H
