// Mode fast: where the rewritten ENCLU sites arrive, through their thunks (fast.cc). The labels say to the signal handler how far a leaf
// has come (fast.cc, settle_fast_transition()); every instruction between two labels leaves what that function expects.
#include "emulator/layout.h"

.text

// From GS base to Thread: into %rcx, with %rax as scratch. GS is the kernel's; its page's EPCM entry names the TCS slot.
.macro FIND_THREAD failed
  rdgsbase %rcx
  sub emulator_fast + F_BASE(%rip), %rcx
  cmp emulator_fast + F_SIZE(%rip), %rcx
  jae \failed
  shr $12, %rcx
  mov emulator_fast + F_EPCM(%rip), %rax
  mov (%rax, %rcx, 8), %eax
  shr $ENTRY_SLOT_SHIFT, %eax
  jz \failed
  shl $TCS_STATE_SHIFT, %rax
  add emulator_fast + F_TCS(%rip), %rax
  mov TCS_THREAD(%rax), %rcx
  test %rcx, %rcx
  jz \failed
  cmp %rax, T_TCS(%rcx)
  jne \failed
.endm

// EEXIT: eax = 4 and the site's number from bit 8 on, rbx = target. Up to `checked` a signal goes back to the site; from there to
// `committed` the handler finishes the EEXIT on the frame.
.globl emulator_fast_exit
.p2align 4
emulator_fast_exit:
  mov %rbx, %rcx
  shr $47, %rcx
  jnz .Lexit_bad
  mov %rbx, %rcx
  sub emulator_fast + F_BASE(%rip), %rcx
  cmp emulator_fast + F_SIZE(%rip), %rcx
  jb .Lexit_bad
  jmp emulator_fast_exit_checked
.Lexit_bad:
  .byte 0x0f, 0x01, 0xd7
.globl emulator_fast_exit_checked
.p2align 4
emulator_fast_exit_checked:
  FIND_THREAD .Lexit_slow
  cmpl $0, T_IN_ENCLAVE(%rcx)
  je .Lexit_slow
  cmpq $0, emulator_fast + F_ASSERTIONS(%rip)
  jne .Lexit_slow
  mov T_HOST_FS(%rcx), %rax
  wrfsbase %rax
  mov T_HOST_GS(%rcx), %rax
  wrgsbase %rax
  mov T_TCS(%rcx), %rax
  incq TCS_COUNT_FAST(%rax)
  incq TCS_COUNT_EEXIT(%rax)
.globl emulator_fast_exit_counted
emulator_fast_exit_counted:
  movl $0, T_IN_ENCLAVE(%rcx)
.globl emulator_fast_exit_committed
emulator_fast_exit_committed:
  mov TCS_AEP(%rax), %rcx
  movl $0, TCS_ACTIVE(%rax)
.globl emulator_fast_exit_released
emulator_fast_exit_released:
  mov $4, %eax
  jmp *%rbx
.globl emulator_fast_exit_slow
.Lexit_slow:
emulator_fast_exit_slow:
  .byte 0x0f, 0x01, 0xd7
.globl emulator_fast_exit_end
emulator_fast_exit_end:

// The other leaves: the thunk has pushed the site's number.
.globl emulator_fast_leaf
.p2align 4
emulator_fast_leaf:
  push %rcx
.globl emulator_fast_leaf_pushed1
emulator_fast_leaf_pushed1:
  push %rax
.globl emulator_fast_leaf_pushed2
emulator_fast_leaf_pushed2:
  cmp $5, %eax
  jb .Lleaf_slow
  cmp $7, %eax
  ja .Lleaf_slow
  FIND_THREAD .Lleaf_slow
  cmpl $0, T_IN_ENCLAVE(%rcx)
  je .Lleaf_slow
  mov %rdx, T_RDX(%rcx)
  mov %rsi, T_RSI(%rcx)
  mov %rdi, T_RDI(%rcx)
  mov %r8, T_R8(%rcx)
  mov %r9, T_R9(%rcx)
  mov %r10, T_R10(%rcx)
  mov %r11, T_R11(%rcx)
  mov (%rsp), %rax
  mov %rax, T_RAX(%rcx)
  mov 8(%rsp), %rax
  mov %rax, T_RCX(%rcx)
  mov 16(%rsp), %rax
  shl $3, %rax
  add emulator_fast + F_SITES(%rip), %rax
  mov (%rax), %rax
  mov %rax, T_RETURN_RIP(%rcx)
  lea 24(%rsp), %rax
  mov %rax, T_RSP(%rcx)
  rdfsbase %rax
  mov %rax, T_SAVED_FS(%rcx)
  movl $LEAF_RUNNING, T_LEAF_ACTIVE(%rcx)
  // From here on signals wait.
  mov T_HOST_FS(%rcx), %rax
  wrfsbase %rax
  mov T_LEAF_STACK(%rcx), %rsp
  push %rcx
  sub $8, %rsp
  cld
  mov %rcx, %rdi
  mov T_RAX(%rcx), %esi
  mov T_RDX(%rcx), %r8
  mov T_RCX(%rcx), %rcx
  mov %rbx, %rdx
  call emulator_fast_leaf_body
  add $8, %rsp
  pop %rcx
  mov T_SAVED_FS(%rcx), %rdx
  wrfsbase %rdx
  test %rax, %rax
  js .Lleaf_fault
  mov %rax, T_RAX(%rcx)
  neg %rax
  sbb %rax, %rax
  and $0x40, %eax
  or $2, %eax
  mov %rax, T_FLAGS(%rcx)
  addq $SITE_SIZE, T_RETURN_RIP(%rcx)
  movl $0, T_LEAF_ACTIVE(%rcx)
.globl emulator_fast_leaf_done
emulator_fast_leaf_done:
  cmpq $0, T_DEFERRED(%rcx)
  jne .Lleaf_deferred
  // Where the last jump goes: below the enclave's stack pointer, as the pushes were. If the host has unmapped that page the fault
  // counts as one behind the leaf.
  mov T_RSP(%rcx), %rsp
  mov T_RETURN_RIP(%rcx), %rax
  mov %rax, -8(%rsp)
  mov T_RDX(%rcx), %rdx
  mov T_RSI(%rcx), %rsi
  mov T_RDI(%rcx), %rdi
  mov T_R8(%rcx), %r8
  mov T_R9(%rcx), %r9
  mov T_R10(%rcx), %r10
  mov T_R11(%rcx), %r11
  xor %eax, %eax
  mov T_FLAGS(%rcx), %ah
  sahf
  mov T_RAX(%rcx), %rax
  mov T_RCX(%rcx), %rcx
  jmp *-8(%rsp)
.Lleaf_deferred:
  // Sends a signal that came meanwhile again: it arrives behind the system call, in this range.
  mov T_DEFERRED(%rcx), %rdx
  bsf %rdx, %r9
  btr %r9, %rdx
  mov %rdx, T_DEFERRED(%rcx)
  mov %rcx, %r8
  mov $39, %eax   // getpid
  syscall
  mov %eax, %edi
  mov $186, %eax  // gettid
  syscall
  mov %eax, %esi
  lea 1(%r9), %edx
  mov $234, %eax  // tgkill
  syscall
  mov %r8, %rcx
  jmp emulator_fast_leaf_done
.globl emulator_fast_leaf_done_end
emulator_fast_leaf_done_end:

// The leaf faults: it has changed nothing, so it is played again by the trap, which makes the exception.
.Lleaf_fault:
  movl $0, T_LEAF_ACTIVE(%rcx)
.globl emulator_fast_leaf_fault
emulator_fast_leaf_fault:
  .byte 0x0f, 0x01, 0xd7
.globl emulator_fast_leaf_fault_end
emulator_fast_leaf_fault_end:

// Not for us (another leaf, a foreign GS): the trap plays it. The stack still has what the pushes put there.
.Lleaf_slow:
.globl emulator_fast_leaf_slow
emulator_fast_leaf_slow:
  .byte 0x0f, 0x01, 0xd7
.globl emulator_fast_leaf_slow_end
emulator_fast_leaf_slow_end:

.bss
.globl emulator_fast
.p2align 6
emulator_fast: .zero 64

.section .note.GNU-stack, "", @progbits
