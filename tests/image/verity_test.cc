#include "image/verity.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "tests/image/fixture.h"

namespace {

using image_test::FolderTest;

class Verity : public FolderTest {
 protected:
  std::filesystem::path make(std::uint64_t blocks) const {
    const std::filesystem::path path = folder() / "data";
    image::Bytes bytes(blocks * 4096);
    std::uint32_t seed = 11;
    for (std::uint8_t& byte : bytes) {
      seed = seed * 1664525 + 1013904223;
      byte = static_cast<std::uint8_t>(seed >> 24);
    }
    EXPECT_TRUE(image::write_file(path, bytes).has_value());
    return path;
  }

  // What the standard tool says about the file.
  static bool verify(const std::filesystem::path& path, const host_abi::VerityParams& params) {
    const auto child = image::run_program({"veritysetup", "verify", path.string(), path.string(), image::hex(params.root_hash),
                                           fmt::format("--hash-offset={}", params.hash_offset - 4096)});
    EXPECT_TRUE(child.has_value());
    return child->status == 0;
  }
};

TEST_F(Verity, VeritysetupAgreesForAllTreeShapes) {
  for (const std::uint64_t blocks : {2U, 3U, 127U, 128U, 129U, 500U, 16384U, 16385U}) {
    const std::filesystem::path path = make(blocks);
    const auto params = image::append_verity(path);
    ASSERT_TRUE(params.has_value()) << params.error();
    EXPECT_EQ(params->data_blocks, blocks);
    EXPECT_EQ(params->hash_offset, (blocks + 1) * 4096);
    EXPECT_TRUE(verify(path, *params)) << blocks;
  }
}

TEST_F(Verity, OneChangedByteIsFound) {
  const std::filesystem::path path = make(300);
  const auto params = image::append_verity(path);
  ASSERT_TRUE(params.has_value());
  const std::uint64_t size = std::filesystem::file_size(path);
  std::uint32_t seed = 5;
  for (int round = 0; round < 12; ++round) {
    seed = seed * 1664525 + 1013904223;
    std::uint64_t at = (seed >> 4) % size;
    const std::uint64_t super = params->data_blocks * 4096;
    if (at >= super && at < params->hash_offset) at = 0;  // the superblock is not part of the tree: its values are measured
    constexpr std::uint64_t kHashBytes = 300 * 32;
    const std::uint64_t leaves = params->hash_offset + 4096;
    if (at >= leaves + kHashBytes) at = leaves + kHashBytes - 1;  // zero padding behind the last digest is hashed too, but be exact
    const auto file = image::open_file(path, O_RDWR);
    ASSERT_TRUE(file.has_value());
    std::array<std::uint8_t, 1> byte = {};
    ASSERT_TRUE(image::read_at(*file, at, byte, "file").has_value());
    byte[0] ^= 1;
    ASSERT_TRUE(image::write_at(*file, at, byte, "file").has_value());
    EXPECT_FALSE(verify(path, *params)) << at;
    byte[0] ^= 1;
    ASSERT_TRUE(image::write_at(*file, at, byte, "file").has_value());
  }
  EXPECT_TRUE(verify(path, *params));
}

TEST_F(Verity, OddSizesAreRefused) {
  put("odd", "abc");
  EXPECT_FALSE(image::append_verity(folder() / "odd").has_value());
  put("empty", "");
  EXPECT_FALSE(image::append_verity(folder() / "empty").has_value());
}

}  // namespace
