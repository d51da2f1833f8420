// memcpy and memset, which the compiler calls for structs too. In assembly, as their C form carried the checks of the sanitizer for
// pointer arithmetic into every round of its loops, nine instructions for each word. `rep movsb` and `rep stosb` take 30 cycles before they
// move anything, so short ones are loops of words. What they loaded does not stay in registers.
#define SHORT 256

.text
// void* memcpy(to rdi, from rsi, bytes rdx). Each chunk is loaded before it is stored, and the last word first of all: areas that overlap
// are right where `to` is the lower one (memmove relies on that).
.globl memcpy
.type memcpy, @function
memcpy:
  movq %rdi, %rax
  leaq -8(%rdx), %rcx
  cmpq $(SHORT - 8), %rcx
  ja 5f
  movq (%rsi,%rcx), %rdx
  addq %rcx, %rsi
  addq %rcx, %rdi
  negq %rcx
  jmp 2f
1:
  movq (%rsi,%rcx), %r8
  movq 8(%rsi,%rcx), %r9
  movq 16(%rsi,%rcx), %r10
  movq 24(%rsi,%rcx), %r11
  movq %r8, (%rdi,%rcx)
  movq %r9, 8(%rdi,%rcx)
  movq %r10, 16(%rdi,%rcx)
  movq %r11, 24(%rdi,%rcx)
  addq $32, %rcx
2:
  cmpq $-24, %rcx
  jl 1b
  testq %rcx, %rcx
  jns 4f
3:
  movq (%rsi,%rcx), %r8
  movq %r8, (%rdi,%rcx)
  addq $8, %rcx
  js 3b
4:
  movq %rdx, (%rdi)
  xorl %edx, %edx
  xorl %r8d, %r8d
  xorl %r9d, %r9d
  xorl %r10d, %r10d
  xorl %r11d, %r11d
  ret
5:
  movq %rdx, %rcx
  cmpq $4, %rdx
  jb 6f
  cmpq $8, %rdx
  ja 6f
  movl (%rsi), %r8d
  movl -4(%rsi,%rdx), %edx
  movl %r8d, (%rdi)
  movl %edx, -4(%rdi,%rcx)
  xorl %edx, %edx
  xorl %r8d, %r8d
  ret
6:
  rep movsb
  ret
.size memcpy, . - memcpy

// void* memset(to rdi, value esi, bytes rdx)
.globl memset
.type memset, @function
memset:
  movq %rdi, %r8
  movzbl %sil, %eax
  leaq -8(%rdx), %rcx
  cmpq $(SHORT - 8), %rcx
  ja 5f
  movabsq $0x0101010101010101, %rdx
  imulq %rdx, %rax
  addq %rcx, %rdi
  negq %rcx
  jmp 2f
1:
  movq %rax, (%rdi,%rcx)
  movq %rax, 8(%rdi,%rcx)
  movq %rax, 16(%rdi,%rcx)
  movq %rax, 24(%rdi,%rcx)
  addq $32, %rcx
2:
  cmpq $-24, %rcx
  jl 1b
  testq %rcx, %rcx
  jns 4f
3:
  movq %rax, (%rdi,%rcx)
  addq $8, %rcx
  js 3b
4:
  movq %rax, (%rdi)
  movq %r8, %rax
  ret
5:
  movq %rdx, %rcx
  rep stosb
  movq %r8, %rax
  ret
.size memset, . - memset

.section .note.GNU-stack,"",@progbits
