#include "sgx/kernel_image.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "sgx/arch.h"
#include "tests/sgx/fixture.h"

namespace {

using Elf = std::vector<std::uint8_t>;
constexpr std::uint64_t kBase = 0xf00000000;

template <class T>
T& at(Elf& elf, std::uint64_t offset) {
  return *reinterpret_cast<T*>(elf.data() + offset);
}

Elf64_Ehdr& header(Elf& elf) { return at<Elf64_Ehdr>(elf, 0); }
Elf64_Phdr& segment(Elf& elf, unsigned index) { return at<Elf64_Phdr>(elf, header(elf).e_phoff + index * sizeof(Elf64_Phdr)); }

Elf64_Phdr& first_segment(Elf& elf, std::uint32_t type, std::uint32_t flags = 0) {
  for (unsigned i = 0; i < header(elf).e_phnum; ++i) {
    Elf64_Phdr& found = segment(elf, i);
    if (found.p_type == type && (flags == 0 || found.p_flags == flags)) return found;
  }
  throw std::runtime_error("no such segment");
}

Elf64_Dyn& dynamic_entry(Elf& elf, std::int64_t tag) {
  const Elf64_Phdr dynamic = first_segment(elf, PT_DYNAMIC);
  for (std::uint64_t i = 0; i < dynamic.p_filesz / sizeof(Elf64_Dyn); ++i) {
    auto& entry = at<Elf64_Dyn>(elf, dynamic.p_offset + i * sizeof(Elf64_Dyn));
    if (entry.d_tag == tag) return entry;
  }
  throw std::runtime_error("no such dynamic entry");
}

// File offset of a virtual address.
std::uint64_t file_offset(Elf& elf, std::uint64_t address) {
  for (unsigned i = 0; i < header(elf).e_phnum; ++i) {
    const Elf64_Phdr& s = segment(elf, i);
    if (s.p_type == PT_LOAD && address >= s.p_vaddr && address < s.p_vaddr + s.p_filesz) {
      return s.p_offset + (address - s.p_vaddr);
    }
  }
  throw std::runtime_error("address is not in the file");
}

Elf64_Rela& first_rela(Elf& elf) { return at<Elf64_Rela>(elf, file_offset(elf, dynamic_entry(elf, DT_RELA).d_un.d_ptr)); }

Elf kernel() { return sgx_test::read_bytes(sgx_test::data_path("kernel.elf")); }

TEST(KernelImage, PlacesSegmentsWithTheirPermissions) {
  Elf elf = kernel();
  const auto image = sgx::place_kernel(elf, kBase);
  ASSERT_TRUE(image.has_value()) << image.error().message;
  EXPECT_EQ(image->bytes.size() % 4096, 0U);
  EXPECT_EQ(image->entry, header(elf).e_entry);
  ASSERT_EQ(image->runs.size(), 4U);
  EXPECT_EQ(image->runs[0].permissions, sgx::kSecinfoR);
  EXPECT_EQ(image->runs[1].permissions, sgx::kSecinfoR | sgx::kSecinfoX);
  EXPECT_EQ(image->runs[2].permissions, sgx::kSecinfoR);  // RELRO
  EXPECT_EQ(image->runs[3].permissions, sgx::kSecinfoR | sgx::kSecinfoW);
  EXPECT_GE(image->data.size, 5U * 4096U);  // .bss is in it
  EXPECT_GT(image->relro.size, 0U);
  EXPECT_LT(image->entry - image->text.start, image->text.size);
  EXPECT_EQ(image->data.end(), image->bytes.size());
}

TEST(KernelImage, AppliesRelocations) {
  Elf elf = kernel();
  const auto image = sgx::place_kernel(elf, kBase);
  ASSERT_TRUE(image.has_value());
  const std::uint64_t count = dynamic_entry(elf, DT_RELASZ).d_un.d_val / sizeof(Elf64_Rela);
  ASSERT_GE(count, 3U);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Elf64_Rela& rela = (&first_rela(elf))[i];
    std::uint64_t value = 0;
    std::memcpy(&value, image->bytes.data() + rela.r_offset, sizeof(value));
    EXPECT_EQ(value, kBase + static_cast<std::uint64_t>(rela.r_addend));
  }
}

TEST(KernelImage, PackedRelocationsGiveTheSamePointers) {
  Elf packed = sgx_test::read_bytes(sgx_test::data_path("kernel_relr.elf"));
  EXPECT_GT(dynamic_entry(packed, DT_RELRSZ).d_un.d_val, 0U);
  const auto zero = sgx::place_kernel(packed, 0);
  const auto placed = sgx::place_kernel(packed, kBase);
  ASSERT_TRUE(zero && placed);
  // Every word that differs moved by the base, and there are as many as in the unpacked kernel.
  std::uint64_t moved = 0;
  for (std::size_t i = 0; i < zero->bytes.size(); i += 8) {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::memcpy(&a, zero->bytes.data() + i, 8);
    std::memcpy(&b, placed->bytes.data() + i, 8);
    if (a == b) continue;
    EXPECT_EQ(b - a, kBase);
    ++moved;
  }
  Elf plain = kernel();
  EXPECT_EQ(moved, dynamic_entry(plain, DT_RELASZ).d_un.d_val / sizeof(Elf64_Rela));
}

struct Case {
  const char* expected;
  std::function<void(Elf&)> change;
};

TEST(KernelImage, RefusesWhatItCannotPlace) {
  const std::vector<Case> cases{
      {"not a 64-bit", [](Elf& e) { e[4] = ELFCLASS32; }},
      {"not a 64-bit", [](Elf& e) { e.resize(20); }},
      {"not an x86-64", [](Elf& e) { header(e).e_machine = EM_AARCH64; }},
      {"not a static-PIE", [](Elf& e) { header(e).e_type = ET_EXEC; }},
      {"bad size of program headers", [](Elf& e) { header(e).e_phentsize = 55; }},
      {"bad number of program headers", [](Elf& e) { header(e).e_phnum = 0; }},
      {"program headers lie outside", [](Elf& e) { header(e).e_phoff = e.size() - 8; }},
      {"program headers lie outside", [](Elf& e) { header(e).e_phoff = ~std::uint64_t{0}; }},
      {"program interpreter", [](Elf& e) { first_segment(e, PT_GNU_STACK).p_type = PT_INTERP; }},
      {"thread-local", [](Elf& e) { first_segment(e, PT_GNU_STACK).p_type = PT_TLS; }},
      {"writable and executable", [](Elf& e) { first_segment(e, PT_LOAD, PF_R | PF_X).p_flags |= PF_W; }},
      {"no segment to load",
       [](Elf& e) {
         for (unsigned i = 0; i < header(e).e_phnum; ++i) {
           if (segment(e, i).p_type == PT_LOAD) segment(e, i).p_type = PT_NULL;
         }
       }},
      {"beyond 256 MiB", [](Elf& e) { first_segment(e, PT_LOAD, PF_R | PF_W).p_memsz = std::uint64_t{1} << 40; }},
      {"beyond 256 MiB", [](Elf& e) { first_segment(e, PT_LOAD, PF_R | PF_W).p_vaddr = ~std::uint64_t{0} - 100; }},
      {"outside the file", [](Elf& e) { first_segment(e, PT_LOAD, PF_R | PF_X).p_offset = e.size(); }},
      {"outside the file", [](Elf& e) { first_segment(e, PT_LOAD, PF_R | PF_X).p_filesz = ~std::uint64_t{0}; }},
      {"share the page", [](Elf& e) { first_segment(e, PT_LOAD, PF_R | PF_X).p_vaddr = 0; }},
      {"not linked at address 0", [](Elf& e) { first_segment(e, PT_LOAD, PF_R).p_type = PT_NULL; }},
      {"entry point is not in executable", [](Elf& e) { header(e).e_entry = 0; }},
      {"entry point is not in executable", [](Elf& e) { header(e).e_entry = ~std::uint64_t{0}; }},
      {"no dynamic section", [](Elf& e) { first_segment(e, PT_DYNAMIC).p_type = PT_NULL; }},
      {"dynamic section lies outside", [](Elf& e) { first_segment(e, PT_DYNAMIC).p_vaddr = ~std::uint64_t{0} - 3; }},
      {"shared library", [](Elf& e) { dynamic_entry(e, DT_RELAENT).d_tag = DT_NEEDED; }},
      {"other than R_X86_64_RELATIVE", [](Elf& e) { dynamic_entry(e, DT_RELAENT).d_tag = DT_JMPREL; }},
      {"in its text", [](Elf& e) { dynamic_entry(e, DT_RELAENT).d_tag = DT_TEXTREL; }},
      {"in its text",
       [](Elf& e) {
         dynamic_entry(e, DT_RELAENT).d_un.d_val = DF_TEXTREL;
         dynamic_entry(e, DT_RELAENT).d_tag = DT_FLAGS;
       }},
      {"global constructors", [](Elf& e) { dynamic_entry(e, DT_RELAENT).d_tag = DT_INIT_ARRAYSZ; }},
      {"init or fini", [](Elf& e) { dynamic_entry(e, DT_RELAENT).d_tag = DT_INIT; }},
      {"bad size of relocation", [](Elf& e) { dynamic_entry(e, DT_RELAENT).d_un.d_val = 16; }},
      {"bad size of relocation", [](Elf& e) { dynamic_entry(e, DT_RELASZ).d_un.d_val += 1; }},
      {"relocations lie outside", [](Elf& e) { dynamic_entry(e, DT_RELA).d_un.d_val = ~std::uint64_t{0} - 7; }},
      {"relocation of type 1", [](Elf& e) { first_rela(e).r_info = R_X86_64_64; }},
      {"relocation of type 8", [](Elf& e) { first_rela(e).r_info = ELF64_R_INFO(std::uint64_t{3}, R_X86_64_RELATIVE); }},
      {"not in a writable segment", [](Elf& e) { first_rela(e).r_offset = header(e).e_entry; }},
      {"not in a writable segment", [](Elf& e) { first_rela(e).r_offset = ~std::uint64_t{0} - 3; }},
      {"RELRO range lies outside", [](Elf& e) { first_segment(e, PT_GNU_RELRO).p_memsz = std::uint64_t{1} << 50; }},
      {"not in the order",
       [](Elf& e) {
         Elf64_Phdr& relro = first_segment(e, PT_GNU_RELRO);
         relro.p_vaddr += relro.p_memsz;  // a read-only page amid the writable ones
         relro.p_memsz = 4096;
       }},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Elf elf = kernel();
    cases[i].change(elf);
    const std::string error = sgx_test::error_of(sgx::place_kernel(elf, kBase));
    EXPECT_NE(error.find(cases[i].expected), std::string::npos) << "case " << i << ": " << error;
  }
}

TEST(KernelImage, BadPackedRelocationsAreRefused) {
  const Elf good = sgx_test::read_bytes(sgx_test::data_path("kernel_relr.elf"));
  const auto error_with = [&good](std::uint64_t first_entry) {
    Elf elf = good;
    at<Elf64_Relr>(elf, file_offset(elf, dynamic_entry(elf, DT_RELR).d_un.d_ptr)) = first_entry;
    return sgx_test::error_of(sgx::place_kernel(elf, kBase));
  };
  EXPECT_NE(error_with(std::uint64_t{1} << 40).find("lies outside the image"), std::string::npos);
  EXPECT_NE(error_with(0).find("not in a writable segment"), std::string::npos);
  EXPECT_NE(error_with(~std::uint64_t{0}).find("not in a writable segment"), std::string::npos);  // a bitmap without an address
}

TEST(KernelImage, GapsBetweenSegmentsStayEmpty) {
  const Elf elf = sgx_test::read_bytes(sgx_test::data_path("kernel_gaps.elf"));
  const auto image = sgx::place_kernel(elf, kBase);
  ASSERT_TRUE(image.has_value()) << image.error().message;
  std::uint64_t pages = 0;
  for (const sgx::PageRun& run : image->runs) pages += run.size;
  EXPECT_LT(pages, image->bytes.size());
  EXPECT_GE(image->runs.size(), 4U);
}

TEST(KernelImage, EmptySegmentsAndNoRelroAreFine) {
  Elf elf = kernel();
  Elf64_Phdr& stack = first_segment(elf, PT_GNU_STACK);
  stack.p_type = PT_LOAD;
  stack.p_flags = PF_R | PF_W;
  EXPECT_TRUE(sgx::place_kernel(elf, kBase).has_value());

  const Elf plain = sgx_test::read_bytes(sgx_test::data_path("kernel_norelro.elf"));
  const auto image = sgx::place_kernel(plain, kBase);
  ASSERT_TRUE(image.has_value()) << image.error().message;
  EXPECT_EQ(image->relro.size, 0U);
  EXPECT_EQ(image->runs.size(), 3U);
}

TEST(KernelImage, RandomDamageNeverCrashes) {
  const Elf good = kernel();
  std::mt19937_64 random(1);
  for (int i = 0; i < 4000; ++i) {
    Elf elf = good;
    // Mostly in the headers and tables, where bytes have meaning.
    for (int k = 0; k < 3; ++k) elf[random() % (k == 0 ? 512 : elf.size())] = static_cast<std::uint8_t>(random());
    const auto image = sgx::place_kernel(elf, kBase);
    if (image) EXPECT_EQ(image->bytes.size() % 4096, 0U);
  }
}

}  // namespace
