// AddressSpace: taking over images of ended processes, and leaving them behind.
#include "kernel/mm/image_cache.h"

#include <algorithm>

#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/exchange.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/user_memory.h"

namespace kernel {

// --- taking over ---

// True if a cached image was mapped, at `begin`.
Result<bool> AddressSpace::map_cached_image(const MapRequest& request, std::uint64_t size, std::uint64_t& begin) {
  if (!request.image || !request.file || request.shared || request.placement == Placement::fixed || !request.file->is_immutable()) return false;
  const std::uint64_t exact = request.placement == Placement::anywhere ? 0 : request.address;
  const RefPtr<MappedImage> image = mm::take_image(*request.file, request.offset, size, exact);
  if (!image) return false;
  if (!image->restore().ok()) return false;  // it goes, and the file is mapped afresh
  const LockGuard guard(lock_);
  if (const Area* there = area_from(image->begin()); there != nullptr && there->begin < image->end()) return false;
  if (!check_limits_locked(size, request.prot, true, false).ok()) return false;
  adopt_image_locked(*image, request);
  begin = image->begin();
  return true;
}

// The parts become areas again, with one protection as if just mapped. Pages keep the permissions they had: what is mapped over the
// parts next is most likely what was there before.
void AddressSpace::adopt_image_locked(MappedImage& image, const MapRequest& request) {
  while (Area* part = image.take_part()) {
    part->next_dead = nullptr;
    part->mapping = next_mapping();
    if (part->kind != AreaKind::stub) {
      part->zero_filled = part->zero_filled || part->kind == AreaKind::anonymous;
      if (part->kind != AreaKind::file) part->offset = part->begin - image.bias();
      part->kind = AreaKind::file;
      part->file = image.file();
      part->prot = request.prot;
      part->was_writable = (request.prot & kProtWrite) != 0;
      part->label = request.label;
      part->image = RefPtr<MappedImage>(&image);
      part->locked = part->dont_fork = part->wipe_on_fork = false;
      part->fault_pages = 0;
    }
    insert_locked(*part);
  }
}

// A program that others run already, linked to fixed addresses: the unwritten pages of theirs become this space's as well, where they lie.
// True if it was done; then this space is the only one in place.
Result<bool> AddressSpace::map_sibling_image(const MapRequest& request, std::uint64_t size) {
  if (!request.image || !request.file || request.placement == Placement::anywhere || !may_contend_.load(std::memory_order_seq_cst)) return false;
  const std::uint64_t end = request.address + size;
  const LockGuard guard(lock_);
  if (const Area* there = area_from(request.address); there != nullptr && there->begin < end) return false;
  if (!check_limits_locked(size, request.prot, true, false).ok()) return false;
  const LockGuard overlap(overlap_lock);
  if (!mm::is_sole_resident(*this)) return false;
  const AddressSpace* sibling = find_sibling(request, end);
  if (sibling == nullptr) return false;
  TRY(mm::cover_holders(*this, request.address, end));
  for (const Area* area = sibling->area_at(request.address); area != nullptr && area->begin < end; area = AreaTree::next(*area)) {
    RefPtr<PatchSet> patches;
    if (area->patches) {
      patches = find_patches(*area->patches);
      if (!patches) {
        patches = TRY(area->patches->clone());
        TRY(mm::cover_holders(*this, patches->stubs(), patches->stubs() + patches->stub_bytes()));
        const Area* stubs = sibling->area_at(patches->stubs());
        KASSERT(stubs != nullptr && stubs->kind == AreaKind::stub);
        TRY(copy_part_locked(*stubs, request, patches));
      }
    }
    if (area->kind == AreaKind::stub) continue;  // it came with its code
    TRY(copy_part_locked(*area, request, patches));
    if (patches) ++patches->areas;
  }
  return true;
}

// A member of the group that has exactly the image that is asked for, complete.
const AddressSpace* AddressSpace::find_sibling(const MapRequest& request, std::uint64_t end) const {
  OverlapGroup* group_now = group.load(std::memory_order_relaxed);
  if (group_now == nullptr) return nullptr;
  for (AddressSpace* member = group_now->members.front(); member != nullptr; member = group_now->members.next(*member)) {
    const Area* area = member->area_at(request.address);
    if (member == this || area == nullptr || !area->image) continue;
    const RefPtr<MappedImage> image = area->image;
    if (image->begin() != request.address || image->end() != end || image->file().get() != request.file.get() || image->offset() != request.offset) continue;
    std::uint64_t at = request.address;
    for (; area != nullptr && area->begin == at && at < end; area = AreaTree::next(*area)) {
      if (!(area->image == image) || (area->patches && area->was_writable)) break;
      at = area->end;
    }
    if (at == end) return member;
  }
  return nullptr;
}

// As adopt_image_locked(), of what another space has.
Result<> AddressSpace::copy_part_locked(const Area& from, const MapRequest& request, const RefPtr<PatchSet>& patches) {
  Own<Area> part = TRY(clone_area(from));
  part->patches = patches;
  if (part->kind != AreaKind::stub) {
    part->zero_filled = from.zero_filled || from.kind == AreaKind::anonymous;
    if (from.kind != AreaKind::file) part->offset = from.begin - from.image->bias();
    part->kind = AreaKind::file;
    part->file = request.file;
    part->prot = request.prot;
    part->was_writable = (request.prot & kProtWrite) != 0;
    part->label = request.label;
    part->locked = part->dont_fork = part->wipe_on_fork = false;
    part->fault_pages = 0;
    if (!from.is_clean()) part->mapping = next_mapping();
  }
  ContendedRanges& ranges = mm::contended_ranges();
  for (ContendedRange* range = ranges.from(from.begin); range != nullptr && range->begin < from.end; range = ContendedRanges::next(*range)) {
    ++range->holders;
    const bool same = mm::can_refill(from) && range->content == from.mapping && from.mapping != 0;
    if (!same) mm::vacate(range->begin, range->end);
    range->is_mixed = false;
    range->content = 0;
  }
  insert_locked(*part.leak());
  return {};
}

// The image that a fixed mapping lies in and belongs to: more of the same file, or memory without a file (.bss).
RefPtr<MappedImage> AddressSpace::image_around_locked(const MapRequest& request, std::uint64_t size) const {
  if (request.placement != Placement::fixed || request.shared || request.grows_down) return nullptr;
  const Area* area = area_at(request.address);
  if (area == nullptr || !area->image || request.address + size > area->image->end()) return nullptr;
  if (request.file && request.file.get() != area->image->file().get()) return nullptr;
  return area->image;
}

// A fixed mapping over parts of a taken-over image that hold exactly what is asked for: the pages stay. True if it was done.
Result<bool> AddressSpace::retain_locked(const MapRequest& request, std::uint64_t size) {
  const RefPtr<MappedImage> image = image_around_locked(request, size);
  if (!image || request.locked) return false;
  const std::uint64_t begin = request.address;
  const std::uint64_t end = begin + size;
  std::uint64_t at = begin;
  for (const Area* area = area_at(begin); at < end; area = AreaTree::next(*area)) {
    if (area == nullptr || area->begin > at || !(area->image == image) || area->kind != AreaKind::file || area->was_writable) return false;
    if (request.file ? area->zero_filled : !area->zero_filled) return false;
    if (request.file && area->offset_of(at) != request.offset + (at - begin)) return false;
    // Code that was read without its patches has to be read again.
    const bool unpatched = request.file && (request.prot & kProtExec) != 0 && !area->patches && !request.file->patch_sites().empty();
    if (unpatched) return false;
    at = area->end;
  }
  TRY(split_at_edges_locked(begin, end));
  begin_change();
  for (Area* area = area_at(begin); area != nullptr && area->begin < end; area = AreaTree::next(*area)) {
    area->prot = request.prot;
    area->was_writable = (request.prot & kProtWrite) != 0;
    area->label = request.label;
    if (request.file) continue;
    area->kind = AreaKind::anonymous;
    area->file = nullptr;
    area->offset = 0;
    area->zero_filled = false;
  }
  end_change();
  TRY(set_permissions_locked(begin, end, mm::permissions_for(request.prot)));
  return true;
}

// --- leaving behind ---

// `first` is the first area of an ended process's image. If the image is complete it goes to the cache. True if it did.
bool AddressSpace::keep_image_locked(Area& first) {
  const Ref<MappedImage> image = first.image.as_ref();
  std::uint64_t at = image->begin();
  for (const Area* area = &first; at < image->end(); area = AreaTree::next(*area)) {
    // Patched code that was written cannot be told from code that was patched.
    if (area == nullptr || area->begin != at || !(area->image == first.image) || (area->patches && area->was_writable)) return false;
    at = area->end;
  }
  if (!own_alone(image->begin(), image->end())) return false;
  for (const Area* area = &first; area != nullptr && area->begin < image->end(); area = AreaTree::next(*area))
    if (area->patches && !own_alone(area->patches->stubs(), area->patches->stubs() + area->patches->stub_bytes())) return false;
  Area* next = &first;
  for (at = image->begin(); at < image->end();) {
    Area& area = *next;
    next = AreaTree::next(area);
    at = area.end;
    if (area.patches) {
      if (Area* stubs = area_at(area.patches->stubs()); stubs != nullptr && stubs->kind == AreaKind::stub) {
        if (next == stubs) next = AreaTree::next(*stubs);
        take_out_locked(*stubs);
        image->add_part(*stubs);
      }
    }
    take_out_locked(area);
    area.image = nullptr;
    image->add_part(area);
  }
  mm::keep_image(image);
  return true;
}

// The stack and the break go together with the addresses that were set aside for them, so that the next process gets both in one piece.
void AddressSpace::free_with_reserve_locked() {
  for (Area* area = areas_.first(); area != nullptr;) {
    Area* next = AreaTree::next(*area);
    Area* kept = nullptr;
    if (area->kind == AreaKind::reserve && next != nullptr && next->begin == area->end && next->grows_down) kept = next;
    Area* below = AreaTree::previous(*area);
    if (area->kind == AreaKind::reserve && below != nullptr && below->end == area->begin && below->is_break) kept = below;
    if (kept != nullptr) {
      take_out_locked(*area);
      begin_change();
      kept->begin = std::min(kept->begin, area->begin);
      kept->end = std::max(kept->end, area->end);
      end_change();
      virtual_size_ += area->size();
      const Own<Area> gone = Own<Area>::adopt(area, {.size = sizeof(Area), .align = alignof(Area)});
    }
    area = next;
  }
}

}  // namespace kernel
