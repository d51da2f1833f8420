// The host's page tables are a cache of the EPCM that may have few entries.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/emulator/fixture.h"

namespace emulator_test {
namespace {

constexpr u64 kScattered = 0x0100'0000;  // below everything that the enclave was built with
constexpr u64 kEnd = kCode;
constexpr u32 kEaccept = 5;

// How many mappings of the host lie in [start, end).
u64 count_mappings(u64 start, u64 end) {
  std::ifstream maps("/proc/self/maps");
  u64 count = 0;
  for (std::string line; std::getline(maps, line);) {
    const u64 at = std::stoull(line, nullptr, 16);
    count += at >= start && at < end ? 1 : 0;
  }
  return count;
}

class PageTable : public testing::TestWithParam<ModeParam> {
 protected:
  TestEnclave make(u64 max_mappings) const {
    return TestEnclave(BuildParams{.mode = GetParam().mode, .assertions = GetParam().assertions, .max_mappings = max_mappings});
  }
  // A load or store in the enclave, which must not fault there.
  static u64 access(TestEnclave& enclave, u64 op, u64 offset, u64 value = 0) {
    Command command{};
    command.op = op;
    command.in[0] = enclave.address(offset);
    command.in[1] = value;
    EXPECT_EQ(enclave.enter(command), 0);
    EXPECT_EQ(enclave.run().function, 4U);
    return command.out[0];
  }
  static void add_page(TestEnclave& enclave, u64 secinfo, u64 offset) {
    ASSERT_TRUE(enclave->eaug(offset).ok());
    ASSERT_EQ(enclave.leaf(kEaccept, secinfo, enclave.address(offset)).rax, 0U);
  }
};

// Every other page is there, so that each is a mapping of its own.
TEST_P(PageTable, FewMappingsAreEnough) {
  constexpr u64 kPages = 400;
  constexpr u64 kMappings = 200;
  TestEnclave enclave = make(kMappings);
  const u64 secinfo = enclave.put_secinfo(sgx::kSecinfoRegRw | sgx::kSecinfoPending);
  u64 most = 0;
  for (u64 i = 0; i < kPages; ++i) {
    const u64 offset = kScattered + 2 * i * kPage;
    add_page(enclave, secinfo, offset);
    access(enclave, OP_STORE, offset, i & 0xff);
    most = std::max(most, count_mappings(0, kSize));
  }
  EXPECT_LE(most, kMappings + 2);  // the emulator's own page is not counted
  EXPECT_GT(most, kMappings / 2);
  for (u64 i = 0; i < kPages; ++i) EXPECT_EQ(access(enclave, OP_LOAD, kScattered + 2 * i * kPage), i & 0xff);
  EXPECT_GE(enclave->counters().tables_forgotten, 4U);
  // Less access is less although there was no room to say so.
  for (u64 i = 0; i < kPages; ++i) ASSERT_TRUE(enclave->emodpr_range(kScattered + 2 * i * kPage, kPage, 0).ok());
  Command command{};
  command.op = OP_LOAD;
  command.in[0] = enclave.address(kScattered + 2 * (kPages - 1) * kPage);
  ASSERT_EQ(enclave.enter(command), 0);
  EXPECT_EQ(enclave.run().function, 3U);
  EXPECT_EQ(enclave.run().exception_vector, 14U);
}

// Neighbours that have become alike are one mapping again, whatever the order in which they came.
TEST_P(PageTable, EqualNeighboursJoin) {
  constexpr u64 kPages = 100;
  TestEnclave enclave = make(0);
  const u64 secinfo = enclave.put_secinfo(sgx::kSecinfoRegRw | sgx::kSecinfoPending);
  for (const u64 first : {u64{0}, u64{1}}) {
    for (u64 i = first; i < kPages; i += 2) {
      add_page(enclave, secinfo, kScattered + i * kPage);
      access(enclave, OP_STORE, kScattered + i * kPage, i);
    }
    if (first == 0) EXPECT_GT(count_mappings(kScattered, kEnd), kPages / 2);
  }
  EXPECT_LE(count_mappings(kScattered, kEnd), 4U);  // with the emulator's own page
  EXPECT_EQ(enclave->counters().tables_forgotten, 0U);
}

INSTANTIATE_TEST_SUITE_P(Modes, PageTable, testing::ValuesIn(kModes), mode_name<testing::TestParamInfo<ModeParam>>);

}  // namespace
}  // namespace emulator_test
