// Host-side assembly of the emulator: the twin of the vDSO's entry function, the first and last instructions of every signal handler,
// and a copy that survives faults.
#include "emulator/layout.h"

.text

// int emulator_enter(rdi, rsi, rdx, ecx = function, r8, r9, run on the stack)
// Frame: rbp; saved rbx, r12..r15 at -8..-40; locals below.
#define L_LEAF   -48(%rbp)
#define L_RDI    -56(%rbp)
#define L_RSI    -64(%rbp)
#define L_RDX    -72(%rbp)
#define L_R8     -80(%rbp)
#define L_R9     -88(%rbp)
#define L_MXCSR  -96(%rbp)
#define L_FCW    -92(%rbp)
#define RUN      16(%rbp)
.globl emulator_enter
.type emulator_enter, @function
.p2align 4
emulator_enter:
  .cfi_startproc
  push %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  mov %rsp, %rbp
  .cfi_def_cfa_register %rbp
  push %rbx
  .cfi_rel_offset %rbx, -8
  push %r12
  push %r13
  push %r14
  push %r15
  sub $72, %rsp
  stmxcsr L_MXCSR
  fnstcw L_FCW
.Lenter:
  mov %ecx, L_LEAF
  mov %rdi, L_RDI
  mov %rsi, L_RSI
  mov %rdx, L_RDX
  mov %r8, L_R8
  mov %r9, L_R9
.Lprepare:
  mov RUN, %rdi
  mov %ecx, %esi
  call emulator_prepare_enter
  test %eax, %eax
  js .Lout
  jnz .Lfast
.Lstrict:
  mov L_RDI, %rdi
  mov L_RSI, %rsi
  mov L_RDX, %rdx
  mov L_R8, %r8
  mov L_R9, %r9
  mov RUN, %rcx
  mov RUN_TCS(%rcx), %rbx
  mov L_LEAF, %eax
  lea emulator_aep(%rip), %rcx
  // As in the vDSO the AEP is the ENCLU itself: with the synthetic state it is ERESUME.
.globl emulator_aep
emulator_aep:
  .byte 0x0f, 0x01, 0xd7
.globl emulator_after_enclu
emulator_after_enclu:
  cld
  mov RUN, %rbx
  movl $4, RUN_FUNCTION(%rbx)
.Lleft:
  ldmxcsr L_MXCSR
  fldcw L_FCW
  cmpq $0, RUN_HANDLER(%rbx)
  jne .Lhandler
  xor %eax, %eax
.Lout:
  lea -40(%rbp), %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  .cfi_remember_state
  .cfi_def_cfa %rsp, 8
  ret
  .cfi_restore_state

.globl emulator_handle_exception
emulator_handle_exception:
  cld
  pushfq
  andl $~0x40000, (%rsp)
  popfq
  mov RUN, %rbx
  mov %eax, RUN_FUNCTION(%rbx)
  mov %di, RUN_VECTOR(%rbx)
  mov %si, RUN_ERROR(%rbx)
  mov %rdx, RUN_ADDR(%rbx)
  jmp .Lleft

.Lhandler:
  mov %rsp, %rcx
  and $-16, %rsp
  push %rbx
  push %rbx
  call *RUN_HANDLER(%rbx)
  lea -112(%rbp), %rsp
  test %eax, %eax
  jle .Lout
  mov %eax, %ecx
  jmp .Lenter

#include "emulator/fast_enter.inc"
  .cfi_endproc
.size emulator_enter, . - emulator_enter

// Signal handler: void emulator_signal_entry(int signal, siginfo_t*, ucontext_t*)
.globl emulator_signal_entry
.type emulator_signal_entry, @function
.p2align 4
emulator_signal_entry:
  // The kernel clears DF and TF for a handler, but not AC.
  pushfq
  andl $~0x40000, (%rsp)
  popfq
  mov %rsp, %rax
  mov emulator_arena(%rip), %rcx
  sub %rcx, %rax
  cmp emulator_arena_size(%rip), %rax
  jae .Lforeign
  and $-SLOT_SIZE, %rax
  lea THREAD_OFFSET(%rcx, %rax), %r8
  // struct Bases on the stack: fs, gs.
  rdgsbase %rax
  push %rax
  rdfsbase %rax
  push %rax
  mov T_HOST_FS(%r8), %rax
  wrfsbase %rax
  mov T_HOST_GS(%r8), %rax
  wrgsbase %rax
  mov %rsp, %rcx
  push %rbx
  mov %rcx, %rbx
  // Here rsp is 16-byte aligned: return address, 2 bases, rbx.
  call emulator_signal
  mov (%rbx), %rax
  mov 8(%rbx), %rcx
  pop %rbx
  add $16, %rsp
  wrgsbase %rcx
  wrfsbase %rax
  ret
.Lforeign:
  xor %ecx, %ecx
  xor %r8d, %r8d
  sub $8, %rsp
  call emulator_signal
  add $8, %rsp
  ret
.size emulator_signal_entry, . - emulator_signal_entry

// u64 emulator_copy(void* to, const void* from, u64 size)
.globl emulator_copy
.type emulator_copy, @function
.p2align 4
emulator_copy:
  mov %rdx, %rcx
.globl emulator_copy_begin
emulator_copy_begin:
  cmp $64, %rcx
  jne 1f
  // SECINFO is the common case: rep movsb starts slowly.
  mov (%rsi), %rax
  mov %rax, (%rdi)
  mov 8(%rsi), %rax
  mov %rax, 8(%rdi)
  mov 16(%rsi), %rax
  mov %rax, 16(%rdi)
  mov 24(%rsi), %rax
  mov %rax, 24(%rdi)
  mov 32(%rsi), %rax
  mov %rax, 32(%rdi)
  mov 40(%rsi), %rax
  mov %rax, 40(%rdi)
  mov 48(%rsi), %rax
  mov %rax, 48(%rdi)
  mov 56(%rsi), %rax
  mov %rax, 56(%rdi)
  xor %ecx, %ecx
  jmp emulator_copy_end
1:
  rep movsb
.globl emulator_copy_end
emulator_copy_end:
  mov %rcx, %rax
  ret
.globl emulator_copy_failed
emulator_copy_failed:
  mov %rcx, %rax
  test %rax, %rax
  jnz 2f
  inc %eax
2:
  ret
.size emulator_copy, . - emulator_copy

.bss
.globl emulator_arena
.globl emulator_arena_size
.p2align 3
emulator_arena: .quad 0
emulator_arena_size: .quad 0

.section .note.GNU-stack, "", @progbits
