// One descriptor table, used by several threads at a time.
#include <gtest/gtest.h>

#include <atomic>

#include "kernel/vfs/fd_table.h"
#include "tests/kernel_threads/host_thread.h"

namespace {

using namespace kernel;
using kernel_threads_test::on_threads;
constexpr std::uint64_t kLimit = 64;

std::atomic<int> opened{0}, closed{0};

class CountedFile final : public OpenFile {
 public:
  CountedFile() : OpenFile(2) { ++opened; }
  void on_last_close() override { ++closed; }
};

FileHandle file() { return FileHandle(Ref<OpenFile>(make_ref<CountedFile>().release())); }

// Whatever the order of adding, replacing, looking up, taking and cloning: each file is closed once, by the last who had it.
TEST(SharedTable, EachFileIsClosedOnce) {
  {
    Ref<FdTable> table = make_ref<FdTable>().release();
    on_threads([&](int, std::minstd_rand& random) {
      for (int i = 0; i < 4000; ++i) {
        const Fd fd{static_cast<int>(random() % 12)};
        switch (random() % 6) {
          case 0:
          case 1: static_cast<void>(table->add(file(), random() % 2 == 0, kLimit, random() % 8)); break;
          case 2: static_cast<void>(table->put_at(fd, file(), false, kLimit)); break;
          case 3: static_cast<void>(table->take(fd)); break;
          case 4:
            if (Result<RefPtr<OpenFile>> got = table->get(fd); got.ok()) {
              const RefPtr<OpenFile> held = std::move(got).release();
              EXPECT_EQ(held->flags() & 2, 2U);
            }
            break;
          default:
            if (random() % 16 == 0) {
              Ref<ProcessResource> copy = table->clone().release();
              copy->on_exec();
            }
            break;
        }
      }
    });
    table->on_exec();
    for (int i = 0; i < static_cast<int>(kLimit); ++i) static_cast<void>(table->take(Fd{i}));
  }
  EXPECT_GT(opened, 1000);
  EXPECT_EQ(opened, closed);
}

}  // namespace
