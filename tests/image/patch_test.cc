#include "image/patch_sites.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "image/code_scan.h"
#include "image/files.h"
#include "image/little_endian.h"
#include "tests/image/fixture.h"

namespace {

using host_abi::PatchSite;
using host_abi::SiteKind;
using image::Bytes;
using image::ElfFile;

Bytes load_bytes(const std::string& path) { return image::read_file(path).value_or(Bytes{}); }

// Addresses equal file offsets in sites.so only within a segment; this maps one to the other.
std::uint64_t offset_of(const ElfFile& elf, std::uint64_t address) {
  for (const Elf64_Phdr& segment : elf.segments()) {
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz) {
      return address - segment.p_vaddr + segment.p_offset;
    }
  }
  return 0;
}

struct Range {
  std::uint64_t start;
  std::uint64_t end;
};

// Functions of the dynamic symbol table by name.
std::map<std::string, Range> functions(const ElfFile& elf) {
  std::map<std::string, Range> result;
  const Elf64_Shdr* symbols = elf.section(".dynsym");
  const Elf64_Shdr* strings = elf.section(".dynstr");
  if (symbols == nullptr || strings == nullptr) return result;
  for (std::uint64_t at = 0; at < symbols->sh_size; at += sizeof(Elf64_Sym)) {
    const auto symbol = image::load<Elf64_Sym>(elf.bytes(), symbols->sh_offset + at);
    const char* name = reinterpret_cast<const char*>(elf.bytes().data()) + strings->sh_offset + symbol.st_name;
    const std::uint64_t start = offset_of(elf, symbol.st_value);
    if (symbol.st_size != 0) result[name] = {start, start + symbol.st_size};
  }
  return result;
}

class Sites : public testing::Test {
 protected:
  void SetUp() override {
    bytes_ = load_bytes(IMAGE_TEST_DIR "/sites.so");
    const image::Result<ElfFile> elf = ElfFile::parse(bytes_);
    ASSERT_TRUE(elf.has_value());
    functions_ = functions(*elf);
    const image::Result<image::FilePatches> patches = image::patch_program(*elf);
    ASSERT_TRUE(patches.has_value()) << patches.error();
    patches_ = *patches;
  }

  // The site inside a function, null if it traps.
  const PatchSite* site(const std::string& function) const {
    const auto range = functions_.find(function);
    EXPECT_NE(range, functions_.end()) << function;
    if (range == functions_.end()) return nullptr;
    const auto found = std::ranges::find_if(patches_.sites, [&](const PatchSite& candidate) {
      return candidate.file_offset >= range->second.start && candidate.file_offset < range->second.end;
    });
    return found == patches_.sites.end() ? nullptr : &*found;
  }

  const Bytes& bytes() const { return bytes_; }
  const image::FilePatches& patches() const { return patches_; }
  const std::map<std::string, Range>& all() const { return functions_; }

 private:
  Bytes bytes_;
  std::map<std::string, Range> functions_;
  image::FilePatches patches_;
};

TEST_F(Sites, PlainOnesArePatchedWithTheBytesBeforeTheTrap) {
  const std::map<std::string, int> displaced = {{"first_form", 5}, {"two_before", 6},   {"rip_relative", 7}, {"two_rip_relative", 7},
                                                {"loop_start", 6}, {"shifted", 6},
                                                {"store_last", 5}, {"jump_to_trap", 5}, {"fs_load", 9},      {"cpuid_zero", 5}};
  for (const auto& [name, size] : displaced) {
    const PatchSite* found = site(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->displaced, size) << name;
    EXPECT_EQ(found->pad, 0) << name;
    EXPECT_EQ(found->kind, static_cast<std::uint8_t>(name == "cpuid_zero" ? SiteKind::cpuid : SiteKind::syscall)) << name;
  }
}

TEST_F(Sites, ForbiddenOnesTrap) {
  // Each of them ends with int3 or has no padding nearby that a short jump could use, so nothing else can be done.
  for (const char* name : {"signal_return", "signal_return_short", "stack_change", "push_before", "gs_load", "after_call", "no_padding"}) {
    EXPECT_EQ(site(name), nullptr) << name;
  }
}

TEST_F(Sites, RelativeDisplacementIsFound) {
  const PatchSite* found = site("rip_relative");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->rip_disp_at, 3);
  EXPECT_EQ(found->rip_next_at, 7);
  const PatchSite* none = site("first_form");
  ASSERT_NE(none, nullptr);
  EXPECT_EQ(none->rip_disp_at, 0xff);
}

TEST_F(Sites, SequencesThatWouldChangeWhenRepeatedShrinkToTheirLastInstruction) {
  // Only the last instruction is displaced, with the jump in padding, or the site traps: never both instructions.
  for (const char* name : {"chained", "not_twice", "store_early", "loop_middle", "table_inside"}) {
    const PatchSite* found = site(name);
    if (found == nullptr) continue;
    EXPECT_NE(found->pad, 0) << name;
    EXPECT_LE(found->displaced, 3) << name;
  }
}

TEST_F(Sites, PaddingIsUsedOnceAndInReach) {
  const PatchSite* first = site("padded");
  const PatchSite* second = site("padded_again");
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(first->displaced, 2);
  EXPECT_LT(first->pad, 0);
  EXPECT_GT(second->pad, 0);
}

TEST_F(Sites, ANeighbourGivesTheBytesThatItDisplacesBeyondItsJump) {
  const PatchSite* borrower = site("borrower");
  const PatchSite* giver = site("giver");
  ASSERT_NE(borrower, nullptr);
  ASSERT_NE(giver, nullptr);
  EXPECT_EQ(borrower->displaced, 2);  // the instruction before it is where a loop starts
  EXPECT_EQ(giver->pad, 0);
  EXPECT_GE(giver->displaced, 10);
  EXPECT_EQ(std::int64_t{borrower->file_offset} + borrower->pad, std::int64_t{giver->file_offset} + 5);
}

TEST(PatchFiles, AProgramThatChangesTheGsBaseIsRefused) {
  const Bytes bytes = load_bytes(IMAGE_TEST_DIR "/gs.so");
  const image::Result<ElfFile> elf = ElfFile::parse(bytes);
  ASSERT_TRUE(elf.has_value());
  const image::Result<image::FilePatches> patches = image::patch_program(*elf);
  ASSERT_FALSE(patches.has_value());
  EXPECT_NE(patches.error().find("wrgsbase"), std::string::npos) << patches.error();
  EXPECT_NE(patches.error().find("offset 0x"), std::string::npos) << patches.error();
}

TEST(PatchFiles, DamagedFilesAreErrorsNotCrashes) {
  const Bytes good = load_bytes(IMAGE_TEST_DIR "/sites.so");
  std::uint32_t seed = 1;
  for (int round = 0; round < 3000; ++round) {
    Bytes bad = good;
    for (int change = 0; change < 3; ++change) {
      seed = seed * 1664525 + 1013904223;
      const std::size_t limit = change == 0 ? 4096 : bad.size();  // headers more often
      bad[(seed >> 8) % limit] = static_cast<std::uint8_t>(seed);
    }
    if (round % 3 == 0) bad.resize((seed >> 4) % bad.size());
    const image::Result<ElfFile> elf = ElfFile::parse(bad);
    if (!elf) continue;
    const image::Result<image::FilePatches> patches = image::patch_program(*elf);
    const image::Result<image::ElfDynamic> dynamic = elf->dynamic();
    if (!patches) EXPECT_FALSE(patches.error().empty());
    if (!dynamic) EXPECT_FALSE(dynamic.error().empty());
  }
}

// What must hold of every table, checked without the builder's own code.
void check_table(const Bytes& bytes, const std::vector<PatchSite>& sites) {
  std::uint64_t last_end = 0;
  std::set<std::uint64_t> jump_bytes;
  for (const PatchSite& site : sites) {
    ASSERT_GE(site.file_offset, last_end);
    last_end = std::uint64_t{site.file_offset} + site.displaced + 2;
    ASSERT_LE(last_end, bytes.size());
    ASSERT_LE(site.displaced, host_abi::kMaxDisplaced);
    ASSERT_TRUE(std::equal(site.bytes.begin(), site.bytes.begin() + site.displaced, bytes.begin() + site.file_offset));
    const std::uint8_t second = site.kind == static_cast<std::uint8_t>(SiteKind::syscall) ? 0x05 : 0xa2;
    ASSERT_EQ(bytes[last_end - 2], 0x0f);
    ASSERT_EQ(bytes[last_end - 1], second);
    ASSERT_EQ(site.reserved[0] | site.reserved[1] | site.reserved[2], 0);
    if (site.pad == 0) {
      ASSERT_GE(site.displaced, 5);
      continue;
    }
    ASSERT_GE(site.displaced, 2);
    const std::uint64_t place = site.file_offset + static_cast<std::uint64_t>(std::int64_t{site.pad});
    ASSERT_EQ(place / 4096, site.file_offset / 4096);
    ASSERT_EQ((place + 4) / 4096, (site.file_offset + 1) / 4096);
    for (std::uint64_t at = place; at < place + 5; ++at) ASSERT_TRUE(jump_bytes.insert(at).second);
  }
  for (const PatchSite& site : sites) {
    // What a site displaces beyond its own jump may hold another one's.
    const std::uint64_t spare = site.pad == 0 ? site.file_offset + 5U : site.file_offset + std::uint64_t{site.displaced};
    const std::uint64_t trap = site.file_offset + std::uint64_t{site.displaced};
    for (std::uint64_t at = site.file_offset; at < trap + 2; ++at)
      if (at < spare || at >= trap) ASSERT_FALSE(jump_bytes.contains(at));
  }
}

struct RealProgram {
  std::string path;
  std::size_t least_syscalls;
  std::size_t least_cpuids;
  std::uint32_t most_trapping;
};

void PrintTo(const RealProgram& program, std::ostream* out) { *out << program.path; }

class RealPrograms : public testing::TestWithParam<RealProgram> {};

TEST_P(RealPrograms, EnoughSitesArePatched) {
  const RealProgram& program = GetParam();
  if (!std::filesystem::exists(program.path)) GTEST_SKIP() << program.path << " is not on this machine";
  const Bytes bytes = load_bytes(program.path);
  const image::Result<ElfFile> elf = ElfFile::parse(bytes);
  ASSERT_TRUE(elf.has_value());
  const image::Result<image::FilePatches> patches = image::patch_program(*elf);
  ASSERT_TRUE(patches.has_value()) << patches.error();
  const auto is_cpuid = [](const PatchSite& site) { return site.kind == static_cast<std::uint8_t>(SiteKind::cpuid); };
  const auto cpuids = static_cast<std::size_t>(std::ranges::count_if(patches->sites, is_cpuid));
  EXPECT_GE(patches->sites.size() - cpuids, program.least_syscalls);
  EXPECT_GE(cpuids, program.least_cpuids);
  EXPECT_LE(patches->trapping(), program.most_trapping);
  std::cout << program.path << ": " << patches->sites.size() - cpuids << " system calls, " << cpuids << " cpuid patched, " << patches->trapping()
            << " trap\n";
  check_table(bytes, patches->sites);
}

INSTANTIATE_TEST_SUITE_P(Debian, RealPrograms,
                         testing::Values(RealProgram{"/lib/x86_64-linux-gnu/libc.so.6", 510, 0, 16},
                                         RealProgram{"/lib64/ld-linux-x86-64.so.2", 43, 35, 5},
                                         RealProgram{"/lib/ld-musl-x86_64.so.1", 480, 0, 19},
                                         RealProgram{"/bin/busybox", 0, 0, 60},
                                         RealProgram{IMAGE_TEST_DIR "/static", 50, 1, 10},
                                         RealProgram{IMAGE_TEST_DIR "/go", 40, 3, 3}));

// read() and write() of glibc are the hottest calls: they must not trap.
TEST(PatchFiles, ReadAndWriteOfGlibcArePatched) {
  const Bytes bytes = load_bytes("/lib/x86_64-linux-gnu/libc.so.6");
  const image::Result<ElfFile> elf = ElfFile::parse(bytes);
  ASSERT_TRUE(elf.has_value());
  const std::map<std::string, Range> names = functions(*elf);
  const image::Result<image::FilePatches> patches = image::patch_program(*elf);
  ASSERT_TRUE(patches.has_value());
  for (const char* name : {"read", "write", "openat", "close", "getpid", "epoll_wait", "clock_nanosleep"}) {
    const auto range = names.find(name);
    if (range == names.end()) continue;
    const auto inside = [&](const PatchSite& site) { return site.file_offset >= range->second.start && site.file_offset < range->second.end; };
    EXPECT_TRUE(std::ranges::any_of(patches->sites, inside)) << name;
  }
}

}  // namespace
