// AddressSpace: what it weighs when memory is short.
#include "kernel/mm/address_space.h"
#include "kernel/mm/overlap.h"
#include "kernel/mm/pages.h"

namespace kernel {

AddressSpace::Footprint AddressSpace::footprint() {
  Footprint result;
  result.set_aside = versions_.set_aside(false);
  const bool mine = in_place.load(std::memory_order_relaxed);
  const mm::PageMap& pages = mm::page_map();
  const LockGuard guard(areas_lock_);
  for (const Area* area = areas_.first(); area != nullptr; area = AreaTree::next(*area)) {
    if (area->hidden()) continue;
    result.virtual_size += area->size() >> kPageShift;
    if (area->kind == AreaKind::shared)
      result.shared += pages.count(area->begin, area->end);
    else if (mine && area->owns_addresses())
      result.in_place += pages.count(area->begin, area->end);
  }
  return result;
}

void AddressSpace::drop_set_aside() {
  is_damaged.store(true, std::memory_order_relaxed);
  versions_.erase_set_aside();
}

}  // namespace kernel
