// State of every page of the user window, and the steps that change it: the only code that makes pages appear and disappear (design
// section 3, EDMM). A page's state is changed only by who owns its address range (an address space with its lock, a window with its lock,
// the range cache), so that no page is ever accepted twice.
//
// Without EDMM every page is there from the start, RWX: committing means filling it, releasing means forgetting it, and permissions are
// only noted.
#ifndef KERNEL_MM_PAGES_H
#define KERNEL_MM_PAGES_H

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/mm/backing.h"

namespace kernel::mm {

// One byte per page.
class PageState {
 public:
  static constexpr std::uint8_t kPermissions = 7;  // SECINFO R, W, X in the EPCM
  static constexpr std::uint8_t kPresent = 8;      // accepted: belongs to the enclave's program with these permissions
  static constexpr std::uint8_t kPending = 16;     // the host added it, it is not accepted yet
  static constexpr std::uint8_t kDirty = 32;       // a window's page that may differ from the file
  static constexpr std::uint8_t kDiverged = 32;    // a private page that members of a group were found to have different contents of
  static constexpr std::uint8_t kKept = 64;        // was discarded (MADV_DONTNEED) by zeroing it in place
  static constexpr std::uint8_t kVacant = 128;     // holds nobody's content (overlap groups); whoever comes next replaces it or gives it back

  constexpr PageState() = default;
  constexpr explicit PageState(std::uint8_t bits) : bits_(bits) {}
  bool present() const { return (bits_ & kPresent) != 0; }
  bool pending() const { return (bits_ & kPending) != 0; }
  bool dirty() const { return (bits_ & kDirty) != 0; }
  bool kept() const { return (bits_ & kKept) != 0; }
  bool vacant() const { return (bits_ & kVacant) != 0; }
  bool diverged() const { return (bits_ & kDiverged) != 0; }
  std::uint32_t permissions() const { return bits_ & kPermissions; }
  std::uint8_t bits() const { return bits_; }

 private:
  std::uint8_t bits_ = 0;
};

// EPCM permissions for PROT_*: write and execute imply read.
std::uint32_t permissions_for(std::uint32_t prot);

class PageMap {
 public:
  // The window [begin, end); pages below committed_end are present, if edmm is false. limit: pages that may be present or pending.
  Result<> init(std::uint64_t begin, std::uint64_t end, bool edmm, std::uint64_t limit_pages);
  bool has_edmm() const { return edmm_; }

  // Any context.
  PageState state(std::uint64_t page) const;
  // First page in [begin, end) that is present or pending (has_content = true) resp. is neither; `end` if there is none. Fast over gaps.
  std::uint64_t find(std::uint64_t begin, std::uint64_t end, bool has_content) const;
  std::uint64_t count(std::uint64_t begin, std::uint64_t end) const;  // present or pending pages
  std::uint64_t committed() const { return committed_.load(std::memory_order_relaxed); }  // pages, whole window
  std::uint64_t limit() const { return limit_; }
  std::uint64_t kept() const { return kept_.load(std::memory_order_relaxed); }

  // Makes absent pages of the range present with zeros and `permissions`. Present ones stay as they are. ENOMEM, EIO.
  Result<> commit_zero(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions);
  // Gets absent pages of the range ready (pending) for commit_copy, in one call to the host.
  Result<> prepare(std::uint64_t begin, std::uint64_t end);
  // Makes one page that is absent or pending present with this content and permissions, atomically for other threads.
  Result<> commit_copy(std::uint64_t page, ConstPageView content, std::uint32_t permissions);
  // Present pages of the range get exactly these permissions.
  Result<> set_permissions(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions);
  // Adds permissions to one present page.
  Result<> add_permissions(std::uint64_t page, std::uint32_t permissions);
  // Gives the range's pages back to the host. EIO or ENOMEM if the host refuses: then some pages are still there.
  Result<> release(std::uint64_t begin, std::uint64_t end);
  // Writes zeros over the present pages of the range, which must be writable.
  void zero(std::uint64_t begin, std::uint64_t end);
  // Sets or clears kDirty, kDiverged, kKept or kVacant of a present page.
  void mark(std::uint64_t page, std::uint8_t flag, bool on);

 private:
  static constexpr std::uint64_t kChunkShift = 21;   // pages of 2 MiB share a chunk
  static constexpr std::uint64_t kMiddleShift = 30;  // chunks of 1 GiB share a middle table
  static constexpr std::size_t kWords = 64;          // 8 pages each
  struct Chunk {
    std::array<std::atomic<std::uint64_t>, kWords> words{};
  };
  struct Middle {
    std::array<std::atomic<Chunk*>, 512> chunks{};
  };

  Chunk* chunk(std::uint64_t address) const;
  Result<Chunk*> ensure_chunk(std::uint64_t address);
  Result<> ensure_chunks(std::uint64_t begin, std::uint64_t end);
  void set(std::uint64_t page, std::uint8_t bits);
  Result<> charge(std::uint64_t pages);
  Result<> augment(std::uint64_t begin, std::uint64_t end);
  Result<> accept_one_zero(std::uint64_t page, std::uint32_t permissions);
  Result<> restrict_run(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions);

  std::uint64_t begin_ = 0, end_ = 0;
  bool edmm_ = true;
  std::uint64_t limit_ = 0;
  std::atomic<std::uint64_t> committed_{0};
  std::atomic<std::uint64_t> kept_{0};
  Vec<Middle*> top_;  // read and set atomically, never cleared
};

// The page map of the enclave.
PageMap& page_map();

}  // namespace kernel::mm
#endif  // KERNEL_MM_PAGES_H
