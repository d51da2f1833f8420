// Signals: sets, queues, handlers (signal(7)). Sending is at the end of this file; delivery is in signal_deliver.h.
//
// Locks: a process's signal lock guards its pending queues, those of its tasks and its list of tasks; SignalHandlers has a lock of its
// own inside (rank process).
#ifndef KERNEL_TASK_SIGNAL_H
#define KERNEL_TASK_SIGNAL_H

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "abi/signal.h"
#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/sync/lock.h"

namespace kernel {

class Process;
class Task;

using SignalSet = std::uint64_t;  // bit n-1 = signal n, as the ABI has it
constexpr bool is_signal(int signo) { return signo >= 1 && signo <= abi::kSigMax; }
constexpr SignalSet signal_bit(int signo) { return SignalSet{1} << (signo - 1); }
inline constexpr SignalSet kUnblockable = signal_bit(abi::kSigKill) | signal_bit(abi::kSigStop);
inline constexpr SignalSet kStopSignals =
    signal_bit(abi::kSigStop) | signal_bit(abi::kSigTstp) | signal_bit(abi::kSigTtin) | signal_bit(abi::kSigTtou);
inline constexpr SignalSet kSynchronous = signal_bit(abi::kSigSegv) | signal_bit(abi::kSigBus) | signal_bit(abi::kSigIll) |
                                          signal_bit(abi::kSigTrap) | signal_bit(abi::kSigFpe) | signal_bit(abi::kSigSys);

enum class DefaultAction { terminate, core, ignore, stop, resume };
DefaultAction default_action(int signo);
// SIG_IGN, or SIG_DFL of a signal that does nothing by default.
bool is_ignored(const abi::SigAction& action, int signo);

// The handler table; shared by the threads of a process, and by processes made with CLONE_SIGHAND.
class SignalHandlers final : public RefCounted<SignalHandlers> {
 public:
  SignalHandlers() = default;
  abi::SigAction get(int signo) const EXCLUDES(lock_);
  abi::SigAction exchange(int signo, const abi::SigAction& action) EXCLUDES(lock_);
  // What delivery uses; with SA_RESETHAND the entry falls back to the default in the same step.
  abi::SigAction take_for_delivery(int signo) EXCLUDES(lock_);
  // The disposition is SIG_IGN, or SIG_DFL of a signal that does nothing by default.
  bool ignores(int signo) const EXCLUDES(lock_);
  // A copy for a new process. `reset` as execve: handled signals go back to the default, ignored ones stay.
  Result<Ref<SignalHandlers>> copy(bool reset) const EXCLUDES(lock_);
  // Sets of handled and of ignored signals, for /proc/PID/status.
  SignalSet caught() const EXCLUDES(lock_);
  SignalSet ignored() const EXCLUDES(lock_);

 private:
  mutable SpinLock<LockRank::process> lock_;
  std::array<abi::SigAction, abi::kSigMax> actions_ GUARDED_BY(lock_){};
};

struct SignalQueueTag;
// One queued instance of a signal.
struct QueuedSignal final : ListNode<SignalQueueTag> {
  abi::SigInfo info{};
};

// Signals that were generated and not yet delivered, of a task or of a process. Guarded by the process's signal lock; set() may be read
// without it.
class PendingSignals {
 public:
  // So many instances may be queued beyond what others are bounded by if they say that they are timers': a program can say that, too.
  static constexpr std::uint32_t kMostTimers = 4096;
  PendingSignals() = default;
  ~PendingSignals() { clear(); }
  SignalSet set() const { return set_.load(std::memory_order_acquire); }
  // Queues it. A standard signal that is pending already is not queued again (signal(7)), unless it is a timer's: each has a place of its
  // own. Returns false then. `node` is consumed; it may be null: without a spare one (no memory) the signal is then pending with a plain siginfo.
  bool add(const abi::SigInfo& info, Own<QueuedSignal>& node);
  // Takes the next signal that is in `from`: synchronous ones first, then the lowest number.
  std::optional<abi::SigInfo> take(SignalSet from);
  // An expiration of the process's POSIX timer `id` is queued.
  bool has_timer(std::int32_t id) const;
  // Takes these out; nullopt: those of all timers.
  void remove_timer(std::optional<std::int32_t> id);
  // The index-th that is queued, the oldest first.
  std::optional<abi::SigInfo> peek(std::uint64_t index);
  void remove(SignalSet which);
  void clear() { remove(~SignalSet{0}); }
  std::uint32_t queued() const { return queued_; }
  // add() needs no node: most signals are taken before the next one comes.
  bool has_spare() const { return !spare_used_; }

 private:
  void unqueue(QueuedSignal& node);

  std::atomic<SignalSet> set_{0};
  QueuedSignal spare_;
  bool spare_used_ = false;
  mutable List<QueuedSignal, SignalQueueTag> queue_;
  std::uint32_t queued_ = 0;
};

// --- Sending. No locks of rank >= signal held; they do not sleep. ---

// To a process: any thread that does not block it takes it. EAGAIN if a queued (real-time) signal finds no room.
Result<> send_signal(Process& process, const abi::SigInfo& info);
// To one thread (tgkill, timers with SIGEV_THREAD_ID, SIGPIPE of a write).
Result<> send_signal(Task& task, const abi::SigInfo& info);
// To all processes of a group, by the kernel (terminal signals) or a program. ESRCH if there is none.
Result<> send_signal_to_group(Pid group, const abi::SigInfo& info);
// A synchronous signal of the running thread: if it is blocked or ignored the default action is forced (the process dies).
void force_signal(Task& task, const abi::SigInfo& info);
// Kernel-made SI_KERNEL or SI_USER signal to the running thread (SIGPIPE, SIGXFSZ).
void raise_signal(Task& task, int signo);

// sigaction(2): the old action. Instances that are pending go if the signal is ignored from now on.
abi::SigAction change_action(Process& process, int signo, const abi::SigAction& action);

// For signalfd: takes a pending signal in `from` of the running task or its process. Readers wait on Process::signal_arrived().
std::optional<abi::SigInfo> dequeue_signal(Task& task, SignalSet from);

// An expiration of a POSIX timer of the process is on its way and not yet taken: in the process's queue, or in that of `only`.
bool is_timer_queued(Process& process, const Task* only, std::int32_t id);
// Takes it out again; without an id those of all timers.
void drop_timer_signals(Process& process, Task* only, std::optional<std::int32_t> id);

// May `sender` send a signal to `target` (kill(2))? EPERM if not.
Result<> may_signal(const Task& sender, const Process& target, int signo);

}  // namespace kernel
#endif  // KERNEL_TASK_SIGNAL_H
