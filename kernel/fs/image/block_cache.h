// Cache of verified image blocks, file content and metadata alike (in EROFS both are whole blocks of the image). Limited; the least
// recently used go first.
#ifndef KERNEL_FS_IMAGE_BLOCK_CACHE_H
#define KERNEL_FS_IMAGE_BLOCK_CACHE_H

#include <array>
#include <cstdint>
#include <span>

#include "kernel/base/list.h"
#include "kernel/base/vec.h"
#include "kernel/fs/image/verity.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/page.h"

namespace kernel {

class BlockCache {
 public:
  static constexpr std::size_t kRun = 16;  // most blocks read at once

  // `capacity` in blocks.
  static Result<Own<BlockCache>> create(Own<VerityImage> image, std::size_t capacity);
  BlockCache(Own<VerityImage> image, std::size_t capacity) : image_(std::move(image)), capacity_(capacity) {}
  ~BlockCache();

  std::uint64_t block_count() const { return image_->block_count(); }
  // The verified block. On a miss up to `ahead` blocks from it on are read and kept (fewer at the end of the image). EIO, EINVAL, ENOMEM.
  Result<Ref<CachedPage>> get(std::uint64_t block, std::size_t ahead = 1) EXCLUDES(lock_);
  // Straight into a page, without keeping the block (mapped pages live elsewhere).
  Result<> read_uncached(std::uint64_t block, PageView into) EXCLUDES(lock_);
  void shrink() EXCLUDES(lock_);  // drops everything

 private:
  struct LruTag;
  struct Entry : ListNode<LruTag> {
    explicit Entry(std::uint64_t block, Ref<CachedPage> cached) : number(block), page(cached) {}
    const std::uint64_t number;
    const Ref<CachedPage> page;
    Own<Entry> next;  // in the bucket
    bool referenced = true;
  };

  // Neighbours in the image are neighbours in the table, and a part of it exists once a block of that part has been kept: the table of a
  // large cache is a megabyte, of which most programs need two pages.
  static constexpr std::size_t kShelfSize = 256;
  struct Shelf {
    std::array<Own<Entry>, kShelfSize> buckets;
  };

  Own<Entry>* bucket_locked(std::uint64_t block) REQUIRES(lock_);  // nullptr: its shelf does not exist
  Result<> make_shelf(std::uint64_t block) EXCLUDES(lock_);
  Entry* find_locked(std::uint64_t block) REQUIRES(lock_);
  Own<Entry> take_locked(Entry& entry) REQUIRES(lock_);
  void keep(std::uint64_t block, const Ref<CachedPage>& page) EXCLUDES(lock_);

  const Own<VerityImage> image_;
  const std::size_t capacity_;
  SpinLock<LockRank::page_cache> lock_;
  Vec<Own<Shelf>> shelves_ GUARDED_BY(lock_);
  List<Entry, LruTag> lru_ GUARDED_BY(lock_);
  std::size_t count_ GUARDED_BY(lock_) = 0;
};

}  // namespace kernel
#endif  // KERNEL_FS_IMAGE_BLOCK_CACHE_H
