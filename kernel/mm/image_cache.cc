#include "kernel/mm/image_cache.h"

#include <algorithm>
#include <atomic>

#include "kernel/frame/bytes.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/page_buffer.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/user_memory.h"
#include "kernel/sync/lock.h"

namespace kernel {
namespace {

constexpr std::uint64_t kImagePages = (std::uint64_t{192} << 20) >> kPageShift;
constexpr std::size_t kImages = 96;

using ImageList = List<MappedImage, ImageCacheTag>;

struct ImageCache {
  SpinLock<LockRank::page_cache> lock;
  ImageList images GUARDED_BY(lock);  // most recently used first; the list holds a reference to each
  std::size_t count GUARDED_BY(lock) = 0;
  std::atomic<std::uint64_t> pages{0};
};
// Made at the first use and never destroyed.
ImageCache& cache() {
  static constinit std::atomic<ImageCache*> instance{nullptr};
  ImageCache* self = instance.load(std::memory_order_acquire);
  if (self != nullptr) return *self;
  auto made = make_own<ImageCache>();
  KASSERT(made.ok());  // boot: there is memory
  Own<ImageCache> fresh = std::move(made).release();
  if (instance.compare_exchange_strong(self, fresh.get(), std::memory_order_acq_rel)) self = fresh.leak();
  return *self;
}

void free_area(Area& area) {
  const Own<Area> last = Own<Area>::adopt(&area, {.size = sizeof(Area), .align = alignof(Area)});
}

}  // namespace

MappedImage::~MappedImage() {
  while (Area* part = take_part()) {
    mm::give_range(part->begin, part->size(), 0, part->kind != AreaKind::stub);
    free_area(*part);
  }
}

std::uint64_t MappedImage::resident_pages() const {
  std::uint64_t pages = 0;
  for (const Area* part = parts_; part != nullptr; part = part->next_dead) pages += mm::page_map().count(part->begin, part->end);
  return pages;
}

Result<> MappedImage::restore() {
  mm::PageMap& pages = mm::page_map();
  constexpr std::uint32_t kReadWrite = frame::kPageRead | frame::kPageWrite;
  mm::PageBuffer buffer;
  bool have_buffer = false;
  for (Area* part = parts_; part != nullptr; part = part->next_dead) {
    const bool zeroes = part->kind == AreaKind::anonymous || part->zero_filled;
    if (!zeroes && (part->kind != AreaKind::file || !part->was_writable)) continue;
    for (std::uint64_t page = pages.find(part->begin, part->end, true); page < part->end; page = pages.find(page + kPageSize, part->end, true)) {
      if (!pages.state(page).present()) continue;
      TRY(pages.add_permissions(page, kReadWrite));
      if (zeroes) {
        pages.zero(page, page + kPageSize);
        continue;
      }
      if (!have_buffer) buffer = TRY(mm::PageBuffer::make(1));
      have_buffer = true;
      TRY(file_->read_page(part->offset_of(page) >> kPageShift, buffer.page(0)));
      copy_bytes(frame::page_bytes(page, kPageSize), buffer.page(0));
    }
  }
  return {};
}

namespace mm {

RefPtr<MappedImage> take_image(const FileBacking& file, std::uint64_t offset, std::uint64_t size, std::uint64_t address) {
  ImageCache& self = cache();
  const LockGuard guard(self.lock);
  for (MappedImage* image = self.images.front(); image != nullptr; image = self.images.next(*image)) {
    if (image->file().get() != &file || image->offset() != offset || image->end() - image->begin() != size) continue;
    if (address != 0 && image->begin() != address) continue;
    ImageList::remove(*image);
    --self.count;
    self.pages.fetch_sub(image->resident_pages(), std::memory_order_relaxed);
    return Ref<MappedImage>::adopt(*image);
  }
  return nullptr;
}

void keep_image(Ref<MappedImage> image) {
  ImageCache& self = cache();
  bool too_many = false;
  {
    const LockGuard guard(self.lock);
    image->ref();  // the list's
    self.images.push_front(*image);
    ++self.count;
    self.pages.fetch_add(image->resident_pages(), std::memory_order_relaxed);
    too_many = self.count > kImages;
  }
  const std::uint64_t limit = std::min(kImagePages, page_map().limit() / 4);
  while (too_many || image_pages() > limit) {
    if (!evict_image(0, 0)) return;
    const LockGuard guard(self.lock);
    too_many = self.count > kImages;
  }
}

bool evict_image(std::uint64_t begin, std::uint64_t end) {
  ImageCache& self = cache();
  RefPtr<MappedImage> image;
  {
    const LockGuard guard(self.lock);
    MappedImage* found = self.images.back();
    if (end != 0)
      for (found = self.images.front(); found != nullptr && (found->end() <= begin || found->begin() >= end);) found = self.images.next(*found);
    if (found == nullptr) return false;
    ImageList::remove(*found);
    --self.count;
    self.pages.fetch_sub(found->resident_pages(), std::memory_order_relaxed);
    image = Ref<MappedImage>::adopt(*found);
  }
  return true;  // its pages and addresses are given back as the reference goes
}

std::uint64_t image_pages() { return cache().pages.load(std::memory_order_relaxed); }

}  // namespace mm
}  // namespace kernel
