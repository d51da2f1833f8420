#include "sgx/layout_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "host_abi/entry.h"
#include "sgx/bytes.h"

namespace sgx {
namespace {

constexpr std::uint64_t kMinElrange = std::uint64_t{1} << 36;
constexpr std::uint64_t kMaxElrange = std::uint64_t{1} << 46;
constexpr std::uint32_t kMaxSsaFramePages = 4;

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

Result<> check_sizes(const host_abi::ConfigHeader& config) {
  const host_abi::EnclaveGeometry geometry{config.elrange_size};
  const auto bad = [](const char* field, std::uint64_t value, const char* expected) {
    return fail(fmt::format("configuration: {} is {}, expected {}", field, value, expected));
  };
  if (!std::has_single_bit(config.elrange_size) || config.elrange_size < kMinElrange || config.elrange_size > kMaxElrange) {
    return bad("elrange_size", config.elrange_size, "a power of two from 2^36 to 2^46");
  }
  if (config.ssa_frame_pages == 0 || config.ssa_frame_pages > kMaxSsaFramePages) {
    return bad("ssa_frame_pages", config.ssa_frame_pages, "1 to 4");
  }
  if (config.tcs_count == 0 || config.tcs_count > host_abi::kMaxVcpus) return bad("tcs_count", config.tcs_count, "1 to 64");
  if (config.kernel_heap_size == 0 || !page_aligned(config.kernel_heap_size)) {
    return bad("kernel_heap_size", config.kernel_heap_size, "a multiple of 4096 above 0");
  }
  if (config.kernel_heap_max < config.kernel_heap_size || !page_aligned(config.kernel_heap_max) ||
      config.kernel_heap_max > config.elrange_size) {
    return bad("kernel_heap_max", config.kernel_heap_max, "a multiple of 4096, at least kernel_heap_size, within ELRANGE");
  }
  const std::uint64_t window = geometry.user_end() - geometry.user_base();
  const bool edmm = (config.flags & host_abi::kConfigEdmm) != 0;
  if (!page_aligned(config.user_space_size) || (!edmm && config.user_space_size > window)) {
    return bad("user_space_size", config.user_space_size, "a multiple of 4096 within the user window");
  }
  return {};
}

}  // namespace

Result<host_abi::ConfigHeader> check_config(Bytes blob) {
  const auto config = load_at<host_abi::ConfigHeader>(blob, 0);
  if (!config || config->magic != host_abi::kConfigMagic) return fail("configuration: not a configuration blob");
  if (config->version != 1) return fail(fmt::format("configuration: version {} is not supported", config->version));
  if (config->total_size != blob.size()) {
    return fail(fmt::format("configuration: total_size says {}, there are {} bytes", config->total_size, blob.size()));
  }
  if (auto checked = check_sizes(*config); !checked) return std::unexpected(checked.error());
  return *config;
}

Result<host_abi::KernelLayout> plan_layout(const host_abi::ConfigHeader& config, const ImageRanges& image,
                                           std::uint64_t boot_heap_size) {
  const host_abi::EnclaveGeometry geometry{config.elrange_size};
  const bool edmm = (config.flags & host_abi::kConfigEdmm) != 0;
  host_abi::KernelLayout out{};
  out.magic = host_abi::kLayoutMagic;
  out.version = host_abi::kLayoutVersion;
  out.size = sizeof(host_abi::KernelLayout);
  out.elrange_size = config.elrange_size;
  out.kernel_base = geometry.kernel_base();
  out.entry = image.entry;
  out.image = image.image;
  out.text = image.text;
  out.rodata = image.rodata;
  out.relro = image.relro;
  out.data = image.data;
  out.config = {image.image.end() + kPageSize, config.total_size};
  out.guard_size = host_abi::kGuardSize;

  out.tcs_base = page_up(out.config.end()) + out.guard_size;
  out.tcs_count = config.tcs_count;
  out.tcs_slots = host_abi::kMaxVcpus;
  out.ssa_frames = host_abi::kSsaFrames;
  out.ssa_frame_pages = config.ssa_frame_pages;
  out.ssa_offset = kPageSize;
  out.vcpu_block_offset =
      out.ssa_offset + std::uint64_t{out.ssa_frames} * out.ssa_frame_pages * kPageSize + out.guard_size;
  out.entry_stack_offset = out.vcpu_block_offset + kPageSize + out.guard_size;
  out.entry_stack_size = host_abi::kEntryStackSize;
  out.exception_stack_offset = out.entry_stack_offset + out.entry_stack_size + out.guard_size;
  out.exception_stack_size = host_abi::kExceptionStackSize;
  out.tcs_stride = out.exception_stack_offset + out.exception_stack_size + out.guard_size;

  const std::uint64_t boot_heap = std::min(page_up(std::min(boot_heap_size, config.kernel_heap_max)), config.kernel_heap_size);
  out.heap.start = align_up(out.slot(out.tcs_slots) + out.guard_size, host_abi::kHeapAlign);
  out.heap.size = edmm ? std::max(boot_heap, kPageSize) : config.kernel_heap_size;
  out.heap_max = edmm ? config.kernel_heap_max : config.kernel_heap_size;
  out.user = {geometry.user_base(), geometry.user_end() - geometry.user_base()};
  out.user_committed = edmm ? 0 : config.user_space_size;

  if (!in_bounds(out.heap.start, out.heap_max + out.guard_size, out.elrange_size)) {
    return fail(fmt::format("kernel_heap_max {} does not fit into the enclave's kernel region", config.kernel_heap_max));
  }
  return out;
}

std::vector<PlannedRegion> plan_regions(const host_abi::KernelLayout& layout) {
  std::vector<PlannedRegion> out;
  const auto add = [&out](RegionRole role, std::uint32_t slot, std::uint64_t offset, std::uint64_t size, std::uint64_t flags,
                          bool measured) {
    if (size != 0) out.push_back({role, slot, offset, size, flags, measured});
  };
  add(RegionRole::layout, 0, layout.image.end(), kPageSize, kSecinfoRegR, true);
  add(RegionRole::config, 0, layout.config.start, page_up(layout.config.size), kSecinfoRegR, true);
  const std::uint64_t ssa_size = std::uint64_t{layout.ssa_frames} * layout.ssa_frame_pages * kPageSize;
  for (std::uint32_t i = 0; i < layout.tcs_count; ++i) {
    const std::uint64_t slot = layout.slot(i);
    add(RegionRole::tcs, i, slot, kPageSize, kSecinfoTcs, true);
    add(RegionRole::ssa, i, slot + layout.ssa_offset, ssa_size, kSecinfoRegRw, true);
    add(RegionRole::vcpu_block, i, slot + layout.vcpu_block_offset, kPageSize, kSecinfoRegRw, true);
    add(RegionRole::stack, i, slot + layout.entry_stack_offset, layout.entry_stack_size, kSecinfoRegRw, false);
    add(RegionRole::stack, i, slot + layout.exception_stack_offset, layout.exception_stack_size, kSecinfoRegRw, false);
  }
  add(RegionRole::heap, 0, layout.heap.start, layout.heap.size, kSecinfoRegRw, false);
  add(RegionRole::user, 0, layout.user.start, layout.user_committed, kSecinfoRegRwx, false);
  return out;
}

}  // namespace sgx
