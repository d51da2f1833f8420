#include "kernel/task/thread.h"

#include "kernel/frame/bytes.h"
#include "kernel/frame/code.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/heap.h"
#include "kernel/task/scheduler.h"
#include "kernel/task/timer.h"

namespace kernel {

namespace {
constexpr std::size_t kStackPages = 4;

// Wakes a parked thread at its deadline.
class ParkTimer final : public Timer {
 public:
  explicit ParkTimer(Thread& thread) : thread_(thread) {}

 private:
  void on_timer(Instant) override { thread_.unpark(); }
  Thread& thread_;
};
}  // namespace

void thread_start_function(void* argument);

Thread::~Thread() {
  if (!stack_.empty()) frame::free_pages(stack_);
  if (!xsave_.empty()) frame::free_pages(xsave_);
}

Result<> Thread::allocate_stack(bool runs_user_code) {
  if (runs_user_code) {
    xsave_ = TRY(frame::allocate_pages((frame::xsave_size() + kPageSize - 1) / kPageSize));
    frame::xsave_make_initial(xsave_);
    context_.xsave = xsave_.data();
    context_.work.store(frame::kWorkRestoreState, std::memory_order_relaxed);
  }
  stack_ = TRY(frame::allocate_pages(kStackPages));
  zero_bytes(stack_);
  frame::set_stack(context_, stack_);
  frame::prepare_stack(context_, &thread_start_function, this);
  return {};
}

std::span<std::byte> Thread::xsave_area() { return xsave_.first(xsave_.empty() ? 0 : frame::xsave_size()); }

void Thread::start() {
  ref();  // the scheduler's reference, dropped when the thread is dead
  context_.vcpu = frame::this_vcpu().index;
  started_ns_ = monotonic_now();
  ThreadState created = ThreadState::created;
  KASSERT(state_.load() == created);
  scheduler().enqueue(*this);
  state_.compare_exchange_strong(created, ThreadState::runnable);
}

void Thread::unpark() {
  wake_token_.store(true, std::memory_order_seq_cst);
  ThreadState parked = ThreadState::parked;
  if (state_.compare_exchange_strong(parked, ThreadState::runnable, std::memory_order_acq_rel)) scheduler().enqueue(*this);
}

void Thread::notify(std::uint32_t bits) {
  set_work(bits);
  unpark();
  scheduler().notify_running(*this);
}

std::uint64_t Thread::run_time_ns() const {
  const std::uint64_t ended = run_time_ns_.load(std::memory_order_relaxed);
  if (state() != ThreadState::running) return ended;
  const std::uint64_t now = monotonic_now();
  const std::uint64_t started = started_ns_;  // read racily for other threads: an estimate is enough there
  return now > started ? ended + (now - started) : ended;
}

void Thread::set_schedule(SchedClass sched_class, int priority, int nice) {
  class_ = sched_class;
  priority_ = priority;
  nice_ = nice;
}

Thread& current_thread() {
  const frame::ThreadContext* context = frame::this_vcpu().current;
  KASSERT(context != nullptr);
  return *context->owner;
}

Sleeper& current_sleeper() { return current_thread(); }
bool signal_pending() { return current_thread().has_interrupt(); }

ParkResult park(Instant deadline, Interruptible interruptible) {
  assert_no_spinlocks_held();
  Thread& thread = current_thread();
  ParkTimer timer(thread);
  const bool timed = deadline != kNever;
  for (bool slept = false;; slept = true) {
    if (thread.wake_token_.exchange(false, std::memory_order_acq_rel)) {
      if (timed && slept) timer.cancel();
      // A signal's wake-up is told as such; other wake-ups may be spurious for the caller, who loops.
      if (interruptible == Interruptible::yes && thread.has_interrupt()) return ParkResult::interrupted;
      if (timed && slept && monotonic_now() >= deadline) return ParkResult::timed_out;
      return ParkResult::woken;
    }
    if (interruptible == Interruptible::yes && thread.has_interrupt()) return ParkResult::interrupted;
    if (timed && monotonic_now() >= deadline) return ParkResult::timed_out;
    if (timed) timer.arm(deadline);
    thread.state_.store(ThreadState::parked, std::memory_order_seq_cst);
    ThreadState parked = ThreadState::parked;
    // Somebody may have unparked between the token check and the state change; whoever takes the state back decides.
    if (thread.wake_token_.load(std::memory_order_seq_cst) &&
        thread.state_.compare_exchange_strong(parked, ThreadState::running, std::memory_order_acq_rel))
      continue;
    thread.voluntary_switches_ += 1;
    scheduler().switch_away();
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
