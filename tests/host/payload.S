# A tiny enclave program for tests: it interprets a list of commands that the test has put into untrusted memory, and its CSSA 1
# handler steps over faults. It uses no stack. Registers: r12 = next command, r13 = where a fault is noted (0 = nowhere).
# Layout of its block (GS) and the commands: payload.h.
        .intel_syntax noprefix
        .section .rodata
        .balign 4096
        .globl  payload_code_start
        .globl  payload_code_end

        # ENCLU with the padding that lets the emulator turn it into a jump.
        .macro  leaf number
        mov     eax, \number
        .byte   0x0f, 0x01, 0xd7, 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00
        .endm

        .macro  on number, label
        cmp     eax, \number
        je      \label
        .endm

payload_code_start:
        cld
        cmp     rax, 1
        je      handler
        ja      too_deep
        mov     gs:[0x08], rcx
        mov     gs:[0x60], rdi
        mov     gs:[0x68], rsi
        inc     qword ptr gs:[0x70]
        mov     rax, gs:[0x18]          # the VcpuBlock
        mov     dword ptr [rax], 0      # state = running
        xor     edx, edx
        xchg    dword ptr [rax + 4], edx
        or      gs:[0x28], rdx
        mov     r12, gs:[0]
next:
        mov     rax, [r12]
        mov     rsi, [r12 + 8]          # a
        mov     rdi, [r12 + 16]         # b
        mov     rdx, [r12 + 24]         # c
        add     r12, 32
        on      1, do_exit
        on      2, do_store
        on      3, do_wait_equal
        on      4, do_accept
        on      5, do_extend
        on      6, do_load
        on      7, do_add
        on      8, do_undefined
        on      9, do_goto
        on      10, do_spin
        on      11, do_breakpoint
        on      12, do_get
        on      13, do_move
        on      14, do_store32
        on      15, do_wait_differ
        on      16, do_set
        on      17, do_accept_copy
        on      18, do_call
        ud2                             # a mistake in the test

do_exit:                                # EEXIT with rdi = a, rsi = b, rdx = c
        mov     gs:[0], r12
        xchg    rsi, rdi
        mov     rbx, gs:[0x08]
leave:
        xor     ecx, ecx
        xor     r8d, r8d
        xor     r9d, r9d
        xor     r10d, r10d
        xor     r11d, r11d
        xor     r12d, r12d
        xor     r13d, r13d
        xor     r14d, r14d
        xor     r15d, r15d
        leaf    4
        ud2

do_store:                               # *(u64*)a = b; a fault is noted at c
        mov     r13, rdx
        mov     [rsi], rdi
        xor     r13d, r13d
        jmp     next
do_store32:                             # *(u32*)a = b
        xchg    [rsi], edi
        jmp     next
do_wait_equal:                          # until *(u64*)a == b
        pause
        cmp     [rsi], rdi
        jne     do_wait_equal
        jmp     next
do_wait_differ:                         # until *(u64*)a != b
        pause
        cmp     [rsi], rdi
        je      do_wait_differ
        jmp     next
do_load:                                # *(u64*)b = *(u64*)a; a fault is noted at b
        mov     r13, rdi
        mov     rax, [rsi]
        mov     [rdi], rax
        xor     r13d, r13d
        jmp     next
do_move:                                # *(u64*)a = *(u64*)b
        mov     rax, [rdi]
        mov     [rsi], rax
        jmp     next
do_add:                                 # *(u64*)a += b
        lock add [rsi], rdi
        jmp     next
do_undefined:
        ud2
        jmp     next
do_breakpoint:
        int3
        jmp     next
do_goto:                                # next command = a; if b is not 0, only while --*(u64*)b != 0
        test    rdi, rdi
        jz      1f
        dec     qword ptr [rdi]
        jz      next
1:      mov     r12, rsi
        jmp     next
do_spin:                                # a rounds
        dec     rsi
        jnz     do_spin
        jmp     next
do_get:                                 # *(u64*)a = block[b]
        mov     rax, gs:[rdi]
        mov     [rsi], rax
        jmp     next
do_set:                                 # block[b] = a
        mov     gs:[rdi], rsi
        jmp     next
do_call:                                # jump to a; the code there jumps back to r14
        lea     r14, [rip + next]
        mov     r13, rdi                # a fault is noted at b
        jmp     rsi
do_accept:                              # EACCEPT page a with SECINFO.flags b; the result goes to c
        mov     gs:[0x80], rdi
        mov     rbx, gs:[0x78]          # address of the SECINFO in the block
        mov     rcx, rsi
        mov     r13, rdx
        leaf    5
        mov     [rdx], rax
        xor     r13d, r13d
        jmp     next
do_extend:                              # EMODPE page a with SECINFO.flags b; c becomes 0
        mov     gs:[0x80], rdi
        mov     rbx, gs:[0x78]
        mov     rcx, rsi
        mov     r13, rdx
        leaf    6
        mov     qword ptr [rdx], 0
        xor     r13d, r13d
        jmp     next
do_accept_copy:                         # EACCEPTCOPY page a from page b with SECINFO.flags R|W|REG; the result goes to c
        mov     qword ptr gs:[0x80], 0x203
        mov     rbx, gs:[0x78]
        mov     rcx, rsi
        mov     r15, rdx
        mov     r13, rdx
        mov     rdx, rdi
        leaf    7
        mov     [r15], rax
        xor     r13d, r13d
        xor     r15d, r15d
        jmp     next

# CSSA 1. The interrupted registers lie in SSA frame 0.
handler:
        inc     qword ptr gs:[0x20]
        mov     gs:[0x38], rcx
        mov     rax, gs:[0x18]
        xor     edx, edx
        xchg    dword ptr [rax + 4], edx
        or      gs:[0x28], rdx
        mov     rax, gs:[0x10]          # SSA frame 0, general registers
        mov     edx, [rax + 160]        # EXITINFO
        test    edx, edx
        jns     handled
        mov     gs:[0x30], rdx
        inc     qword ptr gs:[0x40]
        and     dword ptr [rax + 160], 0x7fffffff
        movzx   ecx, dl
        cmp     ecx, 3
        je      handled
        cmp     ecx, 6
        je      skip_two
        lea     rcx, [rip + faulted]
        mov     [rax + 136], rcx
        jmp     handled
skip_two:
        add     qword ptr [rax + 136], 2
handled:
        mov     rdi, gs:[0x50]          # what the test wants the handler to do
        xor     esi, esi
        xor     edx, edx
        mov     rbx, gs:[0x38]
        cmp     edi, 2
        jne     leave
        ud2

too_deep:
        inc     qword ptr gs:[0x48]
        mov     rbx, rcx
        mov     edi, 7
        xor     esi, esi
        xor     edx, edx
        jmp     leave

faulted:                                # where the handler sends a faulting command
        mov     rax, 0xfa11
        test    r13, r13
        jz      next
        mov     [r13], rax
        xor     r13d, r13d
        jmp     next
payload_code_end:
        .section .note.GNU-stack, "", @progbits
