// Numbers that assembly and C++ share; thread.h and state.h assert them.
#ifndef EMULATOR_LAYOUT_H
#define EMULATOR_LAYOUT_H

// The arena of per-thread slots. A slot: [guard][Thread][leaf stack][level 0: guard, stack]...[level kLevels-1: guard, stack].
#define SLOT_SHIFT 20
#define SLOT_SIZE 0x100000
#define THREAD_OFFSET 0x1000

// Thread.
#define T_HOST_FS 0
#define T_HOST_GS 8
#define T_IN_ENCLAVE 16
#define T_LEAF_ACTIVE 20
#define T_DEFERRED 24
#define T_TCS 32
#define T_LEAF_STACK 40
#define T_RETURN_RIP 48
#define T_RAX 56
#define T_RCX 64
#define T_RDX 72
#define T_RBX 80
#define T_RSP 88
#define T_RBP 96
#define T_RSI 104
#define T_RDI 112
#define T_R8 120
#define T_R9 128
#define T_R10 136
#define T_R11 144
#define T_FLAGS 152
#define T_ENTRY_RIP 160
#define T_ENTRY_FS 168
#define T_ENTRY_GS 176
#define T_ENTRY_SSA_GPR 184
#define T_CSSA 192
#define T_XFRM 200
#define T_SSA 208
#define T_SAVED_FS 216
#define T_NEXT_TCS 224
#define T_SAVED_RSP 232
#define T_SAVED_RBP 240

// Thread::leaf_active.
#define LEAF_RUNNING 1

// TcsState::active.
#define TCS_INSIDE 1
#define TCS_ENTERING 2

// TcsState.
#define TCS_ACTIVE 0
#define TCS_CSSA 4
#define TCS_THREAD 8
#define TCS_ADDRESS 16
#define TCS_AEP 24
#define TCS_FS_BASE 32
#define TCS_GS_BASE 40
#define TCS_ENTRY 48
#define TCS_COUNT_EENTER 56
#define TCS_COUNT_EEXIT 64
#define TCS_COUNT_FAST 72
#define TCS_COUNT_ERESUME 80
#define TCS_ENTRY_EPOCH 88
#define TCS_STATE_SHIFT 11

// FastGlobals.
#define F_BASE 0
#define F_SIZE 8
#define F_EPCM 16
#define F_TCS 24
#define F_SITES 32
#define F_EPOCH 40
#define F_ASSERTIONS 48

#define SITE_SIZE 9
#define ENTRY_SLOT_SHIFT 20

// sgx::SsaGpr.
#define GPR_RAX 0
#define GPR_RCX 8
#define GPR_RDX 16
#define GPR_RBX 24
#define GPR_RSP 32
#define GPR_RBP 40
#define GPR_RSI 48
#define GPR_RDI 56
#define GPR_R8 64
#define GPR_R9 72
#define GPR_R10 80
#define GPR_R11 88
#define GPR_R12 96
#define GPR_R13 104
#define GPR_R14 112
#define GPR_R15 120
#define GPR_RFLAGS 128
#define GPR_RIP 136
#define GPR_FSBASE 168
#define GPR_GSBASE 176
// The flags that ERESUME takes from the SSA.
#define USER_FLAGS 0x240dd5
#define GPR_URSP 144
#define GPR_URBP 152

// sgx::EnclaveRun.
#define RUN_TCS 0
#define RUN_FUNCTION 8
#define RUN_VECTOR 12
#define RUN_ERROR 14
#define RUN_ADDR 16
#define RUN_HANDLER 24

#endif  // EMULATOR_LAYOUT_H
