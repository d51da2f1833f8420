// The CSSA 1 handler: runs on the vCPU's exception stack after an AEX, for faults in the enclave and for ticks. It takes no lock,
// allocates nothing and calls nobody; it either lets the interrupted code go on, sends it to a fix-up, or moves interrupted user state
// into the thread's trap frame and rewrites SSA[0] so that ERESUME lands in the kernel (design section 4).
//
// The host decides when this runs and may cause page faults anywhere and run it twice, so nothing here relies on being wanted:
// EXITINFO.VALID is consumed, and state that has been moved is recognised by in_kernel.
#include <array>
#include <cstdint>

#include "host_abi/entry.h"
#include "kernel/base/config.h"
#include "kernel/frame/asm.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/pages.h"
#include "kernel/frame/panic.h"
#include "kernel/frame/vcpu_block.h"
#include "sgx/arch.h"

namespace kernel::frame {
namespace {

constexpr std::uint64_t kVectorInterrupt = 0xff;  // kernel_trap's code for "no exception: the time slice may be over"

constexpr std::uint64_t kSamplesPerTick = 64;

constinit PageQuery page_query = nullptr;

struct FixUp {
  std::uint64_t begin, end, target;
};

// Where a fault of each faulting primitive continues; 0 if `rip` is in none of them.
std::uint64_t fix_up_for(std::uint64_t rip) {
  const std::array<FixUp, 8> table{{
      {address_of_code(faulting_short_begin), address_of_code(faulting_short_end), address_of_code(faulting_copy_begin)},
      {address_of_code(faulting_copy_begin), address_of_code(faulting_copy_end), address_of_code(faulting_copy_end)},
      {address_of_code(faulting_words_begin), address_of_code(faulting_words_end), address_of_code(faulting_words_end)},
      {address_of_code(faulting_zero_begin), address_of_code(faulting_zero_end), address_of_code(faulting_zero_end)},
      {address_of_code(faulting_load), address_of_code(faulting_load_end), address_of_code(faulting_load_fixup)},
      {address_of_code(faulting_store), address_of_code(faulting_store_end), address_of_code(faulting_store_fixup)},
      {address_of_code(faulting_cmpxchg_begin), address_of_code(faulting_cmpxchg_end), address_of_code(faulting_cmpxchg_fixup)},
      {address_of_code(enclu_leaf_site), address_of_code(enclu_leaf_end), address_of_code(enclu_faulted)},
  }};
  for (const FixUp& entry : table)
    if (rip >= entry.begin && rip < entry.end) return entry.target;
  return 0;
}

struct Interrupted {
  sgx::SsaGpr* gpr;
  bool has_exception;
  std::uint32_t vector;
  std::uint64_t address;
  std::uint64_t error;
};

Interrupted read_ssa(const VcpuBlock& vcpu) {
  const std::uint64_t frame_end = vcpu.ssa + vcpu.ssa_frame_size;
  // SAFETY: ssa and ssa_frame_size come from the measured layout; the frame's last bytes are the GPR area, EXINFO lies below it.
  auto* gpr = reinterpret_cast<sgx::SsaGpr*>(frame_end - sizeof(sgx::SsaGpr));
  const auto* exinfo = reinterpret_cast<const sgx::Exinfo*>(frame_end - sizeof(sgx::SsaGpr) - sizeof(sgx::Exinfo));
  Interrupted state{.gpr = gpr, .has_exception = false, .vector = 0, .address = 0, .error = 0};
  if ((gpr->exitinfo & sgx::kExitInfoValid) == 0) return state;
  state.has_exception = true;
  state.vector = gpr->exitinfo & sgx::kExitInfoVectorMask;
  if (state.vector == static_cast<std::uint32_t>(sgx::Vector::page_fault) || state.vector == static_cast<std::uint32_t>(sgx::Vector::general_protection)) {
    state.address = exinfo->maddr;
    state.error = exinfo->errcd;
  }
  gpr->exitinfo = 0;  // consumed: a second entry for the same AEX sees no exception
  return state;
}

// Moves user registers into the trap frame of the running thread and makes ERESUME land in exception_landing.
void move_to_landing(VcpuBlock& vcpu, const Interrupted& state) {
  sgx::SsaGpr& gpr = *state.gpr;
  const std::uint64_t at = vcpu.frame_end - sizeof(TrapFrame);
  // SAFETY: frame_end is the top of the current thread's kernel stack, unused while user code runs.
  TrapFrame& frame = *reinterpret_cast<TrapFrame*>(at);
  frame = {.r15 = gpr.r15, .r14 = gpr.r14, .r13 = gpr.r13, .r12 = gpr.r12, .rbp = gpr.rbp, .rbx = gpr.rbx, .r11 = gpr.r11,
           .r10 = gpr.r10, .r9 = gpr.r9, .r8 = gpr.r8, .rax = gpr.rax, .rcx = gpr.rcx, .rdx = gpr.rdx, .rsi = gpr.rsi,
           .rdi = gpr.rdi, .orig_rax = ~std::uint64_t{0}, .rip = gpr.rip, .rflags = gpr.rflags, .rsp = gpr.rsp,
           .kind = TrapKind::exception};
  vcpu.in_kernel = 1;
  gpr.rip = address_of_code(&exception_landing);
  gpr.rsp = at;
  gpr.rdi = at;
  gpr.rsi = state.has_exception ? state.vector : kVectorInterrupt;
  gpr.rdx = state.address;
  gpr.rcx = state.error;
  gpr.rflags = 2;
}

bool in_range(std::uint64_t value, const std::byte* begin, const std::byte* end) {
  return value >= address_of_code(begin) && value < address_of_code(end);
}

void note_tick(VcpuBlock& vcpu) {
  vcpu.ticked = 1;
  if (vcpu.current != nullptr) vcpu.current->work.fetch_or(kWorkTimers, std::memory_order_relaxed);
}

// A fault while kernel code ran. Memory that the kernel owns is missing by the host's doing, on the kernel's side of a copy too: try again
// (denial of service is out of scope). Other faults of the copy and leaf primitives have fix-ups; a leaf may fail on our own pages, too.
// Words that are shared with the host are touched without one: if they fault, the host took them away. Anything else is a bug of ours.
void kernel_fault(VcpuBlock& vcpu, const Interrupted& state) {
  sgx::SsaGpr& gpr = *state.gpr;
  const bool page_fault = state.vector == static_cast<std::uint32_t>(sgx::Vector::page_fault);
  const std::uint64_t target = fix_up_for(gpr.rip);
  if (page_fault && target != address_of_code(enclu_faulted) && kernel_page_is_ours(state.address)) return;
  if (target != 0) {
    vcpu.fault_addr = page_fault ? state.address : 0;
    vcpu.fault_code = page_fault ? state.error : ~std::uint64_t{0};
    gpr.rip = target;
    return;
  }
  if (page_fault && state.address >= layout().elrange_size) return;
  if (page_fault && page_query != nullptr && page_query(state.address, (state.error & sgx::kPfWrite) != 0)) return;
  // The panic must not run here: at CSSA 1 there is no way to call the host. It continues at CSSA 0 on the idle stack, which nobody needs now.
  gpr.rdi = gpr.rip;
  gpr.rsi = state.vector;
  gpr.rdx = state.address;
  gpr.rcx = gpr.rsp;
  gpr.rip = address_of_code(&panic_landing);
  gpr.rsp = vcpu.entry_stack;
  gpr.rflags = 2;
}

}  // namespace

void set_page_query(PageQuery query) { page_query = query; }

bool kernel_page_is_ours(std::uint64_t address) {
  const host_abi::KernelLayout& where = layout();
  const auto inside = [&](const host_abi::LayoutRange& range) { return address >= range.start && address < range.end(); };
  if (inside(where.image) || inside(where.config)) return true;
  if (address >= where.heap.start && address < heap_committed_end()) return true;
  if (address < where.tcs_base) return false;
  const std::uint64_t slot = (address - where.tcs_base) / where.tcs_stride;
  if (slot >= where.tcs_slots) return false;
  const std::uint64_t offset = (address - where.tcs_base) % where.tcs_stride;
  const auto within = [&](std::uint64_t start, std::uint64_t size) { return offset >= start && offset - start < size; };
  const std::uint64_t ssa_end = where.ssa_offset + std::uint64_t{where.ssa_frames} * where.ssa_frame_pages * kPageSize;
  // The TCS page is the kernel's while it is being filled.
  return offset < ssa_end || within(where.entry_stack_offset, where.entry_stack_size) || within(where.exception_stack_offset, where.exception_stack_size) ||
         within(where.vcpu_block_offset, kPageSize);
}

}  // namespace kernel::frame

extern "C" void kernel_exception(kernel::frame::VcpuBlock* block, std::uint64_t hints) {
  using namespace kernel::frame;
  VcpuBlock& vcpu = *block;
  if (vcpu.ssa == 0) return;  // entered at CSSA 1 before this vCPU has booted
  const Interrupted state = read_ssa(vcpu);
  const std::uint64_t rip = state.gpr->rip;
  vcpu.exceptions += 1;
  const bool returning = in_range(rip, return_begin, return_end);
  const bool at_gate = in_range(rip, gate_begin, gate_entered) || in_range(rip, cpuid_gate_begin, cpuid_gate_entered);
  if ((hints & host_abi::kEntrySample) != 0) {
    // At the landing's first instruction a tick has just moved the program aside: one signal of the host often comes right after another.
    const bool only_landed = rip == address_of_code(&exception_landing);
    count_sample(vcpu, (vcpu.in_kernel != 0 && !only_landed) || returning || at_gate);
    // Nothing else has happened, but now and then the scheduler wants a look, even if nobody asked for a tick (load averages).
    if (!state.has_exception && (hints & host_abi::kEntryInterrupt) == 0 && vcpu.samples % kSamplesPerTick != 0) return;
  }
  if (rip == address_of_code(return_stepped) && state.has_exception && state.vector == static_cast<std::uint32_t>(sgx::Vector::debug)) {
    state.gpr->rip = vcpu.scratch_rip;  // every register but this one is the program's already; the flag stays
    return;
  }
  if (returning) {
    // Restart the return path: it only reads the trap frame, and its first step looks at the work bits.
    if (!state.has_exception) note_tick(vcpu);
    vcpu.in_kernel = 1;
    state.gpr->rip = address_of_code(full_return);
    state.gpr->rsp = vcpu.frame_end - sizeof(TrapFrame);
    state.gpr->rflags = 2;
    return;
  }
  if (vcpu.in_kernel != 0 || (at_gate && !state.has_exception)) {
    if (state.has_exception)
      kernel_fault(vcpu, state);
    else
      note_tick(vcpu);
    return;
  }
  if (at_gate && state.vector == static_cast<std::uint32_t>(sgx::Vector::page_fault) && kernel_page_is_ours(state.address)) return;
  if (vcpu.current == nullptr) return;
  if (!state.has_exception) note_tick(vcpu);
  move_to_landing(vcpu, state);
}
