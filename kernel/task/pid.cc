#include "kernel/task/pid.h"

#include <atomic>
#include <utility>

namespace kernel {

namespace {
constinit IdTable table;
}  // namespace

IdTable& id_table() { return table; }

Result<Pid> IdTable::allocate() {
  for (;;) {
    std::size_t missing = 0;
    {
      const LockGuard guard(tree_lock);
      std::int32_t id = last_;
      bool need_chunk = false;
      for (std::int32_t tried = 0; tried < kPidMax; ++tried) {
        id = id + 1 >= kPidMax ? 1 : id + 1;
        const std::size_t index = static_cast<std::size_t>(id);
        Own<Chunk>& chunk = chunks_[index / kPerChunk];
        if (!chunk) {
          missing = index / kPerChunk;
          need_chunk = true;
          break;
        }
        IdSlot& slot = chunk->slots[index % kPerChunk];
        if (slot.uses != 0) continue;
        slot.uses = 1;
        ++chunk->used;
        const auto before = static_cast<std::size_t>(std::exchange(last_, id)) / kPerChunk;
        release_if_unused(before);
        return Pid{id};
      }
      if (!need_chunk) return Errno::again;
    }
    Own<Chunk> fresh = TRY(make_own<Chunk>());
    const LockGuard guard(tree_lock);
    if (!chunks_[missing]) chunks_[missing] = std::move(fresh);
  }
}

IdSlot* IdTable::find(Pid id) {
  const auto number = static_cast<std::int32_t>(id);
  if (number <= 0 || number >= kPidMax) return nullptr;
  const auto index = static_cast<std::size_t>(number);
  Own<Chunk>& chunk = chunks_[index / kPerChunk];
  return chunk ? &chunk->slots[index % kPerChunk] : nullptr;
}

void IdTable::add_use(Pid id) {
  IdSlot* slot = find(id);
  KASSERT(slot != nullptr && slot->uses != 0);
  ++slot->uses;
}

void IdTable::drop_use(Pid id) {
  IdSlot* slot = find(id);
  KASSERT(slot != nullptr && slot->uses != 0);
  if (--slot->uses != 0) return;
  KASSERT(!slot->task && !slot->process);
  const std::size_t at = static_cast<std::size_t>(id) / kPerChunk;
  --chunks_[at]->used;
  release_if_unused(at);
}

// Numbers rise until they wrap, so without this every chunk would be there after 65536 processes.
void IdTable::release_if_unused(std::size_t at) {
  Own<Chunk>& chunk = chunks_[at];
  if (!chunk || chunk->used != 0 || at == static_cast<std::size_t>(last_) / kPerChunk) return;
  const Own<Chunk> gone = std::move(chunk);
}

IdSlot* IdTable::next(std::int32_t& id) {
  while (++id < kPidMax) {
    const auto index = static_cast<std::size_t>(id);
    Own<Chunk>& chunk = chunks_[index / kPerChunk];
    if (!chunk) {
      id = static_cast<std::int32_t>((index / kPerChunk + 1) * kPerChunk - 1);
      continue;
    }
    IdSlot& slot = chunk->slots[index % kPerChunk];
    if (slot.uses != 0) return &slot;
  }
  return nullptr;
}

RefPtr<Process> find_process(Pid pid) {
  const LockGuard guard(tree_lock);
  IdSlot* slot = id_table().find(pid);
  return slot == nullptr ? RefPtr<Process>() : slot->process;
}

RefPtr<Task> find_task(Pid tid) {
  const LockGuard guard(tree_lock);
  IdSlot* slot = id_table().find(tid);
  return slot == nullptr ? RefPtr<Task>() : slot->task;
}

namespace {
// Collects processes that `wanted` accepts. The vector grows outside the lock.
template <class Wanted>
Result<Vec<Ref<Process>>> collect(Wanted&& wanted) {
  Vec<Ref<Process>> found;
  std::size_t room = 64;
  for (;;) {
    TRY(found.try_reserve(room));
    bool complete = true;
    {
      const LockGuard guard(tree_lock);
      std::int32_t id = 0;
      while (IdSlot* slot = id_table().next(id)) {
        if (!slot->process || !wanted(*slot->process)) continue;
        if (found.size() == found.capacity()) {
          complete = false;
          break;
        }
        TRY(found.try_push(slot->process.as_ref()));
      }
    }
    if (complete) return found;
    found.clear();
    room *= 4;
  }
}
}  // namespace

Result<Vec<Ref<Process>>> all_processes() {
  return collect([](const Process&) { return true; });
}

namespace {
constinit std::atomic<std::uint32_t> live_tasks{0};
}  // namespace

std::uint32_t task_count() { return live_tasks.load(std::memory_order_relaxed); }
void note_task_started() { live_tasks.fetch_add(1, std::memory_order_relaxed); }
void note_task_ended() { live_tasks.fetch_sub(1, std::memory_order_relaxed); }

std::uint32_t process_count() {
  const LockGuard guard(tree_lock);
  std::uint32_t count = 0;
  std::int32_t id = 0;
  while (IdSlot* slot = id_table().next(id))
    if (slot->process) ++count;
  return count;
}

Result<Vec<Ref<Process>>> group_members(Pid group) {
  return collect([group](const Process& process) { return process.group() == group; });
}

}  // namespace kernel
