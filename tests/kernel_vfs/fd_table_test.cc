// Descriptor tables, handles and file locks.
#include "kernel/vfs/fd_table.h"

#include <gtest/gtest.h>

#include "kernel/fs/ram/ram_fs.h"
#include "kernel/vfs/file_lock.h"
#include "kernel/vfs/regular_file.h"
#include "tests/kernel_vfs/model.h"

namespace {

using namespace kernel;
constexpr std::uint64_t kLimit = 1024;

// Counts its ends.
class CountedFile final : public OpenFile {
 public:
  explicit CountedFile(int& closed, std::uint32_t flags = 2) : OpenFile(flags), closed_(closed) {}
  void on_last_close() override { ++closed_; }

 private:
  int& closed_;
};

class Descriptors : public testing::Test {
 protected:
  Ref<FdTable> table = make_ref<FdTable>().release();
  int closed = 0;
  FileHandle file(std::uint32_t flags = 2) { return FileHandle(Ref<OpenFile>(make_ref<CountedFile>(closed, flags).release())); }
  int add(std::uint32_t lowest = 0, bool close_on_exec = false) {
    Result<Fd> fd = table->add(file(), close_on_exec, kLimit, lowest);
    return fd.ok() ? static_cast<int>(std::move(fd).release()) : -static_cast<int>(fd.error());
  }
};

TEST_F(Descriptors, LowestFreeNumber) {
  EXPECT_EQ(add(), 0);
  EXPECT_EQ(add(), 1);
  EXPECT_EQ(add(10), 10);
  EXPECT_EQ(add(), 2);
  EXPECT_EQ(add(10), 11);
  EXPECT_TRUE(table->take(Fd{1}).ok());
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(add(), 1);
  EXPECT_EQ(add(), 3);
  EXPECT_EQ(model::error_of(table->get(Fd{4})), Errno::badf);
  EXPECT_EQ(model::error_of(table->get(Fd{-1})), Errno::badf);
  EXPECT_EQ(model::error_of(table->take(Fd{100000})), Errno::badf);
}

TEST_F(Descriptors, Limits) {
  for (std::uint64_t i = 0; i < kLimit; ++i) ASSERT_EQ(add(), static_cast<int>(i));
  EXPECT_EQ(add(), -static_cast<int>(Errno::mfile));
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(model::error_of(table->put_at(Fd{1024}, file(), false, kLimit)), Errno::badf);
  EXPECT_EQ(model::error_of(table->put_at(Fd{-5}, file(), false, kLimit)), Errno::badf);
}

TEST_F(Descriptors, HandlesCloseOnce) {
  FileHandle first = file();
  {
    const FileHandle second = first;
    EXPECT_TRUE(table->put_at(Fd{5}, second, false, kLimit).ok());
  }
  first = FileHandle();
  EXPECT_EQ(closed, 0);
  const RefPtr<OpenFile> in_use = table->get(Fd{5}).release();
  EXPECT_TRUE(table->put_at(Fd{5}, file(), false, kLimit).ok());
  EXPECT_EQ(closed, 1);
  EXPECT_TRUE(in_use->is_closed());
}

TEST_F(Descriptors, ReservedNumbersAreNotThere) {
  const Fd fd = table->reserve(kLimit).release();
  EXPECT_EQ(model::error_of(table->get(fd)), Errno::badf);
  EXPECT_EQ(model::error_of(table->put_at(fd, file(), false, kLimit)), Errno::busy);
  EXPECT_EQ(add(), 1);
  table->release(fd);
  EXPECT_EQ(add(), 0);
}

TEST_F(Descriptors, ForkAndExec) {
  EXPECT_EQ(add(), 0);
  EXPECT_EQ(add(0, true), 1);
  EXPECT_EQ(add(40, true), 40);
  Ref<ProcessResource> copy = table->clone().release();
  table->on_exec();
  EXPECT_TRUE(table->get(Fd{0}).ok());
  EXPECT_EQ(model::error_of(table->get(Fd{1})), Errno::badf);
  EXPECT_EQ(closed, 0);
  EXPECT_EQ(add(), 1);
  copy->on_exec();
  EXPECT_EQ(closed, 2);
  EXPECT_EQ(table->next_used(0).release(), Fd{0});
  EXPECT_EQ(table->next_used(2).ok(), false);
}

TEST_F(Descriptors, PathOnlyFiles) {
  EXPECT_TRUE(table->put_at(Fd{3}, file(010000000), false, kLimit).ok());
  EXPECT_EQ(model::error_of(table->get(Fd{3})), Errno::badf);
  EXPECT_TRUE(table->get_any(Fd{3}).ok());
}

class Watcher final : public CloseObserver {
 public:
  explicit Watcher(int& told) : told_(told) {}
  void on_file_closed(OpenFile&) override { ++told_; }

 private:
  int& told_;
};

TEST_F(Descriptors, ObserversAreToldOnce) {
  int told = 0;
  FileHandle handle = file();
  const RefPtr<OpenFile> open = handle.file();
  const Ref<Watcher> stays = make_ref<Watcher>(told).release();
  const Ref<Watcher> leaves = make_ref<Watcher>(told).release();
  EXPECT_TRUE(open->add_close_observer(*stays));
  EXPECT_TRUE(open->add_close_observer(*leaves));
  open->remove_close_observer(*leaves);
  handle = FileHandle();
  EXPECT_EQ(told, 1);
  EXPECT_FALSE(open->add_close_observer(*leaves));
}

TEST(Locks, RangesSplitAndJoin) {
  FileLocks locks;
  const LockOwner a{.id = 1, .pid = 10}, b{.id = 2, .pid = 20};
  EXPECT_TRUE(locks.lock(a, {0, 100}, true, false).ok());
  EXPECT_EQ(model::error_of(locks.lock(b, {50, 60}, false, false)), Errno::again);
  EXPECT_TRUE(locks.unlock(a, {40, 60}).ok());
  EXPECT_TRUE(locks.lock(b, {45, 55}, true, false).ok());
  EXPECT_FALSE(locks.test(a, {40, 45}, true).has_value());
  const std::optional<HeldLock> other = locks.test(a, {0, ~0ULL}, false);
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(other->owner.pid, 20);
  EXPECT_EQ(other->range.begin, 45U);
  EXPECT_EQ(other->range.end, 55U);
  EXPECT_TRUE(locks.lock(a, {0, 40}, false, false).ok());  // exclusive to shared
  EXPECT_TRUE(locks.lock(b, {10, 20}, false, false).ok());
  EXPECT_EQ(model::error_of(locks.lock(b, {10, 20}, true, false)), Errno::again);
  locks.release_owner(1);
  EXPECT_TRUE(locks.lock(b, {0, ~0ULL}, true, false).ok());
  EXPECT_TRUE(locks.test(a, {1000, 1001}, false).has_value());
}

TEST(Locks, Flock) {
  FileLocks locks;
  int closed = 0;
  const Ref<CountedFile> a = make_ref<CountedFile>(closed).release();
  const Ref<CountedFile> b = make_ref<CountedFile>(closed).release();
  EXPECT_TRUE(locks.flock(*a, false, false).ok());
  EXPECT_TRUE(locks.flock(*b, false, false).ok());
  EXPECT_EQ(model::error_of(locks.flock(*a, true, false)), Errno::again);
  // A failed change loses the old lock (flock(2)).
  EXPECT_TRUE(locks.flock(*b, true, false).ok());
  EXPECT_EQ(model::error_of(locks.flock(*a, false, false)), Errno::again);
  locks.release_file(*b);
  EXPECT_TRUE(locks.flock(*a, true, false).ok());
}

}  // namespace
