// The asynchronous ring: requests for things that may take long (readiness of host handles). A request is identified by a token that the
// kernel checks against its own table when a completion comes; the host can answer early or wrongly, but only requests that exist, once.
#include <array>
#include <optional>

#include "kernel/frame/bytes.h"
#include "kernel/frame/host_memory.h"
#include "kernel/host/client.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel::host {
namespace {

constexpr std::size_t kMaxRequests = 128;  // fewer than ring entries, so the ring never fills

struct Request {
  std::uint64_t token = 0;  // of the outstanding request, 0 = none
  Watch* watch = nullptr;
  bool running = false;  // its callback runs right now; unwatch() waits for that
  bool is_free() const { return token == 0 && !running; }
};

struct RingState {
  std::array<Request, kMaxRequests> requests{};
  std::uint64_t sequence = 0;
  std::uint32_t sq_tail = 0;
  std::uint32_t cq_head = 0;
};

constinit SpinLock<LockRank::host_call> ring_lock;
constinit RingState ring GUARDED_BY(ring_lock);

std::uint64_t field(std::size_t offset) { return boot().rings + offset; }

// Puts the request into the submission ring; true if the host's thread sleeps and must be woken by an exit.
Result<bool> submit_locked(const host_abi::CallSlot& slot) REQUIRES(ring_lock) {
  const std::uint64_t at = field(offsetof(host_abi::Rings, sq)) + std::uint64_t{ring.sq_tail % host_abi::kRingEntries} * sizeof(host_abi::CallSlot);
  TRY(frame::copy_to_outside(at, std::as_bytes(std::span<const host_abi::CallSlot, 1>(&slot, 1))));
  ring.sq_tail += 1;
  frame::store_outside_u32(field(offsetof(host_abi::Rings, sq_tail)), ring.sq_tail);
  return frame::load_outside_u32(field(offsetof(host_abi::Rings, sq_sleeping))) != 0;
}

// The next completion that belongs to a live request.
struct Completed {
  std::size_t index;
  Watch* watch;
  std::uint32_t events;
};

std::optional<Completed> next_locked() REQUIRES(ring_lock) {
  for (;;) {
    const std::uint32_t ahead = frame::load_outside_u32(field(offsetof(host_abi::Rings, cq_tail))) - ring.cq_head;
    if (ahead == 0) return std::nullopt;
    // More than the ring holds: the index is nonsense. What was between is forgotten; we go on from there.
    if (ahead > host_abi::kRingEntries) ring.cq_head += ahead - 1;
    const std::uint64_t at = field(offsetof(host_abi::Rings, cq)) + std::uint64_t{ring.cq_head % host_abi::kRingEntries} * sizeof(host_abi::Completion);
    host_abi::Completion completion{};
    if (!frame::copy_from_outside(std::as_writable_bytes(std::span<host_abi::Completion, 1>(&completion, 1)), at).ok()) return std::nullopt;
    ring.cq_head += 1;
    frame::store_outside_u32(field(offsetof(host_abi::Rings, cq_head)), ring.cq_head);
    const std::size_t index = completion.token % kMaxRequests;
    Request& request = ring.requests[index];
    if (completion.token == 0 || request.token != completion.token) continue;  // unknown or answered: ignored
    request.token = 0;
    constexpr std::uint32_t kPollMask = 0x201f;  // POLLIN PRI OUT ERR HUP RDHUP
    constexpr std::uint32_t kPollErr = 8;
    const std::uint32_t events = completion.result < 0 ? kPollErr : static_cast<std::uint32_t>(completion.result) & kPollMask;
    request.running = true;
    return Completed{.index = index, .watch = request.watch, .events = events};
  }
}

class ReadyWaiter final : public Watch {
 public:
  void on_ready(std::uint32_t events) override {
    events_.store(events | kDone, std::memory_order_release);
    queue_.wake_all();
  }
  Result<std::uint32_t> wait(std::uint64_t deadline) {
    TRY(queue_.wait([this] { return events_.load(std::memory_order_acquire) != 0; }, deadline));
    return events_.load() & ~kDone;
  }

 private:
  static constexpr std::uint32_t kDone = 0x8000'0000;
  std::atomic<std::uint32_t> events_{0};
  WaitQueue queue_;
};

}  // namespace

Result<> watch(std::uint32_t handle, std::uint32_t events, Watch& target) {
  bool wake = false;
  {
    const LockGuard guard(ring_lock);
    std::optional<std::size_t> slot_index;
    for (std::size_t i = 0; i < kMaxRequests && !slot_index; ++i)
      if (ring.requests[i].is_free()) slot_index = i;
    if (!slot_index) return Errno::again;
    host_abi::CallSlot slot{};
    slot.token = (++ring.sequence) * kMaxRequests + *slot_index;
    slot.op = static_cast<std::uint32_t>(host_abi::Op::poll);
    slot.args[0] = handle;
    slot.args[1] = events;
    slot.args[2] = ~std::uint64_t{0};
    ring.requests[*slot_index] = {.token = slot.token, .watch = &target, .running = false};
    wake = TRY(submit_locked(slot));
  }
  if (wake) TRY(call(host_abi::Op::none));
  return {};
}

void unwatch(Watch& target) {
  for (;;) {
    const LockGuard guard(ring_lock);
    bool running = false;
    for (Request& request : ring.requests) {
      if (request.watch != &target) continue;
      request.token = 0;
      running = running || request.running;
    }
    if (!running) return;
  }
}

bool poll_completions() {
  // Cheap look without the lock first; a stale answer only delays.
  if (boot().rings == 0) return false;
  bool any = false;
  for (;;) {
    std::optional<Completed> completed;
    {
      if (!ring_lock.try_lock()) return any;
      completed = next_locked();
      ring_lock.unlock();
    }
    if (!completed) return any;
    completed->watch->on_ready(completed->events);
    {
      const LockGuard guard(ring_lock);
      ring.requests[completed->index].running = false;
    }
    any = true;
  }
}

Result<std::uint32_t> wait_ready(std::uint32_t handle, std::uint32_t events, std::uint64_t deadline) {
  ReadyWaiter waiter;
  TRY(watch(handle, events, waiter));
  auto result = waiter.wait(deadline);
  unwatch(waiter);
  return result;
}

}  // namespace kernel::host
