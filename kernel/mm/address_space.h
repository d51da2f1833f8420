// AddressSpace: the memory of one process (or of several that share it: threads, vfork). Ordered areas over ranges that the global
// allocator (mm/ranges.h) gave to it alone; a page has exactly one address in the whole enclave.
//
// Locks: lock_ (mutex address_space) serialises everything that changes areas or pages; areas_lock_ (spinlock page_state) is taken
// inside it around each change of the area tree, so that check() and the like need no mutex. No lock of it is held while file pages are
// read or written, nor during user copies. All addresses and sizes are bytes; page aligned where Linux demands it (EINVAL otherwise).
#ifndef KERNEL_MM_ADDRESS_SPACE_H
#define KERNEL_MM_ADDRESS_SPACE_H

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/string.h"
#include "kernel/base/tree.h"
#include "kernel/base/vec.h"
#include "kernel/frame/user.h"
#include "kernel/mm/area.h"
#include "kernel/mm/backing.h"
#include "kernel/mm/overlap.h"
#include "kernel/mm/page_buffer.h"
#include "kernel/mm/page_version.h"
#include "kernel/mm/shared.h"
#include "kernel/sync/lock.h"

namespace kernel {

// What mmap asks for.
struct MapRequest {
  std::uint64_t address = 0;  // a hint, or exact for the fixed placements
  std::uint64_t size = 0;     // rounded up to pages
  std::uint32_t prot = 0;     // kProt*
  Placement placement = Placement::anywhere;
  bool shared = false;
  bool grows_down = false;
  bool populate = false;  // MAP_POPULATE, or MAP_LOCKED
  bool locked = false;
  bool low = false;  // MAP_32BIT: in the second GiB
  bool image = false;  // the addresses of a whole program image (MAP_DENYWRITE, the kernel's loader): may be taken from the image cache
  std::uint32_t max_prot = kProtRead | kProtWrite | kProtExec;  // what mprotect may give later (shared mapping of a read-only descriptor)
  RefPtr<FileBacking> file;  // null = anonymous
  std::uint64_t offset = 0;  // in the file, page aligned
  RefPtr<SharedWindow> window;  // anonymous shared memory that exists already (shmat)
  RefPtr<MapLabel> label;    // path or "[stack]" for /proc/PID/maps
};

// One area as /proc/PID/maps shows it.
struct AreaInfo {
  std::uint64_t begin = 0, end = 0;
  std::uint32_t prot = 0;
  bool shared = false, grows_down = false, locked = false;
  std::uint64_t offset = 0;
  std::uint64_t resident = 0;  // bytes
  RefPtr<FileBacking> file;
  RefPtr<MapLabel> label;
};

struct MemoryUsage {  // bytes
  std::uint64_t virtual_size = 0, resident = 0, peak_resident = 0, data = 0, stack = 0, text = 0, locked = 0, shared = 0;
};

// Values of RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK and RLIMIT_STACK in bytes.
struct MemoryLimits {
  std::uint64_t address_space = ~std::uint64_t{0}, data = ~std::uint64_t{0}, locked = ~std::uint64_t{0}, stack = 8 << 20;
};

// Why an access cannot be allowed (si_code of SIGSEGV).
enum class FaultReason { unmapped, protection };

// Where a futex lives: (space, address) if private, (object, offset) if in shared memory. Equal keys = same futex.
struct FutexKey {
  std::uint64_t owner = 0;
  std::uint64_t where = 0;
  friend bool operator==(const FutexKey&, const FutexKey&) = default;
  std::uint64_t hash() const;
};

class AddressSpace final : public RefCounted<AddressSpace>,
                           public UserSpace,
                           public ListNode<RegistryTag>,
                           public ListNode<MemberTag>,
                           public ListNode<ResidentTag> {
 public:
  static Result<Ref<AddressSpace>> create();
  AddressSpace();
  // Gives every page and range back. The last reference is dropped where waiting is allowed.
  ~AddressSpace();

  // A number that no other address space ever has.
  std::uint64_t id() const { return id_; }

  // Tasks that use this memory. When the last one goes everything is unmapped; other references may live on.
  void add_user() { users_.fetch_add(1, std::memory_order_relaxed); }
  void drop_user();
  std::uint32_t users() const { return users_.load(std::memory_order_relaxed); }

  // --- overlap groups (mm/overlap.h) ---
  // Makes the fresh, empty `child` a copy of this one, as fork(2) has it. The caller runs in this space. With `child_first`, which is
  // right only if no other thread has this space, the child's pages are the ones in place afterwards: the caller must not touch its
  // memory before it is in place again. ENOMEM: the child is to be dropped, and this space is as before.
  Result<> fork_into(AddressSpace& child, bool child_first) EXCLUDES(lock_, overlap_lock);
  // Threads that run on it right now, counted by the scheduler (and foreign accesses, which must not see it replaced).
  std::atomic<std::uint32_t> running{0};
  std::atomic<std::uint32_t> queued{0};  // and those that went into run queues since it has a group
  // null = no other space has its addresses. Changed under residency_lock and overlap_lock; holds a reference.
  std::atomic<OverlapGroup*> group{nullptr};
  // Its pages are those in place. Changed under residency_lock and overlap_lock.
  std::atomic<bool> in_place{true};
  // The first piece of [begin, end) whose addresses it has; [end, end) if there is none.
  struct Extent {
    std::uint64_t begin, end;
  };
  Extent held_extent(std::uint64_t begin, std::uint64_t end) const EXCLUDES(areas_lock_);
  bool holds(std::uint64_t begin, std::uint64_t end) const { return held_extent(begin, end).begin < end; }
  bool is_freeing() const { return freeing_.load(std::memory_order_acquire); }
  // Some of its memory was lost for want of memory to keep it in: its tasks must die.
  std::atomic<bool> is_damaged{false};
  // Its processes were killed because memory was short, and it is not torn down yet.
  std::atomic<bool> is_victim{false};
  // What its end would give back, in pages: private ones in place, those of shared windows, those that are set aside.
  struct Footprint {
    std::uint64_t in_place = 0, shared = 0, set_aside = 0, virtual_size = 0;
    std::uint64_t total() const { return in_place + shared + set_aside; }
  };
  Footprint footprint() REQUIRES(overlap_lock) EXCLUDES(areas_lock_);
  bool has_set_aside() const REQUIRES(overlap_lock) { return versions_.set_aside(true) != 0; }
  // It is to be killed: what is set aside for it goes at once.
  void drop_set_aside() REQUIRES(overlap_lock);

  // --- what user copies and page faults ask (frame/user.h) ---
  Result<> check(std::uint64_t address, std::uint64_t size, Access access) override;
  // Commits the page (and neighbours) so that `access` succeeds. Spurious faults succeed. EFAULT: no area allows it (SIGSEGV; see
  // fault_reason()); ENXIO: beyond the end of the mapped file (SIGBUS, BUS_ADRERR); EIO: the file could not be read (SIGBUS);
  // ENOMEM: the enclave has no page left (the process is to be killed).
  Result<> populate(std::uint64_t address, Access access) override;
  FaultReason fault_reason(std::uint64_t address, Access access);
  // True if the state map says that the access is allowed right now: a fault there is spurious (caused by the host). Takes no locks.
  bool is_accessible(std::uint64_t address, Access access) const;

  // --- mmap family (man pages mmap(2), munmap(2), ...). Errors as Linux's. ---
  Result<std::uint64_t> map(const MapRequest& request);
  Result<> unmap(std::uint64_t address, std::uint64_t size);
  // shmdt(2): unmaps what is left of the attachment that was made at `address`. EINVAL if there is none.
  Result<> detach(std::uint64_t address);
  Result<> protect(std::uint64_t address, std::uint64_t size, std::uint32_t prot, std::uint32_t grow_flags = 0);
  // flags: abi::kMremap*; `fixed_address` with kMremapFixed.
  Result<std::uint64_t> remap(std::uint64_t address, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
                              std::uint64_t fixed_address);
  Result<> advise(std::uint64_t address, std::uint64_t size, std::uint32_t advice);
  // One byte per page, bit 0 = resident; `into` starts at the page `address`. ENOMEM if there is a hole.
  // One byte for each page until there is a hole: how many; ENOMEM if the first page is in one.
  Result<std::size_t> residency(std::uint64_t address, std::span<std::uint8_t> into);
  Result<> lock_pages(std::uint64_t address, std::uint64_t size, bool on_fault);
  Result<> unlock_pages(std::uint64_t address, std::uint64_t size);
  Result<> lock_all(bool current, bool future, bool on_fault);
  Result<> unlock_all();
  Result<> sync(std::uint64_t address, std::uint64_t size, std::uint32_t flags);  // msync(2), abi::kMs*
  // The new break as brk(2) reports it (the old one if `address` cannot be had).
  std::uint64_t set_break(std::uint64_t address);
  std::uint64_t current_break() const { return break_.load(std::memory_order_relaxed); }
  void set_limits(const MemoryLimits& limits) EXCLUDES(lock_);

  // The file has now `size` bytes: pages beyond go.
  void truncate_mappings(const FileBacking& file, std::uint64_t size) EXCLUDES(lock_, overlap_lock);

  // --- for exec ---
  // Reserves addresses for the break, away from the program image, and makes it empty. Once, after the image is mapped. ENOMEM.
  Result<> start_break();
  // Maps the stack: `size` bytes at a random place that may grow down to RLIMIT_STACK (addresses for it are reserved; the rest is a
  // guard). The end of the stack (exclusive).
  Result<std::uint64_t> map_stack(std::uint64_t size, RefPtr<MapLabel> label);
  // Adds pages that the kernel provides (vDSO, vvar), at the address they have in every process.
  Result<std::uint64_t> map_special(Ref<SpecialPages> pages);

  // --- for the rest of the kernel ---
  // Memory of a process that is not the running one, or of a dead page of it (process_vm_readv, /proc/PID/mem, ptrace): copies up to
  // the first byte that has no area or lacks read (write) permission; `force` ignores permissions as ptrace does. EFAULT if nothing.
  Result<std::size_t> read_remote(std::uint64_t address, std::span<std::byte> into, bool force = false) EXCLUDES(lock_);
  Result<std::size_t> write_remote(std::uint64_t address, std::span<const std::byte> from, bool force = false) EXCLUDES(lock_);
  // The address in the original code that belongs to `rip` if that lies in a stub (design section 5), else nullopt. No mutex.
  std::optional<std::uint64_t> original_rip(std::uint64_t rip);
  // Key of the futex word at `address`, which the caller has found accessible. `process_private` = FUTEX_PRIVATE_FLAG. No mutex.
  Result<FutexKey> futex_key(std::uint64_t address, bool process_private);
  // All areas by rising address; stub areas are left out. ENOMEM.
  Result<Vec<AreaInfo>> areas() EXCLUDES(lock_);
  MemoryUsage usage() EXCLUDES(lock_);

 private:
  friend class Exchange;
  friend void mm::join_group(OverlapGroup& group, AddressSpace& space, bool in_place);

  // address_space.cc
  void tear_down() EXCLUDES(lock_, overlap_lock);
  void free_all_locked(DeadAreas& dead) REQUIRES(lock_);

  // fork.cc
  Result<> check_fork_room_locked() const REQUIRES(lock_);
  Result<> copy_areas_locked(AddressSpace& child) REQUIRES(lock_, overlap_lock);
  Result<> copy_pages_locked(AddressSpace& child, const Area& area, bool child_first) REQUIRES(lock_, overlap_lock);
  Result<> copy_page_locked(AddressSpace& child, const Area& area, std::uint64_t page, bool child_first) REQUIRES(lock_, overlap_lock);
  void undo_fork_locked() REQUIRES(lock_, overlap_lock);
  RefPtr<PatchSet> find_patches(const PatchSet& like) const;

  // share.cc: what is different where addresses are contended. Without that they do what mm/user_memory.h and mm/pages.h do.
  bool owns_all(std::uint64_t begin, std::uint64_t end) const EXCLUDES(areas_lock_);
  Result<> share_addresses(std::uint64_t begin, std::uint64_t size) EXCLUDES(lock_, overlap_lock);
  Result<> claim_locked(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_) EXCLUDES(overlap_lock);
  Result<> claim_contended(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_, overlap_lock);
  void give_locked(std::uint64_t begin, std::uint64_t end, const Area* area, bool cacheable) REQUIRES(lock_) EXCLUDES(overlap_lock);
  bool give_contended(std::uint64_t begin, std::uint64_t end, const Area* area, std::uint64_t& stop) REQUIRES(lock_, overlap_lock);
  void depart(ContendedRange& range, const Area* area) REQUIRES(lock_, overlap_lock);
  Result<> drop_pages_locked(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_) EXCLUDES(overlap_lock);
  Result<> forget_versions(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_, overlap_lock);
  Result<> set_permissions_locked(std::uint64_t begin, std::uint64_t end, std::uint32_t permissions) REQUIRES(lock_) EXCLUDES(overlap_lock);
  Result<> allow_present_locked(const Area& area, std::uint64_t page, Access access) REQUIRES(lock_) EXCLUDES(overlap_lock);
  bool has_versions(std::uint64_t begin, std::uint64_t end) EXCLUDES(overlap_lock);
  bool own_alone(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_) EXCLUDES(overlap_lock);

  // address_space.cc
  Area* area_at(std::uint64_t address) const;     // the area that contains the address, hidden ones too
  Area* area_from(std::uint64_t address) const;   // the first area that ends above the address
  bool slow_check(std::uint64_t address, std::uint64_t end, Access access) EXCLUDES(areas_lock_);
  void begin_change() ACQUIRE(areas_lock_);
  void end_change() RELEASE(areas_lock_);
  void insert_locked(Area& area) REQUIRES(lock_) EXCLUDES(areas_lock_);
  void take_out_locked(Area& area) REQUIRES(lock_) EXCLUDES(areas_lock_);
  Result<> split_locked(Area& area, std::uint64_t at) REQUIRES(lock_) EXCLUDES(areas_lock_);
  Result<> split_at_edges_locked(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_) EXCLUDES(areas_lock_);
  void merge_locked(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_) EXCLUDES(areas_lock_);
  bool is_covered_locked(std::uint64_t begin, std::uint64_t end) const REQUIRES(lock_);
  void note_resident_locked() REQUIRES(lock_);

  // map.cc
  Result<std::uint64_t> map_locked(const MapRequest& request, std::uint64_t size, const RefPtr<SharedWindow>& window, DeadAreas& dead) REQUIRES(lock_);
  Result<std::uint64_t> map_again_locked(const MapRequest& request, std::uint64_t begin, std::uint64_t size, const Area& like) REQUIRES(lock_);
  Result<std::uint64_t> place_locked(const MapRequest& request, std::uint64_t size, DeadAreas& dead, bool& dirty) REQUIRES(lock_);
  Result<> claim_fixed_locked(std::uint64_t begin, std::uint64_t end, DeadAreas& dead) REQUIRES(lock_);
  std::uint64_t locked_in_locked(std::uint64_t begin, std::uint64_t end) const REQUIRES(lock_);
  Result<> may_lock() EXCLUDES(lock_);  // EPERM: RLIMIT_MEMLOCK is 0
  Result<> check_limits_locked(std::uint64_t size, std::uint32_t prot, bool is_private, bool locks) const REQUIRES(lock_);
  std::uint64_t data_size_locked() const REQUIRES(lock_);
  std::uint64_t locked_size_locked() const REQUIRES(lock_);
  // Takes the areas out and gives their pages up. Then the addresses: `cached` may leave the pages there for a later mapping, `freed` not;
  // with `kept` the addresses stay ours, without pages.
  enum class Addresses { cached, freed, kept };
  Result<> unmap_locked(std::uint64_t begin, std::uint64_t end, Addresses then, DeadAreas& dead) REQUIRES(lock_);
  void release_area_locked(Area& area, Addresses then, DeadAreas& dead) REQUIRES(lock_);
  Result<> add_stubs_locked(Area& area) REQUIRES(lock_);
  // image.cc
  Result<bool> map_cached_image(const MapRequest& request, std::uint64_t size, std::uint64_t& begin) EXCLUDES(lock_);
  void adopt_image_locked(MappedImage& image, const MapRequest& request) REQUIRES(lock_);
  Result<bool> map_sibling_image(const MapRequest& request, std::uint64_t size) EXCLUDES(lock_, overlap_lock);
  const AddressSpace* find_sibling(const MapRequest& request, std::uint64_t end) const REQUIRES(overlap_lock);
  Result<> copy_part_locked(const Area& from, const MapRequest& request, const RefPtr<PatchSet>& patches) REQUIRES(lock_, overlap_lock);
  bool keep_image_locked(Area& first) REQUIRES(lock_);
  void free_with_reserve_locked() REQUIRES(lock_);
  RefPtr<MappedImage> image_around_locked(const MapRequest& request, std::uint64_t size) const REQUIRES(lock_);
  Result<bool> retain_locked(const MapRequest& request, std::uint64_t size) REQUIRES(lock_);
  void drop_stubs_locked(PatchSet& patches, DeadAreas& dead) REQUIRES(lock_);
  Result<> insert_reserve_locked(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_);
  // Commits what is accessible in the range. `always`: also where a fault could do it later.
  Result<> fill(std::uint64_t begin, std::uint64_t end, bool always) EXCLUDES(lock_);

  // populate.cc
  Result<> populate_once(std::uint64_t page, Access access) EXCLUDES(lock_);
  Result<> populate_locked(std::uint64_t page, Access access, bool& needs_file, RefPtr<SharedWindow>& window, std::uint32_t& prot) REQUIRES(lock_);
  Result<> populate_anonymous_locked(Area& area, std::uint64_t page) REQUIRES(lock_);
  Result<> populate_stub_locked(Area& area, std::uint64_t page) REQUIRES(lock_);
  struct FileRun;
  Result<> populate_file(std::uint64_t page, Access access) EXCLUDES(lock_);
  Result<> plan_file(std::uint64_t page, Access access, FileRun& run) EXCLUDES(lock_);
  Result<bool> commit_file(std::uint64_t page, Access access, const FileRun& run, const mm::PageBuffer& buffer) EXCLUDES(lock_);
  Result<> grow_stack_locked(std::uint64_t address) REQUIRES(lock_);

  // change.cc, remap.cc
  Result<> protect_area_locked(Area& area, std::uint32_t prot) REQUIRES(lock_);
  Result<> truncate_range_locked(std::uint64_t begin, std::uint64_t end) REQUIRES(lock_) EXCLUDES(overlap_lock);
  Result<> discard_locked(Area& area, std::uint64_t begin, std::uint64_t end) REQUIRES(lock_);
  Result<> advise_area_locked(Area& area, std::uint64_t begin, std::uint64_t end, std::uint32_t advice) REQUIRES(lock_);
  Result<> set_locked_flag(std::uint64_t address, std::uint64_t size, bool on) EXCLUDES(lock_);
  Result<> grow_area_locked(Area& area, std::uint64_t by) REQUIRES(lock_);
  Result<std::uint64_t> move_area_locked(std::uint64_t begin, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
                                         std::uint64_t fixed_address, DeadAreas& dead) REQUIRES(lock_);
  Result<> move_pages_locked(const Area& from, std::uint64_t to, std::uint64_t size) REQUIRES(lock_);
  // remote.cc
  struct RemoteCopy {  // from or to kernel memory, whichever is not empty
    std::span<std::byte> into;
    std::span<const std::byte> from;
    std::size_t done;
    void run(std::span<std::byte> there);
    void run_const(std::span<const std::byte> there);
  };
  static bool may_touch(const Area* area, Access access, bool force);
  Result<bool> touch_in_place(std::uint64_t at, std::size_t size, Access access, bool force, std::uint32_t& prot, RemoteCopy& copy)
      EXCLUDES(lock_, overlap_lock);
  Result<> touch_set_aside(std::uint64_t at, std::size_t size, Access access, bool force, ConstPageView fresh, RemoteCopy& copy)
      EXCLUDES(lock_, overlap_lock);
  Result<> read_fresh(std::uint64_t page, PageView buffer) EXCLUDES(lock_);
  Result<> touch(std::uint64_t at, std::size_t size, Access access, bool force, RemoteCopy& copy) EXCLUDES(lock_, overlap_lock);
  Result<std::size_t> remote(std::uint64_t address, std::size_t size, Access access, bool force, RemoteCopy& copy) EXCLUDES(lock_, overlap_lock);

  const std::uint64_t id_;
  Mutex<LockRank::address_space> lock_;
  mutable SpinLock<LockRank::page_state> areas_lock_;
  AreaTree areas_;  // changed under both locks, read under either

  // Areas found by check(), read without locks: valid if `sequence_` is even and the same before and after.
  struct CachedArea {
    std::atomic<std::uint64_t> begin{0}, end{0}, prot{0};
  };
  static constexpr std::size_t kCachedAreas = 8;
  std::atomic<std::uint64_t> sequence_{0};
  std::array<CachedArea, kCachedAreas> cache_;

  std::atomic<std::uint32_t> users_{0};
  // It has, or had, contended ranges. Never set while it is in the middle of a change of a range that becomes contended.
  std::atomic<bool> may_contend_{false};
  bool ending_ GUARDED_BY(lock_) = false;  // everything is unmapped for good
  std::atomic<bool> freeing_{false};       // that is under way
  VersionMap versions_ GUARDED_BY(overlap_lock);

  std::atomic<std::uint64_t> break_{0};
  std::uint64_t break_begin_ GUARDED_BY(lock_) = 0;
  MemoryLimits limits_ GUARDED_BY(lock_);
  bool lock_future_ GUARDED_BY(lock_) = false, lock_on_fault_ GUARDED_BY(lock_) = false;  // mlockall(MCL_FUTURE)
  std::uint64_t virtual_size_ GUARDED_BY(lock_) = 0;  // bytes in visible areas
  std::uint64_t peak_resident_ GUARDED_BY(lock_) = 0;
};

namespace mm {
// The list of all address spaces.
void register_space(AddressSpace& space) EXCLUDES(overlap_lock);
void forget_space(AddressSpace& space) EXCLUDES(overlap_lock);
}  // namespace mm

}  // namespace kernel
#endif  // KERNEL_MM_ADDRESS_SPACE_H
