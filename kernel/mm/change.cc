// AddressSpace: mprotect, madvise, ftruncate, mincore, mlock, msync.
#include <algorithm>

#include "abi/mm.h"
#include "kernel/base/checked.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/user_memory.h"

namespace kernel {
namespace {

// Where discarded pages were wanted again before, up to this many at a time are written over with zeros instead of given back, as long as
// no more than kKeptLimit pages are there in that way. (The stacks of ended threads: what was discarded once is seldom touched again.)
constexpr std::uint64_t kZeroInPlace = 64;
constexpr std::uint64_t kKeptLimit = 4096;
constexpr std::uint8_t kWantedAgain = 3;
// MADV_FREE of less than this does nothing (which it may); of more, the pages go at once.
constexpr std::uint64_t kFreeAtOnce = std::uint64_t{1} << 20;

}  // namespace

// --- mprotect ---

Result<> AddressSpace::protect_area_locked(Area& area, std::uint32_t prot) {
  if ((prot & ~area.max_prot) != 0) return Errno::acces;
  if (area.times > 1) prot |= area.prot;  // the process's other mapping of this part keeps what it has (documented deviation)
  if (prot == area.prot) return {};
  const std::uint32_t permissions = mm::permissions_for(prot);
  const bool becomes_code = area.kind == AreaKind::file && (prot & kProtExec) != 0 && (area.prot & kProtExec) == 0;
  if (becomes_code && !area.patches && !area.was_writable && area.file->is_immutable()) {
    // Pages that were read as data are read again, now with their sites patched. Without stubs the sites trap.
    if (!add_stubs_locked(area).ok()) KASSERT(!area.patches);
    if (area.patches) TRY(drop_pages_locked(area.begin, area.end));
  }
  begin_change();
  area.prot = prot;
  if ((prot & kProtWrite) != 0) area.was_writable = true;
  end_change();
  if (area.kind == AreaKind::shared) {
    // Others may need what this mapping gives up: then the permission stays (documented deviation).
    std::uint32_t own = 0;
    for (const Area* other = areas_.first(); other != nullptr; other = AreaTree::next(*other)) own += other->window == area.window ? 1 : 0;
    return own == area.window->areas.load(std::memory_order_relaxed) ? area.window->restrict_to(area.begin, area.end, prot) : Result<>();
  }
  return set_permissions_locked(area.begin, area.end, permissions);
}

Result<> AddressSpace::protect(std::uint64_t address, std::uint64_t size, std::uint32_t prot, std::uint32_t grow_flags) {
  auto [begin, end] = TRY(mm::page_range(address, size));
  if (size == 0) return {};
  {
    const LockGuard guard(lock_);
    if ((grow_flags & abi::kProtGrowsDown) != 0) {  // from the start of the stack area on
      const Area* area = area_at(begin);
      if (area == nullptr || !area->grows_down) return Errno::inval;
      begin = area->begin;
    }
    TRY(split_at_edges_locked(begin, end));
    std::uint64_t at = begin;
    Result<> result;
    for (Area* area = area_from(begin); at < end && result.ok();) {
      if (area == nullptr || area->begin > at || area->hidden()) {
        result = Errno::nomem;
        break;
      }
      if (area->kind == AreaKind::special && prot != area->prot) {
        result = Errno::acces;
        break;
      }
      at = area->end;
      const bool more_data = (prot & kProtWrite) != 0 && (area->prot & kProtWrite) == 0 && area->kind != AreaKind::shared && !area->grows_down;
      if (more_data && area->size() > limits_.data - std::min(limits_.data, data_size_locked())) {
        result = Errno::nomem;
        break;
      }
      result = protect_area_locked(*area, prot);
      area = AreaTree::next(*area);
    }
    merge_locked(begin, end);
    TRY(result);
  }
  return fill(begin, end, false);
}

// --- madvise ---

Result<> AddressSpace::discard_locked(Area& area, std::uint64_t begin, std::uint64_t end) {
  mm::PageMap& pages = mm::page_map();
  if (area.kind != AreaKind::anonymous && area.kind != AreaKind::file) return {};  // shared pages keep their content
  const std::uint64_t count = pages.count(begin, end);
  if (count == 0) return {};
  if (area.kind == AreaKind::anonymous && (area.prot & kProtWrite) != 0 && pages.has_edmm() && area.refaults >= kWantedAgain && count <= kZeroInPlace &&
      pages.kept() + count <= kKeptLimit && !has_versions(begin, end)) {
    pages.zero(begin, end);
    for (std::uint64_t page = pages.find(begin, end, true); page < end; page = pages.find(page + kPageSize, end, true))
      if (pages.state(page).present()) pages.mark(page, mm::PageState::kKept, true);
    return {};
  }
  area.was_discarded = true;
  return drop_pages_locked(begin, end);
}

Result<> AddressSpace::advise_area_locked(Area& area, std::uint64_t begin, std::uint64_t end, std::uint32_t advice) {
  switch (advice) {
    case abi::kMadvDontNeed:
      if (area.locked) return Errno::inval;
      return discard_locked(area, begin, end);
    case abi::kMadvFree:
      if (area.kind != AreaKind::anonymous) return Errno::inval;
      return end - begin >= kFreeAtOnce ? discard_locked(area, begin, end) : Result<>();
    case abi::kMadvRemove:
      if (area.locked || area.kind != AreaKind::shared || (area.prot & kProtWrite) == 0) return Errno::inval;
      return area.window->is_anonymous() ? area.window->discard(begin, end) : Result<>(Errno::opnotsupp);
    case abi::kMadvDontFork:
    case abi::kMadvDoFork:
      area.dont_fork = advice == abi::kMadvDontFork;
      return {};
    case abi::kMadvWipeOnFork:
    case abi::kMadvKeepOnFork:
      if (area.kind != AreaKind::anonymous) return Errno::inval;
      area.wipe_on_fork = advice == abi::kMadvWipeOnFork;
      return {};
    default:
      return {};  // hints
  }
}

Result<> AddressSpace::advise(std::uint64_t address, std::uint64_t size, std::uint32_t advice) {
  const bool known = advice <= abi::kMadvDontNeed || (advice >= abi::kMadvFree && advice <= abi::kMadvPopulateWrite);
  if (!known) return Errno::inval;
  const auto range = mm::page_range(address, size);
  if (!range.ok()) return Errno::inval;
  const auto [begin, end] = auto(range).release();
  if (begin == end) return {};
  const bool populates = advice == abi::kMadvPopulateRead || advice == abi::kMadvPopulateWrite;
  bool covered = true;
  {
    const LockGuard guard(lock_);
    // Hints do nothing, and what only concerns pages splits no area.
    const bool splits = advice == abi::kMadvDontFork || advice == abi::kMadvDoFork || advice == abi::kMadvWipeOnFork || advice == abi::kMadvKeepOnFork;
    covered = is_covered_locked(begin, end);
    if (splits) TRY(split_at_edges_locked(begin, end));
    for (Area* area = area_from(begin); area != nullptr && area->begin < end; area = AreaTree::next(*area))
      if (!area->hidden()) TRY(advise_area_locked(*area, std::max(begin, area->begin), std::min(end, area->end), advice));
    if (splits) merge_locked(begin, end);
  }
  if (populates) {
    if (!covered) return Errno::nomem;
    const Access access = advice == abi::kMadvPopulateWrite ? Access::write : Access::read;
    for (std::uint64_t page = begin; page < end; page += kPageSize) {
      if (!check(page, 1, access).ok()) return Errno::fault;
      if (!is_accessible(page, access)) TRY(populate(page, access));
    }
    return {};
  }
  TRY(fill(begin, end, false));
  return covered ? Result<>() : Result<>(Errno::nomem);
}

// --- ftruncate ---

void AddressSpace::truncate_mappings(const FileBacking& file, std::uint64_t size) {
  const LockGuard guard(lock_);
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (area->kind != AreaKind::file || area->file.get() != &file) continue;
    const std::uint64_t kept = round_up(size, kPageSize);
    const std::uint64_t begin = kept > area->offset ? area->begin + (kept - area->offset) : area->begin;
    if (begin < area->end) (void)truncate_range_locked(begin, area->end);
  }
}

// If the host does not take pages back they keep their bytes, but no fault leads there any more.
Result<> AddressSpace::truncate_range_locked(std::uint64_t begin, std::uint64_t end) {
  if (!may_contend_.load(std::memory_order_seq_cst)) return mm::page_map().release(begin, end);
  const LockGuard guard(overlap_lock);
  if (in_place.load(std::memory_order_relaxed)) {
    TRY(forget_versions(begin, end));
    return mm::page_map().release(begin, end);
  }
  versions_.erase(begin, end);
  return {};
}

// --- mincore, mlock ---

Result<std::size_t> AddressSpace::residency(std::uint64_t address, std::span<std::uint8_t> into) {
  const auto [begin, end] = TRY(mm::page_range(address, std::uint64_t{into.size()} << kPageShift));
  const LockGuard guard(lock_);
  std::size_t known = 0;
  for (std::uint64_t page = begin; page < end && is_covered_locked(page, page + kPageSize); page += kPageSize)
    into[known++] = mm::page_map().state(page).present() ? 1 : 0;
  if (known == 0 && begin != end) return Errno::nomem;
  return known;
}

Result<> AddressSpace::set_locked_flag(std::uint64_t address, std::uint64_t size, bool on) {
  // mlock rounds the start down (mlock(2)).
  const std::uint64_t begin = round_down(address, kPageSize);
  const auto range = mm::page_range(begin, size + (address - begin));
  if (!range.ok() || size + (address - begin) < size) return Errno::inval;
  const std::uint64_t end = auto(range).release().end;
  const LockGuard guard(lock_);
  if (on && limits_.locked != ~std::uint64_t{0} && locked_size_locked() - locked_in_locked(begin, end) + (end - begin) > limits_.locked)
    return Errno::nomem;
  if (!is_covered_locked(begin, end)) return Errno::nomem;
  TRY(split_at_edges_locked(begin, end));
  begin_change();
  for (Area* area = area_from(begin); area != nullptr && area->begin < end; area = AreaTree::next(*area)) area->locked = on;
  end_change();
  merge_locked(begin, end);
  return {};
}

// How much of a range is locked already.
std::uint64_t AddressSpace::locked_in_locked(std::uint64_t begin, std::uint64_t end) const {
  std::uint64_t bytes = 0;
  for (const Area* area = area_from(begin); area != nullptr && area->begin < end; area = AreaTree::next(*area))
    if (area->locked) bytes += std::min(area->end, end) - std::max(area->begin, begin);
  return bytes;
}

Result<> AddressSpace::may_lock() {
  const LockGuard guard(lock_);
  return limits_.locked != 0 ? Result<>() : Result<>(Errno::perm);
}

Result<> AddressSpace::lock_pages(std::uint64_t address, std::uint64_t size, bool on_fault) {
  TRY(may_lock());
  TRY(set_locked_flag(address, size, true));
  if (on_fault) return {};
  const std::uint64_t begin = round_down(address, kPageSize);
  return fill(begin, round_up(address + size, kPageSize), true);
}

Result<> AddressSpace::unlock_pages(std::uint64_t address, std::uint64_t size) { return set_locked_flag(address, size, false); }

Result<> AddressSpace::lock_all(bool current, bool future, bool on_fault) {
  std::uint64_t end = 0;
  TRY(may_lock());
  {
    const LockGuard guard(lock_);
    if (current && limits_.locked != ~std::uint64_t{0} && virtual_size_ > limits_.locked) return Errno::nomem;
    lock_future_ = future;
    lock_on_fault_ = future && on_fault;
    if (!current) return {};
    begin_change();
    for (Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
      if (!area->hidden()) area->locked = true;
      end = area->end;
    }
    end_change();
  }
  if (on_fault) return {};
  // What cannot be populated is no error here (mlockall(2) reports only what it cannot lock for its limits).
  std::uint64_t at = 0;
  while (at < end) {
    std::uint64_t begin = 0;
    {
      const LockGuard guard(areas_lock_);
      const Area* area = area_from(at);
      while (area != nullptr && area->hidden()) area = AreaTree::next(*area);
      if (area == nullptr) return {};
      begin = area->begin;
      at = area->end;
    }
    if (!fill(begin, at, true).ok()) return {};
  }
  return {};
}

Result<> AddressSpace::unlock_all() {
  const LockGuard guard(lock_);
  lock_future_ = lock_on_fault_ = false;
  begin_change();
  for (Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) area->locked = false;
  end_change();
  return {};
}

// --- msync ---

Result<> AddressSpace::sync(std::uint64_t address, std::uint64_t size, std::uint32_t flags) {
  if ((flags & ~(abi::kMsAsync | abi::kMsInvalidate | abi::kMsSync)) != 0) return Errno::inval;
  if ((flags & abi::kMsAsync) != 0 && (flags & abi::kMsSync) != 0) return Errno::inval;
  const auto [begin, end] = TRY(mm::page_range(address, size));
  bool holes = false;
  for (std::uint64_t at = begin; at < end;) {
    RefPtr<SharedWindow> window;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    {
      const LockGuard guard(lock_);
      const Area* area = area_from(at);
      while (area != nullptr && area->hidden()) area = AreaTree::next(*area);
      if (area == nullptr || area->begin >= end) {
        holes = true;
        break;
      }
      if (area->begin > at) holes = true;
      if ((flags & abi::kMsInvalidate) != 0 && area->locked) return Errno::busy;
      from = std::max(at, area->begin);
      to = std::min(end, area->end);
      window = area->window;
    }
    // Asynchronous would be enough for MS_ASYNC; there is nobody else to do it later.
    if (window) TRY(window->write_back(from, to));
    at = to;
  }
  return holes ? Result<>(Errno::nomem) : Result<>();
}

}  // namespace kernel
