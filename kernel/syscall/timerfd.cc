#include "kernel/syscall/timerfd.h"

#include "abi/fs.h"
#include "kernel/syscall/time.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/signalfd.h"
#include "kernel/vfs/timerfd.h"

namespace kernel {
namespace {

// EBADF, EINVAL if it is something else.
Result<Ref<TimerFd>> get_timer(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (file->kind() != FileKind::timer) return Errno::inval;
  // SAFETY: kind() says that it is a TimerFd.
  return Ref<TimerFd>(static_cast<TimerFd&>(*file));
}

abi::Itimerspec to_itimerspec(const TimerFd::Setting& setting) {
  return {.interval = to_timespec(setting.interval), .value = to_timespec(setting.value)};
}

}  // namespace

Result<std::int32_t> sys_timerfd_create(Task& task, std::int32_t clock, std::uint32_t flags) {
  if ((flags & ~(abi::kOCloExec | abi::kONonBlock)) != 0) return Errno::inval;
  switch (clock) {
    case abi::kClockRealtime:
    case abi::kClockMonotonic:
    case abi::kClockBoottime:
    case abi::kClockRealtimeAlarm:
    case abi::kClockBoottimeAlarm: break;
    default: return Errno::inval;
  }
  const Ref<OpenFile> file = TRY(make_ref<TimerFd>(clock, (flags & abi::kONonBlock) | abi::kORdWr));
  return static_cast<std::int32_t>(TRY(add_descriptor(task, file, (flags & abi::kOCloExec) != 0)));
}

Result<> sys_timerfd_settime(Task& task, Fd fd, std::uint32_t flags, UserPtr<const abi::Itimerspec> fresh, UserPtr<abi::Itimerspec> old) {
  constexpr std::uint32_t kAbsolute = abi::kTfdTimerAbstime, kCancel = abi::kTfdTimerCancelOnSet;
  const abi::Itimerspec wanted = TRY(fresh.load());
  if ((flags & ~(kAbsolute | kCancel)) != 0) return Errno::inval;
  const TimerFd::Setting setting{.value = TRY(to_ns(wanted.value)), .interval = TRY(to_ns(wanted.interval))};
  const Ref<TimerFd> timer = TRY(get_timer(task, fd));
  const TimerFd::Setting before = timer->set(setting, (flags & kAbsolute) != 0, (flags & kCancel) != 0);
  if (!old.is_null()) TRY(old.store(to_itimerspec(before)));
  return {};
}

Result<> sys_timerfd_gettime(Task& task, Fd fd, UserPtr<abi::Itimerspec> into) {
  const Ref<TimerFd> timer = TRY(get_timer(task, fd));
  return into.store(to_itimerspec(timer->get()));
}

Result<std::int32_t> sys_signalfd(Task& task, Fd fd, UserPtr<const std::uint64_t> mask, std::uint64_t mask_size) {
  return sys_signalfd4(task, fd, mask, mask_size, 0);
}

Result<std::int32_t> sys_signalfd4(Task& task, Fd fd, UserPtr<const std::uint64_t> mask, std::uint64_t mask_size, std::uint32_t flags) {
  if (mask_size != sizeof(std::uint64_t)) return Errno::inval;
  const std::uint64_t wanted = TRY(mask.load());
  if ((flags & ~(abi::kOCloExec | abi::kONonBlock)) != 0) return Errno::inval;
  if (fd == Fd{-1}) {
    const Ref<OpenFile> file = TRY(make_ref<SignalFd>(Ref<Process>(task.process()), wanted, (flags & abi::kONonBlock) | abi::kORdWr));
    return static_cast<std::int32_t>(TRY(add_descriptor(task, file, (flags & abi::kOCloExec) != 0)));
  }
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (file->kind() != FileKind::signal) return Errno::inval;
  // SAFETY: kind() says that it is a SignalFd.
  static_cast<SignalFd&>(*file).set_mask(wanted);
  return static_cast<std::int32_t>(fd);
}

}  // namespace kernel
