// EENTER, EEXIT, ERESUME and AEX, played on the frame of a signal (SDM 38.4 and 39.3, 40.4).
#include <cstring>

#include "emulator/checks.h"
#include "emulator/thread.h"

namespace emulator {

namespace {

using sgx::SsaGpr;

constexpr u64 kArithmeticFlags = 0x8d5;  // CF PF AF ZF SF OF
constexpr u64 kFlagTrap = 0x100;
constexpr u64 kFlagDirection = 0x400;
constexpr u64 kFlagResume = 0x10000;
constexpr u64 kFlagAlignment = 0x40000;
// What ERESUME may load from the SSA: the flags that software at CPL 3 can change.
constexpr u64 kUserFlags = kArithmeticFlags | kFlagTrap | kFlagDirection | kFlagAlignment | 0x200000;

u64 gpr_address(const State& state, u64 ssa) { return ssa + sgx::ssa_gpr_offset(state.frame_bytes); }

// A page of the SSA frame: regular, accepted, readable and writable.
Status check_ssa_page(const State& state, u64 address) {
  if (!state.contains(address)) return Status::pf(address);
  const Entry entry = state.entry(address).load(std::memory_order_acquire);
  CHECK_LEAF(entry_ssa_present, (entry & kEntryAbsent) == 0, Status::pf(address));
  constexpr u32 kReadWrite = sgx::kSecinfoR | sgx::kSecinfoW;
  const Entry usable = entry & ~Entry{kEntryAbsent};
  CHECK_LEAF(entry_ssa_access, (entry_wanted_pte(usable) & kReadWrite) == kReadWrite, Status::pf(address));
  return {};
}

Status check_tcs_page(const State* state, u64 address) {
  CHECK_LEAF(entry_tcs_aligned, address % kPage == 0, Status::gp());
  if (state == nullptr) return Status::pf(address);
  const Entry entry = state->entry(address & ~(kPage - 1)).load(std::memory_order_acquire);
  CHECK_LEAF(entry_tcs_present, (entry & kEntryAbsent) == 0, Status::pf(address));
  const bool is_tcs = (entry & kEntryValid) != 0 && entry_type(entry) == sgx::PageType::tcs;
  if (!is_tcs) return Status::pf(address);
  CHECK_LEAF(entry_tcs_accepted, (entry & (sgx::kSecinfoPending | sgx::kSecinfoModified)) == 0, Status::pf(address));
  return {};
}

Status check_tcs_content(const State& state, const TcsState& tcs) {
  CHECK_LEAF(entry_ossa_aligned, tcs.ossa % kPage == 0, Status::gp());
  CHECK_LEAF(entry_fsgs_aligned, tcs.fs_base % kPage == 0 && tcs.gs_base % kPage == 0, Status::gp());
  CHECK_LEAF(entry_initialized, state.initialized.load(std::memory_order_acquire), Status::gp());
  CHECK_LEAF(entry_target_canonical, is_canonical(tcs.entry), Status::gp());
  return {};
}

Status check_ssa_frame(const State& state, u64 ssa) {
  const u64 xsave_end = ssa + state.xsave_bytes;
  for (u64 page = ssa; page < xsave_end; page += kPage) {
    if (const Status status = check_ssa_page(state, page); !status.ok()) return status;
  }
  return check_ssa_page(state, gpr_address(state, ssa) & ~(kPage - 1));
}

// The processor keeps the SSA frame's physical address from the entry on: an AEX works even if the page was unmapped since.
bool write_enclave(u64 address, const void* from, u64 size) {
  return emulator_copy(reinterpret_cast<void*>(address), from, size) == 0 || write_through(address, from, size);
}
bool read_enclave(void* to, u64 address, u64 size) {
  return emulator_copy(to, reinterpret_cast<const void*>(address), size) == 0 || read_through(address, to, size);
}

void load_gprs(const Frame& frame, const SsaGpr& gpr) {
  frame.rax() = gpr.rax;
  frame.reg(REG_RCX) = gpr.rcx;
  frame.reg(REG_RDX) = gpr.rdx;
  frame.reg(REG_RBX) = gpr.rbx;
  frame.reg(REG_RSP) = gpr.rsp;
  frame.reg(REG_RBP) = gpr.rbp;
  frame.reg(REG_RSI) = gpr.rsi;
  frame.reg(REG_RDI) = gpr.rdi;
  constexpr int kHigh[] = {REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  const u64 values[] = {gpr.r8, gpr.r9, gpr.r10, gpr.r11, gpr.r12, gpr.r13, gpr.r14, gpr.r15};
  for (int i = 0; i < 8; ++i) frame.reg(kHigh[i]) = values[i];
  frame.rip() = gpr.rip;
  const u64 flags = frame.reg(REG_EFL);
  frame.reg(REG_EFL) = (flags & ~kUserFlags) | (gpr.rflags & kUserFlags);
}

void store_gprs(const Frame& frame, SsaGpr* gpr) {
  gpr->rax = frame.rax();
  gpr->rcx = frame.reg(REG_RCX);
  gpr->rdx = frame.reg(REG_RDX);
  gpr->rbx = frame.reg(REG_RBX);
  gpr->rsp = frame.reg(REG_RSP);
  gpr->rbp = frame.reg(REG_RBP);
  gpr->rsi = frame.reg(REG_RSI);
  gpr->rdi = frame.reg(REG_RDI);
  gpr->r8 = frame.reg(REG_R8);
  gpr->r9 = frame.reg(REG_R9);
  gpr->r10 = frame.reg(REG_R10);
  gpr->r11 = frame.reg(REG_R11);
  gpr->r12 = frame.reg(REG_R12);
  gpr->r13 = frame.reg(REG_R13);
  gpr->r14 = frame.reg(REG_R14);
  gpr->r15 = frame.reg(REG_R15);
  gpr->rflags = frame.reg(REG_EFL);
  gpr->rip = frame.rip();
}

void load_synthetic_state(const Frame& frame, const TcsState& tcs, u64 ursp, u64 urbp) {
  constexpr int kCleared[] = {REG_RDX, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (const int index : kCleared) frame.reg(index) = 0;
  frame.rax() = static_cast<u64>(sgx::EncluLeaf::eresume);
  frame.reg(REG_RBX) = tcs.address;
  frame.reg(REG_RCX) = tcs.aep;
  frame.reg(REG_RSP) = ursp;
  frame.reg(REG_RBP) = urbp;
  frame.rip() = tcs.aep;
  frame.reg(REG_EFL) &= ~(kArithmeticFlags | kFlagResume | kFlagTrap);
}

// What the signal frame must not show of the enclave's registers at EEXIT: those that carry nothing are zero, vectors are initial.
void assert_clean_exit(const Thread& thread, const Frame& frame) {
  constexpr int kDead[] = {REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (const int index : kDead) {
    if (frame.reg(index) != 0) fatal("EEXIT with a register that is not zero: gregs index", static_cast<u64>(index));
  }
  // Who leaves at once leaves in registers and flags what the host put there.
  const u64 left_over = xstate_left_over(frame.fpstate(), thread.state->secs.attributes.xfrm);
  if (left_over != 0 && !xstate_is_junk(frame.fpstate())) fatal("EEXIT with vector state that is not initial", left_over);
  const bool flags = (frame.reg(REG_EFL) & (kFlagAlignment | kFlagDirection)) != 0;
  if (flags && thread.tcs->cssa < 2) fatal("EEXIT with AC or DF set", frame.rip());
  frame.reg(REG_EFL) &= ~(kFlagAlignment | kFlagDirection);
}

void junk_registers(const Frame& frame) {
  constexpr int kFree[] = {REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  u64 junk = 0x8badf00d'deadbe00;
  for (const int index : kFree) frame.reg(index) = junk++;
  frame.reg(REG_EFL) |= kFlagDirection | kFlagAlignment | kArithmeticFlags;
  xstate_junk(frame.fpstate());
}

}  // namespace

Status check_entry(u64 tcs_address, u64 aep, bool resume, EntryPlan* plan) {
  State* state = find_state(tcs_address);
  if (const Status status = check_tcs_page(state, tcs_address); !status.ok()) return status;
  if (!is_canonical(aep)) return Status::gp();
  TcsState* tcs = state->tcs_at(tcs_address & ~(kPage - 1));
  if (tcs == nullptr) return Status::pf(tcs_address);
  if (const Status status = check_tcs_content(*state, *tcs); !status.ok()) return status;
  u32 idle = 0;
  const bool taken = tcs->active.compare_exchange_strong(idle, TCS_ENTERING);
  CHECK_LEAF(entry_tcs_busy, taken, Status::gp());
  const auto check_frame = [&]() -> Status {
    if (resume) {
      CHECK_LEAF(eresume_cssa, tcs->cssa > 0, Status::gp());
    } else {
      CHECK_LEAF(eenter_cssa, tcs->cssa < tcs->nssa, Status::gp());
    }
    plan->ssa = state->base + tcs->ossa + (u64{tcs->cssa} - (resume ? 1 : 0)) * state->frame_bytes;
    return check_ssa_frame(*state, plan->ssa);
  };
  if (const Status status = check_frame(); !status.ok()) {
    tcs->active.store(0, std::memory_order_release);
    return status;
  }
  plan->state = state;
  plan->tcs = tcs;
  return {};
}

void finish_entry(Thread& thread, const EntryPlan& plan, u64 aep) {
  plan.tcs->entry_epoch.store(plan.state->epoch.load());
  plan.tcs->active.store(TCS_INSIDE);
  plan.tcs->aep = aep;
  plan.tcs->thread = &thread;
  thread.tcs = plan.tcs;
  thread.state = plan.state;
  thread.in_enclave = 1;
}

Status play_eenter(Thread& thread, const Frame& frame) {
  CHECK_LEAF(enclu_mode_outside, thread.in_enclave == 0, Status::gp());
  EntryPlan plan{};
  const u64 aep = frame.reg(REG_RCX);
  if (const Status status = check_entry(frame.reg(REG_RBX), aep, false, &plan); !status.ok()) return status;
  const u64 user_stack[2] = {frame.reg(REG_RSP), frame.reg(REG_RBP)};
  const u64 gpr = gpr_address(*plan.state, plan.ssa);
  if (!write_enclave(gpr + offsetof(SsaGpr, ursp), user_stack, sizeof(user_stack))) fatal("SSA frame cannot be written", plan.ssa);
  thread.host_fs = frame.bases->fs;
  thread.host_gs = frame.bases->gs;
  finish_entry(thread, plan, aep);
  ++plan.tcs->count_eenter;
  frame.rax() = plan.tcs->cssa;
  frame.reg(REG_RCX) = frame.rip() + sgx::kEncluBytes.size();
  frame.rip() = plan.tcs->entry;
  frame.bases->fs = plan.tcs->fs_base;
  frame.bases->gs = plan.tcs->gs_base;
  frame.reg(REG_EFL) &= ~kFlagTrap;
  if (plan.state->options.assertions) junk_registers(frame);
  return {};
}

Status play_eresume(Thread& thread, const Frame& frame) {
  CHECK_LEAF(enclu_mode_outside, thread.in_enclave == 0, Status::gp());
  EntryPlan plan{};
  const u64 aep = frame.reg(REG_RCX);
  if (const Status status = check_entry(frame.reg(REG_RBX), aep, true, &plan); !status.ok()) return status;
  const u64 gpr_at = gpr_address(*plan.state, plan.ssa);
  SsaGpr gpr;
  const auto restore = [&]() -> Status {
    if (emulator_copy(&gpr, reinterpret_cast<const void*>(gpr_at), sizeof(gpr)) != 0) return Status::pf(gpr_at);
    CHECK_LEAF(eresume_rip, is_canonical(gpr.rip), Status::gp());
    CHECK_LEAF(eresume_bases, is_canonical(gpr.fsbase) && is_canonical(gpr.gsbase), Status::gp());
    return xstate_from_ssa(frame.fpstate(), plan.ssa, plan.state->secs.attributes.xfrm);
  };
  if (const Status status = restore(); !status.ok()) {
    plan.tcs->active.store(0, std::memory_order_release);
    return status;
  }
  const u64 user_stack[2] = {frame.reg(REG_RSP), frame.reg(REG_RBP)};
  if (!write_enclave(gpr_at + offsetof(SsaGpr, ursp), user_stack, sizeof(user_stack))) fatal("SSA frame cannot be written", plan.ssa);
  thread.host_fs = frame.bases->fs;
  thread.host_gs = frame.bases->gs;
  --plan.tcs->cssa;
  finish_entry(thread, plan, aep);
  ++plan.tcs->count_eresume;
  load_gprs(frame, gpr);
  frame.bases->fs = gpr.fsbase;
  frame.bases->gs = gpr.gsbase;
  return {};
}

Status play_eexit(Thread& thread, const Frame& frame) {
  if (thread.in_enclave == 0) return Status::gp();
  const u64 target = frame.reg(REG_RBX);
  CHECK_LEAF(eexit_target, is_canonical(target) && !thread.state->contains(target), Status::gp());
  if (thread.state->options.assertions) assert_clean_exit(thread, frame);
  TcsState& tcs = *thread.tcs;
  ++tcs.count_eexit;
  frame.reg(REG_RCX) = tcs.aep;
  frame.rip() = target;
  frame.bases->fs = thread.host_fs;
  frame.bases->gs = thread.host_gs;
  thread.in_enclave = 0;
  thread.tcs = nullptr;
  tcs.thread = nullptr;
  tcs.active.store(0, std::memory_order_release);
  return {};
}

namespace {

// The page tables let the emulator write the frame's GPR area without a fault.
bool is_writable_now(const State& state, u64 address) {
  return (entry_pte(state.entry(address & ~(kPage - 1)).load(std::memory_order_relaxed)) & sgx::kSecinfoW) != 0;
}

bool is_resumable(const State& state, u64 ssa, u64 gpr_at) {
  SsaGpr gpr;
  if (emulator_copy(&gpr, reinterpret_cast<const void*>(gpr_at), sizeof(gpr)) != 0) return false;
  return is_canonical(gpr.rip) && is_canonical(gpr.fsbase) && is_canonical(gpr.gsbase) && (gpr.rflags & kFlagTrap) == 0 &&
         xstate_is_loadable(ssa, state.secs.attributes.xfrm);
}

}  // namespace

FastEntry prepare_fast_entry(Thread& thread, State& state, const sgx::EnclaveRun& run, u32 function) {
  if (!is_fast_state(state) || state.options.assertions) return FastEntry::trap;
  // Whatever is wrong here is for the trapping path to find and report.
  const bool resume = function == static_cast<u32>(sgx::EncluLeaf::eresume);
  if (!check_tcs_page(&state, run.tcs).ok()) return FastEntry::trap;
  TcsState* tcs = state.tcs_at(run.tcs);
  if (tcs == nullptr || !check_tcs_content(state, *tcs).ok()) return FastEntry::trap;
  const u32 cssa = tcs->cssa;
  if (resume ? cssa == 0 : cssa >= tcs->nssa) return FastEntry::trap;
  const u64 ssa = state.base + tcs->ossa + (u64{cssa} - (resume ? 1 : 0)) * state.frame_bytes;
  const u64 gpr = gpr_address(state, ssa);
  if (!check_ssa_frame(state, ssa).ok() || !is_writable_now(state, gpr)) return FastEntry::trap;
  if (resume && !is_resumable(state, ssa, gpr)) return FastEntry::trap;
  if (!tcs->gs_page_marked) {
    const SignalBlock block;
    mark_gs_page(state, *tcs);
  }
  thread.next_tcs = tcs;
  thread.state = &state;
  thread.cssa = cssa;
  thread.entry_ssa_gpr = gpr;
  thread.entry_rip = tcs->entry;
  thread.entry_fs = tcs->fs_base;
  thread.entry_gs = tcs->gs_base;
  thread.ssa = ssa;
  thread.xfrm = state.secs.attributes.xfrm;
  return resume ? FastEntry::resume : FastEntry::enter;
}

void play_aex(Thread& thread, const Frame& frame, const AexCause& cause) {
  State& state = *thread.state;
  TcsState& tcs = *thread.tcs;
  const u64 ssa = state.base + tcs.ossa + u64{tcs.cssa} * state.frame_bytes;
  const u64 gpr_at = gpr_address(state, ssa);
  SsaGpr gpr;
  if (!read_enclave(&gpr, gpr_at, sizeof(gpr))) fatal("SSA frame cannot be read", ssa);
  store_gprs(frame, &gpr);
  gpr.fsbase = frame.bases->fs;
  gpr.gsbase = frame.bases->gs;
  gpr.exitinfo = 0;
  gpr.reserved = {};
  if (cause.exception && sgx::exitinfo_reports(cause.vector, state.secs.miscselect)) {
    const bool software = cause.vector == static_cast<u8>(sgx::Vector::breakpoint);
    gpr.exitinfo = sgx::make_exitinfo(cause.vector, software ? sgx::kExitInfoTypeSoftware : sgx::kExitInfoTypeHardware);
    const bool page_fault = cause.vector == static_cast<u8>(sgx::Vector::page_fault);
    if (page_fault || cause.vector == static_cast<u8>(sgx::Vector::general_protection)) {
      const sgx::Exinfo exinfo{page_fault ? cause.address : 0, cause.error_code, 0};
      if (!write_enclave(ssa + sgx::ssa_exinfo_offset(state.frame_bytes), &exinfo, sizeof(exinfo))) fatal("SSA frame cannot be written", ssa);
    }
  }
  if (!xstate_to_ssa(frame.fpstate(), ssa, state.secs.attributes.xfrm)) fatal("SSA frame cannot be written", ssa);
  if (!write_enclave(gpr_at, &gpr, sizeof(gpr))) fatal("SSA frame cannot be written", ssa);
  ++tcs.cssa;
  ++tcs.counters.aex;
  if (cause.exception) {
    ++tcs.counters.aex_vector[cause.vector & 31];
  } else if (cause.signal > 0 && cause.signal <= 64) {
    ++tcs.counters.aex_signal[static_cast<std::size_t>(cause.signal)];
  }
  load_synthetic_state(frame, tcs, gpr.ursp, gpr.urbp);
  frame.bases->fs = thread.host_fs;
  frame.bases->gs = thread.host_gs;
  thread.in_enclave = 0;
  thread.tcs = nullptr;
  tcs.thread = nullptr;
  tcs.active.store(0, std::memory_order_release);
}

void fix_up_exception(const Frame& frame, const AexCause& cause) {
  frame.reg(REG_RDI) = cause.vector;
  frame.reg(REG_RSI) = cause.error_code;
  // The processor hides the low bits of a faulting address in an enclave from the system.
  frame.reg(REG_RDX) = cause.vector == static_cast<u8>(sgx::Vector::page_fault) ? cause.address & ~(kPage - 1) : 0;
  frame.rip() = reinterpret_cast<u64>(&emulator_handle_exception[0]);
}

}  // namespace emulator
