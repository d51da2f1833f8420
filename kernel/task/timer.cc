#include "kernel/task/timer.h"

#include <utility>

#include "kernel/task/scheduler.h"

namespace kernel {

namespace {
constinit TimerQueue the_timers;
}
TimerQueue& timers() { return the_timers; }

void Timer::arm(Instant deadline) { the_timers.arm(*this, deadline); }
void Timer::cancel() { the_timers.cancel(*this); }

Timer* TimerQueue::meld(Timer* a, Timer* b) {
  if (a == nullptr) return b;
  if (b == nullptr) return a;
  if (b->deadline_ < a->deadline_) std::swap(a, b);
  b->next_ = a->child_;
  if (b->next_ != nullptr) b->next_->prev_ = b;
  b->prev_ = a;
  a->child_ = b;
  a->next_ = nullptr;
  a->prev_ = nullptr;
  return a;
}

// The usual two passes: pairs from left to right, then melded from right to left.
Timer* TimerQueue::merge_pairs(Timer* first) {
  Timer* pairs = nullptr;
  while (first != nullptr) {
    Timer* a = first;
    Timer* b = a->next_;
    first = b == nullptr ? nullptr : b->next_;
    a->next_ = a->prev_ = nullptr;
    if (b != nullptr) b->next_ = b->prev_ = nullptr;
    Timer* pair = meld(a, b);
    pair->next_ = pairs;
    pairs = pair;
  }
  Timer* result = nullptr;
  while (pairs != nullptr) {
    Timer* next = std::exchange(pairs->next_, nullptr);
    result = meld(result, pairs);
    pairs = next;
  }
  return result;
}

void TimerQueue::publish_locked() {
  next_.store(root_ == nullptr ? kNever : root_->deadline_, std::memory_order_release);
}

void TimerQueue::insert_locked(Timer& timer) {
  timer.child_ = timer.next_ = timer.prev_ = nullptr;
  timer.queued_ = true;
  root_ = meld(root_, &timer);
}

void TimerQueue::remove_locked(Timer& timer) {
  Timer* children = merge_pairs(std::exchange(timer.child_, nullptr));
  if (&timer == root_) {
    root_ = children;
  } else {
    if (timer.prev_->child_ == &timer)
      timer.prev_->child_ = timer.next_;
    else
      timer.prev_->next_ = timer.next_;
    if (timer.next_ != nullptr) timer.next_->prev_ = timer.prev_;
    timer.next_ = timer.prev_ = nullptr;
    root_ = meld(root_, children);
  }
  timer.queued_ = false;
}

void TimerQueue::arm(Timer& timer, Instant deadline) {
  bool earliest = false;
  {
    const LockGuard guard(lock_);
    if (timer.queued_) remove_locked(timer);
    timer.deadline_ = deadline;
    if (deadline != kNever) insert_locked(timer);
    earliest = root_ == &timer;
    publish_locked();
  }
  if (earliest) scheduler().on_earlier_timer();
}

void TimerQueue::cancel(Timer& timer) {
  for (bool again = true; again;) {
    {
      const LockGuard guard(lock_);
      if (timer.queued_) remove_locked(timer);
      timer.deadline_ = kNever;
      publish_locked();
      again = timer.running_.load(std::memory_order_acquire);
    }
    // Its callback runs, and may arm it once more: look again when it is over.
    while (timer.running_.load(std::memory_order_acquire)) __builtin_ia32_pause();
  }
}

void TimerQueue::run(Instant now) {
  while (next_deadline() <= now) {
    Timer* due = nullptr;
    {
      const LockGuard guard(lock_);
      if (root_ == nullptr || root_->deadline_ > now) return;
      due = root_;
      // Another vCPU runs this timer's callback, which armed it again in the past: leave it to that one.
      if (due->running_.exchange(true, std::memory_order_acq_rel)) return;
      remove_locked(*due);
      publish_locked();
    }
    due->on_timer(now);
    due->running_.store(false, std::memory_order_release);
  }
}

}  // namespace kernel
