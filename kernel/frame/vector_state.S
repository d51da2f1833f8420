// The vector state of a program at a task switch, by plain moves. XSAVEOPT and XRSTOR cost about 75 cycles each before they move
// anything; most switches have nothing but these three components in use, and 48 moves take a quarter of that. Layout: the standard
// format of XSAVE (SDM vol. 1, 13.4 and 13.5.2 to 13.5.6). cpu.cc decides when these may be used.
#define SSE 0x2
#define OPMASK 0x20
#define HI16_ZMM 0x80
#define MXCSR_AT 24
#define XMM_AT 160
#define HEADER_AT 512
#define OPMASK_AT 1088
#define HI16_ZMM_AT 1664

.text
// void vector_save_quick(std::byte* area rdi, u64 in_use rsi)
.globl vector_save_quick
.type vector_save_quick, @function
vector_save_quick:
  stmxcsr MXCSR_AT(%rdi)
  testb $SSE, %sil
  jz 1f
.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  movaps %xmm\n, (XMM_AT + 16 * \n)(%rdi)
.endr
1:
  testb $OPMASK, %sil
  jz 2f
.irp n, 0, 1, 2, 3, 4, 5, 6, 7
  kmovq %k\n, (OPMASK_AT + 8 * \n)(%rdi)
.endr
2:
  testb $HI16_ZMM, %sil
  jz 3f
.irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  vmovdqa64 %zmm\n, (HI16_ZMM_AT + 64 * (\n - 16))(%rdi)
.endr
3:
  movq %rsi, HEADER_AT(%rdi)
  ret
.size vector_save_quick, . - vector_save_quick

// void vector_load_quick(const std::byte* area rdi, u64 saved rsi, u64 in_use rdx): what is in use but not saved is cleared.
.globl vector_load_quick
.type vector_load_quick, @function
vector_load_quick:
  ldmxcsr MXCSR_AT(%rdi)
  testb $SSE, %sil
  jz 1f
.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  movaps (XMM_AT + 16 * \n)(%rdi), %xmm\n
.endr
  jmp 2f
1:
  testb $SSE, %dl
  jz 2f
.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  xorps %xmm\n, %xmm\n
.endr
2:
  testb $OPMASK, %sil
  jz 3f
.irp n, 0, 1, 2, 3, 4, 5, 6, 7
  kmovq (OPMASK_AT + 8 * \n)(%rdi), %k\n
.endr
  jmp 4f
3:
  testb $OPMASK, %dl
  jz 4f
.irp n, 0, 1, 2, 3, 4, 5, 6, 7
  kxorq %k\n, %k\n, %k\n
.endr
4:
  testb $HI16_ZMM, %sil
  jz 5f
.irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  vmovdqa64 (HI16_ZMM_AT + 64 * (\n - 16))(%rdi), %zmm\n
.endr
  ret
5:
  testb $HI16_ZMM, %dl
  jz 6f
.irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
  vpxorq %zmm\n, %zmm\n, %zmm\n
.endr
6:
  ret
.size vector_load_quick, . - vector_load_quick

.section .note.GNU-stack,"",@progbits
