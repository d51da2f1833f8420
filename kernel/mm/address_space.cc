// AddressSpace: the tree of areas, and what is asked of it without changing anything.
#include "kernel/mm/address_space.h"

#include <algorithm>
#include <bit>

#include "kernel/base/checked.h"
#include "kernel/mm/image_cache.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/user_memory.h"

namespace kernel {
namespace {

std::uint64_t next_id() {
  static constinit std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// Two neighbours that could be one area.
bool can_merge(const Area& low, const Area& high) {
  if (low.end != high.begin || low.kind != high.kind || low.prot != high.prot || low.max_prot != high.max_prot) return false;
  if (low.kind != AreaKind::anonymous && low.kind != AreaKind::file) return false;
  if (low.grows_down || high.grows_down || low.locked != high.locked || low.is_break != high.is_break) return false;
  if (!(low.image == high.image) || low.zero_filled != high.zero_filled) return false;
  if (low.dont_fork != high.dont_fork || low.wipe_on_fork != high.wipe_on_fork || !(low.label == high.label)) return false;
  if (low.kind == AreaKind::anonymous) return true;
  return low.file == high.file && low.patches == high.patches && low.was_writable == high.was_writable && low.mapping == high.mapping &&
         low.offset + low.size() == high.offset;
}

}  // namespace

// One multiplication: every futex call waits for this, and the buckets take the low bits.
std::uint64_t FutexKey::hash() const {
  std::uint64_t mixed = 0;
  __builtin_mul_overflow(where ^ std::rotl(owner, 24), std::uint64_t{0x9e3779b97f4a7c15}, &mixed);
  return mixed >> 32 ^ mixed >> 52;
}

FileBacking::~FileBacking() = default;

Area::Area() = default;
Area::~Area() = default;

Result<Ref<MapLabel>> MapLabel::make(std::string_view text) {
  String copy = TRY(String::from(text));
  return make_ref<MapLabel>(std::move(copy));
}

Result<Own<Area>> clone_area(const Area& area) {
  Own<Area> copy = TRY(make_own<Area>());
  copy->begin = area.begin;
  copy->end = area.end;
  copy->prot = area.prot;
  copy->max_prot = area.max_prot;
  copy->kind = area.kind;
  copy->grows_down = area.grows_down;
  copy->locked = area.locked;
  copy->was_writable = area.was_writable;
  copy->zero_filled = area.zero_filled;
  copy->times = area.times;
  copy->refaults = area.refaults;
  copy->was_discarded = area.was_discarded;
  copy->image = area.image;
  copy->is_break = area.is_break;
  copy->dont_fork = area.dont_fork;
  copy->wipe_on_fork = area.wipe_on_fork;
  copy->offset = area.offset;
  copy->mapping = area.mapping;
  copy->file = area.file;
  copy->window = area.window;
  copy->special = area.special;
  copy->patches = area.patches;
  copy->label = area.label;
  return copy;
}

DeadAreas::~DeadAreas() {
  while (first_ != nullptr) {
    const Own<Area> area = Own<Area>::adopt(first_, {.size = sizeof(Area), .align = alignof(Area)});
    first_ = area->next_dead;
    if (area->window) {
      // Nobody is left to report an error to: as with Linux, msync() is the way to learn of one.
      if (const auto written = area->window->write_back(area->begin, area->end); !written.ok()) continue;
    }
  }
}

std::uint64_t next_mapping() {
  static constinit std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

Result<Ref<AddressSpace>> AddressSpace::create() {
  const Ref<AddressSpace> made = TRY(make_ref<AddressSpace>());
  mm::register_space(*made);
  return made;
}

AddressSpace::AddressSpace() : id_(next_id()) {}

AddressSpace::~AddressSpace() {
  tear_down();
  mm::forget_space(*this);
}

void AddressSpace::drop_user() {
  if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) tear_down();
}

void AddressSpace::tear_down() {
  freeing_.store(true, std::memory_order_release);
  // Nobody takes its place while the areas go.
  running.fetch_add(1, std::memory_order_seq_cst);
  if (may_contend_.load(std::memory_order_seq_cst)) {
    const LockGuard wait_for_exchange(overlap_lock);
  }
  {
    DeadAreas dead;
    const LockGuard guard(lock_);
    free_all_locked(dead);
  }
  mm::leave_group(*this);
  running.fetch_sub(1, std::memory_order_seq_cst);
  freeing_.store(false, std::memory_order_release);
  if (is_victim.exchange(false, std::memory_order_acq_rel)) shortage_hooks().victim_gone();
}

void AddressSpace::free_all_locked(DeadAreas& dead) {
  ending_ = true;
  free_with_reserve_locked();
  // Splitting is not needed for the whole range, so that nothing of this can fail.
  while (Area* area = areas_.first()) {
    // Stubs go with the last area of their code.
    if (area->kind == AreaKind::stub && area->patches->areas != 0) {
      area = AreaTree::next(*area);
      while (area->kind == AreaKind::stub && area->patches->areas != 0) area = AreaTree::next(*area);
    }
    if (!area->image || !keep_image_locked(*area)) release_area_locked(*area, Addresses::cached, dead);
  }
}

Area* AddressSpace::area_at(std::uint64_t address) const {
  Area* area = areas_.floor(address);
  return area != nullptr && address < area->end ? area : nullptr;
}

Area* AddressSpace::area_from(std::uint64_t address) const {
  Area* area = areas_.floor(address);
  if (area != nullptr && address < area->end) return area;
  return area != nullptr ? AreaTree::next(*area) : areas_.ceiling(address);
}

void AddressSpace::begin_change() {
  areas_lock_.lock();
  sequence_.fetch_add(1, std::memory_order_acq_rel);
}

void AddressSpace::end_change() {
  for (CachedArea& entry : cache_) entry.end.store(0, std::memory_order_relaxed);
  sequence_.fetch_add(1, std::memory_order_release);
  areas_lock_.unlock();
}

void AddressSpace::insert_locked(Area& area) {
  begin_change();
  areas_.insert(area);
  end_change();
  if (!area.hidden()) virtual_size_ += area.size();
}

void AddressSpace::take_out_locked(Area& area) {
  begin_change();
  areas_.remove(area);
  end_change();
  if (!area.hidden()) virtual_size_ -= area.size();
}

Result<> AddressSpace::split_locked(Area& area, std::uint64_t at) {
  KASSERT(area.begin < at && at < area.end);
  Own<Area> upper = TRY(clone_area(area));
  upper->begin = at;
  upper->offset = area.offset_of(at);
  if (upper->patches) ++upper->patches->areas;
  if (upper->window) upper->window->areas.fetch_add(1, std::memory_order_relaxed);
  begin_change();
  area.end = at;
  areas_.insert(*upper.leak());
  end_change();
  return {};
}

Result<> AddressSpace::split_at_edges_locked(std::uint64_t begin, std::uint64_t end) {
  for (const std::uint64_t edge : {begin, end}) {
    Area* area = area_at(edge);
    if (area != nullptr && area->begin < edge && area->kind != AreaKind::stub) TRY(split_locked(*area, edge));
  }
  return {};
}

// Joins equal neighbours in and around [begin, end).
void AddressSpace::merge_locked(std::uint64_t begin, std::uint64_t end) {
  Area* low = begin == 0 ? areas_.first() : area_from(begin - 1);
  while (low != nullptr && low->begin <= end) {
    Area* high = AreaTree::next(*low);
    if (high == nullptr) return;
    if (!can_merge(*low, *high)) {
      low = high;
      continue;
    }
    begin_change();
    areas_.remove(*high);
    low->end = high->end;
    low->refaults = std::max(low->refaults, high->refaults);
    low->was_discarded = low->was_discarded || high->was_discarded;
    end_change();
    if (high->patches) --high->patches->areas;
    // The references that go with it are not the last ones: `low` has the same.
    const Own<Area> gone = Own<Area>::adopt(high, {.size = sizeof(Area), .align = alignof(Area)});
  }
}

bool AddressSpace::is_covered_locked(std::uint64_t begin, std::uint64_t end) const {
  std::uint64_t at = begin;
  for (const Area* area = area_from(begin); area != nullptr && at < end; area = AreaTree::next(*area)) {
    if (area->begin > at || area->hidden()) return false;
    at = area->end;
  }
  return at >= end;
}

// --- check() ---

Result<> AddressSpace::check(std::uint64_t address, std::uint64_t size, Access access) {
  std::uint64_t end = 0;
  if (__builtin_add_overflow(address, size, &end)) return Errno::fault;
  const std::uint64_t before = sequence_.load(std::memory_order_acquire);
  const CachedArea& entry = cache_[((address >> 21) * 2 + (access == Access::write ? 1 : 0)) % kCachedAreas];
  const std::uint64_t area_begin = entry.begin.load(std::memory_order_relaxed);
  const std::uint64_t area_end = entry.end.load(std::memory_order_relaxed);
  const auto prot = static_cast<std::uint32_t>(entry.prot.load(std::memory_order_relaxed));
  std::atomic_thread_fence(std::memory_order_acquire);
  if ((before & 1) == 0 && sequence_.load(std::memory_order_relaxed) == before && address >= area_begin && end <= area_end &&
      mm::permits(prot, access))
    return {};
  if (size == 0 || slow_check(address, end, access)) return {};
  return Errno::fault;
}

bool AddressSpace::slow_check(std::uint64_t address, std::uint64_t end, Access access) {
  const LockGuard guard(areas_lock_);
  std::uint64_t at = address;
  for (const Area* area = area_from(address); area != nullptr && at < end; area = AreaTree::next(*area)) {
    if (area->begin > at) return false;
    std::uint32_t prot = area->prot;
    if (area->kind == AreaKind::reserve) {
      // The stack may grow into it; the copy's fault will make it.
      const Area* above = AreaTree::next(*area);
      prot = above != nullptr && above->grows_down && above->begin == area->end ? above->prot : 0;
    }
    if (!mm::permits(prot, access)) return false;
    if (at == address && end <= area->end && area->kind != AreaKind::reserve) {
      CachedArea& entry = cache_[((address >> 21) * 2 + (access == Access::write ? 1 : 0)) % kCachedAreas];
      sequence_.fetch_add(1, std::memory_order_acq_rel);
      entry.begin.store(area->begin, std::memory_order_relaxed);
      entry.end.store(area->end, std::memory_order_relaxed);
      entry.prot.store(prot, std::memory_order_relaxed);
      sequence_.fetch_add(1, std::memory_order_release);
    }
    at = area->end;
  }
  return at >= end;
}

bool AddressSpace::is_accessible(std::uint64_t address, Access access) const {
  const mm::PageState state = mm::page_map().state(round_down(address, kPageSize));
  return state.present() && mm::permits(state.permissions(), access);
}

FaultReason AddressSpace::fault_reason(std::uint64_t address, Access) {
  const LockGuard guard(areas_lock_);
  const Area* area = area_at(address);
  return area == nullptr || area->hidden() ? FaultReason::unmapped : FaultReason::protection;
}

std::optional<std::uint64_t> AddressSpace::original_rip(std::uint64_t rip) {
  const LockGuard guard(areas_lock_);
  const Area* area = area_at(rip);
  if (area == nullptr || area->kind != AreaKind::stub) return std::nullopt;
  return area->patches->original_rip(rip);
}

Result<FutexKey> AddressSpace::futex_key(std::uint64_t address, bool process_private) {
  if (process_private) return FutexKey{.owner = id_, .where = address};
  const LockGuard guard(areas_lock_);
  const Area* area = area_at(address);
  if (area == nullptr || area->hidden()) return Errno::fault;
  if (area->kind != AreaKind::shared) return FutexKey{.owner = id_, .where = address};
  constexpr std::uint64_t kObject = std::uint64_t{1} << 63;  // keeps the two kinds of owners apart
  return FutexKey{.owner = area->window->id() | kObject, .where = area->offset_of(address)};
}

Result<Vec<AreaInfo>> AddressSpace::areas() {
  Vec<AreaInfo> list;
  const LockGuard guard(lock_);
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (area->hidden()) continue;
    TRY(list.try_push(AreaInfo{.begin = area->begin,
                               .end = area->end,
                               .prot = area->prot,
                               .shared = area->kind == AreaKind::shared,
                               .grows_down = area->grows_down,
                               .locked = area->locked,
                               .offset = area->file ? area->offset : 0,
                               .resident = mm::page_map().count(area->begin, area->end) << kPageShift,
                               .file = area->file,
                               .label = area->label}));
  }
  return list;
}

void AddressSpace::note_resident_locked() {
  std::uint64_t pages = 0;
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area))
    if (!area->hidden()) pages += mm::page_map().count(area->begin, area->end);
  peak_resident_ = std::max(peak_resident_, pages << kPageShift);
}

MemoryUsage AddressSpace::usage() {
  MemoryUsage usage;
  const LockGuard guard(lock_);
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (area->hidden()) continue;
    const std::uint64_t resident = mm::page_map().count(area->begin, area->end) << kPageShift;
    usage.resident += resident;
    if (area->locked) usage.locked += area->size();
    if (area->kind == AreaKind::shared) usage.shared += resident;
    if (area->grows_down)
      usage.stack += area->size();
    else if ((area->prot & kProtExec) != 0)
      usage.text += area->size();
    else if ((area->prot & kProtWrite) != 0 && area->kind != AreaKind::shared)
      usage.data += area->size();
  }
  peak_resident_ = std::max(peak_resident_, usage.resident);
  usage.virtual_size = virtual_size_;
  usage.peak_resident = peak_resident_;
  return usage;
}

void AddressSpace::set_limits(const MemoryLimits& limits) {
  const LockGuard guard(lock_);
  limits_ = limits;
}

}  // namespace kernel
