#include "kernel/vfs/eventfd.h"

#include <algorithm>
#include <string_view>

#include "abi/fs.h"
#include "kernel/base/string.h"

namespace kernel {
namespace {
constinit std::atomic<std::uint64_t> next_id{0};  // NOLINT: of the instance
}  // namespace

EventFd::EventFd(std::uint64_t initial, bool semaphore, std::uint32_t flags)
    : OpenFile(flags | abi::kORdWr), count_(initial), semaphore_(semaphore), id_(next_id.fetch_add(1, std::memory_order_relaxed)) {}

Result<std::size_t> EventFd::read(IoSink& sink) {
  if (sink.remaining() < sizeof(std::uint64_t)) return Errno::inval;
  for (;;) {
    std::uint64_t seen = count_.load(std::memory_order_acquire);
    while (seen != 0) {
      const std::uint64_t taken = semaphore_ ? 1 : seen;
      if (!count_.compare_exchange_weak(seen, seen - taken, std::memory_order_acq_rel)) continue;
      queue_.wake_all(kPollWritable);
      sink.limit(sizeof(taken));
      return sink.put(std::as_bytes(std::span<const std::uint64_t, 1>(&taken, 1)));
    }
    if (is_nonblocking()) return Errno::again;
    TRY(queue_.wait([this] { return count_.load(std::memory_order_acquire) != 0; }));
  }
}

Result<std::size_t> EventFd::write(IoSource& source) {
  // Newer kernels insist on the exact size (eventfd_write).
  if (source.remaining() != sizeof(std::uint64_t)) return Errno::inval;
  std::uint64_t added = 0;
  if (TRY(source.take(std::as_writable_bytes(std::span<std::uint64_t, 1>(&added, 1)))) != sizeof(added)) return Errno::fault;
  if (added == ~std::uint64_t{0}) return Errno::inval;
  for (;;) {
    std::uint64_t seen = count_.load(std::memory_order_acquire);
    while (added <= kMax - seen) {
      if (!count_.compare_exchange_weak(seen, seen + added, std::memory_order_acq_rel)) continue;
      queue_.wake_all(kPollReadable);
      return sizeof(added);
    }
    if (is_nonblocking()) return Errno::again;
    TRY(queue_.wait([&] { return added <= kMax - count_.load(std::memory_order_acquire); }));
  }
}

void EventFd::add(std::uint64_t added) {
  std::uint64_t seen = count_.load(std::memory_order_acquire);
  while (!count_.compare_exchange_weak(seen, seen + std::min(added, kMax - seen), std::memory_order_acq_rel)) {
  }
  queue_.wake_all(kPollReadable);
}

std::uint32_t EventFd::readiness() {
  const std::uint64_t count = count_.load(std::memory_order_acquire);
  return (count != 0 ? kPollReadable : 0) | (count < kMax ? kPollWritable : 0);
}

std::size_t EventFd::describe(std::span<char> into) {
  constexpr std::string_view kName = "anon_inode:[eventfd]";
  const std::size_t count = std::min(kName.size(), into.size());
  std::copy_n(kName.begin(), count, into.begin());
  return count;
}

Result<> EventFd::describe_info(String& out) {
  const Digits count(count_.load(std::memory_order_relaxed), 16);
  TRY(out.try_append("eventfd-count: "));
  for (std::size_t i = count.view().size(); i < 16; ++i) TRY(out.try_append(' '));
  TRY(out.try_append(count.view()));
  TRY(out.try_append("\neventfd-id: "));
  TRY(out.try_append(Digits(id_).view()));
  return out.try_append(semaphore_ ? "\neventfd-semaphore: 1\n" : "\neventfd-semaphore: 0\n");
}

}  // namespace kernel
