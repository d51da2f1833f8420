// For each check of the leaves: with that one check switched off some case must fail. So no check is missing from the tests, and none is
// without effect.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "emulator/checks.h"
#include "tests/emulator/cases.h"

namespace emulator_test {
namespace {

// All cases in a child process. True if all pass; a crash or a hang is a failure of a case.
bool all_pass(emulator::CheckId disabled, const ModeParam& mode) {
  const pid_t child = fork();
  if (child == 0) {
    constexpr unsigned kSeconds = 20;
    alarm(kSeconds);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(2);
    emulator::g_disabled_check = disabled;
    for (const auto cases : {encls_cases(), enclu_cases(), entry_cases()}) {
      for (const Case& leaf_case : cases) {
        if (!leaf_case.run(mode)) _exit(1);
      }
    }
    _exit(0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace
}  // namespace emulator_test

int main() {
  using namespace emulator_test;
  static_cast<void>(test_key());
  int failures = 0;
  for (const ModeParam& mode : {kModes[0], kModes[2]}) {
    const char* name = mode.mode == emulator::Mode::strict ? "strict" : "fast";
    if (!all_pass(emulator::CheckId::count, mode)) {
      std::printf("FAILED (%s): with all checks on some case fails\n", name);
      ++failures;
    }
    for (unsigned i = 0; i < static_cast<unsigned>(emulator::CheckId::count); ++i) {
      const auto id = static_cast<emulator::CheckId>(i);
      if (!all_pass(id, mode)) continue;
      const std::string_view check = emulator::check_name(id);
      std::printf("FAILED (%s): no case notices that check %.*s is off\n", name, static_cast<int>(check.size()), check.data());
      ++failures;
    }
  }
  std::printf("%u checks, %d not noticed\n", static_cast<unsigned>(emulator::CheckId::count), failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
