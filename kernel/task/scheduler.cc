#include "kernel/task/scheduler.h"

#include <algorithm>

#include "kernel/frame/code.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/vcpu_slots.h"
#include "kernel/host/clock.h"
#include "kernel/task/residency.h"
#include "kernel/task/timer.h"

namespace kernel {

namespace {
constinit Scheduler the_scheduler;

constexpr std::uint32_t kTickMicroseconds = 1000;
constexpr Instant kSliceNs = 4'000'000;     // nice 0
constexpr std::uint32_t kQuietTicks = 16;   // this many ticks without need turn the tick off
constexpr std::uint64_t kSpinNs = 15'000;   // how long an idle vCPU looks for work before it leaves

// A slice grows and shrinks with niceness, as Linux's weights do in effect: a factor of about 1.25 per two steps.
Instant slice_for(int nice) { return nice <= 0 ? kSliceNs + kSliceNs * static_cast<Instant>(-nice) / 4 : kSliceNs / (1 + static_cast<Instant>(nice) / 4); }

std::uint64_t take_all(std::atomic<std::uint64_t>& bits) {
  return bits.load(std::memory_order_relaxed) == 0 ? 0 : bits.exchange(0, std::memory_order_acq_rel);
}
}  // namespace

Scheduler& scheduler() { return the_scheduler; }
std::uint32_t vcpu_count() { return the_scheduler.vcpus(); }

void Scheduler::init(std::uint32_t vcpus, const SchedulerHost& host) {
  count_ = vcpus;
  host_ = host;
}

std::uint32_t Scheduler::runnable() const {
  std::uint32_t sum = 0;
  for (std::uint32_t index = 0; index < count_; ++index) sum += vcpus_[index].length.load(std::memory_order_relaxed);
  return sum;
}

bool Scheduler::is_running(std::uint32_t index) {
  return (frame::existing_slots() >> index & 1) != 0 && frame::vcpu_block(index).busy_since.load(std::memory_order_relaxed) != 0;
}

std::uint32_t Scheduler::running() const {
  std::uint32_t sum = 0;
  for (std::uint32_t index = 0; index < count_; ++index)
    if (is_running(index)) ++sum;
  return sum;
}

std::uint32_t Scheduler::active() const { return running() + runnable() + Residency::held(); }

bool Scheduler::anyone_waits() const {
  for (std::uint32_t index = 0; index < count_; ++index)
    if (vcpus_[index].length.load(std::memory_order_seq_cst) != 0) return true;
  return false;
}

std::uint64_t Scheduler::switches() const {
  std::uint64_t sum = 0;
  for (std::uint32_t index = 0; index < count_; ++index) sum += vcpus_[index].switches.load(std::memory_order_relaxed);
  return sum;
}

CpuCount Scheduler::busy(std::uint32_t index) const {
  if (index >= count_ || (frame::existing_slots() >> index & 1) == 0) return {};
  const Vcpu& vcpu = vcpus_[index];
  std::uint64_t ticks = vcpu.busy_ticks.load(std::memory_order_relaxed);
  const frame::VcpuBlock& block = frame::vcpu_block(index);
  const std::uint64_t since = block.busy_since.load(std::memory_order_relaxed);
  const std::uint64_t now = frame::read_tsc();
  if (since != 0 && now > since) ticks += now - since;
  return {.run_ns = ticks_to_ns(ticks),
          .user_sampled = block.user_sampled.load(std::memory_order_relaxed),
          .system_sampled = block.system_sampled.load(std::memory_order_relaxed)};
}

Scheduler::Vcpu& Scheduler::here() { return vcpus_[frame::this_vcpu().index]; }

// ---- run queues

// Where a thread that becomes runnable goes: back where it ran if that vCPU has nothing else to do, else here (threads that talk to each
// other belong on one vCPU: a wake-up across processors costs tens of microseconds).
std::uint32_t Scheduler::choose_vcpu(const Thread& thread) {
  const std::uint32_t local = frame::this_vcpu().index;
  const std::uint64_t allowed = thread.affinity();
  const auto may = [&](std::uint32_t index) { return index < count_ && (allowed >> index & 1) != 0; };
  const std::uint32_t last = thread.context_.vcpu;
  if (last != local && may(last) && vcpus_[last].state.load(std::memory_order_relaxed) == VcpuState::spinning) return last;
  if (may(local)) return local;
  if (may(last)) return last;
  for (std::uint32_t index = 0; index < count_; ++index)
    if (may(index)) return index;
  return local;
}

void Scheduler::enqueue(Thread& thread) {
  if (!Residency::hold(thread)) return enqueue_admitted(thread);
  // The members of its group take turns by the tick.
  if (Thread* running = here().current; running != nullptr && !tick_on_.load(std::memory_order_relaxed)) running->set_work(frame::kWorkTimers);
}

void Scheduler::enqueue_admitted(Thread& thread) {
  Residency::queued(thread);
  const std::uint32_t target = choose_vcpu(thread);
  Vcpu& vcpu = vcpus_[target];
  std::uint32_t length = 0;
  {
    const LockGuard guard(vcpu.lock);
    if (thread.class_ == SchedClass::fifo || thread.class_ == SchedClass::rr)
      vcpu.realtime.push_back(thread);
    else
      vcpu.normal.push_back(thread);
    length = vcpu.length.load(std::memory_order_relaxed) + 1;
    vcpu.length.store(length, std::memory_order_relaxed);
  }
  Vcpu& local = here();
  if (&vcpu != &local) {
    // Whoever goes to sleep says so first and looks at the lengths then: one of the two sees the other.
    frame::full_fence();
    if (vcpu.state.load(std::memory_order_seq_cst) == VcpuState::sleeping || vcpu.state.load() == VcpuState::offline) choose_wake(local, target);
  } else if (length > 1) {
    // More work than this vCPU can start at once: let a sleeping one help, unless one is looking for work already. (A single thread
    // that was woken or made here is not worth a wake-up: most often this one is about to wait for it. If not, the tick finds it.)
    frame::full_fence();
    if (spinners_.load(std::memory_order_seq_cst) == 0) choose_wake(local, target);
  }
  if (vcpu.current != nullptr && (thread.class_ == SchedClass::fifo || thread.class_ == SchedClass::rr)) notify_running(*vcpu.current);
  if (local.current != nullptr && !tick_on_.load(std::memory_order_relaxed)) local.current->set_work(frame::kWorkTimers);
}

// Notes that a sleeping (or not yet started) vCPU has to be woken; the wake-up itself leaves the enclave, so it is done by pay_debts.
void Scheduler::choose_wake(Vcpu& local, std::uint32_t target) {
  std::uint32_t chosen = target;
  if (&vcpus_[target] == &local) {
    chosen = count_;
    for (std::uint32_t index = 0; index < count_; ++index) {
      const VcpuState state = vcpus_[index].state.load(std::memory_order_relaxed);
      if (&vcpus_[index] != &local && (state == VcpuState::sleeping || state == VcpuState::offline)) {
        chosen = index;
        break;
      }
    }
    if (chosen == count_) return;
  }
  local.owed_wakes.fetch_or(std::uint64_t{1} << chosen, std::memory_order_relaxed);
  if (local.current != nullptr) local.current->set_work(frame::kWorkTimers);
}

void Scheduler::notify_running(Thread& thread) {
  const std::uint32_t index = thread.context_.vcpu;
  if (thread.state() != ThreadState::running || index >= count_) return;
  Vcpu& local = here();
  if (&vcpus_[index] == &local) return;  // it is us: the return path will see the work bits
  local.owed_kicks.fetch_or(std::uint64_t{1} << index, std::memory_order_relaxed);
  if (local.current != nullptr) local.current->set_work(frame::kWorkTimers);
}

// The next thread that may run; those that may not are with their groups afterwards.
Thread* Scheduler::take_next(Vcpu& vcpu) {
  Thread* thread = take_first(vcpu);
  while (thread != nullptr && !Residency::admit(*thread)) thread = take_first(vcpu);
  return thread;
}

Thread* Scheduler::steal(std::uint32_t thief) {
  Thread* thread = steal_first(thief);
  while (thread != nullptr && !Residency::admit(*thread)) thread = steal_first(thief);
  return thread;
}

Thread* Scheduler::take_first(Vcpu& vcpu) {
  if (vcpu.length.load(std::memory_order_relaxed) == 0) return nullptr;
  const LockGuard guard(vcpu.lock);
  for (List<Thread, RunQueueTag>* list : {&vcpu.realtime, &vcpu.normal}) {
    for (Thread* thread = list->front(); thread != nullptr; thread = list->next(*thread)) {
      if (still_leaving(*thread) && thread != vcpu.current) continue;
      take(vcpu, *thread);
      return thread;
    }
  }
  return nullptr;
}

// Its stack is in use by a vCPU that is just switching away from it. Waiting for that here could be mutual.
bool Scheduler::still_leaving(const Thread& thread) { return thread.on_cpu_.load(std::memory_order_acquire); }

void Scheduler::take(Vcpu& vcpu, Thread& thread) {
  List<Thread, RunQueueTag>::remove(thread);
  vcpu.length.store(vcpu.length.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

Thread* Scheduler::steal_first(std::uint32_t thief) {
  for (std::uint32_t step = 1; step < count_; ++step) {
    Vcpu& victim = vcpus_[(thief + step) % count_];
    if (victim.length.load(std::memory_order_relaxed) == 0) continue;
    const LockGuard guard(victim.lock);
    for (List<Thread, RunQueueTag>* list : {&victim.realtime, &victim.normal}) {
      for (Thread* thread = list->front(); thread != nullptr; thread = list->next(*thread)) {
        if ((thread->affinity() >> thief & 1) == 0 || still_leaving(*thread)) continue;
        take(victim, *thread);
        return thread;
      }
    }
  }
  return nullptr;
}

// ---- switching

void Scheduler::note_idle(Vcpu& vcpu, frame::VcpuBlock& block, std::uint64_t now) {
  const std::uint64_t since = block.busy_since.load(std::memory_order_relaxed);
  block.busy_since.store(0, std::memory_order_relaxed);
  if (now > since) vcpu.busy_ticks.store(vcpu.busy_ticks.load(std::memory_order_relaxed) + (now - since), std::memory_order_relaxed);
}

void Scheduler::switch_to(Vcpu& vcpu, Thread* next) {
  frame::VcpuBlock& block = frame::this_vcpu();
  Thread* previous = vcpu.current;
  if (next == previous && next != nullptr) return Residency::arrived(*next);
  vcpu.switches.store(vcpu.switches.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  const std::uint64_t now = frame::read_tsc();
  if (previous != nullptr) {
    frame::save_user_state(previous->context_);
    const std::uint64_t ran = now > previous->started_ ? now - previous->started_ : 0;  // counters of two processors may differ a little
    previous->run_ticks_.store(previous->run_ticks_.load(std::memory_order_relaxed) + ran, std::memory_order_relaxed);
  }
  vcpu.previous = previous;
  vcpu.current = next;
  std::uint64_t& save = previous != nullptr ? previous->context_.kernel_rsp : vcpu.idle_rsp;
  if (next == nullptr) {
    block.current = nullptr;
    note_idle(vcpu, block, now);
    frame::switch_to(save, vcpu.idle_rsp);
  } else {
    // Who was held just now asked for the tick in the name of a thread that runs no longer.
    if (Residency::any_held() && !tick_on_.load(std::memory_order_relaxed)) next->set_work(frame::kWorkTimers);
    if (previous == nullptr) block.busy_since.store(now, std::memory_order_relaxed);
    next->on_cpu_.store(true, std::memory_order_relaxed);
    next->context_.vcpu = block.index;
    next->started_ = now;
    next->slice_start_ = now;
    block.frame_end = next->context_.stack_top;
    block.current = &next->context_;
    frame::switch_to(save, next->context_.kernel_rsp);
  }
  finish_switch();
  if (previous != nullptr) Residency::arrived(*previous);  // it runs again
}

// First thing on the new stack: the old one is free now.
void Scheduler::finish_switch() {
  Vcpu& vcpu = here();
  Thread* previous = vcpu.previous;
  vcpu.previous = nullptr;
  if (previous == nullptr) return;
  const bool dead = previous->state() == ThreadState::dead;
  previous->on_cpu_.store(false, std::memory_order_release);
  if (dead) previous->deref();
}

void thread_start_function(void* argument) {
  the_scheduler.finish_switch();
  Thread* thread = static_cast<Thread*>(argument);
  Residency::arrived(*thread);
  thread->run();
  exit_thread();
}

void Scheduler::switch_away() {
  assert_no_spinlocks_held();
  KASSERT((frame::this_vcpu().copy_epoch.load(std::memory_order_relaxed) & 1) == 0);  // an announced copy does not wait
  Vcpu& vcpu = here();
  Thread* next = take_next(vcpu);
  if (next == nullptr && anyone_waits()) next = steal(frame::this_vcpu().index);
  if (next == nullptr || next != vcpu.current) {
    // Members of its group that waited for it may be what comes next.
    Residency::left(*vcpu.current);
    if (next == nullptr) next = take_next(vcpu);
  }
  switch_to(vcpu, next);
}

void Scheduler::yield() {
  Vcpu& vcpu = here();
  Thread* thread = vcpu.current;
  thread->clear_work(frame::kWorkResched);
  const bool gives_way = Residency::is_time_over(*thread);
  const bool must_move = (thread->affinity() >> frame::this_vcpu().index & 1) == 0;
  if (!gives_way && !must_move && vcpu.length.load(std::memory_order_relaxed) == 0) {
    thread->slice_start_ = frame::read_tsc();
    return;
  }
  Thread* next = take_next(vcpu);
  if (next == nullptr && !gives_way && !must_move) return;
  Thread::count_switch(thread->involuntary_switches_);
  enqueue(*thread);
  Residency::left(*thread);
  if (next == nullptr) next = take_next(vcpu);
  switch_to(vcpu, next);  // the idle loop if there is nothing else here
}

void Scheduler::visit_busy_vcpus() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Thread& thread = *here().current;
  const std::uint64_t affinity = thread.affinity();
  const SchedClass sched_class = thread.class_;
  thread.class_ = SchedClass::fifo;  // ahead of what waits there
  for (std::uint32_t index = 0; index < count_; ++index) {
    if (index == frame::this_vcpu().index || vcpus_[index].state.load(std::memory_order_seq_cst) != VcpuState::busy) continue;
    thread.set_affinity(std::uint64_t{1} << index);
    yield();
  }
  thread.class_ = sched_class;
  thread.set_affinity(affinity);
}

void Scheduler::finish_current() {
  Vcpu& vcpu = here();
  vcpu.current->state_.store(Thread::kDead, std::memory_order_release);
  switch_away();
  panic("a dead thread ran", __FILE_NAME__, __LINE__);
}

// ---- idling

bool Scheduler::spin_for_work(Vcpu& vcpu) {
  vcpu.state.store(VcpuState::spinning, std::memory_order_seq_cst);
  spinners_.fetch_add(1, std::memory_order_seq_cst);
  const Instant start = monotonic_now();
  bool found = false;
  do {
    found = anyone_waits() || host_.poll_completions() || timers().next_deadline() <= monotonic_now();
    for (int pause = 0; pause < 16 && !found; ++pause) __builtin_ia32_pause();
  } while (!found && monotonic_now() - start < kSpinNs);
  spinners_.fetch_sub(1, std::memory_order_seq_cst);
  vcpu.state.store(VcpuState::busy, std::memory_order_seq_cst);
  return found;
}

void Scheduler::idle_loop() {
  const std::uint32_t index = frame::this_vcpu().index;
  Vcpu& vcpu = vcpus_[index];
  vcpu.state.store(VcpuState::busy);
  online_.fetch_add(1);
  for (;;) {
    pay_debts();
    const Instant now = monotonic_now();
    timers().run(now);
    // What has become runnable just now did not run in the periods that have passed.
    if (load_.is_due(now)) load_.catch_up(now, running());
    Thread* next = take_next(vcpu);
    if (next == nullptr && anyone_waits()) next = steal(index);
    if (next != nullptr) {
      // This vCPU no longer sleeps towards the next timer: the tick may have to be switched on.
      if (timers().next_deadline() != kNever) next->set_work(frame::kWorkTimers);
      switch_to(vcpu, next);
      continue;
    }
    if (Residency::any_held() && !tick_on_.load(std::memory_order_relaxed)) update_tick();
    if (spin_for_work(vcpu)) continue;
    // Announce the sleep, then look once more: whoever enqueues after this sees `sleeping` and wakes us.
    vcpu.state.store(VcpuState::sleeping, std::memory_order_seq_cst);
    host_.announce_idle(true);
    if (!anyone_waits() && vcpu.owed_wakes.load() == 0 && !host_.poll_completions()) {
      const Instant deadline = timers().next_deadline();
      sleep_deadline_.store(deadline, std::memory_order_seq_cst);
      host_.idle(deadline);
      sleep_deadline_.store(kNever, std::memory_order_seq_cst);
    }
    host_.announce_idle(false);
    vcpu.state.store(VcpuState::busy, std::memory_order_seq_cst);
    host_.poll_completions();
  }
}

// ---- ticks, timers, debts to other vCPUs

bool Scheduler::should_yield(const Thread& thread) const {
  if (Residency::is_time_over(thread)) return true;
  const Vcpu& vcpu = vcpus_[thread.context_.vcpu];
  if (vcpu.length.load(std::memory_order_relaxed) == 0) return false;
  return thread.class_ != SchedClass::fifo && ticks_to_ns(frame::read_tsc() - thread.slice_start_) >= slice_for(thread.nice_);
}

// The tick runs while somebody waits for a vCPU, or while a timer is armed and nobody sleeps until its deadline.
void Scheduler::update_tick() {
  const bool needed = anyone_waits() || Residency::any_held() ||
                      timers().next_deadline() < sleep_deadline_.load(std::memory_order_relaxed);  // no sleeper wakes in time for it
  if (needed) {
    quiet_ticks_.store(0, std::memory_order_relaxed);
    if (!tick_on_.exchange(true, std::memory_order_acq_rel)) host_.set_tick(kTickMicroseconds);
  } else if (tick_on_.load(std::memory_order_relaxed) && quiet_ticks_.fetch_add(1, std::memory_order_relaxed) >= kQuietTicks) {
    if (tick_on_.exchange(false, std::memory_order_acq_rel)) host_.set_tick(0);
  }
}

void Scheduler::on_earlier_timer() {
  Vcpu& local = here();
  if (local.current != nullptr) local.current->set_work(frame::kWorkTimers);
  // Sleepers that left with a later deadline are not told: while this vCPU is busy the tick serves the timer, which costs less.
}

void Scheduler::pay_debts() {
  Vcpu& local = here();
  if (const std::uint64_t wakes = take_all(local.owed_wakes); wakes != 0) {
    for (std::uint32_t index = 0; index < count_; ++index) {
      if ((wakes >> index & 1) == 0) continue;
      VcpuState offline = VcpuState::offline;
      if (vcpus_[index].state.compare_exchange_strong(offline, VcpuState::busy))
        host_.start_vcpu(index);
      else if (anyone_waits() && vcpus_[index].state.load() == VcpuState::sleeping)
        host_.wake_vcpu(index);
    }
  }
  if (const std::uint64_t kicks = take_all(local.owed_kicks); kicks != 0) {
    for (std::uint32_t index = 0; index < count_; ++index)
      if ((kicks >> index & 1) != 0) host_.kick_vcpu(index);
  }
}

// On the way back to user code (kWorkTimers), whether a tick came or something was enqueued.
void Scheduler::on_tick(frame::VcpuBlock& vcpu) {
  const bool ticked = vcpu.ticked != 0;
  vcpu.ticked = 0;
  pay_debts();
  if (ticked) {
    host_.refresh_clock();
    host_.poll_completions();
    const Instant now = monotonic_now();
    timers().run(now);
    if (load_.is_due(now)) load_.catch_up(now, active());
    // Work that waits here while others sleep or were never started: wake one.
    Vcpu& local = here();
    if (local.length.load(std::memory_order_relaxed) != 0) {
      choose_wake(local, vcpu.index);
      pay_debts();
    }
  }
  update_tick();
}

}  // namespace kernel
