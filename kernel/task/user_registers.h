// The registers of a program, between the trap frame and the structures that programs see them in: signal frames and ptrace(2)'s. They
// name their fields alike and put them in different places.
#ifndef KERNEL_TASK_USER_REGISTERS_H
#define KERNEL_TASK_USER_REGISTERS_H

#include <cstdint>

#include "kernel/frame/vcpu_block.h"

namespace kernel {

inline constexpr std::uint16_t kUserCs = 0x33, kUserSs = 0x2b;
// Flags that a program may have set by sigreturn, or its tracer (FIX_EFLAGS of Linux): AC OF DF TF SF ZF AF PF CF RF.
inline constexpr std::uint64_t kUserFlags = 0x40000 | 0x800 | 0x400 | 0x100 | 0x80 | 0x40 | 0x10 | 0x4 | 0x1 | 0x10000;

// General registers, stack pointer and instruction pointer. Flags need a check on their way in, and orig_rax is not in all of them.
template <typename To, typename From>
void copy_general_registers(To& to, const From& from) {
  to.r15 = from.r15;
  to.r14 = from.r14;
  to.r13 = from.r13;
  to.r12 = from.r12;
  to.rbp = from.rbp;
  to.rbx = from.rbx;
  to.r11 = from.r11;
  to.r10 = from.r10;
  to.r9 = from.r9;
  to.r8 = from.r8;
  to.rax = from.rax;
  to.rcx = from.rcx;
  to.rdx = from.rdx;
  to.rsi = from.rsi;
  to.rdi = from.rdi;
  to.rsp = from.rsp;
  to.rip = from.rip;
}

// Takes general registers and flags that the program or its tracer made up.
template <typename From>
void take_registers(frame::TrapFrame& frame, const From& from) {
  constexpr std::uint64_t kFixedFlags = 0x202;  // reserved bit 1 and IF
  copy_general_registers(frame, from);
  frame.rflags = (frame.rflags & ~kUserFlags) | (from.rflags & kUserFlags) | kFixedFlags;
}

// What a program or its tracer is shown.
template <typename To>
void show_registers(To& to, const frame::TrapFrame& frame) {
  copy_general_registers(to, frame);
  to.rflags = frame.rflags;
  to.cs = kUserCs;
  to.ss = kUserSs;
}

}  // namespace kernel
#endif  // KERNEL_TASK_USER_REGISTERS_H
