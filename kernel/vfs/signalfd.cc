#include "kernel/vfs/signalfd.h"

#include <algorithm>
#include <string_view>

#include "abi/signal.h"
#include "kernel/base/string.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

// fs/signalfd.c, signalfd_copyinfo: which fields a signal has follows from its number and code.
abi::SignalFdSigInfo to_signalfd(const abi::SigInfo& info) {
  abi::SignalFdSigInfo out{};
  out.signo = static_cast<std::uint32_t>(info.signo);
  out.error = info.error;
  out.code = info.code;
  const bool fault = (kSynchronous & signal_bit(info.signo)) != 0 && info.code > 0 && info.code != abi::kSiKernel;
  if (fault) {
    out.addr = info.fields[0];
  } else if (info.code == abi::kSiTimer) {
    out.tid = static_cast<std::uint32_t>(info.pid());
    out.overrun = info.uid();
    out.int_value = info.status();
    out.ptr = info.value();
  } else if (info.signo == abi::kSigChld && info.code > 0) {
    out.pid = static_cast<std::uint32_t>(info.pid());
    out.uid = info.uid();
    out.status = info.status();
    out.utime = info.fields[2];
    out.stime = info.fields[3];
  } else {
    out.pid = static_cast<std::uint32_t>(info.pid());
    out.uid = info.uid();
    if (info.code < 0 && info.code != abi::kSiTkill) {
      out.int_value = info.status();
      out.ptr = info.value();
    }
  }
  return out;
}

}  // namespace

void SignalFd::set_mask(SignalSet mask) {
  mask_.store(mask & ~kUnblockable, std::memory_order_release);
  owner_->signal_arrived().wake_all(kPollReadable);
}

Result<std::size_t> SignalFd::read(IoSink& sink) {
  if (sink.remaining() < sizeof(abi::SignalFdSigInfo)) return Errno::inval;
  Task& task = current_task();
  std::size_t total = 0;
  while (sink.remaining() >= sizeof(abi::SignalFdSigInfo)) {
    const std::optional<abi::SigInfo> info = dequeue_signal(task, mask_.load(std::memory_order_acquire));
    if (info) {
      const abi::SignalFdSigInfo out = to_signalfd(*info);
      total += TRY(sink.put(std::as_bytes(std::span<const abi::SignalFdSigInfo, 1>(&out, 1))));
      continue;
    }
    if (total != 0) break;
    if (is_nonblocking()) return Errno::again;
    TRY(task.process().signal_arrived().wait([this] { return readiness() != 0; }));
  }
  return total;
}

std::uint32_t SignalFd::readiness() {
  const Task& task = current_task();
  return (task.pending_signals() & mask_.load(std::memory_order_acquire)) != 0 ? kPollReadable : 0;
}

std::size_t SignalFd::describe(std::span<char> into) {
  constexpr std::string_view kName = "anon_inode:[signalfd]";
  const std::size_t count = std::min(kName.size(), into.size());
  std::copy_n(kName.begin(), count, into.begin());
  return count;
}

Result<> SignalFd::describe_info(String& out) {
  TRY(out.try_append("sigmask:\t"));
  TRY(out.try_append(Digits(mask_.load(std::memory_order_relaxed), 16, 16).view()));
  return out.try_append('\n');
}

}  // namespace kernel
