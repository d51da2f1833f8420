// Overlap groups: address spaces that have the same addresses (fork; programs linked to fixed addresses). No page has two addresses, so
// of each contended range the pages of one member are in place; those of the others are set aside. docs/decisions/overlap-groups.md says
// how and why. This header is what mm/ and the scheduler (task/residency.cc) share.
#ifndef KERNEL_MM_OVERLAP_H
#define KERNEL_MM_OVERLAP_H

#include <atomic>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/mm/contended.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel {

class AddressSpace;
class Thread;
struct RunQueueTag;
struct RegistryTag;
struct MemberTag;
struct ResidentTag;

// Guards the contended ranges, versions of pages, members of groups and the list of all address spaces; while it is held no member is
// switched. Taken inside AddressSpace::lock_, never the other way round. Who waits for it spins: a thread that slept here would give its
// member's place up to others, who need this lock for that. Pages may be added and given back under it, nothing waits.
class CAPABILITY("overlap lock") OverlapLock {
 public:
  void lock() ACQUIRE();
  void unlock() RELEASE();

 private:
  std::atomic<std::uint32_t> word_{0};
};
extern OverlapLock overlap_lock;

// Guards what the scheduler looks at: which members are in place, who waits for its turn.
extern SpinLock<LockRank::residency> residency_lock;

class OverlapGroup final : public RefCounted<OverlapGroup> {
 public:
  OverlapGroup() = default;

  // Changed under both locks.
  List<AddressSpace, MemberTag> members;
  List<AddressSpace, ResidentTag> residents;  // whose pages are in place: one, or several that do not overlap
  std::uint32_t member_count = 0;

  // residency_lock
  List<Thread, RunQueueTag> held;  // runnable threads of members that have to wait
  std::uint32_t held_count = 0;
  std::uint32_t switching = 0;     // threads that were chosen to put their member in place (one; more after groups were merged)
  static constexpr Instant kSliceNs = 4'000'000;
  Instant slice_start = 0, slice = kSliceNs;
};

// What task/ provides.
struct OverlapHooks {
  void (*become_sole_resident)();            // the running thread's space is alone in place when it returns
  void (*members_changed)(OverlapGroup&);    // a member left: others may run. No spinlocks held
  void (*move_held)(OverlapGroup& from, OverlapGroup& to);  // under residency_lock
};
// What task/ provides for when memory is short (task/oom.cc).
struct ShortageHooks {
  // A page of the running thread's memory cannot be had, no locks are held. Kills who is worst for that and waits for its end. False:
  // there will not be more; or the caller itself is to die.
  bool (*relieve)();
  // Under overlap_lock: there is no memory to set a page aside. Kills who is worst for that and drops what is set aside for it; if that is
  // `evicted` (may be null), whose pages are on their way out, it is marked as damaged instead. False: nobody is left.
  bool (*make_room)(AddressSpace* evicted);
  void (*memory_lost)(AddressSpace& space);  // its processes must die. Under overlap_lock
  bool (*is_dying)();                        // somebody was killed for want of memory and has not given his back yet
  void (*victim_gone)();                     // the memory of a victim has been given back
};
void set_shortage_hooks(const ShortageHooks& hooks);
const ShortageHooks& shortage_hooks();
void set_overlap_hooks(const OverlapHooks& hooks);
const OverlapHooks& overlap_hooks();

// Counted since boot; versions: contents of pages that exist now.
struct OverlapStatistics {
  std::atomic<std::uint64_t> forks{0}, switches{0}, pages_copied{0}, pages_swapped{0}, pages_merged{0}, pages_dropped{0}, versions{0};
};
OverlapStatistics& overlap_statistics();

// Versions of pages that exist, contended ranges: for the leak check.
struct OverlapUsage {
  std::uint64_t ranges, spaces, versions;
};
OverlapUsage overlap_usage();

namespace mm {

ContendedRanges& contended_ranges() REQUIRES(overlap_lock);
// The first space, or the one behind `after`, in the order in which they were made; null = there is none.
RefPtr<AddressSpace> next_space(const RefPtr<AddressSpace>& after) EXCLUDES(overlap_lock);
// Makes a group of this space alone if it has none. ENOMEM.
Result<> ensure_group(AddressSpace& space) REQUIRES(overlap_lock);
void join_group(OverlapGroup& group, AddressSpace& space, bool in_place) REQUIRES(overlap_lock);
void merge_groups(AddressSpace& into, AddressSpace& from) REQUIRES(overlap_lock);
void leave_group(AddressSpace& space) EXCLUDES(overlap_lock);
// The space leaves its group if it is the only member.
void disband(AddressSpace& space) REQUIRES(overlap_lock);
// Puts the pages of `to` in place; those of all other residents are set aside. No thread of them runs.
void exchange(AddressSpace& to) REQUIRES(overlap_lock);
// Pages that hold nobody's content go; if the host does not take them they become zero.
void vacate(std::uint64_t begin, std::uint64_t end);

}  // namespace mm
}  // namespace kernel
#endif  // KERNEL_MM_OVERLAP_H
