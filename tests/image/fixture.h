// What the tests of the image builder share: a temporary folder, and short ways to make files.
#ifndef TESTS_IMAGE_FIXTURE_H
#define TESTS_IMAGE_FIXTURE_H

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "image/files.h"

namespace image_test {

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "occlum-image-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
  }

  const std::filesystem::path& folder() const { return folder_; }

  // Writes a file below the folder, with its parents.
  void put(const std::filesystem::path& name, std::string_view text, mode_t mode = 0644) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(image::write_text(path, text, mode).has_value());
  }

  std::string get(const std::filesystem::path& name) const { return image::read_text(folder_ / name).value_or("(missing)"); }

 private:
  std::filesystem::path folder_;
};

}  // namespace image_test
#endif  // TESTS_IMAGE_FIXTURE_H
