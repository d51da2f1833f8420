#include "kernel/fs/tty/host_stream.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "abi/fs.h"
#include "abi/tty.h"
#include "kernel/frame/user.h"
#include "kernel/fs/tty/console.h"
#include "kernel/host/stream.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constexpr std::size_t kPipeBuf = 4096;        // a pipe that poll(2) calls writable takes this much without blocking
constexpr std::size_t kSmall = 1024;          // transfers up to this size use the stack
constexpr std::size_t kTransfer = 32 * 1024;  // and larger ones this much at a time

// Terminal requests that go to the host as they are, and their sizes (asm-generic/ioctls.h).
struct TerminalRequest {
  std::uint32_t request;
  std::uint32_t size;  // 0: the argument is a number
  bool set;
};
constexpr std::array<TerminalRequest, 16> kTerminalRequests{{{abi::kTcGets, sizeof(abi::Termios), false},
                                                             {abi::kTcSets, sizeof(abi::Termios), true},
                                                             {abi::kTcSetsW, sizeof(abi::Termios), true},
                                                             {abi::kTcSetsF, sizeof(abi::Termios), true},
                                                             {abi::kTcGets2, sizeof(abi::Termios2), false},
                                                             {abi::kTcSets2, sizeof(abi::Termios2), true},
                                                             {abi::kTcSetsW2, sizeof(abi::Termios2), true},
                                                             {abi::kTcSetsF2, sizeof(abi::Termios2), true},
                                                             {abi::kTiocGWinsz, sizeof(abi::WindowSize), false},
                                                             {abi::kTiocSWinsz, sizeof(abi::WindowSize), true},
                                                             {abi::kFioNRead, sizeof(std::int32_t), false},
                                                             {abi::kTiocOutq, sizeof(std::int32_t), false},
                                                             {abi::kTcSBrk, 0, true},
                                                             {abi::kTcXonc, 0, true},
                                                             {abi::kTcFlsh, 0, true},
                                                             {abi::kTcSBrkP, 0, true}}};
constexpr Instant kTimeUnit = 100'000'000;  // of VTIME: a tenth of a second

Result<abi::Termios> settings_of(std::uint32_t handle) {
  abi::Termios settings{};
  TRY(host::stream_ioctl_get(handle, abi::kTcGets, std::as_writable_bytes(std::span<abi::Termios, 1>(&settings, 1))));
  return settings;
}

bool is_regular(const host_abi::HostStat& stat) { return (stat.mode & 0170000) == 0100000; }

}  // namespace

HostStream::HostStream(std::uint32_t handle, const host_abi::HostStat& stat, std::uint32_t flags)
    : OpenFile(flags), handle_(handle), stat_(stat), is_regular_(is_regular(stat)), is_terminal_(is_terminal(stat)) {}

HostStream::HostStream(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t handle, const host_abi::HostStat& stat, std::uint32_t flags)
    : OpenFile(std::move(dentry), std::move(inode), flags), handle_(handle), stat_(stat), is_regular_(is_regular(stat)), is_terminal_(is_terminal(stat)) {}

HostStream::~HostStream() { host::unwatch(*this); }

void HostStream::on_ready(std::uint32_t events) {
  watching_.store(false, std::memory_order_release);
  queue_.wake_all(events);
}

void HostStream::watch_soon(std::uint32_t events) {
  if (!watching_.exchange(true, std::memory_order_acq_rel) && !host::watch(handle_, events, *this).ok()) watching_.store(false);
}

Result<> HostStream::await(std::uint32_t events) {
  if (is_regular_) return {};
  for (;;) {
    const std::uint32_t ready = TRY(host::stream_poll(handle_, events));
    if (ready != 0) return {};
    if (is_nonblocking()) return Errno::again;
    TRY(host::wait_ready(handle_, events, kNever));
  }
}

// Only the foreground group may read its terminal.
Result<> HostStream::check_reader() {
  if (const RefPtr<Console> terminal = console(); is_terminal_ && terminal) return check_background(current_task(), *terminal, abi::kSigTtin);
  return {};
}

// And only it may write, if the terminal says so; asking the host for that is left to those whom it concerns.
Result<> HostStream::check_writer() {
  const RefPtr<Console> terminal = console();
  if (!is_terminal_ || !terminal || !is_background(current_task(), *terminal)) return {};
  if ((TRY(settings_of(handle_)).lflag & abi::kToStop) == 0) return {};
  return check_background(current_task(), *terminal, abi::kSigTtou);
}

Result<bool> HostStream::await_input() {
  for (Instant deadline = kNever;;) {
    if (TRY(host::stream_poll(handle_, kPollIn)) != 0) return true;
    if (is_terminal_ && deadline == kNever) {
      const abi::Termios settings = TRY(settings_of(handle_));
      if ((settings.lflag & abi::kICanon) == 0 && settings.cc[abi::kVMin] == 0) {
        if (settings.cc[abi::kVTime] == 0) return false;
        deadline = monotonic_now() + settings.cc[abi::kVTime] * kTimeUnit;
      }
    }
    if (is_nonblocking()) return Errno::again;
    auto ready = host::wait_ready(handle_, kPollIn, deadline);
    if (!ready.ok() && ready.error() == Errno::timedout) return false;
    TRY(ready);
  }
}

Result<std::size_t> HostStream::read(IoSink& sink) {
  TRY(check_reader());
  if (sink.full()) return std::size_t{0};
  if (!is_regular_ && !TRY(await_input())) return std::size_t{0};
  std::array<std::byte, kSmall> small;
  if (sink.remaining() <= kSmall) {
    const std::span<std::byte> buffer = std::span(small).first(sink.remaining());
    const std::size_t got = TRY(host::stream_read(handle_, buffer));
    return sink.put(buffer.first(got));
  }
  Vec<std::byte> large;
  TRY(large.try_resize(std::min<std::uint64_t>(sink.remaining(), kTransfer)));
  const std::size_t got = TRY(host::stream_read(handle_, large.span()));
  return sink.put(large.span().first(got));
}

Result<std::size_t> HostStream::write_piece(IoSource& source, std::size_t most) {
  std::array<std::byte, kSmall> small;
  Vec<std::byte> large;
  std::span<std::byte> buffer = small;
  if (std::min<std::uint64_t>(source.remaining(), most) > kSmall) {
    TRY(large.try_resize(std::min<std::uint64_t>(source.remaining(), most)));
    buffer = large.span();
  }
  const std::size_t taken = TRY(source.take(buffer.first(std::min<std::uint64_t>(buffer.size(), source.remaining()))));
  std::size_t sent = 0;
  while (sent < taken) {
    if (auto ready = await(kPollOut); !ready.ok()) {
      if (sent != 0) return sent;
      return ready.error();
    }
    auto written = host::stream_write(handle_, buffer.first(taken).subspan(sent));
    if (!written.ok()) {
      if (sent != 0) return sent;
      if (written.error() == Errno::pipe) raise_signal(current_task(), abi::kSigPipe);
      return written.error();
    }
    sent += std::move(written).release();
  }
  return sent;
}

Result<std::size_t> HostStream::write(IoSource& source) {
  TRY(check_writer());
  const std::size_t most = is_regular_ ? kTransfer : kPipeBuf;
  std::size_t total = 0;
  while (!source.empty()) {
    auto written = write_piece(source, most);
    if (!written.ok()) {
      if (total != 0) return total;
      return written.error();
    }
    total += std::move(written).release();
  }
  return total;
}

Result<FileOffset> HostStream::seek(FileOffset offset, std::uint32_t whence) {
  if (!is_regular_) return Errno::spipe;
  return static_cast<FileOffset>(TRY(host::stream_seek(handle_, offset, whence)));
}

Result<std::optional<std::uint64_t>> HostStream::terminal_ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  const RefPtr<Console> terminal = console();
  if (terminal) {
    if (const std::optional<std::uint64_t> answer = TRY(session_ioctl(task, *terminal, false, may_read(), request, argument))) return answer;
  }
  for (const TerminalRequest& known : kTerminalRequests) {
    if (known.request != request) continue;
    if (known.set && request != abi::kTiocSWinsz && terminal) TRY(check_background(task, *terminal, abi::kSigTtou));
    std::array<std::byte, sizeof(abi::Termios2)> bytes{};
    const std::span<std::byte> payload = std::span(bytes).first(known.size);
    if (known.size == 0) {
      TRY(host::stream_ioctl_value(handle_, request, argument));
    } else if (known.set) {
      TRY(UserPtr<const std::byte>(argument).load_all(payload));
      TRY(host::stream_ioctl_set(handle_, request, payload));
    } else {
      TRY(host::stream_ioctl_get(handle_, request, payload));
      TRY(UserPtr<std::byte>(argument).store_all(payload));
    }
    return std::optional<std::uint64_t>(0);
  }
  return std::optional<std::uint64_t>();
}

Result<std::uint64_t> HostStream::ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  if (is_terminal_) {
    if (const std::optional<std::uint64_t> answer = TRY(terminal_ioctl(task, request, argument))) return *answer;
    return Errno::notty;
  }
  if (request != abi::kFioNRead) return Errno::notty;
  std::int32_t count = 0;
  TRY(host::stream_ioctl_get(handle_, request, std::as_writable_bytes(std::span<std::int32_t, 1>(&count, 1))));
  TRY(UserPtr<std::int32_t>(argument).store(count));
  return std::uint64_t{0};
}

std::uint32_t HostStream::readiness() {
  if (is_regular_) return kPollReadable | kPollWritable;
  std::uint32_t wanted = 0;
  if (may_read()) wanted |= kPollIn;
  if (may_write()) wanted |= kPollOut;
  auto ready = host::stream_poll(handle_, wanted);
  if (!ready.ok()) return kPollErr;
  const std::uint32_t events = std::move(ready).release();
  // Whoever asks may be about to wait: have the host tell us when the rest becomes true.
  if ((events & wanted) != wanted) watch_soon(wanted & ~events);
  return events | ((events & kPollIn) != 0 ? kPollRdNorm : 0) | ((events & kPollOut) != 0 ? kPollWrNorm : 0);
}

Result<Attributes> HostStream::attributes() {
  if (inode()) return OpenFile::attributes();
  Attributes attributes{};
  attributes.mode = stat_.mode;
  attributes.size = is_regular_ ? TRY(host::stream_stat(handle_)).size : 0;
  attributes.nlink = 1;
  attributes.rdev = abi::make_device(stat_.rdev_major, stat_.rdev_minor);
  attributes.ino = handle_ + 1;
  attributes.block_size = 4096;
  return attributes;
}

std::size_t HostStream::describe(std::span<char> into) {
  constexpr std::array<std::string_view, 3> kNames{"/dev/stdin", "/dev/stdout", "/dev/stderr"};
  const std::string_view name = handle_ < kNames.size() ? kNames[handle_] : std::string_view("/dev/console");
  const std::size_t count = std::min(name.size(), into.size());
  std::copy_n(name.begin(), count, into.begin());
  return count;
}

Result<> HostStream::sync(bool) {
  if (!is_regular_) return Errno::inval;
  return {};
}

Result<Ref<OpenFile>> HostStream::reopen(std::uint32_t flags) {
  return Ref<OpenFile>(TRY(make_ref<HostStream>(handle_, stat_, flags & (abi::kOAccMode | abi::kSettableFlags))));
}

Result<Ref<OpenFile>> open_host_stream(std::uint32_t handle) {
  const host_abi::HostStat stat = TRY(host::stream_stat(handle));
  const bool terminal = HostStream::is_terminal(stat);
  const std::uint32_t access = terminal ? abi::kORdWr : handle == 0 ? abi::kORdOnly : abi::kOWrOnly;
  return Ref<OpenFile>(TRY(make_ref<HostStream>(handle, stat, access)));
}

}  // namespace kernel
