// The host's page tables follow the EPCM: lazily where more becomes allowed, at once where less does.
#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emulator/checks.h"
#include "emulator/thread.h"

namespace emulator {

namespace {

constexpr std::size_t kMaxStates = 16;
std::atomic<State*> g_states[kMaxStates];
std::mutex g_states_mutex;

int memory_fd() {
  static const int kFd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  return kFd;
}

int host_protection(u32 wanted) {
  int protection = PROT_NONE;
  if ((wanted & sgx::kSecinfoR) != 0) protection |= PROT_READ;
  if ((wanted & sgx::kSecinfoW) != 0) protection |= PROT_READ | PROT_WRITE;
  if ((wanted & sgx::kSecinfoX) != 0) protection |= PROT_EXEC;
  return protection;
}

void set_pte_bits(std::atomic<Entry>& entry, u32 pte) {
  Entry old = entry.load(std::memory_order_relaxed);
  while (!entry.compare_exchange_weak(old, (old & ~kEntryPteMask) | (Entry{pte} << kEntryPteShift), std::memory_order_relaxed)) {
  }
}

}  // namespace

State* find_state(u64 address) {
  for (std::atomic<State*>& slot : g_states) {
    State* state = slot.load(std::memory_order_acquire);
    if (state != nullptr && state->contains(address)) return state;
  }
  return nullptr;
}

void register_state(State* state) {
  const std::lock_guard guard(g_states_mutex);
  memory_fd();  // opened here and not first in a signal handler
  for (std::atomic<State*>& slot : g_states) {
    if (slot.load() == nullptr) {
      slot.store(state, std::memory_order_release);
      return;
    }
  }
  fatal("too many enclaves in one process");
}

void unregister_state(State* state) {
  const std::lock_guard guard(g_states_mutex);
  for (std::atomic<State*>& slot : g_states) {
    if (slot.load() == state) slot.store(nullptr);
  }
}

SignalBlock::SignalBlock() {
  sigset_t all;
  sigfillset(&all);
  for (const int number : {SIGSEGV, SIGILL, SIGSYS, SIGFPE, SIGBUS, SIGTRAP}) sigdelset(&all, number);
  pthread_sigmask(SIG_BLOCK, &all, &old_);
}

SignalBlock::~SignalBlock() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

u64 default_max_mappings() {
  constexpr u64 kOthers = 4096;  // libraries, stacks, buffers
  u64 allowed = 65530;
  if (const int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC); fd >= 0) {
    char text[32] = {};
    if (read(fd, text, sizeof(text) - 1) > 0) allowed = std::strtoull(text, nullptr, 10);
    close(fd);
  }
  return std::max(allowed, 2 * kOthers) - kOthers;
}

namespace {

// The page table bits as of now; neighbours of ELRANGE count as none.
u32 table_bits(const State& state, u64 page) {
  return page >= state.reserved_start && state.contains(page) ? entry_pte(state.entry(page).load(std::memory_order_relaxed)) : 0;
}

// How many of the borders between pages from the one at `start` to the one at `end` are also borders of mappings.
u64 count_borders(const State& state, u64 start, u64 end) {
  u64 borders = 0;
  u32 before = table_bits(state, start - kPage);
  for (u64 page = start; page <= end; page += kPage) {
    const u32 here = table_bits(state, page);
    borders += here != before ? 1 : 0;
    before = here;
  }
  return borders;
}

// Takes all access to forgettable pages away, which leaves one mapping of them; faults bring back what is needed. Page tables are a cache
// of the EPCM, and the host limits its size.
void forget_tables_locked(State& state) {
  const u64 last = state.forgettable_end > state.base ? (state.forgettable_end - state.base) / kRegion : 0;
  for (u64 region = 0; region < last; ++region) {
    const u64 first = region;
    while (region < last && state.regions[region] != 0) state.regions[region++] = 0;
    if (region == first) continue;
    const u64 start = std::max(state.base + first * kRegion, state.reserved_start);
    const u64 end = state.base + region * kRegion;
    state.mappings -= count_borders(state, start, end) - (table_bits(state, end) != 0 ? 1 : 0);
    for (u64 page = start; page < end; page += kPage) set_pte_bits(state.entry(page), 0);
    if (mprotect(reinterpret_cast<void*>(start), end - start, PROT_NONE) != 0) fatal("mprotect failed", start);
  }
  state.tables_forgotten.fetch_add(1, std::memory_order_relaxed);
}

// Pages [start, end), which all want this, get it.
void change_tables_locked(State& state, u64 start, u64 end, u32 wanted) {
  if (state.mappings + 2 > state.max_mappings) forget_tables_locked(state);
  if (mprotect(reinterpret_cast<void*>(start), end - start, host_protection(wanted)) != 0) {
    forget_tables_locked(state);
    if (mprotect(reinterpret_cast<void*>(start), end - start, host_protection(wanted)) != 0) fatal("mprotect failed", start);
  }
  note_tables_locked(state, start, end, wanted);
}

}  // namespace

void note_tables_locked(State& state, u64 start, u64 end, u32 allowed) {
  const u64 borders = count_borders(state, start, end);
  for (u64 page = start; page < end; page += kPage) set_pte_bits(state.entry(page), allowed);
  state.mappings += count_borders(state, start, end) - borders;
  if (allowed == 0) return;
  for (u64 region = (start - state.base) / kRegion; region <= (end - 1 - state.base) / kRegion; ++region) state.regions[region] = 1;
}

void sync_pages_locked(State& state, u64 start, u64 end) {
  if (start < state.reserved_start) start = state.reserved_start;
  u64 address = start;
  while (address < end) {
    const Entry first = state.entry(address).load(std::memory_order_acquire);
    const u32 wanted = entry_wanted_pte(first);
    if (entry_pte(first) == wanted) {
      address += kPage;
      continue;
    }
    u64 stop = address + kPage;
    while (stop < end && entry_wanted_pte(state.entry(stop).load(std::memory_order_acquire)) == wanted) stop += kPage;
    change_tables_locked(state, address, stop, wanted);
    address = stop;
  }
}

void sync_run_locked(State& state, u64 address) {
  const u32 wanted = entry_wanted_pte(state.entry(address).load(std::memory_order_acquire));
  const auto belongs = [&](u64 page) {
    const Entry entry = state.entry(page).load(std::memory_order_relaxed);
    return entry_wanted_pte(entry) == wanted && entry_pte(entry) != wanted;
  };
  u64 start = address;
  u64 end = address + kPage;
  const u64 lowest = std::max(state.reserved_start, address > kMaxSyncRun * kPage ? address - kMaxSyncRun * kPage : 0);
  const u64 highest = std::min(state.base + state.size, address + kMaxSyncRun * kPage);
  while (start > lowest && belongs(start - kPage)) start -= kPage;
  while (end < highest && belongs(end)) end += kPage;
  sync_pages_locked(state, start, end);
}

bool resolve_fault(State& state, u64 address, u32 error_code) {
  const u64 page = address & ~(kPage - 1);
  if (page < state.reserved_start) return false;
  u32 needed = sgx::kSecinfoR;
  if ((error_code & sgx::kPfWrite) != 0) needed = sgx::kSecinfoW;
  if ((error_code & sgx::kPfFetch) != 0) needed = sgx::kSecinfoX;
  const std::lock_guard guard(state.pte);
  const Entry entry = state.entry(page).load(std::memory_order_acquire);
  if ((entry_wanted_pte(entry) & needed) == 0) return false;
  // Up to date already: another thread was faster, or the fault came before the last change. Both go away by trying again.
  if (entry_pte(entry) != entry_wanted_pte(entry)) {
    sync_run_locked(state, page);
    state.lazy_faults.fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

void drop_pages(u64 start, u64 end) { madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED); }

bool write_through(u64 address, const void* from, std::size_t size) {
  return pwrite(memory_fd(), from, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
}

bool read_through(u64 address, void* to, std::size_t size) {
  return pread(memory_fd(), to, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
}

}  // namespace emulator
