// SharedWindow: the one place where the pages of a shared object (a file mapped MAP_SHARED, anonymous shared memory) have addresses, the
// same in every process (design section 6). Page i of the object lies at base() + i * 4096.
//
// Also the functions that keep read(2), write(2) and ftruncate(2) coherent with such mappings; file systems call them while
// FileBacking::has_shared_window().
#ifndef KERNEL_MM_SHARED_H
#define KERNEL_MM_SHARED_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/live_count.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/mm/backing.h"
#include "kernel/sync/lock.h"

namespace kernel {

class SharedWindow final : public RefCounted<SharedWindow> {
 public:
  // The window of `file`, made if there is none, with room for [offset, offset + size). `address`: where a new one shall put `offset`,
  // 0 = anywhere. ENOMEM: also if there is one that is too small or lies elsewhere.
  static Result<Ref<SharedWindow>> of(const Ref<FileBacking>& file, std::uint64_t offset, std::uint64_t size, std::uint64_t address);
  // Fresh anonymous shared memory.
  static Result<Ref<SharedWindow>> make_anonymous(std::uint64_t size, std::uint64_t address);

  SharedWindow(RefPtr<FileBacking> file, std::uint64_t base, std::uint64_t begin, std::uint64_t end);
  ~SharedWindow();

  std::uint64_t id() const { return id_; }
  std::uint64_t base() const { return base_; }
  // Whether the object's bytes [offset, offset + size) have addresses here.
  bool has_room(std::uint64_t offset, std::uint64_t size) const;

  // Makes the page accessible for a mapping with protection `prot`. ENXIO beyond the end of the file, EIO, ENOMEM. No locks held.
  Result<> populate(std::uint64_t page, Access access, std::uint32_t prot) EXCLUDES(lock_);
  // Writes changed pages in [begin, end) (addresses) back to the file. The first error. No locks held.
  Result<> write_back(std::uint64_t begin, std::uint64_t end) EXCLUDES(lock_);
  // Gives pages up: their content is lost (MADV_REMOVE of anonymous shared memory).
  Result<> discard(std::uint64_t begin, std::uint64_t end) EXCLUDES(lock_);
  // Really changes page permissions; only right while no other mapping is affected.
  Result<> restrict_to(std::uint64_t begin, std::uint64_t end, std::uint32_t prot) EXCLUDES(lock_);

  // Areas of all processes that refer to it.
  std::atomic<std::uint32_t> areas{0};
  // One area less. Called with the mutex of the address space.
  void drop_area();
  // Makes it a System V segment: `hook(segment)` is called after each area that goes (with the mutex of its address space; the segment
  // may be gone by then). Once, before the window is mapped.
  using AreaHook = void (*)(std::int32_t segment);
  void set_segment(AreaHook hook, std::int32_t segment) {
    area_hook_ = hook;
    segment_ = segment;
  }
  bool is_segment() const { return area_hook_ != nullptr; }

  bool is_anonymous() const { return !file_; }
  std::uint64_t end() const { return end_; }
  // Bytes of pages that it has.
  std::uint64_t resident() const;

 private:
  [[no_unique_address]] LiveMark<LiveKind::window> live_;
  friend class WindowRegistry;
  friend void read_through_window(FileBacking&, std::uint64_t, std::span<std::byte>);
  friend void write_through_window(FileBacking&, std::uint64_t, std::span<const std::byte>);
  friend void zero_through_window(FileBacking&, std::uint64_t, std::uint64_t);
  friend void truncate_window(FileBacking&, std::uint64_t);
  Result<> populate_present_locked(std::uint64_t page, std::uint32_t permissions, Access access) REQUIRES(lock_);
  Result<> populate_from_file(std::uint64_t page, Access access, std::uint32_t prot) EXCLUDES(lock_);

  const std::uint64_t id_;
  const RefPtr<FileBacking> file_;  // null = anonymous
  const std::uint64_t base_;        // address of offset 0; wraps if only a later part has addresses
  const std::uint64_t begin_, end_;  // addresses owned
  AreaHook area_hook_ = nullptr;
  std::int32_t segment_ = 0;
  Mutex<LockRank::page_population> lock_;
  std::uint64_t version_ GUARDED_BY(lock_) = 0;  // counts changes of the file by other means
};

// The file's bytes [offset, offset + into.size()), which `into` holds as the file system has them: replaced where the window has the page.
void read_through_window(FileBacking& file, std::uint64_t offset, std::span<std::byte> into);
// The file system has just stored these bytes.
void write_through_window(FileBacking& file, std::uint64_t offset, std::span<const std::byte> from);
// The file system has just made the bytes [begin, end) zeros.
void zero_through_window(FileBacking& file, std::uint64_t begin, std::uint64_t end);
// The file has just got this size: pages beyond go, the rest of the last page becomes zero.
void truncate_window(FileBacking& file, std::uint64_t size);
// The file has become shorter: private mappings lose their pages beyond, written ones too (as on Linux). No locks of mm/ held.
void truncate_private(FileBacking& file, std::uint64_t size);

}  // namespace kernel
#endif  // KERNEL_MM_SHARED_H
