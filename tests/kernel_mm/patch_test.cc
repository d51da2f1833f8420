#include "kernel/mm/patch.h"

#include <asm/prctl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "kernel/frame/vcpu_block.h"
#include "tests/kernel_mm/malloc_heap.h"

namespace {
using namespace kernel;
using host_abi::PatchSite;
using host_abi::SiteKind;

// Answers in place of the kernel's gates: rax + 1, and back.
asm(R"(
  .globl test_gate, test_cpuid_gate
test_gate:
  lea 1(%rax), %rax
  jmp *%rcx
test_cpuid_gate:
  lea 2(%rax), %rax
  jmp *%rbx
)");
extern "C" void test_gate();
extern "C" void test_cpuid_gate();

class Code final : public FileBacking {
 public:
  explicit Code(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}
  Result<> read_page(std::uint64_t index, PageView into) override {
    std::memset(into.data(), 0, into.size());
    const std::size_t at = index * kPageSize;
    std::memcpy(into.data(), bytes_.data() + at, std::min(kPageSize, bytes_.size() - at));
    return {};
  }
  std::uint64_t size() override { return bytes_.size(); }
  std::span<const PatchSite> patch_sites() override { return sites; }
  bool is_immutable() const override { return true; }
  std::vector<PatchSite> sites;
  std::vector<std::uint8_t> bytes_;
};

PatchSite site(const Code& code, std::uint32_t offset, std::uint8_t displaced, SiteKind kind, std::uint8_t disp_at = 0xff, std::uint8_t next_at = 0) {
  PatchSite result{.file_offset = offset, .kind = static_cast<std::uint8_t>(kind), .displaced = displaced, .rip_disp_at = disp_at,
                   .rip_next_at = next_at, .bytes = {}, .pad = 0, .reserved = {}};
  std::memcpy(result.bytes.data(), code.bytes_.data() + offset, displaced);
  return result;
}

void place(std::vector<std::uint8_t>& bytes, std::size_t at, std::initializer_list<int> code) {
  for (const int byte : code) bytes.at(at++) = static_cast<std::uint8_t>(byte);
}

constexpr std::uint32_t kPlain = 0x10, kRelative = 0x40, kCpuid = 0x80, kPadded = 0xc8, kStraddling = 0xffc, kData = 0x1800;

Ref<Code> make_code() {
  std::vector<std::uint8_t> bytes(3 * kPageSize, 0x90);
  place(bytes, kPlain, {0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3});              // mov $39,%eax; syscall; ret
  place(bytes, kRelative, {0x8b, 0x05, 0, 0, 0, 0, 0x0f, 0x05, 0xc3});        // mov data(%rip),%eax; syscall; ret
  const std::int32_t disp = static_cast<std::int32_t>(kData - (kRelative + 6));
  std::memcpy(bytes.data() + kRelative + 2, &disp, 4);
  place(bytes, kCpuid, {0x53, 0xb8, 0x07, 0, 0, 0, 0x0f, 0xa2, 0x5b, 0xc3});  // push; mov $7,%eax; cpuid; pop; ret
  place(bytes, kPadded, {0x31, 0xc0, 0x0f, 0x05, 0xc3});                      // xor %eax,%eax; syscall; ret
  place(bytes, kStraddling, {0xb8, 0x64, 0, 0, 0, 0x0f, 0x05, 0xc3});
  place(bytes, kData, {0xe8, 0x03, 0, 0});
  auto code = make_ref<Code>(std::move(bytes));
  Ref<Code> result = std::move(code).release();
  result->sites = {site(*result, kPlain, 5, SiteKind::syscall), site(*result, kRelative, 6, SiteKind::syscall, 2, 6),
                   site(*result, kCpuid + 1, 5, SiteKind::cpuid),
                   site(*result, kPadded, 2, SiteKind::syscall), site(*result, kStraddling, 5, SiteKind::syscall)};
  result->sites[3].pad = -6;
  return result;
}

struct Mapped {
  std::uint64_t code, stubs;
};
Mapped map_patched(PatchSet& set, Code& code, std::uint64_t address) {
  auto* stubs = reinterpret_cast<std::byte*>(address + (1 << 20));
  set.set_stubs(reinterpret_cast<std::uint64_t>(stubs));
  for (std::uint64_t at = 0; at < set.stub_bytes(); at += kPageSize) set.build_stub_page(set.stubs() + at, PageView(stubs + at, kPageSize));
  auto* text = reinterpret_cast<std::byte*>(address);
  for (std::uint64_t page = 0; page < code.size() / kPageSize; ++page) {
    const PageView view(text + page * kPageSize, kPageSize);
    EXPECT_TRUE(code.read_page(page, view).ok());
    EXPECT_TRUE(set.apply(address + page * kPageSize, view).ok());
  }
  mprotect(text, code.size(), PROT_READ | PROT_EXEC);
  mprotect(stubs, set.stub_bytes(), PROT_READ | PROT_EXEC);
  return {.code = address, .stubs = set.stubs()};
}

TEST(Patch, PatchedCodeRunsAsTheOriginal) {
  const Ref<Code> code = make_code();
  auto* text = mmap(nullptr, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto address = reinterpret_cast<std::uint64_t>(text);
  PatchSet set(code, address, 0, code->size());
  ASSERT_EQ(set.site_count(), 5U);
  const Mapped mapped = map_patched(set, *code, address);

  alignas(16) static std::array<std::uint64_t, 64> block{};
  block[VCPU_GATE / 8] = reinterpret_cast<std::uint64_t>(&test_gate);
  block[VCPU_CPUID_GATE / 8] = reinterpret_cast<std::uint64_t>(&test_cpuid_gate);
  ASSERT_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, block.data()), 0);
  using Function = std::uint64_t (*)();
  const auto call = [&](std::uint64_t at) { return reinterpret_cast<Function>(mapped.code + at)(); };
  EXPECT_EQ(call(kPlain), 40U);
  EXPECT_EQ(call(kRelative), 1001U);
  EXPECT_EQ(call(kCpuid), 9U);
  EXPECT_EQ(call(kPadded), 1U);
  EXPECT_EQ(call(kStraddling), 101U);
  // Who jumps to the instruction itself still finds it.
  const auto* raw = reinterpret_cast<const std::uint8_t*>(mapped.code + kPlain + 5);
  EXPECT_EQ(raw[0], 0x0f);
  EXPECT_EQ(raw[1], 0x05);
}

TEST(Patch, OriginalAddresses) {
  const Ref<Code> code = make_code();
  PatchSet set(code, 0x100000000, 0, code->size());
  set.set_stubs(0x110000000);
  // Inside the displaced bytes: the whole site again; behind them: the trapping instruction.
  const std::uint64_t second = set.stubs() + host_abi::kStubSize;
  EXPECT_EQ(set.original_rip(second), 0x100000000 + kRelative);
  EXPECT_EQ(set.original_rip(second + 5), 0x100000000 + kRelative);
  EXPECT_EQ(set.original_rip(second + 6), 0x100000000 + kRelative + 6);
  EXPECT_EQ(set.original_rip(second + 13), 0x100000000 + kRelative + 6);
  EXPECT_EQ(set.original_rip(set.stubs() + 5 * host_abi::kStubSize), std::nullopt);
  EXPECT_EQ(set.original_rip(set.stubs() + kPageSize - 1), std::nullopt);
  EXPECT_EQ(set.original_rip(set.stubs() - 1), std::nullopt);
}

TEST(Patch, OnlySitesInsideTheMappingCount) {
  const Ref<Code> code = make_code();
  EXPECT_EQ(PatchSet(code, 0x100000000, 0, kPageSize).site_count(), 4U);            // the straddling one is cut off
  EXPECT_EQ(PatchSet(code, 0x100000000, kPageSize, kPageSize).site_count(), 0U);
  EXPECT_EQ(PatchSet(code, 0x100000000, 0, 2 * kPageSize).site_count(), 5U);
}

TEST(Patch, TableThatDoesNotFitIsAnError) {
  const Ref<Code> code = make_code();
  code->sites[0].bytes[1] ^= 1;
  PatchSet set(code, 0x100000000, 0, code->size());
  set.set_stubs(0x110000000);
  alignas(4096) static std::array<std::byte, kPageSize> page;
  ASSERT_TRUE(code->read_page(0, page).ok());
  EXPECT_EQ(set.apply(0x100000000, page).error(), Errno::io);
}

TEST(Patch, UnsoundOrFarSitesTrap) {
  const Ref<Code> code = make_code();
  code->sites[0].displaced = 4;
  code->sites[2].kind = static_cast<std::uint8_t>(SiteKind::rdtsc);
  PatchSet set(code, 0x100000000, 0, code->size());
  set.set_stubs(0x110000000);
  alignas(4096) static std::array<std::byte, kPageSize> page;
  ASSERT_TRUE(code->read_page(0, page).ok());
  ASSERT_TRUE(set.apply(0x100000000, page).ok());
  EXPECT_EQ(page[kPlain], std::byte{0xb8});
  EXPECT_EQ(page[kCpuid + 1], std::byte{0xb8});
  EXPECT_EQ(page[kRelative], std::byte{0xe9});
  set.set_stubs(0x200000000);  // 4 GiB away
  ASSERT_TRUE(code->read_page(0, page).ok());
  ASSERT_TRUE(set.apply(0x100000000, page).ok());
  EXPECT_EQ(page[kRelative], std::byte{0x8b});
}

}  // namespace
