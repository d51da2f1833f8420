// Area: a run of pages of one process with one protection and one backing. And what areas refer to.
#ifndef KERNEL_MM_AREA_H
#define KERNEL_MM_AREA_H

#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/string.h"
#include "kernel/base/tree.h"
#include "kernel/mm/backing.h"

namespace kernel {

class MappedImage;
class PatchSet;
class SharedWindow;

// PROT_* of mmap(2).
inline constexpr std::uint32_t kProtRead = 1, kProtWrite = 2, kProtExec = 4, kProtAll = 7;

enum class Placement : std::uint8_t {
  anywhere,         // `address` is a hint
  fixed,            // MAP_FIXED: replaces what is there
  fixed_noreplace,  // EEXIST if something of this process is there, ENOMEM if another process has the addresses
};

// Text for /proc/PID/maps: a path, "[heap]", "[stack]", "[vdso]".
class MapLabel final : public RefCounted<MapLabel> {
 public:
  explicit MapLabel(String text) : text_(std::move(text)) {}
  static Result<Ref<MapLabel>> make(std::string_view text);
  std::string_view text() const LIFETIMEBOUND { return text_; }

 private:
  String text_;
};

// Pages that the kernel provides, at one address for all processes: the vDSO (R X), the clock page (R for programs).
class SpecialPages final : public RefCounted<SpecialPages> {
 public:
  SpecialPages(std::uint64_t begin, std::uint64_t size, std::uint32_t prot, bool kernel_writable, Ref<MapLabel> label);
  ~SpecialPages();
  // Commits pages with `content` (rounded up with zeros) that programs see with `prot` (kProtRead, maybe kProtExec). With
  // `kernel_writable` the pages stay RW in the EPCM, so that bytes() may be written at any time. With `near` they lie right behind
  // that other object (the vDSO behind its data page). ENOMEM, EIO.
  static Result<Ref<SpecialPages>> make(std::span<const std::byte> content, std::uint32_t prot, bool kernel_writable, std::string_view label);
  // Two objects with adjacent addresses: first, directly followed by second.
  struct Pair;
  static Result<Pair> make_adjacent(std::span<const std::byte> first, std::uint32_t first_prot, bool first_writable, std::string_view first_label,
                                    std::span<const std::byte> second, std::uint32_t second_prot, std::string_view second_label);

  std::uint64_t address() const { return begin_; }
  std::uint64_t size() const { return size_; }
  std::uint32_t prot() const { return prot_; }
  const Ref<MapLabel>& label() const LIFETIMEBOUND { return label_; }
  // The pages, for the kernel to write. Only if they are kernel_writable.
  std::span<std::byte> bytes() const;

 private:
  const std::uint64_t begin_, size_;
  const std::uint32_t prot_;
  const bool kernel_writable_;
  const Ref<MapLabel> label_;
};
struct SpecialPages::Pair {
  Ref<SpecialPages> first, second;
};

enum class AreaKind : std::uint8_t {
  anonymous,  // private, zero-filled
  file,       // private pages with content of a file
  shared,     // pages of a SharedWindow
  special,    // SpecialPages
  stub,       // jumps of a PatchSet; hidden
  reserve,    // addresses kept for the stack and the break to grow into; hidden, inaccessible
};

struct Area : TreeNode<Area> {
  Area();  // out of line: what it refers to is incomplete here
  ~Area();
  std::uint64_t begin = 0, end = 0;
  std::uint32_t prot = 0;
  std::uint32_t max_prot = kProtAll;
  AreaKind kind = AreaKind::anonymous;
  bool grows_down = false;
  bool locked = false;
  bool was_writable = false;  // its pages may differ from the file's
  bool zero_filled = false;   // a part of a reused image that was anonymous: its present pages are zero
  bool is_break = false;
  bool dont_fork = false, wipe_on_fork = false;  // MADV_DONTFORK, MADV_WIPEONFORK
  std::uint16_t fault_pages = 0;   // size of the next fault-around of anonymous memory
  std::uint16_t times = 1;         // how many mappings of the process show this part of a window
  std::uint8_t refaults = 0;       // faults after pages were discarded (MADV_DONTNEED): they will be wanted again
  bool was_discarded = false;
  std::uint64_t offset = 0;        // of `begin` in the file or window
  std::uint64_t mapping = 0;       // of file and stub areas: equal numbers mean equal unwritten pages; 0 = equal to nothing
  std::uint64_t fault_next = 0;    // where a sequential access faults next
  RefPtr<FileBacking> file;        // file and shared
  RefPtr<SharedWindow> window;     // shared
  RefPtr<SpecialPages> special;    // special
  RefPtr<PatchSet> patches;        // file areas that were executable, and stub areas
  RefPtr<MapLabel> label;
  RefPtr<MappedImage> image;       // which program image it is a part of
  Area* next_dead = nullptr;       // DeadAreas, MappedImage

  std::uint64_t size() const { return end - begin; }
  std::uint64_t offset_of(std::uint64_t address) const { return offset + (address - begin); }
  bool hidden() const { return kind == AreaKind::stub || kind == AreaKind::reserve; }
  // The addresses of other areas belong to the object they show, not to the process.
  bool owns_addresses() const { return kind != AreaKind::shared && kind != AreaKind::special; }
  // Its pages can be made again at any time: nothing is lost if they go.
  bool is_clean() const { return kind == AreaKind::stub || (kind == AreaKind::file && !was_writable); }
};

struct AreaTraits {
  static std::uint64_t key(const Area& area) { return area.begin; }
  static void update(Area&, const Area*, const Area*) {}
};
using AreaTree = Tree<Area, AreaTraits>;

// A number for Area::mapping that was never used.
std::uint64_t next_mapping();

// A copy of everything but the place in the tree, for splitting. ENOMEM.
Result<Own<Area>> clone_area(const Area& area);

// Areas that were taken out: what they refer to is let go, and shared file pages are written back, when this object dies, which must be
// after the address space's lock was released.
class DeadAreas {
 public:
  DeadAreas() = default;
  DeadAreas(const DeadAreas&) = delete;
  DeadAreas& operator=(const DeadAreas&) = delete;
  ~DeadAreas();
  // Takes ownership.
  void add(Area& area) {
    area.next_dead = first_;
    first_ = &area;
  }

 private:
  Area* first_ = nullptr;
};

}  // namespace kernel
#endif  // KERNEL_MM_AREA_H
