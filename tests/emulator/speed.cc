// Prints what leaves cost in both modes. Not a test: figures for docs/emulator.md.
#include <cstdio>
#include <ctime>

#include "tests/emulator/fixture.h"

namespace {

double now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void measure(emulator::Mode mode) {
  using namespace emulator_test;
  TestEnclave enclave(BuildParams{.mode = mode, .assertions = false});
  const char* name = mode == emulator::Mode::fast ? "fast" : "strict";
  Command command{};
  sgx::EnclaveRun run{};
  run.tcs = enclave.tcs();
  double best = 1e12;
  // Many short measurements, the best counts: others use the machine too.
  constexpr int kRepeats = 300;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    constexpr int kRounds = 50;
    const double start = now_ns();
    for (int i = 0; i < kRounds; ++i) emulator::enter(0, 0, 0, 2, 0, 0, &run);
    best = std::min(best, (now_ns() - start) / kRounds);
  }
  std::printf("%s: EENTER + EEXIT %.0f ns\n", name, best);
  double faults = 1e12;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    constexpr int kRounds = 20;
    const double start = now_ns();
    for (int i = 0; i < kRounds; ++i) {
      command.op = OP_SYSCALL;
      enclave.enter(command);
      enclave.handle(2);
      enclave.resume();
    }
    faults = std::min(faults, (now_ns() - start) / kRounds);
  }
  std::printf("%s: raw syscall: EENTER, AEX, EENTER, EEXIT, ERESUME, EEXIT %.0f ns\n", name, faults);
  constexpr u64 kPages = 4096;
  const auto loop = [&](u64 leaf, u64 rdx, u64 flags) {
    enclave.put_secinfo(flags);
    command = {};
    command.op = OP_ENCLU_LOOP;
    command.in[0] = leaf;
    command.in[1] = enclave.address(kData);
    command.in[2] = enclave.address(kDynamic);
    command.in[3] = rdx;
    command.in[4] = kPages;
    const double start = now_ns();
    emulator::enter(reinterpret_cast<u64>(&command), 0, 0, 2, 0, 0, &run);
    return (now_ns() - start) / kPages;
  };
  double start = now_ns();
  enclave->eaug_range(kDynamic, kPages * kPage);
  std::printf("%s: EAUG %.0f ns\n", name, (now_ns() - start) / kPages);
  double each = loop(5, 0, sgx::kSecinfoRegRw | sgx::kSecinfoPending);
  std::printf("%s: EACCEPT %.1f ns (%lu good)\n", name, each, command.out[0]);
  each = loop(6, 0, sgx::kSecinfoX | sgx::kSecinfoR | sgx::secinfo_flags(sgx::PageType::reg, 0));
  std::printf("%s: EMODPE %.1f ns (%lu good)\n", name, each, command.out[0]);
  enclave->emodt_range(kDynamic, kPages * kPage, sgx::PageType::trim);
  each = loop(5, 0, sgx::secinfo_flags(sgx::PageType::trim, 0) | sgx::kSecinfoModified);
  std::printf("%s: EACCEPT of a trim %.1f ns (%lu good)\n", name, each, command.out[0]);
  start = now_ns();
  enclave->eremove_range(kDynamic, kPages * kPage);
  std::printf("%s: EREMOVE %.0f ns\n", name, (now_ns() - start) / kPages);
  enclave->eaug_range(kDynamic, kPages * kPage);
  each = loop(7, enclave.address(kData + kPage), sgx::kSecinfoRegRw);
  std::printf("%s: EACCEPTCOPY %.0f ns (%lu good)\n", name, each, command.out[0]);
}

}  // namespace

int main() {
  measure(emulator::Mode::strict);
  measure(emulator::Mode::fast);
}
