// What the compiler expects of a C library: memmove and friends (memcpy and memset are in memory.S), the stack protector's hook,
// virtual-call leftovers. Byte copies use the processor's string instructions: the kernel has no vector registers.
#include <cstddef>
#include <cstdint>
#include <new>

#include "kernel/base/config.h"
#include "kernel/frame/bytes.h"

namespace {
constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101;
constexpr bool has_zero_byte(std::uint64_t word) { return ((word - kOnes) & ~word & (kOnes << 7)) != 0; }
}  // namespace

extern "C" {
// SAFETY: (this block) the C library's contracts; sizes and pointers come from compiler-generated or checked calls.
void* memmove(void* to, const void* from, std::size_t count) {
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  const auto target = reinterpret_cast<std::uintptr_t>(to);
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  const auto source = reinterpret_cast<std::uintptr_t>(from);
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  UNSAFE_BUFFERS(if (target - source >= count) return memcpy(to, from, count);)
  void* result = to;
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  UNSAFE_BUFFERS(to = static_cast<char*>(to) + count - 1; from = static_cast<const char*>(from) + count - 1;)
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  asm volatile("std\n\trep movsb\n\tcld" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
  return result;
}
int memcmp(const void* left, const void* right, std::size_t count) {
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  UNSAFE_BUFFERS_BEGIN
  const auto* a = static_cast<const unsigned char*>(left);
  const auto* b = static_cast<const unsigned char*>(right);
  for (; count >= 8; count -= 8, a += 8, b += 8) {
    std::uint64_t x = 0, y = 0;
    __builtin_memcpy_inline(&x, a, 8);
    __builtin_memcpy_inline(&y, b, 8);
    if (x != y) break;
  }
  for (; count > 0; --count, ++a, ++b)
    if (*a != *b) return *a < *b ? -1 : 1;
  UNSAFE_BUFFERS_END
  return 0;
}
std::size_t strlen(const char* text) {
  std::size_t length = 0;
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  UNSAFE_BUFFERS(while (text[length] != '\0') ++length;)
  return length;
}
// Declared with overloads in libc++'s headers, so the symbol is named here instead of the function.
// SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
const void* find_byte(const void* start, int value, std::size_t count) __asm__("memchr");
const void* find_byte(const void* start, int value, std::size_t count) {
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  UNSAFE_BUFFERS_BEGIN
  const auto* at = static_cast<const unsigned char*>(start);
  const std::uint64_t pattern = kOnes * static_cast<unsigned char>(value);
  for (; count >= 8; count -= 8, at += 8) {
    std::uint64_t word = 0;
    __builtin_memcpy_inline(&word, at, 8);
    if (has_zero_byte(word ^ pattern)) break;
  }
  for (; count > 0; --count, ++at)
    if (*at == static_cast<unsigned char>(value)) return at;
  UNSAFE_BUFFERS_END
  return nullptr;
}
// SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
const wchar_t* find_word(const wchar_t* start, wchar_t value, std::size_t count) __asm__("wmemchr");
const wchar_t* find_word(const wchar_t* start, wchar_t value, std::size_t count) {  // libc++'s std::find over 4-byte integers
  // SAFETY: the C library's contract for these pointers and sizes, which compiler-generated calls keep.
  UNSAFE_BUFFERS_BEGIN
  for (; count > 0; --count, ++start)
    if (*start == value) return start;
  UNSAFE_BUFFERS_END
  return nullptr;
}
[[noreturn]] void __stack_chk_fail() { kernel::panic("stack smashed", "", 0); }
[[noreturn]] void __cxa_pure_virtual() { kernel::panic("pure virtual call", "", 0); }
}

// libc++'s own checks end here (optional::value() and the like).
_LIBCPP_BEGIN_NAMESPACE_STD
[[noreturn]] void __libcpp_verbose_abort(const char* format, ...) noexcept { kernel::panic(format, "libc++", 0); }
_LIBCPP_END_NAMESPACE_STD

// Deleting destructors refer to it; objects die through Ref and Own, which free by extent, so nobody may ever call it.
void operator delete(void*, std::size_t) noexcept { kernel::panic("operator delete called", "", 0); }
void operator delete(void*, std::size_t, std::align_val_t) noexcept { kernel::panic("operator delete called", "", 0); }

namespace kernel {

void copy_bytes(std::span<std::byte> to, std::span<const std::byte> from) {
  KASSERT(from.size() <= to.size());
  // SAFETY: sizes are checked above.
  UNSAFE_BUFFERS(__builtin_memcpy(to.data(), from.data(), from.size());)
}
void move_bytes(std::span<std::byte> to, std::span<const std::byte> from) {
  KASSERT(from.size() <= to.size());
  // SAFETY: sizes are checked above.
  UNSAFE_BUFFERS(__builtin_memmove(to.data(), from.data(), from.size());)
}
void fill_bytes(std::span<std::byte> to, std::byte value) {
  // SAFETY: the span's own size.
  UNSAFE_BUFFERS(__builtin_memset(to.data(), std::to_integer<int>(value), to.size());)
}
bool equal_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  // SAFETY: sizes are compared first.
  UNSAFE_BUFFERS(return a.size() == b.size() && memcmp(a.data(), b.data(), a.size()) == 0;)
}
std::string_view text_of(std::span<const std::byte> bytes) {
  // SAFETY: char may alias any object representation.
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace kernel
