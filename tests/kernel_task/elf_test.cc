// The ELF reader against real files and against damaged headers.
#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernel/frame/bytes.h"
#include "kernel/task/elf.h"

namespace kernel {
namespace {

constexpr std::uint64_t kLimit = std::uint64_t{1} << 39;

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// Both steps as exec does them, on a file in memory.
Result<ElfImage> parse(std::span<const std::byte> file) {
  if (file.size() < sizeof(abi::ElfHeader)) return Errno::noexec;
  const auto header = load_bytes<abi::ElfHeader>(file);
  const ProgramHeaderRange range = TRY(check_elf_header(header, file.size()));
  return parse_program_headers(header, file.subspan(range.offset, range.size), file.size(), kLimit);
}

// A program with a text and a data segment, an interpreter and a stack note.
std::vector<std::byte> sample() {
  std::vector<std::byte> file(0x3000);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_DYN;
  header.e_machine = EM_X86_64;
  header.e_entry = 0x1010;
  header.e_phoff = 64;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 4;
  std::memcpy(file.data(), &header, sizeof header);
  const Elf64_Phdr table[4] = {
      {.p_type = PT_INTERP, .p_flags = PF_R, .p_offset = 0x200, .p_vaddr = 0x200, .p_paddr = 0, .p_filesz = 10, .p_memsz = 10, .p_align = 1},
      {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 0, .p_vaddr = 0, .p_paddr = 0, .p_filesz = 0x1800, .p_memsz = 0x1800, .p_align = 0x1000},
      {.p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_offset = 0x1800, .p_vaddr = 0x2800, .p_paddr = 0, .p_filesz = 0x100, .p_memsz = 0x3000, .p_align = 0x1000},
      {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_offset = 0, .p_vaddr = 0, .p_paddr = 0, .p_filesz = 0, .p_memsz = 0, .p_align = 16},
  };
  std::memcpy(file.data() + 64, table, sizeof table);
  return file;
}

TEST(Elf, ReadsASample) {
  auto parsed = parse(sample());
  ASSERT_TRUE(parsed.ok());
  const ElfImage image = std::move(parsed).release();
  EXPECT_TRUE(image.position_independent);
  EXPECT_EQ(image.entry, 0x1010u);
  EXPECT_EQ(image.phdr_address, 64u);
  EXPECT_EQ(image.phdr_count, 4u);
  EXPECT_EQ(image.interpreter_offset, 0x200u);
  EXPECT_EQ(image.interpreter_size, 10u);
  EXPECT_FALSE(image.executable_stack);
  EXPECT_EQ(image.begin, 0u);
  EXPECT_EQ(image.end, 0x6000u);
  ASSERT_EQ(image.segments.size(), 2u);
  EXPECT_EQ(image.segments[0].prot, 5u);
  EXPECT_EQ(image.segments[1].begin(), 0x2000u);
  EXPECT_EQ(image.segments[1].file_end(), 0x3000u);
}

template <class T>
void poke(std::vector<std::byte>& file, std::size_t offset, T value) {
  std::memcpy(file.data() + offset, &value, sizeof value);
}
constexpr std::size_t kPhdr(std::size_t index, std::size_t field) { return 64 + index * sizeof(Elf64_Phdr) + field; }

// Each change alone makes the file no program.
TEST(Elf, RefusesWhatMakesNoSense) {
  const std::vector<void (*)(std::vector<std::byte>&)> changes{
      [](auto& f) { poke<std::uint8_t>(f, 0, 0x7e); },                                                // magic
      [](auto& f) { poke<std::uint8_t>(f, EI_CLASS, ELFCLASS32); },                                   // class
      [](auto& f) { poke<std::uint8_t>(f, EI_DATA, ELFDATA2MSB); },                                   // byte order
      [](auto& f) { poke<std::uint16_t>(f, 16, ET_REL); },                                            // type
      [](auto& f) { poke<std::uint16_t>(f, 18, EM_386); },                                            // machine
      [](auto& f) { poke<std::uint16_t>(f, 54, 32); },                                                // phentsize
      [](auto& f) { poke<std::uint16_t>(f, 56, 0); },                                                 // phnum
      [](auto& f) { poke<std::uint16_t>(f, 56, 0xffff); },                                            // phnum
      [](auto& f) { poke<std::uint64_t>(f, 32, 0x2fff); },                                            // phoff
      [](auto& f) { poke<std::uint64_t>(f, 32, ~std::uint64_t{0}); },                                 // phoff
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(1, offsetof(Elf64_Phdr, p_filesz)), 0x2000); },      // filesz > memsz
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(1, offsetof(Elf64_Phdr, p_offset)), 1); },           // offset and address disagree
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(2, offsetof(Elf64_Phdr, p_vaddr)), 0x800); },        // overlaps
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(2, offsetof(Elf64_Phdr, p_vaddr)), kLimit - 0x800); },  // too high
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(2, offsetof(Elf64_Phdr, p_memsz)), ~std::uint64_t{0}); },
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(2, offsetof(Elf64_Phdr, p_offset)), 0x7800); },      // past the file's end
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(0, offsetof(Elf64_Phdr, p_filesz)), 1); },           // interpreter too short
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(0, offsetof(Elf64_Phdr, p_filesz)), 5000); },        // too long
      [](auto& f) { poke<std::uint64_t>(f, kPhdr(0, offsetof(Elf64_Phdr, p_offset)), 0x3000); },      // outside
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    std::vector<std::byte> file = sample();
    changes[i](file);
    const auto parsed = parse(file);
    ASSERT_FALSE(parsed.ok()) << "change " << i;
    EXPECT_EQ(parsed.error(), Errno::noexec) << "change " << i;
  }
}

void expect_sane(const ElfImage& image, std::uint64_t file_size) {
  std::uint64_t last = 0;
  for (const ElfSegment& segment : image.segments) {
    EXPECT_GE(segment.begin(), last);
    EXPECT_GT(segment.end(), segment.begin());
    EXPECT_LE(segment.end(), kLimit);
    EXPECT_LE(segment.file_end(), segment.end());
    EXPECT_LE(segment.file_size, segment.memory_size);
    if (segment.file_size != 0) EXPECT_LE(segment.offset + segment.file_size, file_size);
    EXPECT_EQ((segment.vaddr - segment.offset) % 4096, 0u);
    last = segment.end();
  }
  EXPECT_EQ(image.end, last);
  EXPECT_LE(image.interpreter_offset + image.interpreter_size, file_size);
  EXPECT_TRUE(image.alignment >= 4096 && (image.alignment & (image.alignment - 1)) == 0);
}

TEST(Elf, DamagedHeadersNeverGiveAnInsaneImage) {
  const std::vector<std::byte> good = sample();
  std::mt19937_64 random(1);
  constexpr std::uint64_t kInteresting[] = {0, 1, 0xfff, 0x1000, 0x1001, 0x7fffffff, 0x80000000, 0xffffffff, kLimit, kLimit - 1, ~std::uint64_t{0}, ~std::uint64_t{0} - 0xfff};
  int accepted = 0;
  for (int round = 0; round < 200000; ++round) {
    std::vector<std::byte> file = good;
    for (std::uint64_t change = random() % 4 + 1; change != 0; --change) {
      const std::size_t at = random() % (64 + 4 * sizeof(Elf64_Phdr) - 8);
      if (random() % 2 == 0)
        file[at] = static_cast<std::byte>(random());
      else
        poke<std::uint64_t>(file, at & ~std::size_t{7}, kInteresting[random() % std::size(kInteresting)]);
    }
    auto parsed = parse(file);
    if (!parsed.ok()) continue;
    ++accepted;
    expect_sane(std::move(parsed).release(), file.size());
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(accepted, 1000);
}

TEST(Elf, ReadsProgramsOfThisMachine) {
  for (const char* path : {"/bin/ls", "/bin/bash", "/lib64/ld-linux-x86-64.so.2", "/proc/self/exe"}) {
    const std::vector<std::byte> file = read_file(path);
    ASSERT_FALSE(file.empty()) << path;
    auto parsed = parse(file);
    ASSERT_TRUE(parsed.ok()) << path;
    const ElfImage image = std::move(parsed).release();
    expect_sane(image, file.size());
    EXPECT_NE(image.phdr_address, 0u) << path;
    EXPECT_FALSE(image.executable_stack) << path;
  }
}

}  // namespace
}  // namespace kernel
