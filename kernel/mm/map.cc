// AddressSpace: mmap, munmap, brk, and what exec maps.
#include <algorithm>

#include "kernel/base/checked.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/image_cache.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/user_memory.h"

namespace kernel {
namespace {

constexpr std::uint64_t kBreakReserve = std::uint64_t{256} << 20;
constexpr std::uint64_t kStackGuard = std::uint64_t{64} << 10;  // below the lowest address that a stack may grow to
// Unmapped memory of at least this size may stay committed for the next mapping: until then an access to it does not fault (documented
// deviation). Smaller pieces really go, parts of an area sooner than a whole one. Memory of a process that has ended may always stay.
constexpr std::uint64_t kCacheFrom = std::uint64_t{32} << 10, kCachePartFrom = std::uint64_t{128} << 10;
constexpr std::uint32_t kReadWriteProt = kProtRead | kProtWrite;

bool is_plain_memory(const MapRequest& request) {
  return !request.file && !request.shared && !request.grows_down && request.prot == kReadWriteProt;
}

}  // namespace

// --- placement ---

// Makes [begin, end) ours and empty for a fixed mapping.
Result<> AddressSpace::claim_fixed_locked(std::uint64_t begin, std::uint64_t end, DeadAreas& dead) {
  if (!mm::in_window(begin, end - begin)) return Errno::nomem;
  for (const Area* area = area_from(begin); area != nullptr && area->begin < end; area = AreaTree::next(*area))
    if (!area->owns_addresses() || area->kind == AreaKind::stub) return Errno::nomem;
  TRY(split_at_edges_locked(begin, end));
  // The gaps between our areas; if one cannot be had, those already claimed are given back.
  std::uint64_t at = begin;
  for (const Area* area = area_from(begin); at < end;) {
    const bool ends = area == nullptr || area->begin >= end;
    const std::uint64_t gap_end = ends ? end : area->begin;
    if (gap_end > at) {
      if (const auto claimed = claim_locked(at, gap_end); !claimed.ok()) {
        std::uint64_t undo = begin;
        for (const Area* old = area_from(begin); undo < at; old = AreaTree::next(*old)) {
          const std::uint64_t undo_end = old == nullptr ? at : std::min(old->begin, at);
          if (undo_end > undo) give_locked(undo, undo_end, nullptr, false);
          if (old == nullptr) break;
          undo = old->end;
        }
        return claimed.error();
      }
    }
    if (ends) break;
    at = area->end;
    area = AreaTree::next(*area);
  }
  return unmap_locked(begin, end, Addresses::kept, dead);
}

Result<std::uint64_t> AddressSpace::place_locked(const MapRequest& request, std::uint64_t size, DeadAreas& dead, bool& dirty) {
  if (request.placement != Placement::anywhere) {
    std::uint64_t end = 0;
    if (__builtin_add_overflow(request.address, size, &end)) return Errno::nomem;
    if (request.placement == Placement::fixed_noreplace) {
      const Area* there = area_from(request.address);
      if (there != nullptr && there->begin < end && !there->hidden()) return Errno::exist;
    }
    TRY(claim_fixed_locked(request.address, end, dead));
    return request.address;
  }
  const std::uint64_t hint = round_down(request.address, kPageSize);
  if (hint != 0 && mm::in_window(hint, size)) {
    const Area* there = area_from(hint);
    if ((there == nullptr || there->begin >= hint + size) && mm::claim_range(hint, size, id_).ok()) return hint;
  }
  if (request.low) {
    constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
    return mm::take_range_near(size, kGiB, 2 * kGiB, kGiB);
  }
  const mm::TakenRange taken = TRY(mm::take_range(size, kPageSize, id_, is_plain_memory(request)));
  dirty = taken.dirty;
  return taken.begin;
}

std::uint64_t AddressSpace::data_size_locked() const {
  std::uint64_t bytes = 0;
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area))
    if (!area->hidden() && area->kind != AreaKind::shared && !area->grows_down && (area->prot & kProtWrite) != 0) bytes += area->size();
  return bytes;
}

std::uint64_t AddressSpace::locked_size_locked() const {
  std::uint64_t bytes = 0;
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area))
    if (area->locked) bytes += area->size();
  return bytes;
}

Result<> AddressSpace::check_limits_locked(std::uint64_t size, std::uint32_t prot, bool is_private, bool locks) const {
  constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
  if (limits_.address_space != kUnlimited && size > limits_.address_space - std::min(limits_.address_space, virtual_size_)) return Errno::nomem;
  if (limits_.data != kUnlimited && is_private && (prot & kProtWrite) != 0 && size > limits_.data - std::min(limits_.data, data_size_locked()))
    return Errno::nomem;
  if (limits_.locked != kUnlimited && locks && size > limits_.locked - std::min(limits_.locked, locked_size_locked())) return Errno::again;
  return {};
}

// --- mmap ---

Result<std::uint64_t> AddressSpace::map(const MapRequest& asked) {
  MapRequest request = asked;
  const std::uint64_t size = round_up(request.size, kPageSize);
  if (request.size == 0) return Errno::inval;
  if (size < request.size || size > mm::window_size()) return Errno::nomem;
  if (!is_aligned(request.offset, kPageSize)) return Errno::inval;
  if (std::uint64_t end = 0; __builtin_add_overflow(request.offset, size, &end)) return Errno::overflow;
  if (request.placement != Placement::anywhere && !is_aligned(request.address, kPageSize)) return Errno::inval;
  // Nobody can tell a shared mapping of what never changes from a private one.
  if (request.shared && request.file && request.file->is_immutable() && (request.max_prot & kProtWrite) == 0) request.shared = false;
  RefPtr<SharedWindow> window;
  if (request.shared) {
    const std::uint64_t exact = request.placement == Placement::anywhere ? 0 : request.address;
    if (request.window)
      window = request.window;
    else if (request.file)
      window = TRY(SharedWindow::of(request.file.as_ref(), request.offset, size, exact));
    else
      window = TRY(SharedWindow::make_anonymous(size, exact));
  }
  // The table of sites is fetched at its first use, which may sleep: not under our lock.
  if (request.file && (request.prot & kProtExec) != 0) static_cast<void>(request.file->patch_sites());
  if (request.placement != Placement::anywhere && !window) TRY(share_addresses(request.address, size));
  std::uint64_t begin = 0;
  const bool cached = TRY(map_cached_image(request, size, begin));
  if (cached) return begin;
  const bool shared = TRY(map_sibling_image(request, size));
  if (shared) return request.address;
  bool locks = false;
  {
    DeadAreas dead;
    const LockGuard guard(lock_);
    locks = request.locked || (lock_future_ && !lock_on_fault_);
    request.locked = request.locked || lock_future_;
    begin = TRY(map_locked(request, size, window, dead));
  }
  // A mapping that cannot be filled is no error for MAP_POPULATE and MAP_LOCKED (mmap(2)); without faults it is one.
  const auto filled = fill(begin, begin + size, request.populate || locks);
  if (!filled.ok() && !mm::page_map().has_edmm()) {
    const auto undone = unmap(begin, size);
    KASSERT(undone.ok() || undone.error() == Errno::nomem);
    return filled.error();
  }
  return begin;
}

Result<std::uint64_t> AddressSpace::map_locked(const MapRequest& request, std::uint64_t size, const RefPtr<SharedWindow>& window,
                                               DeadAreas& dead) {
  TRY(check_limits_locked(size, request.prot, !request.shared, request.locked));
  const bool retained = TRY(retain_locked(request, size));
  if (retained) return request.address;
  Own<Area> area = TRY(make_own<Area>());
  bool dirty = false;
  area->image = image_around_locked(request, size);
  if (window) {
    // The object says where: what the process maps twice is at the same address both times.
    area->begin = window->base() + (request.file ? request.offset : 0);
    if (!window->has_room(request.file ? request.offset : 0, size)) return Errno::nomem;
    if (request.placement != Placement::anywhere && request.address != area->begin) return Errno::nomem;
    const Area* there = area_from(area->begin);
    if (there != nullptr && there->begin < area->begin + size) {
      if (request.placement == Placement::anywhere) return map_again_locked(request, area->begin, size, *there);
      if (request.placement != Placement::fixed) return Errno::exist;
      TRY(unmap_locked(area->begin, area->begin + size, Addresses::kept, dead));
    }
  } else {
    area->begin = TRY(place_locked(request, size, dead, dirty));
  }
  area->end = area->begin + size;
  area->prot = request.prot;
  area->max_prot = request.max_prot | (request.shared ? 0 : kProtAll);
  area->kind = window ? AreaKind::shared : request.file ? AreaKind::file : AreaKind::anonymous;
  area->grows_down = request.grows_down;
  area->locked = request.locked;
  area->offset = request.file ? request.offset : 0;
  area->file = request.file;
  area->window = window;
  area->label = request.label;
  area->was_writable = (request.prot & kProtWrite) != 0;
  if (area->kind == AreaKind::file) {
    area->mapping = next_mapping();
    area->file->note_private_mapping();
  }
  if (window) window->areas.fetch_add(1, std::memory_order_relaxed);
  if (request.image && area->kind == AreaKind::file && request.file->is_immutable() && !area->image && mm::page_map().has_edmm()) {
    // Without memory for it the image is not kept later; nothing else.
    if (auto image = make_ref<MappedImage>(request.file.as_ref(), request.offset, area->begin, size); image.ok())
      area->image = std::move(image).release();
  }
  if (dirty) mm::page_map().zero(area->begin, area->end);
  const std::uint64_t begin = area->begin;
  Area& added = *area.leak();
  insert_locked(added);
  // Without stubs the sites trap and are emulated: slower, not wrong.
  if ((request.prot & kProtExec) != 0 && added.kind == AreaKind::file && !add_stubs_locked(added).ok()) KASSERT(!added.patches);
  merge_locked(begin, begin + size);
  return begin;
}

// Parts of the window from `begin` on are mapped already: their areas count one mapping more and allow what either mapping allows, the gaps
// between them become areas like `like`. Nothing has changed if there is an error.
Result<std::uint64_t> AddressSpace::map_again_locked(const MapRequest& request, std::uint64_t begin, std::uint64_t size, const Area& like) {
  constexpr std::uint16_t kMaxTimes = 0xffff;
  const std::uint64_t end = begin + size;
  TRY(split_at_edges_locked(begin, end));
  Vec<Own<Area>> gaps;
  std::uint64_t at = begin;
  for (const Area* there = area_from(begin); at < end; there = there == nullptr ? nullptr : AreaTree::next(*there)) {
    const std::uint64_t next = there == nullptr ? end : std::min(there->begin, end);
    if (next < end && (there->kind != AreaKind::shared || there->times == kMaxTimes)) return Errno::nomem;
    if (next > at) {
      Own<Area> gap = TRY(clone_area(like));
      gap->begin = at;
      gap->end = next;
      gap->offset = request.offset + (at - begin);
      gap->times = 1;
      gap->prot = request.prot;
      gap->max_prot = request.max_prot;
      gap->locked = request.locked;
      gap->was_writable = (request.prot & kProtWrite) != 0;
      TRY(gaps.try_push(std::move(gap)));
    }
    at = next < end ? there->end : end;
  }
  for (Area* there = area_from(begin); there != nullptr && there->begin < end; there = AreaTree::next(*there)) {
    begin_change();
    there->times += 1;
    there->prot |= request.prot;
    there->max_prot |= request.max_prot;
    there->locked = there->locked || request.locked;
    there->was_writable = there->was_writable || (request.prot & kProtWrite) != 0;
    end_change();
  }
  for (Own<Area>& gap : gaps) {
    gap->window->areas.fetch_add(1, std::memory_order_relaxed);
    insert_locked(*gap.leak());
  }
  return begin;
}

Result<> AddressSpace::add_stubs_locked(Area& area) {
  if (area.was_writable || area.patches || area.file->patch_sites().empty()) return {};
  const Ref<PatchSet> patches = TRY(make_ref<PatchSet>(area.file.as_ref(), area.begin, area.offset, area.size()));
  if (patches->site_count() == 0) return {};
  Own<Area> stubs = TRY(make_own<Area>());
  const std::uint64_t size = patches->stub_bytes();
  stubs->begin = TRY(mm::take_range_near(size, area.begin, area.end, kStubDistance));
  stubs->end = stubs->begin + size;
  stubs->kind = AreaKind::stub;
  stubs->mapping = next_mapping();
  stubs->prot = kProtRead | kProtExec;
  stubs->patches = patches;
  patches->set_stubs(stubs->begin);
  patches->areas = 1;
  area.patches = patches;
  area.mapping = next_mapping();
  Area& added = *stubs.leak();
  insert_locked(added);
  if (mm::page_map().has_edmm()) return {};
  // No fault will ask for them. The sites of a page whose stubs are missing would jump into nothing: all or none.
  for (std::uint64_t page = added.begin; page < added.end; page += kPageSize) {
    if (const auto populated = populate_stub_locked(added, page); !populated.ok()) {
      area.patches = nullptr;
      take_out_locked(added);
      give_locked(added.begin, added.end, nullptr, false);
      const Own<Area> gone = Own<Area>::adopt(&added, {.size = sizeof(Area), .align = alignof(Area)});
      return populated.error();
    }
  }
  return {};
}

// --- munmap ---

void AddressSpace::drop_stubs_locked(PatchSet& patches, DeadAreas& dead) {
  Area* stubs = area_at(patches.stubs());
  KASSERT(stubs != nullptr && stubs->kind == AreaKind::stub);
  take_out_locked(*stubs);
  give_locked(stubs->begin, stubs->end, stubs, false);
  dead.add(*stubs);
}

void AddressSpace::release_area_locked(Area& area, Addresses then, DeadAreas& dead) {
  take_out_locked(area);
  if (area.kind == AreaKind::shared) area.window->drop_area();
  if (area.kind == AreaKind::file && area.patches && --area.patches->areas == 0) drop_stubs_locked(*area.patches, dead);
  if (area.owns_addresses()) {
    // With the range kept, the pages go all the same: what is mapped next starts afresh. If the host refuses to take a page back,
    // zeros are what is left of it.
    if (then != Addresses::kept)
      give_locked(area.begin, area.end, &area, then == Addresses::cached);
    else if (!drop_pages_locked(area.begin, area.end).ok())
      mm::vacate(area.begin, area.end);
  }
  dead.add(area);
}

Result<> AddressSpace::unmap_locked(std::uint64_t begin, std::uint64_t end, Addresses then, DeadAreas& dead) {
  const Area* low = area_at(begin);
  const Area* high = area_at(end);
  const bool cuts = (low != nullptr && low->begin < begin) || (high != nullptr && high->begin < end);
  TRY(split_at_edges_locked(begin, end));
  for (Area* area = area_from(begin); area != nullptr && area->begin < end;) {
    Area* next = AreaTree::next(*area);
    // Hidden areas are not the program's to unmap; a fixed mapping may take the place of a reserve.
    if (area->kind == AreaKind::stub || (area->kind == AreaKind::reserve && then != Addresses::kept)) {
      area = next;
      continue;
    }
    if (area->times > 1 && then == Addresses::cached) {  // the other mapping stays
      area->times -= 1;
      area = next;
      continue;
    }
    // Letting go of the last code of a mapping takes its stubs out as well, which may be what comes next.
    const bool takes_stubs = area->kind == AreaKind::file && area->patches && area->patches->areas == 1;
    const std::uint64_t area_end = area->end;
    if (takes_stubs) next = nullptr;
    const bool small = area->size() < (cuts ? kCachePartFrom : kCacheFrom);
    release_area_locked(*area, then == Addresses::cached && small ? Addresses::freed : then, dead);
    area = takes_stubs ? area_from(area_end) : next;
  }
  return {};
}

Result<> AddressSpace::unmap(std::uint64_t address, std::uint64_t size) {
  if (size == 0) return Errno::inval;
  const auto range = mm::page_range(address, size);
  if (!range.ok()) return Errno::inval;
  const auto [begin, end] = auto(range).release();
  DeadAreas dead;
  const LockGuard guard(lock_);
  return unmap_locked(begin, end, Addresses::cached, dead);
}

Result<> AddressSpace::detach(std::uint64_t address) {
  DeadAreas dead;
  const LockGuard guard(lock_);
  const auto belongs = [address](const Area& area) {
    return area.kind == AreaKind::shared && area.window->is_segment() && area.window->base() == address;
  };
  const Area* area = area_from(address);
  while (area != nullptr && !belongs(*area) && area->begin < address + mm::window_size()) area = AreaTree::next(*area);
  if (area == nullptr || !belongs(*area)) return Errno::inval;
  return unmap_locked(address, area->window->end(), Addresses::kept, dead);
}

// --- eager population ---

Result<> AddressSpace::fill(std::uint64_t begin, std::uint64_t end, bool always) {
  mm::PageMap& pages = mm::page_map();
  if (pages.has_edmm() && !always) return {};
  for (std::uint64_t page = pages.find(begin, end, false); page < end; page = pages.find(page + kPageSize, end, false)) {
    std::uint32_t prot = 0;
    std::uint64_t area_end = 0;
    {
      const LockGuard guard(areas_lock_);
      const Area* area = area_from(page);
      if (area == nullptr || area->begin >= end) return {};
      if (area->begin > page) {  // over a hole
        page = area->begin - kPageSize;
        continue;
      }
      prot = area->prot;
      area_end = area->end;
    }
    if (prot == 0) {
      page = area_end - kPageSize;
      continue;
    }
    const Access access = (prot & kProtWrite) != 0 ? Access::write : Access::read;
    if (const auto populated = populate(page, access); !populated.ok()) {
      // Beyond the end of a file there is nothing to fill. And the mapping may be gone already.
      if (populated.error() != Errno::nxio && populated.error() != Errno::fault) return populated.error();
    }
  }
  return {};
}

// --- brk, stack, special pages ---

Result<> AddressSpace::insert_reserve_locked(std::uint64_t begin, std::uint64_t end) {
  Own<Area> reserve = TRY(make_own<Area>());
  reserve->begin = begin;
  reserve->end = end;
  reserve->kind = AreaKind::reserve;
  insert_locked(*reserve.leak());
  return {};
}

Result<> AddressSpace::start_break() {
  const LockGuard guard(lock_);
  KASSERT(break_begin_ == 0);
  std::uint64_t size = std::max(round_down(std::min(kBreakReserve, mm::window_size() / 128), kPageSize), 16 * kPageSize);
  while (true) {
    const auto taken = mm::take_range(size, kPageSize, id_, true);
    if (taken.ok()) {
      const std::uint64_t begin = auto(taken).release().begin;
      if (auto(taken).release().dirty) mm::page_map().zero(begin, begin + size);
      if (const auto inserted = insert_reserve_locked(begin, begin + size); !inserted.ok()) {
        mm::give_range(begin, size, id_, false);
        return inserted.error();
      }
      break_begin_ = begin;
      break_.store(begin, std::memory_order_relaxed);
      return {};
    }
    if (size <= 16 * kPageSize) return taken.error();
    size = round_down(size / 2, kPageSize);
  }
}

std::uint64_t AddressSpace::set_break(std::uint64_t address) {
  std::uint64_t filled_from = 0;
  std::uint64_t filled_to = 0;
  {
    DeadAreas dead;
    const LockGuard guard(lock_);
    const std::uint64_t now = break_.load(std::memory_order_relaxed);
    if (break_begin_ == 0 || address < break_begin_ || address > break_begin_ + mm::window_size()) return now;
    const std::uint64_t old_end = round_up(now, kPageSize);
    const std::uint64_t new_end = round_up(address, kPageSize);
    if (address - break_begin_ > limits_.data) return now;
    if (new_end > old_end) {
      Area* reserve = area_at(old_end);
      if (reserve == nullptr || reserve->kind != AreaKind::reserve || reserve->begin != old_end) return now;
      if (new_end >= reserve->end) {  // more than was set aside: take what lies behind, if it is free
        const std::uint64_t more = round_up(new_end + kPageSize - reserve->end, std::uint64_t{1} << 20);
        if (!mm::claim_range(reserve->end, more, id_).ok()) return now;
        begin_change();
        reserve->end += more;
        end_change();
      }
      if (!check_limits_locked(new_end - old_end, kReadWriteProt, true, lock_future_).ok()) return now;
      auto made = make_own<Area>();
      auto label = MapLabel::make("[heap]");
      if (!made.ok() || !label.ok()) return now;
      Own<Area> area = std::move(made).release();
      area->begin = old_end;
      area->end = new_end;
      area->prot = kReadWriteProt;
      area->is_break = true;
      area->was_writable = true;
      area->locked = lock_future_;
      const Area* below = area_at(old_end - 1);
      area->label = below != nullptr && below->is_break ? below->label : RefPtr<MapLabel>(std::move(label).release());
      begin_change();
      reserve->begin = new_end;
      end_change();
      insert_locked(*area.leak());
      merge_locked(old_end, new_end);
      filled_from = old_end;
      filled_to = new_end;
    } else if (new_end < old_end) {
      Area* reserve = area_at(old_end);
      if (reserve == nullptr || reserve->kind != AreaKind::reserve || reserve->begin != old_end) return now;
      if (!split_at_edges_locked(new_end, old_end).ok()) return now;
      // Only what is the break's: if the program mapped something else there, nothing happens.
      for (const Area* area = area_from(new_end); area != nullptr && area->begin < old_end; area = AreaTree::next(*area))
        if (!area->is_break) return now;
      if (!is_covered_locked(new_end, old_end)) return now;
      if (!unmap_locked(new_end, old_end, Addresses::kept, dead).ok()) return now;
      begin_change();
      reserve->begin = new_end;
      end_change();
    }
    break_.store(address, std::memory_order_relaxed);
  }
  // Without faults the new part must be there now. If it cannot be, the break goes back.
  if (filled_to > filled_from && !fill(filled_from, filled_to, false).ok()) return set_break(filled_from);
  return address;
}

Result<std::uint64_t> AddressSpace::map_stack(std::uint64_t size, RefPtr<MapLabel> label) {
  size = round_up(size, kPageSize);
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  {
    const LockGuard guard(lock_);
    Own<Area> area = TRY(make_own<Area>());
    // Where faults are impossible the whole stack is committed at once, and the addresses cost memory.
    std::uint64_t room = size + kStackGuard;
    if (mm::page_map().has_edmm()) room = std::max(room, std::min<std::uint64_t>(round_up(limits_.stack, kPageSize), mm::window_size() / 256) + kStackGuard);
    const mm::TakenRange taken = TRY(mm::take_range(room, kPageSize, id_, true));
    const std::uint64_t place = taken.begin;
    if (taken.dirty) mm::page_map().zero(place, place + room);
    end = place + room;
    begin = end - size;
    if (const auto inserted = insert_reserve_locked(place, begin); !inserted.ok()) {
      mm::give_range(place, room, id_, false);
      return inserted.error();
    }
    area->begin = begin;
    area->end = end;
    area->prot = kReadWriteProt;
    area->grows_down = true;
    area->was_writable = true;
    area->label = std::move(label);
    insert_locked(*area.leak());
  }
  TRY(fill(begin, end, false));
  return end;
}

Result<std::uint64_t> AddressSpace::map_special(Ref<SpecialPages> pages) {
  Own<Area> area = TRY(make_own<Area>());
  area->begin = pages->address();
  area->end = pages->address() + pages->size();
  area->kind = AreaKind::special;
  area->prot = pages->prot();
  area->max_prot = pages->prot();
  area->label = pages->label();
  area->special = pages;
  const LockGuard guard(lock_);
  const Area* there = area_from(area->begin);
  if (there != nullptr && there->begin < area->end) return Errno::exist;
  insert_locked(*area.leak());
  return pages->address();
}

}  // namespace kernel
