// The kernel heap under the sanitizer: the linker hands calls of the heap's functions over to the wrappers here (--wrap), which ask the
// real heap for more than was wanted. Around each object lie redzones, the left one with a note about it; freed memory stays poisoned
// in a queue for a while before the heap gets it back.
#include <algorithm>
#include <array>
#include <span>

#include "host_abi/entry.h"
#include "kernel/asan/shadow.h"
#include "kernel/base/checked.h"
#include "kernel/base/result.h"
#include "kernel/frame/heap.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/panic.h"
#include "kernel/frame/vcpu_block.h"

// SAFETY: (whole file) blocks come from the real heap and are as long as was asked of it; notes lie at the end of the left redzone.
UNSAFE_BUFFERS_BEGIN
namespace kernel::asan {
namespace {

constexpr std::uint64_t kLiveTag = 0x6b1d5f0c'a11ec7ed, kFreedTag = 0x1d0e5a7e'f4eed0b7;
constexpr std::size_t kMinLead = sizeof(ObjectNote);
constexpr std::size_t kTail = 16;                       // the right redzone at least
constexpr std::size_t kMaxObject = std::size_t{1} << 40;  // more is refused before sizes are added
constexpr std::uint64_t kQuarantineBytes = 1 << 20;     // of each vCPU
constexpr std::size_t kQuarantineRuns = 32;
constexpr std::size_t kLargestQuarantinedRun = 64;  // pages

// A freed object that waits: lies in the object itself, which with its tail is long enough.
struct Waiting {
  Waiting* next;
  std::uint32_t align;
};
struct Quarantine {
  Waiting *first = nullptr, *last = nullptr;
  std::uint64_t bytes = 0;
  std::array<std::span<std::byte>, kQuarantineRuns> runs;
  std::size_t next_run = 0;
};
constinit std::array<Quarantine, host_abi::kMaxVcpus> quarantines;

constinit std::uint64_t live_at_boot = 0;  // what was allocated before the shadow was there
constinit std::uint64_t heap_begin = 0;
constinit std::uint64_t shadow_end = 0;
constinit frame::GrowFunction real_grow = nullptr;

std::uint64_t number(const void* pointer) {
  // SAFETY: only the number is used.
  return reinterpret_cast<std::uint64_t>(pointer);
}
ObjectNote& note_of(std::uint64_t object) {
  // SAFETY: the end of the object's left redzone.
  return *reinterpret_cast<ObjectNote*>(object - sizeof(ObjectNote));
}
std::size_t lead_for(std::size_t align) { return std::max(align, kMinLead); }
std::size_t block_size(std::size_t size, std::size_t align) { return lead_for(align) + ((size + 15) & ~std::size_t{15}) + kTail; }

}  // namespace

ObjectState state_of(const ObjectNote& note) {
  const std::uint64_t key = number(&note);
  return note.tag == (kLiveTag ^ key) ? ObjectState::live : note.tag == (kFreedTag ^ key) ? ObjectState::freed : ObjectState::none;
}

const ObjectNote* find_note(std::uint64_t address) {
  constexpr std::uint64_t kFar = 64 * 1024;
  const std::uint64_t from = (address & ~std::uint64_t{15}) + kMinLead;  // an address in the left redzone lies before the note's end
  for (std::uint64_t at = from; at > heap_begin + kMinLead && from - at < kFar; at -= 16) {
    if (!is_covered(at)) continue;
    if (const ObjectNote& note = note_of(at); state_of(note) != ObjectState::none) return &note;
  }
  return nullptr;
}

// The functions behind --wrap, by the names that the linker gives them.
// SAFETY: (all) same parameters and results as the functions of heap.h.
void* real_allocate(std::size_t size, std::size_t align) __asm__("__real__ZN6kernel13heap_allocateEmm");
void real_free(void* memory, std::size_t size, std::size_t align) __asm__("__real__ZN6kernel9heap_freeEPvmm");
Result<std::span<std::byte>> real_allocate_pages(std::size_t pages) __asm__("__real__ZN6kernel5frame14allocate_pagesEm");
void real_free_pages(std::span<std::byte> pages)
    __asm__("__real__ZN6kernel5frame10free_pagesENSt3__14spanISt4byteLm18446744073709551615EEE");
void real_heap_init(std::uint64_t begin, std::uint64_t committed, std::uint64_t end) __asm__("__real__ZN6kernel5frame9heap_initEmmm");
void real_set_grow(frame::GrowFunction grow) __asm__("__real__ZN6kernel5frame13heap_set_growEPFNS_6ResultIvEEmmE");
void* wrap_allocate(std::size_t size, std::size_t align) __asm__("__wrap__ZN6kernel13heap_allocateEmm");
void wrap_free(void* memory, std::size_t size, std::size_t align) __asm__("__wrap__ZN6kernel9heap_freeEPvmm");
Result<std::span<std::byte>> wrap_allocate_pages(std::size_t pages) __asm__("__wrap__ZN6kernel5frame14allocate_pagesEm");
void wrap_free_pages(std::span<std::byte> pages)
    __asm__("__wrap__ZN6kernel5frame10free_pagesENSt3__14spanISt4byteLm18446744073709551615EEE");
void wrap_heap_init(std::uint64_t begin, std::uint64_t committed, std::uint64_t end) __asm__("__wrap__ZN6kernel5frame9heap_initEmmm");
void wrap_set_grow(frame::GrowFunction grow) __asm__("__wrap__ZN6kernel5frame13heap_set_growEPFNS_6ResultIvEEmmE");

namespace {

// Gives the oldest objects back until at most `limit` bytes wait.
void release_until(Quarantine& quarantine, std::uint64_t limit) {
  while (quarantine.bytes > limit) {
    Waiting* oldest = quarantine.first;
    const std::uint64_t object = number(oldest);
    const std::size_t align = oldest->align;
    ObjectNote& note = note_of(object);
    const std::size_t bytes = block_size(note.size, align);
    quarantine.first = oldest->next;
    if (quarantine.first == nullptr) quarantine.last = nullptr;
    quarantine.bytes -= bytes;
    note.tag = 0;
    // SAFETY: the block as the real heap gave it.
    real_free(reinterpret_cast<void*>(object - lead_for(align)), bytes, align);
  }
}

void release_all(Quarantine& quarantine) {
  release_until(quarantine, 0);
  for (std::span<std::byte>& run : quarantine.runs)
    if (!run.empty()) real_free_pages(std::exchange(run, {}));
}

void* allocate_or_empty_quarantine(std::size_t bytes, std::size_t align) {
  if (void* block = real_allocate(bytes, align); block != nullptr) return block;
  release_all(quarantines[frame::this_vcpu().index]);
  return real_allocate(bytes, align);
}

// Commits shadow for everything below `address`.
Result<> cover_until(std::uint64_t address) {
  const std::uint64_t wanted = round_up(shadow.address + (address - shadow.base + 7) / 8, kPageSize);
  if (wanted > shadow_end) {
    TRY(real_grow(shadow_end, wanted - shadow_end));
    shadow_end = wanted;
  }
  shadow.covered.store(std::max(shadow.covered.load(), address - shadow.base), std::memory_order_release);
  return {};
}

// With EDMM: the heap asks for more.
Result<> grow(std::uint64_t address, std::size_t size) {
  TRY(cover_until(address + size));
  poison(address, size, Poison::never_used);
  return real_grow(address, size);
}

using Constructor = void (*)();
// The linker's names for both ends of the list of functions that register globals (link.lds).
extern "C" const Constructor __start_asan_constructors[], __stop_asan_constructors[];

// From here on everything is checked.
void start(std::uint64_t heap_end) {
  if (live_at_boot == 0) poison(heap_begin, heap_end - heap_begin, Poison::never_used);
  for (const Constructor* at = __start_asan_constructors; at != __stop_asan_constructors; ++at) (*at)();
}

}  // namespace

void wrap_heap_init(std::uint64_t begin, std::uint64_t committed, std::uint64_t end) {
  shadow.base = frame::layout().kernel_base;
  shadow.address = round_down(end - (end - shadow.base + 7) / 8, kPageSize);
  shadow_end = shadow.address;
  heap_begin = begin;
  const bool all_there = begin + committed == end;
  real_heap_init(begin, all_there ? shadow.address - begin : committed, shadow.address);
  if (!all_there) return;  // the rest when the heap learns how to grow
  // SAFETY: committed pages that the heap does not know.
  __builtin_memset(reinterpret_cast<void*>(shadow.address), 0, end - shadow.address);
  shadow.covered.store(shadow.address - shadow.base, std::memory_order_release);
  start(shadow.address);
}

void wrap_set_grow(frame::GrowFunction function) {
  real_grow = function;
  const std::uint64_t heap_end = frame::heap_committed_end();
  KASSERT(cover_until(heap_end).ok());
  start(heap_end);
  real_set_grow(&grow);
}

void* wrap_allocate(std::size_t size, std::size_t align) {
  if (size > kMaxObject) return nullptr;
  const std::size_t lead = lead_for(align);
  const std::size_t bytes = block_size(size, align);
  void* block = allocate_or_empty_quarantine(bytes, align);
  if (block == nullptr) return nullptr;
  if (shadow.covered.load(std::memory_order_relaxed) == 0) ++live_at_boot;
  const std::uint64_t object = number(block) + lead;
  poison(object - lead, lead, Poison::heap_redzone);
  poison(object + size / 8 * 8, number(block) + bytes - (object + size / 8 * 8), Poison::heap_redzone);
  unpoison(object, size);
  ObjectNote& note = note_of(object);
  note = {.tag = kLiveTag ^ number(&note), .size = size, .allocated_by = trace_from(__builtin_frame_address(0)), .freed_by = {}};
  // SAFETY: behind the redzone, `size` bytes are the caller's.
  return reinterpret_cast<void*>(object);
}

void wrap_free(void* memory, std::size_t size, std::size_t align) {
  if (memory == nullptr) return;
  const void* frame = __builtin_frame_address(0);
  const std::uint64_t object = number(memory);
  ObjectNote& note = note_of(object);
  const ObjectState state = state_of(note);
  if (state == ObjectState::none) report_free("bad-free", object, nullptr, frame);
  if (state == ObjectState::freed) report_free("double-free", object, &note, frame);
  if (note.size != size) report_free("free-with-wrong-size", object, &note, frame);
  if (shadow.covered.load(std::memory_order_relaxed) == 0) --live_at_boot;
  const std::size_t bytes = block_size(size, align);
  note.tag = kFreedTag ^ number(&note);
  note.freed_by = trace_from(frame);
  poison(object, round_up(size, 8), Poison::heap_freed);
  Quarantine& quarantine = quarantines[frame::this_vcpu().index];
  auto* waiting = static_cast<Waiting*>(memory);
  *waiting = {.next = nullptr, .align = static_cast<std::uint32_t>(align)};
  (quarantine.last != nullptr ? quarantine.last->next : quarantine.first) = waiting;
  quarantine.last = waiting;
  quarantine.bytes += bytes;
  release_until(quarantine, kQuarantineBytes);
}

// Runs of several pages have a page in front that nobody may touch: kernel stacks grow towards it, and a run before it ends there.
Result<std::span<std::byte>> wrap_allocate_pages(std::size_t pages) {
  const std::size_t guard = pages > 1 ? 1 : 0;
  if (pages > kMaxObject / kPageSize) return Errno::nomem;
  Result<std::span<std::byte>> got = real_allocate_pages(pages + guard);
  if (!got.ok()) {
    release_all(quarantines[frame::this_vcpu().index]);
    got = real_allocate_pages(pages + guard);
  }
  const std::span<std::byte> run = TRY(std::move(got));
  if (shadow.covered.load(std::memory_order_relaxed) == 0) ++live_at_boot;
  poison(number(run.data()), guard * kPageSize, Poison::page_redzone);
  unpoison(number(run.data()) + guard * kPageSize, pages * kPageSize);
  return run.subspan(guard * kPageSize);
}

void wrap_free_pages(std::span<std::byte> pages) {
  if (pages.empty()) return;
  const std::uint64_t start = number(pages.data());
  const std::size_t guard = pages.size() > kPageSize ? kPageSize : 0;
  if (is_covered(start)) {
    if (static_cast<Poison>(shadow_of(start)) == Poison::pages_freed) report_free("double-free-of-pages", start, nullptr, __builtin_frame_address(0));
    if (guard != 0 && static_cast<Poison>(shadow_of(start - 1)) != Poison::page_redzone)
      report_free("bad-free-of-pages", start, nullptr, __builtin_frame_address(0));
  } else {
    --live_at_boot;
  }
  poison(start, pages.size(), Poison::pages_freed);
  // SAFETY: the run as the real heap gave it, with the page in front.
  const std::span<std::byte> run(pages.data() - guard, pages.size() + guard);
  if (pages.size() > kLargestQuarantinedRun * kPageSize) return real_free_pages(run);
  Quarantine& quarantine = quarantines[frame::this_vcpu().index];
  std::span<std::byte>& place = quarantine.runs[quarantine.next_run++ % kQuarantineRuns];
  if (!place.empty()) real_free_pages(place);
  place = run;
}

}  // namespace kernel::asan
UNSAFE_BUFFERS_END
