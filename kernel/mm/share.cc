// AddressSpace: what mapping, unmapping and protecting do where other address spaces have the same addresses (mm/overlap.h).
#include <algorithm>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/exchange.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/user_memory.h"

namespace kernel {

using OverlapGuard = LockGuard<OverlapLock>;

// --- claiming ---

// Before a fixed mapping: if other spaces have some of the addresses, this one joins their group and is alone in place afterwards.
Result<> AddressSpace::share_addresses(std::uint64_t begin, std::uint64_t size) {
  std::uint64_t end = 0;
  if (__builtin_add_overflow(begin, round_up(size, kPageSize), &end)) return Errno::nomem;
  if (!mm::in_window(begin, end - begin) || owns_all(begin, end) || mm::is_free(begin, end - begin)) return {};
  // Another may be faster again and again; not for ever.
  constexpr int kAttempts = 64;
  constexpr Instant kEndingWait = 200'000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    bool ending = false;
    {
      const OverlapGuard guard(overlap_lock);
      const Result<bool> met = mm::meet_holders(*this, begin, end);
      if (!met.ok() && met.error() != Errno::again) return met.error();
      ending = !met.ok();
      if (!ending && !auto(met).release()) return {};
      if (!ending && mm::is_sole_resident(*this)) return {};
    }
    if (ending)
      (void)park(monotonic_now() + kEndingWait, Interruptible::no);
    else
      overlap_hooks().become_sole_resident();
  }
  return Errno::nomem;
}

// Addresses for a fixed mapping that none of our areas has.
Result<> AddressSpace::claim_locked(std::uint64_t begin, std::uint64_t end) {
  if (mm::claim_range(begin, end - begin, id_).ok()) return {};
  const OverlapGuard guard(overlap_lock);
  if (!may_contend_.load(std::memory_order_relaxed) || !mm::is_sole_resident(*this)) return Errno::nomem;
  return claim_contended(begin, end);
}

Result<> AddressSpace::claim_contended(std::uint64_t begin, std::uint64_t end) {
  ContendedRanges& ranges = mm::contended_ranges();
  TRY(mm::cover_holders(*this, begin, end));
  // Everything that has a holder has a range now; what has none must be free.
  std::uint64_t at = begin;
  Result<> result;
  while (at < end && result.ok()) {
    ContendedRange* range = ranges.from(at);
    const std::uint64_t gap_end = range == nullptr ? end : std::min(end, range->begin);
    if (gap_end > at) {
      result = mm::claim_range(at, gap_end - at, id_);
      if (result.ok()) at = gap_end;
      continue;
    }
    // What lies in place there is not ours: the exchange has set aside what others need.
    mm::vacate(range->begin, range->end);
    range->is_mixed = false;
    range->content = 0;
    ++range->holders;
    at = range->end;
  }
  if (result.ok()) return {};
  for (std::uint64_t undo = begin; undo < at;) {
    ContendedRange* range = ranges.from(undo);
    const std::uint64_t gap_end = range == nullptr ? at : std::min(at, range->begin);
    if (gap_end > undo) {
      mm::give_range(undo, gap_end - undo, id_, false);
      undo = gap_end;
      continue;
    }
    --range->holders;
    undo = range->end;
  }
  return result;
}

bool AddressSpace::owns_all(std::uint64_t begin, std::uint64_t end) const {
  const LockGuard guard(areas_lock_);
  std::uint64_t at = begin;
  for (const Area* area = area_from(begin); area != nullptr && at < end; area = AreaTree::next(*area)) {
    if (area->begin > at || !area->owns_addresses()) return false;
    at = area->end;
  }
  return at >= end;
}

AddressSpace::Extent AddressSpace::held_extent(std::uint64_t begin, std::uint64_t end) const {
  const LockGuard guard(areas_lock_);
  const Area* area = area_from(begin);
  while (area != nullptr && area->begin < end && !area->owns_addresses()) area = AreaTree::next(*area);
  if (area == nullptr || area->begin >= end) return {.begin = end, .end = end};
  return {.begin = std::max(begin, area->begin), .end = std::min(end, area->end)};
}

// --- giving up ---

void AddressSpace::give_locked(std::uint64_t begin, std::uint64_t end, const Area* area, bool cacheable) {
  if (!may_contend_.load(std::memory_order_seq_cst)) {
    mm::give_range(begin, end - begin, id_, cacheable);
    return;
  }
  for (std::uint64_t at = begin; at < end;) {
    std::uint64_t stop = end;
    bool is_ours = false;
    {
      const OverlapGuard guard(overlap_lock);
      is_ours = give_contended(at, end, area, stop);
    }
    if (is_ours) mm::give_range(at, stop - at, id_, cacheable);
    at = stop;
  }
}

// Gives up the first piece of [begin, end), to `stop`, as far as others are concerned. True if the piece was ours alone.
bool AddressSpace::give_contended(std::uint64_t begin, std::uint64_t end, const Area* area, std::uint64_t& stop) {
  ContendedRanges& ranges = mm::contended_ranges();
  ContendedRange* range = ranges.from(begin);
  stop = range == nullptr ? end : std::min(end, range->begin);
  if (stop > begin) return true;
  stop = std::min(end, range->end);
  if (!ranges.cut(begin).ok() || !ranges.cut(stop).ok()) return false;  // no memory to note it: the addresses stay taken
  range = ranges.from(begin);
  if (range->holders > 1) {
    depart(*range, area);
    return false;
  }
  versions_.erase(begin, stop);
  if (range->is_mixed) mm::clear_vacant(begin, stop);
  ranges.remove(*range);
  return true;
}

// Others keep the range. While this space ends its pages stay there for whoever is put in place next; otherwise they go, since this
// space goes on and must not see them.
void AddressSpace::depart(ContendedRange& range, const Area* area) {
  --range.holders;
  if (!in_place.load(std::memory_order_relaxed)) {
    versions_.erase(range.begin, range.end);
    return;
  }
  if (!ending_ || area == nullptr) {
    if (forget_versions(range.begin, range.end).ok()) mm::vacate(range.begin, range.end);
    range.content = 0;
    return;
  }
  range.is_mixed = true;
  range.content = mm::can_refill(*area) ? area->mapping : 0;
  range.content_prot = area->prot;
  if (mm::can_refill(*area)) return;
  mm::PageMap& pages = mm::page_map();
  for (std::uint64_t page = pages.find(range.begin, range.end, true); page < range.end; page = pages.find(page + kPageSize, range.end, true)) {
    if (!pages.state(page).present()) continue;
    const RefPtr<PageVersion> version = versions_.take(page);
    if (version && version->is_shared()) continue;
    pages.mark(page, mm::PageState::kVacant, true);
  }
  versions_.erase(range.begin, range.end);
}

// What others share with this space in the range is set aside for them, so that the pages in place are this space's alone. ENOMEM: some
// are not.
Result<> AddressSpace::forget_versions(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t page = versions_.next(begin, end); page < end; page = versions_.next(page + kPageSize, end)) {
    PageVersion& version = *versions_.find(page);
    if (version.in_place() && version.is_shared()) TRY(mm::set_aside(version, page));
    versions_.take(page);
  }
  return {};
}

Result<> AddressSpace::drop_pages_locked(std::uint64_t begin, std::uint64_t end) {
  if (may_contend_.load(std::memory_order_seq_cst)) {
    const OverlapGuard guard(overlap_lock);
    TRY(forget_versions(begin, end));
  }
  return mm::page_map().release(begin, end);
}

bool AddressSpace::own_alone(std::uint64_t begin, std::uint64_t end) {
  if (!may_contend_.load(std::memory_order_seq_cst)) return true;
  const OverlapGuard guard(overlap_lock);
  if (!in_place.load(std::memory_order_relaxed)) return false;
  ContendedRanges& ranges = mm::contended_ranges();
  if (!ranges.cut(begin).ok() || !ranges.cut(end).ok()) return false;
  for (const ContendedRange* range = ranges.from(begin); range != nullptr && range->begin < end; range = ContendedRanges::next(*range))
    if (range->holders > 1 || range->is_mixed) return false;
  for (ContendedRange* range = ranges.from(begin); range != nullptr && range->begin < end;) {
    ContendedRange* next = ContendedRanges::next(*range);
    ranges.remove(*range);
    range = next;
  }
  versions_.erase(begin, end);
  return true;
}

// --- permissions ---

bool AddressSpace::has_versions(std::uint64_t begin, std::uint64_t end) {
  if (!may_contend_.load(std::memory_order_seq_cst)) return false;
  const OverlapGuard guard(overlap_lock);
  return versions_.next(begin, end) < end;
}

// Pages that are shared with others become writable by a fault only, which makes them this space's own.
Result<> AddressSpace::set_permissions_locked(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions) {
  mm::PageMap& pages = mm::page_map();
  if (!may_contend_.load(std::memory_order_seq_cst)) return pages.set_permissions(begin, end, permissions);
  const OverlapGuard guard(overlap_lock);
  if (!pages.has_edmm() && (permissions & frame::kPageWrite) != 0) return forget_versions(begin, end);  // no fault will tell
  for (std::uint64_t at = begin; at < end;) {
    const std::uint64_t shared = versions_.next(at, end);
    if (shared > at) TRY(pages.set_permissions(at, shared, permissions));
    if (shared < end) TRY(pages.set_permissions(shared, shared + kPageSize, permissions & ~frame::kPageWrite));
    at = shared + kPageSize;
  }
  return {};
}

// A fault on a page that is there.
Result<> AddressSpace::allow_present_locked(const Area& area, std::uint64_t page, Access access) {
  std::uint32_t permissions = mm::permissions_for(area.prot);
  if (may_contend_.load(std::memory_order_seq_cst)) {
    const OverlapGuard guard(overlap_lock);
    const PageVersion* version = versions_.find(page);
    if (version != nullptr && access == Access::write) {
      TRY(forget_versions(page, page + kPageSize));
      mm::page_map().mark(page, mm::PageState::kDiverged, true);
    } else if (version != nullptr) {
      permissions &= ~frame::kPageWrite;
    }
    return mm::page_map().add_permissions(page, permissions);
  }
  return mm::page_map().add_permissions(page, permissions);
}

}  // namespace kernel
