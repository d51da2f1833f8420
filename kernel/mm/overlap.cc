// Overlap groups: who is a member, and the list of all address spaces.
#include "kernel/mm/overlap.h"

#include "kernel/frame/vcpu_block.h"
#include "kernel/mm/exchange.h"

namespace kernel {

constinit OverlapLock overlap_lock;
constinit SpinLock<LockRank::residency> residency_lock;

namespace {

constinit OverlapHooks hooks_of_task{};
constinit OverlapStatistics the_statistics;

ShortageHooks& shortage_hooks_of_task() {
  static constinit ShortageHooks hooks{};
  return hooks;
}

// Made at the first use and never destroyed.
struct Overlap {
  List<AddressSpace, RegistryTag> spaces;
  ContendedRanges ranges;
  std::uint64_t count = 0;
};
Overlap& overlap() {
  static constinit std::atomic<Overlap*> instance{nullptr};
  Overlap* self = instance.load(std::memory_order_acquire);
  if (self != nullptr) return *self;
  auto made = make_own<Overlap>();
  KASSERT(made.ok());  // boot: there is memory
  Own<Overlap> fresh = std::move(made).release();
  if (instance.compare_exchange_strong(self, fresh.get(), std::memory_order_acq_rel)) self = fresh.leak();
  return *self;
}

}  // namespace

// SAFETY: (lock and unlock) they are what the analysis takes on trust.
void OverlapLock::lock() NO_THREAD_SAFETY_ANALYSIS {
  assert_no_spinlocks_held();
  while (word_.exchange(1, std::memory_order_acquire) != 0)
    while (word_.load(std::memory_order_relaxed) != 0) __builtin_ia32_pause();
}
// SAFETY: see lock().
void OverlapLock::unlock() NO_THREAD_SAFETY_ANALYSIS { word_.store(0, std::memory_order_release); }

void set_overlap_hooks(const OverlapHooks& hooks) { hooks_of_task = hooks; }
const OverlapHooks& overlap_hooks() { return hooks_of_task; }
void set_shortage_hooks(const ShortageHooks& hooks) { shortage_hooks_of_task() = hooks; }
const ShortageHooks& shortage_hooks() { return shortage_hooks_of_task(); }
OverlapStatistics& overlap_statistics() { return the_statistics; }

OverlapUsage overlap_usage() {
  const LockGuard guard(overlap_lock);
  return {.ranges = overlap().ranges.size(), .spaces = overlap().count, .versions = the_statistics.versions.load(std::memory_order_relaxed)};
}

namespace mm {

ContendedRanges& contended_ranges() { return overlap().ranges; }

void register_space(AddressSpace& space) {
  const LockGuard guard(overlap_lock);
  overlap().spaces.push_back(space);
  ++overlap().count;
}

void forget_space(AddressSpace& space) {
  const LockGuard guard(overlap_lock);
  if (!space.ListNode<RegistryTag>::is_linked()) return;  // it was never registered
  List<AddressSpace, RegistryTag>::remove(space);
  --overlap().count;
}

namespace {
// The first from `space` on that is not being destroyed (such a one has unmapped everything), with a reference to it.
RefPtr<AddressSpace> first_alive(AddressSpace* space) REQUIRES(overlap_lock) {
  while (space != nullptr && !space->try_ref()) space = overlap().spaces.next(*space);
  return space == nullptr ? RefPtr<AddressSpace>() : RefPtr<AddressSpace>(Ref<AddressSpace>::adopt(*space));
}
}  // namespace

RefPtr<AddressSpace> next_space(const RefPtr<AddressSpace>& after) {
  const LockGuard guard(overlap_lock);
  return first_alive(after ? overlap().spaces.next(*after) : overlap().spaces.front());
}

void join_group(OverlapGroup& group, AddressSpace& space, bool in_place) {
  KASSERT(space.group.load(std::memory_order_relaxed) == nullptr);
  group.ref();  // the space's
  space.may_contend_.store(true, std::memory_order_seq_cst);
  const LockGuard guard(residency_lock);
  group.members.push_back(space);
  ++group.member_count;
  space.in_place.store(in_place, std::memory_order_relaxed);
  if (in_place) group.residents.push_back(space);
  // From here on the scheduler asks: a thread that it counted before is seen in `running`.
  space.group.store(&group, std::memory_order_seq_cst);
}

Result<> ensure_group(AddressSpace& space) {
  if (space.group.load(std::memory_order_relaxed) != nullptr) return {};
  const Ref<OverlapGroup> fresh = TRY(make_ref<OverlapGroup>());
  fresh->slice_start = monotonic_now();
  join_group(*fresh, space, true);
  return {};
}

// All members of the group of `from` go over to that of `into`. What is in place stays in place: the two groups have no address in common.
void merge_groups(AddressSpace& into, AddressSpace& from) {
  OverlapGroup* target = into.group.load(std::memory_order_relaxed);
  OverlapGroup* source = from.group.load(std::memory_order_relaxed);
  if (target == source) return;
  if (source == nullptr) {
    join_group(*target, from, true);
    return;
  }
  const Ref<OverlapGroup> kept(*source);
  std::uint32_t moved = 0;
  {
    const LockGuard guard(residency_lock);
    while (AddressSpace* member = source->members.pop_front()) {
      target->members.push_back(*member);
      member->group.store(target, std::memory_order_seq_cst);
      target->ref();
      ++moved;
    }
    while (AddressSpace* resident = source->residents.pop_front()) target->residents.push_back(*resident);
    overlap_hooks().move_held(*source, *target);
    target->member_count += moved;
    target->switching += std::exchange(source->switching, 0);
  }
  for (; moved != 0; --moved) source->deref();
}

namespace {
// A member that is left alone, with its pages in place, needs no group.
void disband_locked(OverlapGroup& group) REQUIRES(overlap_lock, residency_lock) {
  AddressSpace* last = group.members.front();
  if (group.member_count != 1 || !last->in_place.load(std::memory_order_relaxed) || group.switching != 0 || group.held_count != 0) return;
  List<AddressSpace, MemberTag>::remove(*last);
  List<AddressSpace, ResidentTag>::remove(*last);
  last->group.store(nullptr, std::memory_order_seq_cst);
  group.member_count = 0;
  group.deref();  // not the last reference: the caller has one
}
}  // namespace

void disband(AddressSpace& space) {
  OverlapGroup* group = space.group.load(std::memory_order_relaxed);
  if (group == nullptr) return;
  const Ref<OverlapGroup> kept(*group);
  const LockGuard guard(residency_lock);
  disband_locked(*group);
}

// The space has no contended range any more.
void leave_group(AddressSpace& space) {
  RefPtr<OverlapGroup> group;
  {
    const LockGuard guard(overlap_lock);
    OverlapGroup* of = space.group.load(std::memory_order_relaxed);
    if (of == nullptr) return;
    group = Ref<OverlapGroup>::adopt(*of);
    const LockGuard inner(residency_lock);
    List<AddressSpace, MemberTag>::remove(space);
    if (space.ListNode<ResidentTag>::is_linked()) List<AddressSpace, ResidentTag>::remove(space);
    space.in_place.store(true, std::memory_order_relaxed);
    space.group.store(nullptr, std::memory_order_seq_cst);
    --group->member_count;
    disband_locked(*group);
  }
  overlap_hooks().members_changed(*group);
}

bool is_sole_resident(const AddressSpace& space) {
  OverlapGroup* group = space.group.load(std::memory_order_relaxed);
  if (group == nullptr) return true;
  AddressSpace* only = group->residents.front();
  return only == &space && group->residents.next(*only) == nullptr;
}

Result<bool> meet_holders(AddressSpace& space, std::uint64_t begin, std::uint64_t end) {
  Overlap& self = overlap();
  bool any = false;
  for (AddressSpace* other = self.spaces.front(); other != nullptr; other = self.spaces.next(*other)) {
    if (other == &space) continue;
    if (other->is_freeing()) return Errno::again;
    if (!other->holds(begin, end)) continue;
    TRY(ensure_group(space));
    merge_groups(space, *other);
    any = true;
  }
  return any;
}

}  // namespace mm
}  // namespace kernel
