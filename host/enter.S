# Entering and abandoning an enclave. The C++ side is host/entry.h.
        .intel_syntax noprefix
        .text

# int host_enter_enclave(host::EntryFrame* frame /* rdi */)
#
# Calls frame->function (the shape of __vdso_sgx_enter_enclave) and returns what it returns. The enclave may leave any value in the
# registers that C++ expects to be kept: the function itself keeps only RSP, RBP and RBX (vsgx.S), so the others are saved here.
# frame->landing_rsp is what host_abandon_enclave needs in RSP.
        .globl  host_enter_enclave
        .hidden host_enter_enclave
        .type   host_enter_enclave, @function
host_enter_enclave:
        .cfi_startproc
        push    rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        push    rbx
        .cfi_adjust_cfa_offset 8
        push    r12
        .cfi_adjust_cfa_offset 8
        push    r13
        .cfi_adjust_cfa_offset 8
        push    r14
        .cfi_adjust_cfa_offset 8
        push    r15
        .cfi_adjust_cfa_offset 8
        mov     [rdi + 48], rsp
        push    [rdi + 40]              # the seventh argument (run) also aligns RSP for the call
        .cfi_adjust_cfa_offset 8
        mov     rax, [rdi]
        mov     rsi, [rdi + 16]
        mov     rdx, [rdi + 24]
        mov     ecx, [rdi + 32]
        mov     rdi, [rdi + 8]
        xor     r8d, r8d
        xor     r9d, r9d
        call    rax
        add     rsp, 8
        .cfi_adjust_cfa_offset -8
host_enter_return:
        cld
        # After an asynchronous exit AC is what the interrupted program had, and our code is not aligned to it.
        pushfq
        .cfi_adjust_cfa_offset 8
        test    dword ptr [rsp], 0x40000
        jz      1f
        and     dword ptr [rsp], ~0x40000
        popfq
        pushfq
1:
        add     rsp, 8
        .cfi_adjust_cfa_offset -8
        pop     r15
        .cfi_adjust_cfa_offset -8
        pop     r14
        .cfi_adjust_cfa_offset -8
        pop     r13
        .cfi_adjust_cfa_offset -8
        pop     r12
        .cfi_adjust_cfa_offset -8
        pop     rbx
        .cfi_adjust_cfa_offset -8
        pop     rbp
        .cfi_adjust_cfa_offset -8
        ret
        .cfi_endproc
        .size   host_enter_enclave, . - host_enter_enclave

# A signal handler that found its thread at the AEP sets RIP to this and RSP to frame->landing_rsp: instead of doing ERESUME the
# thread returns from host_enter_enclave with -ECANCELED. The TCS stays interrupted for good.
        .globl  host_abandon_enclave
        .hidden host_abandon_enclave
        .type   host_abandon_enclave, @function
host_abandon_enclave:
        mov     eax, -125
        jmp     host_enter_return
        .size   host_abandon_enclave, . - host_abandon_enclave

        .section .note.GNU-stack, "", @progbits
