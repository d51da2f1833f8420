#include "kernel/mm/ranges.h"

#include <algorithm>

#include "kernel/base/checked.h"

namespace kernel::mm {

RangeAllocator::~RangeAllocator() {
  while (Free* range = free_.first()) drop(*range);
}

void RangeAllocator::drop(Free& range) {
  free_.remove(range);
  const Own<Free> last = Own<Free>::adopt(&range, {.size = sizeof(Free), .align = alignof(Free)});
}

Result<> RangeAllocator::init(std::uint64_t begin, std::uint64_t end, std::uint64_t low_end, std::uint64_t top) {
  KASSERT(free_.empty() && begin < end);
  begin_ = begin;
  end_ = end;
  low_end_ = std::clamp(low_end, begin, end);
  top_ = std::clamp(round_down(top, kPageSize), low_end_, end);
  Own<Free> all = TRY(make_own<Free>());
  all->begin = begin;
  all->end = end;
  free_.insert(*all.leak());
  free_bytes_ = end - begin;
  return {};
}

RangeAllocator::Free* RangeAllocator::containing(std::uint64_t address) const {
  Free* range = free_.floor(address);
  return range != nullptr && address < range->end ? range : nullptr;
}

bool RangeAllocator::is_free(std::uint64_t begin, std::uint64_t size) const {
  const Free* range = containing(begin);
  return range != nullptr && size <= range->end - begin;
}

std::uint64_t RangeAllocator::search(std::uint64_t size, std::uint64_t align, std::uint64_t low, std::uint64_t high) const {
  // Walks free ranges from high to low; whole subtrees without a large enough range are skipped.
  const Free* at = high == 0 ? nullptr : free_.floor(high - 1);
  while (at != nullptr) {
    if (at->end <= low) return 0;
    const std::uint64_t end = std::min(at->end, high);
    const std::uint64_t begin = std::max(at->begin, low);
    if (end > begin && end - begin >= size) {
      const std::uint64_t place = round_down(end - size, align);
      if (place >= begin && place != 0) return place;
    }
    const Free* left = FreeTree::left(*at);
    if (left != nullptr && left->largest >= size) {
      at = left;
      for (const Free* right = FreeTree::right(*at); right != nullptr && right->largest >= size; right = FreeTree::right(*at)) at = right;
      continue;
    }
    // The next lower range that is not below `at`: an ancestor.
    const Free* before = FreeTree::previous(*at);
    while (before != nullptr && before->largest < size) {
      // Its whole subtree is too small; what lies before that subtree comes next.
      const Free* lowest = before;
      while (FreeTree::left(*lowest) != nullptr) lowest = FreeTree::left(*lowest);
      before = FreeTree::previous(*lowest);
    }
    at = before;
  }
  return 0;
}

Result<> RangeAllocator::take(std::uint64_t begin, std::uint64_t size) {
  Free* range = containing(begin);
  if (range == nullptr || size > range->end - begin) return Errno::nomem;
  const std::uint64_t end = begin + size;
  if (begin == range->begin && end == range->end) {
    drop(*range);
  } else if (end == range->end) {
    range->end = begin;
    free_.refresh(*range);
  } else if (begin == range->begin) {
    // The key changes, but not the order.
    range->begin = end;
    free_.refresh(*range);
  } else {
    Own<Free> upper = TRY(make_own<Free>());
    upper->begin = end;
    upper->end = range->end;
    range->end = begin;
    free_.refresh(*range);
    free_.insert(*upper.leak());
  }
  free_bytes_ -= size;
  return {};
}

Result<std::uint64_t> RangeAllocator::allocate(std::uint64_t size, std::uint64_t align) {
  KASSERT(size != 0 && is_aligned(size, kPageSize) && align >= kPageSize);
  std::uint64_t place = search(size, align, low_end_, top_);
  if (place == 0) place = search(size, align, low_end_, end_);
  if (place == 0) place = search(size, align, begin_, end_);
  if (place == 0) return Errno::nomem;
  TRY(take(place, size));
  return place;
}

Result<std::uint64_t> RangeAllocator::allocate_near(std::uint64_t size, std::uint64_t around, std::uint64_t around_end, std::uint64_t distance) {
  const std::uint64_t low = around_end > distance ? std::max(begin_, round_up(around_end - distance, kPageSize)) : begin_;
  const std::uint64_t high = std::min(end_, round_down(around + std::min(distance, end_ - around), kPageSize));
  std::uint64_t place = search(size, kPageSize, low, std::min(around, high));
  if (place == 0) place = search(size, kPageSize, low, high);
  if (place == 0) return Errno::nomem;
  TRY(take(place, size));
  return place;
}

Result<> RangeAllocator::claim(std::uint64_t begin, std::uint64_t size) { return take(begin, size); }

void RangeAllocator::release(std::uint64_t begin, std::uint64_t size) {
  const std::uint64_t end = begin + size;
  Free* below = free_.floor(begin);
  Free* above = free_.ceiling(begin);
  KASSERT(below == nullptr || below->end <= begin);
  KASSERT(above == nullptr || end <= above->begin);
  const bool joins_below = below != nullptr && below->end == begin;
  const bool joins_above = above != nullptr && above->begin == end;
  if (joins_below) {
    below->end = joins_above ? above->end : end;
    if (joins_above) drop(*above);
    free_.refresh(*below);
  } else if (joins_above) {
    above->begin = begin;
    free_.refresh(*above);
  } else {
    auto made = make_own<Free>();
    if (!made.ok()) return;
    Own<Free> fresh = std::move(made).release();
    fresh->begin = begin;
    fresh->end = end;
    free_.insert(*fresh.leak());
  }
  free_bytes_ += size;
}

}  // namespace kernel::mm
