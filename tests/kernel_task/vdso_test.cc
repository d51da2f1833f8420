// The vDSO as programs use it: mapped behind a data page, found by symbol, its clocks computed from the page.
#include <elf.h>
#include <sys/mman.h>
#include <time.h>
#include <x86intrin.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernel/task/vdso/data.h"

namespace {

class Vdso : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(VDSO_FILE, std::ios::binary);
    const std::vector<char> image((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    ASSERT_GT(image.size(), sizeof(Elf64_Ehdr));
    ASSERT_LE(image.size(), 4096u);
    void* memory = mmap(nullptr, VDSO_DATA_SIZE + 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    data_ = static_cast<VdsoData*>(memory);
    base_ = static_cast<char*>(memory) + VDSO_DATA_SIZE;
    std::memcpy(base_, image.data(), image.size());
    header_ = reinterpret_cast<const Elf64_Ehdr*>(base_);
    data_->mult = 1 << 20;
    data_->shift = 20;  // one tick = one nanosecond
    data_->base_tsc = __rdtsc();
    data_->base_monotonic_ns = 5'000'000'000;
    data_->realtime_offset_ns = 1'700'000'000'000'000'000;
    data_->boottime_offset_ns = 7;
  }
  void TearDown() override {
    if (data_ != nullptr) munmap(data_, VDSO_DATA_SIZE + 4096);
  }
  const Elf64_Phdr* segment(std::uint32_t type) const {
    const auto* table = reinterpret_cast<const Elf64_Phdr*>(base_ + header_->e_phoff);
    for (int i = 0; i < header_->e_phnum; ++i)
      if (table[i].p_type == type) return &table[i];
    return nullptr;
  }
  // Through the dynamic section, as libraries do it.
  template <class F>
  F* function(const std::string& name) const {
    const Elf64_Sym* symbols = nullptr;
    const char* strings = nullptr;
    const std::uint32_t* hash = nullptr;
    for (const auto* entry = reinterpret_cast<const Elf64_Dyn*>(base_ + segment(PT_DYNAMIC)->p_vaddr); entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const Elf64_Sym*>(base_ + entry->d_un.d_ptr);
      if (entry->d_tag == DT_STRTAB) strings = base_ + entry->d_un.d_ptr;
      if (entry->d_tag == DT_HASH) hash = reinterpret_cast<const std::uint32_t*>(base_ + entry->d_un.d_ptr);
    }
    if (symbols == nullptr || strings == nullptr || hash == nullptr) return nullptr;
    for (std::uint32_t i = 0; i < hash[1]; ++i)
      if (name == strings + symbols[i].st_name) return reinterpret_cast<F*>(base_ + symbols[i].st_value);
    return nullptr;
  }

  VdsoData* data_ = nullptr;
  char* base_ = nullptr;
  const Elf64_Ehdr* header_ = nullptr;
};

using ClockFunction = int(int, timespec*);

TEST_F(Vdso, IsItsOwnMemoryImage) {
  const Elf64_Phdr* load = segment(PT_LOAD);
  ASSERT_NE(load, nullptr);
  EXPECT_EQ(load->p_vaddr, 0u);
  EXPECT_EQ(load->p_offset, 0u);
  EXPECT_EQ(load->p_filesz, load->p_memsz);
  EXPECT_EQ(load->p_flags, static_cast<std::uint32_t>(PF_R | PF_X));
  ASSERT_NE(segment(PT_DYNAMIC), nullptr);
  EXPECT_EQ(segment(PT_DYNAMIC)->p_flags & PF_W, 0u);  // a writable one would be relocated in place
  ASSERT_NE(segment(PT_GNU_EH_FRAME), nullptr);
  for (const char* name : {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu", "__vdso_clock_getres", "clock_gettime"})
    EXPECT_NE(function<void()>(name), nullptr) << name;
}

TEST_F(Vdso, ComputesClocksFromThePage) {
  auto* clock = function<ClockFunction>("__vdso_clock_gettime");
  ASSERT_NE(clock, nullptr);
  timespec monotonic{}, realtime{}, boottime{};
  ASSERT_EQ(clock(CLOCK_MONOTONIC, &monotonic), 0);
  ASSERT_EQ(clock(CLOCK_REALTIME, &realtime), 0);
  ASSERT_EQ(clock(CLOCK_BOOTTIME, &boottime), 0);
  EXPECT_GE(monotonic.tv_sec, 5);
  EXPECT_GE(realtime.tv_sec, 1'700'000'005);
  EXPECT_LT(realtime.tv_sec, 1'700'000'100);
  for (const timespec& time : {monotonic, realtime, boottime}) {
    EXPECT_GE(time.tv_nsec, 0);
    EXPECT_LT(time.tv_nsec, 1'000'000'000);
  }
}

TEST_F(Vdso, NeverGoesBack) {
  auto* clock = function<ClockFunction>("__vdso_clock_gettime");
  timespec last{};
  for (int i = 0; i < 100000; ++i) {
    timespec now{};
    ASSERT_EQ(clock(CLOCK_MONOTONIC, &now), 0);
    ASSERT_FALSE(now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec));
    last = now;
  }
  data_->base_tsc = ~std::uint64_t{0};  // a base in the future counts as no time passed
  timespec now{};
  ASSERT_EQ(clock(CLOCK_MONOTONIC, &now), 0);
  EXPECT_EQ(now.tv_sec, 5);
  EXPECT_EQ(now.tv_nsec, 0);
}

TEST_F(Vdso, OtherFunctions) {
  timeval time{};
  auto* gettimeofday_function = function<int(timeval*, void*)>("__vdso_gettimeofday");
  ASSERT_EQ(gettimeofday_function(&time, nullptr), 0);
  EXPECT_GE(time.tv_sec, 1'700'000'005);
  EXPECT_LT(time.tv_usec, 1'000'000);
  std::int64_t seconds = 0;
  EXPECT_EQ(function<std::int64_t(std::int64_t*)>("__vdso_time")(&seconds), seconds);
  timespec resolution{};
  EXPECT_EQ(function<ClockFunction>("__vdso_clock_getres")(CLOCK_MONOTONIC, &resolution), 0);
  EXPECT_EQ(resolution.tv_nsec, 1);
}

TEST_F(Vdso, SigreturnCodeIsWhereTheKernelExpectsIt) {
  const auto* code = reinterpret_cast<const unsigned char*>(base_ + VDSO_SIGRETURN_OFFSET);
  EXPECT_EQ(code[-1], 0x90);  // nop: unwinders look up the byte before
  EXPECT_EQ(code[0], 0xb8);   // mov $15, %eax
  EXPECT_EQ(code[1], 15);
}

}  // namespace
