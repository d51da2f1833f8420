// This file is instrumented as the kernel is. The pointers go through `opaque`, so that neither compiler nor bounds checks see through.
#include "kernel/asan/mistakes.h"

#include <array>
#include <span>

#include "kernel/base/config.h"
#include "kernel/base/heap.h"
#include "kernel/base/vec.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/heap.h"
#include "kernel/frame/user.h"
#include "kernel/frame/vcpu_block.h"

// SAFETY: (whole file) nothing here is right; it runs in a test alone.
UNSAFE_BUFFERS_BEGIN
namespace kernel::asan {
namespace {

template <class T>
T* opaque(T* pointer) {
  // SAFETY: changes nothing.
  asm volatile("" : "+r"(pointer) : : "memory");
  return pointer;
}
char* object(std::size_t size) { return opaque(static_cast<char*>(heap_allocate(size, 1))); }
void touch(char* at) { *opaque(at) = 1; }
char look(const char* at) {
  // SAFETY: see the top of the file.
  return *static_cast<const volatile char*>(opaque(at));
}

constexpr std::size_t kSize = 100;
constinit std::array<char, kSize> a_global{};

void use_after_free() {
  char* memory = object(kSize);
  heap_free(memory, kSize, 1);
  look(memory + 40);
}
void overflow_by_one() { touch(object(kSize) + kSize); }
void underflow_by_one() { look(object(kSize) - 1); }
void stack_overflow_by_one() {
  std::array<char, kSize> local{};
  touch(opaque(local.data()) + kSize);
}
void stack_use_after_scope() {
  char* kept = nullptr;
  {
    std::array<char, kSize> local{};
    kept = opaque(local.data());
  }
  look(kept);
}
void global_overflow_by_one() { look(opaque(a_global.data()) + kSize); }
void double_free() {
  char* memory = object(kSize);
  heap_free(memory, kSize, 1);
  heap_free(opaque(memory), kSize, 1);
}
void free_with_wrong_size() { heap_free(object(kSize), kSize + 1, 1); }
void copy_from_freed() {
  const std::span<char> memory(object(kSize), kSize);
  std::array<std::byte, kSize> into{};
  heap_free(memory.data(), kSize, 1);
  copy_bytes(into, std::as_bytes(memory));
  look(opaque(reinterpret_cast<const char*>(into.data())));
}
void user_copy_from_freed() {
  const std::span<char> memory(object(kSize), kSize);
  heap_free(memory.data(), kSize, 1);
  // SAFETY: any address of the program will do: the check comes before the copy.
  static_cast<void>(frame::copy_to_user(frame::this_vcpu().current->trap_frame().rsp - 4096, std::as_bytes(memory)).ok());
}
void page_use_after_free() {
  const auto pages = frame::allocate_pages(1);
  if (!pages.ok()) return;
  const std::span<std::byte> page = Result<std::span<std::byte>>(pages).release();
  frame::free_pages(page);
  look(opaque(reinterpret_cast<const char*>(page.data())));
}
void page_run_underflow() {
  auto pages = frame::allocate_pages(4);
  if (!pages.ok()) return;
  const std::span<std::byte> run = std::move(pages).release();
  look(opaque(reinterpret_cast<const char*>(run.data())) - 1);
}

constexpr std::array kMistakes{&use_after_free,       &overflow_by_one,      &underflow_by_one,       &stack_overflow_by_one,
                               &stack_use_after_scope, &global_overflow_by_one, &double_free,          &free_with_wrong_size,
                               &copy_from_freed,       &user_copy_from_freed, &page_use_after_free,    &page_run_underflow};

}  // namespace

bool make_mistake(std::uint64_t which) {
  if (which >= kMistakes.size()) return false;
  kMistakes[which]();
  return true;
}

}  // namespace kernel::asan
UNSAFE_BUFFERS_END
