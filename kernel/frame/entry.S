// Entry into and exit from the enclave, and the exception handler's frame (CSSA 1). See host_abi/entry.h for the protocol.
//
// On EENTER only RAX (CSSA), RBX (TCS), RCX (return address for EEXIT), FS and GS are what the processor made them; all other registers
// and the flags are the host's. So the stack is switched first and the flags are reset before any C++ runs.
#include "kernel/frame/vcpu_block.h"

// Every ENCLU site has this form, so that the emulator's fast mode can recognise it (0f 01 d7 and a 6-byte nop).
.macro ENCLU_SITE
  .byte 0x0f, 0x01, 0xd7
  .byte 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00
.endm

.macro ZERO_FOR_EXIT  // all that EEXIT would leak; RAX, RBX, RDI, RSI, RDX, RSP, RBP are set by the caller
  xorl %ecx, %ecx
  xorl %r8d, %r8d
  xorl %r9d, %r9d
  xorl %r10d, %r10d
  xorl %r11d, %r11d
  xorl %r12d, %r12d
  xorl %r13d, %r13d
  xorl %r14d, %r14d
  xorl %r15d, %r15d
.endm

.text
.globl enclave_entry
.type enclave_entry, @function
enclave_entry:
  testq %rax, %rax
  jnz entry_at_exception
  movq %rcx, %gs:VCPU_HOST_RCX
  movq %rsp, %gs:VCPU_HOST_RSP
  movq %rbp, %gs:VCPU_HOST_RBP
  cmpq $0, %gs:VCPU_EXIT_RSP
  jne entry_after_exit
  movq %gs:VCPU_ENTRY_STACK, %rsp
  pushq $2
  popfq
  movl $1, %gs:VCPU_IN_KERNEL
  xorl %ebp, %ebp
  call kernel_entry  // (rdi = EntryCode, rsi = argument), never returns
  ud2
.size enclave_entry, . - enclave_entry

// The continuation of exit_to_host: back on the stack that left. The host's hints (RSI) are its result.
entry_after_exit:
  movq %gs:VCPU_EXIT_RSP, %rsp
  movq $0, %gs:VCPU_EXIT_RSP
  pushq $2
  popfq
  movq %rsi, %rax
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret

// u64 exit_to_host(code rdi, a rsi, b rdx): leaves, returns when the host enters again at CSSA 0.
.globl exit_to_host
.type exit_to_host, @function
exit_to_host:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, %gs:VCPU_EXIT_RSP
  movq %gs:VCPU_HOST_RCX, %rbx
  movq %gs:VCPU_HOST_RSP, %rsp
  movq %gs:VCPU_HOST_RBP, %rbp
  ZERO_FOR_EXIT
  movl $4, %eax  // EEXIT
  ENCLU_SITE
  ud2
.size exit_to_host, . - exit_to_host

// CSSA 1: the exception and interrupt handler, on a stack of its own. CSSA 2 and more only leave.
entry_at_exception:
  cmpq $1, %rax
  jne leave_at_once
  movq %rsp, %r12
  movq %gs:VCPU_EXC_STACK, %rsp
  pushq %r12
  pushq %rbp
  pushq %rcx
  pushq $2
  popfq
  pushq $0  // alignment
  xorl %ebp, %ebp
  movq %gs:VCPU_SELF, %rdi
  call kernel_exception  // RSI: still the host's hints
  popq %rax
  popq %rbx  // the host's return address
  popq %rbp
  popq %rsp
  ZERO_FOR_EXIT
  xorl %edi, %edi  // ExitCode::resume
  xorl %esi, %esi
  xorl %edx, %edx
  movl $4, %eax
  ENCLU_SITE
  ud2

leave_at_once:
  movq %rcx, %rbx
  ZERO_FOR_EXIT
  movl $7, %edi  // ExitCode::retired
  xorl %esi, %esi
  xorl %edx, %edx
  movl $4, %eax
  ENCLU_SITE
  ud2

// u64 enclu_leaf(leaf rdi, rbx rsi, rcx rdx, rdx rcx): an ENCLU leaf that stays inside. Returns RAX (an SGX error code, 0 = success), or
// ~0 if the leaf faulted (the handler lands at enclu_faulted).
.globl enclu_leaf
.type enclu_leaf, @function
enclu_leaf:
  pushq %rbx
  movq %rdi, %rax
  movq %rsi, %rbx
  movq %rcx, %r8
  movq %rdx, %rcx
  movq %r8, %rdx
.globl enclu_leaf_site
enclu_leaf_site:
  ENCLU_SITE
.globl enclu_leaf_end
enclu_leaf_end:
  popq %rbx
  ret
.globl enclu_faulted
enclu_faulted:
  movq $-1, %rax
  popq %rbx
  ret
.size enclu_leaf, . - enclu_leaf

.section .note.GNU-stack,"",@progbits
