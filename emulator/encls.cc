// ECREATE, EADD, EEXTEND, EINIT and the life of an Enclave (SDM 38.3). One operation at a time, under State::encls.
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <sys/mman.h>

#include "emulator/checks.h"
#include "emulator/thread.h"
#include "sgx/sigstruct.h"

namespace emulator {

namespace {

using sgx::PageType;

bool is_power_of_two(u64 value) { return value != 0 && (value & (value - 1)) == 0; }

bool xfrm_is_legal(u64 xfrm) {
  if ((xfrm & sgx::kXfrmLegacy) != sgx::kXfrmLegacy) return false;
  if ((xfrm & ~xstate_layout().supported) != 0) return false;
  const u64 avx512 = xfrm & sgx::kXfrmAvx512;
  if (avx512 != 0 && (avx512 != sgx::kXfrmAvx512 || (xfrm & sgx::kXfrmAvx) == 0)) return false;
  const u64 amx = xfrm & sgx::kXfrmAmx;
  return amx == 0 || amx == sgx::kXfrmAmx;
}

template <class T>
bool all_zero(const T& bytes) {
  for (const u8 byte : bytes) {
    if (byte != 0) return false;
  }
  return true;
}

constexpr u64 kSupportedAttributes =
    sgx::kAttrDebug | sgx::kAttrMode64 | sgx::kAttrProvisionKey | sgx::kAttrEinitTokenKey | sgx::kAttrKss;

Status check_secs(const sgx::Secs& secs) {
  constexpr u64 kSmallest = 2 * kPage;
  constexpr u64 kLargest = u64{1} << 47;
  CHECK_LEAF(ecreate_size, is_power_of_two(secs.size) && secs.size >= kSmallest && secs.size <= kLargest, Status::gp());
  CHECK_LEAF(ecreate_base, (secs.base & (secs.size - 1)) == 0 && secs.base <= kLargest - secs.size, Status::gp());
  CHECK_LEAF(ecreate_xfrm, xfrm_is_legal(secs.attributes.xfrm), Status::gp());
  CHECK_LEAF(ecreate_attributes, (secs.attributes.flags & ~kSupportedAttributes) == 0, Status::gp());
  CHECK_LEAF(ecreate_mode64, (secs.attributes.flags & sgx::kAttrMode64) != 0, Status::gp());
  CHECK_LEAF(ecreate_miscselect, (secs.miscselect & ~sgx::kMiscExinfo) == 0, Status::gp());
  const u64 needed = xsave_size(secs.attributes.xfrm) + sizeof(sgx::SsaGpr) + ((secs.miscselect & sgx::kMiscExinfo) != 0 ? sizeof(sgx::Exinfo) : 0);
  CHECK_LEAF(ecreate_frame_size, secs.ssa_frame_pages * kPage >= needed && secs.ssa_frame_pages < 0x10000, Status::gp());
  const bool kss = (secs.attributes.flags & sgx::kAttrKss) != 0;
  CHECK_LEAF(ecreate_config_without_kss, kss || (all_zero(secs.config_id) && secs.config_svn == 0), Status::gp());
  const bool reserved = all_zero(secs.reserved1) && all_zero(secs.reserved2) && all_zero(secs.reserved3) &&
                        all_zero(secs.reserved4) && secs.cet_attributes == 0 && secs.cet_leg_bitmap_offset == 0;
  CHECK_LEAF(ecreate_reserved, reserved, Status::gp());
  return {};
}

template <class T>
T* map_sparse(u64 count) {
  void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<T*>(memory);
}

// Reserves ELRANGE and the tables. An empty string, or what the host refused.
std::string reserve(State& state) {
  state.reserved_start = std::max(state.base, kLowestAddress);
  const u64 length = state.base + state.size - state.reserved_start;
  void* wanted = reinterpret_cast<void*>(state.reserved_start);
  void* range = mmap(wanted, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (range != wanted) {
    const int reason = errno;
    if (range != MAP_FAILED) munmap(range, length);
    state.size = 0;  // nothing to unmap
    const bool limited = range == MAP_FAILED && reason == ENOMEM;
    return fmt::format("cannot reserve ELRANGE {:#x}..{:#x}: {}{}", state.reserved_start, state.reserved_start + length,
                       std::strerror(range == MAP_FAILED ? reason : EEXIST), limited ? " (a limit on addresses: see `ulimit -v`)" : "");
  }
  // One page is written before anything cuts the range: the parts then share its reverse map, without which the host does not join
  // neighbours again that have become alike, and the number of mappings only grows.
  if (mprotect(range, kPage, PROT_READ | PROT_WRITE) == 0) {
    *static_cast<volatile u8*>(range) = 0;
    madvise(range, kPage, MADV_DONTNEED);
    mprotect(range, kPage, PROT_NONE);
  }
  // Where a whole large page of the host may be accessed when it is touched for the first time, that costs a quarter.
  madvise(range, length, MADV_HUGEPAGE);
  state.epcm = map_sparse<std::atomic<Entry>>(state.size / kPage);
  state.tcs = map_sparse<TcsState>(kMaxTcs);
  state.regions = map_sparse<u8>(state.size / kRegion + 1);
  state.max_mappings = state.options.max_mappings != 0 ? state.options.max_mappings : default_max_mappings();
  if (state.epcm == nullptr || state.tcs == nullptr || state.regions == nullptr) return fmt::format("no memory for the EPCM: {}", std::strerror(errno));
  return {};
}

// Remembers [start, end) among the runs of added pages, joined with its neighbour below.
void remember_added(State& state, u64 start, u64 end) {
  auto next = state.added.upper_bound(start);
  if (next != state.added.begin()) {
    auto before = std::prev(next);
    if (before->second == start) {
      before->second = end;
      return;
    }
  }
  state.added[start] = end;
}

bool secinfo_reserved_is_zero(const sgx::Secinfo& secinfo, u64 allowed_flags) {
  return (secinfo.flags & ~allowed_flags) == 0 && all_zero(secinfo.reserved);
}

Status check_eadd(const State& state, u64 offset, const sgx::Secinfo& secinfo) {
  CHECK_LEAF(eadd_initialized, !state.initialized.load(), Status::gp());
  CHECK_LEAF(eadd_secinfo_reserved, secinfo_reserved_is_zero(secinfo, kEntryTypeMask | sgx::kSecinfoRwx), Status::gp());
  CHECK_LEAF(eadd_page_aligned, offset % kPage == 0, Status::gp());
  const bool inside = offset < state.size && state.base + offset >= state.reserved_start;
  CHECK_LEAF(eadd_in_elrange, inside, Status::gp());
  const PageType type = sgx::secinfo_type(secinfo.flags);
  CHECK_LEAF(eadd_type, type == PageType::reg || type == PageType::tcs, Status::gp());
  const bool write_only = (secinfo.flags & sgx::kSecinfoW) != 0 && (secinfo.flags & sgx::kSecinfoR) == 0;
  CHECK_LEAF(eadd_write_only, !write_only, Status::gp());
  return {};
}

// A free TCS slot, 0 if there is none.
u32 find_tcs_slot(State& state) {
  const u32 slots = state.tcs_slots.load();
  for (u32 slot = 1; slot < slots; ++slot) {
    if (!state.tcs[slot].used) return slot;
  }
  if (slots == kMaxTcs) return 0;
  state.tcs_slots.store(slots + 1);
  return slots;
}

Status check_added_tcs(const sgx::Tcs& tcs) {
  CHECK_LEAF(eadd_tcs_reserved, all_zero(tcs.reserved), Status::gp());
  CHECK_LEAF(eadd_tcs_flags, (tcs.flags & ~sgx::kTcsDbgOptIn) == 0, Status::gp());
  return {};
}

// EADD of one page whose host mapping is writable already. The content is copied in; `source` nullptr means zeros.
Status add_page_locked(State& state, u64 offset, const sgx::Secinfo& secinfo, const void* source) {
  const u64 address = state.base + offset;
  std::atomic<Entry>& entry = state.entry(address);
  const bool free = (entry.load() & kEntryValid) == 0 && address != state.pointer_page;
  CHECK_LEAF(eadd_not_valid_before, free, Status::pf(address));
  Entry value = kEntryValid | (secinfo.flags & kEntrySecinfo) | (entry.load() & kEntryPteMask);
  if (sgx::secinfo_type(secinfo.flags) == PageType::tcs) {
    sgx::Tcs tcs{};
    if (source != nullptr) std::memcpy(&tcs, source, sizeof(tcs));
    if (const Status status = check_added_tcs(tcs); !status.ok()) return status;
    const u32 slot = find_tcs_slot(state);
    if (slot == 0) return Status::code(sgx::SgxError::epc_page_conflict);
    value = (value & ~Entry{sgx::kSecinfoRwx}) | (Entry{slot} << kEntrySlotShift);
    tcs.flags &= ~sgx::kTcsDbgOptIn;
    tcs.state = 0;
    tcs.cssa = 0;
    tcs.aep = 0;
    std::memcpy(reinterpret_cast<void*>(address), &tcs, sizeof(tcs));
    load_tcs(state, address, tcs, slot);
  } else if (source != nullptr) {
    std::memcpy(reinterpret_cast<void*>(address), source, kPage);
  }
  entry.store(value, std::memory_order_release);
  return {};
}

Status extend_locked(State& state, u64 offset) {
  CHECK_LEAF(eextend_initialized, !state.initialized.load(), Status::gp());
  CHECK_LEAF(eextend_aligned, offset % sgx::kExtendChunk == 0, Status::gp());
  CHECK_LEAF(eextend_in_elrange, offset < state.size && state.base + offset >= state.reserved_start, Status::gp());
  const u64 address = state.base + offset;
  const bool valid = (state.entry(address & ~(kPage - 1)).load() & kEntryValid) != 0;
  CHECK_LEAF(eextend_valid, valid, Status::pf(address));
  u8 chunk[sgx::kExtendChunk];
  if (!read_through(address, chunk, sizeof(chunk))) return Status::pf(address);
  state.measurement->eextend(offset, chunk);
  ++state.counters.eextend;
  return {};
}

// Until EINIT nobody runs in the enclave: the host mapping of added pages is writable for the emulator.
bool open_for_build(State& state, u64 start, u64 end) {
  start = std::max(start, state.reserved_start);
  return mprotect(reinterpret_cast<void*>(start), end - start, PROT_READ | PROT_WRITE) == 0;
}

}  // namespace

State::~State() {
  if (size != 0 && epcm != nullptr) munmap(epcm, size / kPage * sizeof(*epcm));
  if (tcs != nullptr) munmap(tcs, kMaxTcs * sizeof(*tcs));
  if (regions != nullptr) munmap(regions, size / kRegion + 1);
  if (size != 0) munmap(reinterpret_cast<void*>(reserved_start), base + size - reserved_start);
  release_sites(*this);
}

TcsState* State::tcs_at(u64 address) const {
  if (!contains(address)) return nullptr;
  const Entry value = entry(address).load(std::memory_order_acquire);
  if ((value & kEntryValid) == 0 || entry_type(value) != PageType::tcs || entry_slot(value) == 0) return nullptr;
  return &tcs[entry_slot(value)];
}

void load_tcs(State& state, u64 address, const sgx::Tcs& tcs, u32 slot) {
  TcsState& target = state.tcs[slot];
  target.active.store(0);
  target.cssa = 0;
  target.thread = nullptr;
  target.address = address;
  target.aep = 0;
  target.flags = tcs.flags;
  target.ossa = tcs.ossa;
  target.nssa = tcs.nssa;
  target.entry = state.base + tcs.oentry;
  target.fs_base = state.base + tcs.ofsbase;
  target.gs_base = state.base + tcs.ogsbase;
  target.slot = slot;
  target.gs_page_marked = false;
  target.used = true;
}

Enclave::Enclave(std::unique_ptr<State> state) : state_(std::move(state)) {}

Enclave::~Enclave() { unregister_state(state_.get()); }

std::expected<std::unique_ptr<Enclave>, CreateError> Enclave::create(const sgx::Secs& secs, const Options& options) {
  if (const Status status = check_secs(secs); !status.ok()) return std::unexpected(CreateError{status, "the SECS is not valid"});
  auto device = current_device();
  if (!device) return std::unexpected(CreateError{{}, device.error()});
  if (!install_signal_handlers()) {
    return std::unexpected(CreateError{{}, fmt::format("cannot install signal handlers: {}", std::strerror(errno))});
  }
  auto state = std::make_unique<State>();
  state->base = secs.base;
  state->size = secs.size;
  state->options = options;
  state->secs = secs;
  state->device = *device;
  state->frame_bytes = secs.ssa_frame_pages * kPage;
  state->xsave_bytes = xsave_size(secs.attributes.xfrm);
  if (std::string message = reserve(*state); !message.empty()) return std::unexpected(CreateError{{}, std::move(message)});
  state->measurement.emplace(secs.ssa_frame_pages, secs.size);
  register_state(state.get());
  return std::unique_ptr<Enclave>(new Enclave(std::move(state)));
}

Status Enclave::eadd(u64 offset, const sgx::Secinfo& secinfo, const void* source_page) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  if (const Status status = check_eadd(*state_, offset, secinfo); !status.ok()) return status;
  const u64 start = state_->base + offset;
  if (!open_for_build(*state_, start, start + kPage)) return Status::pf(start);
  if (const Status status = add_page_locked(*state_, offset, secinfo, source_page); !status.ok()) return status;
  remember_added(*state_, start, start + kPage);
  sgx::Secinfo measured = secinfo;
  if (sgx::secinfo_type(secinfo.flags) == PageType::tcs) measured.flags &= ~sgx::kSecinfoRwx;
  state_->measurement->eadd(offset, measured.flags);
  ++state_->counters.eadd;
  return {};
}

Status Enclave::eextend(u64 offset) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  return extend_locked(*state_, offset);
}

RangeStatus Enclave::eadd_range(u64 offset, u64 length, u64 secinfo_flags, const void* content, bool measured) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  State& state = *state_;
  sgx::Secinfo secinfo{};
  secinfo.flags = secinfo_flags;
  if (offset % kPage != 0 || length % kPage != 0 || offset + length < offset || offset + length > state.size) return {Status::gp(), 0};
  if (length == 0) return {};
  if (const Status status = check_eadd(state, offset, secinfo); !status.ok()) return {status, 0};
  const u64 start = state.base + offset;
  if (!open_for_build(state, start, start + length)) return {Status::pf(start), 0};
  const u8* bytes = static_cast<const u8*>(content);
  // The host's pages in one go instead of a fault for each; older hosts than Linux 5.14 take the faults.
  if (bytes != nullptr) (void)madvise(reinterpret_cast<void*>(start), length, MADV_POPULATE_WRITE);
  const bool is_tcs = sgx::secinfo_type(secinfo_flags) == PageType::tcs;
  const u64 measured_flags = is_tcs ? secinfo_flags & ~sgx::kSecinfoRwx : secinfo_flags;
  RangeStatus result;
  for (; result.done < length; result.done += kPage) {
    const u64 at = offset + result.done;
    result.status = add_page_locked(state, at, secinfo, bytes == nullptr ? nullptr : bytes + result.done);
    if (!result.status.ok()) break;
    if (measured) {
      const auto* page = reinterpret_cast<const u8*>(state.base + at);
      state.measurement->add_measured_page(at, measured_flags, std::span<const u8, kPage>(page, kPage));
      state.counters.eextend += kPage / sgx::kExtendChunk;
    } else {
      state.measurement->eadd(at, measured_flags);
    }
    ++state.counters.eadd;
  }
  if (result.done != 0) remember_added(state, start, start + result.done);
  return result;
}

namespace {

// The number of the check of EINIT that failed with this error.
CheckId einit_check(sgx::SgxError error) {
  switch (error) {
    case sgx::SgxError::invalid_signature: return CheckId::einit_signature;
    case sgx::SgxError::invalid_measurement: return CheckId::einit_measurement;
    case sgx::SgxError::invalid_attribute: return CheckId::einit_attributes;
    default: return CheckId::einit_structure;
  }
}

}  // namespace

Status Enclave::einit(const sgx::Sigstruct& sigstruct) {
  const SignalBlock block;
  const std::lock_guard guard(state_->encls);
  State& state = *state_;
  CHECK_LEAF(einit_initialized, !state.initialized.load(), Status::gp());
  const sgx::Result<sgx::Hash> mrenclave = state.measurement->finish();
  const sgx::Result<sgx::Hash> mrsigner = sgx::mrsigner_of(sigstruct);
  if (!mrenclave || !mrsigner) return Status::code(sgx::SgxError::invalid_sig_struct);
  const sgx::SgxError error = sgx::check_einit(sigstruct, state.secs.attributes, state.secs.miscselect, *mrenclave);
  if (error != sgx::SgxError::success && check_enabled(einit_check(error))) return Status::code(error);
  sgx::Secs& secs = state.secs;
  secs.attributes.flags |= sgx::kAttrInit;
  secs.mrenclave = *mrenclave;
  secs.mrsigner = *mrsigner;
  secs.isv_prod_id = sigstruct.isv_prod_id;
  secs.isv_svn = sigstruct.isv_svn;
  const bool kss = (secs.attributes.flags & sgx::kAttrKss) != 0;
  state.identity = {.mrenclave = *mrenclave,
                    .mrsigner = *mrsigner,
                    .attributes = secs.attributes,
                    .miscselect = secs.miscselect,
                    .isv_prod_id = sigstruct.isv_prod_id,
                    .isv_svn = sigstruct.isv_svn,
                    .config_svn = secs.config_svn,
                    .cet_attributes = 0,
                    .config_id = secs.config_id,
                    .isv_family_id = kss ? sigstruct.isv_family_id : sgx::Id128{},
                    .isv_ext_prod_id = kss ? sigstruct.isv_ext_prod_id : sgx::Id128{}};
  const std::lock_guard pte(state.pte);
  if (state.options.mode == Mode::fast) patch_sites(state);
  // The host mapping of every added page was RW so far; say so in the entries, then bring them to what the EPCM allows.
  for (const auto& [start, end] : state.added) {
    note_tables_locked(state, start, end, sgx::kSecinfoR | sgx::kSecinfoW);
    sync_pages_locked(state, start, end);
  }
  if (!state.added.empty()) state.forgettable_end = state.added.begin()->first;
  state.initialized.store(true, std::memory_order_release);
  return {};
}

u64 Enclave::base() const { return state_->base; }
u64 Enclave::size() const { return state_->size; }
bool Enclave::initialized() const { return state_->initialized.load(std::memory_order_acquire); }
Mode Enclave::mode() const { return state_->options.mode; }
sgx::EnclaveIdentity Enclave::identity() const { return state_->identity; }
u32 Enclave::patched_sites() const { return state_->patched; }

u64 Enclave::page_flags(u64 offset) const {
  if (offset >= state_->size) return kNoPage;
  const Entry entry = state_->entry(state_->base + (offset & ~(kPage - 1))).load(std::memory_order_acquire);
  return (entry & kEntryValid) != 0 ? entry & kEntrySecinfo : kNoPage;
}

}  // namespace emulator
