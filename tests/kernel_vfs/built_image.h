// Images for tests, made by the tools that make the real ones: mkfs.erofs and veritysetup.
#ifndef TESTS_KERNEL_VFS_BUILT_IMAGE_H
#define TESTS_KERNEL_VFS_BUILT_IMAGE_H

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "host_abi/enclave_config.h"

namespace built_image {

// Output of a command that must succeed.
std::string run(const std::string& command);
void write_text(const std::filesystem::path& path, const std::string& text);
std::string random_text(std::size_t size, unsigned seed);

struct Built {
  std::vector<std::byte> bytes;
  host_abi::VerityParams params{};
};
// An image of the tree that `make_tree` writes into an empty folder.
Built build(const std::string& mkfs_options, const std::function<void(const std::filesystem::path&)>& make_tree);

}  // namespace built_image
#endif  // TESTS_KERNEL_VFS_BUILT_IMAGE_H
