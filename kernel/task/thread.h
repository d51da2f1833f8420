// Thread: what the scheduler runs. A kernel stack, saved user state, a place in a run queue. task/task.h derives Task from it (the
// thread of a program); kernel threads use it as it is.
#ifndef KERNEL_TASK_THREAD_H
#define KERNEL_TASK_THREAD_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/frame/user.h"
#include "kernel/frame/vcpu_block.h"
#include "kernel/sync/wait.h"
#include "kernel/task/cpu_time.h"

namespace kernel {

class Task;

class AddressSpace;
struct RunQueueTag;

enum class ThreadState : std::uint32_t { created, runnable, running, parked, dead };
enum class SchedClass : std::uint8_t { other, fifo, rr, batch, idle };

class Thread : public RefCounted<Thread>, public Sleeper, public ListNode<RunQueueTag> {
 public:
  virtual ~Thread();

  // Allocates the kernel stack (and, for threads of programs, the XSAVE area in its initial state). Call once before start().
  Result<> allocate_stack(bool runs_user_code);
  // Makes it runnable for the first time. The scheduler holds a reference until the thread has ended.
  void start();

  // The thread's body; runs on its own stack. For a Task it enters user code through its trap frame and never returns.
  virtual void run() = 0;
  // Called by the return path to user code when work bits need it (signals, stops, death). May block or end the thread.
  // May edit the frame. Called with the trap frame of this thread, no locks held.
  virtual void before_user_return(frame::TrapFrame& frame) = 0;
  // Sets the memory of the process that this thread belongs to; the caller keeps it alive as long as the thread may touch it.
  // The running thread may wait in here, until that memory is in place (task/residency.h).
  void set_user_space(UserSpace* space);
  // Whether a deliverable signal (or death) should end an interruptible wait.
  virtual bool has_interrupt() = 0;
  // A page fault of user code was resolved.
  virtual void on_page_fault() {}
  virtual Task* as_task() { return nullptr; }  // a thread of a program
  // A part of its memory could not be kept: it must end. No spinlocks held.
  virtual void on_memory_lost() {}
  // An exception of user code (not a page fault that populate() resolved), already moved into the frame. Ends in a signal.
  virtual void on_user_exception(frame::TrapFrame& frame, std::uint32_t vector, std::uint64_t address, std::uint64_t error_code) = 0;

  void unpark() final;
  frame::ThreadContext& context() { return context_; }
  frame::TrapFrame& trap_frame() { return context_.trap_frame(); }
  // The user XSAVE area (standard format), valid while the thread's state is saved; save_user_state() makes it so for the running one.
  std::span<std::byte> xsave_area();
  // The same with room behind it for the word that ends it in a signal frame.
  std::span<std::byte> xsave_image();
  void set_work(std::uint16_t bits) { context_.work.fetch_or(bits, std::memory_order_release); }
  void clear_work(std::uint16_t bits) { context_.work.fetch_and(static_cast<std::uint16_t>(~bits), std::memory_order_acq_rel); }
  // set_work plus: if it runs user code on another vCPU right now, interrupt that vCPU, so that it acts within a millisecond.
  void notify(std::uint16_t bits);

  ThreadState state() const;
  std::uint64_t run_time_ns() const;  // CPU time used, the running slice included
  CpuCount cpu_count() const;
  std::uint64_t voluntary_switches() const { return voluntary_switches_.load(std::memory_order_relaxed); }
  std::uint64_t involuntary_switches() const { return involuntary_switches_.load(std::memory_order_relaxed); }
  void set_schedule(SchedClass sched_class, int priority, int nice);
  void set_affinity(std::uint64_t vcpu_mask) { affinity_.store(vcpu_mask, std::memory_order_relaxed); }
  std::uint32_t last_vcpu() const { return context_.vcpu; }  // where it runs or ran; read racily
  std::uint64_t affinity() const { return affinity_.load(std::memory_order_relaxed); }

 protected:
  Thread() { context_.owner = this; }

 private:
  friend class Scheduler;
  friend class Residency;
  friend struct ResidencyAccess;
  friend ParkResult park(Instant deadline, Interruptible interruptible);
  friend void thread_start_function(void* argument);
  static constexpr std::uint32_t kCreated = 0, kActive = 1, kParked = 2, kDead = 3;
  static constexpr std::uint32_t kWakeToken = 8;
  bool take_wake_token();
  static void count_switch(std::atomic<std::uint64_t>& counter) { counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  frame::ThreadContext context_;
  std::span<std::byte> stack_;
  std::span<std::byte> xsave_;
  // One of the phases, and kWakeToken: an unpark that found it awake, for its next park.
  std::atomic<std::uint32_t> state_{kCreated};
  std::atomic<bool> on_cpu_{false};  // it runs, or its stack is still in use by a vCPU that is switching away
  std::atomic<std::uint64_t> run_ticks_{0};  // of the time-stamp counter, up to the last switch
  std::atomic<std::uint64_t> affinity_{~std::uint64_t{0}};
  std::uint64_t slice_start_ = 0;  // TSC
  std::uint64_t started_ = 0;      // TSC; read racily for other threads
  SchedClass class_ = SchedClass::other;
  int priority_ = 0;
  int nice_ = 0;
  // Residency's: the memory that counts it as running, and the one it comes back to; the first counts it as queued; it was chosen to
  // exchange the members of its group; it needs to be alone in place.
  AddressSpace* counted_ = nullptr;
  AddressSpace* outer_ = nullptr;
  bool queued_ = false;
  bool exchanges_ = false;
  bool wants_sole_ = false;
  std::atomic<std::uint64_t> voluntary_switches_{0}, involuntary_switches_{0};  // written by the thread itself only
};

// The running thread. Undefined (panics) on the idle stack.
inline Thread& current_thread() {
  const frame::ThreadContext* context = frame::this_vcpu().current;
  KASSERT(context != nullptr);
  return *context->owner;
}

// Gives the vCPU to other runnable threads (sched_yield).
void yield_now();
// A preemption point for long kernel work: yields if the slice is over. No locks held. At least every 64 KiB of work (design section 4).
void preemption_point();
// Ends the running thread: drops the scheduler's reference and never returns. The caller has released everything on its stack.
[[noreturn]] void exit_thread();
// Saves the running thread's vector state and FS base into its context, so that they can be read or replaced; they are loaded again
// before user code goes on.
void save_user_state();
// Makes the user FS base `address` (arch_prctl, CLONE_SETTLS, exec). Canonical and in the user window, or EPERM.
Result<> set_user_fs_base(Thread& thread, std::uint64_t address);
std::uint64_t user_fs_base(Thread& thread);

// Enters user code with the running thread's trap frame; drops the kernel stack.
[[noreturn]] void enter_user();

// How many vCPUs run, for sched_getaffinity, /proc and sysconf.
std::uint32_t vcpu_count();

}  // namespace kernel
#endif  // KERNEL_TASK_THREAD_H
