// A small enclave for tests: two TCS, data pages of several permissions, the assembly payload as code.
#ifndef TESTS_EMULATOR_FIXTURE_H
#define TESTS_EMULATOR_FIXTURE_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "emulator/emulator.h"
#include "sgx/arch.h"
#include "sgx/measure.h"
#include "sgx/sigstruct.h"
#include "tests/emulator/payload.h"

namespace emulator_test {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

inline constexpr u64 kPage = 4096;
inline constexpr u64 kSize = u64{1} << 36;
// Offsets in ELRANGE.
inline constexpr u64 kCode = 0x1000'0000;
inline constexpr u64 kTcs0 = 0x1100'0000;      // TCS, then kSsaFrames frames, guard, GS page
inline constexpr u64 kTcsStride = 0x10'0000;
inline constexpr u32 kTcsCount = 3;
inline constexpr u32 kSsaFrames = 3;
inline constexpr u64 kSsaOffset = kPage;
inline constexpr u64 kGsOffset = kPage * 6;
inline constexpr u64 kFsOffset = kPage * 7;
inline constexpr u64 kData = 0x1200'0000;      // kDataPages RW pages
inline constexpr u64 kDataPages = 8;
inline constexpr u64 kReadOnly = 0x1300'0000;  // one R page
inline constexpr u64 kWritableCode = 0x1400'0000;  // one RWX page
inline constexpr u64 kDynamic = 0x2000'0000;   // nothing: for EAUG

constexpr u64 tcs_offset(u32 index) { return kTcs0 + index * kTcsStride; }

struct BuildParams {
  emulator::Mode mode = emulator::Mode::strict;
  bool assertions = true;
  bool sgx2 = true;
  u64 attributes = sgx::kAttrMode64 | sgx::kAttrDebug;
  u64 xfrm = 0;  // 0: all that is supported
  u32 miscselect = sgx::kMiscExinfo;
  u64 base = 0;
  bool initialize = true;
  u64 max_mappings = 0;
};

// An enclave built as the driver would; aborts the test if a step fails.
class TestEnclave {
 public:
  explicit TestEnclave(const BuildParams& params = {});

  emulator::Enclave& operator*() const { return *enclave_; }
  emulator::Enclave* operator->() const { return enclave_.get(); }
  const BuildParams& params() const { return params_; }
  u64 address(u64 offset) const { return params_.base + offset; }
  u64 tcs(u32 index = 0) const { return address(tcs_offset(index)); }
  u64 ssa_gpr(u32 tcs_index, u32 frame) const {
    return address(tcs_offset(tcs_index) + kSsaOffset + (frame + 1) * kPage - sizeof(sgx::SsaGpr));
  }
  // Address in the enclave of a payload symbol.
  u64 code(const unsigned char* symbol) const;

  // Adds everything but does not EINIT; then the signature that fits.
  sgx::Sigstruct sign(const sgx::SigstructFields* fields = nullptr) const;
  sgx::SigstructFields fields() const;
  // MRENCLAVE when `count` unmeasured TCS pages from `offset` on are added behind the standard pages.
  sgx::Hash hash_with_unmeasured_tcs(u64 offset, u64 count) const;

  // One entry with `command`; the run is left for inspection.
  int enter(Command& command, u32 tcs_index = 0, u32 leaf = 2);
  const sgx::EnclaveRun& run() const { return run_; }
  // Runs OP_ENCLU. `ok` of the result is false if the leaf faulted (then vector and address tell).
  struct LeafOutcome {
    bool faulted;
    u32 vector;
    u64 address;
    u64 rax;
    u64 flags;
    bool registers_kept;
  };
  LeafOutcome leaf(u32 number, u64 rbx, u64 rcx, u64 rdx = 0, u32 tcs_index = 0);
  // After a fault: the handler at CSSA 1 looks at the SSA, skips `skip` bytes; then the interrupted code is resumed and ends.
  struct Ssa {
    u64 exitinfo, rip, maddr, errcd;
  };
  Ssa handle(u64 skip, u32 tcs_index = 0);
  int resume(u32 tcs_index = 0);
  // A SECINFO in the enclave's data page with these flags; its address.
  u64 put_secinfo(u64 flags);
  // Writes bytes into the enclave by the debug leaves.
  void poke(u64 offset, const void* bytes, std::size_t size);
  void peek(u64 offset, void* bytes, std::size_t size);

 private:
  void add_pages();
  sgx::Measurement measure() const;
  BuildParams params_;
  std::unique_ptr<emulator::Enclave> enclave_;
  sgx::EnclaveRun run_{};
};

// The forms in which every test runs.
struct ModeParam {
  emulator::Mode mode;
  bool assertions;
};
inline constexpr ModeParam kModes[] = {
    {emulator::Mode::strict, true}, {emulator::Mode::fast, true}, {emulator::Mode::fast, false}};
template <class Info>
std::string mode_name(const Info& info) {
  if (info.param.mode == emulator::Mode::strict) return "strict";
  return info.param.assertions ? "fast_asserting" : "fast";
}

const sgx::SigningKey& test_key();
sgx::Device test_device();
// The TCS content for TCS `index`.
sgx::Tcs make_tcs(u32 index);
sgx::Secs make_secs(const BuildParams& params);

}  // namespace emulator_test
#endif  // TESTS_EMULATOR_FIXTURE_H
