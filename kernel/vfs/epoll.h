// epoll(7). An instance holds an item for each (descriptor, file) that it watches; an item sits in the file's wait queue and, when it is
// woken, in the instance's ready list.
//
// Locks: control_ (mutex epoll) serialises epoll_ctl and guards the items; ready_lock_ (spinlock epoll_ready, taken inside a file's
// wait-queue lock by wakers) guards the ready list and the threads that wait.
#ifndef KERNEL_VFS_EPOLL_H
#define KERNEL_VFS_EPOLL_H

#include <compare>
#include <cstdint>
#include <span>

#include "abi/poll.h"
#include "kernel/base/flat_map.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class Epoll;
struct EpollAboveTag;
struct EpollReadyTag;
struct EpollSleepTag;

class EpollItem final : public CloseObserver, public Waiter, public ListNode<EpollReadyTag>, public ListNode<EpollAboveTag> {
 public:
  EpollItem(Ref<Epoll> epoll, Ref<OpenFile> file, std::int32_t fd, const abi::EpollEvent& event)
      : epoll_(epoll), file_(file), fd_(fd), event_(event) {}
  bool on_wake(std::uint32_t events) override;
  void on_file_closed(OpenFile& file) override;

 private:
  friend class Epoll;
  const Ref<Epoll> epoll_;
  const Ref<OpenFile> file_;
  const std::int32_t fd_;
  abi::EpollEvent event_;     // guarded by ready_lock_
  bool disarmed_ = false;     // EPOLLONESHOT has fired; guarded by ready_lock_
  bool removed_ = false;      // guarded by ready_lock_
  std::uint32_t wakes_ = 0;   // how often it was woken; guarded by ready_lock_
};

// Where the events of one wait go, a batch at a time.
class EpollSink {
 public:
  // An error ends the wait: with it if this was the first batch, else with what was told before.
  virtual Result<> take(std::span<const abi::EpollEvent> events) = 0;

 protected:
  ~EpollSink() = default;
};

class Epoll final : public OpenFile, private DeferredWake {
 public:
  static constexpr std::uint32_t kMaxDepth = 4;  // of instances that watch instances, one below the other (epoll_ctl(2): ELOOP)

  explicit Epoll(std::uint32_t flags) : OpenFile(flags) {}
  ~Epoll() override;

  // EEXIST, ENOENT, EPERM (the file cannot be waited for), ELOOP, EINVAL, ENOMEM.
  Result<> add(std::int32_t fd, OpenFile& file, const abi::EpollEvent& event) EXCLUDES(control_);
  Result<> modify(std::int32_t fd, OpenFile& file, const abi::EpollEvent& event) EXCLUDES(control_);
  Result<> remove(std::int32_t fd, OpenFile& file) EXCLUDES(control_);
  // The file behind the entry number `offset` of those that were added as descriptor `fd` (kcmp(2)): a value to compare, no reference. ENOENT.
  Result<std::uint64_t> target(std::int32_t fd, std::uint32_t offset) EXCLUDES(control_);
  static std::uint64_t identity(OpenFile& file) { return key_of(0, file).file; }  // as target() gives it
  // Tells `sink` up to `most` events: how many. 0 at the deadline; EINTR on a signal, never restarted (signal(7)).
  Result<std::size_t> wait(EpollSink& sink, std::size_t most, Instant deadline);

  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }
  void on_last_close() override;
  std::size_t describe(std::span<char> into) override;
  Epoll* as_epoll() override { return this; }
  bool is_event_file() const override { return true; }
  bool has_read() const override { return false; }
  bool has_write() const override { return false; }
  Result<> describe_info(String& out) override EXCLUDES(control_);

 private:
  friend class EpollItem;
  struct Key {
    std::int32_t fd = 0;
    std::uint64_t file = 0;  // identity of the OpenFile
    auto operator<=>(const Key&) const = default;
  };
  struct Sleep : ListNode<EpollSleepTag> {
    Sleeper* sleeper = nullptr;
  };
  static Key key_of(std::int32_t fd, OpenFile& file);
  void run_deferred() override;
  bool item_woken(EpollItem& item, std::uint32_t events);
  void push_ready_locked(EpollItem& item) REQUIRES(ready_lock_);
  void detach(EpollItem& item) EXCLUDES(control_);
  static void leave_file(EpollItem& item);
  Result<std::size_t> collect(EpollSink& sink, std::size_t most);
  RefPtr<EpollItem> pop_ready();
  void wake_next_sleeper();
  bool report(EpollItem& item, abi::EpollEvent& into);
  enum class Side : bool { below, above };
  static constexpr std::uint32_t kTooDeep = 1000;
  Result<> add_item(std::int32_t fd, OpenFile& file, const abi::EpollEvent& event) EXCLUDES(control_);
  Result<Vec<Ref<Epoll>>> neighbours(Side side) EXCLUDES(control_);
  std::uint32_t depth(Side side, const Epoll& other, std::uint64_t check, std::uint32_t level) EXCLUDES(control_);

  Mutex<LockRank::epoll> control_;
  FlatMap<Key, Ref<EpollItem>> items_ GUARDED_BY(control_);
  List<EpollItem, EpollAboveTag> above_ GUARDED_BY(control_);  // of the instances that watch this one
  // What the last look for loops found here; guarded by that look's lock.
  std::uint64_t checked_ = 0;
  std::uint32_t depth_ = 0;
  SpinLock<LockRank::epoll_ready> ready_lock_;
  List<EpollItem, EpollReadyTag> ready_ GUARDED_BY(ready_lock_);
  std::uint32_t ready_count_ GUARDED_BY(ready_lock_) = 0;
  List<Sleep, EpollSleepTag> sleepers_ GUARDED_BY(ready_lock_);
  WaitQueue queue_;  // of those who watch this instance
};

Result<Ref<OpenFile>> make_epoll();

}  // namespace kernel
#endif  // KERNEL_VFS_EPOLL_H
