#include "kernel/mm/contended.h"

#include <algorithm>

#include "kernel/base/ref.h"

namespace kernel {

ContendedRange* ContendedRanges::from(std::uint64_t address) const {
  ContendedRange* range = tree_.floor(address);
  if (range != nullptr && address < range->end) return range;
  return range != nullptr ? RangeTree::next(*range) : tree_.first();
}

Result<> ContendedRanges::cut(std::uint64_t address) {
  ContendedRange* range = from(address);
  if (range == nullptr || range->begin >= address) return {};
  Own<ContendedRange> upper = TRY(make_own<ContendedRange>());
  upper->begin = address;
  upper->end = range->end;
  upper->holders = range->holders;
  upper->is_mixed = range->is_mixed;
  upper->content = range->content;
  upper->content_prot = range->content_prot;
  range->end = address;
  tree_.insert(*upper.leak());
  return {};
}

Result<> ContendedRanges::cover(std::uint64_t begin, std::uint64_t end) {
  TRY(cut(begin));
  TRY(cut(end));
  for (std::uint64_t at = begin; at < end;) {
    const ContendedRange* there = from(at);
    if (there != nullptr && there->begin == at) {
      at = there->end;
      continue;
    }
    Own<ContendedRange> fresh = TRY(make_own<ContendedRange>());
    fresh->begin = at;
    fresh->end = there == nullptr ? end : std::min(end, there->begin);
    fresh->holders = 1;
    at = fresh->end;
    tree_.insert(*fresh.leak());
  }
  return {};
}

void ContendedRanges::remove(ContendedRange& range) {
  tree_.remove(range);
  const Own<ContendedRange> gone = Own<ContendedRange>::adopt(&range, {.size = sizeof(ContendedRange), .align = alignof(ContendedRange)});
}

}  // namespace kernel
