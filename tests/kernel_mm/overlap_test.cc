// Overlap groups: random calls in several address spaces that have the same addresses, against a model of what each must see.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>

#include "kernel/mm/overlap.h"
#include "kernel/mm/user_memory.h"
#include "tests/kernel_mm/space_helpers.h"

namespace kernel_mm_test {
namespace {

#ifdef OVERLAP_STATIC  // without EDMM: no page faults, no permissions
constexpr bool kFaults = false;
#else
constexpr bool kFaults = true;
#endif
constexpr std::uint64_t kLimit = std::uint64_t{512} << 20;
constexpr std::uint64_t kFixed = kUserBegin + (std::uint64_t{64} << 20);  // where fixed mappings collide
constexpr int kFixedPages = 96;
constexpr std::uint64_t kProgram = kFixed + (std::uint64_t{32} << 20);

// Without EDMM nothing faults: what is not there at once is wrong.
int load_byte(AddressSpace& space, std::uint64_t at) { return kFaults ? load(space, at) : user_byte(at); }
int store_byte(AddressSpace& space, std::uint64_t at, unsigned char value) {
  if (kFaults) return store(space, at, value);
  user_byte(at) = value;
  return 0;
}

struct Page {
  std::uint32_t prot = kRW;
  unsigned char first = 0, second = 0;  // bytes at 0 and 2048
  bool wipe = false, dont_fork = false;
};

struct Process {
  Ref<AddressSpace> space = make_space();
  std::map<std::uint64_t, Page> pages;
};

class Overlap : public ::testing::TestWithParam<int> {
 protected:
  static void SetUpTestSuite() {
    static bool booted = false;
    if (!booted) boot(kFaults, kLimit);
    booted = true;
  }
  std::mt19937 random{1};
  unsigned pick(unsigned below) { return random() % below; }
  std::vector<std::unique_ptr<Process>> processes;
  Ref<TestFile> file = make_file(40 * kPage, 17);
  Ref<TestFile> image = make_file(60 * kPage, 99);
  std::uint64_t steps = 0;

  Process& current() { return *processes.front(); }
  void switch_to(std::size_t index) {
    std::swap(processes[0], processes[index]);
    run(*current().space);
  }

  void expect_page(Process& process, std::uint64_t at, const Page& page) {
    if (!kFaults && page.prot == kNone) return;
    if (page.prot == kNone) {
      EXPECT_EQ(load_byte(*process.space, at), -static_cast<int>(Errno::fault)) << std::hex << at << " step " << std::dec << steps;
      return;
    }
    EXPECT_EQ(load_byte(*process.space, at), page.first) << std::hex << at << " step " << std::dec << steps;
    EXPECT_EQ(load_byte(*process.space, at + 2048), page.second) << std::hex << at << " step " << std::dec << steps;
  }
  void check_all() {
    for (const auto& [at, page] : current().pages) expect_page(current(), at, page);
  }

  // A page of the current process, 0 if it has none.
  std::uint64_t some_page() {
    auto& pages = current().pages;
    if (pages.empty()) return 0;
    auto at = pages.lower_bound(pages.begin()->first + random() % (pages.rbegin()->first - pages.begin()->first + kPage));
    return at == pages.end() ? pages.begin()->first : at->first;
  }
  // Pages from `at` on that are mapped without a gap, at most `most`.
  std::uint64_t run_length(std::uint64_t at, unsigned most) {
    std::uint64_t count = 0;
    while (count < most && current().pages.contains(at + count * kPage)) ++count;
    return count;
  }

  void set_pages(std::uint64_t at, std::uint64_t count, std::uint32_t prot, const TestFile* from, std::uint64_t offset) {
    for (std::uint64_t i = 0; i < count; ++i) {
      Page page{.prot = prot};
      if (from != nullptr) {
        page.first = from->bytes[offset + i * kPage];
        page.second = from->bytes[offset + i * kPage + 2048];
      }
      current().pages[at + i * kPage] = page;
    }
  }

  void map_something() {
    const std::uint64_t count = 1 + pick(12);
    MapRequest request;
    request.size = count * kPage;
    request.prot = std::array{kRW, kRW, kR, kNone}[pick(4)];
    const TestFile* from = nullptr;
    if (pick(3) == 0) {
      const bool code = pick(2) == 0;
      const Ref<TestFile> chosen = code ? image : file;
      request.file = Ref<FileBacking>(chosen);
      request.offset = pick(24) * kPage;
      if (code && pick(2) == 0) request.prot = kRX;
      from = chosen.get();
    }
    if (pick(2) == 0) {
      request.placement = Placement::fixed;
      request.address = kFixed + pick(kFixedPages) * kPage;
    }
    auto made = current().space->map(request);
    ASSERT_TRUE(made.ok()) << static_cast<int>(made.error()) << " step " << steps;
    set_pages(std::move(made).value_or(0), count, request.prot, from, request.offset);
  }

  // A program linked to a fixed address, as exec maps it.
  void map_program() {
    MapRequest request;
    request.address = kProgram;
    request.size = 50 * kPage;
    request.prot = kR;
    request.image = true;
    request.placement = Placement::fixed_noreplace;
    request.file = Ref<FileBacking>(image);
    const auto made = current().space->map(request);
    if (!made.ok() && made.error() == Errno::exist) return;
    ASSERT_TRUE(made.ok()) << "step " << steps;
    struct Segment {
      std::uint64_t first, count;
      std::uint32_t prot;
      bool has_file;
    };
    for (const Segment& segment : {Segment{0, 8, kR, true}, {8, 20, kRX, true}, {28, 6, kR, true}, {34, 6, kRW, true}, {40, 10, kRW, false}}) {
      MapRequest part;
      part.address = kProgram + segment.first * kPage;
      part.size = segment.count * kPage;
      part.prot = segment.prot;
      part.placement = Placement::fixed;
      if (segment.has_file) part.file = Ref<FileBacking>(image);
      part.offset = segment.has_file ? segment.first * kPage : 0;
      ASSERT_TRUE(current().space->map(part).ok()) << "step " << steps;
      set_pages(part.address, segment.count, part.prot, segment.has_file ? image.get() : nullptr, part.offset);
    }
  }

  void unmap_something() {
    const std::uint64_t at = some_page();
    if (at == 0) return;
    const std::uint64_t count = run_length(at, 1 + pick(8));
    ASSERT_TRUE(current().space->unmap(at, count * kPage).ok());
    for (std::uint64_t i = 0; i < count; ++i) current().pages.erase(at + i * kPage);
    // (Larger pieces may stay accessible until somebody else gets them.)
    if (count < 4 && kFaults) EXPECT_EQ(load_byte(*current().space, at), -static_cast<int>(Errno::fault)) << std::hex << at << " step " << std::dec << steps;
  }

  void protect_something() {
    const std::uint64_t at = some_page();
    if (at == 0) return;
    const std::uint64_t count = run_length(at, 1 + pick(8));
    const std::uint32_t prot = std::array{kRW, kR, kNone, kRW}[pick(4)];
    ASSERT_TRUE(current().space->protect(at, count * kPage, prot).ok());
    for (std::uint64_t i = 0; i < count; ++i) current().pages[at + i * kPage].prot = prot;
  }

  void store_something() {
    const std::uint64_t at = some_page();
    if (at == 0) return;
    for (std::uint64_t i = 0; i < run_length(at, 1 + pick(20)); ++i) {
      Page& page = current().pages[at + i * kPage];
      const auto value = static_cast<unsigned char>(pick(256));
      const bool second = pick(2) == 0;
      if (!kFaults && (page.prot & 2) == 0) continue;
      const int done = store_byte(*current().space, at + i * kPage + (second ? 2048 : 0), value);
      if ((page.prot & 2) == 0) {
        EXPECT_EQ(done, -static_cast<int>(Errno::fault));
        continue;
      }
      EXPECT_EQ(done, 0) << "step " << steps;
      (second ? page.second : page.first) = value;
    }
  }

  void move_something() {
    const std::uint64_t at = some_page();
    if (at == 0) return;
    const std::uint64_t count = run_length(at, 1 + pick(4));
    auto moved = current().space->remap(at, count * kPage, (count + 2) * kPage, linux_abi::kMremapMayMove, 0);
    if (!moved.ok()) return;  // not one area
    const std::uint64_t to = std::move(moved).value_or(0);
    std::vector<Page> content;
    for (std::uint64_t i = 0; i < count; ++i) content.push_back(current().pages[at + i * kPage]);
    for (std::uint64_t i = 0; i < count; ++i) current().pages.erase(at + i * kPage);
    for (std::uint64_t i = 0; i < count; ++i) current().pages[to + i * kPage] = content[i];
    if (const auto dropped = current().space->unmap(to + count * kPage, 2 * kPage); !dropped.ok()) ADD_FAILURE();
    // Whatever lay behind the area is not ours to know: it was free.
  }

  void advise_something() {
    const std::uint64_t at = some_page();
    if (at == 0) return;
    const bool wipe = pick(2) == 0;
    const std::uint32_t advice = wipe ? linux_abi::kMadvWipeOnFork : linux_abi::kMadvDontFork;
    if (!current().space->advise(at, kPage, advice).ok()) return;
    (wipe ? current().pages[at].wipe : current().pages[at].dont_fork) = true;
  }

  void fork_something() {
    if (processes.size() >= 9) return;
    auto child = std::make_unique<Process>();
    const bool child_first = pick(2) == 0;
    ASSERT_TRUE(current().space->fork_into(*child->space, child_first).ok());
    for (const auto& [at, page] : current().pages) {
      if (page.dont_fork) continue;
      Page copy = page;
      if (page.wipe) copy.first = copy.second = 0;
      child->pages[at] = copy;
    }
    processes.push_back(std::move(child));
    switch_to(processes.back()->space->in_place.load() ? processes.size() - 1 : 0);
  }

  void end_something() {
    if (processes.size() < 2) return;
    const std::size_t victim = pick(2) == 0 ? 0 : pick(static_cast<unsigned>(processes.size()));
    processes.erase(processes.begin() + static_cast<long>(victim));
    switch_to(0);
  }

  void touch_other() {
    Process& other = *processes[pick(static_cast<unsigned>(processes.size()))];
    if (other.pages.empty()) return;
    auto at = other.pages.begin();
    std::advance(at, pick(static_cast<unsigned>(other.pages.size())));
    std::array<std::byte, 1> byte{};
    const auto got = other.space->read_remote(at->first + 2048, byte);
    if (at->second.prot == kNone) {
      EXPECT_FALSE(got.ok());
      return;
    }
    EXPECT_TRUE(got.ok()) << "step " << steps;
    EXPECT_EQ(static_cast<unsigned char>(byte[0]), at->second.second) << std::hex << at->first << " step " << std::dec << steps;
    if ((at->second.prot & 2) == 0 || pick(2) == 0) return;
    byte[0] = std::byte(pick(256));
    EXPECT_TRUE(other.space->write_remote(at->first + 2048, byte).ok());
    at->second.second = static_cast<unsigned char>(byte[0]);
  }

  void step() {
    ++steps;
    const unsigned what = pick(24);
    if (std::getenv("OVERLAP_TRACE") != nullptr) {
      std::printf("step %llu: %u, %zu processes, current %llu:", static_cast<unsigned long long>(steps), what, processes.size(),
                  static_cast<unsigned long long>(current().space->id()));
      if (const char* watch = std::getenv("OVERLAP_WATCH")) {
        const std::uint64_t page = std::strtoull(watch, nullptr, 16);
        for (const auto& process : processes) {
          if (!process->pages.contains(page)) continue;
          const Page& p = process->pages[page];
          std::array<std::byte, 1> byte{};
          const bool got = std::getenv("OVERLAP_READ") != nullptr && process->space->read_remote(page, byte, true).ok();
          std::printf(" [%llu%s prot %u %u %u has %d]", static_cast<unsigned long long>(process->space->id()),
                      process->space->in_place.load() ? " in" : "", p.prot, p.first, p.second, got ? static_cast<int>(byte[0]) : -1);
        }
        const auto state = kernel::mm::page_map().state(page);
        std::printf(" state %x bytes %u %u", state.bits(), state.present() && epcm(page) > 0 ? user_byte(page) : 0, state.present() && epcm(page) > 0 ? user_byte(page + 2048) : 0);
      }
      std::puts("");
    }
    switch (what) {
      case 0: case 1: case 2: return map_something();
      case 3: return unmap_something();
      case 4: case 5: return protect_something();
      case 6: case 7: case 8: case 9: case 10: return store_something();
      case 11: return move_something();
      case 12: return advise_something();
      case 13: case 14: return fork_something();
      case 15: return end_something();
      case 16: case 17: return touch_other();
      case 18: {  // a fresh process, as exec makes one
        if (processes.size() < 9) processes.push_back(std::make_unique<Process>());
        switch_to(processes.size() - 1);
        if (pick(2) == 0) map_program();
        return;
      }
      case 19: {
        const std::uint64_t at = some_page();
        if (at != 0) expect_page(current(), at, current().pages[at]);
        return;
      }
      default: return switch_to(pick(static_cast<unsigned>(processes.size())));
    }
  }
};

TEST_P(Overlap, RandomCallsAgreeWithAModel) {
  random.seed(static_cast<unsigned>(GetParam()));
  image->immutable = true;
  processes.push_back(std::make_unique<Process>());
  switch_to(0);
  const int count = std::getenv("OCCLUM_TEST_LONG") != nullptr ? 20000 : 3000;
  for (int i = 0; i < count; ++i) {
    step();
    if (i % 50 == 0 || std::getenv("OVERLAP_CHECK") != nullptr) check_all();
    if (HasFailure()) FAIL() << "seed " << GetParam() << " step " << steps;
  }
  for (std::size_t i = 0; i < processes.size(); ++i) {
    switch_to(i);
    check_all();
  }
  while (!processes.empty()) {
    run(*current().space);
    check_all();
    processes.erase(processes.begin());
  }
  EXPECT_EQ(kernel::overlap_usage().ranges, 0U);
  EXPECT_EQ(kernel::overlap_usage().spaces, 0U);
  EXPECT_EQ(kernel::overlap_usage().versions, 0U);
  kernel::mm::reclaim_cached_pages(~std::uint64_t{0});
  EXPECT_EQ(kernel::mm::page_map().committed(), 0U);
  EXPECT_NO_VIOLATIONS();
}

std::vector<int> seeds() {
  std::vector<int> list;
  const char* from = std::getenv("OVERLAP_SEED");
  const int first = from == nullptr ? 1 : std::atoi(from);
  for (int seed = first; seed < first + 40; ++seed) list.push_back(seed);
  return list;
}
INSTANTIATE_TEST_SUITE_P(Seeds, Overlap, ::testing::ValuesIn(seeds()), [](const auto& info) { return "seed" + std::to_string(info.param); });

}  // namespace
}  // namespace kernel_mm_test
