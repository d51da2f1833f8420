// The command block between a test and the assembly payload that plays the enclave's code. In host memory: enclave code may read it.
#ifndef TESTS_EMULATOR_PAYLOAD_H
#define TESTS_EMULATOR_PAYLOAD_H

#define OP_EXIT 0
#define OP_ENCLU 1      // registers in[0..3] -> rax rbx rcx rdx; out[0] = rax, out[1] = flags, out[2..4] = rbx rcx rdx
#define OP_LOAD 2       // out[0] = byte at in[0]
#define OP_STORE 3      // byte in[1] to in[0]
#define OP_CALL 4       // call in[0]
#define OP_SYSCALL 5    // rax = in[0]; out[0] = rax, out[1] = rcx, out[2] = r11 before; the faulting RIP is payload_syscall
#define OP_CPUID 6      // eax = in[0]
#define OP_UD2 7
#define OP_INT3 8
#define OP_DIVIDE 9
#define OP_SPIN 10      // all registers filled, counts in[1] up until in[0] is not 0, then out[0] = number of damaged registers
#define OP_BASES 11     // out[0] = FS base, out[1] = GS base
#define OP_SSA 12       // handler: in[0] = address of the GPR area: out[0] = exitinfo, out[1] = rip, out[2..3] = EXINFO; RIP += in[1]
#define OP_DIRTY_EXIT 13  // leaves with a vector register set
#define OP_INT80 14
#define OP_ENCLU_LOOP 15  // in[4] times the ENCLU of OP_ENCLU with rcx += 4096; out[0] = number that succeeded
#define OP_COUNT 16

#define CMD_OP 0
#define CMD_CSSA 8
#define CMD_IN 16
#define CMD_OUT 80
#define CMD_STEPS 144

#ifndef __ASSEMBLER__
#include <cstddef>
#include <cstdint>

struct Command {
  std::uint64_t op;
  std::uint64_t cssa;  // what the entry saw in RAX
  volatile std::uint64_t in[8];
  volatile std::uint64_t out[8];
  std::uint64_t steps;
};
static_assert(offsetof(Command, in) == CMD_IN && offsetof(Command, out) == CMD_OUT && offsetof(Command, steps) == CMD_STEPS);

extern "C" {
extern const unsigned char payload_start[], payload_end[], payload_syscall[], payload_cpuid[], payload_enclu[], payload_load[],
    payload_store[], payload_return[], payload_spin[], payload_int3_after[];
}
#endif
#endif  // TESTS_EMULATOR_PAYLOAD_H
