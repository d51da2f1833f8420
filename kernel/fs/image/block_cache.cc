#include "kernel/fs/image/block_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernel/frame/bytes.h"

namespace kernel {

Result<Own<BlockCache>> BlockCache::create(Own<VerityImage> image, std::size_t capacity) {
  Own<BlockCache> cache = TRY(make_own<BlockCache>(std::move(image), capacity));
  Vec<Own<Shelf>> shelves;
  TRY(shelves.try_resize(std::bit_ceil(std::max<std::size_t>(capacity / kShelfSize, 1))));
  const LockGuard guard(cache->lock_);
  cache->shelves_ = std::move(shelves);
  return cache;
}

BlockCache::~BlockCache() { shrink(); }

Own<BlockCache::Entry>* BlockCache::bucket_locked(std::uint64_t block) {
  Shelf* shelf = shelves_[block / kShelfSize & (shelves_.size() - 1)].get();
  return shelf != nullptr ? &shelf->buckets[block % kShelfSize] : nullptr;
}

Result<> BlockCache::make_shelf(std::uint64_t block) {
  {
    const LockGuard guard(lock_);
    if (bucket_locked(block) != nullptr) return {};
  }
  Own<Shelf> fresh = TRY(make_own<Shelf>());
  const LockGuard guard(lock_);
  if (bucket_locked(block) == nullptr) std::swap(shelves_[block / kShelfSize & (shelves_.size() - 1)], fresh);
  return {};
}

BlockCache::Entry* BlockCache::find_locked(std::uint64_t block) {
  const Own<Entry>* bucket = bucket_locked(block);
  Entry* entry = bucket != nullptr ? bucket->get() : nullptr;
  while (entry != nullptr && entry->number != block) entry = entry->next.get();
  return entry;
}

Own<BlockCache::Entry> BlockCache::take_locked(Entry& entry) {
  Own<Entry>* link = bucket_locked(entry.number);
  while (link->get() != &entry) link = &(*link)->next;
  Own<Entry> taken = std::move(*link);
  *link = std::move(taken->next);
  taken->unlink();
  --count_;
  return taken;
}

void BlockCache::keep(std::uint64_t block, const Ref<CachedPage>& page) {
  Result<Own<Entry>> fresh = make_own<Entry>(block, page);
  if (!fresh.ok() || !make_shelf(block).ok()) return;  // not kept: only slower
  Own<Entry> entry = std::move(fresh).release();
  Own<Entry> victim;  // dropped after the lock
  const LockGuard guard(lock_);
  if (find_locked(block) != nullptr) return;
  for (std::size_t looked = 0; count_ >= capacity_ && looked < 16 && !victim; ++looked) {
    Entry* oldest = lru_.front();
    if (oldest == nullptr) break;
    if (oldest->referenced && looked < 15) {
      oldest->referenced = false;
      oldest->unlink();
      lru_.push_back(*oldest);
      continue;
    }
    victim = take_locked(*oldest);
  }
  lru_.push_back(*entry);
  ++count_;
  Own<Entry>& bucket = *bucket_locked(block);
  entry->next = std::move(bucket);
  bucket = std::move(entry);
}

Result<Ref<CachedPage>> BlockCache::get(std::uint64_t block, std::size_t ahead) {
  std::size_t run = 1;
  {
    const LockGuard guard(lock_);
    if (Entry* entry = find_locked(block)) {
      entry->referenced = true;
      return entry->page;
    }
    const std::uint64_t left = block < image_->block_count() ? image_->block_count() - block : 1;
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>({ahead, kRun, left, std::max<std::size_t>(capacity_ / 4, 1)}));
    while (run < most && find_locked(block + run) == nullptr) ++run;
  }
  std::array<RefPtr<CachedPage>, kRun> pages;
  for (std::size_t i = 0; i < run; ++i) {
    Result<Ref<CachedPage>> page = make_page(false);
    if (!page.ok()) {
      if (i == 0) return page.error();
      run = i;
      break;
    }
    pages[i] = std::move(page).release();
  }
  Vec<PageView> views;
  TRY(views.try_reserve(run));
  for (std::size_t i = 0; i < run; ++i) {
    const auto page = pages[i].as_ref();
    TRY(views.try_push(page->bytes()));
  }
  Result<> read = image_->read(block, views.span());
  if (!read.ok() && run > 1) {
    // The damage may lie in what was read ahead only.
    run = 1;
    read = image_->read(block, views.span().first(1));
  }
  TRY(read);
  for (std::size_t i = 0; i < run; ++i) keep(block + i, pages[i].as_ref());
  return pages[0].as_ref();
}

Result<> BlockCache::read_uncached(std::uint64_t block, PageView into) {
  RefPtr<CachedPage> page;
  {
    const LockGuard guard(lock_);
    if (const Entry* entry = find_locked(block)) page = entry->page;
  }
  if (page) {
    copy_bytes(into, page->bytes());
    return {};
  }
  const std::array<PageView, 1> views{into};
  return image_->read(block, views);
}

void BlockCache::shrink() {
  for (;;) {
    Own<Entry> victim;
    const LockGuard guard(lock_);
    Entry* oldest = lru_.front();
    if (oldest == nullptr) return;
    victim = take_locked(*oldest);
  }
}

}  // namespace kernel
