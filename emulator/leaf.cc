// The ENCLU leaves that work on pages (SDM 38.4): EACCEPT, EACCEPTCOPY, EMODPE. Operands that must be readable are read once, into a
// copy. Mode fast calls this code straight from the enclave, so it is compiled without vector registers and calls nothing that uses
// them.
#include <cstring>

#include "emulator/checks.h"
#include "emulator/thread.h"

namespace emulator {

namespace {

using sgx::PageType;
using sgx::SgxError;

constexpr u64 kPageMask = ~(kPage - 1);

bool read_enclave(void* to, u64 address, u64 size) { return emulator_copy(to, reinterpret_cast<const void*>(address), size) == 0; }

// The SECINFO operand that EACCEPT, EACCEPTCOPY and EMODPE share.
Status read_secinfo(const State& state, u64 address, sgx::Secinfo* secinfo) {
  CHECK_LEAF(secinfo_aligned, address % sgx::kAlignSecinfo == 0, Status::gp());
  CHECK_LEAF(secinfo_in_elrange, state.contains(address), Status::gp());
  if (const Status status = check_access(state, address, sgx::kSecinfoR); !status.ok()) return status;
  if (!read_enclave(secinfo, address, sizeof(*secinfo))) return Status::pf(address);
  bool zero = (secinfo->flags & ~u64{kEntrySecinfo}) == 0;
  u64 words[7];
  std::memcpy(words, secinfo->reserved.data(), sizeof(words));
  for (const u64 word : words) zero = zero && word == 0;
  CHECK_LEAF(secinfo_reserved, zero, Status::gp());
  return {};
}

constexpr Entry kSecinfoBits = kEntrySecinfo;

// No thread that was inside when the page was changed is still there without having left (SDM 36.5.1).
bool tracking_complete(const State& state, Entry entry) {
  const u64 changed = entry >> kEntryEpochShift;
  if (changed >= state.epoch.load(std::memory_order_acquire)) return false;
  const u32 slots = state.tcs_slots.load(std::memory_order_acquire);
  for (u32 slot = 1; slot < slots; ++slot) {
    const TcsState& tcs = state.tcs[slot];
    // One that is just entering began after the last interrupts (kick_locked()) and will see the new epoch.
    if (tcs.used && tcs.active.load(std::memory_order_acquire) == TCS_INSIDE && tcs.entry_epoch.load(std::memory_order_acquire) <= changed) {
      return false;
    }
  }
  return true;
}

// The last pending page of a chunk was accepted: bring the page tables of the run up to date in one go. Correctness does not depend
// on it (a fault does the same), only speed.
void sync_when_chunk_is_done(State& state, u64 page) {
  constexpr Entry kPendingPage = kEntryValid | sgx::kSecinfoPending;
  const auto pending = [&](u64 address) {
    return state.contains(address) && (state.entry(address).load(std::memory_order_relaxed) & kPendingPage) == kPendingPage;
  };
  if (pending(page + kPage) || (page > state.reserved_start && pending(page - kPage))) return;
  const std::lock_guard guard(state.pte);
  sync_run_locked(state, page);
}

Status check_combination(const sgx::Secinfo& secinfo) {
  const PageType type = sgx::secinfo_type(secinfo.flags);
  const bool pending = (secinfo.flags & sgx::kSecinfoPending) != 0;
  const bool modified = (secinfo.flags & sgx::kSecinfoModified) != 0;
  const bool changed_type = (type == PageType::tcs || type == PageType::trim) && !pending && modified;
  CHECK_LEAF(eaccept_combination, type == PageType::reg || changed_type, Status::gp());
  return {};
}

Status accept_tcs_page(State& state, u64 page, Entry entry) {
  sgx::Tcs tcs;
  if (!read_through(page, &tcs, sizeof(tcs))) return Status::pf(page);
  bool zero = (tcs.flags & ~sgx::kTcsDbgOptIn) == 0;
  for (const u8 byte : tcs.reserved) zero = zero && byte == 0;
  CHECK_LEAF(eaccept_tcs_reserved, zero, Status::gp());
  const bool fresh = (tcs.flags & sgx::kTcsDbgOptIn) == 0 && tcs.cssa < tcs.nssa && tcs.aep == 0 && tcs.state == 0;
  CHECK_LEAF(eaccept_tcs_state, fresh, Status::gp());
  load_tcs(state, page, tcs, entry_slot(entry));
  return {};
}

}  // namespace

Status check_access(const State& state, u64 address, u32 needed) {
  const Entry entry = state.entry(address & kPageMask).load(std::memory_order_acquire);
  return (entry_wanted_pte(entry) & needed) == needed ? Status{} : Status::pf(address);
}

u32 fault_error_code(const State& state, u64 address, bool write) {
  u32 code = sgx::kPfUser | (write ? sgx::kPfWrite : 0);
  if (!state.contains(address)) return code;
  const Entry entry = state.entry(address & kPageMask).load(std::memory_order_acquire);
  if ((entry & kEntryValid) != 0 && (entry & kEntryAbsent) == 0) code |= sgx::kPfPresent | sgx::kPfSgx;
  return code;
}

Status leaf_eaccept(const LeafContext& context, u64 secinfo_at, u64 page) {
  State& state = context.state;
  CHECK_LEAF(enclu_sgx2, state.options.sgx2, Status::gp());
  sgx::Secinfo secinfo;
  if (const Status status = read_secinfo(state, secinfo_at, &secinfo); !status.ok()) return status;
  CHECK_LEAF(eaccept_aligned, page % kPage == 0, Status::gp());
  CHECK_LEAF(eaccept_in_elrange, state.contains(page), Status::gp());
  if (const Status status = check_combination(secinfo); !status.ok()) return status;
  std::atomic<Entry>& slot = state.entry(page);
  Entry entry = slot.load(std::memory_order_acquire);
  const PageType type = entry_type(entry);
  const bool usable = (entry & kEntryValid) != 0 && (entry & kEntryAbsent) == 0 &&
                      (type == PageType::reg || type == PageType::tcs || type == PageType::trim);
  CHECK_LEAF(eaccept_valid, usable, Status::pf(page));
  CHECK_LEAF(eaccept_match, (entry & kSecinfoBits) == secinfo.flags, Status::code(SgxError::page_attributes_mismatch));
  const bool tracked_change = (entry & (sgx::kSecinfoModified | sgx::kSecinfoPr)) != 0;
  CHECK_LEAF(eaccept_tracked, !tracked_change || tracking_complete(state, entry), Status::code(SgxError::not_tracked));
  if (type == PageType::tcs && (entry & sgx::kSecinfoModified) != 0) {
    if (const Status status = accept_tcs_page(state, page, entry); !status.ok()) return status;
  }
  constexpr Entry kDone = sgx::kSecinfoPending | sgx::kSecinfoModified | sgx::kSecinfoPr;
  // Another processor may be faster (two EACCEPTs of one page): what it left does not match any more.
  while (!slot.compare_exchange_weak(entry, entry & ~kDone, std::memory_order_acq_rel)) {
    CHECK_LEAF(eaccept_match, (entry & kSecinfoBits) == secinfo.flags, Status::code(SgxError::page_attributes_mismatch));
  }
  ++context.tcs.counters.eaccept;
  if ((secinfo.flags & sgx::kSecinfoPending) != 0) sync_when_chunk_is_done(state, page);
  return {};
}

Status leaf_eacceptcopy(const LeafContext& context, u64 secinfo_at, u64 page, u64 source) {
  State& state = context.state;
  CHECK_LEAF(enclu_sgx2, state.options.sgx2, Status::gp());
  sgx::Secinfo secinfo;
  if (const Status status = read_secinfo(state, secinfo_at, &secinfo); !status.ok()) return status;
  CHECK_LEAF(eacceptcopy_aligned, page % kPage == 0 && source % kPage == 0, Status::gp());
  CHECK_LEAF(eacceptcopy_in_elrange, state.contains(page) && state.contains(source), Status::gp());
  const u64 flags = secinfo.flags;
  constexpr u64 kStateBits = sgx::kSecinfoPending | sgx::kSecinfoModified | sgx::kSecinfoPr;
  const bool write_only = (flags & sgx::kSecinfoW) != 0 && (flags & sgx::kSecinfoR) == 0;
  CHECK_LEAF(eacceptcopy_secinfo, sgx::secinfo_type(flags) == PageType::reg && (flags & kStateBits) == 0 && !write_only, Status::gp());
  if (const Status status = check_access(state, source, sgx::kSecinfoR); !status.ok()) return status;
  std::atomic<Entry>& slot = state.entry(page);
  Entry entry = slot.load(std::memory_order_acquire);
  const bool valid = (entry & kEntryValid) != 0 && (entry & kEntryAbsent) == 0;
  CHECK_LEAF(eacceptcopy_dest_valid, valid, Status::pf(page));
  constexpr Entry kExpectedMask = sgx::kSecinfoPending | sgx::kSecinfoModified | kEntryTypeMask;
  constexpr Entry kExpected = sgx::kSecinfoPending | (sgx::kSecinfoRegRw & kEntryTypeMask);
  CHECK_LEAF(eacceptcopy_dest_pending, (entry & kExpectedMask) == kExpected, Status::code(SgxError::page_attributes_mismatch));
  // The page is still out of everybody's reach, so nobody sees it half filled.
  if (!write_through(page, reinterpret_cast<const void*>(source), kPage)) {
    // The page tables of the source are not up to date: read it with the fault handler's help.
    u8 content[kPage];
    if (!read_enclave(content, source, kPage)) return Status::pf(source);
    if (!write_through(page, content, kPage)) fatal("EACCEPTCOPY: the page cannot be written", page);
  }
  do {
    CHECK_LEAF(eacceptcopy_dest_pending, (entry & kExpectedMask) == kExpected, Status::code(SgxError::page_attributes_mismatch));
  } while (!slot.compare_exchange_weak(entry, (entry & ~Entry{sgx::kSecinfoPending | sgx::kSecinfoRwx}) | (flags & sgx::kSecinfoRwx),
                                       std::memory_order_acq_rel));
  ++context.tcs.counters.eacceptcopy;
  sync_when_chunk_is_done(state, page);
  return {};
}

Status leaf_emodpe(const LeafContext& context, u64 secinfo_at, u64 page) {
  State& state = context.state;
  CHECK_LEAF(enclu_sgx2, state.options.sgx2, Status::gp());
  sgx::Secinfo secinfo;
  if (const Status status = read_secinfo(state, secinfo_at, &secinfo); !status.ok()) return status;
  CHECK_LEAF(emodpe_aligned, page % kPage == 0, Status::gp());
  CHECK_LEAF(emodpe_in_elrange, state.contains(page), Status::gp());
  std::atomic<Entry>& slot = state.entry(page);
  Entry entry = slot.load(std::memory_order_acquire);
  do {
    const bool valid = (entry & kEntryValid) != 0 && (entry & kEntryAbsent) == 0 && entry_type(entry) == PageType::reg;
    CHECK_LEAF(emodpe_valid, valid, Status::pf(page));
    CHECK_LEAF(emodpe_accepted, (entry & (sgx::kSecinfoPending | sgx::kSecinfoModified)) == 0, Status::pf(page));
    const u64 both = (entry | secinfo.flags) & sgx::kSecinfoRwx;
    CHECK_LEAF(emodpe_write_only, (both & sgx::kSecinfoW) == 0 || (both & sgx::kSecinfoR) != 0, Status::gp());
  } while (!slot.compare_exchange_weak(entry, entry | (secinfo.flags & sgx::kSecinfoRwx), std::memory_order_acq_rel));
  ++context.tcs.counters.emodpe;
  return {};
}

}  // namespace emulator
