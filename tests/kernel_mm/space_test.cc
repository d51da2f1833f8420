// AddressSpace with EDMM, over the model of the EPCM.
#include <map>
#include <random>
#include <thread>

#include "kernel/mm/image_cache.h"
#include "kernel/mm/user_memory.h"
#include "tests/kernel_mm/space_helpers.h"

namespace {
using namespace kernel_mm_test;
using kernel::FaultReason;

constexpr std::uint64_t kLimit = std::uint64_t{256} << 20;

class Space : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    static const bool once = [] {
      boot(true, kLimit);
      return true;
    }();
    EXPECT_TRUE(once);
  }
  void TearDown() override {
    EXPECT_NO_VIOLATIONS();
    kernel::mm::reclaim_cached_pages(~std::uint64_t{0});
    EXPECT_EQ(pages_in_enclave(), kernel::mm::page_map().committed());
    EXPECT_EQ(pages_in_enclave(), 0U);
    EXPECT_NO_VIOLATIONS();
  }
};

TEST_F(Space, AnonymousMemoryIsZeroAndPrivate) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 100 * kPage);
  ASSERT_NE(at, 0U);
  EXPECT_EQ(load(*space, at + 5 * kPage), 0);
  EXPECT_EQ(store(*space, at + 7, 42), 0);
  EXPECT_EQ(load(*space, at + 7), 42);
  EXPECT_EQ(load(*space, at - 1), -EFAULT);
  EXPECT_EQ(space->fault_reason(at - 1, Access::read), FaultReason::unmapped);
  EXPECT_TRUE(space->check(at, 100 * kPage, Access::write).ok());
  EXPECT_FALSE(space->check(at, 100 * kPage + 1, Access::read).ok());
  EXPECT_FALSE(space->check(at, 10, Access::execute).ok());
  EXPECT_FALSE(space->check(~std::uint64_t{0} - 3, 10, Access::read).ok());
  EXPECT_TRUE(space->unmap(at, 100 * kPage).ok());
  EXPECT_FALSE(space->check(at, 1, Access::read).ok());
  const std::uint64_t small = map_anonymous(*space, 10 * kPage);
  EXPECT_EQ(store(*space, small + kPage, 1), 0);
  EXPECT_TRUE(space->unmap(small + kPage, kPage).ok());
  EXPECT_EQ(load(*space, small + kPage), -EFAULT);
}

TEST_F(Space, MappingAgainIsCheapAndZero) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t first = map_anonymous(*space, 256 * kPage);
  for (std::uint64_t i = 0; i < 256; ++i) ASSERT_EQ(store(*space, first + i * kPage, 9), 0);
  ASSERT_TRUE(space->unmap(first, 256 * kPage).ok());
  const std::uint64_t calls = host_calls;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t at = map_anonymous(*space, 256 * kPage);
    for (std::uint64_t i = 0; i < 256; ++i) {
      ASSERT_EQ(user_byte(at + i * kPage), 0);
      ASSERT_EQ(store(*space, at + i * kPage, 9), 0);
    }
    ASSERT_TRUE(space->unmap(at, 256 * kPage).ok());
  }
  EXPECT_EQ(host_calls, calls);
}

TEST_F(Space, ProtectionsReachTheEpcm) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 16 * kPage);
  for (int i = 0; i < 16; ++i) ASSERT_EQ(store(*space, at + static_cast<std::uint64_t>(i) * kPage, 7), 0);
  ASSERT_TRUE(space->protect(at + 4 * kPage, 4 * kPage, kR).ok());
  EXPECT_EQ(epcm(at + 4 * kPage), 1);
  EXPECT_EQ(epcm(at + 8 * kPage), 3);
  EXPECT_EQ(store(*space, at + 5 * kPage, 1), -EFAULT);
  EXPECT_EQ(space->fault_reason(at + 5 * kPage, Access::write), FaultReason::protection);
  EXPECT_EQ(load(*space, at + 5 * kPage), 7);
  ASSERT_TRUE(space->protect(at + 4 * kPage, kPage, kNone).ok());
  EXPECT_EQ(epcm(at + 4 * kPage), 0);
  EXPECT_EQ(load(*space, at + 4 * kPage), -EFAULT);
  ASSERT_TRUE(space->protect(at, 16 * kPage, kRW).ok());
  EXPECT_EQ(load(*space, at + 4 * kPage), 7);
  EXPECT_EQ(store(*space, at + 4 * kPage, 8), 0);
  ASSERT_TRUE(space->protect(at, kPage, kRX).ok());
  EXPECT_EQ(epcm(at), 5);
  EXPECT_EQ(user_access(*space, at, Access::execute), Errno{});
  EXPECT_EQ(space->protect(at + 12 * kPage, 8 * kPage, kR).error(), Errno::nomem);
  EXPECT_EQ(epcm(at + 15 * kPage), 1);  // what is mapped has been done
  EXPECT_EQ(space->protect(at + 1, kPage, kR).error(), Errno::inval);
  auto list = space->areas();
  ASSERT_TRUE(list.ok());
}

TEST_F(Space, ReservationsCostNoPages) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t before = pages_in_enclave();
  const std::uint64_t at = map_anonymous(*space, std::uint64_t{1} << 30, kNone);
  ASSERT_NE(at, 0U);
  EXPECT_EQ(pages_in_enclave(), before);
  ASSERT_TRUE(space->protect(at + (512 << 20), 16 * kPage, kRW).ok());
  EXPECT_EQ(store(*space, at + (512 << 20), 1), 0);
  EXPECT_LE(pages_in_enclave() - before, 16U);
}

TEST_F(Space, MemoryEndsInENOMEMAndComesBack) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, kLimit + (16 << 20));
  ASSERT_NE(at, 0U);
  int error = 0;
  std::uint64_t touched = 0;
  for (; error == 0; ++touched) error = store(*space, at + touched * kPage, 1);
  EXPECT_EQ(error, -ENOMEM);
  EXPECT_EQ(touched - 1, kLimit / kPage);
  ASSERT_TRUE(space->advise(at, 64 << 20, abi::kMadvDontNeed).ok());
  EXPECT_EQ(store(*space, at, 1), 0);
}

TEST_F(Space, HostRefusalIsAnErrorNotACrash) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 64 * kPage);
  host_calls_until_failure = 0;
  EXPECT_EQ(store(*space, at, 1), 0);  // the chunk is refused, the page itself is had
  host_calls_until_failure = -1;
  for (int i = 0; i < 64; ++i) EXPECT_EQ(store(*space, at + static_cast<std::uint64_t>(i) * kPage, 1), 0);
  host_calls_until_failure = 0;
  EXPECT_FALSE(space->protect(at, 64 * kPage, kR).ok());
  host_calls_until_failure = -1;
  EXPECT_TRUE(space->protect(at, 64 * kPage, kR).ok() || true);
}

TEST_F(Space, DiscardedMemoryIsZero) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 600 * kPage);
  for (std::uint64_t i = 0; i < 600; ++i) ASSERT_EQ(store(*space, at + i * kPage + 3, 5), 0);
  // What is wanted again and again is written over with zeros in place.
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(space->advise(at, 10 * kPage, abi::kMadvDontNeed).ok());
    if (round < 4) EXPECT_EQ(store(*space, at + 3, 5), 0);
  }
  ASSERT_TRUE(space->advise(at + 100 * kPage, 500 * kPage, abi::kMadvDontNeed).ok());  // given back
  EXPECT_EQ(epcm(at), 3);
  EXPECT_EQ(epcm(at + 200 * kPage), -1);
  EXPECT_EQ(load(*space, at + 3), 0);
  EXPECT_EQ(load(*space, at + 10 * kPage + 3), 5);
  EXPECT_EQ(load(*space, at + 300 * kPage + 3), 0);
  EXPECT_EQ(space->advise(at, 700 * kPage, abi::kMadvDontNeed).error(), Errno::nomem);
  EXPECT_EQ(load(*space, at + 10 * kPage + 3), 0);
  EXPECT_EQ(space->advise(at, kPage, 12345).error(), Errno::inval);
  EXPECT_EQ(space->advise(at + 1, kPage, abi::kMadvDontNeed).error(), Errno::inval);
}

TEST_F(Space, PrivateFileMappings) {
  const Ref<AddressSpace> space = make_space();
  const Ref<TestFile> file = make_file(10 * kPage + 100, 17);
  const std::uint64_t at = map_file(*space, file, 12 * kPage, kRW).value_or(0);
  ASSERT_NE(at, 0U);
  EXPECT_EQ(load(*space, at + 3 * kPage + 9), file->bytes[3 * kPage + 9]);
  EXPECT_EQ(load(*space, at + 10 * kPage + 99), file->bytes[10 * kPage + 99]);
  EXPECT_EQ(load(*space, at + 10 * kPage + 100), 0);
  EXPECT_EQ(load(*space, at + 11 * kPage), -ENXIO);
  EXPECT_EQ(store(*space, at + 2 * kPage, 1), 0);
  EXPECT_NE(file->bytes[2 * kPage], 1);
  EXPECT_EQ(file->writes, 0);
  file->fail_page = 8;
  const std::uint64_t other = map_file(*space, file, 11 * kPage, kR).value_or(0);
  EXPECT_EQ(load(*space, other + 8 * kPage), -EIO);
  EXPECT_EQ(load(*space, other + 7 * kPage), file->bytes[7 * kPage]);  // the neighbour is none the worse
  EXPECT_EQ(load(*space, other + 9 * kPage), file->bytes[9 * kPage]);
  EXPECT_EQ(epcm(other + 7 * kPage), 1);
  ASSERT_TRUE(space->advise(at, 10 * kPage, abi::kMadvDontNeed).ok());
  EXPECT_EQ(load(*space, at + 2 * kPage), file->bytes[2 * kPage]);
}

TEST_F(Space, SharedFileMappings) {
  const Ref<AddressSpace> one = make_space();
  const Ref<AddressSpace> two = make_space();
  const Ref<TestFile> file = make_file(6 * kPage, 40);
  const std::uint64_t a = map_file(*one, file, 4 * kPage, kRW, true).value_or(0);
  const std::uint64_t b = map_file(*two, file, 4 * kPage, kRW, true).value_or(0);
  ASSERT_NE(a, 0U);
  EXPECT_EQ(a, b);
  EXPECT_EQ(load(*one, a + kPage), file->bytes[kPage]);
  EXPECT_EQ(epcm(a + kPage), 1);  // write tracking
  EXPECT_EQ(store(*one, a + kPage, 201), 0);
  EXPECT_EQ(load(*two, b + kPage), 201);
  EXPECT_TRUE(file->has_shared_window());
  // read(2) sees what was stored, write(2) is seen by the mapping.
  std::array<std::byte, 2> bytes{std::byte{1}, std::byte{2}};
  kernel::read_through_window(*file, kPage, bytes);
  EXPECT_EQ(bytes[0], std::byte{201});
  const std::array<std::byte, 2> fresh{std::byte{77}, std::byte{78}};
  kernel::write_through_window(*file, 2 * kPage - 1, fresh);
  EXPECT_EQ(load(*two, b + 2 * kPage - 1), 77);
  EXPECT_TRUE(one->sync(a, 4 * kPage, abi::kMsSync).ok());
  EXPECT_EQ(file->bytes[kPage], 201);
  EXPECT_EQ(file->writes, 1);
  // A second mapping of the same part is at the same address, and each unmap takes one.
  EXPECT_EQ(map_file(*one, file, kPage, kR, true).value_or(0), a);
  EXPECT_TRUE(one->unmap(a, kPage).ok());
  EXPECT_EQ(load(*one, a), file->bytes[0]);
  EXPECT_EQ(map_file(*one, file, kPage, kR, true, 5 * kPage).value_or(0), a + 5 * kPage);
  EXPECT_EQ(store(*two, b + 3 * kPage, 99), 0);
  EXPECT_TRUE(one->unmap(a, 6 * kPage).ok());
  EXPECT_TRUE(two->unmap(b, 4 * kPage).ok());
  EXPECT_EQ(file->bytes[3 * kPage], 99);
  EXPECT_FALSE(file->has_shared_window());
}

TEST_F(Space, TruncationReachesSharedMappings) {
  const Ref<AddressSpace> space = make_space();
  const Ref<TestFile> file = make_file(6 * kPage, 40);
  const std::uint64_t at = map_file(*space, file, 6 * kPage, kRW, true).value_or(0);
  ASSERT_EQ(store(*space, at + 4 * kPage, 3), 0);
  ASSERT_EQ(store(*space, at + 2 * kPage + 200, 3), 0);
  file->bytes.resize(2 * kPage + 100);
  kernel::truncate_window(*file, file->bytes.size());
  EXPECT_EQ(load(*space, at + 4 * kPage), -ENXIO);
  EXPECT_EQ(load(*space, at + 2 * kPage + 200), 0);
}

// How the loader maps a program: the whole image, then its segments over it.
struct Program {
  Ref<TestFile> file;
  std::uint64_t base = 0;
};
void map_program(AddressSpace& space, Program& program) {
  MapRequest request;
  request.size = 12 * kPage;
  request.prot = kNone;
  request.file = Ref<FileBacking>(program.file);
  request.image = true;
  program.base = space.map(request).value_or(0);
  ASSERT_NE(program.base, 0U);
  const auto part = [&](std::uint64_t at, std::uint64_t pages, std::uint32_t prot, bool from_file, std::uint64_t offset) {
    MapRequest segment;
    segment.address = program.base + at * kPage;
    segment.size = pages * kPage;
    segment.prot = prot;
    segment.placement = Placement::fixed;
    if (from_file) segment.file = Ref<FileBacking>(program.file);
    segment.offset = offset * kPage;
    ASSERT_TRUE(space.map(segment).ok());
  };
  part(0, 2, kR, true, 0);
  part(2, 4, kRX, true, 2);
  part(6, 2, kRW, true, 5);  // data segments often start within the page where the text ends
  part(8, 4, kRW, false, 0);
}

TEST_F(Space, ImagesAreReusedAndRestored) {
  Program program{.file = make_file(9 * kPage, 60)};
  program.file->immutable = true;
  std::uint64_t first_base = 0;
  int reads = 0;
  for (int round = 0; round < 4; ++round) {
    const Ref<AddressSpace> space = make_space();
    map_program(*space, program);
    if (round == 0) first_base = program.base;
    if (round < 3) EXPECT_EQ(program.base, first_base);
    const std::uint64_t at = program.base;
    EXPECT_EQ(load(*space, at + 5), program.file->bytes[5]);
    EXPECT_EQ(user_access(*space, at + 3 * kPage, Access::execute), Errno{});
    EXPECT_EQ(user_byte(at + 3 * kPage + 1), program.file->bytes[3 * kPage + 1]);
    EXPECT_EQ(store(*space, at + 3 * kPage, 1), -EFAULT);
    EXPECT_EQ(load(*space, at + 6 * kPage), program.file->bytes[5 * kPage]);
    EXPECT_EQ(load(*space, at + 7 * kPage + 9), program.file->bytes[6 * kPage + 9]);
    EXPECT_EQ(load(*space, at + 9 * kPage), 0);
    EXPECT_EQ(store(*space, at + 6 * kPage, 200), 0);
    EXPECT_EQ(store(*space, at + 7 * kPage + 9, 201), 0);
    EXPECT_EQ(store(*space, at + 9 * kPage, 202), 0);
    ASSERT_TRUE(space->protect(at + 6 * kPage, kPage, kR).ok());  // as RELRO
    EXPECT_EQ(store(*space, at + 6 * kPage, 203), -EFAULT);
    // Text is read once; the two written pages are read again each time.
    if (round == 1) reads = program.file->reads;
    if (round == 2) EXPECT_EQ(program.file->reads - reads, 2);
    if (round == 2) kernel::mm::reclaim_cached_pages(~std::uint64_t{0});  // not while it is in use
    EXPECT_EQ(space->usage().virtual_size, 12 * kPage);
  }
  // An incomplete image is not kept.
  {
    const Ref<AddressSpace> space = make_space();
    map_program(*space, program);
    ASSERT_TRUE(space->unmap(program.base, kPage).ok());
  }
  EXPECT_EQ(kernel::mm::take_range(kPage, kPage, 0, false).ok(), true);
}

TEST_F(Space, TwoProcessesHaveTheirOwnCopies) {
  Program one{.file = make_file(9 * kPage, 61)};
  one.file->immutable = true;
  Program two = one;
  const Ref<AddressSpace> first = make_space();
  const Ref<AddressSpace> second = make_space();
  map_program(*first, one);
  map_program(*second, two);
  EXPECT_NE(one.base, two.base);
  EXPECT_EQ(store(*first, one.base + 6 * kPage, 1), 0);
  EXPECT_EQ(load(*second, two.base + 6 * kPage), two.file->bytes[5 * kPage]);
}

TEST_F(Space, StackAndBreakOfTheNextProcessCostNothing) {
  const auto live = [] {
    const Ref<AddressSpace> space = make_space();
    space->set_limits({});
    ASSERT_TRUE(space->start_break().ok());
    const std::uint64_t brk = space->current_break();
    ASSERT_EQ(space->set_break(brk + 4 * kPage), brk + 4 * kPage);
    const std::uint64_t top = space->map_stack(4 * kPage, nullptr).value_or(0);
    EXPECT_EQ(load(*space, top - 8), 0);
    EXPECT_EQ(load(*space, brk), 0);
    EXPECT_EQ(store(*space, top - 8, 1), 0);
    EXPECT_EQ(store(*space, top - 30 * kPage, 1), 0);
    EXPECT_EQ(store(*space, brk, 1), 0);
  };
  live();
  const std::uint64_t calls = host_calls;
  for (int i = 0; i < 5; ++i) live();
  EXPECT_EQ(host_calls, calls);
}

TEST_F(Space, FutexKeys) {
  const Ref<AddressSpace> one = make_space();
  const Ref<AddressSpace> two = make_space();
  const Ref<TestFile> file = make_file(2 * kPage, 1);
  const std::uint64_t shared = map_file(*one, file, 2 * kPage, kRW, true).value_or(0);
  ASSERT_EQ(map_file(*two, file, 2 * kPage, kRW, true).value_or(0), shared);
  const auto key = [](AddressSpace& space, std::uint64_t at, bool is_private) { return space.futex_key(at, is_private).value_or({}); };
  EXPECT_EQ(key(*one, shared + 8, false), key(*two, shared + 8, false));
  EXPECT_FALSE(key(*one, shared + 8, true) == key(*two, shared + 8, true));
  EXPECT_FALSE(key(*one, shared + 8, false) == key(*one, shared + 12, false));
  EXPECT_EQ(one->futex_key(0x1000, false).error(), Errno::fault);
}

TEST_F(Space, FixedPlacements) {
  const Ref<AddressSpace> one = make_space();
  const Ref<AddressSpace> two = make_space();
  const std::uint64_t at = kUserBegin + (1 << 20);
  EXPECT_EQ(map_fixed(*one, at, 8 * kPage).value_or(0), at);
  EXPECT_EQ(store(*one, at + 2 * kPage, 1), 0);
  EXPECT_EQ(map_fixed(*one, at, kPage, kRW, Placement::fixed_noreplace).error(), Errno::exist);
  // Another space may have the same addresses (overlap groups).
  run(*two);
  EXPECT_EQ(map_fixed(*two, at - kPage, 2 * kPage).value_or(0), at - kPage);
  EXPECT_EQ(load(*two, at), 0);
  EXPECT_EQ(store(*two, at, 9), 0);
  run(*one);
  EXPECT_EQ(load(*one, at), 0);
  EXPECT_EQ(load(*one, at + 2 * kPage), 1);
  EXPECT_EQ(map_fixed(*one, at + kPage, 10 * kPage).value_or(0), at + kPage);
  EXPECT_EQ(load(*one, at + 2 * kPage), 0);
  EXPECT_EQ(map_fixed(*one, kUserBegin + kUserSize, kPage).error(), Errno::nomem);
  EXPECT_EQ(map_fixed(*one, at + 1, kPage).error(), Errno::inval);
  MapRequest hint;
  hint.address = at + (1 << 20);
  hint.size = kPage;
  hint.prot = kRW;
  EXPECT_EQ(one->map(hint).value_or(0), hint.address);
  EXPECT_NE(two->map(hint).value_or(0), hint.address);
}

TEST_F(Space, BreakGrowsAndShrinks) {
  const Ref<AddressSpace> space = make_space();
  ASSERT_TRUE(space->start_break().ok());
  const std::uint64_t start = space->current_break();
  EXPECT_EQ(space->set_break(0), start);
  EXPECT_EQ(space->set_break(start + 100), start + 100);
  EXPECT_EQ(store(*space, start + 50, 1), 0);
  EXPECT_EQ(space->set_break(start + 50 * kPage), start + 50 * kPage);
  EXPECT_EQ(store(*space, start + 49 * kPage, 3), 0);
  EXPECT_EQ(load(*space, start + 50 * kPage), -EFAULT);
  EXPECT_EQ(space->areas().release().size(), 1U);
  EXPECT_EQ(space->set_break(start + 10 * kPage), start + 10 * kPage);
  EXPECT_EQ(load(*space, start + 49 * kPage), -EFAULT);
  EXPECT_EQ(space->set_break(start + 50 * kPage), start + 50 * kPage);
  EXPECT_EQ(load(*space, start + 49 * kPage), 0);
  EXPECT_EQ(space->set_break(start - 1), start + 50 * kPage);
  space->set_limits({.data = 100 * kPage});
  EXPECT_EQ(space->set_break(start + 200 * kPage), start + 50 * kPage);
}

TEST_F(Space, StackGrowsToItsLimit) {
  const Ref<AddressSpace> space = make_space();
  space->set_limits({.stack = 1 << 20});
  const std::uint64_t top = space->map_stack(4 * kPage, nullptr).value_or(0);
  ASSERT_NE(top, 0U);
  EXPECT_EQ(store(*space, top - 1, 1), 0);
  EXPECT_TRUE(space->check(top - 20 * kPage, 8, Access::write).ok());  // a signal frame may go there
  EXPECT_EQ(store(*space, top - 100 * kPage, 2), 0);
  EXPECT_EQ(store(*space, top - 256 * kPage, 2), 0);
  EXPECT_EQ(store(*space, top - 257 * kPage, 2), -EFAULT);
  EXPECT_EQ(space->areas().release()[0].begin, top - 256 * kPage);
}

TEST_F(Space, RemapMovesGrowsAndShrinks) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 8 * kPage);
  for (std::uint64_t i = 0; i < 8; ++i) ASSERT_EQ(store(*space, at + i * kPage, static_cast<unsigned char>(i + 1)), 0);
  EXPECT_EQ(space->remap(at, 8 * kPage, 4 * kPage, 0, 0).value_or(0), at);
  EXPECT_FALSE(space->check(at + 4 * kPage, 1, Access::read).ok());
  const std::uint64_t bigger = space->remap(at, 4 * kPage, 400 * kPage, abi::kMremapMayMove, 0).value_or(0);
  ASSERT_NE(bigger, 0U);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(load(*space, bigger + i * kPage), static_cast<int>(i + 1));
  EXPECT_EQ(load(*space, bigger + 300 * kPage), 0);
  const std::uint64_t fixed = kUserBegin + (64 << 20);
  EXPECT_EQ(space->remap(bigger, 4 * kPage, 4 * kPage, abi::kMremapMayMove | abi::kMremapFixed, fixed).value_or(0), fixed);
  EXPECT_EQ(load(*space, fixed + 3 * kPage), 4);
  EXPECT_FALSE(space->check(bigger, 1, Access::read).ok());
  EXPECT_EQ(space->remap(fixed, 4 * kPage, 4 * kPage, abi::kMremapMayMove | abi::kMremapDontUnmap, 0).ok(), true);
  EXPECT_EQ(load(*space, fixed + 3 * kPage), 0);
  EXPECT_EQ(space->remap(0x1000, kPage, 2 * kPage, 0, 0).error(), Errno::fault);
  EXPECT_EQ(space->remap(fixed, kPage, 0, 0, 0).error(), Errno::inval);
  EXPECT_EQ(space->remap(fixed, kPage, kPage, abi::kMremapFixed, fixed + kPage).error(), Errno::inval);
}

TEST_F(Space, RemoteAccess) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 4 * kPage);
  std::array<std::byte, 100> out{};
  out[50] = std::byte{3};
  EXPECT_EQ(space->write_remote(at + kPage - 20, out).value_or(0), 100U);
  EXPECT_EQ(load(*space, at + kPage + 30), 3);
  std::array<std::byte, 100> in{};
  EXPECT_EQ(space->read_remote(at + kPage - 20, in).value_or(0), 100U);
  EXPECT_EQ(in[50], std::byte{3});
  ASSERT_TRUE(space->protect(at + 2 * kPage, kPage, kR).ok());
  EXPECT_EQ(space->write_remote(at + 2 * kPage - 10, out).value_or(0), 10U);
  EXPECT_EQ(space->write_remote(at + 2 * kPage, out).error(), Errno::fault);
  EXPECT_EQ(space->write_remote(at + 2 * kPage, out, true).value_or(0), 100U);
  EXPECT_LE(epcm(at + 2 * kPage), 1);
  EXPECT_EQ(space->read_remote(at + 4 * kPage, in).error(), Errno::fault);
}

TEST_F(Space, LocksAndResidency) {
  const Ref<AddressSpace> space = make_space();
  const std::uint64_t at = map_anonymous(*space, 40 * kPage);
  ASSERT_TRUE(space->lock_pages(at + 100, 3 * kPage, false).ok());
  std::array<std::uint8_t, 40> map{};
  ASSERT_TRUE(space->residency(at, map).ok());
  EXPECT_EQ(map[3], 1);
  EXPECT_EQ(map[39], 0);
  EXPECT_EQ(space->usage().locked, 4 * kPage);
  EXPECT_EQ(space->advise(at, kPage, abi::kMadvDontNeed).error(), Errno::inval);
  EXPECT_EQ(space->residency(at + kPage, map).release(), 39U);  // up to the hole
  EXPECT_EQ(space->residency(at + 40 * kPage, map).error(), Errno::nomem);
  space->set_limits({.locked = 8 * kPage});
  EXPECT_EQ(space->lock_pages(at + 10 * kPage, 10 * kPage, false).error(), Errno::nomem);
  ASSERT_TRUE(space->unlock_all().ok());
  EXPECT_EQ(space->usage().locked, 0U);
}

// Random calls against a simple model: which pages are mapped with what protection and first byte.
TEST_F(Space, RandomCallsAgreeWithAModel) {
  struct Page {
    std::uint32_t prot;
    int value;  // first byte
  };
  for (unsigned seed = 0; seed < 6; ++seed) {
    std::mt19937 random(seed);
    kernel::mm::reclaim_cached_pages(~std::uint64_t{0});
    const Ref<AddressSpace> space = make_space();
    const Ref<TestFile> file = make_file(64 * kPage, static_cast<unsigned char>(seed));
    std::map<std::uint64_t, Page> model;
    std::map<std::uint64_t, int> origin;  // what MADV_DONTNEED brings back
    constexpr std::uint64_t kPages = 200;
    const std::uint64_t arena = kUserBegin + (std::uint64_t{1} << 30);
    const std::array<std::uint32_t, 5> prots{kNone, kR, kRW, kRX, kRWX};
    for (int step = 0; step < 6000; ++step) {
      const std::uint64_t begin = arena + random() % kPages * kPage;
      const std::uint64_t count = random() % 7 + 1;  // what is smaller than 32 KiB is never kept after munmap
      const std::uint64_t end = begin + count * kPage;
      const std::uint32_t prot = prots[random() % prots.size()];
      const auto covered = [&] {
        for (std::uint64_t at = begin; at < end; at += kPage)
          if (!model.contains(at)) return false;
        return true;
      };
      switch (random() % 10) {
        case 0: {
          ASSERT_TRUE(map_fixed(*space, begin, count * kPage, prot).ok());
          for (std::uint64_t at = begin; at < end; at += kPage) model[at] = {prot, 0}, origin[at] = 0;
          break;
        }
        case 1: {
          MapRequest request;
          request.address = begin;
          request.size = count * kPage;
          request.prot = prot;
          request.placement = Placement::fixed;
          request.file = Ref<FileBacking>(file);
          request.offset = random() % 50 * kPage;
          ASSERT_TRUE(space->map(request).ok());
          for (std::uint64_t at = begin; at < end; at += kPage)
            model[at] = {prot, file->bytes[request.offset + at - begin]}, origin[at] = model[at].value;
          break;
        }
        case 2:
          ASSERT_TRUE(space->unmap(begin, count * kPage).ok());
          for (std::uint64_t at = begin; at < end; at += kPage) model.erase(at);
          break;
        case 3: {
          const bool all = covered();
          ASSERT_EQ(space->protect(begin, count * kPage, prot).ok(), all);
          for (std::uint64_t at = begin; at < end && model.contains(at); at += kPage) model[at].prot = prot;
          break;
        }
        case 4: {
          const bool all = covered();
          ASSERT_EQ(space->advise(begin, count * kPage, abi::kMadvDontNeed).ok(), all);
          for (std::uint64_t at = begin; at < end; at += kPage)
            if (model.contains(at)) model[at].value = origin[at];
          break;
        }
        case 5: {
          const std::uint64_t to = arena + (kPages + 50 + random() % 100) * kPage;
          if (!covered()) break;
          const auto moved = space->remap(begin, count * kPage, count * kPage, abi::kMremapMayMove | abi::kMremapFixed, to);
          if (!moved.ok()) {  // several areas
            ASSERT_EQ(moved.error(), Errno::fault);
            break;
          }
          for (std::uint64_t at = begin; at < end; at += kPage) {
            model[to + at - begin] = model[at];
            origin[to + at - begin] = origin[at];
            model.erase(at);
          }
          break;
        }
        default:
          for (std::uint64_t at = begin; at < end; at += kPage) {
            const bool writes = random() % 2 == 0;
            const auto it = model.find(at);
            const bool allowed = it != model.end() && (writes ? (it->second.prot & 2) != 0 : it->second.prot != 0);
            ASSERT_EQ(space->check(at, 1, writes ? Access::write : Access::read).ok(), allowed);
            if (writes) {
              const auto value = static_cast<unsigned char>(random());
              ASSERT_EQ(store(*space, at, value), allowed ? 0 : -EFAULT);
              if (allowed) it->second.value = value;
            } else {
              ASSERT_EQ(load(*space, at), allowed ? it->second.value : -EFAULT) << "seed " << seed << " step " << step;
            }
          }
      }
      ASSERT_TRUE(violations.empty()) << violations.front() << " seed " << seed << " step " << step;
      if (step % 100 != 0) continue;
      // No page has more permissions than its area, none is there without an area.
      for (std::uint64_t at = arena; at < arena + 400 * kPage; at += kPage) {
        const auto it = model.find(at);
        const int now = epcm(at);
        if (now < 0) continue;
        if (it == model.end()) continue;  // cached for the next mapping
        ASSERT_EQ(now & ~static_cast<int>(kernel::mm::permissions_for(it->second.prot)), 0);
      }
    }
  }
}

TEST_F(Space, ThreadsOfOneProcess) {
  const Ref<AddressSpace> space = make_space();
  const Ref<TestFile> file = make_file(64 * kPage, 5);
  const std::uint64_t shared = map_file(*space, file, 64 * kPage, kR).value_or(0);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      std::mt19937 random(id);
      for (int round = 0; round < 400; ++round) {
        const std::uint64_t pages = random() % 40 + 1;
        const std::uint64_t at = map_anonymous(*space, pages * kPage);
        for (std::uint64_t i = 0; i < pages; ++i) {
          if (load(*space, at + i * kPage + 8) != 0) ++wrong;
          if (store(*space, at + i * kPage + 8, static_cast<unsigned char>(id + 1)) != 0) ++wrong;
        }
        const std::uint64_t probe = random() % 64 * kPage;
        if (load(*space, shared + probe) != file->bytes[probe]) ++wrong;
        if (random() % 8 == 0 && !space->advise(shared, 64 * kPage, abi::kMadvWillNeed).ok()) ++wrong;
        for (std::uint64_t i = 0; i < pages; ++i)
          if (load(*space, at + i * kPage + 8) != static_cast<int>(id + 1)) ++wrong;
        if (!space->check(at, pages * kPage, Access::write).ok()) ++wrong;
        if (!space->unmap(at, pages * kPage).ok()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
