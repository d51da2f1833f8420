// The system-call gate, the return path to user code, and context switches (design section 4).
//
// Stubs beside patched program text jump here through %gs:VCPU_GATE with RAX = number, RCX = return address; nothing has been pushed on
// the program's stack. [gate_begin, gate_entered) and [return_begin, return_end) are ranges that the exception handler knows: in the
// first nothing has happened yet, the second is restartable at full_return because it only reads the trap frame.
#include "kernel/frame/vcpu_block.h"

#define FLAGS_SPECIAL 0x40500        // AC, DF, TF: must be clear in C++ code
#define FLAGS_SPECIAL_EXIT 0x240500  // and ID: only popf restores these

.text
.globl syscall_gate, gate_begin, gate_entered
.type syscall_gate, @function
.p2align 6
gate_begin:
syscall_gate:
  movq %rsp, %gs:VCPU_USER_RSP
  movq %gs:VCPU_FRAME_END, %rsp
  movl $1, %gs:VCPU_IN_KERNEL
gate_entered:
  pushq $0
  pushq %gs:VCPU_USER_RSP
  pushfq
  pushq %rcx
  pushq %rax
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %rax
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  testl $FLAGS_SPECIAL, TF_RFLAGS(%rsp)
  jnz 2f
1:
  movq %rsp, %rdi
  call kernel_syscall

.globl return_begin, return_end, full_return
return_begin:
  movq %gs:VCPU_CURRENT, %rax
  cmpl $0, CONTEXT_WORK(%rax)
  jne return_work
  cmpq $0, TF_KIND(%rsp)
  jne full_return
  testl $FLAGS_SPECIAL_EXIT, TF_RFLAGS(%rsp)
  jnz full_return
  movl $0, %gs:VCPU_IN_KERNEL
  movl TF_RFLAGS(%rsp), %ecx
  movq TF_RFLAGS(%rsp), %r11
  movl %ecx, %eax
  shrl $11, %eax
  andl $1, %eax
  movb %cl, %ah
  addb $0x7f, %al  // OF = bit 11 of the flags
  sahf             // SF, ZF, AF, PF, CF
  movq TF_R10(%rsp), %r10
  movq TF_R9(%rsp), %r9
  movq TF_R8(%rsp), %r8
  movq TF_RDX(%rsp), %rdx
  movq TF_RSI(%rsp), %rsi
  movq TF_RDI(%rsp), %rdi
  movq TF_RAX(%rsp), %rax
  movq TF_RIP(%rsp), %rcx
  movq TF_RSP(%rsp), %rsp
  jmp *%rcx

full_return:
  movq %gs:VCPU_CURRENT, %rax
  cmpl $0, CONTEXT_WORK(%rax)
  jne return_slow
  cmpq $0, TF_KIND(%rsp)
  jne 3f
  movq TF_RIP(%rsp), %rax
  movq %rax, TF_RCX(%rsp)
  movq TF_RFLAGS(%rsp), %rax
  movq %rax, TF_R11(%rsp)
3:
  movq TF_RIP(%rsp), %rax
  movq %rax, %gs:VCPU_SCRATCH_RIP
  movl $0, %gs:VCPU_IN_KERNEL
  movq TF_R15(%rsp), %r15
  movq TF_R14(%rsp), %r14
  movq TF_R13(%rsp), %r13
  movq TF_R12(%rsp), %r12
  movq TF_RBP(%rsp), %rbp
  movq TF_RBX(%rsp), %rbx
  movq TF_R11(%rsp), %r11
  movq TF_R10(%rsp), %r10
  movq TF_R9(%rsp), %r9
  movq TF_R8(%rsp), %r8
  movq TF_RCX(%rsp), %rcx
  movq TF_RDX(%rsp), %rdx
  movq TF_RSI(%rsp), %rsi
  movq TF_RDI(%rsp), %rdi
  movq TF_RAX(%rsp), %rax
  pushq TF_RFLAGS(%rsp)
  popfq
  movq TF_RSP(%rsp), %rsp
.globl return_stepped
return_stepped:  // a trap flag fires here: the exception handler takes the jump in its place, so that the program makes the step
  jmp *%gs:VCPU_SCRATCH_RIP
return_end:

return_slow:
  movq %rsp, %rdi
  call kernel_before_user_return
  jmp full_return

// The same from the quick return: the callee-saved registers are the program's, whoever edits them in the frame marks it full.
return_work:
  movq %rsp, %rdi
  call kernel_before_user_return
  jmp return_begin

2:  // the program had TF, DF or AC set
  pushq $2
  popfq
  jmp 1b
.size syscall_gate, . - syscall_gate

// Patched CPUID sites: RBX = return address; EAX, ECX are the inputs.
.globl cpuid_gate, cpuid_gate_begin, cpuid_gate_entered
.type cpuid_gate, @function
.p2align 4
cpuid_gate_begin:
cpuid_gate:
  movq %rsp, %gs:VCPU_USER_RSP
  movq %gs:VCPU_FRAME_END, %rsp
  movl $1, %gs:VCPU_IN_KERNEL
cpuid_gate_entered:
  pushq $1
  pushq %gs:VCPU_USER_RSP
  pushfq
  pushq %rbx
  pushq $-1
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %rax
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  pushq $2
  popfq
  movq %rsp, %rdi
  call kernel_cpuid
  jmp full_return
.size cpuid_gate, . - cpuid_gate

// Where the exception handler sends a thread whose user state it has moved into the trap frame:
// RSP = RDI = trap frame, RSI = vector, RDX = address, RCX = error code.
.globl exception_landing
.type exception_landing, @function
exception_landing:
  xorl %ebp, %ebp
  call kernel_trap
  jmp full_return
.size exception_landing, . - exception_landing

// Where the exception handler sends a vCPU whose kernel code has faulted for good: RDI = RIP, RSI = vector, RDX = address, RCX = RSP.
.globl panic_landing
.type panic_landing, @function
panic_landing:
  xorl %ebp, %ebp
  call kernel_panic
  ud2
.size panic_landing, . - panic_landing

// Starts user code with the trap frame at the top of the running thread's stack (RDI).
.globl enter_user_frame
.type enter_user_frame, @function
enter_user_frame:
  movq %rdi, %rsp
  jmp full_return
.size enter_user_frame, . - enter_user_frame

// void switch_stack(u64* save rdi, u64 load rsi)
.globl switch_stack
.type switch_stack, @function
switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size switch_stack, . - switch_stack

// First code of a new thread: R12 = argument, R13 = function.
.globl thread_trampoline
.type thread_trampoline, @function
thread_trampoline:
  movq %r12, %rdi
  xorl %ebp, %ebp
  call *%r13
  ud2
.size thread_trampoline, . - thread_trampoline

.section .note.GNU-stack,"",@progbits
