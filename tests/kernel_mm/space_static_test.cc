// AddressSpace without EDMM: everything is there from the start, nothing may rely on a fault.
#include "kernel/mm/user_memory.h"
#include "tests/kernel_mm/space_helpers.h"

namespace {
using namespace kernel_mm_test;

constexpr std::uint64_t kCommitted = std::uint64_t{64} << 20;

class StaticSpace : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    boot(false, kCommitted);
    // The host could have put anything there.
    std::memset(reinterpret_cast<void*>(kUserBegin), 0x77, kCommitted);
  }
  void TearDown() override {
    EXPECT_NO_VIOLATIONS();
    EXPECT_EQ(host_calls, 0U);
  }
};

TEST_F(StaticSpace, MemoryIsFilledAtOnce) {
  const Ref<AddressSpace> space = make_space();
  const Ref<TestFile> file = make_file(5 * kPage + 10, 9);
  const std::uint64_t at = map_anonymous(*space, 100 * kPage);
  for (std::uint64_t i = 0; i < 100 * kPage; i += 512) ASSERT_EQ(user_byte(at + i), 0);
  std::memset(reinterpret_cast<void*>(at), 3, 100 * kPage);
  const std::uint64_t mapped = map_file(*space, file, 7 * kPage, kR).value_or(0);
  EXPECT_EQ(std::memcmp(reinterpret_cast<void*>(mapped), file->bytes.data(), file->bytes.size()), 0);
  ASSERT_TRUE(space->advise(at, 10 * kPage, abi::kMadvDontNeed).ok());
  EXPECT_EQ(user_byte(at + 5 * kPage), 0);
  EXPECT_EQ(user_byte(at + 10 * kPage), 3);
  ASSERT_TRUE(space->unmap(at, 100 * kPage).ok());
  const std::uint64_t again = map_anonymous(*space, 100 * kPage);
  for (std::uint64_t i = 0; i < 100 * kPage; i += 512) ASSERT_EQ(user_byte(again + i), 0);
}

TEST_F(StaticSpace, ReservationsAreFilledWhenTheyBecomeAccessible) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 100 * kPage, kNone);
  ASSERT_TRUE(space->protect(at, 10 * kPage, kRW).ok());
  for (std::uint64_t i = 0; i < 10 * kPage; i += 512) ASSERT_EQ(user_byte(at + i), 0);
  EXPECT_FALSE(space->check(at + 10 * kPage, 1, Access::read).ok());
}

TEST_F(StaticSpace, BreakStackAndRemap) {
  const Ref<AddressSpace> space = make_space();
  ASSERT_TRUE(space->start_break().ok());
  const std::uint64_t start = space->current_break();
  ASSERT_EQ(space->set_break(start + 20 * kPage), start + 20 * kPage);
  for (std::uint64_t i = 0; i < 20 * kPage; i += 512) ASSERT_EQ(user_byte(start + i), 0);
  const std::uint64_t top = space->map_stack(64 * kPage, nullptr).value_or(0);
  for (std::uint64_t i = 0; i < 64 * kPage; i += 512) ASSERT_EQ(user_byte(top - i - 1), 0);
  const std::uint64_t at = map_anonymous(*space, 4 * kPage);
  user_byte(at + kPage) = 8;
  const std::uint64_t moved = space->remap(at, 4 * kPage, 40 * kPage, abi::kMremapMayMove, 0).value_or(0);
  ASSERT_NE(moved, 0U);
  EXPECT_EQ(user_byte(moved + kPage), 8);
  for (std::uint64_t i = 4 * kPage; i < 40 * kPage; i += 512) ASSERT_EQ(user_byte(moved + i), 0);
}

TEST_F(StaticSpace, EndsWithENOMEM) {
  const Ref<AddressSpace> space = make_space();
  EXPECT_EQ(map_anonymous(*space, 2 * kCommitted), 0U);
  std::uint64_t total = 0;
  while (map_anonymous(*space, 1 << 20) != 0) total += 1 << 20;
  EXPECT_GT(total, kCommitted / 2);
  EXPECT_LE(total, kCommitted);
}

}  // namespace
