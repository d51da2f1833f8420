// Program images of ended processes, kept with their pages where they are (design section 6, "Fast spawn"): text is read, verified and
// patched once, and the next process that maps the same file takes the whole image over, at the same addresses. Only what was written is
// restored. Images are those mappings of immutable files that were made with MapRequest::image (the kernel's own loader, ld.so).
#ifndef KERNEL_MM_IMAGE_CACHE_H
#define KERNEL_MM_IMAGE_CACHE_H

#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/mm/area.h"

namespace kernel {

struct ImageCacheTag;

// The mapping of one image: its extent, which all areas in it refer to while a process has it, and its areas while nobody has it.
class MappedImage final : public RefCounted<MappedImage>, public ListNode<ImageCacheTag> {
 public:
  MappedImage(Ref<FileBacking> file, std::uint64_t offset, std::uint64_t begin, std::uint64_t size)
      : file_(file), offset_(offset), begin_(begin), end_(begin + size) {}
  ~MappedImage();

  const Ref<FileBacking>& file() const LIFETIMEBOUND { return file_; }
  std::uint64_t offset() const { return offset_; }  // file offset at begin()
  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return end_; }
  std::uint64_t bias() const { return begin_ - offset_; }  // of the first mapping; others may differ

  // --- while it is in nobody's address space; one owner at a time ---
  // Adds an area that was taken out of its tree: a part of the image, or the stubs of one.
  void add_part(Area& area) {
    area.next_dead = parts_;
    parts_ = &area;
  }
  Area* take_part() {
    Area* part = parts_;
    if (part != nullptr) parts_ = part->next_dead;
    return part;
  }
  // Makes written pages what a fresh mapping would show: the file's bytes, zeros in anonymous parts. ENOMEM, EIO.
  Result<> restore();
  std::uint64_t resident_pages() const;

 private:
  const Ref<FileBacking> file_;
  const std::uint64_t offset_, begin_, end_;
  Area* parts_ = nullptr;
};

namespace mm {

// Takes a fitting image out of the cache: the same part of the same file, at `address` if that is not 0. Null if there is none.
RefPtr<MappedImage> take_image(const FileBacking& file, std::uint64_t offset, std::uint64_t size, std::uint64_t address);
// Puts an image with all its parts into the cache; the oldest ones go if there are too many.
void keep_image(Ref<MappedImage> image);
// Gives up the least recently used image, or one that overlaps [begin, end) if end is not 0. False if there is none.
bool evict_image(std::uint64_t begin, std::uint64_t end);
std::uint64_t image_pages();

}  // namespace mm
}  // namespace kernel
#endif  // KERNEL_MM_IMAGE_CACHE_H
