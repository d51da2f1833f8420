#include "kernel/frame/cpu.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "kernel/frame/asm.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/vector.h"
#include "sgx/arch.h"

namespace kernel::frame {
namespace {

constexpr std::size_t kLegacySize = 512;
constexpr std::size_t kHeaderSize = 64;
constexpr std::uint32_t kInitialMxcsr = 0x1f80;
constexpr std::uint16_t kInitialFcw = 0x037f;
constexpr std::uint32_t kMxcsrMask = 0xffff;
constexpr std::uint64_t kSseComponent = sgx::kXfrmSse, kOpmaskComponent = 1 << 5, kHi16Component = 1 << 7;

constinit std::uint64_t the_xfrm = sgx::kXfrmLegacy;
// The components that vector_state.S moves, if it may be used at all.
constinit std::uint64_t quick_components = 0;

// Standard-format sizes are architectural for the components we may have (SDM vol. 1, 13.5).
constexpr std::size_t size_for(std::uint64_t features) {
  if ((features & sgx::kXfrmAmx) != 0) return 11008;
  if ((features & sgx::kXfrmPkru) != 0) return 2696;
  if ((features & sgx::kXfrmAvx512) != 0) return 2688;
  if ((features & sgx::kXfrmAvx) != 0) return 832;
  return kLegacySize + kHeaderSize;
}

struct alignas(64) InitialArea {
  std::array<std::byte, 11008> bytes;
};

// All zero but MXCSR, which XRSTOR loads from memory whatever XSTATE_BV says.
constexpr InitialArea make_initial_area() {
  InitialArea area{};
  area.bytes[0] = std::byte{kInitialFcw & 0xff};
  area.bytes[1] = std::byte{kInitialFcw >> 8};
  area.bytes[24] = std::byte{kInitialMxcsr & 0xff};
  area.bytes[25] = std::byte{kInitialMxcsr >> 8};
  return area;
}
constinit const InitialArea kInitial = make_initial_area();

void xrstor(const std::byte* area) {
  // SAFETY: the area is 64-byte aligned, xsave_size() long and sanitised, so XRSTOR cannot fault.
  asm volatile("xrstor64 (%0)" : : "r"(area), "a"(static_cast<std::uint32_t>(the_xfrm)), "d"(static_cast<std::uint32_t>(the_xfrm >> 32)) : "memory");
}

// The whole area that starts at `area`.
std::span<std::byte> area_at(std::byte* area) {
  // SAFETY: the areas of contexts are xsave_size() bytes long.
  return UNSAFE_BUFFERS(std::span(area, size_for(the_xfrm)));
}

// The components that an area's header lists. A plain load: load_bytes would go through a call.
std::uint64_t listed_components(const std::byte* area) {
  std::uint64_t components = 0;
  // SAFETY: areas are longer than their header, which follows the legacy part.
  UNSAFE_BUFFERS(__builtin_memcpy_inline(&components, area + kLegacySize, sizeof(components));)
  return components;
}

// x87 counts as in use after Linux has loaded it for a signal frame, whatever is in it (the emulator's interrupts do that): says so in
// the header if it is initial after all, or no later switch would be quick.
void release_initial_x87(std::span<std::byte> area) {
  constexpr std::size_t kMxcsrWord = 3, kRegistersWord = 4;
  const std::uint64_t present = listed_components(area.data());
  if ((present & sgx::kXfrmX87) == 0) return;
  const auto x87 = load_bytes<std::array<std::uint64_t, 20>>(area);
  if (x87[0] != kInitialFcw) return;  // and the status, the tags and the last instruction are 0
  for (std::size_t word = 1; word < x87.size(); ++word)
    if (x87[word] != 0 && (word < kMxcsrWord || word >= kRegistersWord)) return;
  store_bytes(area, kLegacySize, present & ~sgx::kXfrmX87);
}

std::uint64_t components_in_use() { return __builtin_ia32_xgetbv(1) & the_xfrm; }
bool only_quick(std::uint64_t components) { return (components & ~quick_components) == 0; }

}  // namespace

void cpu_init_early() { the_xfrm = __builtin_ia32_xgetbv(0) & (sgx::kXfrmLegacy | sgx::kXfrmAvx | sgx::kXfrmAvx512); }
void cpu_init(std::uint64_t features) { the_xfrm = features; }
std::uint64_t xfrm() { return the_xfrm; }

void cpu_allow_quick_switches(bool avx512) {
  quick_components = kSseComponent;
  if (avx512 && (the_xfrm & sgx::kXfrmAvx512) == sgx::kXfrmAvx512) quick_components |= kOpmaskComponent | kHi16Component;
}
std::size_t xsave_size() { return size_for(the_xfrm); }

void xsave_make_initial(std::span<std::byte> area) { copy_bytes(area, std::span(kInitial.bytes).first(xsave_size())); }

void save_user_state(ThreadContext& context) {
  if (context.xsave == nullptr || context.state_saved.load(std::memory_order_relaxed) != 0) return;
  if (const std::uint64_t in_use = quick_components != 0 ? components_in_use() : 0; quick_components != 0 && only_quick(in_use)) {
    vector_save_quick(context.xsave, in_use);
  } else {
    // XSAVEOPT leaves out what is in its initial configuration and what has not changed since the XRSTOR from this area (what
    // vector_load_quick has loaded counts as changed). MXCSR goes with the vector registers then, but XRSTOR loads it always: it is
    // stored by itself.
    // SAFETY: the context's area is 64-byte aligned and xsave_size() bytes long; nothing else is written.
    asm volatile("xsaveopt64 (%0)\n\tstmxcsr 24(%0)"
                 :
                 : "r"(context.xsave), "a"(static_cast<std::uint32_t>(the_xfrm)), "d"(static_cast<std::uint32_t>(the_xfrm >> 32))
                 : "memory");
    if (quick_components != 0 && only_quick(in_use & ~sgx::kXfrmX87)) release_initial_x87(area_at(context.xsave));
  }
  context.fs_base = __builtin_ia32_rdfsbase64();
  context.state_saved.store(1, std::memory_order_relaxed);
}

void restore_user_state(ThreadContext& context) {
  if (context.xsave == nullptr) return;
  if (quick_components != 0) {
    const std::uint64_t saved = listed_components(context.xsave);
    const std::uint64_t in_use = components_in_use();
    if (only_quick(saved | in_use))
      vector_load_quick(context.xsave, saved, in_use);
    else
      xrstor(context.xsave);
  } else {
    xrstor(context.xsave);
  }
  __builtin_ia32_wrfsbase64(context.fs_base);
  context.state_saved.store(0, std::memory_order_relaxed);
}

void xsave_sanitise(std::span<std::byte> area) {
  store_bytes(area, 24, load_bytes<std::uint32_t>(area, 24) & kMxcsrMask);
  store_bytes(area, kLegacySize, load_bytes<std::uint64_t>(area, kLegacySize) & the_xfrm);
  zero_bytes(area.subspan(kLegacySize + 8, kHeaderSize - 8));
  if (quick_components != 0) release_initial_x87(area);  // signal frames always claim x87
}

void xsave_complete(std::span<std::byte> area) {
  constexpr std::size_t kSseAt = 160, kSseSize = 256;  // XMM0 to XMM15
  const auto present = load_bytes<std::uint64_t>(area, kLegacySize);
  if ((present & sgx::kXfrmSse) == 0) zero_bytes(area.subspan(kSseAt, kSseSize));
  if ((present & sgx::kXfrmX87) != 0) return;
  const auto mxcsr = load_bytes<std::uint64_t>(area, 24);
  zero_bytes(area.first(kSseAt));
  store_bytes(area, 0, kInitialFcw);
  store_bytes(area, 24, mxcsr);
}

void clear_vector_state() { xrstor(kInitial.bytes.data()); }

void count_sample(VcpuBlock& vcpu, bool in_kernel) {
  if (vcpu.current == nullptr) return;  // it idles
  const std::uint64_t now = read_tsc();
  const std::uint64_t from = std::max(vcpu.sampled_at, vcpu.busy_since.load(std::memory_order_relaxed));
  const std::uint64_t weight = std::max(now > from ? now - from : 0, vcpu.sample_ticks);
  vcpu.sampled_at = now;
  ++vcpu.samples;
  (in_kernel ? vcpu.current->system_sampled : vcpu.current->user_sampled).fetch_add(weight, std::memory_order_relaxed);
  (in_kernel ? vcpu.system_sampled : vcpu.user_sampled).fetch_add(weight, std::memory_order_relaxed);
}

Result<std::uint64_t> hardware_random() {
  for (int attempt = 0; attempt < 64; ++attempt) {
    unsigned long long value = 0;
    if (__builtin_ia32_rdrand64_step(&value) != 0) return std::uint64_t{value};
  }
  return Errno::io;
}

VectorScope::VectorScope() {
  if (ThreadContext* context = this_vcpu().current; context != nullptr) save_user_state(*context);
}
VectorScope::~VectorScope() { clear_vector_state(); }

}  // namespace kernel::frame
