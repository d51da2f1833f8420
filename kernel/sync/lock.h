// Locks. A lock's rank is a mandatory template argument; a thread takes locks in rising rank (docs/lock-order.md).
//
// SpinLock: for short sections that neither wait, nor touch user memory, nor leave the enclave, nor allocate memory that may have to
// be fetched from the host. Mutex: may be held across waits and host I/O, not across user copies. Both are released by guards only.
#ifndef KERNEL_SYNC_LOCK_H
#define KERNEL_SYNC_LOCK_H

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "kernel/base/config.h"
#include "kernel/frame/vcpu_block.h"

namespace kernel {

// In rising order. Sleepable mutexes first (lower), spinlocks above them: a spinlock may be taken under a mutex, never the reverse.
enum class LockRank : std::uint8_t {
  // mutexes
  mount = 0,        // mount table, union copy-up
  directory,        // one directory's entries (two directories: the upper one first, else by address; rename lock held)
  inode,            // one inode's content and attributes
  epoll,            // an epoll instance
  open_file,        // file position
  address_space,    // areas of one process
  page_population,  // one shared object's pages
  exec,             // process-wide exec/exit
  host_device,      // terminal, host files
  // spinlocks
  first_spin,
  fd_table = first_spin,
  fs_context,
  vfs_cache,      // dentry and inode caches
  notify,         // watches and queues of inotify
  socket,
  pipe,           // pipe buffers, eventfd, timerfd counters
  ipc,            // System V objects and POSIX message queues
  terminal,       // one pseudo terminal
  signal,         // signal queues and handlers of one process
  process_tree,   // parent/child links, groups, sessions
  process,        // other fields of a process
  futex_bucket,
  address_ranges, // global address allocator
  page_state,     // page state map
  page_cache,
  timer,
  wait_queue,
  epoll_ready,    // ready list of an epoll instance: taken by wakers inside wait_queue
  deferred_wake,
  run_queue,
  residency,      // who of an overlap group may run
  host_call,      // bounce arena, ring indices
  heap_slab,
  heap_pages,
  log,
  count
};
static_assert(static_cast<unsigned>(LockRank::count) <= 32 + static_cast<unsigned>(LockRank::first_spin));

namespace sync_detail {
constexpr std::uint32_t rank_bit(LockRank rank) {
  return std::uint32_t{1} << (static_cast<unsigned>(rank) - static_cast<unsigned>(LockRank::first_spin));
}
#if defined(OCCLUM_KERNEL) || defined(OCCLUM_KERNEL_LOCKS)  // the latter: the locks' own test on the host
void spin_wait(std::atomic<std::uint32_t>& word);  // takes a lock that is busy
template <LockRank rank>
inline void spin_lock(std::atomic<std::uint32_t>& word) {
  constexpr std::uint32_t kBit = rank_bit(rank);
  const std::uint32_t held = frame::spin_mask();
  KASSERT(held < kBit);  // rising rank: no lock of this rank or a higher one may be held
  frame::set_spin_mask(held | kBit);
  if (word.exchange(1, std::memory_order_acquire) != 0) [[unlikely]]
    spin_wait(word);
}
template <LockRank rank>
inline void spin_unlock(std::atomic<std::uint32_t>& word) {
  word.store(0, std::memory_order_release);
  frame::set_spin_mask(frame::spin_mask() & ~rank_bit(rank));
}
#else  // unit tests on the host bring their own
void spin_lock(std::atomic<std::uint32_t>& word, LockRank rank);
void spin_unlock(std::atomic<std::uint32_t>& word, LockRank rank);
template <LockRank rank>
inline void spin_lock(std::atomic<std::uint32_t>& word) {
  spin_lock(word, rank);
}
template <LockRank rank>
inline void spin_unlock(std::atomic<std::uint32_t>& word) {
  spin_unlock(word, rank);
}
#endif
bool spin_try_lock(std::atomic<std::uint32_t>& word, LockRank rank);
void spin_until_free(const std::atomic<std::uint32_t>& word);
struct MutexState {
  std::atomic<std::uint32_t> word{0};     // 0 free, 1 held, 2 held and wanted
  std::atomic<std::uint32_t> spin{0};     // guards waiters
  void* waiters_head = nullptr;           // MutexWaiter, on the waiters' stacks
  void* waiters_tail = nullptr;
};
void mutex_lock(MutexState& state, LockRank rank);
bool mutex_try_lock(MutexState& state, LockRank rank);
void mutex_unlock(MutexState& state, LockRank rank);
}  // namespace sync_detail

// Fails (panics) if the running vCPU holds a spinlock. Called before everything that may wait or leave.
void assert_no_spinlocks_held();

template <LockRank rank>
class CAPABILITY("spinlock") SpinLock {
  static_assert(rank >= LockRank::first_spin, "this rank belongs to a Mutex");

 public:
  constexpr SpinLock() = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;
  void lock() ACQUIRE() { sync_detail::spin_lock<rank>(word_); }
  bool try_lock() TRY_ACQUIRE(true) { return sync_detail::spin_try_lock(word_, rank); }
  void unlock() RELEASE() { sync_detail::spin_unlock<rank>(word_); }
  // Waits until whoever held it at some time before has let it go, without taking it.
  void wait_until_free() const { sync_detail::spin_until_free(word_); }

 private:
  std::atomic<std::uint32_t> word_{0};
};

template <LockRank rank>
class CAPABILITY("mutex") Mutex {
  static_assert(rank < LockRank::first_spin, "this rank belongs to a SpinLock");

 public:
  constexpr Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void lock() ACQUIRE() { sync_detail::mutex_lock(state_, rank); }
  bool try_lock() TRY_ACQUIRE(true) { return sync_detail::mutex_try_lock(state_, rank); }
  void unlock() RELEASE() { sync_detail::mutex_unlock(state_, rank); }

 private:
  sync_detail::MutexState state_;
};

// Takes the lock for its scope. const LockGuard guard(lock_);
template <class Lock>
class SCOPED_CAPABILITY LockGuard {
 public:
  explicit LockGuard(Lock& lock) ACQUIRE(lock) : lock_(lock) { lock_.lock(); }
  ~LockGuard() RELEASE() { lock_.unlock(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  Lock& lock_;
};

// Data that is reachable only with its lock held: const auto data = guarded.lock(); data->field = 1;
template <class T, LockRank rank>
class Guarded {
  using Lock = std::conditional_t<(rank >= LockRank::first_spin), SpinLock<(rank >= LockRank::first_spin) ? rank : LockRank::first_spin>,
                                  Mutex<(rank < LockRank::first_spin) ? rank : LockRank::mount>>;

 public:
  class Guard {
   public:
    // SAFETY: the lock is part of the guarded object, which the analysis cannot name here; taken and released as a pair.
    explicit Guard(Guarded& owner) NO_THREAD_SAFETY_ANALYSIS : owner_(owner) { owner_.lock_.lock(); }
    // SAFETY: see the constructor.
    ~Guard() NO_THREAD_SAFETY_ANALYSIS { owner_.lock_.unlock(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    T& operator*() const LIFETIMEBOUND { return owner_.value_; }
    T* operator->() const LIFETIMEBOUND { return &owner_.value_; }

   private:
    Guarded& owner_;
  };

  template <class... Args>
  explicit Guarded(Args&&... args) : value_(static_cast<Args&&>(args)...) {}
  Guard lock() const { return Guard(const_cast<Guarded&>(*this)); }  // SAFETY: the lock is logically mutable

 private:
  mutable Lock lock_;
  T value_;
};

}  // namespace kernel
#endif  // KERNEL_SYNC_LOCK_H
