// Filling an image folder: paths inside it are resolved as the programs in the enclave will see them, so a symbolic link in the
// image never leads to the host's files.
#ifndef IMAGE_TREE_H
#define IMAGE_TREE_H

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "image/elf_deps.h"
#include "image/result.h"

namespace image {

// One change that was, or with dry_run would be, made: "copy /bin/ls -> /bin/ls".
using TreeLog = std::function<void(const std::string&)>;

class ImageTree {
 public:
  struct Options {
    bool dry_run = false;
    bool keep_existing = false;  // never replace a file that is there
    TreeLog log = [](const std::string&) {};
  };

  ImageTree(std::filesystem::path root, Options options);

  const std::filesystem::path& root() const { return root_; }

  // The place on the host of `path` (absolute, as seen in the image) with symbolic links followed inside the root. Parts that do not
  // exist are kept as they are.
  Result<std::filesystem::path> locate(std::string_view path) const;

  // Makes a folder and its parents, mode 0755.
  Status make_folder(std::string_view path);
  // Copies a regular file (links are followed) with mode and modification time. An existing equal file is left alone; a different
  // one is replaced. Nothing else is ever deleted.
  Status copy_file(const std::filesystem::path& host, std::string_view path);
  // Copies what is inside the host folder into the folder `path`, without names for which `excluded` is true.
  using Excluded = std::function<bool(const std::filesystem::path&)>;
  Status copy_folder(const std::filesystem::path& host, std::string_view path, const Excluded& excluded);
  // Makes a symbolic link; an existing equal one is fine.
  Status make_link(const std::string& content, std::string_view path);
  Status write_text(std::string_view text, std::string_view path);

  // Copies all that the program at `host`, which will be at `path` in the image, needs. Programs already looked at are skipped.
  Status copy_dependencies(const std::filesystem::path& host, std::string_view path);

  DependencyResolver& resolver() { return resolver_; }

 private:
  Status copy_entries(const std::filesystem::path& host, std::string_view path, const Excluded& excluded);
  Status copy_entry(const std::filesystem::directory_entry& entry, const std::string& path, const std::filesystem::path& top, const Excluded& excluded);

  std::filesystem::path root_;
  Options options_;
  DependencyResolver resolver_;
  std::set<std::string> resolved_;
  std::vector<std::filesystem::path> copying_;  // the folders that copy_folder is in, without links
};

// Fills `root` as `occlum init` does: folders, the host's C library and loader with what every program needs, and a few files of
// /etc. Works under any umask.
Status fill_skeleton(ImageTree& tree);

}  // namespace image
#endif  // IMAGE_TREE_H
