// The scheduler: threads on virtual CPUs (design section 4). One run queue per vCPU, work stealing, round robin with slices by nice value,
// real-time threads first. Threads are preempted on their way back to user code only; kernel code runs until it parks, yields or reaches a
// preemption point.
#ifndef KERNEL_TASK_SCHEDULER_H
#define KERNEL_TASK_SCHEDULER_H

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/sync/lock.h"
#include "kernel/task/load_average.h"
#include "kernel/task/thread.h"

namespace kernel {

// What the scheduler needs of the host (implemented by host/; all leave the enclave).
struct SchedulerHost {
  void (*wake_vcpu)(std::uint32_t index);
  void (*kick_vcpu)(std::uint32_t index);
  void (*start_vcpu)(std::uint32_t index);
  void (*set_tick)(std::uint32_t period_us);  // 0 = off
  bool (*poll_completions)();                 // looks at the completion ring; true if something was completed
  void (*announce_idle)(bool idle);           // the shared word that a wake-up changes; written before the last look for work
  void (*idle)(Instant deadline);             // sleeps unless that word was changed since
  void (*refresh_clock)();
};

inline constexpr std::uint32_t kMaxVcpus = 64;  // host_abi::kMaxVcpus (asserted in init/boot.cc)

class Scheduler {
 public:
  // Once, on the first vCPU, before any thread exists.
  void init(std::uint32_t vcpus, const SchedulerHost& host);
  // The idle loop of a vCPU, on its entry stack; never returns. The first call on a vCPU brings it online.
  [[noreturn]] void idle_loop();

  void enqueue(Thread& thread);             // runnable: to the queue of the vCPU that suits, or held by its overlap group
  void enqueue_admitted(Thread& thread);    // the same for one that is not to be held
  void switch_away();                       // the running thread has set its state; runs the next one
  void yield();
  // The running thread passes through every vCPU that runs something: when it returns, each of them has gone through a switch of threads,
  // which is a full and serialising barrier there (membarrier).
  void visit_busy_vcpus();
  [[noreturn]] void finish_current();
  // Work of the return path and of ticks: timers, resched, wake-ups owed to other vCPUs. No locks held.
  void pay_debts();
  void on_earlier_timer();
  void on_tick(frame::VcpuBlock& vcpu);     // in normal kernel context, on the way back to user code
  bool should_yield(const Thread& thread) const;
  void notify_running(Thread& thread);
  std::uint32_t vcpus() const { return count_; }
  std::uint32_t runnable() const;  // threads that wait for a vCPU
  std::uint32_t active() const;    // these, those that run, and those that wait for their memory
  LoadAverage::Loads loads() const { return load_.get(); }
  std::uint64_t switches() const;
  // How long a vCPU ran threads since it was started, and what they did.
  CpuCount busy(std::uint32_t vcpu) const;

 private:
  enum class VcpuState : std::uint32_t { offline, busy, spinning, sleeping };
  struct alignas(64) Vcpu {
    SpinLock<LockRank::run_queue> lock;
    List<Thread, RunQueueTag> realtime GUARDED_BY(lock);
    List<Thread, RunQueueTag> normal GUARDED_BY(lock);
    std::atomic<std::uint32_t> length{0};  // of both lists; written with the lock held, read without
    std::atomic<VcpuState> state{VcpuState::offline};
    Thread* current = nullptr;          // set by this vCPU only
    std::atomic<std::uint64_t> switches{0};
    std::atomic<std::uint64_t> busy_ticks{0};  // of the time-stamp counter, in stretches between idling that have ended
    std::uint64_t idle_rsp = 0;
    Thread* previous = nullptr;         // the thread that has just switched away; for finish_switch
    static_assert(kMaxVcpus <= 64);
    std::atomic<std::uint64_t> owed_wakes{0};  // bit set: wake_vcpu before returning to user code
    std::atomic<std::uint64_t> owed_kicks{0};
  };

  Vcpu& here();
  Thread* take_next(Vcpu& vcpu);
  Thread* steal(std::uint32_t thief);
  Thread* take_first(Vcpu& vcpu);
  Thread* steal_first(std::uint32_t thief);
  static bool still_leaving(const Thread& thread);
  void take(Vcpu& vcpu, Thread& thread) REQUIRES(vcpu.lock);
  void switch_to(Vcpu& vcpu, Thread* next);  // nullptr = the idle loop
  static void note_idle(Vcpu& vcpu, frame::VcpuBlock& block, std::uint64_t now);
  void finish_switch();
  bool spin_for_work(Vcpu& vcpu);
  bool anyone_waits() const;
  static bool is_running(std::uint32_t index);
  std::uint32_t running() const;
  void update_tick();
  void choose_wake(Vcpu& local, std::uint32_t target);
  std::uint32_t choose_vcpu(const Thread& thread);
  friend void thread_start_function(void* argument);
  friend Thread& current_thread();

  std::array<Vcpu, kMaxVcpus> vcpus_;
  std::uint32_t count_ = 0;
  SchedulerHost host_{};
  std::atomic<std::uint32_t> online_{0};
  std::atomic<std::uint32_t> spinners_{0};
  std::atomic<Instant> sleep_deadline_{kNever};  // of the vCPU that went to sleep last; kNever once one has woken
  std::atomic<bool> tick_on_{false};
  std::atomic<std::uint32_t> quiet_ticks_{0};
  LoadAverage load_;
};

Scheduler& scheduler();

}  // namespace kernel
#endif  // KERNEL_TASK_SCHEDULER_H
