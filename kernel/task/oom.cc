#include "kernel/task/oom.h"

#include <algorithm>
#include <atomic>
#include <string_view>

#include "kernel/frame/heap.h"
#include "kernel/host/log.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/init.h"
#include "kernel/mm/overlap.h"
#include "kernel/task/access.h"
#include "kernel/task/pid.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constexpr Instant kPatience = 1'000'000'000;  // for a victim to be gone, before the next one is taken

struct Victims {
  WaitQueue gone;  // who waits for a victim's memory
  std::atomic<std::uint32_t> dying{0}, ended{0};
  std::atomic<std::uint64_t> kills{0};
};
Victims& victims() {
  static constinit Victims instance;
  return instance;
}

// Pages that there may be at most: programs' pages, and the heap, which holds those that are set aside.
std::int64_t total_pages() { return static_cast<std::int64_t>((mm::system_memory().limit + frame::heap_usage().limit) / kPageSize); }

// Linux's oom_badness(): what the process has, and the part of all memory that its adjustment stands for.
std::int64_t badness(const AddressSpace::Footprint& footprint, std::int32_t adjust) {
  return static_cast<std::int64_t>(footprint.total()) + adjust * (total_pages() / kOomAdjustMax);
}

enum class Shortage {
  of_pages,  // of programs' pages or anything else: all processes count
  of_heap,   // to set pages aside: those count for whom some are, and the one whose pages are on their way out
};

struct Victim {
  RefPtr<Process> process;
  std::uint64_t mm = 0;  // its id: a reference could be the last one, to be dropped under overlap_lock
  AddressSpace::Footprint footprint;
  std::int64_t points = 0;
};

// The process with the highest badness; none: there is nobody that may be killed.
Victim choose(Shortage shortage, const AddressSpace* evicted) REQUIRES(overlap_lock) EXCLUDES(tree_lock) {
  Victim worst;
  const LockGuard guard(tree_lock);
  std::int32_t id = 0;
  while (IdSlot* slot = id_table().next(id)) {
    if (!slot->process || ProcessAccess::state(*slot->process) != ProcessState::alive) continue;
    // References that the table and the process have too: none of these is the last.
    const Ref<Process> process = slot->process.as_ref();
    const std::int32_t adjust = process->oom_score_adj.load(std::memory_order_relaxed);
    if (adjust == -kOomAdjustMax) continue;
    const LockGuard inner(ProcessAccess::lock(*process));
    const RefPtr<AddressSpace> mm = ProcessAccess::mm(*process);
    if (!mm || mm->is_victim.load(std::memory_order_relaxed)) continue;
    if (shortage == Shortage::of_heap && (mm->is_damaged.load(std::memory_order_relaxed) || (mm.get() != evicted && !mm->has_set_aside()))) continue;
    const AddressSpace::Footprint footprint = mm->footprint();
    const std::int64_t points = badness(footprint, adjust);
    if (worst.process && points <= worst.points) continue;
    worst.process = process;
    worst.mm = mm->id();
    worst.footprint = footprint;
    worst.points = points;
  }
  return worst;
}

// Kills every process that has this memory.
void kill_users(std::uint64_t mm_id) EXCLUDES(tree_lock) {
  std::int32_t id = 0;
  while (true) {
    RefPtr<Process> user;
    {
      const LockGuard guard(tree_lock);
      while (IdSlot* slot = id_table().next(id)) {
        if (!slot->process) continue;
        const LockGuard inner(ProcessAccess::lock(*slot->process));
        const RefPtr<AddressSpace> mm = ProcessAccess::mm(*slot->process);
        if (!mm || mm->id() != mm_id) continue;
        user = slot->process;
        break;
      }
    }
    if (!user) return;
    user->request_exit(abi::wait_signaled(abi::kSigKill, false));
  }
}

std::string_view name_of(const std::array<char, abi::kTaskCommLength>& name) {
  const std::string_view all(name.data(), name.size());
  return all.substr(0, all.find('\0'));
}

// As Linux writes it, and which setting would have helped.
void report(const Victim& victim, Shortage shortage) {
  const Ref<Process> process = victim.process.as_ref();
  const RefPtr<Task> thread = process->any_thread();
  const auto name = thread ? thread->name() : process->leader_name();
  constexpr std::uint64_t kKilobytes = kPageSize / 1024;
  const AddressSpace::Footprint& footprint = victim.footprint;
  LOG(error) << "Out of memory: Killed process " << static_cast<std::int32_t>(process->pid()) << " (" << name_of(name)
             << ") total-vm:" << footprint.virtual_size * kKilobytes << "kB, anon-rss:" << (footprint.in_place + footprint.set_aside) * kKilobytes
             << "kB, file-rss:0kB, shmem-rss:" << footprint.shared * kKilobytes << "kB, UID:" << (thread ? thread->credentials_ref()->ruid : 0)
             << " pgtables:0kB oom_score_adj:" << process->oom_score_adj.load(std::memory_order_relaxed)
             << (shortage == Shortage::of_heap ? " (resource_limits.kernel_space_heap_max_size)" : " (resource_limits.user_space_max_size)");
}

// What is set aside for the victim goes before it is told: waking its threads may need memory.
void condemn(const Victim& victim, Shortage shortage, const AddressSpace* evicted) REQUIRES(overlap_lock) {
  const LockGuard guard(ProcessAccess::lock(*victim.process));
  const RefPtr<AddressSpace> mm = ProcessAccess::mm(*victim.process);
  if (!mm || mm->id() != victim.mm) return;  // it has ended by itself
  if (!mm->is_victim.exchange(true, std::memory_order_acq_rel)) victims().dying.fetch_add(1, std::memory_order_acq_rel);
  if (shortage == Shortage::of_pages) return;
  if (mm.get() == evicted)
    mm->is_damaged.store(true, std::memory_order_relaxed);
  else
    mm->drop_set_aside();
}

void kill(const Victim& victim, Shortage shortage) EXCLUDES(tree_lock) {
  victims().kills.fetch_add(1, std::memory_order_relaxed);
  kill_users(victim.mm);
  report(victim, shortage);
}

// True if a victim's memory came free, or the caller is to die.
bool wait_for_victims(Task& task) {
  const std::uint32_t before = victims().ended.load(std::memory_order_acquire);
  const auto any_gone = [&] { return victims().dying.load(std::memory_order_acquire) == 0 || victims().ended.load(std::memory_order_acquire) != before; };
  const Task::KillableSection killable(task);
  return victims().gone.wait(any_gone, monotonic_now() + kPatience).ok() || task.is_dying();
}

bool relieve() {
  // The kernel's own threads build the first program's memory: if there is none, it is not started.
  const Ref<Thread> running(current_thread());
  const RefPtr<Task> task(running->as_task());
  if (!task || task->is_dying()) return false;
  if (victims().dying.load(std::memory_order_acquire) != 0 && wait_for_victims(*task)) return !task->is_dying();
  Victim victim;
  {
    const LockGuard guard(overlap_lock);
    victim = choose(Shortage::of_pages, nullptr);
    if (victim.process) condemn(victim, Shortage::of_pages, nullptr);
  }
  if (!victim.process) {
    LOG(error) << "Out of memory and no killable processes (resource_limits.user_space_max_size)";
    return false;
  }
  const auto name = task->name();
  LOG(error) << name_of(name) << " invoked oom-killer: order=0, oom_score_adj=" << task->process().oom_score_adj.load(std::memory_order_relaxed);
  kill(victim, Shortage::of_pages);
  if (task->is_dying()) return false;
  (void)wait_for_victims(*task);
  return !task->is_dying();
}

bool make_room(AddressSpace* evicted) REQUIRES(overlap_lock) {
  const Victim victim = choose(Shortage::of_heap, evicted);
  if (!victim.process) return false;
  condemn(victim, Shortage::of_heap, evicted);
  kill(victim, Shortage::of_heap);
  return true;
}

void memory_lost(AddressSpace& space) REQUIRES(overlap_lock) { kill_users(space.id()); }

bool is_dying() { return victims().dying.load(std::memory_order_relaxed) != 0; }

void victim_gone() {
  victims().dying.fetch_sub(1, std::memory_order_acq_rel);
  victims().ended.fetch_add(1, std::memory_order_acq_rel);
  victims().gone.wake_all();
}

}  // namespace

void init_oom() { set_shortage_hooks({.relieve = &relieve, .make_room = &make_room, .memory_lost = &memory_lost, .is_dying = &is_dying, .victim_gone = &victim_gone}); }

std::uint64_t oom_score(const Process& process) {
  const RefPtr<AddressSpace> mm = process.mm();
  const std::int32_t adjust = process.oom_score_adj.load(std::memory_order_relaxed);
  if (!mm || adjust == -kOomAdjustMax) return 0;
  AddressSpace::Footprint footprint;
  {
    const LockGuard guard(overlap_lock);
    footprint = mm->footprint();
  }
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, (kOomAdjustMax + badness(footprint, adjust) * kOomAdjustMax / total_pages()) * 2 / 3));
}

std::uint64_t oom_kills() { return victims().kills.load(std::memory_order_relaxed); }

}  // namespace kernel
