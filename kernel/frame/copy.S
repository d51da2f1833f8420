// Copies that may fault. A fault at one of the labelled ranges makes the exception handler continue at the matching *_fixup label
// (kernel/frame/exception.cc has the table).
.text

// u64 faulting_copy(to rdi, from rsi, bytes rdx): how many bytes were NOT copied.
// Short ones go word by word, since `rep movsb` takes long to start. A fault there goes on at faulting_copy_begin, which finds the byte.
.globl faulting_copy, faulting_copy_begin, faulting_copy_end, faulting_short_begin, faulting_short_end
.type faulting_copy, @function
faulting_copy:
  movq %rdx, %rcx
  cmpq $128, %rdx
  ja faulting_copy_begin
faulting_short_begin:
  jmp 2f
1:
  movq (%rsi), %rax
  movq %rax, (%rdi)
  addq $8, %rsi
  addq $8, %rdi
  subq $8, %rcx
2:
  cmpq $8, %rcx
  jae 1b
  testq %rcx, %rcx
  jz faulting_short_end
3:
  movb (%rsi), %al
  movb %al, (%rdi)
  incq %rsi
  incq %rdi
  decq %rcx
  jnz 3b
faulting_short_end:
  xorl %eax, %eax
  ret
faulting_copy_begin:
  rep movsb
faulting_copy_end:
  movq %rcx, %rax
  ret
.size faulting_copy, . - faulting_copy

// u64 faulting_copy_words(to rdi, from rsi, words rdx): 8-byte copies for untrusted memory (INTEL-SA-00657); words not copied.
.globl faulting_copy_words, faulting_words_begin, faulting_words_end
.type faulting_copy_words, @function
faulting_copy_words:
  movq %rdx, %rcx
faulting_words_begin:
  rep movsq
faulting_words_end:
  movq %rcx, %rax
  ret
.size faulting_copy_words, . - faulting_copy_words

// u64 faulting_fill(to rdi, bytes rsi): zeroes; how many bytes were NOT written.
.globl faulting_zero, faulting_zero_begin, faulting_zero_end
.type faulting_zero, @function
faulting_zero:
  movq %rsi, %rcx
  xorl %eax, %eax
faulting_zero_begin:
  rep stosb
faulting_zero_end:
  movq %rcx, %rax
  ret
.size faulting_zero, . - faulting_zero

// {value rax, fault rdx} faulting_load(address rdi)
.globl faulting_load, faulting_load_end, faulting_load_fixup
.type faulting_load, @function
faulting_load:
  movl (%rdi), %eax
faulting_load_end:
  xorl %edx, %edx
  ret
faulting_load_fixup:
  movl $1, %edx
  ret
.size faulting_load, . - faulting_load

// {0, fault rdx} faulting_store(address rdi, value esi)
.globl faulting_store, faulting_store_end, faulting_store_fixup
.type faulting_store, @function
faulting_store:
  movl %esi, (%rdi)
faulting_store_end:
  xorl %edx, %edx
  ret
faulting_store_fixup:
  movl $1, %edx
  ret
.size faulting_store, . - faulting_store

// {found rax, fault rdx} faulting_cmpxchg(address rdi, expected esi, desired edx)
.globl faulting_cmpxchg, faulting_cmpxchg_begin, faulting_cmpxchg_end, faulting_cmpxchg_fixup
.type faulting_cmpxchg, @function
faulting_cmpxchg:
  movl %esi, %eax
faulting_cmpxchg_begin:
  lock cmpxchgl %edx, (%rdi)
faulting_cmpxchg_end:
  xorl %edx, %edx
  ret
faulting_cmpxchg_fixup:
  movl $1, %edx
  ret
.size faulting_cmpxchg, . - faulting_cmpxchg

.section .note.GNU-stack,"",@progbits
