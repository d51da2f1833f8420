// What stands behind a mapping of a file. Implemented above (vfs inodes derive from it); mm/ only reads and writes whole pages.
#ifndef KERNEL_MM_BACKING_H
#define KERNEL_MM_BACKING_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "host_abi/patch_table.h"
#include "kernel/base/config.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"

namespace kernel {

class SharedWindow;
class WindowRegistry;

using PageView = std::span<std::byte, kPageSize>;
using ConstPageView = std::span<const std::byte, kPageSize>;

// The pages of a file. Two mappings of the same object (same address of this object) map the same file. The methods are called without
// any lock of mm/ held, so they may take inode and page-cache locks and may sleep.
class FileBacking : public RefCounted<FileBacking> {
 public:
  FileBacking() = default;
  virtual ~FileBacking();

  // The content of page `index` now, zero-filled past the end of the file. EIO. Called for pages that begin below size() only.
  virtual Result<> read_page(std::uint64_t index, PageView into) = 0;
  // Bytes. A shared or private page wholly beyond it gives SIGBUS.
  virtual std::uint64_t size() = 0;
  // Stores a page that was changed through a shared mapping; bytes past the end of the file are dropped. EROFS by default.
  virtual Result<> write_page(std::uint64_t /*index*/, ConstPageView /*from*/) { return Errno::rofs; }
  // Patch sites by rising file_offset, for files of the measured image only (design section 5). Stays valid as long as the object.
  virtual std::span<const host_abi::PatchSite> patch_sites() { return {}; }
  // Nobody can change the content while the kernel runs (image files): pages of private mappings that were not written may be
  // dropped and read again, and kept for the next process that maps the same.
  virtual bool is_immutable() const { return false; }
  // st_dev and st_ino, as /proc/PID/maps shows them.
  virtual std::uint64_t device_number() const { return 0; }
  virtual std::uint64_t inode_number() const { return 0; }

  // --- Coherence of read(2), write(2), ftruncate(2) with shared mappings. A shared mapping has pages of its own (no page has two
  // addresses); while a file has one, the file system calls the functions of mm/shared.h. One load when it has none. ---
  bool has_shared_window() const { return window_.load(std::memory_order_acquire) != nullptr; }
  // The file may have private mappings: then truncate_private() is called when it has become shorter.
  bool was_mapped_private() const { return was_mapped_private_.load(std::memory_order_acquire); }
  void note_private_mapping() { was_mapped_private_.store(true, std::memory_order_release); }
  // Counts truncations: what was read before one is not put into a mapping after it.
  std::uint32_t truncations() const { return truncations_.load(std::memory_order_acquire); }
  void note_truncation() { truncations_.fetch_add(1, std::memory_order_acq_rel); }

 private:
  friend class WindowRegistry;
  std::atomic<bool> was_mapped_private_{false};
  std::atomic<std::uint32_t> truncations_{0};
  std::atomic<SharedWindow*> window_{nullptr};  // not counted; the window clears it when it dies (mm/shared.cc has the lock)
};

}  // namespace kernel
#endif  // KERNEL_MM_BACKING_H
