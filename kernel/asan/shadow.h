// The address sanitizer of the kernel (docs/decisions/kernel-asan.md): a byte of shadow for every eight bytes of kernel memory says
// how many of them may be touched. Only built with -DOCCLUM_ASAN=ON; nothing of it is in the measured kernel that is shipped.
#ifndef KERNEL_ASAN_SHADOW_H
#define KERNEL_ASAN_SHADOW_H

#include <array>
#include <atomic>
#include <cstdint>

namespace kernel::asan {

// Values of shadow bytes. 1 to 7: that many bytes from the start; the others say why nothing of the eight may be touched. The compiler
// writes those of stacks and hands over the first three.
enum class Poison : std::uint8_t {
  none = 0,
  stack_left = 0xf1,
  stack_middle = 0xf2,
  stack_right = 0xf3,
  stack_after_return = 0xf5,
  stack_out_of_scope = 0xf8,
  global = 0xf9,
  heap_redzone = 0xfa,
  page_redzone = 0xfb,
  heap_freed = 0xfd,
  pages_freed = 0xfe,
  never_used = 0xff,
};

struct Shadow {
  std::uint64_t base = 0;     // start of the kernel region
  std::uint64_t address = 0;  // of the shadow byte of `base`
  // Bytes from `base` that have shadow; 0 = nothing is checked yet.
  std::atomic<std::uint64_t> covered{0};
  std::atomic<bool> quiet{false};  // the kernel is ending: what it still does is not checked
};
extern constinit Shadow shadow;

inline bool is_covered(std::uint64_t address) { return address - shadow.base < shadow.covered.load(std::memory_order_acquire); }

// The shadow byte of a covered address.
std::uint8_t& shadow_of(std::uint64_t address);

// Marks whole groups of eight bytes: `address` is a multiple of 8, `size` is rounded up. What is not covered is left out.
void poison(std::uint64_t address, std::uint64_t size, Poison value);
// Makes exactly `size` bytes accessible, a rest of the last group not.
void unpoison(std::uint64_t address, std::uint64_t size);

enum class AccessKind : std::uint8_t { read, write };

// Code addresses, innermost first, as offsets from the kernel's base; 0 ends it.
using Trace = std::array<std::uint32_t, 6>;
// The callers of the function whose frame pointer this is.
Trace trace_from(const void* frame);

// What the heap keeps about an object, right in front of it (heap.cc).
struct ObjectNote {
  std::uint64_t tag;
  std::uint64_t size;
  Trace allocated_by, freed_by;
};
static_assert(sizeof(ObjectNote) == 64);
enum class ObjectState : std::uint8_t { none, live, freed };
ObjectState state_of(const ObjectNote& note);
// The note whose object the address lies in or beside; nullptr if there is none.
const ObjectNote* find_note(std::uint64_t address);

// Panics if a byte of the range must not be touched. `frame` is the frame pointer of the function that the compiler called.
void check_range(std::uint64_t address, std::uint64_t size, AccessKind kind, const void* frame);
[[noreturn]] void report_access(std::uint64_t address, std::uint64_t size, AccessKind kind, const void* frame);
[[noreturn]] void report_free(const char* what, std::uint64_t address, const ObjectNote* note, const void* frame);

}  // namespace kernel::asan
#endif  // KERNEL_ASAN_SHADOW_H
