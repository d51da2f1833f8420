// Mounting and unmounting against everything that wants the directory away, and against those who still use the file system.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "kernel/fs/ram/ram_fs.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"
#include "tests/kernel_threads/host_thread.h"
#include "tests/kernel_vfs/model.h"

namespace {

using kernel::Dentry;
using kernel::Errno;
using kernel::Ref;
using kernel_threads_test::on_threads;
using model::World;
constexpr Errno kOk{};

class Mounts : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    static bool started = false;
    if (!started) model::start_tree(kernel::RamSuperblock::create(64 << 20, 0755).release());
    started = true;
  }
  Errno mount(const std::string& path) const {
    kernel::Result<Ref<Dentry>> found = world.find(path);
    if (!found.ok()) return found.error();
    const Ref<Dentry> directory = std::move(found).release();
    const Ref<kernel::RamSuperblock> ram = kernel::RamSuperblock::create(1 << 20).release();
    const Errno error = model::error_of(kernel::mount_at(*directory, ram, 0, "test"));
    if (error != kOk) ram->on_unmounted();
    return error;
  }
  Errno unmount(const std::string& path, bool detach) const {
    kernel::Result<Ref<Dentry>> found = world.find(path);
    if (!found.ok()) return found.error();
    const Ref<Dentry> root = std::move(found).release();
    if (!kernel::is_mount_root(*root)) return Errno::inval;
    return model::error_of(kernel::unmount(*root, detach));
  }
  // Somebody else may be looking the name up at the moment, to unmount it too: not in step with him.
  Errno unmount_patiently(const std::string& path, std::minstd_rand& random) const {
    Errno error = Errno::busy;
    for (unsigned i = 0; i < 2000 && error == Errno::busy; ++i) {
      error = unmount(path, false);
      if (error == Errno::busy) std::this_thread::sleep_for(std::chrono::microseconds(random() % (100 + 10 * i)));
    }
    return error;
  }
  World world;
};

// What was mounted can be found and unmounted by its name: the directory under it does not go, by rmdir or by rename.
TEST_F(Mounts, NoneIsLostOnARemovedDirectory) {
  ASSERT_EQ(world.mkdir("/m"), kOk);
  std::atomic<bool> over = false;
  int mounted = 0;
  on_threads([&](int me, std::minstd_rand& random) {
    if (me == 0) {
      for (int i = 0; i < 1000000 && mounted < 100; ++i) {
        if (mount("/m/d") != kOk) {
          std::this_thread::yield();
          continue;
        }
        ++mounted;
        EXPECT_EQ(unmount_patiently("/m/d", random), kOk);
      }
      over = true;
    }
    while (!over) {
      if (me == 1) static_cast<void>(world.mkdir("/m/d"));
      if (me == 2) static_cast<void>(world.rmdir("/m/d"));
      if (me == 3) {
        static_cast<void>(world.mkdir("/m/e"));
        static_cast<void>(world.rename("/m/e", "/m/d"));
      }
    }
  });
  EXPECT_EQ(mounted, 100);
  static_cast<void>(world.rmdir("/m/d"));
  static_cast<void>(world.rmdir("/m/e"));
  EXPECT_EQ(world.rmdir("/m"), kOk);
}

// Mounts by several at one place lie on top of each other; each takes one away again.
TEST_F(Mounts, SeveralAtOnePlace) {
  ASSERT_EQ(world.mkdir("/s"), kOk);
  const std::size_t before = kernel::list_mounts().release().size();
  on_threads([&](int, std::minstd_rand& random) {
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(mount("/s"), kOk);
      EXPECT_EQ(unmount_patiently("/s", random), kOk);
    }
  });
  EXPECT_EQ(kernel::list_mounts().release().size(), before);
  EXPECT_EQ(world.rmdir("/s"), kOk);
}

// A file system that is taken away while it is in use goes with its last user, whoever that is.
TEST_F(Mounts, DetachedInUse) {
  ASSERT_EQ(world.mkdir("/u"), kOk);
  std::atomic<int> detached{0};
  on_threads([&](int me, std::minstd_rand& random) {
    const World mine;
    for (int i = 0; i < 800; ++i) {
      if (me == 0) {
        if (mount("/u") != kOk) continue;
        static_cast<void>(mine.mkdir("/u/a"));
        static_cast<void>(mine.write_file("/u/a/f", "text"));
        EXPECT_EQ(unmount("/u", true), kOk);
        ++detached;
        continue;
      }
      kernel::Result<Ref<Dentry>> found = mine.find("/u");
      if (!found.ok()) continue;
      mine.fs->set_working_directory(std::move(found).release());  // of whatever is mounted there, and the last one goes
      for (int j = 0; j < 4; ++j) {
        const std::string name(1, static_cast<char>('a' + random() % 3)), other(1, static_cast<char>('a' + random() % 3));
        switch (random() % 6) {
          case 0: static_cast<void>(mine.mkdir(name)); break;
          case 1: static_cast<void>(mine.write_file(name + "/f", "more")); break;
          case 2: static_cast<void>(mine.rename(name, other + "/" + name)); break;
          case 3: static_cast<void>(mine.unlink(name + "/f")); break;
          case 4: static_cast<void>(mine.list(".")); break;
          default: static_cast<void>(mine.rmdir(name)); break;
        }
      }
    }
    mine.fs->set_working_directory(mine.fs->root());
  });
  EXPECT_GT(detached, 0);
}

}  // namespace
