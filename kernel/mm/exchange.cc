// Overlap groups: putting the pages of one member in place of those of another.
#include "kernel/mm/exchange.h"

#include <algorithm>
#include <optional>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/heap_reserve.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/range_walk.h"

namespace kernel {

namespace mm {

Result<ConstPageView> readable_page(std::uint64_t page) {
  TRY(page_map().add_permissions(page, frame::kPageRead));
  return ConstPageView(frame::page_bytes(page, kPageSize).first<kPageSize>());
}

bool can_refill(const Area& area) { return area.is_clean() && page_map().has_edmm(); }

Result<> set_aside(PageVersion& version, std::uint64_t page) {
  const ConstPageView content = TRY(readable_page(page));
  overlap_statistics().pages_copied.fetch_add(1, std::memory_order_relaxed);
  return version.set_aside(content);
}

void clear_vacant(std::uint64_t begin, std::uint64_t end) {
  PageMap& pages = page_map();
  for (std::uint64_t page = pages.find(begin, end, true); page < end; page = pages.find(page + kPageSize, end, true))
    if (pages.state(page).vacant()) pages.mark(page, PageState::kVacant, false);
}

void vacate(std::uint64_t begin, std::uint64_t end) {
  PageMap& pages = page_map();
  overlap_statistics().pages_dropped.fetch_add(pages.count(begin, end), std::memory_order_relaxed);
  if (pages.release(begin, end).ok()) return;
  for (std::uint64_t page = pages.find(begin, end, true); page < end; page = pages.find(page + kPageSize, end, true)) {
    if (!pages.state(page).present() || !pages.add_permissions(page, frame::kPageRead | frame::kPageWrite).ok()) continue;
    pages.zero(page, page + kPageSize);
    pages.mark(page, PageState::kVacant, false);
  }
}

}  // namespace mm

// One change of residents.
class Exchange {
 public:
  // merges: `to` is not in place, so that what is set aside for it may be shared instead.
  Exchange(AddressSpace& to, bool merges) : to_(to), merges_(merges && mm::page_map().has_edmm()) {}
  // Sets aside what `from` has in place in the contended ranges, or in [begin, end) whether contended or not.
  void evict(AddressSpace& from) REQUIRES(overlap_lock);
  void evict_range(AddressSpace& from, std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);
  // Sets aside what `from` shares with others in place there.
  static Result<> free_shared(AddressSpace& from, std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);
  void place() REQUIRES(overlap_lock);

 private:
  void evict_piece(AddressSpace& from, const Area& area, ContendedRange& range, std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);
  void keep_page(AddressSpace& from, std::uint64_t page) REQUIRES(overlap_lock);
  Result<> save_page(AddressSpace& from, std::uint64_t page) REQUIRES(overlap_lock);
  Result<bool> merge_page(AddressSpace& from, std::uint64_t page) REQUIRES(overlap_lock);
  void place_piece(const Area& area, ContendedRange& range, std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);
  Result<> prepare_page(const Area& area, std::uint64_t page) REQUIRES(overlap_lock);
  static bool can_overwrite(mm::PageState state, std::uint32_t permissions);
  void place_absent(const Area& area, std::uint64_t begin, std::uint64_t end) REQUIRES(overlap_lock);
  Result<> place_page(const Area& area, std::uint64_t page) REQUIRES(overlap_lock);
  void fill_absent() REQUIRES(overlap_lock);
  Result<> fill_page(const Area& area, std::uint64_t page, PageVersion& version) REQUIRES(overlap_lock);
  enum class Sharers { keep, lose };
  Result<> free_in_place(std::uint64_t page, Sharers sharers) REQUIRES(overlap_lock);
  // Pages to restrict and pages to give back, in runs.
  void restrict_page(std::uint64_t page, std::uint32_t permissions);
  void restrict_run();
  bool find_room(AddressSpace* evicted) REQUIRES(overlap_lock);
  void drop(std::uint64_t page);
  void flush();

  AddressSpace& to_;
  std::optional<frame::HeapReserve> reserve_;
  const bool merges_;
  std::uint64_t run_begin_ = 0, run_end_ = 0;
  std::uint64_t restrict_begin_ = 0, restrict_end_ = 0;
  std::uint32_t restrict_to_ = 0;
};

// There was no memory to set a page aside. One victim is enough: the reserve helps until its memory comes back.
bool Exchange::find_room(AddressSpace* evicted) {
  if (reserve_) return shortage_hooks().make_room(evicted);
  if (!shortage_hooks().is_dying()) (void)shortage_hooks().make_room(evicted);
  reserve_.emplace();
  return true;
}

void Exchange::drop(std::uint64_t page) {
  if (page != run_end_ || run_begin_ == run_end_) {
    flush();
    run_begin_ = page;
  }
  run_end_ = page + kPageSize;
}

void Exchange::flush() {
  if (run_end_ > run_begin_) mm::vacate(run_begin_, run_end_);
  run_begin_ = run_end_ = 0;
}

// --- out ---

void Exchange::evict(AddressSpace& from) {
  for (const Area* area = from.areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (!area->owns_addresses()) continue;
    ContendedRanges& ranges = mm::contended_ranges();
    for (ContendedRange* range = ranges.from(area->begin); range != nullptr && range->begin < area->end; range = ContendedRanges::next(*range))
      if (range->holders > 1) evict_piece(from, *area, *range, std::max(area->begin, range->begin), std::min(area->end, range->end));
  }
}

// The ranges there have one holder, `from`, which is about to get company. (Mixed ones do not hold its pages any more.)
void Exchange::evict_range(AddressSpace& from, std::uint64_t begin, std::uint64_t end) {
  ContendedRanges& ranges = mm::contended_ranges();
  for (const Area* area = from.area_from(begin); area != nullptr && area->begin < end; area = AreaTree::next(*area)) {
    if (!area->owns_addresses()) continue;
    const std::uint64_t low = std::max(begin, area->begin);
    const std::uint64_t high = std::min(end, area->end);
    for (ContendedRange* range = ranges.from(low); range != nullptr && range->begin < high; range = ContendedRanges::next(*range))
      if (range->holders == 1 && !range->is_mixed) evict_piece(from, *area, *range, std::max(low, range->begin), std::min(high, range->end));
  }
}

Result<> Exchange::free_shared(AddressSpace& from, std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t page = from.versions_.next(begin, end); page < end; page = from.versions_.next(page + kPageSize, end))
    if (PageVersion& version = *from.versions_.find(page); version.in_place()) TRY(mm::set_aside(version, page));
  return {};
}

void Exchange::evict_piece(AddressSpace& from, const Area& area, ContendedRange& range, std::uint64_t begin, std::uint64_t end) {
  range.is_mixed = true;
  range.content = mm::can_refill(area) && begin == range.begin && end == range.end ? area.mapping : 0;
  range.content_prot = area.prot;
  if (mm::can_refill(area)) return;
  mm::PageMap& pages = mm::page_map();
  for (std::uint64_t page = pages.find(begin, end, true); page < end; page = pages.find(page + kPageSize, end, true)) {
    const mm::PageState state = pages.state(page);
    if (!state.present() || state.vacant()) continue;
    keep_page(from, page);
  }
}

// Sets the page aside. If there is no memory for that, somebody has to go: whoever is worst, `from` or another.
void Exchange::keep_page(AddressSpace& from, std::uint64_t page) {
  mm::PageMap& pages = mm::page_map();
  while (true) {
    const bool others_need_it = from.versions_.is_shared_in_place(page);
    if (from.is_damaged.load(std::memory_order_relaxed) && !others_need_it) {
      from.versions_.take(page);
      pages.mark(page, mm::PageState::kVacant, true);
      return;
    }
    const Result<> saved = save_page(from, page);
    if (saved.ok()) return;
    if (saved.error() == Errno::nomem && find_room(&from)) continue;
    if (others_need_it) (void)free_in_place(page, Sharers::lose);
    from.is_damaged.store(true, std::memory_order_relaxed);
    shortage_hooks().memory_lost(from);
    pages.mark(page, mm::PageState::kVacant, true);
    return;
  }
}

Result<> Exchange::save_page(AddressSpace& from, std::uint64_t page) {
  mm::PageMap& pages = mm::page_map();
  if (PageVersion* version = from.versions_.find(page); version != nullptr) {
    // Others see the same. It stays in place unless the newcomer has something else there. (Most have not, and then the version itself, a
    // cache miss, is not looked at.)
    if (to_.versions_.find(page) == version || !version->in_place()) return {};
    if (!to_.holds(page, page + kPageSize)) return {};
    TRY(mm::set_aside(*version, page));
  } else {
    const bool merged = TRY(merge_page(from, page));
    if (merged) return {};
    const Ref<PageVersion> fresh = TRY(make_ref<PageVersion>());
    TRY(mm::set_aside(*fresh, page));
    TRY(from.versions_.add(page, fresh));
  }
  pages.mark(page, mm::PageState::kVacant, true);
  return {};
}

// Most of what fork copied is never written again: what both still have alike stays in place for both, and exchanges between them cost no
// more than what they changed. A page is compared once after a fork; one that was written since, and is alike by chance, would be written
// again soon. True: it is shared now. (place() takes its write permission away.)
Result<bool> Exchange::merge_page(AddressSpace& from, std::uint64_t page) {
  mm::PageMap& pages = mm::page_map();
  PageVersion* theirs = merges_ ? to_.versions_.find(page) : nullptr;
  if (theirs == nullptr || theirs->in_place() || pages.state(page).diverged()) return false;
  const ConstPageView content = TRY(mm::readable_page(page));
  if (!equal_bytes(content, theirs->bytes())) {
    pages.mark(page, mm::PageState::kDiverged, true);
    return false;
  }
  TRY(from.versions_.add(page, Ref<PageVersion>(*theirs)));
  theirs->put_in_place();
  overlap_statistics().pages_merged.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// --- in ---

void Exchange::place() {
  ContendedRanges& ranges = mm::contended_ranges();
  for (const Area* area = to_.areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (!area->owns_addresses()) continue;
    for (ContendedRange* range = ranges.from(area->begin); range != nullptr && range->begin < area->end; range = ContendedRanges::next(*range))
      if (range->holders > 1 || range->is_mixed || to_.versions_.next(range->begin, range->end) < range->end)
        place_piece(*area, *range, std::max(area->begin, range->begin), std::min(area->end, range->end));
    flush();
    restrict_run();
    place_absent(*area, area->begin, area->end);
  }
  if (!mm::page_map().has_edmm()) fill_absent();
  // Each range is held as a whole, so that nothing of it is left now that is not in order.
  for (const Area* area = to_.areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (!area->owns_addresses()) continue;
    for (ContendedRange* range = ranges.from(area->begin); range != nullptr && range->begin < area->end; range = ContendedRanges::next(*range)) {
      range->is_mixed = false;
      if (range->content != area->mapping) range->content = 0;
    }
  }
}

// Without faults nothing else makes the zeros that an area is to show (MADV_WIPEONFORK).
void Exchange::fill_absent() {
  for (const Area* area = to_.areas_.first(); area != nullptr; area = AreaTree::next(*area))
    if (area->kind == AreaKind::anonymous && area->prot != 0 && !mm::page_map().commit_zero(area->begin, area->end, mm::permissions_for(area->prot)).ok())
      to_.is_damaged.store(true, std::memory_order_relaxed);
}

void Exchange::place_piece(const Area& area, ContendedRange& range, std::uint64_t begin, std::uint64_t end) {
  mm::PageMap& pages = mm::page_map();
  const bool same = mm::can_refill(area) && area.mapping != 0 && range.content == area.mapping;
  if (same && range.content_prot == area.prot && to_.versions_.next(begin, end) == end) return;
  std::uint64_t entry = to_.versions_.next(begin, end);
  for (std::uint64_t page = begin; page < end; page += kPageSize) {
    if (entry < page) entry = to_.versions_.next(page, end);
    page = std::min(pages.find(page, end, true), entry);
    if (page >= end) return;
    const mm::PageState state = pages.state(page);
    const PageVersion* version = page == entry ? to_.versions_.find(page) : nullptr;
    if (version == nullptr) {
      // Unwritten pages of the same file are right as they are, as is what nobody else has touched.
      if (!state.present() || (!state.vacant() && !range.is_mixed)) continue;
      if (!state.vacant() && same) {
        restrict_page(page, mm::permissions_for(area.prot));
        continue;
      }
      if (!state.vacant() && !free_in_place(page, Sharers::keep).ok()) to_.is_damaged.store(true, std::memory_order_relaxed);
      drop(page);
      continue;
    }
    if (version->in_place()) {
      restrict_page(page, mm::permissions_for(area.prot) & ~frame::kPageWrite);
      continue;
    }
    // First everything that cannot be written over goes, in runs; the rest of it comes when place_absent() does the same in runs.
    if (!prepare_page(area, page).ok()) to_.is_damaged.store(true, std::memory_order_relaxed);
  }
}

// The pages of the area that are still set aside: they are added in runs, one call to the host for each.
void Exchange::place_absent(const Area& area, std::uint64_t begin, std::uint64_t end) {
  mm::PageMap& pages = mm::page_map();
  for (std::uint64_t page = to_.versions_.next(begin, end); page < end; page = to_.versions_.next(page + kPageSize, end)) {
    if (to_.versions_.find(page)->in_place()) continue;
    if (!pages.state(page).pending()) {
      std::uint64_t stop = page + kPageSize;
      while (stop < end && !pages.state(stop).present() && to_.versions_.find(stop) != nullptr) stop += kPageSize;
      if (!pages.prepare(page, stop).ok()) to_.is_damaged.store(true, std::memory_order_relaxed);
    }
    if (!place_page(area, page).ok()) to_.is_damaged.store(true, std::memory_order_relaxed);
  }
}

// A page that stays in place must not allow more than its area does.
void Exchange::restrict_page(std::uint64_t page, std::uint32_t permissions) {
  const mm::PageMap& pages = mm::page_map();
  const std::uint32_t now = pages.state(page).permissions();
  if (!pages.has_edmm() || (now & ~permissions) == 0) return;
  if (page != restrict_end_ || (now & permissions) != restrict_to_) {
    restrict_run();
    restrict_begin_ = page;
    restrict_to_ = now & permissions;
  }
  restrict_end_ = page + kPageSize;
}

void Exchange::restrict_run() {
  if (restrict_end_ > restrict_begin_ && !mm::page_map().set_permissions(restrict_begin_, restrict_end_, restrict_to_).ok())
    to_.is_damaged.store(true, std::memory_order_relaxed);
  restrict_begin_ = restrict_end_ = 0;
}

// Somebody else's content may lie there, shared by several spaces that are not in place now: it is set aside for them. If that cannot be
// had, or if it is to be lost, they all are.
Result<> Exchange::free_in_place(std::uint64_t page, Sharers sharers) {
  OverlapGroup* group = to_.group.load(std::memory_order_relaxed);
  if (group == nullptr) return {};
  for (AddressSpace* member = group->members.front(); member != nullptr; member = group->members.next(*member)) {
    PageVersion* version = member->versions_.find(page);
    if (version == nullptr || !version->in_place()) continue;
    Result<> saved = sharers == Sharers::keep ? mm::set_aside(*version, page) : Result<>(Errno::nomem);
    while (sharers == Sharers::keep && !saved.ok() && saved.error() == Errno::nomem && find_room(nullptr))
      saved = mm::set_aside(*version, page);
    if (saved.ok()) return {};
    member->is_damaged.store(true, std::memory_order_relaxed);
    shortage_hooks().memory_lost(*member);
    sharers = Sharers::lose;
  }
  return {};
}

// What is set aside is written over a page that allows it; another page has to go first.
Result<> Exchange::prepare_page(const Area& area, std::uint64_t page) {
  const mm::PageState state = mm::page_map().state(page);
  if (!state.present()) return {};
  if (!state.vacant()) TRY(free_in_place(page, Sharers::keep));
  if (can_overwrite(state, mm::permissions_for(area.prot))) return place_page(area, page);
  drop(page);
  return {};
}

bool Exchange::can_overwrite(mm::PageState state, std::uint32_t permissions) {
  constexpr std::uint32_t kReadWrite = frame::kPageRead | frame::kPageWrite;
  return state.present() && (!mm::page_map().has_edmm() || (state.permissions() == permissions && permissions == kReadWrite));
}

// What was set aside comes back. If others share it and it cannot be written, it lies in place for all of them.
Result<> Exchange::place_page(const Area& area, std::uint64_t page) {
  PageVersion& version = *to_.versions_.find(page);
  TRY(fill_page(area, page, version));
  if (version.is_shared() && (mm::page_map().state(page).permissions() & frame::kPageWrite) == 0)
    version.put_in_place();
  else
    to_.versions_.take(page);
  return {};
}

Result<> Exchange::fill_page(const Area& area, std::uint64_t page, PageVersion& version) {
  mm::PageMap& pages = mm::page_map();
  const std::uint32_t permissions = mm::permissions_for(area.prot);
  overlap_statistics().pages_swapped.fetch_add(1, std::memory_order_relaxed);
  const mm::PageState state = pages.state(page);
  if (can_overwrite(state, permissions)) {
    copy_bytes(frame::page_bytes(page, kPageSize), version.bytes());
    pages.mark(page, mm::PageState::kVacant, false);
    return {};
  }
  if (state.present()) TRY(pages.release(page, page + kPageSize));  // the host did not take it before
  TRY(pages.commit_copy(page, version.bytes(), permissions | frame::kPageRead));
  return permissions == 0 ? pages.set_permissions(page, page + kPageSize, 0) : Result<>();
}

// --- the steps that others ask for ---

namespace mm {

void exchange(AddressSpace& to) {
  OverlapGroup* group = to.group.load(std::memory_order_relaxed);
  if (group == nullptr) return;
  const bool was_in_place = to.in_place.load(std::memory_order_relaxed);
  Exchange step(to, !was_in_place);
  for (AddressSpace* resident = group->residents.front(); resident != nullptr;) {
    AddressSpace* next = group->residents.next(*resident);
    if (resident != &to) {
      step.evict(*resident);
      const LockGuard guard(residency_lock);
      List<AddressSpace, ResidentTag>::remove(*resident);
      resident->in_place.store(false, std::memory_order_relaxed);
    }
    resident = next;
  }
  if (was_in_place) return;
  step.place();
  overlap_statistics().switches.fetch_add(1, std::memory_order_relaxed);
  const LockGuard guard(residency_lock);
  group->residents.push_back(to);
  to.in_place.store(true, std::memory_order_relaxed);
}

Result<> cover_holders(AddressSpace& space, std::uint64_t begin, std::uint64_t end) {
  OverlapGroup* group = space.group.load(std::memory_order_relaxed);
  KASSERT(group != nullptr);
  ContendedRanges& ranges = contended_ranges();
  TRY(ranges.cut(begin));
  TRY(ranges.cut(end));
  Exchange step(space, false);
  for (AddressSpace* member = group->members.front(); member != nullptr; member = group->members.next(*member)) {
    if (member == &space) continue;
    for (std::uint64_t at = begin; at < end;) {
      const AddressSpace::Extent held = member->held_extent(at, end);
      if (held.begin >= end) break;
      TRY(ranges.cover(held.begin, held.end));
      at = held.end;
    }
    if (!member->holds(begin, end)) continue;
    step.evict_range(*member, begin, end);
    TRY(step.free_shared(*member, begin, end));
  }
  return {};
}

}  // namespace mm
}  // namespace kernel
