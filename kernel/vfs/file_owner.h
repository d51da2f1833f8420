// Who gets the signals of a file, and sending them: signal-driven I/O (fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC) and dnotify.
#ifndef KERNEL_VFS_FILE_OWNER_H
#define KERNEL_VFS_FILE_OWNER_H

#include <atomic>
#include <cstdint>

#include "abi/fs.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

// Made when a file is first given an owner or a signal, and kept for its life. While O_ASYNC is set it is in the wait queue of the file
// and among its close observers. It knows nothing of the file, so that a wake-up that is still to be told does not keep that open.
class FileOwner final : public CloseObserver, public Waiter, public DeferredWake {
 public:
  FileOwner() : DeferredWake(true) {}
  // `pid` 0 = nobody.
  void set(abi::FownerEx owner, std::uint32_t uid, std::uint32_t euid);
  abi::FownerEx get() const;
  void set_signal(std::int32_t signo) { signal_.store(signo, std::memory_order_relaxed); }  // 0: SIGIO, without siginfo
  std::int32_t signal() const { return signal_.load(std::memory_order_relaxed); }
  // One signal; `reason`: abi::kPoll* of a siginfo. No locks of rank >= signal held.
  void send(Fd fd, std::int32_t reason) const;

  bool on_wake(std::uint32_t events) override;
  void run_deferred() override;
  void on_file_closed(OpenFile& file) override;

 private:
  friend Result<> set_async(OpenFile& file, Fd fd, bool on);
  void tell(Task& target, bool thread, Fd fd, std::int32_t reason) const;
  bool may_tell(const Task& target) const;

  std::atomic<std::int32_t> type_{0}, pid_{0};  // abi::kOwner*
  std::atomic<std::int32_t> signal_{0};
  std::atomic<std::uint32_t> uid_{0}, euid_{0};  // of who set it
  std::atomic<std::int32_t> fd_{0};              // that O_ASYNC was set through
  std::atomic<std::uint32_t> events_{0};         // poll bits that are told
  std::atomic<std::uint32_t> pending_{0};        // poll bits that are to be told
};

// F_SETOWN_EX by `task`; pid 0 = nobody. EINVAL: no such type, ESRCH, ENOMEM.
Result<> set_file_owner(Task& task, OpenFile& file, abi::FownerEx owner);
// F_GETOWN_EX: pid 0 if it does not exist any more.
abi::FownerEx file_owner(const OpenFile& file);
// The running process becomes the owner unless there is one. ENOMEM.
Result<Ref<FileOwner>> own_by_caller(OpenFile& file);
// Sets or clears O_ASYNC. No effect on files that have no such signals (OpenFile::async_events()), as on Linux. ENOMEM.
Result<> set_async(OpenFile& file, Fd fd, bool on);

}  // namespace kernel
#endif  // KERNEL_VFS_FILE_OWNER_H
