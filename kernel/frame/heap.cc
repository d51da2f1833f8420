// The kernel heap. Small objects come from slabs through a cache per vCPU: kernel code is not preempted and the exception path does not
// allocate, so the caches need no lock. Free objects carry a tag that catches a second free and writes after free.
#include "kernel/frame/heap.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "host_abi/entry.h"
#include "kernel/base/checked.h"
#include "kernel/base/heap.h"
#include "kernel/frame/heap_pages.h"
#include "kernel/frame/heap_reserve.h"
#ifdef OCCLUM_KERNEL
#include "kernel/frame/panic.h"
#include "kernel/frame/vcpu_block.h"
#endif

// SAFETY: (whole file) objects come from pages that the heap owns; a free object is at least 16 bytes long and holds a FreeObject; a slab's
// header lies at its start, which is found by masking since slabs are naturally aligned.
UNSAFE_BUFFERS_BEGIN
namespace kernel::frame {
namespace {

constexpr std::size_t kLargest = 2048;  // larger requests take pages
constexpr std::array<std::uint16_t, 24> kClassSizes = {16,  32,  48,  64,  80,  96,  112, 128, 160,  192,  224,  256,
                                                       320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048};
constexpr std::size_t kClasses = kClassSizes.size();
constexpr std::size_t kPageClass = kClasses;  // single pages have a cache as well
constexpr std::uint64_t kReserve = 1 << 20;
constexpr std::uint64_t kChunk = 2 << 20;  // how much is fetched from the host at a time
constexpr std::size_t kReservedPart = 32;  // one of so many pages is only for those who hold a HeapReserve
constexpr std::uint64_t kObjectTag = 0x9c3fe2d1785ab64d;
constexpr std::uint64_t kSlabTag = 0x51ab51ab'0c0ffee0;

constexpr std::array<std::uint8_t, kLargest / 16 + 1> kClassOf = [] {
  std::array<std::uint8_t, kLargest / 16 + 1> table{};
  std::size_t at = 0;
  for (std::size_t units = 0; units < table.size(); ++units) {
    while (kClassSizes[at] < units * 16) ++at;
    table[units] = static_cast<std::uint8_t>(at);
  }
  return table;
}();

constexpr std::size_t slab_pages(std::size_t size_class) {
  const std::size_t size = kClassSizes[size_class];
  return size <= 256 ? 1 : size <= 1024 ? 4 : 8;
}
// Objects that a vCPU keeps at most, and half of it is what moves at a time.
constexpr std::uint32_t cache_limit(std::size_t size_class) {
  if (size_class == kPageClass) return 32;
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(16384 / kClassSizes[size_class], 16, 128));
}

struct FreeObject {
  FreeObject* next;
  std::uint64_t tag;
};
std::uint64_t tag_of(const FreeObject* object) {
  // SAFETY: only the number is used.
  return kObjectTag ^ reinterpret_cast<std::uint64_t>(object);
}

struct Slab {
  Slab* next;
  Slab* previous;
  FreeObject* free;
  std::uint32_t free_count;
  std::uint32_t total;
  std::uint64_t size_class;
  std::uint64_t tag;
};
static_assert(sizeof(Slab) <= 64);

struct CentralClass {
  HeapLock lock;
  Slab* partial = nullptr;  // slabs with free objects
  std::uint32_t empty = 0;  // of them, those with nothing in use
  std::uint64_t slabs = 0, total = 0, taken = 0;  // all slabs; objects in them, and those that are not in a slab's list
};

struct Magazine {
  FreeObject* head = nullptr;
  std::uint32_t count = 0;
};
struct alignas(64) VcpuCache {
  std::array<Magazine, kClasses + 1> magazines;
};

struct Heap {
  HeapLock pages_lock;
  PageRuns pages;
  std::array<CentralClass, kClasses> classes;
  std::array<VcpuCache, host_abi::kMaxVcpus> caches;
  std::atomic<GrowFunction> grow{nullptr};
  std::atomic<bool> growing{false};
  std::atomic<std::uint32_t> reserve_users{0};
};
Heap& heap() {
  static constinit Heap instance;
  return instance;
}

#ifdef OCCLUM_KERNEL
VcpuCache& this_cache() { return heap().caches[this_vcpu().index]; }
bool may_leave() { return this_vcpu().spin_mask == 0; }
#else
VcpuCache& this_cache() {
  static std::atomic<std::uint32_t> threads{0};
  thread_local const std::uint32_t index = threads.fetch_add(1) % host_abi::kMaxVcpus;
  return heap().caches[index];
}
bool may_leave() { return true; }
#endif

// Fetches at least `size` bytes more. False if there are none to have.
bool grow_by(std::uint64_t size) {
  Heap& self = heap();
  const GrowFunction grow = self.grow.load(std::memory_order_acquire);
  if (grow == nullptr) return false;
  if (self.growing.exchange(true, std::memory_order_acquire)) {
    // Somebody else is at it: when that is done the caller looks again.
    while (self.growing.load(std::memory_order_relaxed)) __builtin_ia32_pause();
    return true;
  }
  const std::uint64_t at = self.pages.committed_end();
  const std::uint64_t step = std::min(round_up(std::max(size, kChunk), kPageSize), self.pages.end() - at);
  bool grown = false;
  if (step != 0 && grow(at, step).ok()) {
    const HeapGuard guard(self.pages_lock);
    self.pages.extend(step);
    grown = true;
  }
  self.growing.store(false, std::memory_order_release);
  return grown;
}

bool may_take(std::size_t pages) {
  const Heap& self = heap();
  const std::uint64_t left = self.pages.free_pages() + ((self.pages.end() - self.pages.committed_end()) >> kPageShift);
  return left >= pages + ((self.pages.end() - self.pages.begin()) >> kPageShift) / kReservedPart ||
         self.reserve_users.load(std::memory_order_relaxed) != 0;
}

std::uint64_t take_pages(std::size_t pages) {
  Heap& self = heap();
  if (!may_take(pages)) return 0;
  while (true) {
    {
      const HeapGuard guard(self.pages_lock);
      if (const std::uint64_t address = self.pages.allocate(pages); address != 0) return address;
    }
    if (!may_leave() || pages > (std::size_t{1} << (PageRuns::kOrders - 1)) || !grow_by(std::uint64_t{pages} << kPageShift)) return 0;
  }
}

void give_pages(std::uint64_t address, std::size_t pages) {
  Heap& self = heap();
  const HeapGuard guard(self.pages_lock);
  self.pages.release(address, pages);
}

Slab* slab_of(const FreeObject* object, std::size_t size_class) {
  const std::uint64_t mask = slab_pages(size_class) * kPageSize - 1;
  // SAFETY: see the top of the file; the tag below tells a wrong size or a foreign pointer.
  Slab* slab = reinterpret_cast<Slab*>(reinterpret_cast<std::uint64_t>(object) & ~mask);
  KASSERT(slab->tag == (kSlabTag ^ size_class));
  return slab;
}

Slab* make_slab(std::size_t size_class) {
  const std::size_t bytes = slab_pages(size_class) * kPageSize;
  const std::uint64_t address = take_pages(slab_pages(size_class));
  if (address == 0) return nullptr;
  const std::size_t size = kClassSizes[size_class];
  // Sizes that are powers of two are aligned to themselves.
  const std::size_t first = (size & (size - 1)) == 0 ? std::max<std::size_t>(64, size) : 64;
  // SAFETY: the pages are fresh and ours.
  Slab* slab = reinterpret_cast<Slab*>(address);
  *slab = Slab{.next = nullptr, .previous = nullptr, .free = nullptr, .free_count = 0, .total = 0, .size_class = size_class,
               .tag = kSlabTag ^ size_class};
  for (std::size_t at = first; at + size <= bytes; at += size) {
    // SAFETY: within the slab.
    auto* object = reinterpret_cast<FreeObject*>(address + at);
    object->next = slab->free;
    object->tag = tag_of(object);
    slab->free = object;
    ++slab->free_count;
  }
  slab->total = slab->free_count;
  return slab;
}

void link_slab(CentralClass& central, Slab* slab) {
  slab->next = central.partial;
  slab->previous = nullptr;
  if (slab->next != nullptr) slab->next->previous = slab;
  central.partial = slab;
}
void unlink_slab(CentralClass& central, Slab* slab) {
  if (slab->previous != nullptr)
    slab->previous->next = slab->next;
  else
    central.partial = slab->next;
  if (slab->next != nullptr) slab->next->previous = slab->previous;
}

// Moves up to half a cache of objects from slabs to the magazine. The lock of the class is held.
void take_objects(CentralClass& central, std::size_t size_class, Magazine& magazine) {
  for (std::uint32_t wanted = cache_limit(size_class) / 2; wanted > 0 && central.partial != nullptr; --wanted) {
    Slab* slab = central.partial;
    FreeObject* object = slab->free;
    KASSERT(object->tag == tag_of(object));
    if (slab->free_count == slab->total) --central.empty;
    ++central.taken;
    slab->free = object->next;
    if (--slab->free_count == 0) unlink_slab(central, slab);
    object->next = magazine.head;
    magazine.head = object;
    ++magazine.count;
  }
}

// Fills the vCPU's magazine. False if there is no memory.
bool refill(std::size_t size_class) {
  CentralClass& central = heap().classes[size_class];
  Magazine& magazine = this_cache().magazines[size_class];
  {
    const HeapGuard guard(central.lock);
    take_objects(central, size_class, magazine);
  }
  if (magazine.count != 0) return true;
  // Growing may go through the host, but the thread stays on its vCPU: host calls do not switch threads.
  Slab* fresh = make_slab(size_class);
  if (fresh == nullptr) return false;
  // One hold for both: were the slab only linked, another vCPU could empty it before this one looks.
  const HeapGuard guard(central.lock);
  link_slab(central, fresh);
  ++central.empty;
  ++central.slabs;
  central.total += fresh->total;
  take_objects(central, size_class, magazine);
  return true;
}

// Moves half of a full cache back; slabs that became empty go back to the pages, but for one.
void drain(std::size_t size_class, Magazine& magazine) {
  CentralClass& central = heap().classes[size_class];
  Slab* unused = nullptr;
  {
    const HeapGuard guard(central.lock);
    for (std::uint32_t count = cache_limit(size_class) / 2; count > 0; --count) {
      FreeObject* object = magazine.head;
      KASSERT(object->tag == tag_of(object));
      magazine.head = object->next;
      --magazine.count;
      Slab* slab = slab_of(object, size_class);
      object->next = slab->free;
      slab->free = object;
      --central.taken;
      if (slab->free_count++ == 0) link_slab(central, slab);
      if (slab->free_count != slab->total) continue;
      if (++central.empty <= 1) continue;
      unlink_slab(central, slab);
      --central.empty;
      --central.slabs;
      central.total -= slab->total;
      slab->next = unused;
      unused = slab;
    }
  }
  while (unused != nullptr) {
    Slab* next = unused->next;
    unused->tag = 0;
    // SAFETY: the slab's pages are given back as they were taken.
    give_pages(reinterpret_cast<std::uint64_t>(unused), slab_pages(size_class));
    unused = next;
  }
}

bool refill_pages(Magazine& magazine) {
  Heap& self = heap();
  if (!may_take(1)) return false;
  {
    const HeapGuard guard(self.pages_lock);
    // A few at a time, so that idle vCPUs do not hold what others need when memory is short.
    for (std::uint32_t wanted = 8; wanted > 0 && (magazine.count == 0 || self.pages.free_pages() > 64); --wanted) {
      const std::uint64_t address = self.pages.allocate(1);
      if (address == 0) break;
      // SAFETY: a fresh page.
      auto* object = reinterpret_cast<FreeObject*>(address);
      object->next = magazine.head;
      object->tag = tag_of(object);
      magazine.head = object;
      ++magazine.count;
    }
  }
  return magazine.count != 0;
}

void drain_pages(Magazine& magazine) {
  Heap& self = heap();
  const HeapGuard guard(self.pages_lock);
  for (std::uint32_t count = cache_limit(kPageClass) / 2; count > 0; --count) {
    FreeObject* object = magazine.head;
    magazine.head = object->next;
    --magazine.count;
    // SAFETY: the page is given back as it was taken.
    self.pages.release(reinterpret_cast<std::uint64_t>(object), 1);
  }
}

void* pop(Magazine& magazine) {
  FreeObject* object = magazine.head;
  KASSERT(object->tag == tag_of(object));
  object->tag = 0;
  magazine.head = object->next;
  --magazine.count;
  return object;
}

void push(Magazine& magazine, void* memory) {
  auto* object = static_cast<FreeObject*>(memory);
  KASSERT(object->tag != tag_of(object));  // freed twice?
  object->tag = tag_of(object);
  object->next = magazine.head;
  magazine.head = object;
  ++magazine.count;
}

void* allocate_page() {
  Magazine& magazine = this_cache().magazines[kPageClass];
  if (magazine.head != nullptr || refill_pages(magazine)) return pop(magazine);
  // SAFETY: pages are memory of ours; a tag left from an earlier life of the page must not look like a second free.
  auto* page = reinterpret_cast<FreeObject*>(take_pages(1));
  if (page != nullptr) page->tag = 0;
  return page;
}

void free_page(void* memory) {
  // SAFETY: only the number is used.
  const auto address = reinterpret_cast<std::uint64_t>(memory);
  KASSERT(is_aligned(address, kPageSize) && address >= heap().pages.begin() && address < heap().pages.committed_end());
  Magazine& magazine = this_cache().magazines[kPageClass];
  push(magazine, memory);
  if (magazine.count >= cache_limit(kPageClass)) drain_pages(magazine);
}

// The class for a request, or kClasses if it takes pages. Alignments above 16 round the size up to a power of two.
std::size_t class_for(std::size_t size, std::size_t align) {
  if (align > 16) {
    size = std::max(size, align);
    if (size > kLargest) return kClasses;
    size = std::size_t{1} << (64 - __builtin_clzll(size - 1));
  }
  if (size > kLargest) return kClasses;
  return kClassOf[(size + 15) / 16];
}

}  // namespace

void heap_init(std::uint64_t begin, std::uint64_t committed, std::uint64_t end) {
  const std::uint64_t aligned = round_up(begin, 64 * 1024);
  KASSERT(aligned - begin < committed);
  heap().pages.init(aligned, committed - (aligned - begin), end);
}

HeapReserve::HeapReserve() { heap().reserve_users.fetch_add(1, std::memory_order_relaxed); }
HeapReserve::~HeapReserve() { heap().reserve_users.fetch_sub(1, std::memory_order_relaxed); }

void heap_set_grow(GrowFunction grow) { heap().grow.store(grow, std::memory_order_release); }

bool heap_is_low() {
  const PageRuns& pages = heap().pages;
  return pages.free_pages() < (kReserve >> kPageShift) && pages.committed_end() < pages.end() &&
         heap().grow.load(std::memory_order_relaxed) != nullptr;
}

void heap_top_up() {
  while (heap_is_low())
    if (!grow_by(kChunk)) return;
}

Result<std::span<std::byte>> allocate_pages(std::size_t pages) {
  if (pages == 0) return Errno::inval;
  // SAFETY: the pages belong to the caller from here on.
  std::byte* memory = pages == 1 ? static_cast<std::byte*>(allocate_page()) : reinterpret_cast<std::byte*>(take_pages(pages));
  if (memory == nullptr) return Errno::nomem;
  return std::span<std::byte>(memory, pages * kPageSize);
}

void free_pages(std::span<std::byte> pages) {
  if (pages.empty()) return;
  KASSERT(is_aligned(pages.size(), kPageSize));
  if (pages.size() == kPageSize) {
    free_page(pages.data());
  } else {
    // SAFETY: only the number is used.
    give_pages(reinterpret_cast<std::uint64_t>(pages.data()), pages.size() >> kPageShift);
  }
}

HeapUsage heap_usage() {
  const PageRuns& pages = heap().pages;
  const std::uint64_t committed = std::uint64_t{pages.committed_pages()} << kPageShift;
  return {.committed = committed, .used = committed - (std::uint64_t{pages.free_pages()} << kPageShift), .limit = pages.end() - pages.begin()};
}

std::array<HeapClassUsage, kHeapClasses> heap_classes() {
  static_assert(kHeapClasses == kClasses + 1);
  Heap& self = heap();
  std::array<HeapClassUsage, kHeapClasses> result{};
  std::uint64_t slab_pages_used = 0;
  const auto cached = [&](std::size_t size_class) {
    std::uint64_t count = 0;
    for (VcpuCache& cache : self.caches)
      count += std::atomic_ref(cache.magazines[size_class].count).load(std::memory_order_relaxed);
    return count;
  };
  for (std::size_t at = 0; at < kClasses; ++at) {
    CentralClass& central = self.classes[at];
    const HeapGuard guard(central.lock);
    const std::uint64_t pages = central.slabs * slab_pages(at);
    slab_pages_used += pages;
    result[at] = {.size = kClassSizes[at], .used = central.taken - std::min(central.taken, cached(at)), .total = central.total, .pages = pages};
  }
  const std::uint64_t others = heap_usage().used / kPageSize - slab_pages_used;
  result[kPageClass] = {.size = kPageSize, .used = others - std::min(others, cached(kPageClass)), .total = others, .pages = others};
  return result;
}

std::uint64_t heap_committed_end() { return heap().pages.committed_end(); }

}  // namespace kernel::frame

namespace kernel {

void* heap_allocate(std::size_t size, std::size_t align) {
  using namespace frame;
  KASSERT(align <= kPageSize);
  const std::size_t size_class = class_for(size, align);
  if (size_class == kClasses) {
    const std::size_t pages = (size >> kPageShift) + ((size & (kPageSize - 1)) != 0 ? 1 : 0);
    if (pages == 1) return allocate_page();
    // SAFETY: pages are memory of ours.
    return reinterpret_cast<void*>(take_pages(pages));
  }
  Magazine& magazine = this_cache().magazines[size_class];
  if (magazine.head != nullptr) [[likely]] return pop(magazine);
  return refill(size_class) ? pop(this_cache().magazines[size_class]) : nullptr;
}

void heap_free(void* memory, std::size_t size, std::size_t align) {
  using namespace frame;
  if (memory == nullptr) return;
  const std::size_t size_class = class_for(size, align);
  if (size_class == kClasses) {
    const std::size_t pages = (size >> kPageShift) + ((size & (kPageSize - 1)) != 0 ? 1 : 0);
    if (pages == 1)
      free_page(memory);
    else
      // SAFETY: the run is given back as it was taken.
      give_pages(reinterpret_cast<std::uint64_t>(memory), pages);
    return;
  }
  Magazine& magazine = this_cache().magazines[size_class];
  push(magazine, memory);
  if (magazine.count >= cache_limit(size_class)) drain(size_class, magazine);
}

}  // namespace kernel
UNSAFE_BUFFERS_END
