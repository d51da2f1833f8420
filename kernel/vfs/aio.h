// Linux AIO: contexts and their requests (io_setup(2), io_submit(2), io_getevents(2)). Reads and writes are done by who submits them, as
// Linux does with buffered files; requests for readiness (IOCB_CMD_POLL) are completed by whoever makes the file ready.
#ifndef KERNEL_VFS_AIO_H
#define KERNEL_VFS_AIO_H

#include <cstdint>
#include <span>

#include "abi/aio.h"
#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"
#include "kernel/task/resource.h"
#include "kernel/vfs/eventfd.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class AioContext;
struct AioTag;

// One request, from io_submit to io_getevents. It is in one of its context's lists, which holds a reference.
class AioRequest final : public RefCounted<AioRequest>, public Waiter, public ListNode<AioTag>, private DeferredWake {
 public:
  // `notify`: an eventfd that is told of the completion, or null.
  AioRequest(Ref<AioContext> context, const abi::IoEvent& event, RefPtr<EventFd> notify)
      : DeferredWake(true), context_(context), event_(event), notify_(notify) {}
  bool on_wake(std::uint32_t events) override;

 private:
  friend class AioContext;
  void run_deferred() override;
  void tell() const;  // the eventfd

  const Ref<AioContext> context_;
  abi::IoEvent event_;
  const RefPtr<EventFd> notify_;
  RefPtr<OpenFile> file_;         // whose readiness is waited for
  std::uint32_t events_ = 0;
  // Guarded by the context's lock.
  bool done_ = false;
  bool unsure_ = false;    // woken without a word on what has become ready: to be asked
  bool deferred_ = false;  // run_deferred() is still to come: it must stay
};

class AioContext final : public RefCounted<AioContext> {
 public:
  // `id`: the address of its ring. For `requests` at once at least, in a ring of `capacity`. EAGAIN: the system has too many (aio-max-nr).
  static Result<Ref<AioContext>> make(std::uint64_t id, std::uint32_t requests, std::uint32_t capacity);
  explicit AioContext(std::uint64_t id, std::uint32_t capacity) : id_(id), capacity_(capacity) {}
  ~AioContext();
  std::uint64_t id() const { return id_; }

  // A request that may be completed once. EAGAIN: too many are under way or not fetched. EINVAL: the context is gone.
  Result<Ref<AioRequest>> begin(const abi::IoEvent& event, RefPtr<EventFd> notify) EXCLUDES(lock_);
  void abandon(AioRequest& request) EXCLUDES(lock_);  // it was refused
  void complete(AioRequest& request, std::int64_t result) EXCLUDES(lock_);
  // It is complete as soon as one of the events holds.
  void poll(AioRequest& request, Ref<OpenFile> file, std::uint32_t events) EXCLUDES(lock_);
  // io_cancel(2): EINPROGRESS, the event comes; EINVAL if nothing of it is under way.
  Result<> cancel(std::uint64_t object) EXCLUDES(lock_);
  // Takes between `least` and `most` events, fewer at the deadline or when a signal comes (EINTR if there are none). EFAULT.
  Result<std::uint32_t> fetch(UserPtr<abi::IoEvent> into, std::uint32_t least, std::uint32_t most, Instant deadline) EXCLUDES(lock_);
  // Whatever is under way goes, nothing starts any more.
  void shut_down() EXCLUDES(lock_);

  static std::uint64_t in_use();  // /proc/sys/fs/aio-nr
  static constexpr std::uint64_t kMost = 65536;  // aio-max-nr

 private:
  friend class AioRequest;
  using Requests = List<AioRequest, AioTag>;
  void finish_locked(AioRequest& request, std::int64_t result) REQUIRES(lock_);
  void dispose(Ref<AioRequest> request) EXCLUDES(lock_);
  void reap() EXCLUDES(lock_);
  void ask_unsure() EXCLUDES(lock_);
  Result<std::uint32_t> deliver(UserPtr<abi::IoEvent> into, std::uint32_t most) EXCLUDES(lock_);

  const std::uint64_t id_;
  const std::uint32_t capacity_;
  std::uint32_t charged_ = 0;
  SpinLock<LockRank::epoll_ready> lock_;  // wakers take it inside a file's queue
  Requests pending_ GUARDED_BY(lock_), done_ GUARDED_BY(lock_), retired_ GUARDED_BY(lock_);
  std::uint32_t count_ GUARDED_BY(lock_) = 0;  // pending or done
  bool dead_ GUARDED_BY(lock_) = false;
  bool unsure_ GUARDED_BY(lock_) = false;
  WaitQueue queue_;
};

// The contexts of a process.
class AioContexts final : public ProcessResource {
 public:
  AioContexts() = default;
  ~AioContexts() override;
  Result<Ref<ProcessResource>> clone() override;  // a forked process has none
  void on_exec() override EXCLUDES(lock_);        // all of them go; at the process's end too
  Result<> add(Ref<AioContext> context) EXCLUDES(lock_);
  Result<Ref<AioContext>> find(std::uint64_t id) EXCLUDES(lock_);  // EINVAL
  Result<Ref<AioContext>> take(std::uint64_t id) EXCLUDES(lock_);  // EINVAL

 private:
  SpinLock<LockRank::fd_table> lock_;
  Vec<Ref<AioContext>> contexts_ GUARDED_BY(lock_);
};

}  // namespace kernel
#endif  // KERNEL_VFS_AIO_H
