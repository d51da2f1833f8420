// Path walk and names over a RAM file system.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "kernel/fs/ram/ram_fs.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"
#include "tests/kernel_vfs/model.h"

namespace {

// GoogleTest brings a namespace "abi" of its own along, so the numbers of abi/fs.h are repeated here.
namespace flags {
constexpr std::uint32_t kOExcl = 0200, kONoFollow = 0400000, kRenameNoReplace = 1, kRenameExchange = 2, kFallocKeepSize = 1,
                        kFallocPunchHole = 2, kFallocCollapseRange = 8;
}

using kernel::Errno;
using kernel::Ref;
using model::World;
constexpr Errno kOk{};

class Names : public testing::Test {
 protected:
  void SetUp() override {
    static bool started = false;
    if (!started) model::start_tree(kernel::RamSuperblock::create(8 << 20, 0755).release());
    started = true;
    world = std::make_unique<World>();
    // A directory of its own for each test.
    static int number = 0;
    base = "/t" + std::to_string(number++);
    ASSERT_EQ(world->mkdir(base), kOk);
    fs().set_working_directory(world->find(base).release());
  }
  kernel::FsContext& fs() { return *world->fs; }
  std::string path_of(const std::string& path) {
    std::array<char, 4096> room{};
    const Ref<kernel::Dentry> found = world->find(path).release();
    return std::string(kernel::path_text(*found, fs().root().get(), room).release().text);
  }
  std::unique_ptr<World> world;
  std::string base;
};

TEST_F(Names, FilesAndDirectories) {
  EXPECT_EQ(world->write_file("a", "one"), kOk);
  EXPECT_EQ(world->read_file("a"), "one");
  EXPECT_EQ(world->read_file(base + "/./a"), "one");
  EXPECT_EQ(world->read_file("//" + base + "///a"), "one");
  EXPECT_EQ(world->stat_error("b"), Errno::noent);
  EXPECT_EQ(world->stat_error("a/b"), Errno::notdir);
  EXPECT_EQ(world->stat_error("a/"), Errno::notdir);
  EXPECT_EQ(world->stat_error("a/."), Errno::notdir);
  EXPECT_EQ(world->stat_error(""), Errno::noent);
  EXPECT_EQ(world->mkdir("d/"), kOk);
  EXPECT_EQ(world->mkdir("d"), Errno::exist);
  EXPECT_EQ(world->mkdir("d/."), Errno::exist);
  EXPECT_EQ(world->mkdir("/"), Errno::exist);
  EXPECT_EQ(world->mkdir("no/d"), Errno::noent);
  EXPECT_EQ(path_of("d/../d/."), base + "/d");
  EXPECT_EQ(path_of("../../.."), "/");
  EXPECT_EQ(world->write_file("d", "x"), Errno::isdir);
  EXPECT_EQ(world->write_file("new/", "x"), Errno::isdir);
  EXPECT_EQ(world->unlink("d"), Errno::isdir);
  EXPECT_EQ(world->rmdir("a"), Errno::notdir);
  EXPECT_EQ(world->write_file("d/f", ""), kOk);
  EXPECT_EQ(world->rmdir("d"), Errno::notempty);
  EXPECT_EQ(world->rmdir("d/."), Errno::inval);
  EXPECT_EQ(world->rmdir("d/.."), Errno::notempty);
  EXPECT_EQ(world->rmdir("/"), Errno::busy);
  EXPECT_EQ(world->unlink("d/f"), kOk);
  EXPECT_EQ(world->rmdir("d"), kOk);
  EXPECT_EQ(world->list("."), std::vector<std::string>{"a"});
}

TEST_F(Names, LongNames) {
  EXPECT_EQ(world->write_file(std::string(255, 'n'), "long"), kOk);
  EXPECT_EQ(world->read_file(std::string(255, 'n')), "long");
  EXPECT_EQ(world->write_file(std::string(256, 'n'), "x"), Errno::nametoolong);
  EXPECT_EQ(world->stat_error(std::string(256, 'n')), Errno::nametoolong);
  EXPECT_EQ(world->rename(std::string(255, 'n'), std::string(200, 'm')), kOk);
  EXPECT_EQ(world->rename(std::string(200, 'm'), "s"), kOk);
  EXPECT_EQ(world->read_file("s"), "long");
}

TEST_F(Names, Symlinks) {
  ASSERT_EQ(world->mkdir("d"), kOk);
  ASSERT_EQ(world->write_file("d/f", "content"), kOk);
  EXPECT_EQ(world->symlink("d", "l"), kOk);
  EXPECT_EQ(world->symlink("l/f", "lf"), kOk);
  EXPECT_EQ(world->symlink(base + "/d/", "abs"), kOk);
  EXPECT_EQ(world->read_file("lf"), "content");
  EXPECT_EQ(world->read_file("l/f"), "content");
  EXPECT_EQ(world->read_file("abs/f"), "content");
  EXPECT_EQ(world->read_link("lf"), "l/f");
  EXPECT_EQ(world->stat_error("l/", false), kOk);
  EXPECT_TRUE(kernel::type_of(world->attributes("l/", false).mode) == kernel::FileType::directory);
  EXPECT_TRUE(kernel::type_of(world->attributes("l", false).mode) == kernel::FileType::symlink);
  EXPECT_EQ(world->symlink("loop2", "loop1"), kOk);
  EXPECT_EQ(world->symlink("loop1", "loop2"), kOk);
  EXPECT_EQ(world->stat_error("loop1"), Errno::loop);
  EXPECT_EQ(world->stat_error("loop1", false), kOk);
  EXPECT_EQ(world->symlink("made", "dangling"), kOk);
  EXPECT_EQ(world->stat_error("dangling"), Errno::noent);
  EXPECT_EQ(world->write_file("dangling", "through"), kOk);
  EXPECT_EQ(world->read_file("made"), "through");
  EXPECT_EQ(world->write_file("dangling", "x", flags::kOExcl), Errno::exist);
  EXPECT_EQ(world->write_file("l", "x", flags::kONoFollow), Errno::loop);
  EXPECT_EQ(world->rmdir("l"), Errno::notdir);
  EXPECT_EQ(world->rmdir("l/"), Errno::notdir);
  EXPECT_EQ(world->unlink("l"), kOk);
  EXPECT_EQ(world->read_file("d/f"), "content");
}

TEST_F(Names, FortyLinksAndNoMore) {
  ASSERT_EQ(world->write_file("end", "x"), kOk);
  ASSERT_EQ(world->symlink("end", "l0"), kOk);
  for (int i = 1; i <= 40; ++i) ASSERT_EQ(world->symlink("l" + std::to_string(i - 1), "l" + std::to_string(i)), kOk);
  EXPECT_EQ(world->stat_error("l39"), kOk);
  EXPECT_EQ(world->stat_error("l40"), Errno::loop);
}

TEST_F(Names, Renames) {
  ASSERT_EQ(world->mkdir("a"), kOk);
  ASSERT_EQ(world->mkdir("b"), kOk);
  ASSERT_EQ(world->write_file("a/f", "1"), kOk);
  ASSERT_EQ(world->write_file("b/g", "2"), kOk);
  EXPECT_EQ(world->rename("a/f", "b/g", flags::kRenameNoReplace), Errno::exist);
  EXPECT_EQ(world->rename("a/f", "b/g", flags::kRenameExchange), kOk);
  EXPECT_EQ(world->read_file("a/f"), "2");
  EXPECT_EQ(world->read_file("b/g"), "1");
  EXPECT_EQ(world->rename("a/f", "b/g"), kOk);
  EXPECT_EQ(world->read_file("b/g"), "2");
  EXPECT_EQ(world->stat_error("a/f"), Errno::noent);
  EXPECT_EQ(world->rename("a", "a/in"), Errno::inval);
  EXPECT_EQ(world->mkdir("a/in"), kOk);
  EXPECT_EQ(world->rename("a/in", "a"), Errno::notempty);
  EXPECT_EQ(world->rename("b", "a"), Errno::notempty);
  EXPECT_EQ(world->rename("a/in", "b"), Errno::notempty);
  EXPECT_EQ(world->rename("b/g", "a"), Errno::isdir);
  EXPECT_EQ(world->rename("a", "b/g"), Errno::notdir);
  EXPECT_EQ(world->rename("b", "a/in"), kOk);
  EXPECT_EQ(path_of("a/in/g"), base + "/a/in/g");
  EXPECT_EQ(world->attributes("a").nlink, 3U);
  EXPECT_EQ(world->rename("a/in/.", "c"), Errno::busy);
  EXPECT_EQ(world->rename("a/in", "c/"), kOk);
  EXPECT_EQ(world->rename("c/g", "h/"), Errno::notdir);
  EXPECT_EQ(world->attributes("a").nlink, 2U);
  ASSERT_EQ(world->link("c/g", "same"), kOk);
  EXPECT_EQ(world->rename("c/g", "same"), kOk);
  EXPECT_EQ(world->stat_error("c/g"), kOk);  // two names of one file: nothing happens
}

TEST_F(Names, HardLinks) {
  ASSERT_EQ(world->write_file("f", "1"), kOk);
  EXPECT_EQ(world->link("f", "g"), kOk);
  EXPECT_EQ(world->attributes("f").nlink, 2U);
  EXPECT_EQ(world->attributes("f").ino, world->attributes("g").ino);
  EXPECT_EQ(world->append_file("g", "2"), kOk);
  EXPECT_EQ(world->read_file("f"), "12");
  EXPECT_EQ(world->unlink("f"), kOk);
  EXPECT_EQ(world->attributes("g").nlink, 1U);
  EXPECT_EQ(world->link(".", "d"), Errno::perm);
  EXPECT_EQ(world->link("g", "g"), Errno::exist);
  EXPECT_EQ(world->link("g", "new/"), Errno::noent);
}

TEST_F(Names, Permissions) {
  ASSERT_EQ(world->mkdir("closed", 0700), kOk);
  ASSERT_EQ(world->write_file("closed/f", "x"), kOk);
  ASSERT_EQ(world->mkdir("sticky", 01777), kOk);
  kernel::FsContext& context = fs();
  context.exchange_umask(0);
  ASSERT_EQ(world->mkdir("open", 01777), kOk);
  ASSERT_EQ(world->write_file("open/mine", "x"), kOk);
  world->who = kernel::Identity{.uid = 1000, .gid = 1000, .groups = {}, .capabilities = 0};
  EXPECT_EQ(world->stat_error("closed"), kOk);
  EXPECT_EQ(world->stat_error("closed/f"), Errno::acces);
  EXPECT_EQ(world->list("closed"), std::vector<std::string>{"?13"});
  EXPECT_EQ(world->write_file("new", "x"), Errno::acces);
  EXPECT_EQ(world->write_file("open/new", "x"), kOk);
  EXPECT_EQ(world->attributes("open/new").uid, 1000U);
  EXPECT_EQ(world->unlink("open/mine"), Errno::perm);
  EXPECT_EQ(world->rename("open/mine", "open/yours"), Errno::perm);
  EXPECT_EQ(world->unlink("open/new"), kOk);
  EXPECT_EQ(world->append_file("open/mine", "y"), Errno::acces);
}

TEST_F(Names, RemovedDirectoriesStayUsable) {
  ASSERT_EQ(world->mkdir("d"), kOk);
  fs().set_working_directory(world->find("d").release());
  ASSERT_EQ(world->rmdir(base + "/d"), kOk);
  EXPECT_EQ(world->write_file("f", "x"), Errno::noent);
  EXPECT_EQ(world->stat_error("f"), Errno::noent);
  EXPECT_EQ(world->stat_error("."), kOk);
  EXPECT_EQ(world->stat_error(".."), kOk);
  ASSERT_EQ(world->mkdir(base + "/d"), kOk);
  EXPECT_EQ(world->stat_error("f"), Errno::noent);
}

TEST_F(Names, MountsCoverAndUncover) {
  ASSERT_EQ(world->mkdir("m"), kOk);
  ASSERT_EQ(world->write_file("m/below", "1"), kOk);
  const Ref<kernel::RamSuperblock> ram = kernel::RamSuperblock::create(1 << 20).release();
  {
    const Ref<kernel::Dentry> directory = world->find("m").release();
    ASSERT_TRUE(kernel::mount_at(*directory, ram, 0, "test").ok());
  }
  EXPECT_EQ(world->stat_error("m/below"), Errno::noent);
  EXPECT_EQ(world->write_file("m/above", "2"), kOk);
  EXPECT_EQ(path_of("m/above"), base + "/m/above");
  EXPECT_EQ(path_of("m/.."), base);
  EXPECT_EQ(path_of("m/../m/above"), base + "/m/above");
  EXPECT_EQ(world->rename("m/above", "x"), Errno::xdev);
  EXPECT_EQ(world->link("m/above", "x"), Errno::xdev);
  EXPECT_EQ(world->rmdir("m"), Errno::busy);
  EXPECT_EQ(world->rename("m", "n"), Errno::busy);
  {
    Ref<kernel::Dentry> root = world->find("m").release();
    EXPECT_TRUE(kernel::is_mount_root(*root));
    const Ref<kernel::Dentry> busy = world->find("m/above").release();
    EXPECT_EQ(model::error_of(kernel::unmount(*root, false)), Errno::busy);
  }
  {
    const Ref<kernel::Dentry> root = world->find("m").release();
    EXPECT_EQ(model::error_of(kernel::unmount(*root, false)), kOk);
  }
  EXPECT_EQ(world->read_file("m/below"), "1");
}

TEST_F(Names, ReadOnlyMount) {
  ASSERT_EQ(world->mkdir("m"), kOk);
  const Ref<kernel::RamSuperblock> ram = kernel::RamSuperblock::create(1 << 20).release();
  ASSERT_TRUE(kernel::mount_at(*world->find("m").release(), ram, 0, "test").ok());
  ASSERT_EQ(world->write_file("m/f", "1"), kOk);
  ram->set_mount_flags(kernel::kMountReadOnly);
  EXPECT_EQ(world->write_file("m/f", "2"), Errno::rofs);
  EXPECT_EQ(world->write_file("m/g", "2"), Errno::rofs);
  EXPECT_EQ(world->mkdir("m/d"), Errno::rofs);
  EXPECT_EQ(world->mkdir("m/f"), Errno::exist);
  EXPECT_EQ(world->unlink("m/f"), Errno::rofs);
  EXPECT_EQ(world->unlink("m/g"), Errno::noent);
  EXPECT_EQ(world->rename("m/f", "m/h"), Errno::rofs);
  EXPECT_EQ(world->read_file("m/f"), "1");
  const Ref<kernel::Dentry> root = world->find("m").release();
  EXPECT_EQ(model::error_of(kernel::unmount(*root, false)), kOk);
}

// Thousands of names: eviction from the cache must not lose anything, and readdir is stable while entries go.
TEST_F(Names, ManyNames) {
  constexpr int kCount = 40000;
  ASSERT_EQ(world->mkdir("many"), kOk);
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(world->mkdir("many/" + std::to_string(i)), kOk);
  EXPECT_LE(kernel::DentryCache::instance().size(), kernel::DentryCache::kMostDentries + 8);
  EXPECT_EQ(world->list("many", 7).size(), static_cast<std::size_t>(kCount));
  for (int i = 0; i < kCount; i += 2) ASSERT_EQ(world->rmdir("many/" + std::to_string(i)), kOk);
  EXPECT_EQ(world->list("many", 100).size(), static_cast<std::size_t>(kCount / 2));
  for (int i = 1; i < kCount; i += 2) ASSERT_EQ(world->rmdir("many/" + std::to_string(i)), kOk);
  EXPECT_EQ(world->rmdir("many"), kOk);
}

// A deep chain of directories whose names are gone dies without deep recursion.
TEST_F(Names, DeepTree) {
  constexpr int kDepth = 20000;
  const Ref<kernel::Dentry> start = fs().working_directory();
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(world->mkdir("d"), kOk);
    fs().set_working_directory(world->find("d").release());
  }
  const Ref<kernel::Dentry> bottom = fs().working_directory();
  std::array<char, 4096> room{};
  EXPECT_EQ(model::error_of(kernel::path_text(*bottom, nullptr, room)), Errno::nametoolong);
  for (int i = 0; i < kDepth; ++i) {
    fs().set_working_directory(world->find("..").release());
    ASSERT_EQ(world->rmdir("d"), kOk);
  }
  EXPECT_EQ(fs().working_directory(), start);
}

TEST_F(Names, SparseFilesAndHoles) {
  using namespace kernel;
  ASSERT_EQ(world->write_file("f", "x"), kOk);
  const Ref<Inode> file(world->find("f").release()->existing_inode());
  const std::string text = "far";
  IoSource source(std::as_bytes(std::span(text)));
  ASSERT_TRUE(file->write_at(1 << 20, source).ok());
  EXPECT_EQ(file->size(), (1U << 20) + 3);
  EXPECT_EQ(file->attributes().blocks, 16U);
  EXPECT_EQ(file->seek_data(1, false).release(), 1U);
  EXPECT_EQ(file->seek_data(1, true).release(), 4096U);
  EXPECT_EQ(file->seek_data(4096, false).release(), 1U << 20);
  EXPECT_EQ(model::error_of(file->seek_data(1 << 21, false)), Errno::nxio);
  const std::string content = model::content_of(*file);
  EXPECT_EQ(content, "x" + std::string((1 << 20) - 1, '\0') + "far");
  ASSERT_TRUE(file->allocate(flags::kFallocPunchHole | flags::kFallocKeepSize, 0, 1 << 20).ok());
  EXPECT_EQ(file->attributes().blocks, 8U);
  ASSERT_TRUE(file->truncate((1 << 20) + 1).ok());
  ASSERT_TRUE(file->truncate((1 << 20) + 3).ok());
  EXPECT_EQ(model::content_of(*file).substr(1 << 20), std::string("f\0\0", 3));
  ASSERT_TRUE(file->allocate(0, 0, 8192).ok());
  EXPECT_EQ(file->attributes().blocks, 24U);
  EXPECT_EQ(model::error_of(file->allocate(0, 0, 1ULL << 40)), Errno::nospc);
  EXPECT_EQ(model::error_of(file->allocate(flags::kFallocCollapseRange, 0, 4096)), Errno::opnotsupp);
}

TEST_F(Names, FullFileSystem) {
  const std::string chunk(1 << 20, 'x');
  Errno error{};
  int written = 0;
  ASSERT_EQ(world->write_file("f", ""), kOk);
  while (error == kOk && written < 20) {
    error = world->append_file("f", chunk);
    if (error == kOk) ++written;
  }
  EXPECT_EQ(error, Errno::nospc);
  EXPECT_GE(written, 5);
  EXPECT_EQ(world->unlink("f"), kOk);
  EXPECT_EQ(world->write_file("f", chunk), kOk);
}

TEST_F(Names, ExtendedAttributes) {
  using namespace kernel;
  ASSERT_EQ(world->write_file("f", "x"), kOk);
  const Ref<Inode> file(world->find("f").release()->existing_inode());
  const std::string value = "value";
  const auto bytes = std::as_bytes(std::span(value));
  EXPECT_EQ(model::error_of(file->set_xattr("user.a", bytes, false, true)), Errno::nodata);
  EXPECT_TRUE(file->set_xattr("user.a", bytes, true, false).ok());
  EXPECT_EQ(model::error_of(file->set_xattr("user.a", bytes, true, false)), Errno::exist);
  EXPECT_TRUE(file->set_xattr("user.bb", bytes.first(2), false, false).ok());
  std::array<std::byte, 16> into{};
  EXPECT_EQ(file->get_xattr("user.a", into).release(), 5U);
  EXPECT_EQ(file->get_xattr("user.a", {}).release(), 5U);
  EXPECT_EQ(model::error_of(file->get_xattr("user.a", std::span(into).first(2))), Errno::range);
  std::array<char, 64> names{};
  EXPECT_EQ(file->list_xattrs(names).release(), 15U);
  EXPECT_EQ(std::string(names.data(), 15), std::string("user.a\0user.bb\0", 15));
  EXPECT_TRUE(file->remove_xattr("user.a").ok());
  EXPECT_EQ(model::error_of(file->get_xattr("user.a", into)), Errno::nodata);
}

}  // namespace
