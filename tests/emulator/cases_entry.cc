// What EENTER and ERESUME check.
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <thread>
#include <unistd.h>

#include "tests/emulator/cases.h"

namespace emulator_test {
namespace {

constexpr u32 kEenter = 2;
constexpr u32 kEresume = 3;

// The entry with this leaf faults with `vector` before anything ran.
bool refused(TestEnclave& enclave, u64 tcs, u32 leaf, u32 vector) {
  Command command{};
  sgx::EnclaveRun run{};
  run.tcs = tcs;
  if (emulator::enter(reinterpret_cast<u64>(&command), 0, 0, leaf, 0, 0, &run) != 0) return false;
  static_cast<void>(enclave);
  return run.function == leaf && run.exception_vector == vector && command.steps == 0;
}

bool before_einit(const ModeParam& mode) {
  BuildParams params = build(mode);
  params.initialize = false;
  TestEnclave enclave(params);
  WANT(refused(enclave, enclave.tcs(), kEenter, 13));
  return true;
}

// TCS contents that EADD takes but EENTER refuses.
bool bad_tcs(const ModeParam& mode) {
  BuildParams params = build(mode);
  params.initialize = false;
  TestEnclave enclave(params);
  sgx::Tcs tcs[4] = {make_tcs(0), make_tcs(0), make_tcs(0), make_tcs(0)};
  tcs[0].ossa += 8;
  tcs[1].ofsbase += 8;
  tcs[2].ogsbase += 8;
  tcs[3].oentry = u64{1} << 60;
  WANT(enclave->eadd_range(kDynamic, sizeof(tcs), sgx::kSecinfoTcs, tcs, false).ok());
  sgx::SigstructFields fields = enclave.fields();
  fields.enclave_hash = enclave.hash_with_unmeasured_tcs(kDynamic, 4);
  WANT(enclave->einit(enclave.sign(&fields)).ok());
  for (u64 i = 0; i < 4; ++i) WANT(refused(enclave, enclave.address(kDynamic + i * kPage), kEenter, 13));
  return true;
}

bool tcs_address(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  WANT(refused(enclave, enclave.tcs() + 8, kEenter, 13));
  WANT(refused(enclave, enclave.address(kData), kEenter, 14));
  WANT(refused(enclave, enclave.address(kDynamic), kEenter, 14));
  WANT(refused(enclave, enclave.address(kSize), kEenter, 14));
  WANT(refused(enclave, enclave.tcs() + 8, kEresume, 13));
  WANT(refused(enclave, enclave.address(kData), kEresume, 14));
  enclave->set_present(tcs_offset(0), kPage, false);
  WANT(refused(enclave, enclave.tcs(), kEenter, 14));
  enclave->set_present(tcs_offset(0), kPage, true);
  Command command{};
  WANT(enclave.enter(command) == 0 && command.steps == 1);
  return true;
}

bool ssa_frames(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 frame0 = tcs_offset(0) + kSsaOffset;
  enclave->set_present(frame0, kPage, false);
  WANT(refused(enclave, enclave.tcs(), kEenter, 14));
  enclave->set_present(frame0, kPage, true);
  WANT(enclave->emodpr_range(frame0, kPage, sgx::kSecinfoR).ok());
  WANT(refused(enclave, enclave.tcs(), kEenter, 14));
  // A frame that is not there at all.
  WANT(enclave->eremove(tcs_offset(1) + kSsaOffset).ok());
  WANT(refused(enclave, enclave.tcs(1), kEenter, 14));
  return true;
}

bool cssa(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  WANT(refused(enclave, enclave.tcs(), kEresume, 13));
  Command command{};
  command.op = OP_UD2;
  for (u32 i = 0; i < kSsaFrames; ++i) {
    WANT(enclave.enter(command) == 0 && enclave.run().function == 3 && command.cssa == i);
  }
  WANT(refused(enclave, enclave.tcs(), kEenter, 13));
  return true;
}

bool busy(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  Command command{};
  command.op = OP_SPIN;
  command.in[2] = enclave->identity().attributes.xfrm;
  std::thread other([&] {
    sgx::EnclaveRun run{};
    run.tcs = enclave.tcs();
    emulator::enter(reinterpret_cast<u64>(&command), 0, 0, kEenter, 0, 0, &run);
  });
  while (command.in[1] == 0) usleep(100);
  const bool good = refused(enclave, enclave.tcs(), kEenter, 13);
  command.in[0] = 1;
  other.join();
  WANT(good);
  WANT(command.out[0] == 0);
  return true;
}

// ERESUME looks at what the SSA frame holds.
bool resumed_state(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 frame = tcs_offset(0) + kSsaOffset;
  const u64 gpr = frame + kPage - sizeof(sgx::SsaGpr);
  Command command{};
  command.op = OP_UD2;
  WANT(enclave.enter(command) == 0 && enclave.run().function == 3);
  const auto with = [&](u64 offset, u64 value) {
    u64 old = 0;
    enclave.peek(offset, &old, sizeof(old));
    enclave.poke(offset, &value, sizeof(value));
    const bool good = refused(enclave, enclave.tcs(), kEresume, 13);
    enclave.poke(offset, &old, sizeof(old));
    // Refused before anything changed, not interrupted after.
    return good && enclave->counters().aex == 1 && enclave->counters().eresume == 0;
  };
  WANT(with(frame + 512, u64{1} << 62));       // XSTATE_BV: a component that XFRM does not have
  WANT(with(frame + 520, u64{1} << 63));       // XCOMP_BV: compacted form
  WANT(with(frame + 24, 0xffff'ffff));         // MXCSR: reserved bits
  WANT(with(gpr + offsetof(sgx::SsaGpr, rip), u64{1} << 60));
  WANT(with(gpr + offsetof(sgx::SsaGpr, fsbase), u64{1} << 60));
  WANT(with(gpr + offsetof(sgx::SsaGpr, gsbase), u64{1} << 60));
  enclave.handle(2);
  WANT(enclave.resume() == 0 && enclave.run().function == 4 && command.steps == 1);
  return true;
}

constexpr Case kCases[] = {
    {"before_einit", before_einit}, {"bad_tcs", bad_tcs}, {"tcs_address", tcs_address},     {"ssa_frames", ssa_frames},
    {"cssa", cssa},                 {"busy", busy},       {"resumed_state", resumed_state},
};

}  // namespace

std::span<const Case> entry_cases() { return kCases; }

}  // namespace emulator_test
