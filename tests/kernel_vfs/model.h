// What stands under the file layer in unit tests: heap, locks, clock, host file, as plain host code.
#ifndef TESTS_KERNEL_VFS_MODEL_H
#define TESTS_KERNEL_VFS_MODEL_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernel/vfs/names.h"

namespace model {

// The image file that host::read_image() serves.
void set_image(std::vector<std::byte> bytes);
std::vector<std::byte>& image();
// There are no more pages to be had.
void set_out_of_pages(bool out);
// Log lines since the last call.
std::vector<std::string> take_log();

// A process: root and working directory at the root of the mount tree, everything allowed unless changed.
struct World {
  World();
  kernel::Identity who;
  kernel::RefPtr<kernel::FsContext> fs;
  kernel::NameContext context() const { return {.fs = *fs, .who = who}; }

  kernel::Result<kernel::Ref<kernel::Dentry>> find(const std::string& path, bool follow = true) const;
  // The error of an operation, or Errno{} for success.
  kernel::Errno mkdir(const std::string& path, kernel::Mode mode = 0755) const;
  kernel::Errno write_file(const std::string& path, const std::string& content, std::uint32_t extra_flags = 0) const;
  kernel::Errno append_file(const std::string& path, const std::string& content) const;
  kernel::Errno unlink(const std::string& path) const;
  kernel::Errno rmdir(const std::string& path) const;
  kernel::Errno rename(const std::string& from, const std::string& to, std::uint32_t flags = 0) const;
  kernel::Errno link(const std::string& from, const std::string& to) const;
  kernel::Errno symlink(const std::string& target, const std::string& path) const;
  kernel::Errno stat_error(const std::string& path, bool follow = true) const;
  // "?errno" on failure.
  std::string read_file(const std::string& path) const;
  std::string read_link(const std::string& path) const;
  // Sorted names, without the dots; "?errno" on failure.
  std::vector<std::string> list(const std::string& path, std::size_t entries_at_once = 1000) const;
  kernel::Attributes attributes(const std::string& path, bool follow = true) const;
};

// Reads a whole file through an inode.
std::string content_of(kernel::Inode& inode);

template <class T>
kernel::Errno error_of(const kernel::Result<T>& result) {
  return result.ok() ? kernel::Errno{} : result.error();
}

// A fresh mount tree with this file system at its root (one per process of the test: tests run one by one).
void start_tree(kernel::Ref<kernel::Superblock> root);

}  // namespace model
#endif  // TESTS_KERNEL_VFS_MODEL_H
