// EENTER, EEXIT, AEX, ERESUME as an enclave and its host see them.
#include <gtest/gtest.h>

#include "tests/emulator/fixture.h"

namespace emulator_test {
namespace {

class Transition : public testing::TestWithParam<emulator::Mode> {
 protected:
  TestEnclave enclave_{BuildParams{.mode = GetParam()}};
};

TEST_P(Transition, EnterAndLeave) {
  Command command{};
  ASSERT_EQ(enclave_.enter(command), 0);
  EXPECT_EQ(enclave_.run().function, 4U);
  EXPECT_EQ(command.steps, 1U);
  EXPECT_EQ(command.cssa, 0U);
  const emulator::Counters counters = enclave_->counters();
  EXPECT_EQ(counters.eenter, 1U);
  EXPECT_EQ(counters.eexit, 1U);
  EXPECT_EQ(counters.aex, 0U);
}

TEST_P(Transition, BasesComeFromTheTcs) {
  Command command{};
  command.op = OP_BASES;
  ASSERT_EQ(enclave_.enter(command, 1), 0);
  EXPECT_EQ(command.out[0], enclave_.address(tcs_offset(1) + kFsOffset));
  EXPECT_EQ(command.out[1], enclave_.address(tcs_offset(1) + kGsOffset));
}

INSTANTIATE_TEST_SUITE_P(Modes, Transition, testing::Values(emulator::Mode::strict, emulator::Mode::fast),
                         [](const auto& info) { return info.param == emulator::Mode::fast ? "fast" : "strict"; });

}  // namespace
}  // namespace emulator_test
