#include "tests/kernel_mm/fake_enclave.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "kernel/frame/heap.h"
#include "kernel/frame/heap_reserve.h"
#include "kernel/frame/pages.h"
#include "kernel/frame/user.h"
#include "kernel/host/memory.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/init.h"
#include "kernel/mm/overlap.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"

namespace kernel_mm_test {

std::vector<std::string> violations;
std::uint64_t host_calls = 0;
int host_calls_until_failure = -1;

namespace {
enum class Life { pending, accepted, restricted, trimmed, gone };
struct Entry {
  Life life = Life::pending;
  std::uint32_t permissions = 3;
};
std::map<std::uint64_t, Entry> pages;
kernel::AddressSpace* running = nullptr;
std::mutex mutex;
bool has_edmm = true;

bool host_fails() {
  ++host_calls;
  if (host_calls_until_failure < 0) return false;
  return host_calls_until_failure-- == 0;
}
void wrong(const char* what, std::uint64_t page) {
  char text[128];
  std::snprintf(text, sizeof text, "%s at %llx", what, static_cast<unsigned long long>(page));
  violations.emplace_back(text);
}
}  // namespace

void run(kernel::AddressSpace& space) {
  running = &space;
  const kernel::LockGuard guard(kernel::overlap_lock);
  if (kernel::OverlapGroup* group = space.group.load(); group != nullptr) group->switching = 0;
  if (space.group.load() != nullptr) kernel::mm::exchange(space);
  kernel::mm::disband(space);
}

void boot(bool edmm, std::uint64_t limit) {
  has_edmm = edmm;
  void* memory = mmap(reinterpret_cast<void*>(kUserBegin), kUserSize, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  // What is in pages before they are accepted is anybody's guess.
  std::memset(memory, 0x5a, std::size_t{1} << 20);
  const kernel::mm::MemoryConfig config{.user_begin = kUserBegin,
                                        .user_end = kUserBegin + kUserSize,
                                        .committed_end = edmm ? 0 : kUserBegin + limit,
                                        .edmm = edmm,
                                        .committed_limit = limit,
                                        .random = 0x123456789abcdef0};
  if (!kernel::mm::initialise(config).ok()) std::abort();
  kernel::set_overlap_hooks({.become_sole_resident = [] { run(*running); },
                             .members_changed = [](kernel::OverlapGroup&) {},
                             .move_held = [](kernel::OverlapGroup&, kernel::OverlapGroup&) {}});
}

std::uint64_t pages_in_enclave() {
  const std::lock_guard guard(mutex);
  return pages.size();
}

int epcm(std::uint64_t page) {
  const std::lock_guard guard(mutex);
  const auto it = pages.find(page);
  return it == pages.end() || it->second.life != Life::accepted ? -1 : static_cast<int>(it->second.permissions);
}

}  // namespace kernel_mm_test

using namespace kernel_mm_test;

namespace kernel::frame {

Result<> accept_pending(std::uint64_t page, std::uint32_t permissions) {
  const std::lock_guard guard(mutex);
  const auto it = pages.find(page);
  if (it == pages.end() || it->second.life != Life::pending || permissions != 3) {
    wrong("EACCEPT of a page that is not pending", page);
    return Errno::io;
  }
  it->second.life = Life::accepted;
  std::memset(reinterpret_cast<void*>(page), 0, kPageSize);
  return {};
}

Result<> accept_copy(std::uint64_t page, std::span<const std::byte, kPageSize> source, std::uint32_t permissions) {
  const std::lock_guard guard(mutex);
  const auto it = pages.find(page);
  if (it == pages.end() || it->second.life != Life::pending) {
    wrong("EACCEPTCOPY of a page that is not pending", page);
    return Errno::io;
  }
  it->second = {.life = Life::accepted, .permissions = permissions};
  std::memcpy(reinterpret_cast<void*>(page), source.data(), kPageSize);
  return {};
}

Result<> accept_restricted(std::uint64_t page, std::uint32_t permissions) {
  const std::lock_guard guard(mutex);
  const auto it = pages.find(page);
  if (it == pages.end() || it->second.life != Life::restricted || it->second.permissions != permissions) {
    wrong("EACCEPT of a page that is not restricted so", page);
    return Errno::io;
  }
  it->second.life = Life::accepted;
  return {};
}

Result<> accept_trimmed(std::uint64_t page) {
  const std::lock_guard guard(mutex);
  const auto it = pages.find(page);
  if (it == pages.end() || it->second.life != Life::trimmed) {
    wrong("EACCEPT of a page that is not trimmed", page);
    return Errno::io;
  }
  it->second.life = Life::gone;
  return {};
}

Result<> extend_permissions(std::uint64_t page, std::uint32_t permissions) {
  const std::lock_guard guard(mutex);
  const auto it = pages.find(page);
  if (it == pages.end() || it->second.life != Life::accepted) {
    wrong("EMODPE of a page that is not there", page);
    return Errno::io;
  }
  it->second.permissions |= permissions;
  return {};
}

std::span<std::byte> page_bytes(std::uint64_t address, std::size_t size) {
  const std::lock_guard guard(mutex);
  if (has_edmm)
    for (std::uint64_t page = address & ~std::uint64_t{4095}; page < address + size; page += kPageSize) {
      const auto it = pages.find(page);
      if (it == pages.end() || it->second.life != Life::accepted || (it->second.permissions & 1) == 0) wrong("access to a page that is not there", page);
    }
  return {reinterpret_cast<std::byte*>(address), size};
}

void zero_pages(std::uint64_t address, std::size_t size) {
  if (has_edmm)
    for (std::uint64_t page = address; page < address + size; page += kPageSize)
      if ((epcm(page) & 2) == 0 || epcm(page) < 0) wrong("zeroing a page that is not writable", page);
  std::memset(reinterpret_cast<void*>(address), 0, size);
}

std::uint64_t user_window_begin() { return kUserBegin; }
std::uint64_t user_window_end() { return kUserBegin + kUserSize; }

HeapReserve::HeapReserve() = default;
HeapReserve::~HeapReserve() = default;

Result<std::span<std::byte>> allocate_pages(std::size_t count) {
  void* memory = std::aligned_alloc(kPageSize, count * kPageSize);
  if (memory == nullptr) return Errno::nomem;
  std::memset(memory, 0xa5, count * kPageSize);
  return std::span<std::byte>(static_cast<std::byte*>(memory), count * kPageSize);
}
void free_pages(std::span<std::byte> bytes) { std::free(bytes.data()); }


}  // namespace kernel::frame

namespace kernel {
bool equal_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}
void copy_bytes(std::span<std::byte> to, std::span<const std::byte> from) {
  if (to.size() < from.size()) std::abort();
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}
void fill_bytes(std::span<std::byte> to, std::byte value) { std::memset(to.data(), static_cast<int>(value), to.size()); }
}  // namespace kernel

namespace kernel::host {

Result<> augment(std::uint64_t address, std::uint64_t size) {
  const std::lock_guard guard(mutex);
  if (host_fails()) return Errno::nomem;
  for (std::uint64_t page = address; page < address + size; page += kPageSize) {
    if (!pages.emplace(page, Entry{}).second) wrong("EAUG of a page that is there", page);
    std::memset(reinterpret_cast<void*>(page), 0x5a, kPageSize);
  }
  return {};
}

Result<> restrict_permissions(std::uint64_t address, std::uint64_t size, std::uint32_t permissions) {
  const std::lock_guard guard(mutex);
  if (host_fails()) return Errno::io;
  for (std::uint64_t page = address; page < address + size; page += kPageSize) {
    const auto it = pages.find(page);
    if (it == pages.end() || it->second.life != Life::accepted) {
      wrong("EMODPR of a page that is not there", page);
      return Errno::io;
    }
    it->second.permissions &= permissions;
    it->second.life = Life::restricted;
  }
  return {};
}

Result<> trim(std::uint64_t address, std::uint64_t size) {
  const std::lock_guard guard(mutex);
  if (host_fails()) return Errno::io;
  for (std::uint64_t page = address; page < address + size; page += kPageSize) {
    const auto it = pages.find(page);
    if (it == pages.end() || it->second.life != Life::accepted) {
      wrong("EMODT of a page that is not accepted", page);
      return Errno::io;
    }
    it->second.life = Life::trimmed;
  }
  return {};
}

Result<> remove(std::uint64_t address, std::uint64_t size) {
  const std::lock_guard guard(mutex);
  ++host_calls;
  for (std::uint64_t page = address; page < address + size; page += kPageSize) {
    const auto it = pages.find(page);
    if (it == pages.end() || it->second.life != Life::gone) {
      wrong("removal of a page that was not given up", page);
      return Errno::io;
    }
    pages.erase(it);
    std::memset(reinterpret_cast<void*>(page), 0xee, kPageSize);
  }
  return {};
}

}  // namespace kernel::host

namespace kernel {
namespace sync_detail {
namespace {
thread_local std::uint32_t held_spinlocks = 0;
}
void spin_lock(std::atomic<std::uint32_t>& word, LockRank rank) {
  const std::uint32_t bit = std::uint32_t{1} << (static_cast<unsigned>(rank) - static_cast<unsigned>(LockRank::first_spin));
  if (held_spinlocks >= bit) violations.emplace_back("spinlock out of order");
  held_spinlocks |= bit;
  while (word.exchange(1) != 0) std::this_thread::yield();
}
bool spin_try_lock(std::atomic<std::uint32_t>& word, LockRank) { return word.exchange(1) == 0; }
void spin_unlock(std::atomic<std::uint32_t>& word, LockRank rank) {
  held_spinlocks &= ~(std::uint32_t{1} << (static_cast<unsigned>(rank) - static_cast<unsigned>(LockRank::first_spin)));
  word.store(0);
}
void mutex_lock(MutexState& state, LockRank) {
  if (held_spinlocks != 0) violations.emplace_back("mutex under a spinlock");
  while (state.word.exchange(1) != 0) std::this_thread::yield();
}
bool mutex_try_lock(MutexState& state, LockRank) { return state.word.exchange(1) == 0; }
void mutex_unlock(MutexState& state, LockRank) { state.word.store(0); }
}  // namespace sync_detail
void assert_no_spinlocks_held() {}

Instant monotonic_now() {
  static std::atomic<Instant> now{0};
  return ++now;
}
ParkResult park(Instant, Interruptible) {
  std::this_thread::yield();
  return ParkResult::woken;
}

}  // namespace kernel

// The page map's tables live as long as the enclave.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
