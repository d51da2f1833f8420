// ENCLU leaves that work on pages, keys and reports.
#include <cstdio>
#include <cstring>

#include "tests/emulator/cases.h"

namespace emulator_test {
namespace {

using emulator::Status;
using sgx::SgxError;
using Outcome = TestEnclave::LeafOutcome;

constexpr u32 kEreport = 0;
constexpr u32 kEgetkey = 1;
constexpr u32 kEenter = 2;
constexpr u32 kEexit = 4;
constexpr u32 kEaccept = 5;
constexpr u32 kEmodpe = 6;
constexpr u32 kEacceptcopy = 7;
constexpr u64 kPendingRw = sgx::kSecinfoRegRw | sgx::kSecinfoPending;
constexpr u64 kTrimAccept = sgx::secinfo_flags(sgx::PageType::trim, 0) | sgx::kSecinfoModified;
constexpr u64 kTcsAccept = sgx::kSecinfoTcs | sgx::kSecinfoModified;

bool is_gp(const Outcome& outcome) { return outcome.faulted && outcome.vector == 13; }
bool is_pf(const Outcome& outcome, u64 address) {
  return outcome.faulted && outcome.vector == 14 && outcome.address == (address & ~(kPage - 1));
}
// Zero flag set exactly with an error code, the other arithmetic flags clear, registers kept.
bool is_code(const Outcome& outcome, SgxError code) {
  const u64 flags = outcome.flags & 0x8d5;
  return !outcome.faulted && outcome.rax == static_cast<u64>(code) && flags == (code == SgxError::success ? 0U : 0x40U) &&
         outcome.registers_kept;
}
bool is_ok(const Outcome& outcome) { return is_code(outcome, SgxError::success); }

bool access(TestEnclave& enclave, u64 op, u64 address, u64 value = 0, u64* out = nullptr) {
  Command command{};
  command.op = op;
  command.in[0] = address;
  command.in[1] = value;
  if (enclave.enter(command) != 0) return false;
  if (out != nullptr) *out = command.out[0];
  if (enclave.run().function == 4) return true;
  enclave.handle(op == OP_LOAD ? 3 : 2);
  enclave.resume();
  return false;
}

// What SECINFO operands must be, for all three leaves.
bool secinfo_operand(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  WANT(enclave->eaug_range(kDynamic, 4 * kPage).ok());
  const u64 page = enclave.address(kDynamic);
  const u64 secinfo = enclave.put_secinfo(kPendingRw);
  alignas(64) static sgx::Secinfo outside{};
  outside.flags = kPendingRw;
  for (const u32 leaf : {kEaccept, kEmodpe, kEacceptcopy}) {
    WANT(is_gp(enclave.leaf(leaf, secinfo + 32, page, secinfo)));
    WANT(is_gp(enclave.leaf(leaf, reinterpret_cast<u64>(&outside), page, secinfo)));
    WANT(is_pf(enclave.leaf(leaf, enclave.address(0x6000'0000), page, secinfo), enclave.address(0x6000'0000)));
    WANT(is_pf(enclave.leaf(leaf, page, page, secinfo), page));                 // a pending page
    WANT(is_pf(enclave.leaf(leaf, enclave.tcs(1), page, secinfo), enclave.tcs(1)));  // a TCS
  }
  sgx::Secinfo reserved{};
  reserved.flags = kPendingRw;
  reserved.reserved[40] = 1;
  enclave.poke(kData, &reserved, sizeof(reserved));
  WANT(is_gp(enclave.leaf(kEaccept, enclave.address(kData), page)));
  WANT(is_gp(enclave.leaf(kEaccept, enclave.put_secinfo(kPendingRw | (u64{1} << 30)), page)));
  WANT(is_ok(enclave.leaf(kEaccept, enclave.put_secinfo(kPendingRw), page)));
  return true;
}

bool eaccept(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 page = enclave.address(kDynamic);
  u64 secinfo = enclave.put_secinfo(kPendingRw);
  WANT(is_pf(enclave.leaf(kEaccept, secinfo, page), page));  // not augmented
  WANT(enclave->eaug_range(kDynamic, 4 * kPage).ok());
  WANT(!access(enclave, OP_LOAD, page));  // not accepted
  WANT(is_gp(enclave.leaf(kEaccept, secinfo, page + 8)));
  alignas(4096) static u8 outside[kPage];
  WANT(is_gp(enclave.leaf(kEaccept, secinfo, reinterpret_cast<u64>(outside))));
  for (const u64 wrong : {u64{sgx::kSecinfoRegR | sgx::kSecinfoPending}, u64{sgx::kSecinfoRegRwx | sgx::kSecinfoPending},
                          u64{sgx::kSecinfoRegRw}, u64{kPendingRw | sgx::kSecinfoModified}, kTrimAccept, kTcsAccept}) {
    WANT(is_code(enclave.leaf(kEaccept, enclave.put_secinfo(wrong), page), SgxError::page_attributes_mismatch));
  }
  // Combinations that no page can have.
  for (const u64 wrong : {u64{sgx::kSecinfoTcs | sgx::kSecinfoPending}, u64{sgx::kSecinfoTcs}, sgx::secinfo_flags(sgx::PageType::trim, 0),
                          sgx::secinfo_flags(sgx::PageType::va, 0), sgx::secinfo_flags(sgx::PageType::secs, 0)}) {
    WANT(is_gp(enclave.leaf(kEaccept, enclave.put_secinfo(wrong), page)));
  }
  secinfo = enclave.put_secinfo(kPendingRw);
  WANT(is_ok(enclave.leaf(kEaccept, secinfo, page)));
  WANT(is_code(enclave.leaf(kEaccept, secinfo, page), SgxError::page_attributes_mismatch));  // twice
  u64 value = 1;
  WANT(access(enclave, OP_LOAD, page, 0, &value) && value == 0);
  WANT(access(enclave, OP_STORE, page + 5, 0x77) && access(enclave, OP_LOAD, page + 5, 0, &value) && value == 0x77);
  WANT(!access(enclave, OP_LOAD, page + kPage));  // its neighbour is still pending
  enclave->set_present(kDynamic + kPage, kPage, false);
  WANT(is_pf(enclave.leaf(kEaccept, secinfo, page + kPage), page + kPage));
  enclave->set_present(kDynamic + kPage, kPage, true);
  for (u64 i = 1; i < 4; ++i) WANT(is_ok(enclave.leaf(kEaccept, secinfo, page + i * kPage)));
  WANT(access(enclave, OP_STORE, page + 3 * kPage, 1));
  WANT(enclave->counters().eaccept == 4);
  return true;
}

bool restrict_and_accept(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 offset = kData + 2 * kPage;
  const u64 page = enclave.address(offset);
  WANT(access(enclave, OP_STORE, page, 3));
  sgx::Secinfo read{};
  read.flags = sgx::kSecinfoR;
  WANT(enclave->emodpr(offset, read).ok());
  WANT(!access(enclave, OP_STORE, page, 4));  // at once, accepted or not
  const u64 secinfo = enclave.put_secinfo(sgx::kSecinfoRegR | sgx::kSecinfoPr);
  WANT(is_code(enclave.leaf(kEaccept, secinfo, page), SgxError::not_tracked));
  WANT(enclave->etrack().ok());
  WANT(is_ok(enclave.leaf(kEaccept, secinfo, page)));
  u64 value = 0;
  WANT(access(enclave, OP_LOAD, page, 0, &value) && value == 3);
  WANT(!access(enclave, OP_STORE, page, 4));
  // And back, from inside.
  WANT(is_ok(enclave.leaf(kEmodpe, enclave.put_secinfo(sgx::kSecinfoRegRw), page)));
  WANT(access(enclave, OP_STORE, page, 4));
  // The range form tracks.
  WANT(enclave->emodpr_range(offset, 2 * kPage, sgx::kSecinfoR).ok());
  WANT(is_ok(enclave.leaf(kEaccept, enclave.put_secinfo(sgx::kSecinfoRegR | sgx::kSecinfoPr), page)));
  return true;
}

bool trim(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 offset = kData + 3 * kPage;
  const u64 page = enclave.address(offset);
  WANT(access(enclave, OP_STORE, page, 3));
  WANT(enclave->emodt_range(offset, kPage, sgx::PageType::trim).ok());
  WANT(!access(enclave, OP_LOAD, page));
  WANT(is_ok(enclave.leaf(kEaccept, enclave.put_secinfo(kTrimAccept), page)));
  WANT(!access(enclave, OP_LOAD, page));
  WANT(enclave->eremove_range(offset, kPage).ok());
  WANT(enclave->page_flags(offset) == emulator::Enclave::kNoPage);
  WANT(enclave->eaug_range(offset, kPage).ok());
  WANT(is_ok(enclave.leaf(kEaccept, enclave.put_secinfo(kPendingRw), page)));
  u64 value = 1;
  WANT(access(enclave, OP_LOAD, page, 0, &value) && value == 0);  // not what was there before
  return true;
}

bool new_tcs(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 offset = kData + 4 * kPage;
  const u64 page = enclave.address(offset);
  const sgx::Tcs good = make_tcs(2);
  sgx::Tcs tcs = good;
  const auto make = [&](const sgx::Tcs& content) {
    enclave.poke(offset, &content, sizeof(content));
    return enclave->emodt_range(offset, kPage, sgx::PageType::tcs).ok();
  };
  const u64 secinfo = enclave.put_secinfo(kTcsAccept);
  tcs.reserved[4000] = 1;
  WANT(make(tcs));
  Command command{};
  sgx::EnclaveRun run{};
  run.tcs = page;
  WANT(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, kEenter, 0, 0, &run) == 0);
  WANT(run.function == kEenter && run.exception_vector == 14);  // not accepted yet
  WANT(is_gp(enclave.leaf(kEaccept, secinfo, page)));
  // The page can only be given up now; start again with another.
  const auto next = [&](u64 index, const sgx::Tcs& content) {
    const u64 at = kData + index * kPage;
    enclave.poke(at, &content, sizeof(content));
    return enclave->emodt_range(at, kPage, sgx::PageType::tcs).ok() ? enclave.address(at) : 0;
  };
  tcs = good;
  tcs.cssa = tcs.nssa;
  WANT(is_gp(enclave.leaf(kEaccept, secinfo, next(5, tcs))));
  tcs = good;
  tcs.aep = 1;
  WANT(is_gp(enclave.leaf(kEaccept, secinfo, next(6, tcs))));
  const u64 fresh = next(7, good);
  WANT(is_ok(enclave.leaf(kEaccept, secinfo, fresh)));
  run.tcs = fresh;
  WANT(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, kEenter, 0, 0, &run) == 0 && run.function == kEexit);
  WANT(command.steps == 1);
  WANT(!access(enclave, OP_LOAD, fresh));
  // And away again.
  WANT(enclave->emodt_range(kData + 7 * kPage, kPage, sgx::PageType::trim).ok());
  WANT(is_ok(enclave.leaf(kEaccept, enclave.put_secinfo(kTrimAccept), fresh)));
  WANT(enclave->eremove_range(kData + 7 * kPage, kPage).ok());
  WANT(emulator::enter(reinterpret_cast<u64>(&command), 0, 0, kEenter, 0, 0, &run) == 0 && run.function == kEenter);
  return true;
}

bool eacceptcopy(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 page = enclave.address(kDynamic);
  const u64 source = enclave.address(kData + kPage);
  u8 content[kPage];
  for (u64 i = 0; i < kPage; ++i) content[i] = static_cast<u8>(i * 7);
  enclave.poke(kData + kPage, content, kPage);
  u64 secinfo = enclave.put_secinfo(sgx::kSecinfoRegRx);
  WANT(is_pf(enclave.leaf(kEacceptcopy, secinfo, page, source), page));
  WANT(enclave->eaug_range(kDynamic, 3 * kPage).ok());
  WANT(is_gp(enclave.leaf(kEacceptcopy, secinfo, page + 64, source)));
  WANT(is_gp(enclave.leaf(kEacceptcopy, secinfo, page, source + 64)));
  alignas(4096) static u8 outside[kPage];
  WANT(is_gp(enclave.leaf(kEacceptcopy, secinfo, page, reinterpret_cast<u64>(outside))));
  WANT(is_pf(enclave.leaf(kEacceptcopy, secinfo, page, page + kPage), page + kPage));  // a pending source
  for (const u64 wrong : {kPendingRw, kTrimAccept, sgx::secinfo_flags(sgx::PageType::reg, sgx::kSecinfoW)}) {
    WANT(is_gp(enclave.leaf(kEacceptcopy, enclave.put_secinfo(wrong), page, source)));
  }
  secinfo = enclave.put_secinfo(sgx::kSecinfoRegRx);
  WANT(is_ok(enclave.leaf(kEacceptcopy, secinfo, page, source)));
  u8 copied[kPage] = {};
  enclave.peek(kDynamic, copied, kPage);
  WANT(std::memcmp(copied, content, kPage) == 0);
  WANT(enclave->page_flags(kDynamic) == sgx::kSecinfoRegRx);
  WANT(access(enclave, OP_LOAD, page) && !access(enclave, OP_STORE, page, 1));
  WANT(is_code(enclave.leaf(kEacceptcopy, secinfo, page, source), SgxError::page_attributes_mismatch));  // not pending any more
  WANT(enclave->counters().eacceptcopy == 1);
  return true;
}

bool emodpe(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 offset = kData + kPage;
  const u64 page = enclave.address(offset);
  u64 secinfo = enclave.put_secinfo(sgx::kSecinfoRegRx);
  WANT(is_gp(enclave.leaf(kEmodpe, secinfo, page + 8)));
  alignas(4096) static u8 outside[kPage];
  WANT(is_gp(enclave.leaf(kEmodpe, secinfo, reinterpret_cast<u64>(outside))));
  WANT(is_pf(enclave.leaf(kEmodpe, secinfo, enclave.address(kDynamic)), enclave.address(kDynamic)));
  WANT(is_pf(enclave.leaf(kEmodpe, secinfo, enclave.tcs(1)), enclave.tcs(1)));
  WANT(enclave->eaug(kDynamic).ok());
  WANT(is_pf(enclave.leaf(kEmodpe, secinfo, enclave.address(kDynamic)), enclave.address(kDynamic)));
  const u8 ret = 0xc3;
  enclave.poke(offset, &ret, 1);
  WANT(is_ok(enclave.leaf(kEmodpe, secinfo, page)));
  WANT(enclave->page_flags(offset) == sgx::kSecinfoRegRwx);
  WANT(access(enclave, OP_CALL, page));
  // A page without R cannot get W alone.
  WANT(enclave->emodpr_range(offset, kPage, 0).ok());
  WANT(is_ok(enclave.leaf(kEaccept, enclave.put_secinfo(sgx::secinfo_flags(sgx::PageType::reg, 0) | sgx::kSecinfoPr), page)));
  secinfo = enclave.put_secinfo(sgx::secinfo_flags(sgx::PageType::reg, sgx::kSecinfoW));
  WANT(is_gp(enclave.leaf(kEmodpe, secinfo, page)));
  return true;
}

bool ereport(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 target_at = enclave.address(kData + kPage);
  const u64 data_at = target_at + 512;
  const u64 output = target_at + 1024;
  const sgx::Targetinfo target = sgx::target_of(enclave->identity());
  const sgx::Reportdata data{1, 2, 3};
  enclave.poke(kData + kPage, &target, sizeof(target));
  enclave.poke(kData + kPage + 512, &data, sizeof(data));
  Outcome outcome = enclave.leaf(kEreport, target_at, data_at, output);
  WANT(!outcome.faulted && outcome.registers_kept);
  sgx::Report report{};
  enclave.peek(kData + kPage + 1024, &report, sizeof(report));
  WANT(sgx::check_report(test_device(), enclave->identity(), report));
  WANT(report.body.mrenclave == enclave->identity().mrenclave && report.body.report_data == data);
  WANT(report.body.isv_prod_id == 7 && report.body.isv_svn == 3);
  WANT(is_gp(enclave.leaf(kEreport, target_at + 128, data_at, output)));
  WANT(is_gp(enclave.leaf(kEreport, target_at, data_at + 64, output)));
  WANT(is_gp(enclave.leaf(kEreport, target_at, data_at, output + 128)));
  alignas(512) static u8 outside[512];
  WANT(is_gp(enclave.leaf(kEreport, reinterpret_cast<u64>(outside), data_at, output)));
  WANT(is_gp(enclave.leaf(kEreport, target_at, data_at, reinterpret_cast<u64>(outside))));
  WANT(is_pf(enclave.leaf(kEreport, target_at, data_at, enclave.address(kReadOnly)), enclave.address(kReadOnly)));
  WANT(is_pf(enclave.leaf(kEreport, enclave.address(kDynamic), data_at, output), enclave.address(kDynamic)));
  sgx::Targetinfo bad = target;
  bad.reserved3[7] = 1;
  enclave.poke(kData + kPage, &bad, sizeof(bad));
  WANT(is_gp(enclave.leaf(kEreport, target_at, data_at, output)));
  WANT(enclave->counters().ereport == 1);
  return true;
}

bool egetkey(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  const u64 request_at = enclave.address(kData + kPage);
  const u64 output = request_at + 512;
  sgx::Keyrequest request{};
  request.key_name = static_cast<std::uint16_t>(sgx::KeyName::seal);
  request.key_policy = sgx::kPolicyMrsigner;
  request.isv_svn = 3;
  request.cpusvn = test_device().cpusvn;
  const auto put = [&](const sgx::Keyrequest& content) { enclave.poke(kData + kPage, &content, sizeof(content)); };
  put(request);
  WANT(is_ok(enclave.leaf(kEgetkey, request_at, output)));
  sgx::Key128 key{};
  enclave.peek(kData + kPage + 512, key.data(), key.size());
  WANT(key == *sgx::egetkey(test_device(), enclave->identity(), request));
  sgx::Keyrequest bad = request;
  bad.key_name = 77;
  put(bad);
  WANT(is_code(enclave.leaf(kEgetkey, request_at, output), SgxError::invalid_keyname));
  bad = request;
  bad.isv_svn = 4;
  put(bad);
  WANT(is_code(enclave.leaf(kEgetkey, request_at, output), SgxError::invalid_isvsvn));
  bad = request;
  bad.cpusvn[0] = 3;
  put(bad);
  WANT(is_code(enclave.leaf(kEgetkey, request_at, output), SgxError::invalid_cpusvn));
  bad = request;
  bad.key_name = static_cast<std::uint16_t>(sgx::KeyName::provision);
  put(bad);
  WANT(is_code(enclave.leaf(kEgetkey, request_at, output), SgxError::invalid_attribute));
  bad = request;
  bad.key_policy = sgx::kPolicyConfigId;  // KSS only
  put(bad);
  WANT(is_gp(enclave.leaf(kEgetkey, request_at, output)));
  put(request);
  WANT(is_gp(enclave.leaf(kEgetkey, request_at + 64, output)));
  WANT(is_gp(enclave.leaf(kEgetkey, request_at, output + 8)));
  alignas(512) static u8 outside[512];
  WANT(is_gp(enclave.leaf(kEgetkey, reinterpret_cast<u64>(outside), output)));
  WANT(is_gp(enclave.leaf(kEgetkey, request_at, reinterpret_cast<u64>(outside))));
  WANT(is_pf(enclave.leaf(kEgetkey, request_at, enclave.address(kReadOnly)), enclave.address(kReadOnly)));
  return true;
}

// Leaves in the wrong place or with no meaning.
bool wrong_leaf(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  for (const u32 leaf : {8U, 9U, 10U, 0xffffffffU}) WANT(is_gp(enclave.leaf(leaf, 0, 0)));
  WANT(is_gp(enclave.leaf(kEenter, enclave.tcs(1), 0)));
  WANT(is_gp(enclave.leaf(3, enclave.tcs(1), 0)));
  WANT(is_gp(enclave.leaf(kEexit, enclave.address(kCode), 0)));
  WANT(is_gp(enclave.leaf(kEexit, u64{1} << 60, 0)));
  return true;
}

constexpr Case kCases[] = {
    {"secinfo_operand", secinfo_operand},
    {"eaccept", eaccept},
    {"restrict_and_accept", restrict_and_accept},
    {"trim", trim},
    {"new_tcs", new_tcs},
    {"eacceptcopy", eacceptcopy},
    {"emodpe", emodpe},
    {"ereport", ereport},
    {"egetkey", egetkey},
    {"wrong_leaf", wrong_leaf},
};

}  // namespace

std::span<const Case> enclu_cases() { return kCases; }

}  // namespace emulator_test
