// What -fsanitize=kernel-address makes the compiler call. Checks are calls, never inline code: user and host memory, which the kernel
// touches as well, has no shadow, so the address decides first.
#include <cstddef>
#include <cstdint>

#include "kernel/asan/shadow.h"
#include "kernel/base/config.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/vcpu_block.h"

// SAFETY: (whole file) addresses come from instrumented code and are checked before they are used; this file itself is not instrumented.
UNSAFE_BUFFERS_BEGIN
namespace kernel::asan {
namespace {

// Accesses of up to eight bytes that stay in one group.
template <std::uint64_t kSize>
[[gnu::always_inline]] inline void check(std::uint64_t address, AccessKind kind, const void* frame) {
  if (!is_covered(address)) return;
  const std::uint8_t value = shadow_of(address);
  if (value == 0) [[likely]]
    return;
  if (value > 7 || (address & 7) + kSize > value) check_range(address, kSize, kind, frame);
}

// The compiler computes "shadow addresses" with offset 0: an eighth of the address.
void set_shadow(std::uint64_t eighth, std::uint64_t count, std::uint8_t value) {
  const std::uint64_t address = eighth << 3;
  if (is_covered(address)) __builtin_memset(&shadow_of(address), value, count);
}

// As the compiler lays it out (ModuleAddressSanitizer).
struct Global {
  std::uint64_t address, size, size_with_redzone;
  const char *name, *module;
  std::uint64_t has_dynamic_init, location, odr_indicator;
};

// The end of the stack that the address lies in, or 0.
std::uint64_t stack_end(std::uint64_t address) {
  const frame::VcpuBlock& vcpu = frame::this_vcpu();
  if (vcpu.current != nullptr && address >= vcpu.current->stack_base && address < vcpu.current->stack_top) return vcpu.current->stack_top;
  const host_abi::KernelLayout& where = frame::layout();
  if (address < vcpu.entry_stack && vcpu.entry_stack - address <= where.entry_stack_size) return vcpu.entry_stack;
  if (address < vcpu.exception_stack && vcpu.exception_stack - address <= where.exception_stack_size) return vcpu.exception_stack;
  return 0;
}

}  // namespace
}  // namespace kernel::asan

using kernel::asan::AccessKind;

extern "C" {
// SAFETY: (all below) the names and parameters are the compiler's.
#define ACCESS(size)                                                                                                      \
  void __asan_load##size##_noabort(std::uint64_t address) {                                                               \
    kernel::asan::check<size>(address, AccessKind::read, __builtin_frame_address(0));                                     \
  }                                                                                                                       \
  void __asan_store##size##_noabort(std::uint64_t address) {                                                              \
    kernel::asan::check<size>(address, AccessKind::write, __builtin_frame_address(0));                                    \
  }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
#undef ACCESS
void __asan_load16_noabort(std::uint64_t address) {
  kernel::asan::check_range(address, 16, AccessKind::read, __builtin_frame_address(0));
}
void __asan_store16_noabort(std::uint64_t address) {
  kernel::asan::check_range(address, 16, AccessKind::write, __builtin_frame_address(0));
}
void __asan_loadN_noabort(std::uint64_t address, std::uint64_t size) {
  kernel::asan::check_range(address, size, AccessKind::read, __builtin_frame_address(0));
}
void __asan_storeN_noabort(std::uint64_t address, std::uint64_t size) {
  kernel::asan::check_range(address, size, AccessKind::write, __builtin_frame_address(0));
}

void* memcpy(void* to, const void* from, std::size_t count);
void* memmove(void* to, const void* from, std::size_t count);
void* memset(void* to, int value, std::size_t count);

// SAFETY: only the numbers are used.
#define NUMBER(pointer) reinterpret_cast<std::uint64_t>(pointer)
void* __asan_memcpy(void* to, const void* from, std::size_t count) {
  kernel::asan::check_range(NUMBER(from), count, AccessKind::read, __builtin_frame_address(0));
  kernel::asan::check_range(NUMBER(to), count, AccessKind::write, __builtin_frame_address(0));
  return memcpy(to, from, count);
}
void* __asan_memmove(void* to, const void* from, std::size_t count) {
  kernel::asan::check_range(NUMBER(from), count, AccessKind::read, __builtin_frame_address(0));
  kernel::asan::check_range(NUMBER(to), count, AccessKind::write, __builtin_frame_address(0));
  return memmove(to, from, count);
}
void* __asan_memset(void* to, int value, std::size_t count) {
  kernel::asan::check_range(NUMBER(to), count, AccessKind::write, __builtin_frame_address(0));
  return memset(to, value, count);
}

#define SET_SHADOW(name, value) \
  void __asan_set_shadow_##name(std::uint64_t eighth, std::uint64_t count) { kernel::asan::set_shadow(eighth, count, value); }
SET_SHADOW(00, 0)
SET_SHADOW(01, 1)
SET_SHADOW(02, 2)
SET_SHADOW(03, 3)
SET_SHADOW(04, 4)
SET_SHADOW(05, 5)
SET_SHADOW(06, 6)
SET_SHADOW(07, 7)
SET_SHADOW(f1, 0xf1)
SET_SHADOW(f2, 0xf2)
SET_SHADOW(f3, 0xf3)
SET_SHADOW(f5, 0xf5)
SET_SHADOW(f8, 0xf8)
#undef SET_SHADOW

void __asan_poison_stack_memory(std::uint64_t address, std::uint64_t size) {
  kernel::asan::poison(address, size, kernel::asan::Poison::stack_out_of_scope);
}
void __asan_unpoison_stack_memory(std::uint64_t address, std::uint64_t size) { kernel::asan::unpoison(address, size); }

// The frames from here up are left for good: the stack is used from its end again.
void __asan_handle_no_return() {
  const std::uint64_t here = NUMBER(__builtin_frame_address(0));
  const std::uint64_t end = kernel::asan::stack_end(here);
  if (end != 0) kernel::asan::unpoison(here & ~std::uint64_t{7}, end - (here & ~std::uint64_t{7}));
}

void __asan_register_globals(const kernel::asan::Global* globals, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const kernel::asan::Global& global = globals[i];
    const std::uint64_t redzone = (global.size + 7) & ~std::uint64_t{7};
    kernel::asan::unpoison(global.address, global.size);
    kernel::asan::poison(global.address + redzone, global.size_with_redzone - redzone, kernel::asan::Poison::global);
  }
}
void __asan_unregister_globals(const kernel::asan::Global*, std::uint64_t) {}
#undef NUMBER
}
UNSAFE_BUFFERS_END
