// The end of the kernel, and what it can still say.
#ifndef KERNEL_FRAME_PANIC_H
#define KERNEL_FRAME_PANIC_H

#include <cstdint>

namespace kernel::frame {

// Whether an address lies in kernel memory that is committed, so that a not-present fault there is the host's doing.
bool kernel_page_is_ours(std::uint64_t address);
// End of the committed part of the kernel heap (frame/heap.cc keeps it; only grows).
std::uint64_t heap_committed_end();

[[noreturn]] void panic_at_fault(std::uint64_t rip, std::uint64_t vector, std::uint64_t address, std::uint64_t rsp);

// How the last words reach the host; set at boot. Called with a NUL-terminated line, must not allocate or lock.
using PanicWriter = void (*)(const char* text);
void set_panic_writer(PanicWriter writer);

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_PANIC_H
