// Enclave code for the emulator's tests: an interpreter of one command per entry. It is copied into enclave pages, so it is position
// independent, and it keeps the host's stack only as a value: its own stack is the upper part of the page that GS points to.
#include "tests/emulator/payload.h"

.macro ENCLU_SITE
  .byte 0x0f, 0x01, 0xd7
  .byte 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00
.endm

.section .rodata
.p2align 12
.globl payload_start
payload_start:
  // rax = CSSA, rcx = where the host wants us back, rdi = Command
  test %rdi, %rdi
  jz at_once
  rdgsbase %r15
  mov %rsp, 0x100(%r15, %rax, 8)
  mov %rcx, 0x200(%r15, %rax, 8)
  mov %rbp, 0x300(%r15, %rax, 8)
  mov %rax, %r14
  shl $9, %r14
  lea 0x1000(%r15), %rsp
  sub %r14, %rsp
  mov %rax, %r14
  pushfq
  andq $~0x40400, (%rsp)
  popfq
  fninit
  ldmxcsr initial_state + 24(%rip)
  mov %rax, CMD_CSSA(%rdi)
  mov %rdi, %r13
  mov CMD_OP(%rdi), %r12
  cmp $OP_COUNT, %r12
  jae finish
  lea table(%rip), %r11
  movslq (%r11, %r12, 4), %r12
  add %r11, %r12
  jmp *%r12

finish:
  incq CMD_STEPS(%r13)
  // All state initial.
  lea initial_state(%rip), %rcx
  mov $-1, %eax
  mov $-1, %edx
  xrstor (%rcx)
finish_dirty:
  rdgsbase %r15
  mov 0x100(%r15, %r14, 8), %rsp
  mov 0x200(%r15, %r14, 8), %rbx
  mov 0x300(%r15, %r14, 8), %rbp
  mov $0x1111, %edi
  mov $0x2222, %esi
  mov $0x3333, %edx
  xor %ecx, %ecx
  xor %r8d, %r8d
  xor %r9d, %r9d
  xor %r10d, %r10d
  xor %r11d, %r11d
  xor %r12d, %r12d
  xor %r13d, %r13d
  xor %r14d, %r14d
  xor %r15d, %r15d
  mov $4, %eax
  ENCLU_SITE
  ud2

// No command: the shortest possible stay, for measuring.
at_once:
  mov %rcx, %rbx
  mov $4, %eax
  ENCLU_SITE
  ud2

op_enclu:
  mov CMD_IN(%r13), %rax
  mov CMD_IN + 8(%r13), %rbx
  mov CMD_IN + 16(%r13), %rcx
  mov CMD_IN + 24(%r13), %rdx
.globl payload_enclu
payload_enclu:
  ENCLU_SITE
  mov %rax, CMD_OUT(%r13)
  pushfq
  pop %rax
  mov %rax, CMD_OUT + 8(%r13)
  mov %rbx, CMD_OUT + 16(%r13)
  mov %rcx, CMD_OUT + 24(%r13)
  mov %rdx, CMD_OUT + 32(%r13)
  jmp finish

op_enclu_loop:
  mov CMD_IN + 8(%r13), %rbx
  mov CMD_IN + 16(%r13), %rcx
  mov CMD_IN + 24(%r13), %rdx
  mov CMD_IN + 32(%r13), %r12
  xor %r11d, %r11d
1:
  test %r12, %r12
  jz 2f
  mov CMD_IN(%r13), %rax
  ENCLU_SITE
  cmp $1, %rax
  adc $0, %r11
  add $4096, %rcx
  dec %r12
  jmp 1b
2:
  mov %r11, CMD_OUT(%r13)
  jmp finish

op_load:
  mov CMD_IN(%r13), %rax
.globl payload_load
payload_load:
  movzbl (%rax), %eax
  mov %rax, CMD_OUT(%r13)
  jmp finish

op_store:
  mov CMD_IN(%r13), %rax
  mov CMD_IN + 8(%r13), %rcx
.globl payload_store
payload_store:
  mov %cl, (%rax)
  nop
  jmp finish

op_call:
  mov CMD_IN(%r13), %rax
  call *%rax
.globl payload_return
payload_return:
  jmp finish

op_syscall:
  mov CMD_IN(%r13), %rax
  mov $0x1234, %ecx
  mov $0x5678, %r11d
.globl payload_syscall
payload_syscall:
  syscall
  mov %rax, CMD_OUT(%r13)
  jmp finish

op_int80:
  mov CMD_IN(%r13), %rax
  int $0x80
  mov %rax, CMD_OUT(%r13)
  jmp finish

op_cpuid:
  mov CMD_IN(%r13), %rax
.globl payload_cpuid
payload_cpuid:
  cpuid
  mov %rbx, CMD_OUT(%r13)
  jmp finish

op_ud2:
  ud2
  jmp finish

op_int3:
  int3
.globl payload_int3_after
payload_int3_after:
  jmp finish

op_divide:
  xor %ecx, %ecx
  xor %edx, %edx
  mov $1, %eax
  div %ecx
  jmp finish

op_bases:
  rdfsbase %rax
  mov %rax, CMD_OUT(%r13)
  rdgsbase %rax
  mov %rax, CMD_OUT + 8(%r13)
  jmp finish

op_ssa:
  mov CMD_IN(%r13), %rax
  mov 160(%rax), %ecx
  mov %rcx, CMD_OUT(%r13)
  mov 136(%rax), %rcx
  mov %rcx, CMD_OUT + 8(%r13)
  mov -16(%rax), %rcx
  mov %rcx, CMD_OUT + 16(%r13)
  mov -8(%rax), %ecx
  mov %rcx, CMD_OUT + 24(%r13)
  mov CMD_IN + 8(%r13), %rcx
  add %rcx, 136(%rax)
  jmp finish

op_dirty:
  mov $0x1234, %eax
  movq %rax, %xmm7
  jmp finish_dirty

// Fills every register with a pattern of its own, counts, and then looks whether all are what they were. in[2] = XFRM, in[3] = seed.
op_spin:
  mov CMD_IN + 24(%r13), %rbp
  mov %rbp, %rbx
  testq $0x4, CMD_IN + 16(%r13)
  jz spin_sse
  testq $0x80, CMD_IN + 16(%r13)
  jz spin_avx
.macro FILL512 n
  lea 0x100 + \n(%rbx), %rax
  vpbroadcastq %rax, %zmm\n
.endm
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  FILL512 \n
.endr
.irp n, 0,1,2,3,4,5,6,7
  lea 0x200 + \n(%rbx), %rax
  kmovq %rax, %k\n
.endr
  jmp spin_go
spin_avx:
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
  lea 0x100 + \n(%rbx), %rax
  vmovq %rax, %xmm\n
  vpbroadcastq %xmm\n, %ymm\n
.endr
  jmp spin_go
spin_sse:
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
  lea 0x100 + \n(%rbx), %rax
  movq %rax, %xmm\n
.endr
spin_go:
  fldpi
  lea 3(%rbx), %rsi
  lea 4(%rbx), %rdi
  lea 5(%rbx), %r8
  lea 6(%rbx), %r9
  lea 7(%rbx), %r10
  lea 8(%rbx), %r11
  lea 9(%rbx), %r12
  lea 10(%rbx), %rcx
  lea 11(%rbx), %rdx
  lea 12(%rbx), %r15
.globl payload_spin
payload_spin:
1:
  incq CMD_IN + 8(%r13)
  // A value below the stack pointer must survive too: there is a red zone in user code.
  mov %rbx, -64(%rsp)
  cmp %rbx, -64(%rsp)
  jne 3f
  lea 1(%rbx), %rax
  sub %rbx, %rax
  cmp $1, %rax
  jne 3f
  cmpq $0, CMD_IN(%r13)
  je 1b
  xor %eax, %eax
  jmp 2f
3:
  mov $1000, %eax
2:
.macro CHECK_GPR reg, n
  sub $\n, \reg
  cmp %rbx, \reg
  je 4f
  inc %rax
4:
.endm
  CHECK_GPR %rsi, 3
  CHECK_GPR %rdi, 4
  CHECK_GPR %r8, 5
  CHECK_GPR %r9, 6
  CHECK_GPR %r10, 7
  CHECK_GPR %r11, 8
  CHECK_GPR %r12, 9
  CHECK_GPR %rcx, 10
  CHECK_GPR %rdx, 11
  CHECK_GPR %r15, 12
  CHECK_GPR %rbp, 0
  fldpi
  fcomip %st(1), %st
  je 4f
  inc %rax
4:
  testq $0x4, CMD_IN + 16(%r13)
  jz check_sse
  testq $0x80, CMD_IN + 16(%r13)
  jz check_avx
.irp n, 0,1,2,3,4,5,6,7
  lea 0x200 + \n(%rbx), %rcx
  kmovq %k\n, %rdx
  cmp %rcx, %rdx
  je 4f
  inc %rax
4:
.endr
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
  lea 0x100 + \n(%rbx), %rcx
  vpbroadcastq %rcx, %zmm31
  vpcmpeqq %zmm31, %zmm\n, %k1
  kmovb %k1, %ecx
  cmp $0xff, %ecx
  je 4f
  inc %rax
4:
.endr
  jmp check_done
check_avx:
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14
  lea 0x100 + \n(%rbx), %rcx
  vmovq %rcx, %xmm15
  vpbroadcastq %xmm15, %ymm15
  vpcmpeqq %ymm15, %ymm\n, %ymm15
  vpmovmskb %ymm15, %ecx
  cmp $-1, %ecx
  je 4f
  inc %rax
4:
.endr
  jmp check_done
check_sse:
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
  lea 0x100 + \n(%rbx), %rcx
  movq %xmm\n, %rdx
  cmp %rcx, %rdx
  je 4f
  inc %rax
4:
.endr
check_done:
  mov %rax, CMD_OUT(%r13)
  jmp finish

.p2align 2
table:
  .long finish - table, op_enclu - table, op_load - table, op_store - table, op_call - table, op_syscall - table
  .long op_cpuid - table, op_ud2 - table, op_int3 - table, op_divide - table, op_spin - table, op_bases - table
  .long op_ssa - table, op_dirty - table, op_int80 - table, op_enclu_loop - table

.p2align 6
initial_state:
  .short 0x37f
  .zero 22
  .long 0x1f80
  .long 0xffff
  .zero 544
.p2align 12
.globl payload_end
payload_end:
.section .note.GNU-stack, "", @progbits
