// Address ranges that more than one address space has, or had: who looks at an address first asks here whether it is its own alone.
#ifndef KERNEL_MM_CONTENDED_H
#define KERNEL_MM_CONTENDED_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/tree.h"

namespace kernel {

struct ContendedRange : TreeNode<ContendedRange> {
  std::uint64_t begin = 0, end = 0;
  std::uint32_t holders = 0;  // address spaces that have all of it; 1: contended no longer
  bool is_mixed = false;      // a holder was set aside or has gone: what is in place need not be the next one's
  std::uint64_t content = 0;  // Area::mapping whose unwritten pages lie in place, 0 = not known
  std::uint32_t content_prot = 0;  // and the protection they have at most
};

// Ordered by address, without overlaps. All under overlap_lock (mm/overlap.h).
class ContendedRanges {
 public:
  // The range that contains the address or is the first behind it.
  ContendedRange* from(std::uint64_t address) const;
  static ContendedRange* next(const ContendedRange& range) { return RangeTree::next(range); }
  bool empty() const { return tree_.empty(); }
  std::size_t size() const { return tree_.size(); }
  // Makes ranges for all of [begin, end): what has none yet gets one with a single holder. Ranges are cut at both ends. ENOMEM.
  Result<> cover(std::uint64_t begin, std::uint64_t end);
  // Cuts the range that contains `address`, so that one starts there. ENOMEM.
  Result<> cut(std::uint64_t address);
  void remove(ContendedRange& range);

 private:
  struct Traits {
    static std::uint64_t key(const ContendedRange& range) { return range.begin; }
    static void update(ContendedRange&, const ContendedRange*, const ContendedRange*) {}
  };
  using RangeTree = Tree<ContendedRange, Traits>;
  RangeTree tree_;
};

}  // namespace kernel
#endif  // KERNEL_MM_CONTENDED_H
