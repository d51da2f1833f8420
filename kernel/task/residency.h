// Which threads of an overlap group (mm/overlap.h) may run: those of the member whose pages are in place. The scheduler asks here before
// it runs a thread and tells when one has stopped; a thread that has to wait is held by its group instead of a run queue.
//
// A running thread whose address space has a group is thus certain that its memory is in place until it parks or yields. When no thread
// of the residents runs any more and one of another member is held, that one is chosen and exchanges the pages as the first thing it does.
#ifndef KERNEL_TASK_RESIDENCY_H
#define KERNEL_TASK_RESIDENCY_H

#include "kernel/frame/user.h"
#include "kernel/task/thread.h"

namespace kernel {

class AddressSpace;

class Residency {
 public:
  static void init();  // once, at boot

  // --- for the scheduler, on the way of any thread; no spinlocks held unless noted ---
  // The thread was taken out of a run queue to be run. False: it is held, or the group's.
  static bool admit(Thread& thread);
  // It goes into a run queue (any context).
  static void queued(Thread& thread);
  // It becomes runnable (any context): true if it was held and must not go into a run queue.
  static bool hold(Thread& thread);
  // It runs no more. Others may become runnable.
  static void left(Thread& thread);
  // It runs, on its own stack. Exchanges the pages if it was chosen for that.
  static void arrived(Thread& thread);
  // Others of its group wait and its member's time is over.
  static bool is_time_over(const Thread& thread);
  // Threads that are held, of all groups: the tick has to run for them.
  static bool any_held() { return held() != 0; }
  static std::uint32_t held();

  // --- for the running thread ---
  // Waits until its memory is in place.
  static void acquire(Thread& thread);
  // Its user copies go to `space` for a while (exec); the member it was stays in place as long as it does not wait. Then back.
  static void enter(Thread& thread, UserSpace* space);
  static void leave(Thread& thread, UserSpace* before);
  // Thread::set_user_space() of the running thread.
  static void change(Thread& thread, UserSpace* space);

 private:
  static void note_counted(Thread& thread, AddressSpace& space);
};

}  // namespace kernel
#endif  // KERNEL_TASK_RESIDENCY_H
