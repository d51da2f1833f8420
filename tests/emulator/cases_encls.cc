// ENCLS leaves.
#include <cstdio>
#include <cstring>
#include <thread>
#include <unistd.h>

#include "tests/emulator/cases.h"

namespace emulator_test {
namespace {

using emulator::Status;
using sgx::SgxError;

const Status kGp = Status::gp();

Status create_status(const sgx::Secs& secs) {
  emulator::set_device(test_device());
  auto created = emulator::Enclave::create(secs);
  return created ? Status{} : created.error().status;
}

bool ecreate(const ModeParam&) {
  const sgx::Secs good = make_secs({});
  sgx::Secs secs = good;
  WANT(create_status(secs).ok());
  secs.size = kSize + kPage;
  WANT(create_status(secs) == kGp);
  secs.size = kPage;
  WANT(create_status(secs) == kGp);
  secs = good;
  secs.base = kSize / 2;
  WANT(create_status(secs) == kGp);
  secs = good;
  secs.ssa_frame_pages = 0;
  WANT(create_status(secs) == kGp);
  secs = good;
  for (const u64 xfrm : {u64{1}, u64{2}, u64{0x43}, u64{0xe3}, u64{0x1000003}}) {
    secs.attributes.xfrm = xfrm;
    WANT(create_status(secs) == kGp);
  }
  secs = good;
  for (const u64 bit : {sgx::kAttrInit, u64{8}, sgx::kAttrCet, sgx::kAttrAexNotify, u64{1} << 40}) {
    secs.attributes.flags = good.attributes.flags | bit;
    WANT(create_status(secs) == kGp);
  }
  secs = good;
  secs.attributes.flags = sgx::kAttrDebug;
  WANT(create_status(secs) == kGp);
  secs = good;
  secs.miscselect = 2;
  WANT(create_status(secs) == kGp);
  secs = good;
  secs.config_id[5] = 1;
  WANT(create_status(secs) == kGp);
  secs.attributes.flags |= sgx::kAttrKss;
  WANT(create_status(secs).ok());
  secs = good;
  secs.config_svn = 1;
  WANT(create_status(secs) == kGp);
  secs = good;
  secs.reserved4[100] = 1;
  WANT(create_status(secs) == kGp);
  return true;
}

BuildParams raw(const ModeParam& mode) {
  BuildParams params = build(mode);
  params.initialize = false;
  return params;
}

bool eadd(const ModeParam& mode) {
  TestEnclave enclave(raw(mode));
  static const u8 kContent[kPage] = {1, 2, 3};
  sgx::Secinfo reg{};
  reg.flags = sgx::kSecinfoRegRw;
  sgx::Secinfo secinfo = reg;
  WANT(enclave->eadd(kDynamic, secinfo, kContent).ok());
  WANT(enclave->page_flags(kDynamic) == sgx::kSecinfoRegRw);
  WANT(enclave->eadd(kDynamic, secinfo, kContent) == Status::pf(enclave.address(kDynamic)));
  WANT(enclave->eadd(kDynamic + 0x800, secinfo, kContent) == kGp);
  WANT(enclave->eadd(kSize, secinfo, kContent) == kGp);
  WANT(enclave->eadd(0, secinfo, kContent) == kGp);  // below the first page that can be mapped
  const u64 other = kDynamic + kPage;
  secinfo.reserved[3] = 1;
  WANT(enclave->eadd(other, secinfo, kContent) == kGp);
  for (const u64 flags : {u64{sgx::kSecinfoRegRw | sgx::kSecinfoPending}, sgx::kSecinfoRegRw | (u64{1} << 20)}) {
    secinfo = reg;
    secinfo.flags = flags;
    WANT(enclave->eadd(other, secinfo, kContent) == kGp);
  }
  secinfo.flags = sgx::secinfo_flags(sgx::PageType::trim, sgx::kSecinfoR);
  WANT(enclave->eadd(other, secinfo, kContent) == kGp);
  secinfo.flags = sgx::secinfo_flags(sgx::PageType::reg, sgx::kSecinfoW);
  WANT(enclave->eadd(other, secinfo, kContent) == kGp);
  secinfo.flags = sgx::kSecinfoTcs;
  sgx::Tcs tcs = make_tcs(0);
  tcs.reserved[17] = 1;
  WANT(enclave->eadd(other, secinfo, &tcs) == kGp);
  tcs = make_tcs(0);
  tcs.flags = 2;
  WANT(enclave->eadd(other, secinfo, &tcs) == kGp);
  tcs = make_tcs(0);
  WANT(enclave->eadd(other, secinfo, &tcs).ok());
  WANT(enclave->page_flags(other) == sgx::kSecinfoTcs);
  return true;
}

bool eadd_after_einit(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  sgx::Secinfo secinfo{};
  secinfo.flags = sgx::kSecinfoRegRw;
  static const u8 kContent[kPage] = {};
  WANT(enclave->eadd(kDynamic, secinfo, kContent) == kGp);
  WANT(enclave->eadd_range(kDynamic, kPage, sgx::kSecinfoRegRw, nullptr, false).status == kGp);
  WANT(enclave->eextend(kCode) == kGp);
  WANT(enclave->page_flags(kDynamic) == emulator::Enclave::kNoPage);
  return true;
}

bool eextend(const ModeParam& mode) {
  TestEnclave enclave(raw(mode));
  WANT(enclave->eextend(kCode).ok());
  WANT(enclave->eextend(kCode + 128) == kGp);
  WANT(enclave->eextend(kSize) == kGp);
  WANT(enclave->eextend(kDynamic) == Status::pf(enclave.address(kDynamic)));
  return true;
}

bool einit(const ModeParam& mode) {
  TestEnclave enclave(raw(mode));
  const sgx::Sigstruct good = enclave.sign();
  sgx::Sigstruct bad = good;
  bad.header1[0] ^= 1;
  WANT(enclave->einit(bad) == Status::code(SgxError::invalid_sig_struct));
  bad = good;
  bad.signature[10] ^= 1;
  WANT(!enclave->einit(bad).ok());
  bad = good;
  bad.isv_svn ^= 1;  // signed bytes
  WANT(enclave->einit(bad) == Status::code(SgxError::invalid_signature));
  sgx::SigstructFields fields = enclave.fields();
  fields.enclave_hash[0] ^= 1;
  WANT(enclave->einit(enclave.sign(&fields)) == Status::code(SgxError::invalid_measurement));
  fields = enclave.fields();
  fields.attributes.flags ^= sgx::kAttrDebug;
  WANT(enclave->einit(enclave.sign(&fields)) == Status::code(SgxError::invalid_attribute));
  WANT(!enclave->initialized());
  WANT(enclave->einit(good).ok());
  WANT(enclave->initialized());
  WANT(enclave->einit(good) == kGp);
  const sgx::EnclaveIdentity identity = enclave->identity();
  WANT(identity.isv_prod_id == 7 && identity.isv_svn == 3 && (identity.attributes.flags & sgx::kAttrInit) != 0);
  WANT(identity.mrenclave == enclave.fields().enclave_hash);
  WANT(identity.mrsigner == *test_key().mrsigner());
  return true;
}

bool eaug(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  WANT(enclave->eaug(kDynamic).ok());
  WANT(enclave->page_flags(kDynamic) == (sgx::kSecinfoRegRw | sgx::kSecinfoPending));
  WANT(enclave->eaug(kDynamic) == Status::pf(enclave.address(kDynamic)));
  WANT(enclave->eaug(kData) == Status::pf(enclave.address(kData)));
  WANT(enclave->eaug(kDynamic + 8) == kGp);
  WANT(enclave->eaug(kSize) == kGp);
  return true;
}

bool dynamic_before_einit(const ModeParam& mode) {
  TestEnclave enclave(raw(mode));
  WANT(enclave->eaug(kDynamic) == kGp);
  sgx::Secinfo secinfo{};
  secinfo.flags = sgx::kSecinfoR;
  WANT(enclave->emodpr(kData, secinfo) == kGp);
  secinfo.flags = sgx::secinfo_flags(sgx::PageType::trim, 0);
  WANT(enclave->emodt(kData, secinfo) == kGp);
  return true;
}

bool no_sgx2(const ModeParam& mode) {
  BuildParams params = build(mode);
  params.sgx2 = false;
  TestEnclave enclave(params);
  WANT(enclave->eaug(kDynamic) == Status::ud());
  sgx::Secinfo secinfo{};
  secinfo.flags = sgx::kSecinfoR;
  WANT(enclave->emodpr(kData, secinfo) == Status::ud());
  secinfo.flags = sgx::secinfo_flags(sgx::PageType::trim, 0);
  WANT(enclave->emodt(kData, secinfo) == Status::ud());
  for (const u32 leaf : {5U, 6U, 7U}) {
    const auto outcome = enclave.leaf(leaf, enclave.put_secinfo(sgx::kSecinfoRegRw), enclave.address(kData + kPage));
    WANT(outcome.faulted && outcome.vector == 13);
  }
  return true;
}

bool emodpr(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  sgx::Secinfo secinfo{};
  secinfo.flags = sgx::kSecinfoR;
  const u64 page = kData + kPage;
  WANT(enclave->emodpr(page + 1, secinfo) == kGp);
  WANT(enclave->emodpr(kSize, secinfo) == kGp);
  WANT(enclave->emodpr(kDynamic, secinfo) == Status::pf(enclave.address(kDynamic)));
  WANT(enclave->emodpr(tcs_offset(0), secinfo) == Status::pf(enclave.tcs()));
  WANT(enclave->eaug(kDynamic).ok());
  WANT(enclave->emodpr(kDynamic, secinfo) == Status::code(SgxError::page_not_modifiable));
  secinfo.reserved[55] = 1;
  WANT(enclave->emodpr(page, secinfo) == kGp);
  secinfo = {};
  secinfo.flags = sgx::kSecinfoW;
  WANT(enclave->emodpr(page, secinfo) == kGp);
  secinfo.flags = sgx::kSecinfoR | sgx::kSecinfoX;
  WANT(enclave->emodpr(page, secinfo).ok());
  // Only less: X was not there and does not come.
  WANT(enclave->page_flags(page) == (sgx::kSecinfoRegR | sgx::kSecinfoPr));
  return true;
}

bool emodt(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  sgx::Secinfo trim{};
  trim.flags = sgx::secinfo_flags(sgx::PageType::trim, 0);
  sgx::Secinfo tcs{};
  tcs.flags = sgx::kSecinfoTcs;
  const u64 page = kData + kPage;
  WANT(enclave->emodt(page + 1, trim) == kGp);
  WANT(enclave->emodt(kSize, trim) == kGp);
  WANT(enclave->emodt(kDynamic, trim) == Status::pf(enclave.address(kDynamic)));
  WANT(enclave->emodt(tcs_offset(0), tcs) == Status::pf(enclave.tcs()));
  sgx::Secinfo bad = trim;
  bad.flags = sgx::kSecinfoRegRw;
  WANT(enclave->emodt(page, bad) == kGp);
  bad = trim;
  bad.reserved[0] = 1;
  WANT(enclave->emodt(page, bad) == kGp);
  WANT(enclave->emodt(page, trim).ok());
  WANT(enclave->page_flags(page) == (trim.flags | sgx::kSecinfoModified));
  WANT(enclave->emodt(page, trim) == Status::code(SgxError::page_not_modifiable));
  WANT(enclave->emodt(tcs_offset(2), trim).ok());
  return true;
}

// A thread that stays inside TCS 1 until it is told to leave.
class Spinner {
 public:
  explicit Spinner(TestEnclave& enclave) : enclave_(enclave) {
    command_.op = OP_SPIN;
    command_.in[2] = enclave->identity().attributes.xfrm;
    thread_ = std::thread([this] {
      sgx::EnclaveRun run{};
      run.tcs = enclave_.tcs(1);
      emulator::enter(reinterpret_cast<u64>(&command_), 0, 0, 2, 0, 0, &run);
    });
    while (command_.in[1] == 0) usleep(100);
  }
  ~Spinner() {
    command_.in[0] = 1;
    thread_.join();
  }

 private:
  TestEnclave& enclave_;
  Command command_{};
  std::thread thread_;
};

bool with_a_thread_inside(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  sgx::Secinfo trim{};
  trim.flags = sgx::secinfo_flags(sgx::PageType::trim, 0);
  {
    const Spinner spinner(enclave);
    WANT(enclave->eremove(kReadOnly) == Status::code(SgxError::enclave_act));
    WANT(enclave->emodt(tcs_offset(1), trim) == kGp);
    // The thread inside belongs to the epoch before.
    WANT(enclave->etrack().ok());
    WANT(enclave->etrack() == Status::code(SgxError::prev_trk_incmpl));
    enclave->kick_all();
    WANT(enclave->etrack().ok());
    WANT(enclave->counters().tracking_kicks == 1);
    enclave->kick_all();
  }
  WANT(enclave->eremove(kReadOnly).ok());
  WANT(enclave->page_flags(kReadOnly) == emulator::Enclave::kNoPage);
  return true;
}

bool eremove(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  WANT(enclave->eremove(kData + 1) == kGp);
  WANT(enclave->eremove(kSize) == kGp);
  WANT(enclave->eremove_range(kData, kPage).status == Status::code(SgxError::page_not_modifiable));
  WANT(enclave->eremove_range(kDynamic, kPage).status == Status::pf(enclave.address(kDynamic)));
  WANT(enclave->emodt_range(kData, kPage, sgx::PageType::trim).ok());
  WANT(enclave->eremove_range(kData, kPage).status == Status::code(SgxError::page_not_modifiable));  // not accepted
  return true;
}

bool edbg(const ModeParam& mode) {
  TestEnclave enclave(build(mode));
  u64 value = 0;
  WANT(enclave->edbgwr(kData + 8, 0x1234).ok());
  WANT(enclave->edbgrd(kData + 8, &value).ok() && value == 0x1234);
  WANT(enclave->edbgrd(tcs_offset(0) + 32, &value).ok() && value == kCode);
  WANT(enclave->edbgrd(kData + 4, &value) == kGp);
  WANT(enclave->edbgrd(kSize, &value) == kGp);
  WANT(enclave->edbgrd(kDynamic, &value) == Status::pf(enclave.address(kDynamic)));
  WANT(enclave->eaug(kDynamic).ok());
  WANT(enclave->edbgrd(kDynamic, &value) == Status::code(SgxError::page_not_debuggable));
  BuildParams params = build(mode);
  params.attributes = sgx::kAttrMode64;
  params.base = kSize;
  TestEnclave production(params);
  WANT(production->edbgrd(kData, &value) == kGp);
  WANT(production->edbgwr(kData, 1) == kGp);
  return true;
}

// Another ELRANGE than 0.., beside a first enclave.
bool two_enclaves(const ModeParam& mode) {
  TestEnclave first(build(mode));
  BuildParams params = build(mode);
  params.base = kSize * 4;
  TestEnclave second(params);
  WANT(first->identity().mrenclave == second->identity().mrenclave);
  for (TestEnclave* enclave : {&first, &second, &first}) {
    Command command{};
    command.op = OP_BASES;
    WANT(enclave->enter(command) == 0 && enclave->run().function == 4 && command.steps == 1);
    WANT(command.out[1] == enclave->address(tcs_offset(0) + kGsOffset));
  }
  return true;
}

constexpr Case kCases[] = {
    {"ecreate", ecreate},
    {"eadd", eadd},
    {"eadd_after_einit", eadd_after_einit},
    {"eextend", eextend},
    {"einit", einit},
    {"eaug", eaug},
    {"dynamic_before_einit", dynamic_before_einit},
    {"no_sgx2", no_sgx2},
    {"emodpr", emodpr},
    {"emodt", emodt},
    {"with_a_thread_inside", with_a_thread_inside},
    {"eremove", eremove},
    {"edbg", edbg},
    {"two_enclaves", two_enclaves},
};

}  // namespace

std::span<const Case> encls_cases() { return kCases; }

}  // namespace emulator_test
