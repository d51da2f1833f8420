#include "kernel/frame/layout.h"

#include <array>
#include <atomic>

#include "kernel/base/config.h"
#include "kernel/frame/asm.h"
#include "kernel/frame/panic.h"
#include "kernel/frame/vcpu_block.h"

namespace kernel::frame {
namespace detail {
constinit const host_abi::KernelLayout* the_layout = nullptr;
}
namespace {
constinit PanicWriter panic_writer = nullptr;
constinit std::atomic<bool> panicking{false};

// A line built without the heap.
class Line {
 public:
  Line& text(const char* part) {
    // SAFETY: bounded by the buffer; `part` ends with a NUL.
    UNSAFE_BUFFERS(for (; *part != '\0' && used_ + 1 < buffer_.size(); ++part) buffer_[used_++] = *part;)
    return *this;
  }
  Line& hex(std::uint64_t value) {
    text("0x");
    for (int shift = 60; shift >= 0; shift -= 4) {
      const auto nibble = static_cast<char>((value >> shift) & 15);
      const std::array<char, 2> digit{static_cast<char>(nibble < 10 ? '0' + nibble : 'a' + nibble - 10), '\0'};
      text(digit.data());
    }
    return *this;
  }
  const char* c_str() {
    buffer_[used_] = '\0';
    return buffer_.data();
  }

 private:
  std::array<char, kSanitized ? 800 : 240> buffer_{};
  std::size_t used_ = 0;
};

[[noreturn]] void finish(Line& line) {
  if (!panicking.exchange(true) && panic_writer != nullptr) panic_writer(line.c_str());
  // Nothing can go on. The writer does not return if it could tell the host.
  for (;;) __builtin_trap();
}
}  // namespace

void layout_init(const host_abi::KernelLayout& layout) { detail::the_layout = &layout; }
void set_panic_writer(PanicWriter writer) { panic_writer = writer; }

void panic_at_fault(std::uint64_t rip, std::uint64_t vector, std::uint64_t address, std::uint64_t rsp) {
  Line line;
  line.text("kernel panic: exception ").hex(vector).text(" at kernel+").hex(rip - layout().kernel_base).text(" address ").hex(address);
  line.text(" rsp ").hex(rsp);
  finish(line);
}

}  // namespace kernel::frame

namespace kernel {
void panic(const char* what, const char* file, int line_number) {
  frame::Line line;
  line.text("kernel panic: ").text(what).text(" (").text(file).text(":").hex(static_cast<std::uint64_t>(line_number)).text(")");
  frame::finish(line);
}
}  // namespace kernel

extern "C" void kernel_panic(std::uint64_t rip, std::uint64_t vector, std::uint64_t address, std::uint64_t rsp) {
  kernel::frame::panic_at_fault(rip, vector, address, rsp);
}
