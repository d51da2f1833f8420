// The pages of one file: index to page, sparse. Guarded by a spinlock of its own; pages are counted, so that a reader keeps its page while
// the file is truncated.
#ifndef KERNEL_VFS_PAGE_MAP_H
#define KERNEL_VFS_PAGE_MAP_H

#include <array>
#include <cstdint>
#include <optional>

#include "kernel/base/hash_map.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/page.h"

namespace kernel {

class PageMap {
 public:
  PageMap() = default;
  // nullptr = a hole.
  RefPtr<CachedPage> find(std::uint64_t index) const EXCLUDES(lock_);
  // Puts `page` there unless there is one: the page that is there now, and whether it is ours. ENOMEM.
  struct Inserted {
    Ref<CachedPage> page;
    bool fresh;
  };
  Result<Inserted> insert(std::uint64_t index, const Ref<CachedPage>& page) EXCLUDES(lock_);
  // Drops pages [first, last); how many. Takes bounded time per hold of the lock.
  std::uint64_t remove(std::uint64_t first, std::uint64_t last) EXCLUDES(lock_);
  // The lowest present index >= from.
  std::optional<std::uint64_t> next_present(std::uint64_t from) const EXCLUDES(lock_);
  std::uint64_t count() const EXCLUDES(lock_);

 private:
  static constexpr std::uint64_t kLeafPages = 64;
  struct Leaf {
    std::array<RefPtr<CachedPage>, kLeafPages> pages;
    std::uint64_t used = 0;
  };
  const Leaf* leaf_locked(std::uint64_t number) const REQUIRES(lock_);
  Leaf* leaf_locked(std::uint64_t number) REQUIRES(lock_);
  std::optional<std::uint64_t> next_leaf_locked(std::uint64_t from) const REQUIRES(lock_);

  mutable SpinLock<LockRank::page_cache> lock_;
  RefPtr<CachedPage> first_page_ GUARDED_BY(lock_);  // page 0: most files are small
  Own<Leaf> first_leaf_ GUARDED_BY(lock_);           // pages 1..63
  HashMap<std::uint64_t, Own<Leaf>> leaves_ GUARDED_BY(lock_);
  std::uint64_t count_ GUARDED_BY(lock_) = 0;
};

}  // namespace kernel
#endif  // KERNEL_VFS_PAGE_MAP_H
