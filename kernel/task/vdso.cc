#include "kernel/task/vdso.h"

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/frame/bytes.h"
#include "kernel/task/vdso/data.h"

namespace kernel {

namespace {

static_assert(sizeof(VdsoData) == 48 && offsetof(VdsoData, base_tsc) == 16);

constexpr std::array kImage = std::to_array<std::uint8_t>({
#include "kernel_vdso/vdso_image.inc"
});

// mult 0: the functions call the kernel until there are parameters.
constexpr std::array<std::byte, VDSO_DATA_SIZE> kEmptyPage{};

static_assert(kImage.size() <= kPageSize && kImage[VDSO_SIGRETURN_OFFSET - 1] == 0x90 && kImage[VDSO_SIGRETURN_OFFSET] == 0xb8);

struct VdsoPages {
  RefPtr<SpecialPages> data;
  RefPtr<SpecialPages> image;
};
[[clang::no_destroy]] constinit VdsoPages pages;
constinit std::uint32_t sequence = 0;

// The sequence word, read by programs while the kernel writes the rest.
void store_sequence(std::span<std::byte> page, std::uint32_t value) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  store_bytes(page, offsetof(VdsoData, sequence), value);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace

Result<> vdso_init() {
  const SpecialPages::Pair pair =
      TRY(SpecialPages::make_adjacent(kEmptyPage, kProtRead, true, "[vvar]", std::as_bytes(std::span(kImage)), kProtRead | kProtExec, "[vdso]"));
  KASSERT(pair.second->address() == pair.first->address() + VDSO_DATA_SIZE);
  pages.data = pair.first;
  pages.image = pair.second;
  return {};
}

Result<std::uint64_t> map_vdso(AddressSpace& mm) {
  if (!pages.data) return std::uint64_t{0};
  TRY(mm.map_special(pages.data.as_ref()));
  return mm.map_special(pages.image.as_ref());
}

std::uint64_t vdso_sigreturn() { return pages.image ? pages.image->address() + VDSO_SIGRETURN_OFFSET : 0; }

void update_vdso_clock(const ClockParameters& parameters) {
  if (!pages.data) return;
  const std::span<std::byte> page = pages.data->bytes();
  const VdsoData fresh{.sequence = ++sequence,
                       .mult = parameters.mult,
                       .shift = parameters.shift,
                       .reserved = 0,
                       .base_tsc = parameters.base_tsc,
                       .base_monotonic_ns = parameters.base_monotonic_ns,
                       .realtime_offset_ns = parameters.realtime_offset_ns,
                       .boottime_offset_ns = parameters.boottime_offset_ns};
  store_sequence(page, fresh.sequence);
  store_bytes(page, 0, fresh);
  store_sequence(page, ++sequence);
}

}  // namespace kernel
