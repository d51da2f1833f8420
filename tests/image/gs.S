# A program that changes the GS base.
  .text
  .globl set_gs
  .type set_gs, @function
set_gs:
  wrgsbase %rdi
  ret
  .size set_gs, . - set_gs
