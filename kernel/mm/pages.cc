#include "kernel/mm/pages.h"

#include <algorithm>
#include <bit>

#include "kernel/base/checked.h"
#include "kernel/base/ref.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/pages.h"
#include "kernel/host/memory.h"
#include "kernel/mm/area.h"
#include "kernel/mm/user_memory.h"

namespace kernel::mm {
namespace {

constexpr std::uint64_t kEach = 0x0101010101010101;  // one bit per page of a word
constexpr std::uint32_t kReadWrite = frame::kPageRead | frame::kPageWrite;
constexpr std::uint32_t kAllPermissions = kReadWrite | frame::kPageExecute;
alignas(kPageSize) constexpr std::array<std::byte, kPageSize> kZeroPage{};

// A bit (the lowest of its byte) for each page of the word that is present or pending.
std::uint64_t content_bits(std::uint64_t word) {
  static_assert(PageState::kPresent == 8 && PageState::kPending == 16);
  return ((word >> 3) | (word >> 4)) & kEach;
}

}  // namespace

std::uint32_t permissions_for(std::uint32_t prot) {
  std::uint32_t permissions = 0;
  if (prot != 0) permissions |= frame::kPageRead;
  if ((prot & kProtWrite) != 0) permissions |= frame::kPageWrite;
  if ((prot & kProtExec) != 0) permissions |= frame::kPageExecute;
  return permissions;
}

PageMap& page_map() {
  static constinit PageMap instance;
  return instance;
}

Result<> PageMap::init(std::uint64_t begin, std::uint64_t end, bool edmm, std::uint64_t limit_pages) {
  KASSERT(top_.empty() && begin < end);
  begin_ = begin;
  end_ = end;
  edmm_ = edmm;
  limit_ = limit_pages;
  return top_.try_resize(static_cast<std::size_t>((end - 1) >> kMiddleShift) + 1);
}

PageMap::Chunk* PageMap::chunk(std::uint64_t address) const {
  const auto index = static_cast<std::size_t>(address >> kMiddleShift);
  if (index >= top_.size()) return nullptr;
  Middle* entry = top_[index];  // set once, before anybody owns addresses there
  const Middle* middle = std::atomic_ref<Middle*>(entry).load(std::memory_order_relaxed);
  if (middle == nullptr) return nullptr;
  return middle->chunks[(address >> kChunkShift) & 511].load(std::memory_order_acquire);
}

Result<PageMap::Chunk*> PageMap::ensure_chunk(std::uint64_t address) {
  KASSERT(address >= begin_ && address < end_);
  std::atomic_ref<Middle*> slot(top_[static_cast<std::size_t>(address >> kMiddleShift)]);
  Middle* middle = slot.load(std::memory_order_acquire);
  if (middle == nullptr) {
    Own<Middle> fresh = TRY(make_own<Middle>());
    if (slot.compare_exchange_strong(middle, fresh.get(), std::memory_order_acq_rel)) middle = fresh.leak();
  }
  std::atomic<Chunk*>& place = middle->chunks[(address >> kChunkShift) & 511];
  Chunk* result = place.load(std::memory_order_acquire);
  if (result == nullptr) {
    Own<Chunk> fresh = TRY(make_own<Chunk>());
    if (place.compare_exchange_strong(result, fresh.get(), std::memory_order_acq_rel)) result = fresh.leak();
  }
  return result;
}

Result<> PageMap::ensure_chunks(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t at = begin; at < end; at = round_down(at, 1 << kChunkShift) + (1 << kChunkShift)) TRY(ensure_chunk(at));
  return {};
}

PageState PageMap::state(std::uint64_t page) const {
  const Chunk* at = chunk(page);
  if (at == nullptr) return PageState();
  const std::uint64_t index = (page >> kPageShift) & 511;
  return PageState(static_cast<std::uint8_t>(at->words[index / 8].load(std::memory_order_acquire) >> (index % 8 * 8)));
}

// Only the owner of the page changes its byte; neighbours in the word may belong to others.
void PageMap::set(std::uint64_t page, std::uint8_t bits) {
  Chunk* at = chunk(page);
  KASSERT(at != nullptr);
  const std::uint64_t index = (page >> kPageShift) & 511;
  const std::uint64_t shift = index % 8 * 8;
  std::atomic<std::uint64_t>& word = at->words[index / 8];
  const auto old = static_cast<std::uint8_t>(word.load(std::memory_order_relaxed) >> shift);
  if (((old ^ bits) & PageState::kKept) != 0)
    kept_.fetch_add((bits & PageState::kKept) != 0 ? 1 : ~std::uint64_t{0}, std::memory_order_relaxed);
  word.fetch_xor(std::uint64_t{static_cast<std::uint8_t>(old ^ bits)} << shift, std::memory_order_acq_rel);
}

std::uint64_t PageMap::find(std::uint64_t begin, std::uint64_t end, bool has_content) const {
  for (std::uint64_t at = begin; at < end;) {
    const Chunk* here = chunk(at);
    if (here == nullptr) {
      if (!has_content) return at;
      at = round_down(at, 1 << kChunkShift) + (1 << kChunkShift);
      continue;
    }
    const std::uint64_t index = (at >> kPageShift) & 511;
    std::uint64_t bits = content_bits(here->words[index / 8].load(std::memory_order_acquire));
    if (!has_content) bits ^= kEach;
    bits &= ~std::uint64_t{0} << (index % 8 * 8);
    const std::uint64_t word_start = round_down(at, 8 * kPageSize);
    if (bits != 0) return std::min(end, word_start + (static_cast<std::uint64_t>(std::countr_zero(bits)) / 8 << kPageShift));
    at = word_start + 8 * kPageSize;
  }
  return end;
}

std::uint64_t PageMap::count(std::uint64_t begin, std::uint64_t end) const {
  std::uint64_t pages = 0;
  for (std::uint64_t at = begin; at < end;) {
    const Chunk* here = chunk(at);
    if (here == nullptr) {
      at = round_down(at, 1 << kChunkShift) + (1 << kChunkShift);
      continue;
    }
    const std::uint64_t index = (at >> kPageShift) & 511;
    const std::uint64_t word_start = round_down(at, 8 * kPageSize);
    std::uint64_t bits = content_bits(here->words[index / 8].load(std::memory_order_acquire));
    bits &= ~std::uint64_t{0} << (index % 8 * 8);
    if (word_start + 8 * kPageSize > end) bits &= ~(~std::uint64_t{0} << (((end - word_start) >> kPageShift) * 8));
    pages += static_cast<std::uint64_t>(__builtin_popcountll(bits));
    at = word_start + 8 * kPageSize;
  }
  return pages;
}

Result<> PageMap::charge(std::uint64_t pages) {
  std::uint64_t seen = committed_.load(std::memory_order_relaxed);
  while (true) {
    if (edmm_ && pages > limit_ - std::min(seen, limit_)) {
      // Pages that are committed but belong to nobody go first.
      if (!reclaim_cached_pages(pages)) return Errno::nomem;
      seen = committed_.load(std::memory_order_relaxed);
      continue;
    }
    if (committed_.compare_exchange_weak(seen, seen + pages, std::memory_order_relaxed)) return {};
  }
}

// Adds a run of absent pages: pending afterwards.
Result<> PageMap::augment(std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t pages = (end - begin) >> kPageShift;
  TRY(ensure_chunks(begin, end));
  TRY(charge(pages));
  if (const auto added = host::augment(begin, end - begin); !added.ok()) {
    // Whatever the host added nevertheless it will add again: that has no effect on a page that is there.
    committed_.fetch_sub(pages, std::memory_order_relaxed);
    return added.error();
  }
  for (std::uint64_t page = begin; page < end; page += kPageSize) set(page, PageState::kPending);
  return {};
}

Result<> PageMap::prepare(std::uint64_t begin, std::uint64_t end) {
  if (!edmm_) {
    TRY(ensure_chunks(begin, end));
    return {};
  }
  for (std::uint64_t at = find(begin, end, false); at < end;) {
    const std::uint64_t stop = find(at, end, true);
    TRY(augment(at, stop));
    at = find(stop, end, false);
  }
  return {};
}

Result<> PageMap::accept_one_zero(std::uint64_t page, std::uint32_t permissions) {
  if ((permissions & frame::kPageWrite) == 0) return frame::accept_copy(page, kZeroPage, permissions);
  TRY(frame::accept_pending(page));
  if (permissions != kReadWrite) TRY(frame::extend_permissions(page, permissions));
  return {};
}

Result<> PageMap::commit_zero(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions) {
  KASSERT((permissions & frame::kPageRead) != 0);
  TRY(prepare(begin, end));
  for (std::uint64_t page = begin; page < end; page += kPageSize) {
    if (state(page).present()) continue;
    if (edmm_) {
      TRY(accept_one_zero(page, permissions));
      set(page, static_cast<std::uint8_t>(PageState::kPresent | permissions));
    } else {
      frame::zero_pages(page, kPageSize);
      set(page, static_cast<std::uint8_t>(PageState::kPresent | kAllPermissions));
      committed_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return {};
}

Result<> PageMap::commit_copy(std::uint64_t page, ConstPageView content, std::uint32_t permissions) {
  KASSERT((permissions & frame::kPageRead) != 0);
  TRY(prepare(page, page + kPageSize));
  KASSERT(!state(page).present());
  if (edmm_) {
    TRY(frame::accept_copy(page, content, permissions));
    set(page, static_cast<std::uint8_t>(PageState::kPresent | permissions));
  } else {
    copy_bytes(frame::page_bytes(page, kPageSize), content);
    set(page, static_cast<std::uint8_t>(PageState::kPresent | kAllPermissions));
    committed_.fetch_add(1, std::memory_order_relaxed);
  }
  return {};
}

Result<> PageMap::add_permissions(std::uint64_t page, std::uint32_t permissions) {
  const PageState now = state(page);
  KASSERT(now.present());
  const std::uint32_t wanted = now.permissions() | permissions;
  if (wanted == now.permissions()) return {};
  TRY(frame::extend_permissions(page, wanted));
  set(page, static_cast<std::uint8_t>(now.bits() | permissions));
  return {};
}

Result<> PageMap::restrict_run(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions) {
  TRY(host::restrict_permissions(begin, end - begin, permissions));
  for (std::uint64_t page = begin; page < end; page += kPageSize) {
    TRY(frame::accept_restricted(page, permissions));
    set(page, static_cast<std::uint8_t>((state(page).bits() & ~PageState::kPermissions) | permissions));
  }
  return {};
}

Result<> PageMap::set_permissions(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions) {
  if (!edmm_) return {};
  std::uint64_t run = end;  // start of the pages to restrict, `end` = none yet
  for (std::uint64_t page = find(begin, end, true); page < end; page += kPageSize) {
    const PageState now = state(page);
    bool restricts = false;
    if (now.present()) {
      TRY(add_permissions(page, permissions));
      restricts = (now.permissions() & ~permissions) != 0;
    }
    if (restricts && run == end) run = page;
    if (!restricts && run != end) {
      TRY(restrict_run(run, page, permissions));
      run = end;
    }
    if (!now.present() && !now.pending()) page = find(page, end, true) - kPageSize;
  }
  if (run != end) TRY(restrict_run(run, end, permissions));
  return {};
}

Result<> PageMap::release(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t at = find(begin, end, true); at < end;) {
    const std::uint64_t stop = find(at, end, false);
    if (edmm_) {
      // A pending page cannot be trimmed (SDM, EMODT): accept it first.
      for (std::uint64_t page = at; page < stop; page += kPageSize) {
        if (!state(page).pending()) continue;
        TRY(frame::accept_pending(page));
        set(page, static_cast<std::uint8_t>(PageState::kPresent | kReadWrite));
      }
      TRY(host::trim(at, stop - at));
      for (std::uint64_t page = at; page < stop; page += kPageSize) TRY(frame::accept_trimmed(page));
      TRY(host::remove(at, stop - at));
    }
    for (std::uint64_t page = at; page < stop; page += kPageSize) set(page, 0);
    committed_.fetch_sub((stop - at) >> kPageShift, std::memory_order_relaxed);
    at = find(stop, end, true);
  }
  return {};
}

void PageMap::zero(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t at = find(begin, end, true); at < end;) {
    const std::uint64_t stop = find(at, end, false);
    for (std::uint64_t page = at; page < stop;) {
      std::uint64_t last = page;
      while (last < stop && state(last).present()) last += kPageSize;
      if (last != page) frame::zero_pages(page, last - page);
      page = last + kPageSize;  // over a pending page, which is zero
    }
    at = find(stop, end, true);
  }
}

void PageMap::mark(std::uint64_t page, std::uint8_t flag, bool on) {
  const std::uint8_t bits = state(page).bits();
  set(page, static_cast<std::uint8_t>(on ? bits | flag : bits & ~flag));
}

}  // namespace kernel::mm
