// AddressSpace: fork(2).
#include <algorithm>

#include "kernel/base/checked.h"
#include "kernel/frame/heap.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/exchange.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/shared.h"

namespace kernel {

// SAFETY: nobody else knows the child yet, so that its lock_ is not needed for what that guards.
Result<> AddressSpace::fork_into(AddressSpace& child, bool child_first) NO_THREAD_SAFETY_ANALYSIS {
  const LockGuard guard(lock_);
  const LockGuard overlap(overlap_lock);
  TRY(check_fork_room_locked());
  TRY(mm::ensure_group(*this));
  child.limits_ = limits_;
  child.break_begin_ = break_begin_;
  child.break_.store(break_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  child.may_contend_.store(true, std::memory_order_seq_cst);
  child.in_place.store(false, std::memory_order_relaxed);
  // What the child does not get would stay in place, though this space is not: then this space stays.
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) child_first = child_first && !area->dont_fork;
  Result<> result = copy_areas_locked(child);
  for (const Area* area = areas_.first(); area != nullptr && result.ok(); area = AreaTree::next(*area))
    if (area->owns_addresses() && !mm::can_refill(*area) && !area->dont_fork) result = copy_pages_locked(child, *area, child_first);
  if (!result.ok()) {
    undo_fork_locked();
    return result;
  }
  mm::join_group(*group.load(std::memory_order_relaxed), child, false);
  if (child_first) {
    const LockGuard residency(residency_lock);
    List<AddressSpace, ResidentTag>::remove(*this);
    in_place.store(false, std::memory_order_relaxed);
    group.load(std::memory_order_relaxed)->residents.push_back(child);
    group.load(std::memory_order_relaxed)->slice_start = monotonic_now();
    child.in_place.store(true, std::memory_order_relaxed);
  }
  overlap_statistics().forks.fetch_add(1, std::memory_order_relaxed);
  return {};
}

// Refuses a fork whose copies the kernel's heap would hold, but not those that the exchanges between the members need afterwards: then
// somebody would have to be killed later. ENOMEM.
Result<> AddressSpace::check_fork_room_locked() const {
  std::uint64_t pages = 0;
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area))
    if (area->owns_addresses() && !area->is_clean() && !area->dont_fork) pages += mm::page_map().count(area->begin, area->end);
  const frame::HeapUsage heap = frame::heap_usage();
  const std::uint64_t left = heap.limit - std::min(heap.limit, heap.used);
  return left / kPageSize > 2 * pages + heap.limit / 8 / kPageSize ? Result<>() : Result<>(Errno::nomem);
}

// The areas of the child, and its share in all addresses of ours. What fails leaves a child that can be torn down.
// SAFETY: see fork_into().
Result<> AddressSpace::copy_areas_locked(AddressSpace& child) NO_THREAD_SAFETY_ANALYSIS {
  ContendedRanges& ranges = mm::contended_ranges();
  RefPtr<PatchSet> from;  // the set copied last: its areas and stubs are neighbours mostly
  RefPtr<PatchSet> to;
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (area->dont_fork) continue;
    Own<Area> copy = TRY(clone_area(*area));
    copy->locked = false;  // memory locks are not inherited (fork(2))
    copy->fault_pages = 0;
    if (copy->patches) {
      if (!(copy->patches == from)) {
        from = copy->patches;
        to = child.find_patches(*from);
        if (!to) to = TRY(from->clone());
      }
      copy->patches = to;
    }
    if (area->owns_addresses()) {
      TRY(ranges.cover(area->begin, area->end));
      for (ContendedRange* range = ranges.from(area->begin); range != nullptr && range->begin < area->end; range = ContendedRanges::next(*range))
        ++range->holders;
    }
    if (copy->patches && copy->kind == AreaKind::file) ++copy->patches->areas;
    if (copy->window) copy->window->areas.fetch_add(1, std::memory_order_relaxed);
    child.insert_locked(*copy.leak());
  }
  return {};
}

// The child's copy of a patch set, if one of its areas has it already.
RefPtr<PatchSet> AddressSpace::find_patches(const PatchSet& like) const {
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area))
    if (area->patches && area->patches->stubs() == like.stubs()) return area->patches;
  return nullptr;
}

Result<> AddressSpace::copy_pages_locked(AddressSpace& child, const Area& area, bool child_first) {
  mm::PageMap& pages = mm::page_map();
  for (std::uint64_t page = pages.find(area.begin, area.end, true); page < area.end; page = pages.find(page + kPageSize, area.end, true))
    if (pages.state(page).present()) TRY(copy_page_locked(child, area, page, child_first));
  if (!area.wipe_on_fork || !child_first) return {};
  mm::vacate(area.begin, area.end);
  return pages.has_edmm() ? Result<>() : pages.commit_zero(area.begin, area.end, mm::permissions_for(kProtRead));
}

// Who is not in place afterwards gets a copy. What nobody can write is shared where it is.
Result<> AddressSpace::copy_page_locked(AddressSpace& child, const Area& area, std::uint64_t page, bool child_first) {
  if (PageVersion* version = versions_.find(page); version != nullptr && version->in_place() && !area.wipe_on_fork)
    return child.versions_.add(page, Ref<PageVersion>(*version));
  const bool has_edmm = mm::page_map().has_edmm();
  const bool writable = has_edmm ? (mm::page_map().state(page).permissions() & frame::kPageWrite) != 0 : (area.prot & kProtWrite) != 0;
  if (area.wipe_on_fork && !child_first) return {};
  if (area.wipe_on_fork) TRY(forget_versions(page, page + kPageSize));
  const Ref<PageVersion> version = TRY(make_ref<PageVersion>());
  if (!writable && !area.wipe_on_fork) {
    TRY(versions_.add(page, version));
    return child.versions_.add(page, version);
  }
  TRY(mm::set_aside(*version, page));
  mm::page_map().mark(page, mm::PageState::kDiverged, false);
  return child_first ? versions_.add(page, version) : child.versions_.add(page, version);
}

// This space stays in place: what was set aside for it is not needed. (An area that is wiped in the child has been emptied already:
// its pages come back.)
void AddressSpace::undo_fork_locked() {
  for (std::uint64_t page = versions_.next(0, ~std::uint64_t{0}); page != ~std::uint64_t{0}; page = versions_.next(page + kPageSize, ~std::uint64_t{0})) {
    PageVersion& version = *versions_.find(page);
    if (version.in_place()) continue;
    const Area* area = area_at(page);
    const bool gone = !mm::page_map().state(page).present();
    if (gone && (area == nullptr || !mm::page_map().commit_copy(page, version.bytes(), mm::permissions_for(area->prot) | frame::kPageRead).ok()))
      is_damaged.store(true, std::memory_order_relaxed);
    versions_.take(page);
  }
}

}  // namespace kernel
