// Names and files of one RAM file system, changed by several threads at a time.
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "kernel/fs/ram/ram_fs.h"
#include "kernel/vfs/dentry_cache.h"
#include "tests/kernel_threads/host_thread.h"
#include "tests/kernel_vfs/model.h"

namespace {

using kernel::Errno;
using kernel_threads_test::kThreads;
using kernel_threads_test::on_threads;
using model::World;

class SharedTree : public testing::Test {
 protected:
  static void SetUpTestSuite() { model::start_tree(kernel::RamSuperblock::create(64 << 20, 0755).release()); }
  World world;
};

std::string some_path(std::minstd_rand& random) {
  std::string path = "/t";
  for (unsigned depth = 1 + random() % 3; depth > 0; --depth) path += "/" + std::string(1, static_cast<char>('a' + random() % 4));
  return path;
}

void remove_all(const World& world, const std::string& path) {
  for (const std::string& name : world.list(path)) {
    ASSERT_NE(name[0], '?') << path;
    const std::string inner = path + "/" + name;
    if (world.unlink(inner) == Errno{}) continue;
    remove_all(world, inner);
    EXPECT_EQ(world.rmdir(inner), Errno{}) << inner;
  }
}

// Every operation ends as it may, and in the end the tree is whole: what is listed can be found, and all of it removed.
TEST_F(SharedTree, RandomOperations) {
  ASSERT_EQ(world.mkdir("/t"), Errno{});
  on_threads([&](int, std::minstd_rand& random) {
    for (int i = 0; i < 1500; ++i) {
      const std::string path = some_path(random), other = some_path(random);
      switch (random() % 9) {
        case 0:
        case 1: static_cast<void>(world.mkdir(path)); break;
        case 2: static_cast<void>(world.write_file(path, "text of " + path)); break;
        case 3: static_cast<void>(world.unlink(path)); break;
        case 4: static_cast<void>(world.rmdir(path)); break;
        case 5: static_cast<void>(world.rename(path, other, random() % 4 == 0 ? 2U : 0U)); break;
        case 6: static_cast<void>(world.link(path, other)); break;
        case 7: static_cast<void>(world.list(path)); break;
        default: static_cast<void>(world.stat_error(path)); break;
      }
    }
  });
  remove_all(world, "/t");
  EXPECT_TRUE(world.list("/t").empty());
  EXPECT_EQ(world.rmdir("/t"), Errno{});
}

// A rename onto a directory above its source is refused, and waits for nobody who removes what lies between (rmdir holds the upper one).
TEST_F(SharedTree, RenameOntoAnAncestorAgainstRmdir) {
  ASSERT_EQ(world.mkdir("/up"), Errno{});
  ASSERT_EQ(world.mkdir("/up/down"), Errno{});
  ASSERT_EQ(world.write_file("/up/down/file", ""), Errno{});
  on_threads([&](int me, std::minstd_rand&) {
    for (int i = 0; i < 3000; ++i) {
      switch (me) {
        case 0: EXPECT_EQ(world.rename("/up/down/file", "/up", 2), Errno::inval); break;
        case 1: EXPECT_EQ(world.rename("/up/down/file", "/up"), Errno::notempty); break;
        default: EXPECT_EQ(world.rmdir("/up/down"), Errno::notempty); break;
      }
    }
  });
  remove_all(world, "/up");
  EXPECT_EQ(world.rmdir("/up"), Errno{});
}

// O_APPEND: records of all writers, whole and each once.
TEST_F(SharedTree, AppendedRecordsStayWhole) {
  constexpr int kRecords = 300, kSize = 40;
  ASSERT_EQ(world.write_file("/log", ""), Errno{});
  on_threads([&](int me, std::minstd_rand&) {
    for (int i = 0; i < kRecords; ++i) {
      std::string record = "<" + std::to_string(me) + ":" + std::to_string(i);
      record.resize(kSize - 1, '.');
      EXPECT_EQ(world.append_file("/log", record + ">"), Errno{});
    }
  });
  const std::string text = world.read_file("/log");
  ASSERT_EQ(text.size(), std::size_t{kThreads} * kRecords * kSize);
  std::vector<int> next(kThreads);
  for (std::size_t at = 0; at < text.size(); at += kSize) {
    ASSERT_EQ(text[at], '<');
    ASSERT_EQ(text[at + kSize - 1], '>');
    const auto writer = static_cast<std::size_t>(text[at + 1] - '0');
    EXPECT_EQ(std::stoi(text.substr(at + 3)), next[writer]++);
  }
  EXPECT_EQ(world.unlink("/log"), Errno{});
}

// Writers of one range: the whole text of one of them stands there afterwards, never parts of two.
TEST_F(SharedTree, WritesOfOneRangeDoNotMix) {
  constexpr std::size_t kSize = 10000;  // three pages
  ASSERT_EQ(world.write_file("/range", std::string(kSize, 'z')), Errno{});
  for (int round = 0; round < 20; ++round) {
    on_threads([&](int me, std::minstd_rand&) {
      for (int i = 0; i < 10; ++i) EXPECT_EQ(world.write_file("/range", std::string(kSize, static_cast<char>('a' + me))), Errno{});
    });
    const std::string text = world.read_file("/range");
    EXPECT_EQ(text, std::string(kSize, text[0]));
  }
  EXPECT_EQ(world.unlink("/range"), Errno{});
}

// One name goes back and forth between two directories: whoever looks finds it in at most one place at a time, and never something else.
TEST_F(SharedTree, ARenamedFileIsInOnePlace) {
  ASSERT_EQ(world.mkdir("/left"), Errno{});
  ASSERT_EQ(world.mkdir("/right"), Errno{});
  ASSERT_EQ(world.write_file("/left/it", "content"), Errno{});
  std::atomic<bool> over = false;
  on_threads([&](int me, std::minstd_rand&) {
    if (me == 0) {
      for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ(world.rename("/left/it", "/right/it"), Errno{});
        EXPECT_EQ(world.rename("/right/it", "/left/it"), Errno{});
      }
      over = true;
    }
    while (!over) {
      for (const char* path : {"/left/it", "/right/it"}) {
        const std::string text = world.read_file(path);
        EXPECT_TRUE(text == "content" || text == "?" + std::to_string(static_cast<int>(Errno::noent))) << text;
      }
    }
  });
  EXPECT_EQ(world.read_file("/left/it"), "content");
}

}  // namespace
