// AddressSpace: access to the memory of another process, in place or set aside.
#include <algorithm>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/exchange.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"

namespace kernel {

namespace mm {

// While it lives a space that is in place stays so.
class ResidencyPin {
 public:
  explicit ResidencyPin(AddressSpace& space) : space_(space) {
    space_.running.fetch_add(1, std::memory_order_seq_cst);
    const LockGuard wait_for_exchange(overlap_lock);
    in_place_ = space_.in_place.load(std::memory_order_relaxed);
  }
  ~ResidencyPin() {
    RefPtr<OverlapGroup> group;
    {
      const LockGuard guard(overlap_lock);
      space_.running.fetch_sub(1, std::memory_order_seq_cst);
      group = RefPtr<OverlapGroup>(space_.group.load(std::memory_order_relaxed));
    }
    if (group) overlap_hooks().members_changed(*group);
  }
  ResidencyPin(const ResidencyPin&) = delete;
  ResidencyPin& operator=(const ResidencyPin&) = delete;
  bool in_place() const { return in_place_; }

 private:
  AddressSpace& space_;
  bool in_place_ = false;
};

}  // namespace mm

// Whether the program, or with `force` a debugger, may do that.
bool AddressSpace::may_touch(const Area* area, Access access, bool force) {
  if (area == nullptr || area->hidden()) return false;
  if (mm::permits(area->prot, access)) return true;
  return force && !(access == Access::write && (area->kind == AreaKind::special || area->kind == AreaKind::shared || area->kind == AreaKind::stub));
}

// One piece within a page of a space that is in place. False: the page has to be populated first.
Result<bool> AddressSpace::touch_in_place(std::uint64_t at, std::size_t size, Access access, bool force, std::uint32_t& prot, RemoteCopy& copy) {
  mm::PageMap& pages = mm::page_map();
  const std::uint64_t page = round_down(at, kPageSize);
  const std::uint32_t needed = frame::kPageRead | (access == Access::write ? frame::kPageWrite : 0);
  const LockGuard guard(lock_);
  Area* area = area_at(at);
  if (!may_touch(area, access, force)) return Errno::fault;
  prot = area->prot;
  const mm::PageState state = pages.state(page);
  // A window's page becomes writable through its window only, which notes that it changes.
  const bool through_window = area->kind == AreaKind::shared && (needed & ~state.permissions()) != 0;
  if (!state.present() || through_window) return false;
  if (access == Access::write && may_contend_.load(std::memory_order_seq_cst)) {
    const LockGuard overlap(overlap_lock);
    TRY(forget_versions(page, page + kPageSize));
  }
  if (access == Access::write && area->is_clean()) {
    begin_change();
    area->was_writable = true;  // a debugger's write: what it changes is not the file's any more
    end_change();
  }
  const std::uint32_t before = state.permissions();
  TRY(pages.add_permissions(page, needed));
  copy.run(frame::page_bytes(at, size));
  if (force && (needed & ~before) != 0 && !mm::permits(area->prot, access)) TRY(pages.set_permissions(page, page + kPageSize, before));
  return true;
}

// The same for one whose pages are set aside. `fresh` is what the page of a file holds that was never touched, or zeros.
Result<> AddressSpace::touch_set_aside(std::uint64_t at, std::size_t size, Access access, bool force, ConstPageView fresh, RemoteCopy& copy) {
  mm::PageMap& pages = mm::page_map();
  const std::uint64_t page = round_down(at, kPageSize);
  const auto offset = static_cast<std::size_t>(at - page);
  const LockGuard guard(lock_);
  const LockGuard overlap(overlap_lock);
  if (in_place.load(std::memory_order_relaxed)) return Errno::again;
  Area* area = area_at(at);
  if (!may_touch(area, access, force)) return Errno::fault;
  if (access == Access::write && area->is_clean()) {
    begin_change();
    area->was_writable = true;  // a debugger's write: what it changes is not the file's any more
    end_change();
  }
  PageVersion* version = versions_.find(page);
  if (version == nullptr) {
    const ContendedRange* range = mm::contended_ranges().from(page);
    const bool alone = !area->owns_addresses() || range == nullptr || range->begin > page || (range->holders == 1 && !range->is_mixed);
    if (alone && pages.state(page).present() && !pages.state(page).vacant()) {
      TRY(pages.add_permissions(page, frame::kPageRead | (access == Access::write ? frame::kPageWrite : 0)));
      copy.run(frame::page_bytes(at, size));
      return {};
    }
    if (!area->owns_addresses()) return Errno::fault;
  }
  if (access == Access::write) {
    TRY(mm::contended_ranges().cover(page, page + kPageSize));  // versions are looked for there only
    const Ref<PageVersion> own = TRY(make_ref<PageVersion>());
    if (version == nullptr) {
      TRY(own->set_aside(fresh));
    } else if (version->in_place()) {
      TRY(mm::set_aside(*own, page));
    } else {
      TRY(own->set_aside(version->bytes()));
    }
    versions_.take(page);
    TRY(versions_.add(page, own));
    copy.run(own->bytes().subspan(offset, size));
    return {};
  }
  if (version != nullptr && version->in_place()) TRY(pages.add_permissions(page, frame::kPageRead));
  const std::span<std::byte> there = version == nullptr    ? std::span<std::byte>()
                                     : version->in_place() ? frame::page_bytes(page, kPageSize)
                                                           : std::span<std::byte>(version->bytes());
  if (version == nullptr)
    copy.run_const(fresh.subspan(offset, size));
  else
    copy.run(there.subspan(offset, size));
  return {};
}

// What a page that was never touched would hold: into `buffer`.
Result<> AddressSpace::read_fresh(std::uint64_t page, PageView buffer) {
  RefPtr<FileBacking> file;
  RefPtr<PatchSet> patches;
  std::uint64_t index = 0;
  {
    const LockGuard guard(lock_);
    const Area* area = area_at(page);
    if (area != nullptr && area->kind == AreaKind::file) {
      file = area->file;
      patches = area->patches;
      index = area->offset_of(page) >> kPageShift;
    }
  }
  zero_bytes(buffer);
  if (!file) return {};
  if (index << kPageShift >= file->size()) return Errno::fault;
  TRY(file->read_page(index, buffer));
  return patches ? patches->apply(page, buffer) : Result<>();
}

Result<> AddressSpace::touch(std::uint64_t at, std::size_t size, Access access, bool force, RemoteCopy& copy) {
  const std::uint64_t page = round_down(at, kPageSize);
  constexpr int kAttempts = 16;  // it may come and go between the steps; not for ever
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    {
      const mm::ResidencyPin pin(*this);
      if (pin.in_place()) {
        std::uint32_t prot = 0;
        const bool done = TRY(touch_in_place(at, size, access, force, prot, copy));
        if (done) return {};
        // A page that nobody has touched: as its own process would get it. Where even reading is forbidden there is nothing to see.
        if (prot == 0) return Errno::fault;
        TRY(populate(page, mm::permits(prot, access) ? access : Access::read));
        continue;
      }
    }
    const mm::PageBuffer buffer = TRY(mm::PageBuffer::make(1));
    TRY(read_fresh(page, buffer.page(0)));
    const Result<> done = touch_set_aside(at, size, access, force, buffer.page(0), copy);
    if (done.ok() || done.error() != Errno::again) return done;
  }
  return Errno::fault;
}

Result<std::size_t> AddressSpace::remote(std::uint64_t address, std::size_t size, Access access, bool force, RemoteCopy& copy) {
  while (copy.done < size) {
    const std::uint64_t at = address + copy.done;
    const std::uint64_t page = round_down(at, kPageSize);
    const std::size_t piece = std::min<std::size_t>(size - copy.done, static_cast<std::size_t>(page + kPageSize - at));
    if (!touch(at, piece, access, force, copy).ok()) break;
  }
  if (copy.done == 0 && size != 0) return Errno::fault;
  return copy.done;
}

Result<std::size_t> AddressSpace::read_remote(std::uint64_t address, std::span<std::byte> into, bool force) {
  RemoteCopy copy{.into = into, .from = {}, .done = 0};
  return remote(address, into.size(), Access::read, force, copy);
}

Result<std::size_t> AddressSpace::write_remote(std::uint64_t address, std::span<const std::byte> from, bool force) {
  RemoteCopy copy{.into = {}, .from = from, .done = 0};
  return remote(address, from.size(), Access::write, force, copy);
}

void AddressSpace::RemoteCopy::run(std::span<std::byte> there) {
  if (from.empty()) return run_const(there);
  copy_bytes(there, from.subspan(done, there.size()));
  done += there.size();
}

void AddressSpace::RemoteCopy::run_const(std::span<const std::byte> there) {
  copy_bytes(into.subspan(done, there.size()), there);
  done += there.size();
}

}  // namespace kernel
