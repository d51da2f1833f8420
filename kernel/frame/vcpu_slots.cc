#include "kernel/frame/vcpu_slots.h"

#include <atomic>

#include "host_abi/entry.h"
#include "kernel/base/config.h"
#include "kernel/frame/layout.h"
#include "sgx/vcpu_slot.h"

namespace kernel::frame {
namespace {

static_assert(host_abi::kMaxVcpus <= 64);
constinit std::atomic<std::uint64_t> added_slots{0};

constexpr std::uint64_t bit(std::uint32_t index) { return std::uint64_t{1} << index; }

}  // namespace

std::array<host_abi::LayoutRange, 4> slot_parts(std::uint32_t index) {
  const host_abi::KernelLayout& where = layout();
  KASSERT(index < where.tcs_slots);
  const std::uint64_t slot = where.slot(index);
  const std::uint64_t ssa_end = where.ssa_offset + std::uint64_t{where.ssa_frames} * where.ssa_frame_pages * kPageSize;
  return {{{slot, ssa_end},
           {slot + where.vcpu_block_offset, kPageSize},
           {slot + where.entry_stack_offset, where.entry_stack_size},
           {slot + where.exception_stack_offset, where.exception_stack_size}}};
}

void fill_slot(std::uint32_t index) {
  const host_abi::KernelLayout& where = layout();
  KASSERT(index < where.tcs_slots && (existing_slots() & bit(index)) == 0);
  // SAFETY: the slot's pages were just accepted and belong to nobody else until the bit below is set; both objects fill their page's start.
  sgx::fill_tcs(*reinterpret_cast<sgx::Tcs*>(where.slot(index)), where, index);
  // SAFETY: as above; a vCPU block starts with the seed.
  *reinterpret_cast<host_abi::VcpuSeed*>(where.vcpu_block(index)) = sgx::make_vcpu_seed(where, index);
  added_slots.fetch_or(bit(index), std::memory_order_seq_cst);
}

std::uint64_t existing_slots() {
  const std::uint32_t count = layout().tcs_count;
  const std::uint64_t in_file = count >= 64 ? ~std::uint64_t{0} : bit(count) - 1;
  return in_file | added_slots.load(std::memory_order_seq_cst);
}

const VcpuBlock& vcpu_block(std::uint32_t index) {
  KASSERT((existing_slots() & bit(index)) != 0);
  // SAFETY: the slot exists; its pages stay for the life of the enclave.
  return *reinterpret_cast<const VcpuBlock*>(layout().vcpu_block(index));
}

}  // namespace kernel::frame
