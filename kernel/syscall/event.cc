#include "kernel/syscall/event.h"


#include "abi/fs.h"
#include "kernel/vfs/epoll.h"
#include "kernel/vfs/eventfd.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;
constexpr std::int32_t kMaxEvents = 0x7fffffff / static_cast<std::int32_t>(sizeof(abi::EpollEvent));
constexpr std::uint32_t kEfdSemaphore = 1;

// The instance behind a descriptor. EBADF, EINVAL if it is something else. The lease keeps it alive.
Result<FileLease> get_epoll(Task& task, Fd fd) {
  FileLease file = TRY(files_of(task).lease(fd));
  if (file->as_epoll() == nullptr) return Errno::inval;
  return file;
}

Instant deadline_after(std::int32_t timeout_ms) {
  if (timeout_ms < 0) return kNever;
  if (timeout_ms == 0) return 0;
  return monotonic_now() + static_cast<std::uint64_t>(timeout_ms) * kNsPerMs;
}

// Writes the events one behind the other into the caller's array.
class UserEvents final : public EpollSink {
 public:
  explicit UserEvents(UserPtr<abi::EpollEvent> events) : next_(events) {}
  Result<> take(std::span<const abi::EpollEvent> events) override {
    TRY(next_.store_all(events));
    next_ = TRY(next_.at(events.size()));
    return {};
  }

 private:
  UserPtr<abi::EpollEvent> next_;
};

Result<std::uint64_t> do_wait(Task& task, Fd epoll, UserPtr<abi::EpollEvent> events, std::int32_t count, Instant deadline) {
  if (count <= 0 || count > kMaxEvents) return Errno::inval;
  const FileLease file = TRY(get_epoll(task, epoll));
  UserEvents sink(events);
  return std::uint64_t{TRY(file->as_epoll()->wait(sink, static_cast<std::size_t>(count), deadline))};
}

// EINVAL for another size of the set.
Result<> apply_mask(Task& task, UserPtr<const std::uint64_t> mask, std::uint64_t size) {
  if (mask.is_null()) return {};
  if (size != sizeof(std::uint64_t)) return Errno::inval;
  task.set_temporary_mask(TRY(mask.load()));
  return {};
}

}  // namespace

Result<std::int32_t> sys_epoll_create(Task& task, std::int32_t size) {
  if (size <= 0) return Errno::inval;
  return sys_epoll_create1(task, 0);
}

Result<std::int32_t> sys_epoll_create1(Task& task, std::uint32_t flags) {
  if ((flags & ~abi::kEpollCloExec) != 0) return Errno::inval;
  return static_cast<std::int32_t>(TRY(add_descriptor(task, TRY(make_epoll()), flags != 0)));
}

Result<> sys_epoll_ctl(Task& task, Fd epoll, std::int32_t operation, Fd target, UserPtr<const abi::EpollEvent> event) {
  abi::EpollEvent wanted{};
  if (operation != abi::kEpollCtlDel) wanted = TRY(event.load());
  const RefPtr<OpenFile> file = TRY(files_of(task).get(epoll));
  const RefPtr<OpenFile> watched = TRY(files_of(task).get(target));
  if (watched->wait_queue() == nullptr) return Errno::perm;
  Epoll* instance = file->as_epoll();
  if (instance == nullptr) return Errno::inval;
  // epoll_ctl(2): with EPOLLEXCLUSIVE only these.
  constexpr std::uint32_t kBesideExclusive = kPollIn | kPollOut | kPollErr | kPollHup | abi::kEpollWakeup | abi::kEpollEdge | abi::kEpollExclusive;
  if (operation == abi::kEpollCtlAdd && (wanted.events & abi::kEpollExclusive) != 0 && (wanted.events & ~kBesideExclusive) != 0) return Errno::inval;
  const auto fd = static_cast<std::int32_t>(target);
  switch (operation) {
    case abi::kEpollCtlAdd: return instance->add(fd, *watched, wanted);
    case abi::kEpollCtlMod: return instance->modify(fd, *watched, wanted);
    case abi::kEpollCtlDel: return instance->remove(fd, *watched);
    default: return Errno::inval;
  }
}

Result<std::uint64_t> sys_epoll_wait(Task& task, Fd epoll, UserPtr<abi::EpollEvent> events, std::int32_t count, std::int32_t timeout_ms) {
  return do_wait(task, epoll, events, count, deadline_after(timeout_ms));
}

Result<std::uint64_t> sys_epoll_pwait(Task& task, Fd epoll, UserPtr<abi::EpollEvent> events, std::int32_t count, std::int32_t timeout_ms,
                                      UserPtr<const std::uint64_t> mask, std::uint64_t mask_size) {
  TRY(apply_mask(task, mask, mask_size));
  auto result = do_wait(task, epoll, events, count, deadline_after(timeout_ms));
  if (result.ok()) task.restore_signal_mask();
  return result;
}

Result<std::uint64_t> sys_epoll_pwait2(Task& task, Fd epoll, UserPtr<abi::EpollEvent> events, std::int32_t count,
                                       UserPtr<const abi::Timespec> timeout, UserPtr<const std::uint64_t> mask, std::uint64_t mask_size) {
  Instant deadline = kNever;
  if (!timeout.is_null()) {
    const abi::Timespec wanted = TRY(timeout.load());
    if (wanted.sec < 0 || wanted.nsec < 0 || wanted.nsec >= abi::kNsPerSec) return Errno::inval;
    std::uint64_t total = 0;
    const bool far = __builtin_mul_overflow(static_cast<std::uint64_t>(wanted.sec), static_cast<std::uint64_t>(abi::kNsPerSec), &total) ||
                     __builtin_add_overflow(total, static_cast<std::uint64_t>(wanted.nsec), &total);
    if (!far) deadline = total == 0 ? 0 : monotonic_now() + total;
  }
  TRY(apply_mask(task, mask, mask_size));
  auto result = do_wait(task, epoll, events, count, deadline);
  if (result.ok()) task.restore_signal_mask();
  return result;
}

Result<std::int32_t> sys_eventfd(Task& task, std::uint32_t initial) { return sys_eventfd2(task, initial, 0); }

Result<std::int32_t> sys_eventfd2(Task& task, std::uint32_t initial, std::uint32_t flags) {
  if ((flags & ~(kEfdSemaphore | abi::kOCloExec | abi::kONonBlock)) != 0) return Errno::inval;
  const Ref<OpenFile> file = TRY(make_ref<EventFd>(initial, (flags & kEfdSemaphore) != 0, flags & abi::kONonBlock));
  return static_cast<std::int32_t>(TRY(add_descriptor(task, file, (flags & abi::kOCloExec) != 0)));
}

}  // namespace kernel
