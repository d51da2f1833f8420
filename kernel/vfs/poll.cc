#include "kernel/vfs/poll.h"

#include "kernel/base/vec.h"

namespace kernel {
namespace {

// One file's entry while a thread waits for several.
struct Entry {
  explicit Entry(WaitQueue& its_queue) : queue(its_queue) { queue.add(waiter); }
  ~Entry() { queue.remove(waiter); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  WaitQueue& queue;
  ThreadWaiter waiter;
};

std::uint32_t look(std::span<PollItem> items) {
  std::uint32_t count = 0;
  for (PollItem& item : items) {
    if (item.file) item.ready = item.file->readiness() & (item.events | kPollErr | kPollHup);
    if (item.ready != 0) ++count;
  }
  return count;
}

}  // namespace

Result<std::uint32_t> poll_files(std::span<PollItem> items, Instant deadline) {
  if (const std::uint32_t count = look(items); count != 0 || deadline == 0) return count;
  Vec<Own<Entry>> entries;
  TRY(entries.try_reserve(items.size()));
  for (const PollItem& item : items) {
    if (!item.file) continue;
    if (WaitQueue* queue = item.file->wait_queue(); queue != nullptr) TRY(entries.try_push(TRY(make_own<Entry>(*queue))));
  }
  for (;;) {
    // Registered first, then looked: a change in between wakes us.
    if (const std::uint32_t count = look(items); count != 0) return count;
    switch (park(deadline, Interruptible::yes)) {
      case ParkResult::woken: break;
      case ParkResult::timed_out: return look(items);
      case ParkResult::interrupted: return Errno::restart_nohand;
    }
  }
}

}  // namespace kernel
