// What the assembly of this folder offers to its C++.
#ifndef KERNEL_FRAME_ASM_H
#define KERNEL_FRAME_ASM_H

#include <cstddef>
#include <cstdint>

#include "kernel/frame/vcpu_block.h"

extern "C" {
// entry.S
void enclave_entry();
std::uint64_t exit_to_host(std::uint64_t code, std::uint64_t a, std::uint64_t b);
std::uint64_t enclu_leaf(std::uint64_t leaf, std::uint64_t rbx, std::uint64_t rcx, std::uint64_t rdx);
extern const std::byte enclu_leaf_site[], enclu_leaf_end[], enclu_faulted[];
// gate.S
void syscall_gate();
void cpuid_gate();
extern const std::byte gate_begin[], gate_entered[], cpuid_gate_begin[], cpuid_gate_entered[];
extern const std::byte return_begin[], return_end[], full_return[], return_stepped[];
void exception_landing();
void panic_landing();
[[noreturn]] void enter_user_frame(kernel::frame::TrapFrame* frame);
void switch_stack(std::uint64_t* save, std::uint64_t load);
void thread_trampoline();
// vector_state.S
void vector_save_quick(std::byte* area, std::uint64_t in_use);
void vector_load_quick(const std::byte* area, std::uint64_t saved, std::uint64_t in_use);
// copy.S
struct FaultingValue {
  std::uint64_t value;
  std::uint64_t fault;
};
std::uint64_t faulting_copy(std::uint64_t to, std::uint64_t from, std::uint64_t bytes);
std::uint64_t faulting_copy_words(std::uint64_t to, std::uint64_t from, std::uint64_t words);
std::uint64_t faulting_zero(std::uint64_t to, std::uint64_t bytes);
FaultingValue faulting_load(std::uint64_t address);
FaultingValue faulting_store(std::uint64_t address, std::uint32_t value);
FaultingValue faulting_cmpxchg(std::uint64_t address, std::uint32_t expected, std::uint32_t desired);
extern const std::byte faulting_short_begin[], faulting_short_end[];
extern const std::byte faulting_copy_begin[], faulting_copy_end[], faulting_words_begin[], faulting_words_end[];
extern const std::byte faulting_zero_begin[], faulting_zero_end[];
extern const std::byte faulting_load_end[], faulting_load_fixup[], faulting_store_end[], faulting_store_fixup[];
extern const std::byte faulting_cmpxchg_begin[], faulting_cmpxchg_end[], faulting_cmpxchg_fixup[];

// Upwards: implemented in C++ above this folder, called by the assembly.
[[noreturn]] void kernel_entry(std::uint64_t code, std::uint64_t argument);   // init/
[[noreturn]] void kernel_panic(std::uint64_t rip, std::uint64_t vector, std::uint64_t address, std::uint64_t rsp);  // frame/layout.cc
void kernel_exception(kernel::frame::VcpuBlock* vcpu, std::uint64_t hints);   // frame/exception.cc
void kernel_syscall(kernel::frame::TrapFrame* frame);                         // syscall/dispatch.cc
void kernel_cpuid(kernel::frame::TrapFrame* frame);                           // frame/cpuid.cc
void kernel_trap(kernel::frame::TrapFrame* frame, std::uint64_t vector, std::uint64_t address, std::uint64_t error);  // task/trap.cc
void kernel_before_user_return(kernel::frame::TrapFrame* frame);              // task/trap.cc
}

namespace kernel::frame {
template <class T>
std::uint64_t address_of_code(T* label) {
  // SAFETY: labels and functions are only compared as numbers.
  return reinterpret_cast<std::uint64_t>(label);
}
}  // namespace kernel::frame

#endif  // KERNEL_FRAME_ASM_H
