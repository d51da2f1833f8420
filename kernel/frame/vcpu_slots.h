// The vCPU slots of the layout that exist: those of the enclave file, and those added since (EDMM). A slot is added in this order: its pages
// are augmented and accepted, fill_slot(), the TCS page changes its type, accept_tcs(). Each step is done once for a slot.
#ifndef KERNEL_FRAME_VCPU_SLOTS_H
#define KERNEL_FRAME_VCPU_SLOTS_H

#include <array>
#include <cstdint>

#include "host_abi/kernel_layout.h"
#include "kernel/base/result.h"
#include "kernel/frame/vcpu_block.h"

namespace kernel::frame {

// The pages of a slot; between the parts are guards. The first page of the first part is the TCS.
std::array<host_abi::LayoutRange, 4> slot_parts(std::uint32_t index);

// Writes the TCS and the vCPU block into pages that are accepted, writable and zero. From here on the slot exists for the functions below:
// before the host can enter it.
void fill_slot(std::uint32_t index);

// EACCEPT after EMODT(TCS). EIO if the hardware refuses.
Result<> accept_tcs(std::uint64_t page);

// A bit for each slot that exists.
std::uint64_t existing_slots();

// The block of a vCPU whose slot exists.
const VcpuBlock& vcpu_block(std::uint32_t index);

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_VCPU_SLOTS_H
