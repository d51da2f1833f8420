// The secret file of the emulated machine.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "emulator/emulator.h"

namespace {

class Device : public testing::Test {
 protected:
  Device() {
    char folder[] = "/tmp/emulator-test-XXXXXX";
    folder_ = mkdtemp(folder);
    path_ = folder_ + "/a/b/secret";
  }
  ~Device() override {
    unlink(path_.c_str());
    rmdir((folder_ + "/a/b").c_str());
    rmdir((folder_ + "/a").c_str());
    rmdir(folder_.c_str());
  }
  std::string folder_;
  std::string path_;
};

TEST_F(Device, IsMadeOnceAndKept) {
  const auto first = emulator::load_device(path_);
  ASSERT_TRUE(first.has_value()) << first.error();
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  const auto second = emulator::load_device(path_);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(first->root_key, second->root_key);
  EXPECT_EQ(first->report_key_id, second->report_key_id);
  unlink(path_.c_str());
  const auto other = emulator::load_device(path_);
  ASSERT_TRUE(other.has_value());
  EXPECT_NE(first->root_key, other->root_key);
}

TEST_F(Device, BadFilesAreRefused) {
  ASSERT_TRUE(emulator::load_device(path_).has_value());
  ASSERT_EQ(chmod(path_.c_str(), 0644), 0);
  auto device = emulator::load_device(path_);
  ASSERT_FALSE(device.has_value());
  EXPECT_NE(device.error().find(path_), std::string::npos);
  EXPECT_NE(device.error().find("0600"), std::string::npos);
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  ASSERT_EQ(truncate(path_.c_str(), 31), 0);
  device = emulator::load_device(path_);
  ASSERT_FALSE(device.has_value());
  EXPECT_NE(device.error().find("32 bytes"), std::string::npos);
  ASSERT_EQ(truncate(path_.c_str(), 33), 0);
  EXPECT_FALSE(emulator::load_device(path_).has_value());
}

TEST_F(Device, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_ + "/file") << "x";
  const auto device = emulator::load_device(folder_ + "/file/secret");
  ASSERT_FALSE(device.has_value());
  EXPECT_NE(device.error().find("cannot create"), std::string::npos);
  unlink((folder_ + "/file").c_str());
}

TEST_F(Device, FollowsTheConfigurationFolder) {
  ASSERT_EQ(setenv("XDG_CONFIG_HOME", folder_.c_str(), 1), 0);
  const auto device = emulator::load_device();
  ASSERT_TRUE(device.has_value());
  const std::string path = folder_ + "/occlum/emulator-secret";
  EXPECT_EQ(access(path.c_str(), R_OK), 0);
  unlink(path.c_str());
  rmdir((folder_ + "/occlum").c_str());
  unsetenv("XDG_CONFIG_HOME");
}

}  // namespace
