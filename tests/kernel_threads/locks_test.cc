// Locks of files that are waited for while their descriptor is closed: whatever comes first, none is left behind.
#include <gtest/gtest.h>

#include <barrier>

#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/file_lock.h"
#include "tests/kernel_threads/host_thread.h"

namespace {

using namespace kernel;
using kernel_threads_test::kThreads;
using kernel_threads_test::on_threads;

class LockedFile final : public OpenFile {
 public:
  LockedFile() : OpenFile(2) {}
};

constexpr LockRange kByte{.begin = 0, .end = 1};

// What close(2) does.
void close_descriptor(FdTable& table, Fd fd) {
  Result<FileHandle> taken = table.take(fd);
  if (!taken.ok()) return;
  const FileHandle handle = std::move(taken).release();
  release_descriptor(table, *handle.file());
}

// Half of the threads lock through a descriptor that the others close; a stranger holds the byte on and off, so that they have to wait.
TEST(Locks, OfAClosedDescriptor) {
  const Ref<FdTable> table = make_ref<FdTable>().release();
  const Ref<OpenFile> file(make_ref<LockedFile>().release());
  const Ref<FileLocks> locks = file->file_locks().release();
  const FileHandle kept(file);  // the file itself stays open
  const LockOwner stranger{.id = 1, .pid = 1};
  const LockOwner mine{.id = owner_id(table.get()), .pid = 2};
  std::barrier step(kThreads);
  on_threads([&](int me, std::minstd_rand&) {
    for (int i = 0; i < 400; ++i) {
      if (me == 0) {
        ASSERT_TRUE(table->put_at(Fd{3}, FileHandle(file), false, 64).ok());
        ASSERT_TRUE(locks->lock(stranger, kByte, true, false).ok());
      }
      step.arrive_and_wait();
      if (me == 0) close_descriptor(*table, Fd{3});
      if (me == 1) EXPECT_TRUE(locks->unlock(stranger, kByte).ok());
      if (me >= 2 && locks->lock(mine, kByte, true, true).ok()) static_cast<void>(confirm_record_lock(*table, Fd{3}, *file, *locks).ok());
      step.arrive_and_wait();
      if (me == 0) EXPECT_FALSE(locks->test(stranger, kByte, true));
      step.arrive_and_wait();
    }
  });
}

// The same for locks of open files: each waits for flock of a file that another thread closes for good.
TEST(Locks, OfAClosedFile) {
  std::barrier step(kThreads);
  FileHandle handle, holder;
  RefPtr<OpenFile> file;
  RefPtr<FileLocks> locks;
  on_threads([&](int me, std::minstd_rand&) {
    for (int i = 0; i < 400; ++i) {
      if (me == 0) {
        handle = FileHandle(Ref<OpenFile>(make_ref<LockedFile>().release()));
        holder = FileHandle(Ref<OpenFile>(make_ref<LockedFile>().release()));
        file = handle.file();
        locks = file->file_locks().release();
        ASSERT_TRUE(locks->flock(*holder.file(), true, false).ok());
      }
      step.arrive_and_wait();
      if (me == 0) handle = FileHandle();
      if (me == 1) locks->flock_release(*holder.file());
      if (me >= 2) {
        EXPECT_TRUE(locks->flock(*file, true, true).ok());
        if (file->is_closed()) locks->release_file(*file);
      }
      step.arrive_and_wait();
      if (me == 0) {
        EXPECT_TRUE(locks->flock(*holder.file(), true, false).ok());
        holder = FileHandle();
      }
      step.arrive_and_wait();
    }
  });
}

}  // namespace
