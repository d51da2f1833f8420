#include "kernel/mm/user_memory.h"

#include <algorithm>
#include <atomic>

#include "kernel/base/checked.h"
#include "kernel/base/list.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/image_cache.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/ranges.h"
#include "kernel/sync/lock.h"

namespace kernel::mm {
namespace {

constexpr std::uint64_t kCacheLimit = (64 << 20) >> kPageShift;  // pages
constexpr std::uint64_t kJoinLimit = std::uint64_t{4} << 20;
constexpr std::uint64_t kNibble = 8;
constexpr std::uint64_t kNibbleSize = std::uint64_t{1} << 20;
constexpr std::uint64_t kMixedOwners = ~std::uint64_t{0};
constexpr std::size_t kCacheEntries = 192;
constexpr std::uint32_t kReadWrite = frame::kPageRead | frame::kPageWrite;

struct CacheTag;
struct CachedRange : ListNode<CacheTag> {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t pages = 0;
  std::uint64_t owner = 0;
};
using CacheList = List<CachedRange, CacheTag>;

struct Memory {
  SpinLock<LockRank::address_ranges> lock;
  RangeAllocator ranges GUARDED_BY(lock);
  CacheList cache GUARDED_BY(lock);  // most recently given first
  std::size_t entries GUARDED_BY(lock) = 0;
  std::uint64_t begin = 0, end = 0;
  std::atomic<std::uint64_t> cached{0};  // pages
  std::atomic<GracePeriod> grace{nullptr};
};
// Made at the first use, at boot, and never destroyed.
Memory& memory() {
  static constinit std::atomic<Memory*> instance{nullptr};
  Memory* self = instance.load(std::memory_order_acquire);
  if (self == nullptr) {
    auto made = make_own<Memory>();
    KASSERT(made.ok());  // boot: there is memory
    self = std::move(made).release().leak();
    instance.store(self, std::memory_order_release);
  }
  return *self;
}

void free_entry(CachedRange& entry) {
  const Own<CachedRange> last = Own<CachedRange>::adopt(&entry, {.size = sizeof(CachedRange), .align = alignof(CachedRange)});
}

void wait_grace_period() {
  if (const GracePeriod wait = memory().grace.load(std::memory_order_acquire); wait != nullptr) wait();
}

// Gives the pages to the host and the addresses to everybody. If the host refuses to take the pages, nobody ever gets the addresses.
void return_range(std::uint64_t begin, std::uint64_t end) {
  if (!page_map().release(begin, end).ok()) return;
  wait_grace_period();
  Memory& self = memory();
  const LockGuard guard(self.lock);
  self.ranges.release(begin, end - begin);
}

void take_out(Memory& self, CachedRange& entry) REQUIRES(self.lock) {
  CacheList::remove(entry);
  --self.entries;
  self.cached.fetch_sub(entry.pages, std::memory_order_relaxed);
}

// The entry that fits best: the smallest that is large enough, the owner's own before others'.
CachedRange* best_entry(Memory& self, std::uint64_t size, std::uint64_t align, std::uint64_t owner) REQUIRES(self.lock) {
  CachedRange* best = nullptr;
  for (CachedRange* entry = self.cache.front(); entry != nullptr; entry = self.cache.next(*entry)) {
    if (round_up(entry->begin, align) + size > entry->end) continue;
    // A stack's or a break's addresses are not broken up for a few pages.
    if (entry->end - entry->begin > std::max(kNibble * size, kNibbleSize)) continue;
    if (best == nullptr || (entry->owner == owner) > (best->owner == owner) ||
        ((entry->owner == owner) == (best->owner == owner) && entry->end - entry->begin < best->end - best->begin))
      best = entry;
  }
  return best;
}

// A range out of the cache, or 0. `foreign` tells that its last owner was another.
std::uint64_t take_cached(std::uint64_t size, std::uint64_t align, std::uint64_t owner, bool& foreign) {
  Memory& self = memory();
  if (self.cached.load(std::memory_order_relaxed) == 0) return 0;
  CachedRange* spent = nullptr;
  std::uint64_t begin = 0;
  {
    const LockGuard guard(self.lock);
    CachedRange* entry = best_entry(self, size, align, owner);
    if (entry == nullptr) return 0;
    foreign = entry->owner != owner;
    // From the top; what is left below stays in the cache. With an alignment only an exact start is taken.
    begin = align == kPageSize ? entry->end - size : round_up(entry->begin, align);
    if (begin != entry->begin && begin + size != entry->end) return 0;
    if (size == entry->end - entry->begin) {
      take_out(self, *entry);
      spent = entry;
    } else {
      const std::uint64_t pages = page_map().count(begin, begin + size);
      if (begin == entry->begin)
        entry->begin = begin + size;
      else
        entry->end = begin;
      entry->pages -= pages;
      self.cached.fetch_sub(pages, std::memory_order_relaxed);
    }
  }
  if (spent != nullptr) free_entry(*spent);
  return begin;
}

// The oldest entry, or one that overlaps [begin, end) if end is not 0. Out of the cache, owned by the caller.
CachedRange* pull_entry(std::uint64_t begin, std::uint64_t end) {
  Memory& self = memory();
  const LockGuard guard(self.lock);
  CachedRange* entry = self.cache.back();
  if (end != 0)
    for (entry = self.cache.front(); entry != nullptr && (entry->end <= begin || entry->begin >= end);) entry = self.cache.next(*entry);
  if (entry != nullptr) take_out(self, *entry);
  return entry;
}

bool evict(std::uint64_t begin = 0, std::uint64_t end = 0) {
  CachedRange* entry = pull_entry(begin, end);
  // Program images are worth more than empty pages.
  if (entry == nullptr) return evict_image(begin, end);
  return_range(entry->begin, entry->end);
  free_entry(*entry);
  return true;
}

// Makes every page of the range RW or absent, so that it can be reused as it is.
Result<> make_uniform(std::uint64_t begin, std::uint64_t end) {
  PageMap& pages = page_map();
  for (std::uint64_t page = pages.find(begin, end, true); page < end; page = pages.find(page + kPageSize, end, true)) {
    const PageState now = pages.state(page);
    if (!now.present() || now.permissions() == kReadWrite) continue;
    if ((now.permissions() & frame::kPageExecute) == 0) {
      TRY(pages.add_permissions(page, kReadWrite));
      continue;
    }
    // Never writable and executable: the whole run of code goes.
    std::uint64_t stop = page + kPageSize;
    while (stop < end && pages.state(stop).present() && (pages.state(stop).permissions() & frame::kPageExecute) != 0) stop += kPageSize;
    TRY(pages.release(page, stop));
    page = stop - kPageSize;
  }
  return {};
}

// True if the range is in the cache now.
bool put_in_cache(std::uint64_t begin, std::uint64_t end, std::uint64_t owner) {
  Memory& self = memory();
  const std::uint64_t pages = page_map().count(begin, end);
  if (pages == 0 || pages > kCacheLimit) return false;
  if (!make_uniform(begin, end).ok()) return false;
  auto made = make_own<CachedRange>();
  if (!made.ok()) return false;
  Own<CachedRange> entry = std::move(made).release();
  entry->begin = begin;
  entry->end = end;
  entry->owner = owner;
  entry->pages = page_map().count(begin, end);
  CachedRange* joined = nullptr;
  {
    const LockGuard guard(self.lock);
    // A neighbour is joined, so that pieces become useful again; not what is large enough already.
    for (CachedRange* other = self.cache.front(); other != nullptr; other = self.cache.next(*other)) {
      if (other->end != begin && other->begin != end) continue;
      if (other->end - other->begin + (end - begin) > kJoinLimit) continue;
      if (other->owner != owner) entry->owner = kMixedOwners;
      entry->begin = std::min(begin, other->begin);
      entry->end = std::max(end, other->end);
      entry->pages += other->pages;
      take_out(self, *other);
      joined = other;
      break;
    }
    ++self.entries;
    self.cached.fetch_add(entry->pages, std::memory_order_relaxed);
    self.cache.push_front(*entry.leak());
  }
  if (joined != nullptr) free_entry(*joined);
  return true;
}

bool cache_is_too_large() {
  Memory& self = memory();
  const LockGuard guard(self.lock);
  return self.entries > kCacheEntries || self.cached.load(std::memory_order_relaxed) > kCacheLimit;
}

}  // namespace

bool is_committed(std::uint64_t address, bool write) {
  const Memory& self = memory();
  if (address < self.begin || address >= self.end) return false;
  if (!page_map().has_edmm()) return true;  // all of it was added at load
  const PageState state = page_map().state(round_down(address, kPageSize));
  return state.present() && (!write || (state.permissions() & frame::kPageWrite) != 0);
}

Result<> initialise(const MemoryConfig& config) {
  if (!is_aligned(config.user_begin | config.user_end, kPageSize) || config.user_begin >= config.user_end) return Errno::inval;
  Memory& self = memory();
  self.begin = config.user_begin;
  self.end = config.edmm ? config.user_end : std::min(config.committed_end, config.user_end);
  if (self.begin >= self.end) return Errno::inval;
  TRY(page_map().init(self.begin, self.end, config.edmm, config.committed_limit >> kPageShift));
  const std::uint64_t size = self.end - self.begin;
  // Programs linked to fixed addresses live at the bottom.
  const std::uint64_t low = self.begin + std::min<std::uint64_t>(size / 16, std::uint64_t{16} << 30);
  const std::uint64_t skipped = config.edmm ? round_down(config.random % (size / 16), kPageSize) : 0;
  const LockGuard guard(self.lock);
  return self.ranges.init(self.begin, self.end, low, self.end - skipped);
}

SystemMemory system_memory() {
  const PageMap& pages = page_map();
  return {.limit = pages.limit() << kPageShift, .committed = pages.committed() << kPageShift, .cached = (cached_pages() + image_pages()) << kPageShift};
}

bool idle_work() { return false; }

void set_grace_period(GracePeriod wait) { memory().grace.store(wait, std::memory_order_release); }

Result<TakenRange> take_range(std::uint64_t size, std::uint64_t align, std::uint64_t owner, bool may_be_dirty) {
  Memory& self = memory();
  if (size == 0 || size > self.end - self.begin) return Errno::nomem;
  if (may_be_dirty) {
    bool foreign = false;
    if (const std::uint64_t begin = take_cached(size, align, owner, foreign); begin != 0) {
      if (foreign) wait_grace_period();
      return TakenRange{.begin = begin, .dirty = true};
    }
  }
  while (true) {
    {
      const LockGuard guard(self.lock);
      const auto found = self.ranges.allocate(size, align);
      if (found.ok()) return TakenRange{.begin = auto(found).release(), .dirty = false};
    }
    // Addresses in the cache may be what is missing.
    if (!evict()) return Errno::nomem;
  }
}

Result<std::uint64_t> take_range_near(std::uint64_t size, std::uint64_t around, std::uint64_t around_end, std::uint64_t distance) {
  Memory& self = memory();
  while (true) {
    {
      const LockGuard guard(self.lock);
      const auto found = self.ranges.allocate_near(size, around, around_end, distance);
      if (found.ok()) return auto(found).release();
    }
    if (!evict()) return Errno::nomem;
  }
}

Result<> claim_range(std::uint64_t begin, std::uint64_t size, std::uint64_t) {
  if (!in_window(begin, size)) return Errno::nomem;
  Memory& self = memory();
  while (true) {
    {
      const LockGuard guard(self.lock);
      if (self.ranges.is_free(begin, size)) return self.ranges.claim(begin, size);
    }
    if (!evict(begin, begin + size)) return Errno::nomem;
  }
}

void give_range(std::uint64_t begin, std::uint64_t size, std::uint64_t owner, bool cacheable) {
  if (size == 0) return;
  if (!cacheable || !page_map().has_edmm() || !put_in_cache(begin, begin + size, owner)) {
    return_range(begin, begin + size);
    return;
  }
  while (cache_is_too_large()) {
    CachedRange* oldest = pull_entry(0, 0);
    if (oldest == nullptr) return;
    return_range(oldest->begin, oldest->end);
    free_entry(*oldest);
  }
}

bool is_free(std::uint64_t begin, std::uint64_t size) {
  Memory& self = memory();
  const LockGuard guard(self.lock);
  return self.ranges.is_free(begin, size);
}

bool reclaim_cached_pages(std::uint64_t pages) {
  const std::uint64_t before = page_map().committed();
  bool any = false;
  while (evict()) {
    any = true;
    if (before - std::min(before, page_map().committed()) >= pages) break;
  }
  return any;
}

std::uint64_t cached_pages() { return memory().cached.load(std::memory_order_relaxed); }

bool in_window(std::uint64_t begin, std::uint64_t size) {
  const Memory& self = memory();
  return begin >= self.begin && begin < self.end && size <= self.end - begin;
}

std::uint64_t free_addresses() {
  Memory& self = memory();
  const LockGuard guard(self.lock);
  return self.ranges.free_bytes();
}

std::uint64_t window_size() { return memory().end - memory().begin; }

}  // namespace kernel::mm
