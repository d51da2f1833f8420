#include "kernel/mm/shared.h"

#include <algorithm>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/area.h"
#include "kernel/mm/overlap.h"
#include "kernel/mm/page_buffer.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/range_walk.h"
#include "kernel/mm/user_memory.h"

namespace kernel {

// Which file has which window. The pointer in FileBacking is not counted: it is read and cleared under this lock.
class WindowRegistry {
 public:
  RefPtr<SharedWindow> find(const FileBacking& file) {
    const LockGuard guard(lock_);
    SharedWindow* window = file.window_.load(std::memory_order_relaxed);
    if (window == nullptr || !window->try_ref()) return nullptr;
    return Ref<SharedWindow>::adopt(*window);
  }
  // The window that is registered now: `fresh`, or one that was quicker.
  RefPtr<SharedWindow> install(FileBacking& file, SharedWindow& fresh) {
    const LockGuard guard(lock_);
    SharedWindow* window = file.window_.load(std::memory_order_relaxed);
    if (window != nullptr && window->try_ref()) return Ref<SharedWindow>::adopt(*window);
    file.window_.store(&fresh, std::memory_order_release);
    return RefPtr<SharedWindow>(&fresh);
  }
  void forget(FileBacking& file, const SharedWindow& window) {
    const LockGuard guard(lock_);
    if (file.window_.load(std::memory_order_relaxed) == &window) file.window_.store(nullptr, std::memory_order_release);
  }

 private:
  SpinLock<LockRank::page_cache> lock_;
};

namespace {

constexpr std::uint64_t kFaultPages = 16;
constexpr std::uint64_t kRoom = std::uint64_t{16} << 20;  // to grow into, at least

WindowRegistry& registry() {
  static constinit WindowRegistry instance;
  return instance;
}

std::uint64_t next_window_id() {
  static constinit std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// Copies bytes of a present page out, which no mapping may be allowed to read just now (PROT_NONE). ENOMEM, EIO.
Result<> copy_out(std::uint64_t address, std::span<std::byte> into) {
  mm::PageMap& pages = mm::page_map();
  const std::uint64_t page = round_down(address, kPageSize);
  const std::uint32_t before = pages.state(page).permissions();
  if ((before & frame::kPageRead) == 0) TRY(pages.add_permissions(page, frame::kPageRead));
  copy_bytes(into, frame::page_bytes(address, into.size()));
  // If the host does not take the permission back, a program may read what it could read before it said PROT_NONE.
  if ((before & frame::kPageRead) == 0) (void)pages.set_permissions(page, page + kPageSize, before);
  return {};
}

}  // namespace

SharedWindow::SharedWindow(RefPtr<FileBacking> file, std::uint64_t base, std::uint64_t begin, std::uint64_t end)
    : id_(next_window_id()), file_(std::move(file)), base_(base), begin_(begin), end_(end) {}

SharedWindow::~SharedWindow() {
  // Changed pages were written back when the last area went.
  if (file_) registry().forget(*file_, *this);
  mm::give_range(begin_, end_ - begin_, 0, !file_);
}

void SharedWindow::drop_area() {
  areas.fetch_sub(1, std::memory_order_acq_rel);
  if (area_hook_ != nullptr) area_hook_(segment_);
}

std::uint64_t SharedWindow::resident() const { return mm::page_map().count(begin_, end_) << kPageShift; }

bool SharedWindow::has_room(std::uint64_t offset, std::uint64_t size) const {
  const std::uint64_t begin = base_ + offset;
  return begin >= begin_ && begin <= end_ && size <= end_ - begin;
}

Result<Ref<SharedWindow>> SharedWindow::of(const Ref<FileBacking>& file, std::uint64_t offset, std::uint64_t size, std::uint64_t address) {
  if (const RefPtr<SharedWindow> there = registry().find(*file)) {
    if (!there->has_room(offset, size) || (address != 0 && address != there->base() + offset)) return Errno::nomem;
    return there.as_ref();
  }
  std::uint64_t begin = address;
  std::uint64_t room = size;
  std::uint64_t first = offset;  // file offset at `begin`
  if (address != 0) {
    TRY(mm::claim_range(address, size, 0));
  } else {
    // The file from its start, and as much again to grow into; less where addresses are short.
    const std::uint64_t whole = TRY(checked_add(offset, size));
    const std::uint64_t wanted = mm::page_map().has_edmm() ? std::max(whole * 2, kRoom) : size;
    auto taken = mm::take_range(wanted, kPageSize, 0, false);
    if (taken.ok() && wanted != size) {
      first = 0;
      room = wanted;
    } else if (!taken.ok()) {
      taken = mm::take_range(size, kPageSize, 0, false);
    }
    begin = TRY(taken).begin;
  }
  auto made = make_ref<SharedWindow>(RefPtr<FileBacking>(file), begin - first, begin, begin + room);
  if (!made.ok()) {
    mm::give_range(begin, room, 0, false);
    return made.error();
  }
  const Ref<SharedWindow> fresh = std::move(made).release();
  const RefPtr<SharedWindow> installed = registry().install(*file, *fresh);
  if (!installed->has_room(offset, size) || (address != 0 && address != installed->base() + offset)) return Errno::nomem;
  return installed.as_ref();
}

Result<Ref<SharedWindow>> SharedWindow::make_anonymous(std::uint64_t size, std::uint64_t address) {
  std::uint64_t begin = address;
  if (address != 0)
    TRY(mm::claim_range(address, size, 0));
  else
    begin = TRY(mm::take_range(size, kPageSize, 0, false)).begin;
  auto made = make_ref<SharedWindow>(nullptr, begin, begin, begin + size);
  if (!made.ok()) mm::give_range(begin, size, 0, false);
  return made;
}

// The page is there already: adds what the mapping allows and this access needs. A file page becomes writable only by the first write to
// it, which makes it known as changed.
Result<> SharedWindow::populate_present_locked(std::uint64_t page, std::uint32_t permissions, Access access) {
  mm::PageMap& pages = mm::page_map();
  const bool writes = access == Access::write || !pages.has_edmm();
  if (file_ && !writes) permissions &= ~frame::kPageWrite;
  TRY(pages.add_permissions(page, permissions));
  if (file_ && writes && (permissions & frame::kPageWrite) != 0) pages.mark(page, mm::PageState::kDirty, true);
  return {};
}

Result<> SharedWindow::populate(std::uint64_t page, Access access, std::uint32_t prot) {
  KASSERT(page >= begin_ && page < end_);
  if (file_) return populate_from_file(page, access, prot);
  const LockGuard guard(lock_);
  mm::PageMap& pages = mm::page_map();
  const std::uint32_t permissions = mm::permissions_for(prot);
  if (pages.state(page).present()) return pages.add_permissions(page, permissions);
  const std::uint64_t chunk = kFaultPages << kPageShift;
  const std::uint64_t begin = std::max(round_down(page, chunk), begin_);
  const std::uint64_t end = std::min(round_down(page, chunk) + chunk, end_);
  if (const auto done = pages.commit_zero(begin, end, permissions); done.ok() || pages.state(page).present()) return {};
  return pages.commit_zero(page, page + kPageSize, permissions);
}

Result<> SharedWindow::populate_from_file(std::uint64_t page, Access access, std::uint32_t prot) {
  mm::PageMap& pages = mm::page_map();
  const std::uint32_t permissions = mm::permissions_for(prot);
  constexpr int kAttempts = 64;  // the file may be changed while we read it; not for ever
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::uint64_t version = 0;
    if ((page - base_) >= file_->size()) return Errno::nxio;
    {
      const LockGuard guard(lock_);
      if (pages.state(page).present()) return populate_present_locked(page, permissions, access);
      version = version_;
    }
    const mm::PageBuffer buffer = TRY(mm::PageBuffer::make(1));
    TRY(file_->read_page((page - base_) >> kPageShift, buffer.page(0)));
    const LockGuard guard(lock_);
    if (version != version_) continue;
    if (!pages.state(page).present()) {
      const bool writes = access == Access::write || !pages.has_edmm();
      TRY(pages.commit_copy(page, buffer.page(0), writes ? permissions : permissions & ~frame::kPageWrite));
    }
    return populate_present_locked(page, permissions, access);
  }
  return Errno::io;
}

Result<> SharedWindow::write_back(std::uint64_t begin, std::uint64_t end) {
  if (!file_) return {};
  mm::PageMap& pages = mm::page_map();
  Result<> result;
  begin = std::max(begin, begin_);
  end = std::min(end, end_);
  mm::PageBuffer buffer;
  bool have_buffer = false;
  for (std::uint64_t page = pages.find(begin, end, true); page < end; page = pages.find(page + kPageSize, end, true)) {
    if (!pages.state(page).dirty()) continue;
    if (page - base_ >= file_->size()) continue;
    if (!have_buffer) {
      buffer = TRY(mm::PageBuffer::make(1));
      have_buffer = true;
    }
    {
      const LockGuard guard(lock_);
      const mm::PageState state = pages.state(page);
      if (!state.present() || !state.dirty()) continue;
      TRY(copy_out(page, buffer.page(0)));
    }
    // It stays marked: the page is writable, so later changes cannot be seen.
    if (const auto written = file_->write_page((page - base_) >> kPageShift, buffer.page(0)); !written.ok() && result.ok()) result = written;
  }
  return result;
}

Result<> SharedWindow::discard(std::uint64_t begin, std::uint64_t end) {
  const LockGuard guard(lock_);
  return mm::page_map().release(begin, end);
}

Result<> SharedWindow::restrict_to(std::uint64_t begin, std::uint64_t end, std::uint32_t prot) {
  const LockGuard guard(lock_);
  mm::PageMap& pages = mm::page_map();
  const std::uint32_t permissions = mm::permissions_for(prot);
  for (std::uint64_t page = pages.find(begin, end, true); page < end; page = pages.find(page + kPageSize, end, true)) {
    const std::uint32_t now = pages.state(page).permissions();
    if (!pages.state(page).present() || (now & ~permissions) == 0) continue;
    // Runs of equal pages in one call.
    std::uint64_t stop = page + kPageSize;
    while (stop < end && pages.state(stop).present() && pages.state(stop).permissions() == now) stop += kPageSize;
    TRY(pages.set_permissions(page, stop, now & permissions));
    page = stop - kPageSize;
  }
  return {};
}

// --- coherence ---

namespace {

// Calls step(page address, first byte in it, bytes, bytes before it in the range) for each page of a byte range of the file.
template <class Step>
void for_each_piece(std::uint64_t offset, std::size_t size, Step&& step) {
  for (std::size_t done = 0; done < size;) {
    const auto in_page = static_cast<std::size_t>((offset + done) % kPageSize);
    const std::size_t piece = std::min(size - done, kPageSize - in_page);
    step(offset + done - in_page, in_page, piece, done);
    done += piece;
  }
}

}  // namespace

void read_through_window(FileBacking& file, std::uint64_t offset, std::span<std::byte> into) {
  const RefPtr<SharedWindow> window = registry().find(file);
  if (!window) return;
  const LockGuard guard(window->lock_);
  for_each_piece(offset, into.size(), [&](std::uint64_t page_offset, std::size_t in_page, std::size_t piece, std::size_t done) {
    const std::uint64_t page = window->base_ + page_offset;
    if (!window->has_room(page_offset, kPageSize)) return;
    const mm::PageState state = mm::page_map().state(page);
    if (!state.present() || !state.dirty()) return;
    // Without memory for it the reader sees what the file system has.
    (void)copy_out(page + in_page, into.subspan(done, piece));
  });
}

namespace {

// Lets `change` write to a present page, which the kernel may need permission for. A page that is only read gets its own back afterwards, lest a
// program's store go unseen. Under the window's lock.
template <class Change>
void change_present(std::uint64_t page, Change&& change) {
  mm::PageMap& pages = mm::page_map();
  const std::uint32_t before = pages.state(page).permissions();
  if (!pages.add_permissions(page, frame::kPageRead | frame::kPageWrite).ok()) return;
  change();
  if ((before & frame::kPageWrite) == 0 && !pages.set_permissions(page, page + kPageSize, before).ok())
    pages.mark(page, mm::PageState::kDirty, true);
}

}  // namespace

void write_through_window(FileBacking& file, std::uint64_t offset, std::span<const std::byte> from) {
  const RefPtr<SharedWindow> window = registry().find(file);
  if (!window) return;
  const LockGuard guard(window->lock_);
  ++window->version_;
  for_each_piece(offset, from.size(), [&](std::uint64_t page_offset, std::size_t in_page, std::size_t piece, std::size_t done) {
    const std::uint64_t page = window->base_ + page_offset;
    if (!window->has_room(page_offset, kPageSize) || !mm::page_map().state(page).present()) return;
    change_present(page, [&] { copy_bytes(frame::page_bytes(page + in_page, piece), from.subspan(done, piece)); });
  });
}

// Goes by the pages that are there: the range may be as large as a file can be.
void zero_through_window(FileBacking& file, std::uint64_t begin, std::uint64_t end) {
  const RefPtr<SharedWindow> window = registry().find(file);
  if (!window) return;
  const LockGuard guard(window->lock_);
  ++window->version_;
  const std::uint64_t first = window->base_ + std::max(begin, window->begin_ - window->base_);
  const std::uint64_t last = window->base_ + std::min(end, window->end_ - window->base_);
  if (first >= last || first < window->begin_ || last > window->end_) return;
  mm::PageMap& pages = mm::page_map();
  const std::uint64_t stop = round_up(last, kPageSize);
  for (std::uint64_t page = pages.find(round_down(first, kPageSize), stop, true); page < stop; page = pages.find(page + kPageSize, stop, true)) {
    const std::uint64_t from = std::max(first, page), to = std::min(last, page + kPageSize);
    change_present(page, [&] { zero_bytes(frame::page_bytes(from, static_cast<std::size_t>(to - from))); });
  }
}

void truncate_private(FileBacking& file, std::uint64_t size) {
  file.note_truncation();
  for (RefPtr<AddressSpace> space = mm::next_space(nullptr); space; space = mm::next_space(space)) space->truncate_mappings(file, size);
}

void truncate_window(FileBacking& file, std::uint64_t size) {
  const RefPtr<SharedWindow> window = registry().find(file);
  if (!window) return;
  const LockGuard guard(window->lock_);
  ++window->version_;
  mm::PageMap& pages = mm::page_map();
  const std::uint64_t keep = window->base_ + round_up(size, kPageSize);
  const std::uint64_t from = std::clamp(keep, window->begin_, window->end_);
  // If the host does not take them back they keep their bytes, but no fault leads there any more.
  if (!pages.release(from, window->end_).ok()) pages.zero(from, window->end_);
  const std::uint64_t tail = size % kPageSize;
  if (tail == 0 || !window->has_room(round_down(size, kPageSize), kPageSize)) return;
  const std::uint64_t page = window->base_ + round_down(size, kPageSize);
  if (!pages.state(page).present()) return;
  change_present(page, [&] { zero_bytes(frame::page_bytes(page + tail, static_cast<std::size_t>(kPageSize - tail))); });
}

}  // namespace kernel
