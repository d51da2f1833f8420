#include "kernel/syscall/poll.h"

#include <algorithm>
#include <array>
#include <optional>

#include "abi/process.h"
#include "kernel/base/checked.h"
#include "kernel/base/vec.h"
#include "kernel/task/process.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/poll.h"

namespace kernel {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000, kNsPerUs = 1'000;
constexpr std::uint64_t kMaskBytes = 8;

// Absolute deadline of a relative timeout; no timeout = never, a zero one = 0 (do not wait). Far futures are "never".
Result<Instant> deadline_of(std::int64_t seconds, std::int64_t nanoseconds) {
  if (seconds < 0 || nanoseconds < 0 || nanoseconds >= abi::kNsPerSec) return Errno::inval;
  if (seconds == 0 && nanoseconds == 0) return Instant{0};
  std::uint64_t total = 0;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(seconds), static_cast<std::uint64_t>(abi::kNsPerSec), &total) ||
      __builtin_add_overflow(total, static_cast<std::uint64_t>(nanoseconds) + monotonic_now(), &total))
    return kNever;
  return total;
}

std::uint64_t time_left(Instant deadline) {
  const Instant now = monotonic_now();
  return deadline > now ? deadline - now : 0;
}

// The temporary mask of ppoll and pselect6. EINVAL for another size of the set.
Result<> apply_mask(Task& task, UserPtr<const std::uint64_t> mask, std::uint64_t size) {
  if (mask.is_null()) return {};
  if (size != kMaskBytes) return Errno::inval;
  task.set_temporary_mask(TRY(mask.load()));
  return {};
}

Result<std::uint32_t> do_poll(Task& task, UserPtr<abi::PollFd> fds, std::uint32_t count, Instant deadline) {
  if (count > task.process().rlimit_current(abi::Rlimit::nofile)) return Errno::inval;
  Vec<abi::PollFd> entries;
  TRY(entries.try_resize(count));
  TRY(fds.load_all(entries.span()));
  Vec<PollItem> items;
  TRY(items.try_resize(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (entries[i].fd < 0) continue;
    auto file = files_of(task).get(Fd{entries[i].fd});
    items[i].events = static_cast<std::uint16_t>(entries[i].events);
    if (file.ok())
      items[i].file = std::move(file).release();
    else
      items[i].ready = kPollNval;
  }
  const std::uint32_t ready = TRY(poll_files(items.span(), deadline));
  for (std::uint32_t i = 0; i < count; ++i) entries[i].revents = static_cast<std::int16_t>(items[i].ready);
  for (std::uint32_t i = 0; i < count; ++i) TRY(TRY(fds.at(i)).store(entries[i]));
  return ready;
}

// ---- select

constexpr std::uint32_t kSmallestTable = 64;  // descriptors that Linux's table holds from the start; bits beyond the table are not looked at
constexpr std::uint32_t kReadEvents = kPollReadable | kPollRdBand | kPollHup | kPollErr, kWriteEvents = kPollWritable | kPollWrBand | kPollErr;

struct SelectSet {
  UserPtr<std::uint64_t> user;
  Vec<std::uint64_t> asked, answer;

  Result<> load(std::size_t words) {
    TRY(answer.try_resize(words));
    TRY(asked.try_resize(words));
    if (!user.is_null()) TRY(user.load_all(asked.span()));
    return {};
  }
  Result<> store() const {
    if (user.is_null()) return {};
    return user.store_all(answer.span());
  }
  bool has(std::uint32_t fd) const { return (asked[fd / 64] >> (fd % 64) & 1) != 0; }
  void set(std::uint32_t fd) { answer[fd / 64] |= std::uint64_t{1} << (fd % 64); }
};

struct SelectSets {
  SelectSet read, write, except;
};

Result<Vec<PollItem>> select_items(Task& task, const SelectSets& sets, std::uint32_t count, Vec<std::uint32_t>& numbers) {
  Vec<PollItem> items;
  for (std::uint32_t fd = 0; fd < count; ++fd) {
    std::uint32_t events = 0;
    if (sets.read.has(fd)) events |= kReadEvents;
    if (sets.write.has(fd)) events |= kWriteEvents;
    if (sets.except.has(fd)) events |= kPollPri;
    if (events == 0) continue;
    PollItem item;
    item.file = TRY(files_of(task).get(Fd{static_cast<std::int32_t>(fd)}));
    item.events = events;
    TRY(items.try_push(std::move(item)));
    TRY(numbers.try_push(fd));
  }
  return items;
}

std::uint32_t collect(SelectSets& sets, std::span<const PollItem> items, std::span<const std::uint32_t> numbers) {
  std::uint32_t bits = 0;
  const auto note = [&](SelectSet& set, std::uint32_t fd, bool ready) {
    if (!ready || !set.has(fd)) return;
    set.set(fd);
    ++bits;
  };
  for (std::size_t i = 0; i < items.size(); ++i) {
    note(sets.read, numbers[i], (items[i].ready & kReadEvents) != 0);
    note(sets.write, numbers[i], (items[i].ready & kWriteEvents) != 0);
    note(sets.except, numbers[i], (items[i].ready & kPollPri) != 0);
  }
  return bits;
}

// poll_files counts HUP and ERR for every item; select(2) reports them through its sets only, so an item that makes no bit is waited
// for again without those that are ready (it cannot change back).
Result<std::uint32_t> do_select(Task& task, std::int32_t count, SelectSets& sets, Instant deadline) {
  if (count < 0) return Errno::inval;
  const auto table = static_cast<std::uint32_t>(round_up(std::max(files_of(task).capacity(), kSmallestTable), 64));
  const std::uint32_t limit = std::min(static_cast<std::uint32_t>(count), table);
  const std::size_t words = (limit + 63) / 64;
  for (SelectSet* set : {&sets.read, &sets.write, &sets.except}) TRY(set->load(words));
  Vec<std::uint32_t> numbers;
  Vec<PollItem> items = TRY(select_items(task, sets, limit, numbers));
  for (;;) {
    const std::uint32_t ready = TRY(poll_files(items.span(), deadline));
    const std::uint32_t bits = collect(sets, items.span(), numbers.span());
    if (bits != 0 || ready == 0) {
      for (const SelectSet* set : {&sets.read, &sets.write, &sets.except}) TRY(set->store());
      return bits;
    }
    for (PollItem& item : items)
      if (item.ready != 0) item = PollItem{};
  }
}

}  // namespace

Result<std::uint32_t> sys_poll(Task& task, UserPtr<abi::PollFd> fds, std::uint32_t count, std::int32_t timeout_ms) {
  Instant deadline = kNever;
  if (timeout_ms == 0) deadline = 0;
  if (timeout_ms > 0) deadline = task.keep_deadline(monotonic_now() + static_cast<std::uint64_t>(timeout_ms) * kNsPerMs);
  return do_poll(task, fds, count, deadline);
}

Result<std::uint32_t> sys_ppoll(Task& task, UserPtr<abi::PollFd> fds, std::uint32_t count, UserPtr<abi::Timespec> timeout,
                                UserPtr<const std::uint64_t> mask, std::uint64_t mask_size) {
  Instant deadline = kNever;
  if (!timeout.is_null()) {
    const abi::Timespec wanted = TRY(timeout.load());
    deadline = TRY(deadline_of(wanted.sec, wanted.nsec));
    if (deadline != 0) deadline = task.keep_deadline(deadline);
  }
  TRY(apply_mask(task, mask, mask_size));
  auto result = do_poll(task, fds, count, deadline);
  if (result.ok()) {
    task.restore_signal_mask();
    if (!timeout.is_null() && deadline != kNever) {
      const std::uint64_t left = time_left(deadline);
      // Linux ignores a failure here: the wait itself has happened.
      static_cast<void>(timeout.store({.sec = static_cast<std::int64_t>(left / 1'000'000'000), .nsec = static_cast<std::int64_t>(left % 1'000'000'000)}).ok());
    }
  }
  return result;
}

Result<std::uint32_t> sys_select(Task& task, std::int32_t count, UserPtr<std::uint64_t> read_set, UserPtr<std::uint64_t> write_set,
                                 UserPtr<std::uint64_t> except_set, UserPtr<abi::Timeval> timeout) {
  Instant deadline = kNever;
  if (!timeout.is_null()) {
    const abi::Timeval wanted = TRY(timeout.load());
    if (wanted.sec < 0 || wanted.usec < 0) return Errno::inval;
    const std::int64_t seconds = TRY(checked_add(wanted.sec, wanted.usec / 1'000'000));
    deadline = TRY(deadline_of(seconds, wanted.usec % 1'000'000 * static_cast<std::int64_t>(kNsPerUs)));
    if (deadline != 0) deadline = task.keep_deadline(deadline);
  }
  SelectSets sets{.read = {.user = read_set, .asked = {}, .answer = {}},
                  .write = {.user = write_set, .asked = {}, .answer = {}},
                  .except = {.user = except_set, .asked = {}, .answer = {}}};
  auto result = do_select(task, count, sets, deadline);
  if (result.ok() && !timeout.is_null() && deadline != kNever) {
    const std::uint64_t left = time_left(deadline);
    static_cast<void>(timeout.store({.sec = static_cast<std::int64_t>(left / 1'000'000'000), .usec = static_cast<std::int64_t>(left % 1'000'000'000 / kNsPerUs)}).ok());
  }
  return result;
}

Result<std::uint32_t> sys_pselect6(Task& task, std::int32_t count, UserPtr<std::uint64_t> read_set, UserPtr<std::uint64_t> write_set,
                                   UserPtr<std::uint64_t> except_set, UserPtr<abi::Timespec> timeout,
                                   UserPtr<const abi::SigsetArgument> mask) {
  Instant deadline = kNever;
  if (!timeout.is_null()) {
    const abi::Timespec wanted = TRY(timeout.load());
    deadline = TRY(deadline_of(wanted.sec, wanted.nsec));
    if (deadline != 0) deadline = task.keep_deadline(deadline);
  }
  if (!mask.is_null()) {
    const abi::SigsetArgument set = TRY(mask.load());
    TRY(apply_mask(task, UserPtr<const std::uint64_t>(set.address), set.size));
  }
  SelectSets sets{.read = {.user = read_set, .asked = {}, .answer = {}},
                  .write = {.user = write_set, .asked = {}, .answer = {}},
                  .except = {.user = except_set, .asked = {}, .answer = {}}};
  auto result = do_select(task, count, sets, deadline);
  if (result.ok()) {
    task.restore_signal_mask();
    if (!timeout.is_null() && deadline != kNever) {
      const std::uint64_t left = time_left(deadline);
      static_cast<void>(timeout.store({.sec = static_cast<std::int64_t>(left / 1'000'000'000), .nsec = static_cast<std::int64_t>(left % 1'000'000'000)}).ok());
    }
  }
  return result;
}

}  // namespace kernel
