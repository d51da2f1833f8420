// Address ranges: which addresses of the user window are free. Addresses only; pages are in mm/pages.h. Not synchronised: the owner
// (mm/user_memory.cc) has the lock.
#ifndef KERNEL_MM_RANGES_H
#define KERNEL_MM_RANGES_H

#include <cstdint>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/tree.h"

namespace kernel::mm {

class RangeAllocator {
 public:
  RangeAllocator() = default;
  ~RangeAllocator();
  // Free at first: [begin, end). Addresses below `low_end` are given out only when asked for (fixed placements) or when nothing else is
  // left: programs linked to fixed addresses live there. Placement goes downwards from `top`, above it only when nothing below fits.
  Result<> init(std::uint64_t begin, std::uint64_t end, std::uint64_t low_end, std::uint64_t top);

  // `size` bytes (a multiple of the page size) at a multiple of `align`. The highest place that fits. ENOMEM.
  Result<std::uint64_t> allocate(std::uint64_t size, std::uint64_t align);
  // `size` bytes such that all of them are within `distance` of every byte of [around, around_end). ENOMEM.
  Result<std::uint64_t> allocate_near(std::uint64_t size, std::uint64_t around, std::uint64_t around_end, std::uint64_t distance);
  // Exactly these. ENOMEM if one of them is taken.
  Result<> claim(std::uint64_t begin, std::uint64_t size);
  // Free again. The range was allocated. If there is no memory to note it the addresses are lost (never handed out again).
  void release(std::uint64_t begin, std::uint64_t size);

  bool is_free(std::uint64_t begin, std::uint64_t size) const;
  std::uint64_t free_bytes() const { return free_bytes_; }

 private:
  struct Free : TreeNode<Free> {
    std::uint64_t begin = 0, end = 0;
    std::uint64_t largest = 0;  // size of the largest range in this subtree
  };
  struct Traits {
    static std::uint64_t key(const Free& range) { return range.begin; }
    static void update(Free& range, const Free* left, const Free* right) {
      range.largest = range.end - range.begin;
      if (left != nullptr && left->largest > range.largest) range.largest = left->largest;
      if (right != nullptr && right->largest > range.largest) range.largest = right->largest;
    }
  };
  using FreeTree = Tree<Free, Traits>;

  // The highest address in [low, high - size] that is aligned and free for `size` bytes; 0 = none.
  std::uint64_t search(std::uint64_t size, std::uint64_t align, std::uint64_t low, std::uint64_t high) const;
  Free* containing(std::uint64_t address) const;
  Result<> take(std::uint64_t begin, std::uint64_t size);
  void drop(Free& range);

  FreeTree free_;
  std::uint64_t begin_ = 0, end_ = 0, low_end_ = 0, top_ = 0;
  std::uint64_t free_bytes_ = 0;
};

}  // namespace kernel::mm
#endif  // KERNEL_MM_RANGES_H
