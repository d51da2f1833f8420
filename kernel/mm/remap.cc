// AddressSpace: mremap, and access to the memory of another process.
#include <algorithm>

#include "abi/mm.h"
#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/user_memory.h"

namespace kernel {

// --- mremap ---

// More addresses right behind the area.
Result<> AddressSpace::grow_area_locked(Area& area, std::uint64_t by) {
  const std::uint64_t end = area.end;
  const Area* next = AreaTree::next(area);
  if (next != nullptr && next->begin < end + by) return Errno::nomem;
  if (area.kind == AreaKind::shared) {
    if (!area.window->has_room(end - area.window->base(), by)) return Errno::nomem;
  } else {
    // A patched mapping has stubs for the sites it had; what is added would have none.
    if (area.kind == AreaKind::special || area.patches) return Errno::nomem;
    TRY(mm::claim_range(end, by, id_));
  }
  begin_change();
  area.end = end + by;
  end_change();
  virtual_size_ += by;
  merge_locked(area.begin, area.end);
  return {};
}

// Moves the content of the area's pages to absent pages at `to`; the old ones stay for the caller to release.
Result<> AddressSpace::move_pages_locked(const Area& from, std::uint64_t to, std::uint64_t size) {
  mm::PageMap& pages = mm::page_map();
  const std::uint64_t end = from.begin + size;
  // Clean file pages are read again where they are needed.
  if (from.kind == AreaKind::file && !from.was_writable) return {};
  const std::uint32_t permissions = mm::permissions_for(from.prot);
  for (std::uint64_t page = pages.find(from.begin, end, true); page < end; page = pages.find(page + kPageSize, end, true)) {
    if (!pages.state(page).present()) continue;
    const std::uint64_t target = to + (page - from.begin);
    // One host call for a run.
    if (!pages.state(target).pending()) TRY(pages.prepare(target, to + (pages.find(page, end, false) - from.begin)));
    TRY(pages.add_permissions(page, frame::kPageRead));
    const ConstPageView content = frame::page_bytes(page, kPageSize).first<kPageSize>();
    TRY(pages.commit_copy(target, content, permissions | frame::kPageRead));
    if (permissions == 0) TRY(pages.set_permissions(target, target + kPageSize, 0));
  }
  return {};
}

Result<std::uint64_t> AddressSpace::move_area_locked(std::uint64_t begin, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
                                                     std::uint64_t fixed_address, DeadAreas& dead) {
  TRY(split_at_edges_locked(begin, begin + old_size));
  Area* area = area_at(begin);
  KASSERT(area != nullptr && area->begin == begin && area->size() == old_size);
  // An object's pages have one address each, and patched code that was written cannot be read again elsewhere.
  if (area->kind != AreaKind::anonymous && area->kind != AreaKind::file) return Errno::nomem;
  if (area->patches && area->was_writable) return Errno::nomem;
  const bool keep_old = (flags & abi::kMremapDontUnmap) != 0;
  if (keep_old && area->kind != AreaKind::anonymous) return Errno::inval;
  TRY(check_limits_locked(keep_old ? new_size : new_size - std::min(new_size, old_size), area->prot, true, area->locked));
  Own<Area> moved = TRY(clone_area(*area));
  std::uint64_t to = fixed_address;
  if ((flags & abi::kMremapFixed) != 0)
    TRY(claim_fixed_locked(to, to + new_size, dead));
  else
    to = TRY(mm::take_range(new_size, kPageSize, id_, false)).begin;
  const std::uint64_t copied = std::min(old_size, new_size);
  if (const auto copy = move_pages_locked(*area, to, copied); !copy.ok()) {
    give_locked(to, to + new_size, nullptr, false);
    return copy.error();
  }
  if (moved->mapping != 0) moved->mapping = next_mapping();
  moved->begin = to;
  moved->end = to + new_size;
  moved->patches = nullptr;
  moved->is_break = false;
  moved->grows_down = false;
  Area& added = *moved.leak();
  insert_locked(added);
  if (added.kind == AreaKind::file && (added.prot & kProtExec) != 0 && !add_stubs_locked(added).ok()) KASSERT(!added.patches);
  if (keep_old)
    TRY(drop_pages_locked(begin, begin + old_size));
  else
    TRY(unmap_locked(begin, begin + old_size, Addresses::freed, dead));
  merge_locked(to, to + new_size);
  return to;
}

Result<std::uint64_t> AddressSpace::remap(std::uint64_t address, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
                                          std::uint64_t fixed_address) {
  using namespace abi;
  if ((flags & ~(kMremapMayMove | kMremapFixed | kMremapDontUnmap)) != 0) return Errno::inval;
  if ((flags & (kMremapFixed | kMremapDontUnmap)) != 0 && (flags & kMremapMayMove) == 0) return Errno::inval;
  const auto old_range = mm::page_range(address, old_size);
  const auto new_range = mm::page_range(fixed_address, new_size);
  if (!old_range.ok() || new_size == 0 || new_size > mm::window_size()) return Errno::inval;
  if ((flags & kMremapFixed) != 0 && !new_range.ok()) return Errno::inval;
  const std::uint64_t begin = address;
  const std::uint64_t old_bytes = auto(old_range).release().end - begin;
  const std::uint64_t new_bytes = round_up(new_size, kPageSize);
  if ((flags & kMremapDontUnmap) != 0 && old_bytes != new_bytes) return Errno::inval;
  if (old_bytes == 0) return Errno::inval;  // a second address for shared pages does not exist here
  if ((flags & kMremapFixed) != 0 && fixed_address < begin + old_bytes && begin < fixed_address + new_bytes) return Errno::inval;
  std::uint64_t result = begin;
  if ((flags & kMremapFixed) != 0) TRY(share_addresses(fixed_address, new_bytes));
  {
    DeadAreas dead;
    const LockGuard guard(lock_);
    Area* area = area_at(begin);
    if (area == nullptr || area->hidden()) return Errno::fault;
    if ((flags & (kMremapFixed | kMremapDontUnmap)) == 0 && new_bytes <= old_bytes) {
      TRY(unmap_locked(begin + new_bytes, begin + old_bytes, Addresses::freed, dead));
      return begin;
    }
    if (begin + old_bytes > area->end) return Errno::fault;
    const bool stays = (flags & (kMremapFixed | kMremapDontUnmap)) == 0;
    if (stays) TRY(check_limits_locked(new_bytes - old_bytes, area->prot, area->kind != AreaKind::shared, area->locked));
    const bool grown = stays && area->end == begin + old_bytes && grow_area_locked(*area, new_bytes - old_bytes).ok();
    if (!grown) {
      if ((flags & kMremapMayMove) == 0) return Errno::nomem;
      result = TRY(move_area_locked(begin, old_bytes, new_bytes, flags, fixed_address, dead));
    }
  }
  TRY(fill(result, result + new_bytes, false));
  return result;
}

}  // namespace kernel
