// The ENCLS leaves of an initialised enclave: EAUG, EMODPR, EMODT, EREMOVE, ETRACK, EDBGRD, EDBGWR; and the host's view (page tables,
// counters).
#include <cstring>
#include <sched.h>

#include "emulator/checks.h"
#include "emulator/thread.h"

namespace emulator {

namespace {

using sgx::PageType;
using sgx::SgxError;

bool in_range(const State& state, u64 offset) { return offset < state.size && state.base + offset >= state.reserved_start; }

bool range_is_sane(const State& state, u64 offset, u64 length) {
  return offset % kPage == 0 && length % kPage == 0 && offset + length >= offset && offset + length <= state.size;
}

bool secinfo_reserved_is_zero(const sgx::Secinfo& secinfo) {
  u64 bits = secinfo.flags & ~u64{kEntryTypeMask | sgx::kSecinfoRwx};
  for (const u8 byte : secinfo.reserved) bits |= byte;
  return bits == 0;
}

bool anybody_inside(const State& state) {
  const u32 slots = state.tcs_slots.load(std::memory_order_acquire);
  for (u32 slot = 1; slot < slots; ++slot) {
    if (state.tcs[slot].used && state.tcs[slot].active.load(std::memory_order_acquire) != 0) return true;
  }
  return false;
}

void add_counters(Counters* to, const Counters& from) {
  // All members are u64: one array.
  constexpr std::size_t kWords = sizeof(Counters) / sizeof(u64);
  u64 a[kWords];
  u64 b[kWords];
  std::memcpy(a, to, sizeof(a));
  std::memcpy(b, &from, sizeof(b));
  for (std::size_t i = 0; i < kWords; ++i) a[i] += b[i];
  std::memcpy(static_cast<void*>(to), a, sizeof(a));
}

void add_tcs_counters(Counters* to, const TcsState& tcs) {
  add_counters(to, tcs.counters);
  to->eenter += tcs.count_eenter;
  to->eexit += tcs.count_eexit;
  to->eresume += tcs.count_eresume;
  to->fast_leaves += tcs.count_fast;
}

Status augment_locked(State& state, u64 offset) {
  CHECK_LEAF(eaug_sgx2, state.options.sgx2, Status::ud());
  CHECK_LEAF(eaug_initialized, state.initialized.load(), Status::gp());
  CHECK_LEAF(eaug_page_aligned, offset % kPage == 0, Status::gp());
  CHECK_LEAF(eaug_in_elrange, in_range(state, offset), Status::gp());
  const u64 address = state.base + offset;
  std::atomic<Entry>& slot = state.entry(address);
  const Entry entry = slot.load();
  const bool free = (entry & kEntryValid) == 0 && address != state.pointer_page;
  CHECK_LEAF(eaug_not_valid_before, free, Status::pf(address));
  constexpr Entry kPending = kEntryValid | sgx::kSecinfoRegRw | sgx::kSecinfoPending;
  slot.store((entry & (kEntryPteMask | kEntryAbsent)) | kPending, std::memory_order_release);
  ++state.counters.eaug;
  return {};
}

Status restrict_locked(State& state, u64 offset, const sgx::Secinfo& secinfo) {
  CHECK_LEAF(emodpr_sgx2, state.options.sgx2, Status::ud());
  CHECK_LEAF(emodpr_initialized, state.initialized.load(), Status::gp());
  CHECK_LEAF(emodpr_secinfo_reserved, secinfo_reserved_is_zero(secinfo), Status::gp());
  const bool write_only = (secinfo.flags & sgx::kSecinfoW) != 0 && (secinfo.flags & sgx::kSecinfoR) == 0;
  CHECK_LEAF(emodpr_write_only, !write_only, Status::gp());
  CHECK_LEAF(emodpr_page_aligned, offset % kPage == 0, Status::gp());
  CHECK_LEAF(emodpr_in_elrange, in_range(state, offset), Status::gp());
  const u64 address = state.base + offset;
  std::atomic<Entry>& slot = state.entry(address);
  Entry entry = slot.load();
  Entry changed = 0;
  do {
    const bool modifiable = (entry & (sgx::kSecinfoPending | sgx::kSecinfoModified)) == 0;
    CHECK_LEAF(emodpr_modifiable, modifiable, Status::code(SgxError::page_not_modifiable));
    CHECK_LEAF(emodpr_reg, (entry & kEntryValid) != 0 && entry_type(entry) == PageType::reg, Status::pf(address));
    const Entry kept = entry & 0xffff'ffffU & ~Entry{sgx::kSecinfoRwx};
    changed = kept | (entry & secinfo.flags & sgx::kSecinfoRwx) | sgx::kSecinfoPr | (state.epoch.load() << kEntryEpochShift);
  } while (!slot.compare_exchange_weak(entry, changed));
  ++state.counters.emodpr;
  return {};
}

Status check_emodt_source(State& state, Entry entry, u64 address, PageType wanted) {
  const bool modifiable = (entry & (sgx::kSecinfoPending | sgx::kSecinfoModified)) == 0;
  CHECK_LEAF(emodt_modifiable, modifiable, Status::code(SgxError::page_not_modifiable));
  const bool from_reg = entry_type(entry) == PageType::reg;
  const bool from_tcs = entry_type(entry) == PageType::tcs && wanted == PageType::trim;
  CHECK_LEAF(emodt_source_type, (entry & kEntryValid) != 0 && (from_reg || from_tcs), Status::pf(address));
  if (from_tcs) {
    const bool idle = state.tcs[entry_slot(entry)].active.load() == 0;
    CHECK_LEAF(emodt_tcs_active, idle, Status::gp());
  }
  return {};
}

Status modify_type_locked(State& state, u64 offset, const sgx::Secinfo& secinfo) {
  CHECK_LEAF(emodt_sgx2, state.options.sgx2, Status::ud());
  CHECK_LEAF(emodt_initialized, state.initialized.load(), Status::gp());
  CHECK_LEAF(emodt_secinfo_reserved, secinfo_reserved_is_zero(secinfo), Status::gp());
  const PageType type = sgx::secinfo_type(secinfo.flags);
  CHECK_LEAF(emodt_type, type == PageType::tcs || type == PageType::trim, Status::gp());
  CHECK_LEAF(emodt_page_aligned, offset % kPage == 0, Status::gp());
  CHECK_LEAF(emodt_in_elrange, in_range(state, offset), Status::gp());
  const u64 address = state.base + offset;
  std::atomic<Entry>& slot = state.entry(address);
  Entry entry = slot.load();
  u32 tcs_slot = 0;
  if (type == PageType::tcs) {
    const u32 slots = state.tcs_slots.load();
    for (u32 i = 1; i < slots && tcs_slot == 0; ++i) tcs_slot = state.tcs[i].used ? 0 : i;
    if (tcs_slot == 0 && slots < kMaxTcs) tcs_slot = slots;
    if (tcs_slot == 0) return Status::code(SgxError::epc_page_conflict);
  }
  Entry changed = 0;
  do {
    if (const Status status = check_emodt_source(state, entry, address, type); !status.ok()) return status;
    const u32 kept_slot = type == PageType::tcs ? tcs_slot : entry_type(entry) == PageType::tcs ? entry_slot(entry) : 0;
    changed = kEntryValid | sgx::kSecinfoModified | (Entry{static_cast<u8>(type)} << sgx::kSecinfoTypeShift) |
              (entry & (kEntryPteMask | kEntryAbsent)) | (Entry{kept_slot} << kEntrySlotShift) | (state.epoch.load() << kEntryEpochShift);
  } while (!slot.compare_exchange_weak(entry, changed));
  if (type == PageType::tcs) {
    state.tcs[tcs_slot].used = true;
    if (tcs_slot == state.tcs_slots.load()) state.tcs_slots.store(tcs_slot + 1);
  }
  ++state.counters.emodt;
  return {};
}

void release_tcs(State& state, u32 slot) {
  if (slot == 0) return;
  TcsState& tcs = state.tcs[slot];
  add_tcs_counters(&state.counters, tcs);
  tcs.counters = {};
  tcs.count_eenter = tcs.count_eexit = tcs.count_eresume = tcs.count_fast = 0;
  tcs.used = false;
}

// EREMOVE without the host's part (page tables, content).
Status remove_locked(State& state, u64 offset, bool only_trimmed) {
  CHECK_LEAF(eremove_page_aligned, offset % kPage == 0, Status::gp());
  CHECK_LEAF(eremove_in_elrange, in_range(state, offset), Status::gp());
  std::atomic<Entry>& slot = state.entry(state.base + offset);
  const Entry entry = slot.load();
  if ((entry & kEntryValid) == 0) return only_trimmed ? Status::pf(state.base + offset) : Status{};
  const bool given_up = entry_type(entry) == PageType::trim && (entry & sgx::kSecinfoModified) == 0;
  CHECK_LEAF(eremove_only_trimmed, given_up || !only_trimmed, Status::code(SgxError::page_not_modifiable));
  CHECK_LEAF(eremove_active, given_up || !anybody_inside(state), Status::code(SgxError::enclave_act));
  release_tcs(state, entry_slot(entry) != 0 && entry_type(entry) != PageType::reg ? entry_slot(entry) : 0);
  slot.store(entry & (kEntryPteMask | kEntryAbsent), std::memory_order_release);
  ++state.counters.eremove;
  return {};
}

Status track_locked(State& state) {
  const u64 epoch = state.epoch.load();
  const u32 slots = state.tcs_slots.load();
  for (u32 slot = 1; slot < slots; ++slot) {
    const TcsState& tcs = state.tcs[slot];
    const bool old = tcs.used && tcs.active.load() == TCS_INSIDE && tcs.entry_epoch.load() < epoch;
    CHECK_LEAF(etrack_previous, !old, Status::code(SgxError::prev_trk_incmpl));
  }
  state.epoch.store(epoch + 1);
  ++state.counters.etrack;
  return {};
}

void kick_locked(State& state) {
  const u64 epoch = state.epoch.load();
  const u32 slots = state.tcs_slots.load();
  for (u32 slot = 1; slot < slots; ++slot) {
    TcsState& tcs = state.tcs[slot];
    // A thread that is entering may have read the epoch already and not stored it: it does so before anything else.
    while (tcs.used && tcs.active.load() == TCS_ENTERING) sched_yield();
    if (!tcs.used || tcs.active.load() == 0 || tcs.entry_epoch.load() >= epoch) continue;
    tcs.entry_epoch.store(epoch);
    ++state.counters.tracking_kicks;
  }
}

// Applies `leaf` page by page, then narrows the page tables of what was done.
template <class Leaf>
RangeStatus for_each_page(State& state, u64 offset, u64 length, Leaf leaf) {
  RangeStatus result;
  if (!range_is_sane(state, offset, length)) return {Status::gp(), 0};
  for (; result.done < length; result.done += kPage) {
    result.status = leaf(offset + result.done);
    if (!result.status.ok()) break;
  }
  const std::lock_guard pte(state.pte);
  sync_pages_locked(state, state.base + offset, state.base + offset + result.done);
  return result;
}

}  // namespace

Status Enclave::eaug(u64 offset) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  return augment_locked(*state_, offset);
}

RangeStatus Enclave::eaug_range(u64 offset, u64 length) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  return for_each_page(*state_, offset, length, [&](u64 at) { return augment_locked(*state_, at); });
}

Status Enclave::emodpr(u64 offset, const sgx::Secinfo& secinfo) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  const Status status = restrict_locked(*state_, offset, secinfo);
  if (!status.ok()) return status;
  const std::lock_guard pte(state_->pte);
  sync_pages_locked(*state_, state_->base + offset, state_->base + offset + kPage);
  return status;
}

RangeStatus Enclave::emodpr_range(u64 offset, u64 length, u64 permissions) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  sgx::Secinfo secinfo{};
  secinfo.flags = permissions;
  const RangeStatus result = for_each_page(*state_, offset, length, [&](u64 at) { return restrict_locked(*state_, at, secinfo); });
  kick_locked(*state_);
  track_locked(*state_);
  kick_locked(*state_);
  return result;
}

Status Enclave::emodt(u64 offset, const sgx::Secinfo& secinfo) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  const Status status = modify_type_locked(*state_, offset, secinfo);
  if (!status.ok()) return status;
  const std::lock_guard pte(state_->pte);
  sync_pages_locked(*state_, state_->base + offset, state_->base + offset + kPage);
  return status;
}

RangeStatus Enclave::emodt_range(u64 offset, u64 length, sgx::PageType type) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  sgx::Secinfo secinfo{};
  secinfo.flags = sgx::secinfo_flags(type, 0);
  const RangeStatus result = for_each_page(*state_, offset, length, [&](u64 at) { return modify_type_locked(*state_, at, secinfo); });
  kick_locked(*state_);
  track_locked(*state_);
  kick_locked(*state_);
  return result;
}

Status Enclave::eremove(u64 offset) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  const Status status = remove_locked(*state_, offset, false);
  if (!status.ok()) return status;
  const u64 address = state_->base + offset;
  const std::lock_guard pte(state_->pte);
  sync_pages_locked(*state_, address, address + kPage);
  drop_pages(address, address + kPage);
  return status;
}

RangeStatus Enclave::eremove_range(u64 offset, u64 length, bool only_trimmed) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  const RangeStatus result = for_each_page(*state_, offset, length, [&](u64 at) { return remove_locked(*state_, at, only_trimmed); });
  const u64 start = state_->base + offset;
  if (result.done != 0) drop_pages(start, start + result.done);
  return result;
}

Status Enclave::etrack() {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  return track_locked(*state_);
}

void Enclave::kick_all() {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  kick_locked(*state_);
}

namespace {

Status check_debug_access(const State& state, u64 offset) {
  CHECK_LEAF(edbg_debug, (state.secs.attributes.flags & sgx::kAttrDebug) != 0, Status::gp());
  CHECK_LEAF(edbg_aligned, offset % sizeof(u64) == 0, Status::gp());
  CHECK_LEAF(edbg_in_elrange, in_range(state, offset), Status::gp());
  const Entry entry = state.entry((state.base + offset) & ~(kPage - 1)).load();
  CHECK_LEAF(edbg_valid, (entry & kEntryValid) != 0, Status::pf(state.base + offset));
  const bool accepted = (entry & (sgx::kSecinfoPending | sgx::kSecinfoModified)) == 0;
  CHECK_LEAF(edbg_accessible, accepted, Status::code(SgxError::page_not_debuggable));
  return {};
}

}  // namespace

Status Enclave::edbgrd(u64 offset, u64* value) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  if (const Status status = check_debug_access(*state_, offset); !status.ok()) return status;
  return read_through(state_->base + offset, value, sizeof(*value)) ? Status{} : Status::pf(state_->base + offset);
}

Status Enclave::edbgwr(u64 offset, u64 value) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  if (const Status status = check_debug_access(*state_, offset); !status.ok()) return status;
  return write_through(state_->base + offset, &value, sizeof(value)) ? Status{} : Status::pf(state_->base + offset);
}

Status Enclave::debug_read(u64 offset, std::span<std::uint8_t> out) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  for (u64 done = 0; done < out.size();) {
    const u64 at = offset + done;
    if (const Status status = check_debug_access(*state_, at & ~u64{7}); !status.ok()) return status;
    const u64 step = std::min<u64>(out.size() - done, kPage - at % kPage);
    if (!read_through(state_->base + at, out.data() + done, step)) return Status::pf(state_->base + at);
    done += step;
  }
  return {};
}

Status Enclave::debug_write(u64 offset, std::span<const std::uint8_t> in) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  for (u64 done = 0; done < in.size();) {
    const u64 at = offset + done;
    if (const Status status = check_debug_access(*state_, at & ~u64{7}); !status.ok()) return status;
    const u64 step = std::min<u64>(in.size() - done, kPage - at % kPage);
    if (!write_through(state_->base + at, in.data() + done, step)) return Status::pf(state_->base + at);
    done += step;
  }
  return {};
}

void Enclave::set_present(u64 offset, u64 length, bool present) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  if (!range_is_sane(*state_, offset, length)) return;
  const u64 start = std::max(state_->base + offset, state_->reserved_start);
  const u64 end = state_->base + offset + length;
  for (u64 page = start; page < end; page += kPage) {
    std::atomic<Entry>& entry = state_->entry(page);
    if (present) {
      entry.fetch_and(~Entry{kEntryAbsent});
    } else {
      entry.fetch_or(kEntryAbsent);
    }
  }
  const std::lock_guard pte(state_->pte);
  sync_pages_locked(*state_, start, end);
}

bool Enclave::is_entered(u64 tcs) const {
  const TcsState* found = state_->tcs_at(tcs);
  return found != nullptr && found->active.load(std::memory_order_seq_cst) == TCS_INSIDE;
}

void Enclave::set_page_fault_hook(PageFaultHook hook, void* context) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  state_->hook_context = context;
  state_->hook = hook;
}

Counters Enclave::counters() const {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  Counters sum = state_->counters;
  const u32 slots = state_->tcs_slots.load();
  for (u32 slot = 1; slot < slots; ++slot) add_tcs_counters(&sum, state_->tcs[slot]);
  sum.lazy_faults += state_->lazy_faults.load();
  sum.tables_forgotten += state_->tables_forgotten.load();
  return sum;
}

}  // namespace emulator
