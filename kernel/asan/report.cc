// What the sanitizer says before the kernel ends: one line that names the kind of mistake, the address and the code.
#include <string_view>

#include "kernel/asan/shadow.h"
#include "kernel/base/config.h"

// SAFETY: (whole file) text is written within a buffer whose length is checked; shadow bytes and notes are read in covered memory.
UNSAFE_BUFFERS_BEGIN
namespace kernel::asan {
namespace {

constexpr std::size_t kMaxLine = 700;

class Text {
 public:
  Text& text(std::string_view part) {
    for (const char c : part)
      if (used_ + 1 < buffer_.size()) buffer_[used_++] = c;
    return *this;
  }
  Text& number(std::uint64_t value) { return digits(value, 10); }
  Text& hex(std::uint64_t value) { return text("0x").digits(value, 16); }
  Text& trace(const Trace& trace) {
    const char* before = " kernel+";
    for (const std::uint32_t entry : trace) {
      if (entry == 0) break;
      text(before).hex(entry);
      before = " < +";
    }
    return *this;
  }
  const char* c_str() {
    buffer_[used_] = '\0';
    return buffer_.data();
  }

 private:
  Text& digits(std::uint64_t value, std::uint64_t base) {
    std::array<char, 24> reversed{};
    std::size_t count = 0;
    do {
      reversed[count++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    while (count > 0) text({&reversed[--count], 1});
    return *this;
  }
  std::array<char, kMaxLine> buffer_{};
  std::size_t used_ = 0;
};

std::string_view name_of(std::uint8_t value) {
  switch (static_cast<Poison>(value)) {
    case Poison::stack_left: return "stack-buffer-underflow";
    case Poison::stack_middle:
    case Poison::stack_right: return "stack-buffer-overflow";
    case Poison::stack_after_return: return "stack-use-after-return";
    case Poison::stack_out_of_scope: return "stack-use-after-scope";
    case Poison::global: return "global-buffer-overflow";
    case Poison::heap_redzone: return "heap-buffer-overflow";
    case Poison::page_redzone: return "page-run-overflow";
    case Poison::heap_freed: return "heap-use-after-free";
    case Poison::pages_freed: return "page-use-after-free";
    case Poison::never_used: return "use-of-unused-heap";
    case Poison::none: break;
  }
  return "unknown-poison";
}

// The first byte of the range that must not be touched.
std::uint64_t first_bad(std::uint64_t address, std::uint64_t size) {
  for (std::uint64_t at = address; at < address + size && is_covered(at); ++at)
    if (const std::uint8_t value = shadow_of(at); value != 0 && (value > 7 || (at & 7) >= value)) return at;
  return address;
}

void describe(Text& line, std::uint64_t address, const ObjectNote* note) {
  if (note == nullptr) return;
  // SAFETY: the object starts right behind its note; only the number is used.
  const auto start = reinterpret_cast<std::uint64_t>(note + 1);
  line.text("; ").number(address >= start ? address - start : start - address).text(address >= start ? " bytes into" : " bytes before");
  line.text(" an object of ").number(note->size).text(" bytes, allocated by").trace(note->allocated_by);
  if (state_of(*note) == ObjectState::freed) line.text(", freed by").trace(note->freed_by);
}

[[noreturn]] void finish(Text& line) {
  // Another vCPU that finds something meanwhile goes on unchecked until the panic stops it.
  shadow.quiet.store(true, std::memory_order_relaxed);
  panic(line.c_str(), "asan", 0);
}

}  // namespace

void report_access(std::uint64_t address, std::uint64_t size, AccessKind kind, const void* frame) {
  const std::uint64_t bad = first_bad(address, size);
  std::uint8_t value = shadow_of(bad);
  if (value < 8 && is_covered(bad + 8)) value = shadow_of(bad + 8);  // a group with a rest: the next one says what begins there
  Text line;
  line.text("asan: ").text(name_of(value)).text(kind == AccessKind::read ? ": read of " : ": write of ").number(size).text(" bytes at ");
  line.hex(address).text(" by").trace(trace_from(frame));
  const auto poison = static_cast<Poison>(value);
  if (poison == Poison::heap_redzone || poison == Poison::heap_freed) describe(line, bad, find_note(bad));
  finish(line);
}

void report_free(const char* what, std::uint64_t address, const ObjectNote* note, const void* frame) {
  Text line;
  line.text("asan: ").text(what).text(": free of ").hex(address).text(" by").trace(trace_from(frame));
  describe(line, address, note);
  finish(line);
}

}  // namespace kernel::asan
UNSAFE_BUFFERS_END
