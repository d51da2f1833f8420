# Small functions, one system call or cpuid each; patch_test.cc says what must come out of each.
.macro function name
  .p2align 4
  .globl \name
  .type \name, @function
\name:
.endm
.macro end name
  .size \name, . - \name
.endm
  .text

function first_form           # 5-byte mov
  mov $39, %eax
  syscall
  ret
end first_form

function signal_return        # bytes that unwinders match
  mov $15, %rax
  syscall
end signal_return

function signal_return_short
  mov $15, %eax
  syscall
end signal_return_short

function two_before           # 3 + 3 bytes, nothing read that is written before
  mov %rcx, %rsi
  mov %rbx, %rdi
  syscall
  ret
end two_before

function rip_relative         # lea with a disp32
  lea message(%rip), %rsi
  syscall
  ret
end rip_relative

function two_rip_relative     # the table has room for one (6 bytes each, but one alone is enough)
  lea message(%rip), %rsi
  lea message(%rip), %rdi
  syscall
  ret
end two_rip_relative

function chained              # edi is read from outside and written by an instruction that might run again
  mov %edi, %eax
  mov %esi, %edi
  mov %edx, %esi
  syscall
  ret
end chained

function shifted              # the instruction that writes what is read runs last, so once
  mov %rsi, %rdi
  mov %rdx, %rsi
  syscall
  ret
end shifted

function not_twice            # the first of the two adds would count twice
  nop
  add $8, %rdi
  mov %rbp, %rsi
  syscall
  ret
  .byte 0xcc
end not_twice

function store_last           # a store that runs exactly once
  mov %r11, 8(%rsp)
  syscall
  ret
end store_last

function store_early          # a store that might run again
  mov %rax, (%rsp)
  xor %edx, %edx
  syscall
  ret
  .byte 0xcc
end store_early

function loop_start           # a jump leads to the first displaced instruction
  xor %edi, %edi
1:
  mov %rdx, %rsi
  mov %rbp, %rax
  syscall
  test %rax, %rax
  js 1b
  ret
end loop_start

function loop_middle          # ... to the second displaced instruction
  mov %rdx, %rsi
1:
  mov %rbp, %rdx
  syscall
  test %rax, %rax
  js 1b
  ret
  .byte 0xcc
end loop_middle

function jump_to_trap         # a jump to the syscall itself does no harm
  test %edi, %edi
  mov $1, %eax
  je 1f
  mov $2, %eax
1:
  syscall
  ret
end jump_to_trap

function table_inside         # a jump table leads to the second displaced instruction
  lea table(%rip), %rcx
  movslq (%rcx,%rdi,4), %rax
  add %rcx, %rax
  jmp *%rax
table_case:
  mov %rdx, %rsi
table_middle:
  mov %rbp, %rdx
  syscall
  ret
  .byte 0xcc
end table_inside

function after_call           # no instruction before but a call: no room
  call first_form
  syscall
  ret
end after_call

function stack_change         # rsp is written
  sub $0x78, %rsp
  nopw (%rax)
  syscall
  add $0x78, %rsp
  ret
  .byte 0xcc
end stack_change

function push_before          # a push uses the red zone
  push %rdi
  push %rsi
  push %rdx
  push %r10
  syscall
  ret
  .byte 0xcc
end push_before

function gs_load              # the GS base is the kernel's
  mov %gs:0x10, %rdi
  syscall
  ret
end gs_load

function fs_load              # thread-local data
  mov %fs:0x10, %rdi
  syscall
  ret
end fs_load

function cpuid_zero
  xor %ecx, %ecx
  mov $7, %eax
  cpuid
  ret
end cpuid_zero

  .fill 256, 2, 0xc031        # far from any padding: xor %eax, %eax
  .globl no_padding
  .type no_padding, @function
no_padding:
  xor %eax, %eax
  syscall
  ret
  .fill 256, 2, 0xc031
  .size no_padding, . - no_padding
  .globl borrower             # the end of glibc's start_thread
  .type borrower, @function
borrower:
  mov $60, %edx
1:xor %edi, %edi
  mov %edx, %eax
  syscall
  jmp 1b
  .size borrower, . - borrower
  .globl giver
  .type giver, @function
giver:
  xor %r10d, %r10d
  xor %edx, %edx
  mov $128, %esi
  mov %r8d, %eax
  syscall
  .fill 256, 2, 0xc031
  .size giver, . - giver
  ret
  .p2align 12, 0x90

  .globl before_padding
before_padding:
  ret
  .skip 9, 0x90
  .globl padded
  .type padded, @function
padded:
  xor %eax, %eax
  syscall
  ret
  .size padded, . - padded
  .globl padded_again         # the 4 bytes that are left are not enough; 20 bytes behind are
  .type padded_again, @function
padded_again:
  xor %eax, %eax
  syscall
  ret
  .size padded_again, . - padded_again
  .skip 20, 0x90

  .section .rodata
message: .asciz "hello"
  .p2align 2
table:
  .long table_case - table
  .long table_middle - table
  .long 0x70000000
