#include "kernel/frame/heap_pages.h"

#include <algorithm>
#include <bit>

#include "kernel/base/checked.h"

// SAFETY: (whole file) the range belongs to the heap alone; every page number is below committed_, every list member is the first bytes of
// a free block, and map_ has a byte for each page of the range.
UNSAFE_BUFFERS_BEGIN
namespace kernel::frame {
namespace {
constexpr std::uint8_t kFreeHead = 0x80;  // | order
constexpr std::uint8_t kFreeInside = 0x40;
constexpr std::uint8_t kUsed = 0x01;
}  // namespace

PageRuns::FreeBlock* PageRuns::block_at(std::size_t page) const {
  // SAFETY: the page is committed and free.
  return reinterpret_cast<FreeBlock*>(begin_ + (std::uint64_t{page} << kPageShift));
}

std::size_t PageRuns::page_of(const FreeBlock* block) const {
  // SAFETY: only the number is used.
  return static_cast<std::size_t>((reinterpret_cast<std::uint64_t>(block) - begin_) >> kPageShift);
}

std::uint8_t& PageRuns::state(std::size_t page) const { return map_[page]; }

void PageRuns::mark(std::size_t page, std::size_t pages, std::uint8_t value) {
  for (std::size_t i = 0; i < pages; ++i) map_[page + i] = value;
}

void PageRuns::init(std::uint64_t begin, std::uint64_t committed, std::uint64_t end) {
  KASSERT(is_aligned(begin, 64 * 1024) && begin + committed <= end && committed >= 64 * 1024);
  begin_ = begin;
  committed = round_down(committed, kPageSize);
  limit_ = static_cast<std::size_t>(std::min((end - begin) >> kPageShift, committed / 4));
  limit_ = std::max(limit_, static_cast<std::size_t>(committed >> kPageShift));
  // SAFETY: the map lies in the committed part (its size is at most a quarter of it).
  map_ = reinterpret_cast<std::uint8_t*>(begin);
  committed_.store(static_cast<std::size_t>(committed >> kPageShift), std::memory_order_relaxed);
  const std::size_t map_pages = (limit_ + kPageSize - 1) >> kPageShift;
  mark(0, committed_pages(), kUsed);
  release_pages(map_pages, committed_pages() - map_pages);
}

void PageRuns::extend(std::uint64_t size) {
  const std::size_t first = committed_pages();
  const auto pages = static_cast<std::size_t>(size >> kPageShift);
  KASSERT(first + pages <= limit_);
  mark(first, pages, kUsed);
  committed_.store(first + pages, std::memory_order_release);
  release_pages(first, pages);
}

void PageRuns::push(std::size_t page, unsigned order) {
  FreeBlock* block = block_at(page);
  block->next = lists_[order];
  block->previous = nullptr;
  if (block->next != nullptr) block->next->previous = block;
  lists_[order] = block;
  state(page) = static_cast<std::uint8_t>(kFreeHead | order);
}

void PageRuns::unlink(std::size_t page, unsigned order) {
  FreeBlock* block = block_at(page);
  if (block->previous != nullptr)
    block->previous->next = block->next;
  else
    lists_[order] = block->next;
  if (block->next != nullptr) block->next->previous = block->previous;
  state(page) = kFreeInside;
}

void PageRuns::release_block(std::size_t page, unsigned order) {
  const std::size_t committed = committed_pages();
  while (order + 1 < kOrders) {
    const std::size_t buddy = page ^ (std::size_t{1} << order);
    if (buddy + (std::size_t{1} << order) > committed || state(buddy) != (kFreeHead | order)) break;
    unlink(buddy, order);
    page = std::min(page, buddy);
    ++order;
  }
  push(page, order);
}

// Splits the run into naturally aligned blocks.
void PageRuns::release_pages(std::size_t page, std::size_t pages) {
  mark(page, pages, kFreeInside);
  free_pages_.store(free_pages() + pages, std::memory_order_relaxed);
  while (pages > 0) {
    const auto aligned = static_cast<unsigned>(std::countr_zero(page | (std::size_t{1} << (kOrders - 1))));
    const unsigned order = std::min(aligned, static_cast<unsigned>(std::bit_width(pages)) - 1);
    release_block(page, order);
    page += std::size_t{1} << order;
    pages -= std::size_t{1} << order;
  }
}

std::uint64_t PageRuns::allocate(std::size_t pages) {
  if (pages == 0 || pages > (std::size_t{1} << (kOrders - 1))) return 0;
  const auto wanted = static_cast<unsigned>(std::bit_width(pages - 1));
  unsigned order = wanted;
  while (order < kOrders && lists_[order] == nullptr) ++order;
  if (order == kOrders) return 0;
  const std::size_t page = page_of(lists_[order]);
  KASSERT(page < committed_pages() && state(page) == (kFreeHead | order));
  unlink(page, order);
  const std::size_t block = std::size_t{1} << order;
  mark(page, pages, kUsed);
  free_pages_.store(free_pages() - block, std::memory_order_relaxed);
  if (block > pages) release_pages(page + pages, block - pages);
  return begin_ + (std::uint64_t{page} << kPageShift);
}

void PageRuns::release(std::uint64_t address, std::size_t pages) {
  KASSERT(address >= begin_ && is_aligned(address, kPageSize) && pages > 0);
  const auto page = static_cast<std::size_t>((address - begin_) >> kPageShift);
  KASSERT(page + pages <= committed_pages());
  // Each page of the run must be in use: catches a run that is freed twice.
  for (std::size_t i = 0; i < pages; ++i) KASSERT(state(page + i) == kUsed);
  release_pages(page, pages);
}

}  // namespace kernel::frame
UNSAFE_BUFFERS_END
