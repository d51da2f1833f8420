// Functions of the kernel that the sanitizer stands in front of (--wrap in kernel/CMakeLists.txt), beside those of the heap.
#include "kernel/asan/mistakes.h"
#include "kernel/asan/shadow.h"
#include "kernel/base/config.h"
#include "kernel/frame/asm.h"

namespace kernel::asan {
// SAFETY: (all) same parameters as the functions that they stand for.
[[noreturn]] void real_panic(const char* what, const char* file, int line) __asm__("__real__ZN6kernel5panicEPKcS1_i");
[[noreturn]] void wrap_panic(const char* what, const char* file, int line) __asm__("__wrap__ZN6kernel5panicEPKcS1_i");

// Frames that the panic leaves behind must not hide what it is about.
void wrap_panic(const char* what, const char* file, int line) {
  shadow.quiet.store(true, std::memory_order_relaxed);
  real_panic(what, file, line);
}
}  // namespace kernel::asan

using kernel::asan::AccessKind;
using kernel::asan::check_range;

extern "C" {
// SAFETY: (all) the linker's names for the functions of frame/asm.h.
[[noreturn]] void __real_kernel_panic(std::uint64_t rip, std::uint64_t vector, std::uint64_t address, std::uint64_t rsp);
[[noreturn]] void __wrap_kernel_panic(std::uint64_t rip, std::uint64_t vector, std::uint64_t address, std::uint64_t rsp) {
  kernel::asan::shadow.quiet.store(true, std::memory_order_relaxed);
  __real_kernel_panic(rip, vector, address, rsp);
}

// The kernel's side of user and host copies; the other side has no shadow.
std::uint64_t __real_faulting_copy(std::uint64_t to, std::uint64_t from, std::uint64_t bytes);
std::uint64_t __wrap_faulting_copy(std::uint64_t to, std::uint64_t from, std::uint64_t bytes) {
  check_range(from, bytes, AccessKind::read, __builtin_frame_address(0));
  check_range(to, bytes, AccessKind::write, __builtin_frame_address(0));
  return __real_faulting_copy(to, from, bytes);
}
std::uint64_t __real_faulting_copy_words(std::uint64_t to, std::uint64_t from, std::uint64_t words);
std::uint64_t __wrap_faulting_copy_words(std::uint64_t to, std::uint64_t from, std::uint64_t words) {
  check_range(from, words * 8, AccessKind::read, __builtin_frame_address(0));
  check_range(to, words * 8, AccessKind::write, __builtin_frame_address(0));
  return __real_faulting_copy_words(to, from, words);
}

// A system call of this build alone: make one of the mistakes that the sanitizer has to catch.
void __real_kernel_syscall(kernel::frame::TrapFrame* frame);
void __wrap_kernel_syscall(kernel::frame::TrapFrame* frame) {
  if (frame->orig_rax != kernel::asan::kMistakeCall) return __real_kernel_syscall(frame);
  frame->rax = kernel::asan::make_mistake(frame->rdi) ? 0 : 1;
}
}
