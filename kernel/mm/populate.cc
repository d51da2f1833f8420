// AddressSpace: making pages accessible, by faults or ahead of them.
#include <algorithm>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/heap.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/page_buffer.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/user_memory.h"

namespace kernel {
namespace {

constexpr std::uint16_t kFirstFault = 16;   // pages committed round a fault in anonymous memory
constexpr std::uint16_t kLargestFault = 128;  // when faults go on sequentially
constexpr std::uint8_t kRefaultLimit = 100;
constexpr std::uint64_t kFilePages = 16;    // pages read round a fault in a file mapping
constexpr std::uint64_t kGrowGap = std::uint64_t{1} << 20;  // kept free below a stack that grows (Linux: stack_guard_gap)

// Puts the pages of [begin, end) of a mapping together as the program shall see them.
Result<> read_run(std::uint64_t begin, std::uint64_t end, std::uint64_t bias, FileBacking& file, const RefPtr<PatchSet>& patches,
                  mm::PageBuffer& buffer) {
  buffer = TRY(mm::PageBuffer::make((end - begin) >> kPageShift));
  for (std::uint64_t at = begin; at < end; at += kPageSize) {
    const PageView view = buffer.page((at - begin) >> kPageShift);
    TRY(file.read_page((at - bias) >> kPageShift, view));
    if (patches) TRY(patches->apply(at, view));
  }
  return {};
}

}  // namespace

Result<> AddressSpace::populate(std::uint64_t address, Access access) {
  while (true) {
    const Result<> done = populate_once(round_down(address, kPageSize), access);
    if (done.ok() || done.error() != Errno::nomem || shortage_hooks().relieve == nullptr || !shortage_hooks().relieve()) return done;
  }
}

Result<> AddressSpace::populate_once(std::uint64_t page, Access access) {
  bool needs_file = false;
  std::uint32_t prot = 0;
  RefPtr<SharedWindow> window;
  {
    const LockGuard guard(lock_);
    TRY(populate_locked(page, access, needs_file, window, prot));
  }
  if (window) return window->populate(page, access, prot);
  if (needs_file) return populate_file(page, access);
  return {};
}

// Does what can be done with the lock held; else says what is left to do without it.
Result<> AddressSpace::populate_locked(std::uint64_t page, Access access, bool& needs_file, RefPtr<SharedWindow>& window, std::uint32_t& prot) {
  Area* area = area_at(page);
  if (area == nullptr || area->kind == AreaKind::reserve) {
    TRY(grow_stack_locked(page));
    area = area_at(page);
  }
  if (area == nullptr || !mm::permits(area->prot, access)) return Errno::fault;
  mm::PageMap& pages = mm::page_map();
  prot = area->prot;
  if (area->kind == AreaKind::shared) {
    window = area->window;
    return {};
  }
  if (pages.state(page).present()) return allow_present_locked(*area, page, access);
  switch (area->kind) {
    case AreaKind::anonymous:
      return populate_anonymous_locked(*area, page);
    case AreaKind::stub:
      return populate_stub_locked(*area, page);
    case AreaKind::file:
      needs_file = true;
      return {};
    default:
      return Errno::fault;  // pages of the kernel are always there
  }
}

Result<> AddressSpace::populate_anonymous_locked(Area& area, std::uint64_t page) {
  mm::PageMap& pages = mm::page_map();
  if (area.was_discarded && area.refaults < kRefaultLimit) ++area.refaults;
  const bool goes_on = page == area.fault_next && area.fault_pages != 0;
  area.fault_pages = goes_on ? std::min<std::uint16_t>(static_cast<std::uint16_t>(area.fault_pages * 2), kLargestFault) : kFirstFault;
  const std::uint64_t chunk = std::uint64_t{area.fault_pages} << kPageShift;
  const std::uint32_t permissions = mm::permissions_for(area.prot);
  std::uint64_t begin = std::max(round_down(page, chunk), area.begin);
  std::uint64_t end = std::min(round_down(page, chunk) + chunk, area.end);
  // Where others are waiting for memory only the page itself is taken.
  if (pages.limit() - std::min(pages.limit(), pages.committed()) < 4 * area.fault_pages) {
    begin = page;
    end = page + kPageSize;
  }
  area.fault_next = end;
  // A neighbour that cannot be had is no error as long as the page itself can.
  if (const auto done = pages.commit_zero(begin, end, permissions); done.ok() || pages.state(page).present()) return {};
  return pages.commit_zero(page, page + kPageSize, permissions);
}

Result<> AddressSpace::populate_stub_locked(Area& area, std::uint64_t page) {
  const mm::PageBuffer buffer = TRY(mm::PageBuffer::make(1));
  area.patches->build_stub_page(page, buffer.page(0));
  return mm::page_map().commit_copy(page, buffer.page(0), mm::permissions_for(kProtRead | kProtExec));
}

Result<> AddressSpace::grow_stack_locked(std::uint64_t page) {
  Area* below = area_at(page);  // a reserve, or nothing
  Area* stack = below != nullptr ? AreaTree::next(*below) : area_from(page);
  if (stack == nullptr || !stack->grows_down || stack->end - page > limits_.stack) return Errno::fault;
  if (below != nullptr) {
    if (below->end != stack->begin || page < below->begin + (std::uint64_t{64} << 10)) return Errno::fault;
  } else {
    if (stack->begin - page > limits_.stack) return Errno::fault;
    const Area* before = AreaTree::previous(*stack);
    if (before != nullptr && page - std::min(page, before->end) < kGrowGap) return Errno::fault;
    if (!mm::claim_range(page, stack->begin - page, id_).ok()) return Errno::fault;
  }
  const std::uint64_t grown = stack->begin - page;
  begin_change();
  stack->begin = page;  // the order of areas stays the same
  if (below != nullptr) below->end = page;
  end_change();
  virtual_size_ += grown;
  return {};
}

// A run of absent pages of a file mapping, and what its area was like when the lock was let go.
struct AddressSpace::FileRun {
  RefPtr<FileBacking> file;
  RefPtr<PatchSet> patches;
  std::uint64_t bias = 0;  // address of file offset 0
  std::uint64_t begin = 0, end = 0;
  std::uint32_t truncations = 0;
};

Result<> AddressSpace::plan_file(std::uint64_t page, Access access, FileRun& run) {
  const LockGuard guard(lock_);
  const Area* area = area_at(page);
  if (area == nullptr || area->kind != AreaKind::file || !mm::permits(area->prot, access)) return Errno::fault;
  run.file = area->file;
  run.truncations = area->file->truncations();
  run.patches = area->patches;
  run.bias = area->begin - area->offset;
  const std::uint64_t around = round_down(page, kFilePages << kPageShift);
  const std::uint64_t low = std::max(around, area->begin);
  const std::uint64_t high = std::min(around + (kFilePages << kPageShift), area->end);
  const mm::PageMap& pages = mm::page_map();
  run.begin = page;
  run.end = page + kPageSize;
  while (run.begin > low && !pages.state(run.begin - kPageSize).present()) run.begin -= kPageSize;
  while (run.end < high && !pages.state(run.end).present()) run.end += kPageSize;
  return {};
}

// False if the mapping has changed since the plan was made.
Result<bool> AddressSpace::commit_file(std::uint64_t page, Access access, const FileRun& run, const mm::PageBuffer& buffer) {
  mm::PageMap& pages = mm::page_map();
  const LockGuard guard(lock_);
  const Area* area = area_at(page);
  if (area == nullptr || area->kind != AreaKind::file || !mm::permits(area->prot, access)) return Errno::fault;
  if (!(area->file == run.file) || !(area->patches == run.patches) || area->begin - area->offset != run.bias) return false;
  if (area->file->truncations() != run.truncations) return false;
  const std::uint64_t from = std::max(run.begin, area->begin);
  const std::uint64_t to = std::min(run.end, area->end);
  const std::uint32_t permissions = mm::permissions_for(area->prot);
  if (!pages.prepare(from, to).ok()) TRY(pages.prepare(page, page + kPageSize));
  for (std::uint64_t at = from; at < to; at += kPageSize) {
    const mm::PageState state = pages.state(at);
    if (state.present() || (at != page && pages.has_edmm() && !state.pending())) continue;
    TRY(pages.commit_copy(at, buffer.page((at - run.begin) >> kPageShift), permissions));
  }
  return true;
}

// Reads a run of pages round `page` without the lock, then commits what is still wanted. Another thread may do the same meanwhile: who
// comes second finds the pages there.
Result<> AddressSpace::populate_file(std::uint64_t page, Access access) {
  constexpr int kAttempts = 16;  // the mapping may be replaced while we read; not for ever
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    FileRun run;
    TRY(plan_file(page, access, run));
    const std::uint64_t size = run.file->size();
    if (page - run.bias >= size) return Errno::nxio;
    run.end = std::min(run.end, run.bias + round_up(size, kPageSize));
    // What hits a neighbour (no memory, a damaged block) must not hit the page itself: then it is read alone.
    mm::PageBuffer buffer;
    if (!read_run(run.begin, run.end, run.bias, *run.file, run.patches, buffer).ok()) {
      run.begin = page;
      run.end = page + kPageSize;
      TRY(read_run(run.begin, run.end, run.bias, *run.file, run.patches, buffer));
    }
    const bool done = TRY(commit_file(page, access, run, buffer));
    if (done) return {};
  }
  return Errno::fault;
}

}  // namespace kernel
