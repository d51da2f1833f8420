// RAM files and the union against the file system of the machine that runs the test: the same random operations on both, the same errors,
// the same tree in the end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "kernel/fs/image/image_fs.h"
#include "kernel/fs/ram/ram_fs.h"
#include "kernel/fs/union/union_fs.h"
#include "tests/kernel_vfs/built_image.h"
#include "tests/kernel_vfs/model.h"

namespace {

namespace fs = std::filesystem;
using kernel::Ref;
using model::World;

int code(kernel::Errno error) { return static_cast<int>(error); }
int code(int result) { return result == 0 ? 0 : errno; }

// The machine's own file system, below a folder.
struct Native {
  fs::path root;
  std::string at(const std::string& path) const { return (root / path.substr(1)).string(); }

  int write(const std::string& path, const std::string& text, int flags) const {
    const int fd = open(at(path).c_str(), flags, 0644);
    if (fd < 0) return errno;
    const bool good = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(fd);
    return good ? 0 : EIO;
  }
};

std::map<std::string, std::string> native_tree(const fs::path& root) {
  std::map<std::string, std::string> tree;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string name = "/" + entry.path().lexically_relative(root).string();
    struct stat attributes {};
    EXPECT_EQ(lstat(entry.path().c_str(), &attributes), 0);
    if (S_ISLNK(attributes.st_mode)) {
      tree[name] = "link " + fs::read_symlink(entry.path()).string();
    } else if (S_ISDIR(attributes.st_mode)) {
      tree[name] = "directory " + std::to_string(attributes.st_mode & 07777);
    } else {
      std::ifstream file(entry.path(), std::ios::binary);
      tree[name] = "file " + std::to_string(attributes.st_mode & 07777) + " links " + std::to_string(attributes.st_nlink) + " " +
                   std::string((std::istreambuf_iterator<char>(file)), {});
    }
  }
  return tree;
}

void kernel_tree(const World& world, const std::string& path, std::map<std::string, std::string>& tree) {
  for (const std::string& name : world.list(path, 3)) {
    const std::string full = (path == "/" ? "" : path) + "/" + name;
    const kernel::Attributes attributes = world.attributes(full, false);
    switch (kernel::type_of(attributes.mode)) {
      case kernel::FileType::directory:
        tree[full] = "directory " + std::to_string(attributes.mode & 07777);
        kernel_tree(world, full, tree);
        break;
      case kernel::FileType::symlink:
        tree[full] = "link " + world.read_link(full);
        break;
      default:
        tree[full] =
            "file " + std::to_string(attributes.mode & 07777) + " links " + std::to_string(attributes.nlink) + " " + world.read_file(full);
        break;
    }
  }
}

class Twins {
 public:
  Twins(fs::path root, unsigned seed) : native_{std::move(root)}, random_(seed) {}

  void step() {
    const std::string a = path(), b = path();
    const unsigned what = random_() % 16;
    int expected = 0, actual = 0;
    switch (what) {
      case 0:
      case 1:
        expected = code(::mkdir(native_.at(a).c_str(), 0755));
        actual = code(world_.mkdir(a));
        break;
      case 2:
      case 3:
      case 4: {
        const std::string text(random_() % 9000, static_cast<char>('a' + random_() % 26));
        expected = native_.write(a, text, O_WRONLY | O_CREAT | O_TRUNC);
        actual = code(world_.write_file(a, text));
        break;
      }
      case 5:
        expected = native_.write(a, "more", O_WRONLY | O_APPEND);
        actual = code(world_.append_file(a, "more"));
        break;
      case 6:
        expected = native_.write(a, "new", O_WRONLY | O_CREAT | O_EXCL);
        actual = code(world_.write_file(a, "new", 0200));
        break;
      case 7:
      case 8:
        expected = code(::unlink(native_.at(a).c_str()));
        actual = code(world_.unlink(a));
        break;
      case 9:
        expected = code(::rmdir(native_.at(a).c_str()));
        actual = code(world_.rmdir(a));
        break;
      case 10:
      case 11:
      case 12: {
        const unsigned flags = random_() % 4 == 0 ? 1 : random_() % 3 == 0 ? 2 : 0;
        expected = code(static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, native_.at(a).c_str(), AT_FDCWD, native_.at(b).c_str(), flags)));
        actual = code(world_.rename(a, b, flags));
        break;
      }
      case 13:
        expected = code(::link(native_.at(a).c_str(), native_.at(b).c_str()));
        actual = code(world_.link(a, b));
        break;
      case 14: {
        const std::string target = names_[random_() % names_.size()];
        expected = code(::symlink(target.c_str(), native_.at(a).c_str()));
        actual = code(world_.symlink(target, a));
        break;
      }
      default: {
        const unsigned mode = 0700 | (random_() & 077);
        struct stat attributes {};
        expected = code(::stat(native_.at(a).c_str(), &attributes));
        actual = code(world_.stat_error(a));
        if (expected == 0 && actual == 0) {
          EXPECT_EQ(::chmod(native_.at(a).c_str(), mode), 0);
          EXPECT_TRUE(world_.find(a).release()->existing_inode().change_attributes({.mode = mode}).ok());
        }
        break;
      }
    }
    ASSERT_EQ(expected, actual) << "operation " << what << " " << a << " " << b;
  }

  void compare() {
    std::map<std::string, std::string> tree;
    kernel_tree(world_, "/", tree);
    const std::map<std::string, std::string> expected = native_tree(native_.root);
    for (const auto& [name, content] : expected) {
      ASSERT_TRUE(tree.contains(name)) << name;
      ASSERT_EQ(tree[name], content) << name;
    }
    ASSERT_EQ(tree.size(), expected.size());
  }

 private:
  std::string path() {
    std::string result;
    const unsigned depth = 1 + random_() % 3;
    for (unsigned i = 0; i < depth; ++i) result += "/" + names_[random_() % names_.size()];
    return result;
  }

  Native native_;
  World world_;
  std::mt19937 random_;
  std::vector<std::string> names_{"a", "b", "c", "d", "a-name-that-is-longer-than-the-forty-bytes-that-fit"};
};

// A small tree to start from.
void make_lower(const fs::path& root) {
  fs::create_directories(root / "a" / "b" / "c");
  fs::create_directories(root / "b" / "a");
  fs::create_directories(root / "d");
  built_image::write_text(root / "a" / "a", std::string(10000, 'A'));
  built_image::write_text(root / "a" / "c", "small");
  built_image::write_text(root / "b" / "a" / "d", "deep");
  built_image::write_text(root / "c", "top");
  fs::create_hard_link(root / "a" / "a", root / "d" / "a");
  fs::create_hard_link(root / "a" / "a", root / "d" / "b");
  fs::create_symlink("c", root / "d" / "c");
}

void run_twins(const fs::path& root, unsigned seed, int steps) {
  umask(022);
  Twins twins(root, seed);
  for (int i = 0; i < steps; ++i) {
    twins.step();
    if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << " step " << i;
    if (i % 50 == 49) twins.compare();
    if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << " after step " << i;
  }
  twins.compare();
}

fs::path fresh_folder() {
  const fs::path folder = fs::temp_directory_path() / ("kernel-vfs-twin-" + std::to_string(getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

// Each test case is a process of its own: there is one mount tree per process.
void in_child(void (*body)(unsigned), unsigned seed) {
  std::fflush(nullptr);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    body(seed);
    std::fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "seed " << seed << ": see the child's output above";
}

void ram_body(unsigned seed) {
  const fs::path folder = fresh_folder();
  model::start_tree(kernel::RamSuperblock::create(64 << 20, 0755).release());
  run_twins(folder, seed, 1500);
  fs::remove_all(folder);
}

void union_body(unsigned seed) {
  const built_image::Built built = built_image::build("", make_lower);
  model::set_image(built.bytes);
  const Ref<kernel::Superblock> lower = kernel::ImageSuperblock::create(built.params, built.bytes.size(), 64).release();
  const Ref<kernel::Superblock> upper = kernel::RamSuperblock::create(64 << 20, 0755).release();
  model::start_tree(kernel::UnionSuperblock::create(lower, upper).release());
  const fs::path folder = fresh_folder();
  make_lower(folder);
  run_twins(folder, seed, 1500);
  fs::remove_all(folder);
}

class Seeds : public testing::TestWithParam<unsigned> {};
TEST_P(Seeds, RamDoesWhatTheMachineDoes) { in_child(ram_body, GetParam()); }
TEST_P(Seeds, UnionDoesWhatTheMachineDoes) { in_child(union_body, GetParam()); }
INSTANTIATE_TEST_SUITE_P(All, Seeds, testing::Range(1U, 9U));

}  // namespace
