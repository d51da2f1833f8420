// The per-thread block: what the emulated processor is to one host thread. It lies in a slot of an arena, so that a signal handler finds
// it from its stack pointer alone (FS and GS may be the enclave's).
#ifndef EMULATOR_THREAD_H
#define EMULATOR_THREAD_H

#include <cstddef>

#include "emulator/layout.h"
#include "emulator/state.h"

namespace emulator {

inline constexpr u32 kLevels = 8;  // nested handlers with an entry of their own
inline constexpr u64 kLeafStackSize = 64 * 1024;

struct Thread {
  u64 host_fs;
  u64 host_gs;
  u32 in_enclave;
  u32 leaf_active;  // mode fast: a leaf runs in C++ on the leaf stack; AEXs wait
  u64 deferred;     // signals (bit number) that wait for it
  TcsState* tcs;    // valid while in_enclave
  u64 leaf_stack;   // top
  // Registers of the enclave while a fast leaf runs.
  u64 return_rip;
  u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, flags;
  // What the next fast EENTER loads (ERESUME: the last three).
  u64 entry_rip, entry_fs, entry_gs, entry_ssa_gpr, cssa;
  u64 xfrm;  // of ERESUME: what XRSTOR loads
  u64 ssa;
  u64 saved_fs;      // the enclave's, while a fast leaf runs
  TcsState* next_tcs;  // what the next fast EENTER or ERESUME enters
  u64 saved_rsp;       // enter()'s, during a fast ERESUME
  u64 saved_rbp;
  u32 depth;        // asynchronous handlers on the stack
  u32 armed_level;  // whose stack sigaltstack() has
  u32 slot;
  bool cpuid_faulting;
  State* state;  // of `tcs`
};
static_assert(offsetof(Thread, host_fs) == T_HOST_FS && offsetof(Thread, host_gs) == T_HOST_GS);
static_assert(offsetof(Thread, in_enclave) == T_IN_ENCLAVE && offsetof(Thread, leaf_active) == T_LEAF_ACTIVE);
static_assert(offsetof(Thread, deferred) == T_DEFERRED && offsetof(Thread, tcs) == T_TCS);
static_assert(offsetof(Thread, leaf_stack) == T_LEAF_STACK && offsetof(Thread, return_rip) == T_RETURN_RIP);
static_assert(offsetof(Thread, rax) == T_RAX && offsetof(Thread, flags) == T_FLAGS && offsetof(Thread, entry_rip) == T_ENTRY_RIP);
static_assert(offsetof(Thread, rsp) == T_RSP && offsetof(Thread, r11) == T_R11 && offsetof(Thread, rdi) == T_RDI);
static_assert(offsetof(Thread, entry_ssa_gpr) == T_ENTRY_SSA_GPR && offsetof(Thread, cssa) == T_CSSA);
static_assert(offsetof(Thread, xfrm) == T_XFRM && offsetof(Thread, ssa) == T_SSA);
static_assert(offsetof(Thread, saved_rsp) == T_SAVED_RSP && offsetof(Thread, saved_rbp) == T_SAVED_RBP);
static_assert(offsetof(sgx::SsaGpr, rsp) == GPR_RSP && offsetof(sgx::SsaGpr, rbp) == GPR_RBP && offsetof(sgx::SsaGpr, r8) == GPR_R8);
static_assert(offsetof(sgx::SsaGpr, r15) == GPR_R15 && offsetof(sgx::SsaGpr, rflags) == GPR_RFLAGS);
static_assert(offsetof(sgx::SsaGpr, rip) == GPR_RIP && offsetof(sgx::SsaGpr, fsbase) == GPR_FSBASE);
static_assert(offsetof(Thread, saved_fs) == T_SAVED_FS && offsetof(Thread, next_tcs) == T_NEXT_TCS);
static_assert(offsetof(TcsState, entry_epoch) == TCS_ENTRY_EPOCH && sizeof(TcsState) == 1U << TCS_STATE_SHIFT);
static_assert(SITE_SIZE == kSiteSize && ENTRY_SLOT_SHIFT == kEntrySlotShift);
static_assert(offsetof(TcsState, active) == TCS_ACTIVE && offsetof(TcsState, cssa) == TCS_CSSA);
static_assert(offsetof(TcsState, thread) == TCS_THREAD && offsetof(TcsState, address) == TCS_ADDRESS);
static_assert(offsetof(TcsState, aep) == TCS_AEP && offsetof(TcsState, entry) == TCS_ENTRY);
static_assert(offsetof(TcsState, count_eenter) == TCS_COUNT_EENTER && offsetof(TcsState, count_eexit) == TCS_COUNT_EEXIT);
static_assert(offsetof(TcsState, count_fast) == TCS_COUNT_FAST && offsetof(TcsState, count_eresume) == TCS_COUNT_ERESUME);
static_assert(offsetof(sgx::SsaGpr, ursp) == GPR_URSP && offsetof(sgx::SsaGpr, urbp) == GPR_URBP);
static_assert(offsetof(sgx::EnclaveRun, function) == RUN_FUNCTION && offsetof(sgx::EnclaveRun, exception_vector) == RUN_VECTOR);
static_assert(offsetof(sgx::EnclaveRun, user_handler) == RUN_HANDLER && offsetof(sgx::EnclaveRun, exception_addr) == RUN_ADDR);

// The block of the calling host thread; nullptr before it is attached.
Thread* current_thread();
// Makes the alternate stack of the thread's present nesting level the one that signals use. False: nested too deeply.
bool arm_signal_stack(Thread& thread);
// Installs the seccomp filter of `state` and CPUID faulting in the calling thread, if it has not been done.
bool prepare_thread_for(Thread& thread, State& state);

// ---- signals.cc
// Takes over the processor's signals for the process, once. False: the host refused.
bool install_signal_handlers();

// ---- xstate.cc
struct XstateLayout {
  u64 supported = 0;    // XCR0 bits that the emulator handles
  u32 offset[64] = {};  // standard format
  u32 bytes[64] = {};
  u32 mxcsr_mask = 0xffff;
};
const XstateLayout& xstate_layout();
// Size of the XSAVE area of `xfrm` in standard format.
u32 xsave_size(u64 xfrm);
// The frame's extended state to the SSA frame at `ssa`, as AEX does, and the initial state into the frame. False: the SSA frame cannot be
// written.
bool xstate_to_ssa(void* fpstate, u64 ssa, u64 xfrm);
// The other way, as ERESUME does. Not ok: what ERESUME answers.
Status xstate_from_ssa(void* fpstate, u64 ssa, u64 xfrm);
// Puts junk where a hostile host could (EENTER with assertions on): MXCSR, x87 and vector registers.
void xstate_junk(void* fpstate);
bool xstate_is_junk(const void* fpstate);  // nobody has touched it since
// True if XRSTOR takes the XSAVE area at `ssa` for `xfrm`; the area must be accessible.
bool xstate_is_loadable(u64 ssa, u64 xfrm);
// What state of `xfrm` in the frame is not initial (a kernel must leave none behind at EEXIT): its components, MXCSR in the upper half.
u64 xstate_left_over(const void* fpstate, u64 xfrm);

// ---- host assembly (entry.S)
extern "C" {
// memcpy() that survives a fault: bytes that were not copied, 0 = all.
u64 emulator_copy(void* to, const void* from, u64 size);
extern char emulator_copy_begin[], emulator_copy_end[], emulator_copy_failed[];
extern char emulator_aep[], emulator_after_enclu[], emulator_handle_exception[];
extern u64 emulator_arena;
void emulator_signal_entry(int, siginfo_t*, void*);
int emulator_enter(u64, u64, u64, u32, u64, u64, sgx::EnclaveRun*);
}

// FS and GS base of the interrupted code; the handler's end loads them.
struct Bases {
  u64 fs;
  u64 gs;
};

// ---- The transitions, played on a signal frame (transition.cc).
struct Frame {
  ucontext_t* uc;
  Bases* bases;
  u64& reg(int index) const { return reinterpret_cast<u64&>(uc->uc_mcontext.gregs[index]); }
  u64& rip() const { return reg(REG_RIP); }
  u64& rax() const { return reg(REG_RAX); }
  void* fpstate() const { return uc->uc_mcontext.fpregs; }
};
Status play_eenter(Thread& thread, const Frame& frame);
Status play_eresume(Thread& thread, const Frame& frame);
Status play_eexit(Thread& thread, const Frame& frame);

// Why an AEX happens.
struct AexCause {
  bool exception = false;  // else an interrupt
  u8 vector = 0;
  u32 error_code = 0;  // architectural, for EXINFO and the host
  u64 address = 0;     // of a page fault
  int signal = 0;      // of an interrupt
};
// Leaves the enclave; afterwards the frame is at the AEP with the synthetic state.
void play_aex(Thread& thread, const Frame& frame, const AexCause& cause);
// As the operating system's fix-up of the vDSO: the frame goes to the exception path of enter().
void fix_up_exception(const Frame& frame, const AexCause& cause);

// The checks that EENTER and ERESUME share. On success the TCS is `*tcs` and is marked active.
struct EntryPlan {
  State* state;
  TcsState* tcs;
  u64 ssa;  // linear address of the SSA frame
};
Status check_entry(u64 tcs_address, u64 aep, bool resume, EntryPlan* plan);
void finish_entry(Thread& thread, const EntryPlan& plan, u64 aep);

// ---- Mode fast (fast.cc, fast.S).
// What the fast paths need of the one enclave that uses them.
struct FastGlobals {
  u64 base;
  u64 size;
  std::atomic<Entry>* epcm;
  TcsState* tcs;
  const u64* sites;
  const std::atomic<u64>* epoch;
  u64 assertions;
};
static_assert(offsetof(FastGlobals, size) == F_SIZE && offsetof(FastGlobals, epcm) == F_EPCM && offsetof(FastGlobals, tcs) == F_TCS);
static_assert(offsetof(FastGlobals, sites) == F_SITES && offsetof(FastGlobals, epoch) == F_EPOCH);
static_assert(offsetof(FastGlobals, assertions) == F_ASSERTIONS);
// Checks an entry and fills what the assembly loads. trap: take the trapping path (which reports what is wrong).
enum class FastEntry : u8 { trap = 0, enter = 1, resume = 2 };
FastEntry prepare_fast_entry(Thread& thread, State& state, const sgx::EnclaveRun& run, u32 function);
// A signal found the thread outside ELRANGE in a transition or leaf of mode fast: the frame is brought to a defined place, either in
// the enclave (in_enclave is set, RIP at or behind the site) or outside. True: a synchronous signal is dealt with by that.
bool settle_fast_transition(Thread& thread, const Frame& frame, bool synchronous);
// Lets the fast paths find `tcs` by the page that GS points to, unless several TCSs share it.
void mark_gs_page(State& state, TcsState& tcs);
// True if `state` is the enclave that the fast paths serve.
bool is_fast_state(const State& state);
// Sends the signals again that came while a leaf ran.
void raise_deferred(Thread& thread);

[[noreturn]] void fatal(const char* message, u64 value = 0);

}  // namespace emulator
#endif  // EMULATOR_THREAD_H
