#include "host/calls.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "host/futex.h"

namespace host {
namespace {

using host_abi::CallSlot;
using host_abi::Op;

// Larger transfers come back short, as read(2) and write(2) may.
constexpr std::uint64_t kMaxTransfer = 0x7fff'f000;
// A blocking file that cannot be asked for a partial write takes at least this much when poll(2) says that it is writable
// (PIPE_BUF, pipe(7)).
constexpr std::uint64_t kSafeWrite = 4096;

std::int64_t result_of(ssize_t value) { return value < 0 ? -errno : value; }

bool is_read(const CallSlot& request) { return static_cast<Op>(request.op) == Op::read; }

// Terminal requests and the bytes that they carry (Linux asm-generic/ioctls.h, termbits.h). `by_value`: args[2] is the argument.
struct TerminalRequest {
  std::uint64_t request;
  std::uint32_t size;
  bool set;
  bool by_value;
};
constexpr TerminalRequest kTerminalRequests[] = {
    {0x5401, 36, false, false},      // TCGETS
    {0x5402, 36, true, false},       // TCSETS
    {0x5403, 36, true, false},       // TCSETSW
    {0x5404, 36, true, false},       // TCSETSF
    {0x802c542a, 44, false, false},  // TCGETS2
    {0x402c542b, 44, true, false},   // TCSETS2
    {0x402c542c, 44, true, false},   // TCSETSW2
    {0x402c542d, 44, true, false},   // TCSETSF2
    {0x5413, 8, false, false},       // TIOCGWINSZ
    {0x5414, 8, true, false},        // TIOCSWINSZ
    {0x540f, 4, false, false},       // TIOCGPGRP
    {0x5429, 4, false, false},       // TIOCGSID
    {0x5411, 4, false, false},       // TIOCOUTQ
    {0x541b, 4, false, false},       // FIONREAD
    {0x5409, 0, true, true},         // TCSBRK
    {0x5425, 0, true, true},         // TCSBRKP
    {0x540a, 0, true, true},         // TCXONC
    {0x540b, 0, true, true},         // TCFLSH
};

const TerminalRequest* find_terminal_request(std::uint64_t request, bool set) {
  for (const TerminalRequest& known : kTerminalRequests) {
    if (known.request == request && known.set == set) return &known;
  }
  return nullptr;
}

}  // namespace

std::byte* HostCalls::buffer(const CallSlot& request, std::uint64_t minimum) const {
  const std::uint64_t start = reinterpret_cast<std::uintptr_t>(parts_.arena.data());
  const std::uint64_t size = parts_.arena.size();
  if (request.length < minimum || request.buffer < start || request.buffer - start > size) return nullptr;
  if (size - (request.buffer - start) < request.length) return nullptr;
  return parts_.arena.data() + (request.buffer - start);
}

void HostCalls::count_bytes(const CallSlot& request, std::int64_t result) {
  if (result <= 0) return;
  (is_read(request) ? counters_.bytes_read : counters_.bytes_written)
      .fetch_add(static_cast<std::uint64_t>(result), std::memory_order_relaxed);
}

std::int64_t HostCalls::serve(const CallSlot& request, const std::function<bool()>& interrupted) {
  if (request.op < kOpCount) counters_.synchronous[request.op].fetch_add(1, std::memory_order_relaxed);
  switch (static_cast<Op>(request.op)) {
    case Op::read:
    case Op::write: {
      const std::int64_t result = read_write(request, interrupted);
      count_bytes(request, result);
      return result;
    }
    case Op::poll: return poll_handle(request, interrupted);
    default: return serve_common(request);
  }
}

std::optional<std::int64_t> HostCalls::try_serve(const CallSlot& request, NotReady& not_ready) {
  if (request.op < kOpCount) counters_.asynchronous[request.op].fetch_add(1, std::memory_order_relaxed);
  switch (static_cast<Op>(request.op)) {
    case Op::read:
    case Op::write: {
      const auto result = try_read_write(request, not_ready);
      if (result) count_bytes(request, *result);
      return result;
    }
    case Op::poll: return try_poll(request, not_ready);
    default: return serve_common(request);
  }
}

std::int64_t HostCalls::serve_common(const CallSlot& request) {
  switch (static_cast<Op>(request.op)) {
    case Op::none: parts_.vcpus.wake_io(); return 0;
    case Op::log: return log(request);
    case Op::ioctl_get: return terminal_get(request);
    case Op::ioctl_set: return terminal_set(request);
    case Op::fstat: return file_stat(request);
    case Op::lseek: return seek(request);
    case Op::close_handle: return parts_.handles.close(request.args[0]);
    case Op::clock: parts_.clock.sample(); return 0;
    case Op::suspend: return parts_.vcpus.suspend();
    case Op::augment:
    case Op::restrict_perm:
    case Op::modify_type:
    case Op::remove: return pages(request);
    case Op::start_vcpu: return parts_.vcpus.start_vcpu(request.args[0]);
    case Op::set_tick: return parts_.vcpus.set_tick(request.args[0]);
    case Op::wake_vcpu: return parts_.vcpus.wake_vcpu(request.args[0]);
    case Op::kick_vcpu: return parts_.vcpus.kick_vcpu(request.args[0]);
    case Op::read:
    case Op::write:
    case Op::poll: break;
  }
  return -ENOSYS;
}

std::int64_t HostCalls::read_write(const CallSlot& request, const std::function<bool()>& interrupted) {
  const auto file = parts_.handles.get(request.args[0]);
  if (file == nullptr) return -EBADF;
  std::byte* const at = buffer(request, 0);
  if (at == nullptr) return -EFAULT;
  const std::uint64_t length = std::min(request.length, kMaxTransfer);
  for (;;) {
    const ssize_t done = is_read(request) ? read(file->fd(), at, length) : write(file->fd(), at, length);
    if (done >= 0) return done;
    const int error = errno;
    if (error == EAGAIN) {  // the descriptor came to us in non-blocking mode
      pollfd wait = {file->fd(), static_cast<short>(is_read(request) ? POLLIN : POLLOUT), 0};
      if (poll(&wait, 1, -1) >= 0 || errno != EINTR) continue;
    } else if (error != EINTR) {
      return -error;
    }
    if (interrupted()) return -EINTR;
  }
}

std::optional<std::int64_t> HostCalls::try_read_write(const CallSlot& request, NotReady& not_ready) {
  auto file = parts_.handles.get(request.args[0]);
  if (file == nullptr) return -EBADF;
  std::byte* const at = buffer(request, 0);
  if (at == nullptr) return -EFAULT;
  const bool reading = is_read(request);
  iovec part = {at, std::min(request.length, kMaxTransfer)};
  constexpr off_t kAtFilePosition = -1;
  ssize_t done = 0;
  do {
    done = reading ? preadv2(file->fd(), &part, 1, kAtFilePosition, RWF_NOWAIT)
                   : pwritev2(file->fd(), &part, 1, kAtFilePosition, RWF_NOWAIT);
  } while (done < 0 && errno == EINTR);
  if (done >= 0) return done;
  int error = errno;
  if (error != EAGAIN && error != EOPNOTSUPP) return -error;

  pollfd ready = {file->fd(), static_cast<short>(reading ? POLLIN : POLLOUT), 0};
  // Regular files are always ready; RWF_NOWAIT says EAGAIN there when the data is not in the page cache.
  if (poll(&ready, 1, 0) > 0) {
    struct stat status = {};
    const bool regular = error == EAGAIN && fstat(file->fd(), &status) == 0 && S_ISREG(status.st_mode);
    if (regular || error == EOPNOTSUPP) {
      if (!reading && !regular) part.iov_len = std::min(part.iov_len, kSafeWrite);
      do {
        done = reading ? readv(file->fd(), &part, 1) : writev(file->fd(), &part, 1);
      } while (done < 0 && errno == EINTR);
      if (done >= 0) return done;
      error = errno;
      if (error != EAGAIN) return -error;
    }
  }
  not_ready = {std::move(file), ready.events};
  return std::nullopt;
}

std::int64_t HostCalls::poll_handle(const CallSlot& request, const std::function<bool()>& interrupted) {
  NotReady wait;
  if (const auto result = try_poll(request, wait)) return *result;
  for (;;) {
    pollfd entry = {wait.file->fd(), wait.events, 0};
    timespec timeout = {};
    if (wait.deadline != kNoDeadline) {
      const std::uint64_t now = monotonic_now();
      timeout = to_timespec(wait.deadline > now ? wait.deadline - now : 0);
    }
    const int count = ppoll(&entry, 1, wait.deadline == kNoDeadline ? nullptr : &timeout, nullptr);
    if (count >= 0) return entry.revents;
    if (errno != EINTR) return -errno;
    if (interrupted()) return -EINTR;
  }
}

std::optional<std::int64_t> HostCalls::try_poll(const CallSlot& request, NotReady& not_ready) {
  auto file = parts_.handles.get(request.args[0]);
  if (file == nullptr) return -EBADF;
  if (request.args[1] > 0x7fff) return -EINVAL;
  pollfd entry = {file->fd(), static_cast<short>(request.args[1]), 0};
  int count = 0;
  do {
    count = poll(&entry, 1, 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  if (count > 0 || request.args[2] == 0) return entry.revents;
  const auto timeout = static_cast<std::int64_t>(request.args[2]);
  not_ready = {std::move(file), entry.events};
  if (timeout >= 0) not_ready.deadline = monotonic_now() + static_cast<std::uint64_t>(timeout);
  return std::nullopt;
}

std::int64_t HostCalls::terminal_get(const CallSlot& request) {
  const auto file = parts_.handles.get(request.args[0]);
  if (file == nullptr) return -EBADF;
  const TerminalRequest* const known = find_terminal_request(request.args[1], false);
  if (known == nullptr) return -ENOTTY;
  std::byte* const at = buffer(request, known->size);
  if (at == nullptr) return -EFAULT;
  return result_of(ioctl(file->fd(), known->request, at));
}

std::int64_t HostCalls::terminal_set(const CallSlot& request) {
  const auto file = parts_.handles.get(request.args[0]);
  if (file == nullptr) return -EBADF;
  const TerminalRequest* const known = find_terminal_request(request.args[1], true);
  if (known == nullptr) return -ENOTTY;
  int result = 0;
  do {
    if (known->by_value) {
      result = ioctl(file->fd(), known->request, request.args[2]);
    } else {
      std::byte* const at = buffer(request, known->size);
      if (at == nullptr) return -EFAULT;
      result = ioctl(file->fd(), known->request, at);
    }
  } while (result < 0 && errno == EINTR);
  return result_of(result);
}

std::int64_t HostCalls::file_stat(const CallSlot& request) {
  const auto file = parts_.handles.get(request.args[0]);
  if (file == nullptr) return -EBADF;
  std::byte* const at = buffer(request, sizeof(host_abi::HostStat));
  if (at == nullptr) return -EFAULT;
  struct stat status = {};
  if (fstat(file->fd(), &status) != 0) return -errno;
  host_abi::HostStat out = {};
  out.mode = status.st_mode;
  out.rdev_major = major(status.st_rdev);
  out.rdev_minor = minor(status.st_rdev);
  out.flags = isatty(file->fd()) == 1 ? 1 : 0;
  out.size = static_cast<std::uint64_t>(status.st_size);
  std::memcpy(at, &out, sizeof(out));
  return 0;
}

std::int64_t HostCalls::seek(const CallSlot& request) {
  const auto file = parts_.handles.get(request.args[0]);
  if (file == nullptr) return -EBADF;
  if (request.args[2] > SEEK_HOLE) return -EINVAL;
  return result_of(lseek(file->fd(), static_cast<off_t>(request.args[1]), static_cast<int>(request.args[2])));
}

std::int64_t HostCalls::log(const CallSlot& request) {
  const std::byte* const at = buffer(request, 0);
  if (at == nullptr) return -EFAULT;
  parts_.log(request.args[0], {reinterpret_cast<const char*>(at), request.length});
  return 0;
}

std::int64_t HostCalls::pages(const CallSlot& request) {
  const std::uint64_t offset = request.args[0];
  const std::uint64_t length = request.args[1];
  switch (static_cast<Op>(request.op)) {
    case Op::augment: return -parts_.device.augment(offset, length);
    case Op::restrict_perm: return -parts_.device.restrict_permissions(offset, length, request.args[2]);
    case Op::modify_type: {
      if (request.args[2] > 0xff) return -EINVAL;
      return -parts_.device.modify_types(offset, length, static_cast<sgx::PageType>(request.args[2]));
    }
    default: return -parts_.device.remove_pages(offset, length);
  }
}

}  // namespace host
