// The SGX architecture as data: structures, bits, leaf numbers and error codes of Intel SDM volume 3D, chapters 34-40.
// Header only and usable in freestanding code. All structures are little endian, have natural C++ alignment and no padding; the
// stronger alignments that the processor wants are the kAlign* constants, so that sizes here are the architectural ones.
#ifndef SGX_ARCH_H
#define SGX_ARCH_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sgx {

inline constexpr std::uint64_t kPageSize = 4096;
inline constexpr std::uint64_t kExtendChunk = 256;  // bytes that one EEXTEND measures

using Hash = std::array<std::uint8_t, 32>;       // MRENCLAVE, MRSIGNER
using Key128 = std::array<std::uint8_t, 16>;     // result of EGETKEY
using Cpusvn = std::array<std::uint8_t, 16>;     // opaque security version of the processor
using Id128 = std::array<std::uint8_t, 16>;      // ISVFAMILYID, ISVEXTPRODID
using ConfigId = std::array<std::uint8_t, 64>;   // CONFIGID (KSS)
using RsaNumber = std::array<std::uint8_t, 384>;  // 3072 bits, little endian

// ---- Leaf functions: the value in EAX.

enum class EnclsLeaf : std::uint32_t {
  ecreate = 0, eadd = 1, einit = 2, eremove = 3, edbgrd = 4, edbgwr = 5, eextend = 6, eldb = 7, eldu = 8, eblock = 9, epa = 10,
  ewb = 11, etrack = 12, eaug = 13, emodpr = 14, emodt = 15,
};

enum class EncluLeaf : std::uint32_t {
  ereport = 0, egetkey = 1, eenter = 2, eresume = 3, eexit = 4, eaccept = 5, emodpe = 6, eacceptcopy = 7, everifyreport2 = 8,
  edeccssa = 9,
};

// The bytes of the ENCLU instruction.
inline constexpr std::array<std::uint8_t, 3> kEncluBytes{0x0f, 0x01, 0xd7};

// Error codes that leaf functions return in RAX (SDM table "Error codes"); 0 is success.
enum class SgxError : std::uint32_t {
  success = 0,
  invalid_sig_struct = 1,
  invalid_attribute = 2,
  blkstate = 3,
  invalid_measurement = 4,
  notblockable = 5,
  pg_invld = 6,
  epc_page_conflict = 7,
  invalid_signature = 8,
  mac_compare_fail = 9,
  page_not_blocked = 10,
  not_tracked = 11,
  va_slot_occupied = 12,
  child_present = 13,
  enclave_act = 14,
  entryepoch_locked = 15,
  invalid_einittoken = 16,
  prev_trk_incmpl = 17,
  pg_is_secs = 18,
  page_attributes_mismatch = 19,
  page_not_modifiable = 20,
  page_not_debuggable = 21,
  invalid_cpusvn = 32,
  invalid_isvsvn = 64,
  unmasked_event = 128,
  invalid_keyname = 256,
};

// ---- ATTRIBUTES, XFRM, MISCSELECT.

inline constexpr std::uint64_t kAttrInit = 1U << 0;  // set by EINIT only
inline constexpr std::uint64_t kAttrDebug = 1U << 1;
inline constexpr std::uint64_t kAttrMode64 = 1U << 2;
inline constexpr std::uint64_t kAttrProvisionKey = 1U << 4;
inline constexpr std::uint64_t kAttrEinitTokenKey = 1U << 5;
inline constexpr std::uint64_t kAttrCet = 1U << 6;
inline constexpr std::uint64_t kAttrKss = 1U << 7;
inline constexpr std::uint64_t kAttrAexNotify = 1U << 10;
inline constexpr std::uint64_t kAttrDefined =
    kAttrInit | kAttrDebug | kAttrMode64 | kAttrProvisionKey | kAttrEinitTokenKey | kAttrCet | kAttrKss | kAttrAexNotify;

inline constexpr std::uint64_t kXfrmX87 = 1U << 0;
inline constexpr std::uint64_t kXfrmSse = 1U << 1;
inline constexpr std::uint64_t kXfrmLegacy = kXfrmX87 | kXfrmSse;  // always both set
inline constexpr std::uint64_t kXfrmAvx = 1U << 2;
inline constexpr std::uint64_t kXfrmAvx512 = 0xe0;  // opmask, ZMM_Hi256, Hi16_ZMM: all or none, and only with AVX
inline constexpr std::uint64_t kXfrmPkru = 1U << 9;
inline constexpr std::uint64_t kXfrmAmx = 0x60000;  // TILECFG, TILEDATA: both or none

inline constexpr std::uint32_t kMiscExinfo = 1U << 0;  // #PF and #GP are reported with address and error code in the SSA frame

struct Attributes {  // 16 bytes: the 128-bit ATTRIBUTES field
  std::uint64_t flags;  // kAttr*
  std::uint64_t xfrm;   // kXfrm*
  friend constexpr bool operator==(const Attributes&, const Attributes&) = default;
};
static_assert(sizeof(Attributes) == 16 && std::has_unique_object_representations_v<Attributes>);

// ---- SECS: SGX enclave control structure (one EPC page; source of ECREATE).

struct Secs {
  std::uint64_t size;       // of ELRANGE, a power of two
  std::uint64_t base;       // aligned to size
  std::uint32_t ssa_frame_pages;
  std::uint32_t miscselect;
  std::uint64_t cet_leg_bitmap_offset;
  std::uint8_t cet_attributes;
  std::array<std::uint8_t, 15> reserved1;
  Attributes attributes;
  Hash mrenclave;
  std::array<std::uint8_t, 32> reserved2;
  Hash mrsigner;
  std::array<std::uint8_t, 32> reserved3;
  ConfigId config_id;
  std::uint16_t isv_prod_id;
  std::uint16_t isv_svn;
  std::uint16_t config_svn;
  std::array<std::uint8_t, 3834> reserved4;
};
static_assert(sizeof(Secs) == kPageSize && std::has_unique_object_representations_v<Secs>);
static_assert(offsetof(Secs, size) == 0 && offsetof(Secs, base) == 8 && offsetof(Secs, ssa_frame_pages) == 16);
static_assert(offsetof(Secs, miscselect) == 20 && offsetof(Secs, cet_leg_bitmap_offset) == 24);
static_assert(offsetof(Secs, cet_attributes) == 32 && offsetof(Secs, attributes) == 48 && offsetof(Secs, mrenclave) == 64);
static_assert(offsetof(Secs, mrsigner) == 128 && offsetof(Secs, config_id) == 192 && offsetof(Secs, isv_prod_id) == 256);
static_assert(offsetof(Secs, isv_svn) == 258 && offsetof(Secs, config_svn) == 260);

// ---- TCS: thread control structure (one EPC page). All "o" fields are offsets from the enclave's base.

inline constexpr std::uint64_t kTcsDbgOptIn = 1U << 0;
inline constexpr std::uint64_t kTcsAexNotify = 1U << 1;

struct Tcs {
  std::uint64_t state;  // reserved to software; the processor's execution state
  std::uint64_t flags;  // kTcs*
  std::uint64_t ossa;   // page aligned
  std::uint32_t cssa;   // must be 0 at EADD
  std::uint32_t nssa;
  std::uint64_t oentry;
  std::uint64_t aep;  // reserved to software: the AEP of the last EENTER
  std::uint64_t ofsbase;  // page aligned
  std::uint64_t ogsbase;  // page aligned
  std::uint32_t fs_limit;  // low 12 bits all ones
  std::uint32_t gs_limit;
  std::uint64_t ocetssa;
  std::uint64_t prevssp;
  std::array<std::uint8_t, 4008> reserved;
};
static_assert(sizeof(Tcs) == kPageSize && std::has_unique_object_representations_v<Tcs>);
static_assert(offsetof(Tcs, flags) == 8 && offsetof(Tcs, ossa) == 16 && offsetof(Tcs, cssa) == 24 && offsetof(Tcs, nssa) == 28);
static_assert(offsetof(Tcs, oentry) == 32 && offsetof(Tcs, aep) == 40 && offsetof(Tcs, ofsbase) == 48);
static_assert(offsetof(Tcs, ogsbase) == 56 && offsetof(Tcs, fs_limit) == 64 && offsetof(Tcs, gs_limit) == 68);
static_assert(offsetof(Tcs, ocetssa) == 72 && offsetof(Tcs, prevssp) == 80 && offsetof(Tcs, reserved) == 88);

// ---- SSA frame: XSAVE area at its start, [EXINFO] and GPRSGX at its very end.

struct SsaGpr {
  std::uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
  std::uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
  std::uint64_t rflags;
  std::uint64_t rip;
  std::uint64_t ursp;  // the host's RSP and RBP at EENTER
  std::uint64_t urbp;
  std::uint32_t exitinfo;  // kExitInfo*
  std::array<std::uint8_t, 3> reserved;
  std::uint8_t aexnotify;
  std::uint64_t fsbase;
  std::uint64_t gsbase;
};
static_assert(sizeof(SsaGpr) == 184 && std::has_unique_object_representations_v<SsaGpr>);
static_assert(offsetof(SsaGpr, rcx) == 8 && offsetof(SsaGpr, rdx) == 16 && offsetof(SsaGpr, rbx) == 24);
static_assert(offsetof(SsaGpr, rsp) == 32 && offsetof(SsaGpr, rbp) == 40 && offsetof(SsaGpr, rsi) == 48);
static_assert(offsetof(SsaGpr, rdi) == 56 && offsetof(SsaGpr, r8) == 64 && offsetof(SsaGpr, r15) == 120);
static_assert(offsetof(SsaGpr, rflags) == 128 && offsetof(SsaGpr, rip) == 136 && offsetof(SsaGpr, ursp) == 144);
static_assert(offsetof(SsaGpr, urbp) == 152 && offsetof(SsaGpr, exitinfo) == 160 && offsetof(SsaGpr, aexnotify) == 167);
static_assert(offsetof(SsaGpr, fsbase) == 168 && offsetof(SsaGpr, gsbase) == 176);

struct Exinfo {
  std::uint64_t maddr;   // #PF: the address; #GP: 0
  std::uint32_t errcd;   // as on the exception's stack frame
  std::uint32_t reserved;
};
static_assert(sizeof(Exinfo) == 16 && offsetof(Exinfo, errcd) == 8 && std::has_unique_object_representations_v<Exinfo>);

// Offsets from the start of an SSA frame of `frame_bytes` bytes.
constexpr std::uint64_t ssa_gpr_offset(std::uint64_t frame_bytes) { return frame_bytes - sizeof(SsaGpr); }
constexpr std::uint64_t ssa_exinfo_offset(std::uint64_t frame_bytes) { return ssa_gpr_offset(frame_bytes) - sizeof(Exinfo); }
static_assert(ssa_gpr_offset(kPageSize) == 3912 && ssa_exinfo_offset(kPageSize) == 3896);

inline constexpr std::uint32_t kExitInfoVectorMask = 0xff;
inline constexpr std::uint32_t kExitInfoTypeShift = 8;
inline constexpr std::uint32_t kExitInfoTypeMask = 7U << kExitInfoTypeShift;
inline constexpr std::uint32_t kExitInfoTypeHardware = 3;
inline constexpr std::uint32_t kExitInfoTypeSoftware = 6;  // #BP by INT3, #OF
inline constexpr std::uint32_t kExitInfoValid = 1U << 31;

constexpr std::uint32_t make_exitinfo(std::uint32_t vector, std::uint32_t type) {
  return kExitInfoValid | (type << kExitInfoTypeShift) | (vector & kExitInfoVectorMask);
}

// Exception vectors that an enclave can see.
enum class Vector : std::uint8_t {
  divide = 0, debug = 1, breakpoint = 3, bound = 5, invalid_opcode = 6, general_protection = 13, page_fault = 14, x87 = 16,
  alignment = 17, simd = 19, control_protection = 21,
};

// True if an exception with this vector is reported in EXITINFO (SDM "EXITINFO": #GP and #PF only with MISCSELECT.EXINFO).
constexpr bool exitinfo_reports(std::uint8_t vector, std::uint32_t miscselect) {
  switch (vector) {
    case 0: case 1: case 3: case 5: case 6: case 16: case 17: case 19: return true;
    case 13: case 14: return (miscselect & kMiscExinfo) != 0;
    default: return false;
  }
}

// Page-fault error code bits (SDM 4.7).
inline constexpr std::uint32_t kPfPresent = 1U << 0;
inline constexpr std::uint32_t kPfWrite = 1U << 1;
inline constexpr std::uint32_t kPfUser = 1U << 2;
inline constexpr std::uint32_t kPfFetch = 1U << 4;
inline constexpr std::uint32_t kPfSgx = 1U << 15;  // violation of an EPCM check

// ---- SECINFO and PAGEINFO.

enum class PageType : std::uint8_t { secs = 0, tcs = 1, reg = 2, va = 3, trim = 4, ss_first = 5, ss_rest = 6 };

inline constexpr std::uint64_t kSecinfoR = 1U << 0;
inline constexpr std::uint64_t kSecinfoW = 1U << 1;
inline constexpr std::uint64_t kSecinfoX = 1U << 2;
inline constexpr std::uint64_t kSecinfoRwx = kSecinfoR | kSecinfoW | kSecinfoX;
inline constexpr std::uint64_t kSecinfoPending = 1U << 3;
inline constexpr std::uint64_t kSecinfoModified = 1U << 4;
inline constexpr std::uint64_t kSecinfoPr = 1U << 5;
inline constexpr std::uint64_t kSecinfoTypeShift = 8;
inline constexpr std::uint64_t kSecinfoTypeMask = 0xffU << kSecinfoTypeShift;

constexpr std::uint64_t secinfo_flags(PageType type, std::uint64_t permissions) {
  return (static_cast<std::uint64_t>(type) << kSecinfoTypeShift) | permissions;
}
constexpr PageType secinfo_type(std::uint64_t flags) {
  return static_cast<PageType>((flags & kSecinfoTypeMask) >> kSecinfoTypeShift);
}
inline constexpr std::uint64_t kSecinfoTcs = secinfo_flags(PageType::tcs, 0);
inline constexpr std::uint64_t kSecinfoRegR = secinfo_flags(PageType::reg, kSecinfoR);
inline constexpr std::uint64_t kSecinfoRegRw = secinfo_flags(PageType::reg, kSecinfoR | kSecinfoW);
inline constexpr std::uint64_t kSecinfoRegRx = secinfo_flags(PageType::reg, kSecinfoR | kSecinfoX);
inline constexpr std::uint64_t kSecinfoRegRwx = secinfo_flags(PageType::reg, kSecinfoRwx);

inline constexpr std::size_t kAlignSecinfo = 64;
struct Secinfo {
  std::uint64_t flags;
  std::array<std::uint8_t, 56> reserved;  // zero
};
static_assert(sizeof(Secinfo) == 64 && std::has_unique_object_representations_v<Secinfo>);

inline constexpr std::size_t kAlignPageinfo = 32;
struct Pageinfo {
  std::uint64_t linaddr;
  std::uint64_t srcpge;
  std::uint64_t secinfo;
  std::uint64_t secs;
};
static_assert(sizeof(Pageinfo) == 32 && offsetof(Pageinfo, srcpge) == 8 && offsetof(Pageinfo, secinfo) == 16);

// ---- SIGSTRUCT: the signed identity of an enclave (input of EINIT). Page aligned for EINIT.

inline constexpr std::size_t kAlignSigstruct = 4096;
inline constexpr std::array<std::uint8_t, 16> kSigstructHeader1{6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
inline constexpr std::array<std::uint8_t, 16> kSigstructHeader2{1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};
inline constexpr std::uint32_t kSigstructVendorOther = 0;
inline constexpr std::uint32_t kSigstructVendorIntel = 0x8086;

struct Sigstruct {
  std::array<std::uint8_t, 16> header1;
  std::uint32_t vendor;
  std::uint32_t date;  // BCD 0xYYYYMMDD
  std::array<std::uint8_t, 16> header2;
  std::uint32_t swdefined;
  std::array<std::uint8_t, 84> reserved1;
  RsaNumber modulus;
  std::uint32_t exponent;  // 3
  RsaNumber signature;
  std::uint32_t miscselect;
  std::uint32_t miscmask;
  std::uint8_t cet_attributes;
  std::uint8_t cet_attributes_mask;
  std::array<std::uint8_t, 2> reserved2;
  Id128 isv_family_id;
  Attributes attributes;
  Attributes attributes_mask;
  Hash enclave_hash;
  std::array<std::uint8_t, 16> reserved3;
  Id128 isv_ext_prod_id;
  std::uint16_t isv_prod_id;
  std::uint16_t isv_svn;
  std::array<std::uint8_t, 12> reserved4;
  RsaNumber q1;
  RsaNumber q2;
};
static_assert(sizeof(Sigstruct) == 1808 && std::has_unique_object_representations_v<Sigstruct>);
static_assert(offsetof(Sigstruct, vendor) == 16 && offsetof(Sigstruct, date) == 20 && offsetof(Sigstruct, header2) == 24);
static_assert(offsetof(Sigstruct, swdefined) == 40 && offsetof(Sigstruct, modulus) == 128 && offsetof(Sigstruct, exponent) == 512);
static_assert(offsetof(Sigstruct, signature) == 516 && offsetof(Sigstruct, miscselect) == 900);
static_assert(offsetof(Sigstruct, miscmask) == 904 && offsetof(Sigstruct, isv_family_id) == 912);
static_assert(offsetof(Sigstruct, attributes) == 928 && offsetof(Sigstruct, attributes_mask) == 944);
static_assert(offsetof(Sigstruct, enclave_hash) == 960 && offsetof(Sigstruct, isv_ext_prod_id) == 1008);
static_assert(offsetof(Sigstruct, isv_prod_id) == 1024 && offsetof(Sigstruct, isv_svn) == 1026);
static_assert(offsetof(Sigstruct, q1) == 1040 && offsetof(Sigstruct, q2) == 1424);

// The two parts of a SIGSTRUCT that the signature covers: bytes [0, 128) and [900, 1028).
inline constexpr std::size_t kSigstructSigned1 = 128;
inline constexpr std::size_t kSigstructSigned2Start = 900;
inline constexpr std::size_t kSigstructSigned2Size = 128;

// ---- EGETKEY.

enum class KeyName : std::uint16_t { einit_token = 0, provision = 1, provision_seal = 2, report = 3, seal = 4 };

inline constexpr std::uint16_t kPolicyMrenclave = 1U << 0;
inline constexpr std::uint16_t kPolicyMrsigner = 1U << 1;
inline constexpr std::uint16_t kPolicyNoIsvProdId = 1U << 2;   // KSS
inline constexpr std::uint16_t kPolicyConfigId = 1U << 3;      // KSS
inline constexpr std::uint16_t kPolicyIsvFamilyId = 1U << 4;   // KSS
inline constexpr std::uint16_t kPolicyIsvExtProdId = 1U << 5;  // KSS
inline constexpr std::uint16_t kPolicyKss = kPolicyNoIsvProdId | kPolicyConfigId | kPolicyIsvFamilyId | kPolicyIsvExtProdId;
inline constexpr std::uint16_t kPolicyDefined = kPolicyMrenclave | kPolicyMrsigner | kPolicyKss;

inline constexpr std::size_t kAlignKeyrequest = 512;
struct Keyrequest {
  std::uint16_t key_name;    // KeyName
  std::uint16_t key_policy;  // kPolicy*
  std::uint16_t isv_svn;
  std::uint8_t cet_attributes_mask;
  std::uint8_t reserved1;
  Cpusvn cpusvn;
  Attributes attribute_mask;
  std::array<std::uint8_t, 32> key_id;
  std::uint32_t misc_mask;
  std::uint16_t config_svn;
  std::array<std::uint8_t, 434> reserved2;
};
static_assert(sizeof(Keyrequest) == 512 && std::has_unique_object_representations_v<Keyrequest>);
static_assert(offsetof(Keyrequest, key_policy) == 2 && offsetof(Keyrequest, isv_svn) == 4 && offsetof(Keyrequest, cpusvn) == 8);
static_assert(offsetof(Keyrequest, attribute_mask) == 24 && offsetof(Keyrequest, key_id) == 40);
static_assert(offsetof(Keyrequest, misc_mask) == 72 && offsetof(Keyrequest, config_svn) == 76);
inline constexpr std::size_t kAlignKey = 16;  // of EGETKEY's output

// ---- EREPORT.

inline constexpr std::size_t kAlignTargetinfo = 512;
struct Targetinfo {
  Hash mrenclave;
  Attributes attributes;
  std::uint8_t cet_attributes;
  std::uint8_t reserved1;
  std::uint16_t config_svn;
  std::uint32_t miscselect;
  std::array<std::uint8_t, 8> reserved2;
  ConfigId config_id;
  std::array<std::uint8_t, 384> reserved3;
};
static_assert(sizeof(Targetinfo) == 512 && std::has_unique_object_representations_v<Targetinfo>);
static_assert(offsetof(Targetinfo, attributes) == 32 && offsetof(Targetinfo, config_svn) == 50);
static_assert(offsetof(Targetinfo, miscselect) == 52 && offsetof(Targetinfo, config_id) == 64);

inline constexpr std::size_t kAlignReportdata = 128;
using Reportdata = std::array<std::uint8_t, 64>;

struct ReportBody {  // what the report's MAC covers; the same bytes stand in a quote
  Cpusvn cpusvn;
  std::uint32_t miscselect;
  std::uint8_t cet_attributes;
  std::array<std::uint8_t, 11> reserved1;
  Id128 isv_ext_prod_id;
  Attributes attributes;
  Hash mrenclave;
  std::array<std::uint8_t, 32> reserved2;
  Hash mrsigner;
  std::array<std::uint8_t, 32> reserved3;
  ConfigId config_id;
  std::uint16_t isv_prod_id;
  std::uint16_t isv_svn;
  std::uint16_t config_svn;
  std::array<std::uint8_t, 42> reserved4;
  Id128 isv_family_id;
  Reportdata report_data;
};
static_assert(sizeof(ReportBody) == 384 && std::has_unique_object_representations_v<ReportBody>);
static_assert(offsetof(ReportBody, miscselect) == 16 && offsetof(ReportBody, isv_ext_prod_id) == 32);
static_assert(offsetof(ReportBody, attributes) == 48 && offsetof(ReportBody, mrenclave) == 64);
static_assert(offsetof(ReportBody, mrsigner) == 128 && offsetof(ReportBody, config_id) == 192);
static_assert(offsetof(ReportBody, isv_prod_id) == 256 && offsetof(ReportBody, isv_svn) == 258);
static_assert(offsetof(ReportBody, config_svn) == 260 && offsetof(ReportBody, isv_family_id) == 304);
static_assert(offsetof(ReportBody, report_data) == 320);

inline constexpr std::size_t kAlignReport = 512;
struct Report {
  ReportBody body;
  std::array<std::uint8_t, 32> key_id;
  Key128 mac;
};
static_assert(sizeof(Report) == 432 && std::has_unique_object_representations_v<Report>);
static_assert(offsetof(Report, key_id) == 384 && offsetof(Report, mac) == 416);

// ---- `struct sgx_enclave_run` of __vdso_sgx_enter_enclave (Linux uapi asm/sgx.h).

struct EnclaveRun {
  std::uint64_t tcs;       // in: address of the TCS
  std::uint32_t function;  // out: the leaf that was last run: EENTER, ERESUME (a fault in the enclave), EEXIT
  std::uint16_t exception_vector;
  std::uint16_t exception_error_code;
  std::uint64_t exception_addr;
  std::uint64_t user_handler;  // in: address of an EnclaveExitHandler, 0 = none
  std::uint64_t user_data;
  std::array<std::uint8_t, 216> reserved;  // zero
};
static_assert(sizeof(EnclaveRun) == 256 && std::has_unique_object_representations_v<EnclaveRun>);
static_assert(offsetof(EnclaveRun, function) == 8 && offsetof(EnclaveRun, exception_vector) == 12);
static_assert(offsetof(EnclaveRun, exception_error_code) == 14 && offsetof(EnclaveRun, exception_addr) == 16);
static_assert(offsetof(EnclaveRun, user_handler) == 24 && offsetof(EnclaveRun, user_data) == 32);

// sgx_enclave_user_handler_t: > 0 is the leaf to enter with again, <= 0 is returned by the enter function.
using EnclaveExitHandler = int (*)(std::int64_t rdi, std::int64_t rsi, std::int64_t rdx, std::int64_t rsp, std::int64_t r8,
                                   std::int64_t r9, EnclaveRun* run);
// vdso_sgx_enter_enclave_t: 0 after EEXIT or a fault in the enclave (run->function tells), -EINVAL for a bad leaf or run.
using EnterFunction = int (*)(std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8,
                              std::uint64_t r9, EnclaveRun* run);

}  // namespace sgx
#endif  // SGX_ARCH_H
