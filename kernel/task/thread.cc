#include "kernel/task/thread.h"

#include <utility>

#include "kernel/frame/bytes.h"
#include "kernel/frame/code.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/heap.h"
#include "kernel/host/clock.h"
#include "kernel/task/residency.h"
#include "kernel/task/scheduler.h"
#include "kernel/task/timer.h"

namespace kernel {

namespace {
constexpr std::size_t kStackPages = kSanitized ? 16 : 4;
constexpr std::size_t kXsaveTrailer = sizeof(std::uint32_t);

// Wakes a parked thread at its deadline.
class ParkTimer final : public Timer {
 public:
  explicit ParkTimer(Thread& thread) : thread_(thread) {}
  ~ParkTimer() override { disarm(); }
  void start(Instant deadline) {
    started_ = true;
    arm(deadline);
  }
  void disarm() {
    if (std::exchange(started_, false)) cancel();
  }

 private:
  void on_timer(Instant) override { thread_.unpark(); }
  Thread& thread_;
  bool started_ = false;  // also after it went off
};
}  // namespace

void thread_start_function(void* argument);

Thread::~Thread() {
  if (!stack_.empty()) frame::free_pages(stack_);
  if (!xsave_.empty()) frame::free_pages(xsave_);
}

Result<> Thread::allocate_stack(bool runs_user_code) {
  if (runs_user_code) {
    xsave_ = TRY(frame::allocate_pages((frame::xsave_size() + kXsaveTrailer + kPageSize - 1) / kPageSize));
    frame::xsave_make_initial(xsave_);
    context_.xsave = xsave_.data();
    context_.state_saved.store(1, std::memory_order_relaxed);
  }
  stack_ = TRY(frame::allocate_pages(kStackPages));
  zero_bytes(stack_);
  frame::set_stack(context_, stack_);
  frame::prepare_stack(context_, &thread_start_function, this);
  return {};
}

std::span<std::byte> Thread::xsave_image() { return xsave_.first(xsave_.empty() ? 0 : frame::xsave_size() + kXsaveTrailer); }
std::span<std::byte> Thread::xsave_area() { return xsave_.first(xsave_.empty() ? 0 : frame::xsave_size()); }

void Thread::set_user_space(UserSpace* space) {
  if (frame::this_vcpu().current == &context_)
    Residency::change(*this, space);
  else
    context_.user_space = space;
}

void Thread::start() {
  ref();  // the scheduler's reference, dropped when the thread is dead
  context_.vcpu = frame::this_vcpu().index;
  const std::uint32_t before = state_.fetch_or(kActive, std::memory_order_acq_rel);
  KASSERT((before & ~kWakeToken) == kCreated);
  scheduler().enqueue(*this);
}

void Thread::unpark() {
  std::uint32_t seen = state_.load(std::memory_order_relaxed);
  for (;;) {
    if (seen == kParked) {
      if (!state_.compare_exchange_weak(seen, kActive, std::memory_order_acq_rel)) continue;
      scheduler().enqueue(*this);
      return;
    }
    // A locked write even if the token is there already: it puts what the caller wrote before what the sleeper looks at next.
    if (state_.compare_exchange_weak(seen, seen | kWakeToken, std::memory_order_acq_rel)) return;
  }
}

bool Thread::take_wake_token() {
  if ((state_.load(std::memory_order_relaxed) & kWakeToken) == 0) return false;
  state_.fetch_and(~kWakeToken, std::memory_order_acq_rel);
  return true;
}

ThreadState Thread::state() const {
  switch (state_.load(std::memory_order_acquire) & ~kWakeToken) {
    case kCreated: return ThreadState::created;
    case kActive: return on_cpu_.load(std::memory_order_relaxed) ? ThreadState::running : ThreadState::runnable;
    case kParked: return ThreadState::parked;
    default: return ThreadState::dead;
  }
}

void Thread::notify(std::uint16_t bits) {
  set_work(bits);
  unpark();
  scheduler().notify_running(*this);
}

std::uint64_t Thread::run_time_ns() const {
  std::uint64_t ticks = run_ticks_.load(std::memory_order_relaxed);
  if (state() == ThreadState::running) {
    const std::uint64_t now = frame::read_tsc();
    const std::uint64_t started = started_;  // read racily for other threads: an estimate is enough there
    if (now > started) ticks += now - started;
  }
  return ticks_to_ns(ticks);
}

CpuCount Thread::cpu_count() const {
  return {.run_ns = run_time_ns(),
          .user_sampled = context_.user_sampled.load(std::memory_order_relaxed),
          .system_sampled = context_.system_sampled.load(std::memory_order_relaxed)};
}

void Thread::set_schedule(SchedClass sched_class, int priority, int nice) {
  class_ = sched_class;
  priority_ = priority;
  nice_ = nice;
}

Sleeper& current_sleeper() { return current_thread(); }
bool signal_pending() { return current_thread().has_interrupt(); }

ParkResult park(Instant deadline, Interruptible interruptible) {
  assert_no_spinlocks_held();
  run_deferred_lockers();
  Thread& thread = current_thread();
  ParkTimer timer(thread);
  const bool timed = deadline != kNever;
  for (bool slept = false;;) {
    if (slept || thread.take_wake_token()) {
      timer.disarm();
      // A signal's wake-up is told as such; other wake-ups may be spurious for the caller, who loops.
      if (interruptible == Interruptible::yes && thread.has_interrupt()) return ParkResult::interrupted;
      if (timed && slept && monotonic_now() >= deadline) return ParkResult::timed_out;
      return ParkResult::woken;
    }
    if (interruptible == Interruptible::yes && thread.has_interrupt()) return ParkResult::interrupted;
    if (timed && monotonic_now() >= deadline) return ParkResult::timed_out;
    if (timed) timer.start(deadline);
    // Fails if somebody has unparked since the token was looked at; then it is there.
    std::uint32_t awake = Thread::kActive;
    if (!thread.state_.compare_exchange_strong(awake, Thread::kParked, std::memory_order_acq_rel)) continue;
    Thread::count_switch(thread.voluntary_switches_);
    scheduler().switch_away();
    slept = true;  // only unpark() makes a parked thread go on
  }
}

void yield_now() { scheduler().yield(); }

void preemption_point() {
  Thread& thread = current_thread();
  if (scheduler().should_yield(thread)) scheduler().yield();
}

void exit_thread() { scheduler().finish_current(); }

void save_user_state() { frame::save_user_state(current_thread().context()); }

Result<> set_user_fs_base(Thread& thread, std::uint64_t address) {
  if (address >= frame::user_window_end()) return Errno::perm;
  if (&thread == &current_thread()) save_user_state();
  thread.context().fs_base = address;
  return {};
}

std::uint64_t user_fs_base(Thread& thread) {
  if (&thread == &current_thread()) save_user_state();
  return thread.context().fs_base;
}

void enter_user() { frame::enter_user(current_thread().context()); }

}  // namespace kernel
