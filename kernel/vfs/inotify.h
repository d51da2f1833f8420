// inotify(7): an instance is a file that reads as a queue of events. Its watches hold their inodes; one lock guards all watches and queues.
#ifndef KERNEL_VFS_INOTIFY_H
#define KERNEL_VFS_INOTIFY_H

#include <cstdint>
#include <string_view>

#include "abi/inotify.h"
#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/string.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

extern SpinLock<LockRank::notify> notify_lock;

inline constexpr std::uint32_t kMaxInotifyInstances = 128, kMaxInotifyWatches = 65536, kMaxInotifyEvents = 16384;

class Inotify;
struct WatchTag;
struct EventTag;

struct InotifyWatch final : RefCounted<InotifyWatch>, ListNode<WatchTag> {
  InotifyWatch(Ref<Inotify> owner, Ref<Inode> watched, std::int32_t number, std::uint32_t events);
  ~InotifyWatch();
  RefPtr<Inotify> instance;  // null once it was removed
  const Ref<Inode> inode;
  const std::int32_t wd;
  std::uint32_t mask;  // events and kInExclUnlink, kInOneShot
};

struct InotifyQueued final : ListNode<EventTag> {
  abi::InotifyEvent header{};
  String name;
};

class Inotify final : public OpenFile {
 public:
  explicit Inotify(std::uint32_t flags) : OpenFile(flags) {}
  ~Inotify() override;

  // inotify_add_watch(2) and inotify_rm_watch(2), after the path is resolved and flags are checked.
  Result<std::int32_t> add_watch(Inode& inode, std::uint32_t mask) EXCLUDES(notify_lock);
  Result<> remove_watch(std::int32_t wd) EXCLUDES(notify_lock);

  Result<std::size_t> read(IoSink& sink) override;
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override;
  Result<FileOffset> seek(FileOffset, std::uint32_t) override { return FileOffset{0}; }  // as Linux has it: no effect
  WaitQueue* wait_queue() override { return &queue_; }
  std::size_t describe(std::span<char> into) override;
  Result<> describe_info(String& out) override;
  void on_last_close() override;
  FileKind kind() const override { return FileKind::inotify; }
  std::uint32_t async_events() const override { return kPollIn; }

  // Puts an event into the queue unless it says what the last one says. For inotify.cc.
  void queue_locked(std::int32_t wd, std::uint32_t mask, std::uint32_t cookie, std::string_view name) REQUIRES(notify_lock);
  // Takes a watch off all lists and queues kInIgnored. The reference of the lists comes back, to be dropped without the lock.
  RefPtr<InotifyWatch> drop_watch_locked(InotifyWatch& watch, bool tell) REQUIRES(notify_lock);

 private:
  InotifyQueued* append_locked(std::int32_t wd, std::uint32_t mask) REQUIRES(notify_lock);
  Vec<RefPtr<InotifyWatch>> watches_ GUARDED_BY(notify_lock);  // by rising wd
  List<InotifyQueued, EventTag> events_ GUARDED_BY(notify_lock);
  std::uint32_t event_count_ GUARDED_BY(notify_lock) = 0;
  std::uint64_t event_bytes_ GUARDED_BY(notify_lock) = 0;  // what FIONREAD tells
  std::int32_t last_wd_ GUARDED_BY(notify_lock) = 0;
  bool overflowed_ GUARDED_BY(notify_lock) = false;  // the queue ends with kInQOverflow
  WaitQueue queue_;
};

// inotify_init1(2). EMFILE: too many instances.
Result<Ref<Inotify>> make_inotify(std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_VFS_INOTIFY_H
