#include "kernel/vfs/page_map.h"

#include <algorithm>

namespace kernel {

const PageMap::Leaf* PageMap::leaf_locked(std::uint64_t number) const {
  if (number == 0) return first_leaf_.get();
  const Own<Leaf>* leaf = leaves_.find(number);
  return leaf == nullptr ? nullptr : leaf->get();
}

PageMap::Leaf* PageMap::leaf_locked(std::uint64_t number) {
  if (number == 0) return first_leaf_.get();
  Own<Leaf>* leaf = leaves_.find(number);
  return leaf == nullptr ? nullptr : leaf->get();
}

RefPtr<CachedPage> PageMap::find(std::uint64_t index) const {
  const LockGuard guard(lock_);
  if (index == 0) return first_page_;
  const Leaf* leaf = leaf_locked(index / kLeafPages);
  if (leaf == nullptr) return nullptr;
  return leaf->pages[index % kLeafPages];
}

Result<PageMap::Inserted> PageMap::insert(std::uint64_t index, const Ref<CachedPage>& page) {
  const std::uint64_t number = index / kLeafPages;
  Own<Leaf> spare;
  for (;;) {
    {
      const LockGuard guard(lock_);
      RefPtr<CachedPage>* slot = index == 0 ? &first_page_ : nullptr;
      Leaf* leaf = nullptr;
      if (slot == nullptr) {
        leaf = leaf_locked(number);
        if (leaf == nullptr && spare) {
          leaf = spare.get();
          if (number == 0)
            first_leaf_ = std::move(spare);
          else
            TRY(leaves_.try_insert(number, std::move(spare)));
        }
        if (leaf != nullptr) slot = &leaf->pages[index % kLeafPages];
      }
      if (slot != nullptr) {
        if (*slot) return Inserted{.page = slot->as_ref(), .fresh = false};
        *slot = page;
        if (leaf != nullptr) ++leaf->used;
        ++count_;
        return Inserted{.page = page, .fresh = true};
      }
    }
    spare = TRY(make_own<Leaf>());
  }
}

std::optional<std::uint64_t> PageMap::next_leaf_locked(std::uint64_t from) const {
  if (from == 0 && first_leaf_) return 0;
  std::optional<std::uint64_t> best;
  if (leaf_locked(from) != nullptr) return from;
  leaves_.for_each([&](std::uint64_t number, const Own<Leaf>&) {
    if (number >= from && (!best || number < *best)) best = number;
  });
  return best;
}

std::uint64_t PageMap::remove(std::uint64_t first, std::uint64_t last) {
  std::uint64_t removed = 0;
  while (first < last) {
    // One leaf per hold of the lock; its pages are freed afterwards.
    std::array<RefPtr<CachedPage>, kLeafPages> dropped;
    Own<Leaf> empty;
    std::size_t taken = 0;
    const LockGuard guard(lock_);
    if (first == 0) {
      if (first_page_) {
        dropped[taken++] = std::move(first_page_);
        --count_;
        ++removed;
      }
      first = 1;
      if (taken != 0) continue;
    }
    const std::optional<std::uint64_t> number = next_leaf_locked(first / kLeafPages);
    if (!number) break;
    first = std::max(first, *number * kLeafPages);
    Leaf& leaf = *leaf_locked(*number);
    for (; first < last && first / kLeafPages == *number; ++first) {
      RefPtr<CachedPage>& page = leaf.pages[first % kLeafPages];
      if (!page) continue;
      dropped[taken++] = std::move(page);
      --leaf.used;
      --count_;
      ++removed;
    }
    if (leaf.used != 0) continue;
    if (*number == 0)
      std::swap(empty, first_leaf_);
    else if (std::optional<Own<Leaf>> gone = leaves_.take(*number))
      empty = std::move(*gone);
  }
  return removed;
}

std::optional<std::uint64_t> PageMap::next_present(std::uint64_t from) const {
  const LockGuard guard(lock_);
  if (from == 0 && first_page_) return 0;
  for (std::uint64_t number = from / kLeafPages;; ++number) {
    const std::optional<std::uint64_t> found = next_leaf_locked(number);
    if (!found) return std::nullopt;
    number = *found;
    const Leaf& leaf = *leaf_locked(number);
    for (std::uint64_t index = std::max(from, number * kLeafPages); index / kLeafPages == number; ++index)
      if (leaf.pages[index % kLeafPages]) return index;
  }
}

std::uint64_t PageMap::count() const {
  const LockGuard guard(lock_);
  return count_;
}

}  // namespace kernel
