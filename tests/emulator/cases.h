// What each leaf must refuse and do, as a table of functions: run as unit tests in every mode, and by the mutation test, which switches
// one check off and wants a case to fail.
#ifndef TESTS_EMULATOR_CASES_H
#define TESTS_EMULATOR_CASES_H

#include <span>

#include "tests/emulator/fixture.h"

namespace emulator_test {

struct Case {
  const char* name;
  // True if everything was as the manual says; else a line on stderr says what was not.
  bool (*run)(const ModeParam& mode);
};
std::span<const Case> encls_cases();
std::span<const Case> enclu_cases();
std::span<const Case> entry_cases();

// In a case: leaves it unless `condition` holds.
#define WANT(condition)                                                            \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      return false;                                                                \
    }                                                                              \
  } while (false)

inline BuildParams build(const ModeParam& mode) { return {.mode = mode.mode, .assertions = mode.assertions}; }

}  // namespace emulator_test
#endif  // TESTS_EMULATOR_CASES_H
