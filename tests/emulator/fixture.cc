#include "tests/emulator/fixture.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

namespace emulator_test {

namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fixture: %s\n", what);
  std::abort();
}

u64 payload_pages() { return static_cast<u64>(payload_end - payload_start) / kPage; }

}  // namespace

const sgx::SigningKey& test_key() {
  static const sgx::SigningKey kKey = [] {
    auto key = sgx::SigningKey::generate();
    require(key.has_value(), "no signing key");
    return std::move(*key);
  }();
  return kKey;
}

sgx::Device test_device() {
  sgx::Device device{};
  device.root_key = {1, 2, 3, 4};
  device.cpusvn = {2, 2};
  device.report_key_id = {9};
  return device;
}

sgx::Tcs make_tcs(u32 index) {
  sgx::Tcs tcs{};
  tcs.ossa = tcs_offset(index) + kSsaOffset;
  tcs.nssa = kSsaFrames;
  tcs.oentry = kCode;
  tcs.ofsbase = tcs_offset(index) + kFsOffset;
  tcs.ogsbase = tcs_offset(index) + kGsOffset;
  tcs.fs_limit = 0xfff;
  tcs.gs_limit = 0xfff;
  return tcs;
}

sgx::Secs make_secs(const BuildParams& params) {
  sgx::Secs secs{};
  secs.size = kSize;
  secs.base = params.base;
  secs.ssa_frame_pages = 1;
  secs.miscselect = params.miscselect;
  secs.attributes.flags = params.attributes;
  secs.attributes.xfrm = params.xfrm != 0 ? params.xfrm : emulator::supported_xfrm();
  return secs;
}

TestEnclave::TestEnclave(const BuildParams& params) : params_(params) {
  emulator::set_device(test_device());
  emulator::Options options;
  options.mode = params.mode;
  options.assertions = params.assertions;
  options.sgx2 = params.sgx2;
  options.max_mappings = params.max_mappings;
  auto created = emulator::Enclave::create(make_secs(params), options);
  if (!created) std::fprintf(stderr, "ECREATE: %s\n", created.error().message.c_str());
  require(created.has_value(), "ECREATE failed");
  enclave_ = std::move(*created);
  add_pages();
  if (!params.initialize) return;
  const emulator::Status status = enclave_->einit(sign());
  require(status.ok(), "EINIT failed");
}

void TestEnclave::add_pages() {
  const auto add = [&](u64 offset, u64 pages, u64 flags, const void* content, bool measured) {
    require(enclave_->eadd_range(offset, pages * kPage, flags, content, measured).ok(), "EADD failed");
  };
  add(kCode, payload_pages(), sgx::kSecinfoRegRx, payload_start, true);
  for (u32 i = 0; i < kTcsCount; ++i) {
    const sgx::Tcs tcs = make_tcs(i);
    add(tcs_offset(i), 1, sgx::kSecinfoTcs, &tcs, true);
    add(tcs_offset(i) + kSsaOffset, kSsaFrames, sgx::kSecinfoRegRw, nullptr, true);
    add(tcs_offset(i) + kGsOffset, 2, sgx::kSecinfoRegRw, nullptr, true);
  }
  add(kData, kDataPages, sgx::kSecinfoRegRw, nullptr, false);
  u8 page[kPage] = {0x5a};
  add(kReadOnly, 1, sgx::kSecinfoRegR, page, true);
  page[0] = 0xc3;  // ret
  add(kWritableCode, 1, sgx::kSecinfoRegRwx, page, true);
}

u64 TestEnclave::code(const unsigned char* symbol) const { return address(kCode) + static_cast<u64>(symbol - payload_start); }

sgx::Measurement TestEnclave::measure() const {
  sgx::Measurement measurement(1, kSize);
  const auto add = [&](u64 offset, u64 pages, u64 flags, const void* content, bool measured) {
    static const u8 kZeros[kPage] = {};
    for (u64 i = 0; i < pages; ++i) {
      const u8* page = content == nullptr ? kZeros : static_cast<const u8*>(content) + i * kPage;
      if (measured) {
        measurement.add_measured_page(offset + i * kPage, flags, std::span<const u8, kPage>(page, kPage));
      } else {
        measurement.eadd(offset + i * kPage, flags);
      }
    }
  };
  add(kCode, payload_pages(), sgx::kSecinfoRegRx, payload_start, true);
  for (u32 i = 0; i < kTcsCount; ++i) {
    const sgx::Tcs tcs = make_tcs(i);
    add(tcs_offset(i), 1, sgx::kSecinfoTcs, &tcs, true);
    add(tcs_offset(i) + kSsaOffset, kSsaFrames, sgx::kSecinfoRegRw, nullptr, true);
    add(tcs_offset(i) + kGsOffset, 2, sgx::kSecinfoRegRw, nullptr, true);
  }
  add(kData, kDataPages, sgx::kSecinfoRegRw, nullptr, false);
  u8 page[kPage] = {0x5a};
  add(kReadOnly, 1, sgx::kSecinfoRegR, page, true);
  page[0] = 0xc3;
  add(kWritableCode, 1, sgx::kSecinfoRegRwx, page, true);
  return measurement;
}

sgx::Hash TestEnclave::hash_with_unmeasured_tcs(u64 offset, u64 count) const {
  sgx::Measurement measurement = measure();
  for (u64 i = 0; i < count; ++i) measurement.eadd(offset + i * kPage, sgx::kSecinfoTcs);
  return *measurement.finish();
}

sgx::SigstructFields TestEnclave::fields() const {
  const sgx::Measurement measurement = measure();
  sgx::SigstructFields fields;
  fields.date = 0x20260101;
  fields.miscselect = params_.miscselect;
  fields.attributes = {params_.attributes, sgx::kXfrmLegacy};
  const auto hash = measurement.finish();
  require(hash.has_value(), "no measurement");
  fields.enclave_hash = *hash;
  fields.isv_prod_id = 7;
  fields.isv_svn = 3;
  return fields;
}

sgx::Sigstruct TestEnclave::sign(const sgx::SigstructFields* wanted) const {
  auto signature = sgx::sign_sigstruct(wanted != nullptr ? *wanted : fields(), test_key());
  require(signature.has_value(), "signing failed");
  return *signature;
}

int TestEnclave::enter(Command& command, u32 tcs_index, u32 leaf_number) {
  run_ = {};
  run_.tcs = tcs(tcs_index);
  return emulator::enter(reinterpret_cast<u64>(&command), 0, 0, leaf_number, 0, 0, &run_);
}

TestEnclave::LeafOutcome TestEnclave::leaf(u32 number, u64 rbx, u64 rcx, u64 rdx, u32 tcs_index) {
  Command command{};
  command.op = OP_ENCLU;
  command.in[0] = number;
  command.in[1] = rbx;
  command.in[2] = rcx;
  command.in[3] = rdx;
  const int result = enter(command, tcs_index);
  require(result == 0, "enter failed");
  if (run_.function == static_cast<u32>(sgx::EncluLeaf::eexit)) {
    const bool kept = command.out[2] == rbx && command.out[3] == rcx && command.out[4] == rdx;
    return {false, 0, 0, command.out[0], command.out[1], kept};
  }
  const LeafOutcome outcome{true, run_.exception_vector, run_.exception_addr, 0, 0, true};
  constexpr u64 kSiteSize = 9;
  handle(kSiteSize, tcs_index);
  require(resume(tcs_index) == 0, "resume failed");
  return outcome;
}

TestEnclave::Ssa TestEnclave::handle(u64 skip, u32 tcs_index) {
  Command command{};
  command.op = OP_SSA;
  command.in[0] = ssa_gpr(tcs_index, 0);
  command.in[1] = skip;
  require(enter(command, tcs_index) == 0 && run_.function == 4 && command.cssa == 1, "the handler did not run");
  return {command.out[0], command.out[1], command.out[2], command.out[3]};
}

int TestEnclave::resume(u32 tcs_index) {
  run_ = {};
  run_.tcs = tcs(tcs_index);
  return emulator::enter(0, 0, 0, 3, 0, 0, &run_);
}

u64 TestEnclave::put_secinfo(u64 flags) {
  sgx::Secinfo secinfo{};
  secinfo.flags = flags;
  poke(kData, &secinfo, sizeof(secinfo));
  return address(kData);
}

void TestEnclave::poke(u64 offset, const void* bytes, std::size_t size) {
  const auto status = enclave_->debug_write(offset, {static_cast<const u8*>(bytes), size});
  require(status.ok(), "poke failed");
}

void TestEnclave::peek(u64 offset, void* bytes, std::size_t size) {
  const auto status = enclave_->debug_read(offset, {static_cast<u8*>(bytes), size});
  require(status.ok(), "peek failed");
}

}  // namespace emulator_test
