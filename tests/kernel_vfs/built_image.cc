#include "tests/kernel_vfs/built_image.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <random>

namespace built_image {

namespace fs = std::filesystem;

std::string run(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  std::array<char, 4096> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), count);
  EXPECT_EQ(pclose(pipe), 0) << command << "\n" << output;
  return output;
}

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

std::string random_text(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

namespace {
constexpr const char* kSalt = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
}  // namespace

Built build(const std::string& mkfs_options, const std::function<void(const fs::path&)>& make_tree) {
  const fs::path base = fs::temp_directory_path() / ("kernel-vfs-image-" + std::to_string(getpid()));
  fs::remove_all(base);
  fs::create_directories(base / "tree");
  make_tree(base / "tree");
  const std::string image = (base / "image").string();
  run("mkfs.erofs -T0 " + mkfs_options + " " + image + " " + (base / "tree").string() + " 2>&1 >/dev/null");
  fs::resize_file(image, (fs::file_size(image) + 4095) / 4096 * 4096);
  const std::uint64_t data = fs::file_size(image);
  const std::string output = run("veritysetup format --salt=" + std::string(kSalt) + " --hash-offset=" + std::to_string(data) +
                                 " --data-blocks=" + std::to_string(data / 4096) + " " + image + " " + image);
  Built built;
  std::ifstream file(image, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  for (const char c : text) built.bytes.push_back(static_cast<std::byte>(c));
  const std::string label = "Root hash:";
  std::string root = output.substr(output.find(label) + label.size());
  root = root.substr(root.find_first_not_of(" \t"));
  for (std::size_t i = 0; i < 32; ++i) {
    built.params.root_hash[i] = static_cast<std::uint8_t>(std::stoul(root.substr(i * 2, 2), nullptr, 16));
    built.params.salt[i] = static_cast<std::uint8_t>(i);
  }
  built.params.salt_size = 32;
  built.params.data_blocks = data / 4096;
  built.params.hash_offset = data + 4096;
  fs::remove_all(base);
  return built;
}

}  // namespace built_image
