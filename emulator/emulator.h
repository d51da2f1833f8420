// Software SGX: the instruction set of Intel SDM volume 3D, played in an ordinary Linux process. docs/emulator.md has the model and the
// differences from hardware.
//
// The host side sees what the operating system sees of a processor: the ENCLS leaves as functions of Enclave, and the entry function
// with the signature and behaviour of the Linux vDSO (__vdso_sgx_enter_enclave). The enclave itself executes real ENCLU instructions.
// The emulator owns SIGSEGV, SIGILL, SIGSYS, SIGFPE, SIGBUS and SIGTRAP of the process from the first create() on. Any other signal
// that may reach a thread which runs enclave code must get its handler through install_async_handler().
#ifndef EMULATOR_EMULATOR_H
#define EMULATOR_EMULATOR_H

#include <signal.h>
#include <ucontext.h>

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "sgx/arch.h"
#include "sgx/keys.h"

namespace emulator {

// How ENCLU leaves are executed. strict: each one traps (a few microseconds, as on hardware). fast: after EINIT the kernel's ENCLU
// sites are rewritten into jumps; nothing else differs. A site is ENCLU (0f 01 d7) followed by the six-byte nop 66 0f 1f 44 00 00.
enum class Mode { strict, fast };

// ---- What a leaf function answers.

enum class Fault : std::uint8_t { none = 0xff, invalid_opcode = 6, general_protection = 13, page_fault = 14 };

struct Status {
  Fault fault = Fault::none;
  sgx::SgxError error = sgx::SgxError::success;  // the code in RAX (ZF set) when there is no fault
  std::uint64_t address = 0;                     // of a page fault
  constexpr bool ok() const { return fault == Fault::none && error == sgx::SgxError::success; }
  static constexpr Status gp() { return {Fault::general_protection, sgx::SgxError::success, 0}; }
  static constexpr Status ud() { return {Fault::invalid_opcode, sgx::SgxError::success, 0}; }
  static constexpr Status pf(std::uint64_t at) { return {Fault::page_fault, sgx::SgxError::success, at}; }
  static constexpr Status code(sgx::SgxError e) { return {Fault::none, e, 0}; }
  friend constexpr bool operator==(const Status&, const Status&) = default;
};

// Result of a leaf that was applied to a range, page by page from its start: `done` bytes succeeded, then `status` stopped it.
struct RangeStatus {
  Status status;
  std::uint64_t done = 0;
  constexpr bool ok() const { return status.ok(); }
};

// ---- Counters: sums over all threads since create().

struct Counters {
  std::uint64_t eenter, eexit, eresume;
  std::uint64_t aex;                              // all asynchronous exits
  std::array<std::uint64_t, 32> aex_vector;       // by exception vector
  std::array<std::uint64_t, 65> aex_signal;       // interrupts, by the host signal that stands for one
  std::uint64_t aex_syscall;                      // #UD by a raw `syscall` in the enclave (also in aex_vector[6])
  std::uint64_t aex_cpuid;                        // #UD by `cpuid` (also in aex_vector[6])
  std::uint64_t ereport, egetkey, eaccept, eacceptcopy, emodpe;
  std::uint64_t eadd, eextend, eaug, emodpr, emodt, eremove, etrack;
  std::uint64_t tracking_kicks;                   // threads inside that an ETRACK cycle had to interrupt (one AEX each on hardware)
  std::uint64_t fast_leaves;                      // ENCLU leaves played without a trap (mode fast)
  std::uint64_t trapped_leaves;                   // ENCLU leaves played by a trap
  std::uint64_t lazy_faults;                      // host faults that only brought page tables up to date; no AEX
  std::uint64_t tables_forgotten;                 // page tables were forgotten for want of host mappings
};

// ---- Enclave.

struct Options {
  Mode mode = Mode::strict;
  // EEXIT requires initial vector state and zero in the registers that carry nothing (rax, rbx, rcx, rdi, rsi, rdx, r8, r9, rsp, rbp are
  // exempt); a violation aborts the process with a message. EENTER and ERESUME get junk where a hostile host could put some.
  bool assertions = false;
  // CPUID faults inside the enclave where the processor can do it (and is emulated for host code of the entering threads).
  bool cpuid_faulting = true;
  // SGX2: EAUG, EMODPR, EMODT and the ENCLU leaves EACCEPT, EMODPE, EACCEPTCOPY exist. Without: #UD, #GP.
  bool sgx2 = true;
  // Host mappings that ELRANGE may be cut into before page tables are forgotten and built anew by faults. 0: what the host allows
  // (vm.max_map_count), less some for everybody else in the process.
  std::uint64_t max_mappings = 0;
};

struct CreateError {
  Status status;        // not ok(): what ECREATE answers to this SECS
  std::string message;  // one line; also set when the host failed (status is ok() then)
};

// A page fault of enclave code, as the operating system's handler sees it.
struct PageFault {
  std::uint64_t address;     // linear address
  std::uint32_t error_code;  // sgx::kPf*
};
// Called in the faulting thread after the AEX, before anything is reported. True: handled (the enclave is resumed through the AEP).
// It runs in a signal handler of a thread that held no host locks.
using PageFaultHook = bool (*)(void* context, const PageFault& fault);

struct State;  // internal

// One enclave: ELRANGE of this process, EPCM, SECS, TCSs. All functions are thread safe. `offset`s count from SECS.BASEADDR; range
// forms need page-aligned offsets and lengths (#GP else). The object must outlive every thread's stay inside.
class Enclave {
 public:
  // ECREATE. Reserves ELRANGE (from 64 KiB on if the base is 0) without access. Installs the emulator's signal handlers once.
  static std::expected<std::unique_ptr<Enclave>, CreateError> create(const sgx::Secs& secs, const Options& options = {});
  ~Enclave();
  Enclave(const Enclave&) = delete;
  Enclave& operator=(const Enclave&) = delete;

  // -- Leaves on one page, with the checks of the SDM.
  Status eadd(std::uint64_t offset, const sgx::Secinfo& secinfo, const void* source_page);
  Status eextend(std::uint64_t offset);  // of a 256-byte chunk
  Status einit(const sgx::Sigstruct& sigstruct);
  Status eaug(std::uint64_t offset);
  Status emodpr(std::uint64_t offset, const sgx::Secinfo& secinfo);
  Status emodt(std::uint64_t offset, const sgx::Secinfo& secinfo);
  Status eremove(std::uint64_t offset);
  Status etrack();
  // What an operating system does after ETRACK: interrupts every processor that is inside, so that old translations are gone. Here it
  // is done by decree: each thread inside counts as having left and come back.
  void kick_all();
  Status edbgrd(std::uint64_t offset, std::uint64_t* value);  // 8 bytes, debug enclaves only
  Status edbgwr(std::uint64_t offset, std::uint64_t value);

  // -- Ranges, as the driver's ioctls use the leaves.
  // EADD (and with `measured` 16 EEXTEND) per page. `content` is `length` bytes or nullptr for zero pages.
  RangeStatus eadd_range(std::uint64_t offset, std::uint64_t length, std::uint64_t secinfo_flags, const void* content,
                         bool measured);
  RangeStatus eaug_range(std::uint64_t offset, std::uint64_t length);
  // EMODPR per page, then ETRACK and the interrupts.
  RangeStatus emodpr_range(std::uint64_t offset, std::uint64_t length, std::uint64_t permissions);
  // EMODT per page, then ETRACK and the interrupts.
  RangeStatus emodt_range(std::uint64_t offset, std::uint64_t length, sgx::PageType type);
  // EREMOVE per page. With `only_trimmed` (the driver's rule) a page that is not trimmed and accepted stops it:
  // page_not_modifiable.
  RangeStatus eremove_range(std::uint64_t offset, std::uint64_t length, bool only_trimmed = true);

  // -- Debugger access to a debug enclave's pages of any permission, EDBGRD/EDBGWR in bulk. #GP if it is not a debug enclave.
  Status debug_read(std::uint64_t offset, std::span<std::uint8_t> out);
  Status debug_write(std::uint64_t offset, std::span<const std::uint8_t> in);

  // -- The operating system's page tables: a range that is not `present` faults (P = 0) whatever the EPCM says, until it is made
  // present again. For tests of a hostile host.
  void set_present(std::uint64_t offset, std::uint64_t length, bool present);
  void set_page_fault_hook(PageFaultHook hook, void* context);

  // -- Looking at it.
  std::uint64_t base() const;
  std::uint64_t size() const;
  bool initialized() const;
  Mode mode() const;
  sgx::EnclaveIdentity identity() const;
  Counters counters() const;
  // EPCM entry as SECINFO flags (type, RWX, PENDING, MODIFIED, PR); 0xffff... if the page is not valid.
  std::uint64_t page_flags(std::uint64_t offset) const;
  // A thread is inside by the TCS at this address. For tests: by the time the caller acts on it, the thread may have left.
  bool is_entered(std::uint64_t tcs) const;
  std::uint32_t patched_sites() const;  // ENCLU sites rewritten at EINIT (mode fast)
  static constexpr std::uint64_t kNoPage = ~std::uint64_t{0};

  State& state() { return *state_; }

 private:
  explicit Enclave(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// ---- Entering.

// __vdso_sgx_enter_enclave() of this processor: same signature, results and fix-ups (Linux arch/x86/entry/vdso/vsgx.S and
// uapi/asm/sgx.h). run->tcs names the TCS and by that the enclave. Beyond the vDSO it keeps rbx, r12..r15, the x87/SSE control words
// and DF for its caller; on hardware the caller of the vDSO must do that. The thread is attached at its first entry.
int enter(std::uint64_t rdi, std::uint64_t rsi, std::uint64_t rdx, std::uint32_t function, std::uint64_t r8, std::uint64_t r9,
          sgx::EnclaveRun* run);

// Gives this thread its emulator block: alternate signal stack, seccomp filter, CPUID faulting. enter() does it when needed. False: the
// host refused (errno says why). The alternate stack belongs to the emulator from then on. Undone when the thread ends.
bool attach_thread();

// A host handler for an asynchronous signal (a tick, a stop). It is called in the thread that was hit, on its alternate stack. If the
// thread was in the enclave, the AEX has happened: `context` is at the AEP (is_at_aep()), and the return from the handler runs ERESUME
// unless the handler changes the context. From there the handler may call enter() for the same TCS (nested, CSSA 1). Other
// asynchronous signals are blocked during the handler. Also called for SIGTRAP (#DB and #BP in the enclave are not fixed up).
using AsyncHandler = void (*)(int signal, siginfo_t* info, ucontext_t* context);
// Installs (or with nullptr: sets to SIG_IGN) the handler. False: not a signal that can be handled here (errno EINVAL).
bool install_async_handler(int signal, AsyncHandler handler);

// True if `context` is that of a thread which was interrupted in an enclave: RIP at the AEP of enter(), RBX = TCS, RAX = 3 (ERESUME).
bool is_at_aep(const ucontext_t* context);

// ---- The emulated processor's identity.

// The secret from `$XDG_CONFIG_HOME/occlum/emulator-secret` or `~/.config/occlum/emulator-secret` (mode 0600; made at first use), from
// which the device keys are derived. The error is one line.
std::expected<sgx::Device, std::string> load_device();
std::expected<sgx::Device, std::string> load_device(const std::string& path);
// Overrides it for enclaves created later (tests, a simulated second machine).
void set_device(const sgx::Device& device);
// The device in use; loads it if none is set.
std::expected<sgx::Device, std::string> current_device();

// XCR0 of this machine as the emulator can hold it in a signal frame: what SECS.ATTRIBUTES.XFRM may have.
std::uint64_t supported_xfrm();

}  // namespace emulator
#endif  // EMULATOR_EMULATOR_H
