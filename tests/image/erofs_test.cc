#include "image/erofs.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "image/little_endian.h"
#include "tests/image/fixture.h"

namespace {

using image_test::FolderTest;

class Erofs : public FolderTest {
 protected:
  image::Bytes build(const image::ErofsOptions& options = {.epoch = 1700000000}) const {
    const image::Status made = image::make_erofs(folder() / "root", folder() / "image", options);
    EXPECT_TRUE(made.has_value()) << made.error();
    return image::read_file(folder() / "image").value_or(image::Bytes{});
  }
};

TEST_F(Erofs, EveryFileIsReadBackAsItWas) {
  std::map<std::string, std::string> files;
  for (const std::size_t size : {0U, 1U, 100U, 4000U, 4095U, 4096U, 4097U, 8192U, 100000U}) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + (i * 7 + size) % 26);
    files[fmt::format("/d{}/f{}", size % 3, size)] = text;
  }
  for (int i = 0; i < 1500; ++i) files[fmt::format("/many/a-rather-long-name-number-{}", i)] = fmt::format("{}", i);
  for (const auto& [name, text] : files) put("root" + name, text);
  std::filesystem::create_symlink("d0/f0", folder() / "root/link");
  std::filesystem::create_symlink("/many/..//d1/", folder() / "root/folder-link");
  std::filesystem::create_hard_link(folder() / "root/d1/f1", folder() / "root/hard");
  const image::Bytes bytes = build();
  const auto reader = image::ErofsReader::open(bytes);
  ASSERT_TRUE(reader.has_value()) << reader.error();
  std::size_t seen = 0;
  const image::Status walked = reader->walk([&](const std::string& path, const image::ErofsInode& inode) -> image::Status {
    if (!S_ISREG(inode.mode) || path == "/hard") return {};
    ++seen;
    const auto content = reader->read(inode);
    EXPECT_TRUE(content.has_value());
    EXPECT_EQ(std::string(content->begin(), content->end()), files[path]) << path;
    return {};
  });
  ASSERT_TRUE(walked.has_value()) << walked.error();
  EXPECT_EQ(seen, files.size());
  const auto by_link = reader->find("/folder-link/f100");
  ASSERT_TRUE(by_link.has_value());
  ASSERT_TRUE(by_link->has_value());
  EXPECT_EQ((*by_link)->size, 100U);
  EXPECT_EQ((*reader->find("/hard"))->nid, (*reader->find("/d1/f1"))->nid);
  EXPECT_EQ((*reader->find("/hard"))->nlink, 2U);
  EXPECT_FALSE(reader->find("/nothing")->has_value());
  EXPECT_FALSE(reader->find("/link/x")->has_value());
  const auto checked = image::run_program({"fsck.erofs", (folder() / "image").string()});
  ASSERT_TRUE(checked.has_value());
  EXPECT_EQ(checked->status, 0) << checked->output;
}

TEST_F(Erofs, ModesFollowTheOwner) {
  put("root/private", "x", 0600);
  put("root/program", "x", 0700);
  put("root/open", "x", 0666);
  put("root/readonly", "x", 0400);
  put("root/setuid", "x", 04711);
  std::filesystem::create_directories(folder() / "root/closed");
  ASSERT_EQ(::chmod((folder() / "root/closed").c_str(), 0700), 0);
  const auto mode = [](const image::Bytes& bytes, const char* path) {
    const auto reader = image::ErofsReader::open(bytes);
    return (*reader->find(path))->mode & 07777;
  };
  const image::Bytes bytes = build();
  EXPECT_EQ(mode(bytes, "/private"), 0644);
  EXPECT_EQ(mode(bytes, "/program"), 0755);
  EXPECT_EQ(mode(bytes, "/open"), 0644);
  EXPECT_EQ(mode(bytes, "/readonly"), 0444);
  EXPECT_EQ(mode(bytes, "/setuid"), 04755);
  EXPECT_EQ(mode(bytes, "/closed"), 0755);
  const image::Bytes kept = build({.epoch = 1700000000, .keep_modes = true});
  EXPECT_EQ(mode(kept, "/private"), 0600);
  EXPECT_EQ(mode(kept, "/setuid"), 04711);
}

TEST_F(Erofs, TimesAreNotLaterThanTheEpoch) {
  put("root/old", "x");
  put("root/new", "x");
  const std::array<struct timespec, 2> old = {{{1600000000, 5}, {1600000000, 5}}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder() / "root/old").c_str(), old.data(), 0), 0);
  const image::Bytes bytes = build();
  const auto reader = image::ErofsReader::open(bytes);
  const auto time = [&](const char* path) {
    const auto inode = reader->find(path);
    constexpr std::uint64_t kMtime = 32;
    constexpr std::uint64_t kBuildTime = 1024 + 24;
    return image::load<std::uint64_t>(bytes, (*inode)->extended ? (*inode)->offset + kMtime : kBuildTime);
  };
  EXPECT_EQ(time("/old"), 1600000000U);
  EXPECT_EQ(time("/new"), 1700000000U);
}

TEST_F(Erofs, DamagedImagesAreErrorsNotCrashes) {
  for (int i = 0; i < 300; ++i) put(fmt::format("root/d{}/file-{}", i % 5, i), std::string(static_cast<std::size_t>(i) * 20, 'x'));
  const image::Bytes good = build();
  std::uint32_t seed = 3;
  for (int round = 0; round < 2000; ++round) {
    image::Bytes bad = good;
    for (int change = 0; change < 4; ++change) {
      seed = seed * 1664525 + 1013904223;
      bad[1024 + (seed >> 8) % (change == 0 ? 128 : bad.size() - 1024)] = static_cast<std::uint8_t>(seed);
    }
    if (round % 5 == 0) bad.resize((seed >> 8) % bad.size());
    const auto reader = image::ErofsReader::open(bad);
    if (!reader) continue;
    std::uint64_t budget = 20000;  // a damaged folder may contain itself
    const image::Status walked = reader->walk([&](const std::string&, const image::ErofsInode& inode) -> image::Status {
      if (budget-- == 0) return image::fail("enough");
      if (S_ISREG(inode.mode)) (void)reader->read(inode).has_value();
      return {};
    });
    if (!walked) EXPECT_FALSE(walked.error().empty());
  }
}

TEST_F(Erofs, ErrorsCarryTheReason) {
  const image::Status missing = image::make_erofs(folder() / "nothing", folder() / "image", {});
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().find("not a folder"), std::string::npos);
  put("root/x", "x");
  const image::Status unwritable = image::make_erofs(folder() / "root", folder() / "no/such/place", {});
  ASSERT_FALSE(unwritable.has_value());
  EXPECT_NE(unwritable.error().find("mkfs.erofs failed"), std::string::npos) << unwritable.error();
}

}  // namespace
