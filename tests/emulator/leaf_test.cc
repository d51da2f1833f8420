// Runs the table of leaf cases in every mode.
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "tests/emulator/cases.h"

namespace emulator_test {
namespace {

std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const auto cases : {encls_cases(), enclu_cases(), entry_cases()}) all.insert(all.end(), cases.begin(), cases.end());
  return all;
}

class Leaf : public testing::TestWithParam<std::tuple<Case, ModeParam>> {};

TEST_P(Leaf, BehavesAsTheManualSays) {
  const auto& [leaf_case, mode] = GetParam();
  EXPECT_TRUE(leaf_case.run(mode));
}

INSTANTIATE_TEST_SUITE_P(Cases, Leaf, testing::Combine(testing::ValuesIn(all_cases()), testing::ValuesIn(kModes)), [](const auto& info) {
  const ModeParam mode = std::get<1>(info.param);
  const std::string name = mode.mode == emulator::Mode::strict ? "strict" : mode.assertions ? "fast_asserting" : "fast";
  return std::string(std::get<0>(info.param).name) + "_" + name;
});

}  // namespace
}  // namespace emulator_test
