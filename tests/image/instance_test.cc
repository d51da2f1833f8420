#include "image/instance.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>

#include "host_abi/patch_table.h"
#include "image/erofs.h"
#include "image/little_endian.h"
#include "image/program_check.h"
#include "sgx/enclave_file.h"
#include "tests/image/fixture.h"

namespace {

using image_test::FolderTest;

class Instance : public FolderTest {
 protected:
  static image::BuildOptions options() {
    image::BuildOptions options;
    options.kernel = IMAGE_TEST_DIR "/kernel.elf";
    options.signing_key = IMAGE_TEST_DIR "/key.pem";
    return options;
  }

  static image::BuildResult build(const image::InstancePaths& paths, const image::BuildOptions& options) {
    const auto result = image::build_instance(paths, options);
    EXPECT_TRUE(result.has_value()) << result.error();
    return result.value_or(image::BuildResult{});
  }

  static void add(const std::filesystem::path& path, std::string_view text, mode_t mode) {
    std::filesystem::create_directories(path.parent_path());
    const auto file = image::open_file(path, O_WRONLY | O_CREAT, mode);
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE(image::write_at(*file, 0, image::Bytes(text.begin(), text.end()), "file").has_value());
  }

  static std::string digest(const std::filesystem::path& path) {
    const auto hash = image::sha256_file(path);
    return hash ? image::hex(*hash) : "missing";
  }
};

// Fills an instance in one of two orders, under one of two umasks.
void fill(const image::InstancePaths& paths, bool second) {
  const mode_t old = ::umask(second ? 0077 : 0022);
  ::setenv("TZ", second ? "Asia/Kathmandu" : "UTC", 1);
  ::tzset();
  ASSERT_TRUE(image::init_instance(paths).has_value());
  std::vector<int> order;
  for (int i = 0; i < 200; ++i) order.push_back(second ? 199 - i : i);
  for (const int i : order) {
    const std::filesystem::path path = paths.image() / fmt::format("data/{}/file{}", i % 7, i);
    std::filesystem::create_directories(path.parent_path());
    const auto file = image::open_file(path, O_WRONLY | O_CREAT, 0666);
    ASSERT_TRUE(file.has_value());
    const std::string text = fmt::format("content of {}", i);
    ASSERT_TRUE(image::write_at(*file, 0, image::Bytes(text.begin(), text.end()), "file").has_value());
  }
  std::filesystem::copy_file("/bin/ls", paths.image() / "bin/ls");
  std::filesystem::create_symlink("ls", paths.image() / "bin/dir");
  ::umask(old);
}

TEST_F(Instance, SameInputGivesTheSameBytesAnywhere) {
  const image::InstancePaths first(folder() / "one");
  const image::InstancePaths second(folder() / "a/longer/path/two");
  fill(first, false);
  const image::BuildResult one = build(first, options());
  fill(second, true);
  const mode_t old = ::umask(0077);
  const image::BuildResult two = build(second, options());
  ::umask(old);
  EXPECT_EQ(one.mrenclave, two.mrenclave);
  EXPECT_EQ(digest(first.image_file()), digest(second.image_file()));
  EXPECT_EQ(digest(first.enclave_file()), digest(second.enclave_file()));
  EXPECT_EQ(digest(first.bill()), digest(second.bill()));
  EXPECT_GT(one.stats.patched_sites, 500U);
}

TEST_F(Instance, BuildsOnlyWhatChanged) {
  const image::InstancePaths paths(folder() / "i");
  ASSERT_TRUE(image::init_instance(paths).has_value());
  const image::BuildResult first = build(paths, options());
  EXPECT_FALSE(first.image_was_current);
  const image::BuildResult again = build(paths, options());
  EXPECT_TRUE(again.image_was_current);
  EXPECT_TRUE(again.enclave_was_current);
  EXPECT_EQ(again.mrenclave, first.mrenclave);
  EXPECT_EQ(*image::build_state(paths), image::BuildState::current);
  // Another configuration: a new enclave around the same image.
  std::string config = *image::read_text(paths.config());
  config.replace(config.find("OCCLUM=yes"), 10, "OCCLUM=yep");
  ASSERT_TRUE(image::write_text(paths.config(), config).has_value());
  EXPECT_EQ(*image::build_state(paths), image::BuildState::stale);
  EXPECT_FALSE(image::config_is_built(paths));
  const image::BuildResult configured = build(paths, options());
  EXPECT_TRUE(configured.image_was_current);
  EXPECT_FALSE(configured.enclave_was_current);
  EXPECT_NE(configured.mrenclave, first.mrenclave);
  // Another file: both.
  add(paths.image() / "etc/new", "x", 0644);
  EXPECT_EQ(*image::build_state(paths), image::BuildState::stale);
  const image::BuildResult filled = build(paths, options());
  EXPECT_FALSE(filled.image_was_current);
  EXPECT_FALSE(filled.enclave_was_current);
  // A product that somebody changed is built again.
  ASSERT_TRUE(image::write_text(paths.image_file(), "junk").has_value());
  EXPECT_FALSE(build(paths, options()).image_was_current);
  image::BuildOptions forced = options();
  forced.force = true;
  EXPECT_FALSE(build(paths, forced).enclave_was_current);
}

TEST_F(Instance, ProductsHoldTogether) {
  const image::InstancePaths paths(folder() / "i");
  ASSERT_TRUE(image::init_instance(paths).has_value());
  const image::BuildResult result = build(paths, options());
  const auto enclave = sgx::EnclaveFile::open(paths.enclave_file().string());
  ASSERT_TRUE(enclave.has_value()) << enclave.error().message;
  ASSERT_TRUE(sgx::verify_enclave_file(*enclave).has_value());
  const host_abi::VerityParams& verity = enclave->config_header().image;
  const auto checked = image::run_program({"veritysetup", "verify", paths.image_file().string(), paths.image_file().string(),
                                           image::hex(verity.root_hash), fmt::format("--hash-offset={}", verity.hash_offset - 4096)});
  ASSERT_TRUE(checked.has_value());
  EXPECT_EQ(checked->status, 0) << checked->output;
  // The tables: every file number is an inode of the image, every site lies in it.
  const image::Bytes bytes = *image::read_file(paths.image_file());
  const auto reader = image::ErofsReader::open(bytes);
  ASSERT_TRUE(reader.has_value());
  const auto table = std::span<const std::uint8_t>(bytes).subspan(verity.patch_offset, verity.patch_size);
  const auto index = image::load<host_abi::PatchIndex>(table, 0);
  EXPECT_EQ(index.magic, host_abi::kPatchMagic);
  EXPECT_EQ(index.total_size, table.size());
  ASSERT_GT(index.file_count, 3U);
  std::uint64_t last = 0;
  std::uint64_t sites = 0;
  for (std::uint32_t i = 0; i < index.file_count; ++i) {
    const auto file = image::load<host_abi::PatchFile>(table, sizeof(index) + i * sizeof(host_abi::PatchFile));
    EXPECT_GT(file.nid, last);
    last = file.nid;
    const auto inode = reader->inode(file.nid);
    ASSERT_TRUE(inode.has_value());
    const auto content = reader->read(*inode);
    for (std::uint32_t s = 0; s < file.site_count; ++s, ++sites) {
      const auto site = image::load<host_abi::PatchSite>(table, file.sites + s * sizeof(host_abi::PatchSite));
      ASSERT_LE(std::uint64_t{site.file_offset} + site.displaced + 2, content->size());
      EXPECT_TRUE(std::equal(site.bytes.begin(), site.bytes.begin() + site.displaced, content->begin() + site.file_offset));
    }
  }
  EXPECT_EQ(sites, result.stats.patched_sites);
}

TEST_F(Instance, MistakesAreExplained) {
  const image::InstancePaths none(folder() / "none");
  EXPECT_NE(image::build_instance(none, options()).error().find("not an Occlum instance"), std::string::npos);
  const image::InstancePaths paths(folder() / "i");
  ASSERT_TRUE(image::init_instance(paths).has_value());
  EXPECT_NE(image::init_instance(paths).error().find("holds an instance already"), std::string::npos);
  image::BuildOptions no_key = options();
  no_key.signing_key = folder() / "nothing.pem";
  EXPECT_FALSE(image::build_instance(paths, no_key).has_value());
  image::BuildOptions no_kernel = options();
  no_kernel.kernel = folder() / "nothing.elf";
  EXPECT_FALSE(image::build_instance(paths, no_kernel).has_value());
  std::filesystem::copy_file(IMAGE_TEST_DIR "/gs.so", paths.image() / "bin/gs.so");
  const auto gs = image::build_instance(paths, options());
  ASSERT_FALSE(gs.has_value());
  EXPECT_NE(gs.error().find("image/bin/gs.so"), std::string::npos) << gs.error();
  EXPECT_NE(gs.error().find("wrgsbase"), std::string::npos) << gs.error();
  std::filesystem::remove_all(paths.image());
  EXPECT_NE(image::build_instance(paths, options()).error().find("image folder is missing"), std::string::npos);
}

TEST_F(Instance, NoTemporaryFilesStayBehind) {
  const image::InstancePaths paths(folder() / "i");
  ASSERT_TRUE(image::init_instance(paths).has_value());
  build(paths, options());
  std::filesystem::copy_file(IMAGE_TEST_DIR "/gs.so", paths.image() / "bin/gs.so");
  EXPECT_FALSE(image::build_instance(paths, options()).has_value());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(paths.root)) {
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
  }
}

TEST_F(Instance, ProgramChecksNameTheRemedy) {
  const image::InstancePaths paths(folder() / "i");
  ASSERT_TRUE(image::init_instance(paths).has_value());
  add(paths.image() / "bin/script", "#!/bin/missing-shell\n", 0755);
  add(paths.image() / "bin/plain", "text", 0755);
  add(paths.image() / "bin/data", "#!/bin/sh\n", 0644);
  std::filesystem::copy_file("/bin/ls", paths.image() / "bin/ls");
  build(paths, options());
  add(paths.image() / "bin/late", "x", 0755);
  const auto config = image::load_occlum_json(paths.config());
  ASSERT_TRUE(config.has_value());
  const auto expect = [&](const std::string& path, image::ProgramVerdict verdict, const std::string& part) {
    const auto check = image::check_program(paths, *config, path);
    ASSERT_TRUE(check.has_value()) << check.error();
    EXPECT_EQ(check->verdict, verdict) << path << ": " << check->message;
    EXPECT_NE(check->message.find(part), std::string::npos) << check->message;
  };
  expect("/bin/ls", image::ProgramVerdict::good, "");
  expect("/bin/none", image::ProgramVerdict::not_found, "copy it to image/bin/none");
  expect("/bin/late", image::ProgramVerdict::not_found, "run `occlum build`");
  expect("/bin/script", image::ProgramVerdict::not_found, "/bin/missing-shell");
  expect("/bin/plain", image::ProgramVerdict::not_allowed, "neither");
  expect("/bin/data", image::ProgramVerdict::not_allowed, "chmod +x");
  expect("/usr/bin/ls", image::ProgramVerdict::not_allowed, "entry_points");
  expect("/bin/../usr/ls", image::ProgramVerdict::not_allowed, "entry_points");
  expect("/binary", image::ProgramVerdict::not_allowed, "entry_points");
  expect("ls", image::ProgramVerdict::not_allowed, "absolute path");
  expect("/bin", image::ProgramVerdict::not_allowed, "not a regular file");
  const auto missing = image::missing_dependencies(paths);
  ASSERT_TRUE(missing.has_value());
  EXPECT_TRUE(std::ranges::any_of(*missing, [](const std::string& line) { return line.starts_with("image/bin/ls needs "); }));
  image::BuildOptions autodep = options();
  autodep.autodep = true;
  build(paths, autodep);
  EXPECT_TRUE(image::missing_dependencies(paths)->empty());
}

}  // namespace
