// Extended processor state between a signal frame and an SSA frame. Both hold it in the standard form of XSAVE (SDM volume 1, 13.4).
#include <cpuid.h>
#include <cstring>

#include "emulator/checks.h"
#include "emulator/thread.h"

namespace emulator {

namespace {

constexpr u32 kLegacySize = 512;
constexpr u32 kHeaderSize = 64;
constexpr u32 kXstateBvOffset = 512;
constexpr u32 kMxcsrOffset = 24;
constexpr u32 kSwReservedOffset = 464;
constexpr u32 kInitialMxcsr = 0x1f80;
constexpr u16 kInitialFcw = 0x37f;
constexpr u64 kHandled = sgx::kXfrmLegacy | sgx::kXfrmAvx | sgx::kXfrmAvx512 | sgx::kXfrmPkru | sgx::kXfrmAmx;

u64 read_xcr0() {
  u32 eax = 0;
  u32 edx = 0;
  asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return (u64{edx} << 32) | eax;
}

XstateLayout read_layout() {
  XstateLayout layout;
  layout.supported = read_xcr0() & kHandled;
  for (u32 i = 2; i < 63; ++i) {
    if (((layout.supported >> i) & 1) == 0) continue;
    u32 eax = 0;
    u32 ebx = 0;
    u32 ecx = 0;
    u32 edx = 0;
    __cpuid_count(0xd, i, eax, ebx, ecx, edx);
    layout.bytes[i] = eax;
    layout.offset[i] = ebx;
  }
  alignas(16) u8 area[kLegacySize] = {};
  asm volatile("fxsave %0" : "=m"(area));
  std::memcpy(&layout.mxcsr_mask, area + 28, sizeof(u32));
  if (layout.mxcsr_mask == 0) layout.mxcsr_mask = 0xffbf;
  return layout;
}

// The features that a signal frame holds (its software bytes say so).
u64 frame_features(const u8* area) {
  _fpx_sw_bytes software;
  std::memcpy(&software, area + kSwReservedOffset, sizeof(software));
  return software.magic1 == FP_XSTATE_MAGIC1 ? software.xstate_bv : 0;
}

u64 load64(const u8* from) {
  u64 value = 0;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
void store64(u8* to, u64 value) { std::memcpy(to, &value, sizeof(value)); }
void store32(u8* to, u32 value) { std::memcpy(to, &value, sizeof(value)); }

bool put(u64 to, const void* from, u64 size) {
  return emulator_copy(reinterpret_cast<void*>(to), from, size) == 0 || write_through(to, from, size);
}
bool get(void* to, u64 from, u64 size) { return emulator_copy(to, reinterpret_cast<const void*>(from), size) == 0; }

void make_initial(u8* area, u64 xfrm) {
  store64(area + kXstateBvOffset, load64(area + kXstateBvOffset) & ~xfrm);
  store32(area + kMxcsrOffset, kInitialMxcsr);
}

}  // namespace

const XstateLayout& xstate_layout() {
  static const XstateLayout kLayout = read_layout();
  return kLayout;
}

u64 supported_xfrm() { return xstate_layout().supported & ~sgx::kXfrmAmx; }

u32 xsave_size(u64 xfrm) {
  const XstateLayout& layout = xstate_layout();
  u32 size = kLegacySize + kHeaderSize;
  for (u32 i = 2; i < 63; ++i) {
    if (((xfrm >> i) & 1) != 0 && layout.offset[i] + layout.bytes[i] > size) size = layout.offset[i] + layout.bytes[i];
  }
  return size;
}

bool xstate_to_ssa(void* fpstate, u64 ssa, u64 xfrm) {
  u8* area = static_cast<u8*>(fpstate);
  const XstateLayout& layout = xstate_layout();
  const u64 present = frame_features(area);
  const u64 bv = present != 0 ? load64(area + kXstateBvOffset) & present & xfrm : sgx::kXfrmLegacy & xfrm;
  // As XSAVE: a component in its initial state is not written, MXCSR always is.
  bool done = put(ssa + kMxcsrOffset, area + kMxcsrOffset, 8);
  if ((bv & sgx::kXfrmX87) != 0) done = done && put(ssa, area, 24) && put(ssa + 32, area + 32, 128);
  if ((bv & sgx::kXfrmSse) != 0) done = done && put(ssa + 160, area + 160, 256);
  u8 header[kHeaderSize] = {};
  store64(header, bv);
  done = done && put(ssa + kXstateBvOffset, header, kHeaderSize);
  for (u32 i = 2; i < 63 && done; ++i) {
    if (((bv >> i) & 1) != 0) done = put(ssa + layout.offset[i], area + layout.offset[i], layout.bytes[i]);
  }
  if (present != 0) make_initial(area, xfrm);
  return done;
}

Status xstate_from_ssa(void* fpstate, u64 ssa, u64 xfrm) {
  u8* area = static_cast<u8*>(fpstate);
  const XstateLayout& layout = xstate_layout();
  const u64 present = frame_features(area);
  u8 header[kHeaderSize];
  u8 legacy[kLegacySize];
  if (!get(header, ssa + kXstateBvOffset, kHeaderSize) || !get(legacy, ssa, kLegacySize)) return Status::pf(ssa);
  const u64 bv = load64(header);
  u64 reserved = bv & ~xfrm;
  for (u32 i = 8; i < kHeaderSize; i += 8) reserved |= load64(header + i);
  CHECK_LEAF(eresume_xsave_header, reserved == 0, Status::gp());
  u32 mxcsr = 0;
  std::memcpy(&mxcsr, legacy + kMxcsrOffset, sizeof(mxcsr));
  CHECK_LEAF(eresume_mxcsr, (mxcsr & ~layout.mxcsr_mask) == 0, Status::gp());
  if (present == 0) {
    std::memcpy(area, legacy, kSwReservedOffset - 48);
    return {};
  }
  std::memcpy(area + kMxcsrOffset, legacy + kMxcsrOffset, 4);
  if ((bv & sgx::kXfrmX87) != 0) {
    std::memcpy(area, legacy, 24);
    std::memcpy(area + 32, legacy + 32, 128);
  }
  if ((bv & sgx::kXfrmSse) != 0) std::memcpy(area + 160, legacy + 160, 256);
  for (u32 i = 2; i < 63; ++i) {
    if (((bv & present) >> i & 1) == 0) continue;
    if (!get(area + layout.offset[i], ssa + layout.offset[i], layout.bytes[i])) return Status::pf(ssa + layout.offset[i]);
  }
  store64(area + kXstateBvOffset, (load64(area + kXstateBvOffset) & ~xfrm) | (bv & present));
  return {};
}

bool xstate_is_loadable(u64 ssa, u64 xfrm) {
  u8 header[kHeaderSize];
  u32 mxcsr = 0;
  if (!get(header, ssa + kXstateBvOffset, kHeaderSize) || !get(&mxcsr, ssa + kMxcsrOffset, sizeof(mxcsr))) return false;
  u64 reserved = load64(header) & ~xfrm;
  for (u32 i = 8; i < kHeaderSize; i += 8) reserved |= load64(header + i);
  return reserved == 0 && (mxcsr & ~xstate_layout().mxcsr_mask) == 0;
}

namespace {
constexpr u8 kJunkByte = 0xa5;
}

void xstate_junk(void* fpstate) {
  u8* area = static_cast<u8*>(fpstate);
  if (frame_features(area) == 0) return;
  constexpr u32 kRoundDownAndFlush = 0x1f80 | 0x2000 | 0x8000;
  store32(area + kMxcsrOffset, kRoundDownAndFlush);
  const u16 control = 0x27f;  // double precision
  std::memset(area, 0, 24);
  std::memcpy(area, &control, sizeof(control));
  std::memset(area + 32, 0, 128);
  std::memset(area + 160, kJunkByte, 256);
  store64(area + kXstateBvOffset, load64(area + kXstateBvOffset) | sgx::kXfrmLegacy);
}

bool xstate_is_junk(const void* fpstate) {
  const u8* area = static_cast<const u8*>(fpstate);
  bool same = true;
  for (u32 i = 160; i < 416; ++i) same = same && area[i] == kJunkByte;
  return same;
}

u64 xstate_left_over(const void* fpstate, u64 xfrm) {
  const u8* area = static_cast<const u8*>(fpstate);
  u64 bv = load64(area + kXstateBvOffset) & xfrm & ~sgx::kXfrmPkru;
  u16 fcw = 0;
  std::memcpy(&fcw, area, sizeof(fcw));
  // The x87 bit says only that the state was touched: look at what a host could read.
  if ((bv & sgx::kXfrmX87) != 0) {
    bool zero = fcw == kInitialFcw;
    for (u32 i = 32; i < 160; ++i) zero = zero && area[i] == 0;
    if (zero) bv &= ~sgx::kXfrmX87;
  }
  if ((bv & sgx::kXfrmSse) != 0) {
    bool zero = true;
    for (u32 i = 160; i < 416; ++i) zero = zero && area[i] == 0;
    if (zero) bv &= ~sgx::kXfrmSse;
  }
  const XstateLayout& layout = xstate_layout();
  for (u32 i = 2; i < 63; ++i) {
    if (((bv >> i) & 1) == 0) continue;
    bool zero = true;
    for (u32 k = 0; k < layout.bytes[i]; ++k) zero = zero && area[layout.offset[i] + k] == 0;
    if (zero) bv &= ~(u64{1} << i);
  }
  u32 mxcsr = 0;
  std::memcpy(&mxcsr, area + kMxcsrOffset, sizeof(mxcsr));
  constexpr u32 kMxcsrControl = 0xffc0;  // the flags below may be set by anything
  return bv | ((mxcsr & kMxcsrControl) == kInitialMxcsr ? 0 : u64{mxcsr} << 32);
}

}  // namespace emulator
