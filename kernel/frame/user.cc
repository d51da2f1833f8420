#include "kernel/frame/user.h"

#include <algorithm>
#include <bit>

#include "kernel/frame/asm.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/vcpu_slots.h"

namespace kernel {
namespace frame {
namespace {

UserSpace* running_space() {
  const ThreadContext* context = this_vcpu().current;
  return context == nullptr ? nullptr : context->user_space;
}

// Marks the check and the copy after it for wait_for_copies(): the epoch is odd before the check reads anything. The store needs a full fence
// behind it, unless announce_copy() has made it already and the caller's locked instruction was the fence.
class CopyEpoch {
 public:
  CopyEpoch() : epoch_(this_vcpu().copy_epoch) {
    const std::uint32_t now = epoch_.load(std::memory_order_relaxed);
    if ((now & 1) == 0) epoch_.store(now + 1, std::memory_order_seq_cst);
  }
  ~CopyEpoch() { epoch_.store(epoch_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  CopyEpoch(const CopyEpoch&) = delete;
  CopyEpoch& operator=(const CopyEpoch&) = delete;

 private:
  std::atomic<std::uint32_t>& epoch_;
};

// How far a copy of `size` bytes at `address` went before it could not go on.
struct Progress {
  std::uint64_t done = 0;
  Errno error{};
};

// One direction of a user copy; `step` tries to move [done, size) and returns how many bytes it did NOT move. Absent pages are
// populated and the copy goes on: each round either moves a byte or makes a page accessible, and populate() fails if it cannot.
template <class Step>
Progress run_copy(std::uint64_t address, std::uint64_t size, Access access, Step&& step) {
  KASSERT(this_vcpu().spin_mask == 0);
  Progress progress;
  if (size == 0) return progress;
  UserSpace* space = running_space();
  if (space == nullptr) return {.done = 0, .error = Errno::fault};
  while (progress.done < size) {
    std::uint64_t left = 0;
    {
      const CopyEpoch epoch;
      // Inside the epoch: what the check allows cannot be handed to another process before the step is over.
      if (!space->check(address + progress.done, size - progress.done, access).ok()) return {.done = progress.done, .error = Errno::fault};
      left = step(progress.done);
    }
    KASSERT(left <= size - progress.done);
    progress.done = size - left;
    if (left == 0) break;
    const VcpuBlock& vcpu = this_vcpu();
    if (vcpu.fault_code == ~std::uint64_t{0}) return {.done = progress.done, .error = Errno::fault};
    if (const auto populated = space->populate(address + progress.done, access); !populated.ok())
      return {.done = progress.done, .error = Errno::fault};
  }
  return progress;
}

// SAFETY: spans are kernel memory by construction; their address is only handed to the faulting copy.
std::uint64_t raw(std::span<const std::byte> bytes) { return reinterpret_cast<std::uint64_t>(bytes.data()); }

// Within the constant user window, without wrapping. The areas are checked by run_copy.
Result<> check_window(std::uint64_t address, std::uint64_t size) {
  std::uint64_t end = 0;
  if (__builtin_add_overflow(address, size, &end)) return Errno::fault;
  if (size != 0 && (address < user_window_begin() || end > user_window_end())) return Errno::fault;
  return {};
}

Result<> check_range(std::uint64_t address, std::uint64_t size, Access access) {
  TRY(check_window(address, size));
  if (size == 0) return {};
  UserSpace* space = running_space();
  if (space == nullptr) return Errno::fault;
  return space->check(address, size, access);
}

// The longest prefix of the range that check() accepts, for partial copies: whole pages are tried.
std::uint64_t accessible_prefix(std::uint64_t address, std::uint64_t size, Access access) {
  if (check_range(address, size, access).ok()) return size;
  std::uint64_t good = 0;
  while (good < size) {
    const std::uint64_t step = std::min(size - good, kPageSize - ((address + good) & (kPageSize - 1)));
    if (!check_range(address + good, step, access).ok()) break;
    good += step;
  }
  return good;
}

}  // namespace

void announce_copy() {
  std::atomic<std::uint32_t>& epoch = this_vcpu().copy_epoch;
  const std::uint32_t now = epoch.load(std::memory_order_relaxed);
  KASSERT((now & 1) == 0);
  epoch.store(now + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler must not move it behind the caller's locked instruction
}

void abandon_copy() {
  std::atomic<std::uint32_t>& epoch = this_vcpu().copy_epoch;
  const std::uint32_t now = epoch.load(std::memory_order_relaxed);
  if ((now & 1) != 0) epoch.store(now + 1, std::memory_order_release);
}

void wait_for_copies() {
  const std::uint32_t self = this_vcpu().index;
  for (std::uint64_t left = existing_slots(); left != 0; left &= left - 1) {
    const auto index = static_cast<std::uint32_t>(std::countr_zero(left));
    if (index == self) continue;
    const VcpuBlock& vcpu = vcpu_block(index);
    const std::uint32_t seen = vcpu.copy_epoch.load(std::memory_order_seq_cst);
    if ((seen & 1) == 0) continue;
    while (vcpu.copy_epoch.load(std::memory_order_acquire) == seen) __builtin_ia32_pause();
  }
}

std::uint64_t user_window_begin() { return layout().user.start; }
std::uint64_t user_window_end() { return layout().user.end(); }

Result<> copy_from_user(std::span<std::byte> into, std::uint64_t address) {
  TRY(check_window(address, into.size()));
  const Progress progress = run_copy(address, into.size(), Access::read, [&](std::uint64_t done) {
    return faulting_copy(raw(into) + done, address + done, into.size() - done);
  });
  if (progress.done != into.size()) return Errno::fault;
  return {};
}

Result<> copy_to_user(std::uint64_t address, std::span<const std::byte> from) {
  TRY(check_window(address, from.size()));
  const Progress progress = run_copy(address, from.size(), Access::write, [&](std::uint64_t done) {
    return faulting_copy(address + done, raw(from) + done, from.size() - done);
  });
  if (progress.done != from.size()) return Errno::fault;
  return {};
}

namespace {
// The whole range if it can be had, which is nearly always; else its accessible prefix.
template <class Copy>
Result<std::size_t> copy_partial(std::uint64_t address, std::uint64_t whole, Access access, Copy&& copy) {
  if (whole == 0) return std::size_t{0};
  Progress progress;
  if (check_window(address, whole).ok()) progress = run_copy(address, whole, access, [&](std::uint64_t done) { return copy(done, whole); });
  if (progress.done == 0) {
    const std::uint64_t size = accessible_prefix(address, whole, access);
    if (size == 0 || size == whole) return Errno::fault;
    progress = run_copy(address, size, access, [&](std::uint64_t done) { return copy(done, size); });
  }
  if (progress.done == 0) return Errno::fault;
  return progress.done;
}
}  // namespace

Result<std::size_t> copy_from_user_partial(std::span<std::byte> into, std::uint64_t address) {
  return copy_partial(address, into.size(), Access::read, [&](std::uint64_t done, std::uint64_t size) {
    return faulting_copy(raw(into) + done, address + done, size - done);
  });
}

Result<std::size_t> copy_to_user_partial(std::uint64_t address, std::span<const std::byte> from) {
  return copy_partial(address, from.size(), Access::write, [&](std::uint64_t done, std::uint64_t size) {
    return faulting_copy(address + done, raw(from) + done, size - done);
  });
}

Result<std::size_t> copy_string_from_user(std::span<char> into, std::uint64_t address) {
  std::size_t length = 0;
  while (length < into.size()) {
    // Never beyond the page: the string may end right before an unmapped one.
    const std::uint64_t at = address + length;
    const std::size_t step = std::min<std::uint64_t>(into.size() - length, kPageSize - (at & (kPageSize - 1)));
    const std::size_t chunk = std::min<std::size_t>(step, 256);
    const std::span<char> part = into.subspan(length, chunk);
    TRY(copy_from_user(std::as_writable_bytes(part), at));
    const auto nul = std::find(part.begin(), part.end(), '\0');
    length += static_cast<std::size_t>(nul - part.begin());
    if (nul != part.end()) return length;
  }
  return Errno::nametoolong;
}

Result<> clear_user(std::uint64_t address, std::uint64_t size) {
  TRY(check_window(address, size));
  const Progress progress =
      run_copy(address, size, Access::write, [&](std::uint64_t done) { return faulting_zero(address + done, size - done); });
  if (progress.done != size) return Errno::fault;
  return {};
}

namespace {
template <class Operation>
Result<std::uint32_t> word_operation(std::uint64_t address, Access access, Operation&& operation) {
  if ((address & 3) != 0) return Errno::inval;
  TRY(check_window(address, 4));
  std::uint32_t value = 0;
  const Progress progress = run_copy(address, 4, access, [&](std::uint64_t) -> std::uint64_t {
    const FaultingValue got = operation();
    value = static_cast<std::uint32_t>(got.value);
    return got.fault != 0 ? 4 : 0;
  });
  if (progress.done != 4) return Errno::fault;
  return value;
}
}  // namespace

Result<std::uint32_t> load_user_word(std::uint64_t address) {
  return word_operation(address, Access::read, [&] { return faulting_load(address); });
}

Result<std::uint32_t> peek_user_word(std::uint64_t address) {
  if ((address & 3) != 0) return Errno::inval;
  const CopyEpoch epoch;
  TRY(check_range(address, 4, Access::read));
  const FaultingValue got = faulting_load(address);
  if (got.fault != 0) return Errno::again;
  return static_cast<std::uint32_t>(got.value);
}

Result<> store_user_word(std::uint64_t address, std::uint32_t value) {
  TRY(word_operation(address, Access::write, [&] { return faulting_store(address, value); }));
  return {};
}

Result<std::uint32_t> compare_exchange_user_word(std::uint64_t address, std::uint32_t expected, std::uint32_t desired) {
  return word_operation(address, Access::write, [&] { return faulting_cmpxchg(address, expected, desired); });
}

Result<std::uint32_t> peek_compare_exchange_user_word(std::uint64_t address, std::uint32_t expected, std::uint32_t desired) {
  if ((address & 3) != 0) return Errno::inval;
  const CopyEpoch epoch;
  TRY(check_range(address, 4, Access::write));
  const FaultingValue got = faulting_cmpxchg(address, expected, desired);
  if (got.fault != 0) return Errno::again;
  return static_cast<std::uint32_t>(got.value);
}

}  // namespace frame

Result<UserBytes> UserBytes::at(std::uint64_t address, std::uint64_t size) {
  if (size == 0) return UserBytes(address, 0);
  std::uint64_t end = 0;
  if (__builtin_add_overflow(address, size, &end)) return Errno::fault;
  if (end > frame::user_window_end()) return Errno::fault;
  return UserBytes(address, size);
}

}  // namespace kernel
