// What the processor's signals mean: ENCLU, exceptions and interrupts of enclave code, CPUID of host code; all else goes to whoever had
// the handler before.
#include <asm/prctl.h>
#include <cerrno>
#include <cpuid.h>
#include <cstring>
#include <mutex>
#include <sys/syscall.h>
#include <unistd.h>

#include "emulator/checks.h"
#include "emulator/thread.h"

#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif

namespace emulator {

namespace {

constexpr int kSynchronous[] = {SIGSEGV, SIGILL, SIGSYS, SIGFPE, SIGBUS, SIGTRAP};
constexpr u64 kZeroFlag = 0x40;
constexpr u64 kArithmeticFlags = 0x8d5;

struct sigaction g_previous[65];
std::atomic<AsyncHandler> g_async[65];
std::mutex g_install_mutex;
bool g_installed = false;

u64 host_enclu() { return reinterpret_cast<u64>(&emulator_aep[0]); }

bool in_host_copy(u64 rip) {
  return rip >= reinterpret_cast<u64>(&emulator_copy_begin[0]) && rip < reinterpret_cast<u64>(&emulator_copy_end[0]);
}

// The bytes at RIP, as far as they can be read. The processor has fetched the instruction; the page may have been unmapped since.
std::size_t read_code(u64 rip, u8* code, std::size_t size) {
  const std::size_t count = size - emulator_copy(code, reinterpret_cast<const void*>(rip), size);
  return count < size && find_state(rip) != nullptr && read_through(rip, code, size) ? size : count;
}

// True if the instruction is one that the processor refuses inside an enclave with #UD but faults with #GP (or not at all) elsewhere.
bool is_illegal_inside(const u8* code, std::size_t size, bool* cpuid) {
  std::size_t at = 0;
  while (at < size && (code[at] == 0x66 || code[at] == 0xf2 || code[at] == 0xf3 || (code[at] & 0xf0) == 0x40)) ++at;
  if (at >= size) return false;
  *cpuid = code[at] == 0x0f && at + 1 < size && code[at + 1] == 0xa2;
  const u8 op = code[at];
  const bool port = (op >= 0xe4 && op <= 0xe7) || (op >= 0xec && op <= 0xef) || (op >= 0x6c && op <= 0x6f);
  return *cpuid || op == 0xcd || port;
}

void finish_leaf(const State& state, const Frame& frame, const Status& status) {
  frame.rax() = static_cast<u32>(status.error);
  frame.reg(REG_EFL) &= ~kArithmeticFlags;
  if (status.error != sgx::SgxError::success) frame.reg(REG_EFL) |= kZeroFlag;
  frame.rip() += is_patched_site(state, frame.rip()) ? kSiteSize : sgx::kEncluBytes.size();
}

Status play_page_leaf(const LeafContext& context, sgx::EncluLeaf leaf, const Frame& frame) {
  const u64 rbx = frame.reg(REG_RBX);
  const u64 rcx = frame.reg(REG_RCX);
  const u64 rdx = frame.reg(REG_RDX);
  switch (leaf) {
    case sgx::EncluLeaf::ereport: return leaf_ereport(context, rbx, rcx, rdx);
    case sgx::EncluLeaf::egetkey: return leaf_egetkey(context, rbx, rcx);
    case sgx::EncluLeaf::eaccept: return leaf_eaccept(context, rbx, rcx);
    case sgx::EncluLeaf::emodpe: return leaf_emodpe(context, rbx, rcx);
    case sgx::EncluLeaf::eacceptcopy: return leaf_eacceptcopy(context, rbx, rcx, rdx);
    default: return Status::gp();
  }
}

// True if the frame was brought where the exception's handling begins outside; else it is still in the enclave.
bool take_exception(Thread& thread, const Frame& frame, const AexCause& cause) {
  State& state = *thread.state;
  const bool page_fault = cause.vector == static_cast<u8>(sgx::Vector::page_fault);
  play_aex(thread, frame, cause);
  // The operating system's own page-fault handling comes first.
  if (page_fault && state.hook != nullptr && state.hook(state.hook_context, {cause.address, cause.error_code})) return false;
  const bool trap = cause.vector == static_cast<u8>(sgx::Vector::debug) || cause.vector == static_cast<u8>(sgx::Vector::breakpoint);
  if (!trap) fix_up_exception(frame, cause);
  return true;
}

AexCause cause_of(const State* state, const Status& status) {
  AexCause cause{.exception = true, .vector = static_cast<u8>(status.fault)};
  if (status.fault == Fault::page_fault) {
    cause.address = status.address;
    cause.error_code = state != nullptr ? fault_error_code(*state, status.address, false) : sgx::kPfUser;
  }
  return cause;
}

// ENCLU in the enclave.
void enclu_inside(Thread& thread, const Frame& frame) {
  const auto leaf = static_cast<sgx::EncluLeaf>(static_cast<u32>(frame.rax()));
  const LeafContext context{*thread.state, *thread.tcs};
  ++thread.tcs->counters.trapped_leaves;
  Status status;
  switch (leaf) {
    case sgx::EncluLeaf::eexit: status = play_eexit(thread, frame); break;
    case sgx::EncluLeaf::eenter: status = play_eenter(thread, frame); break;
    case sgx::EncluLeaf::eresume: status = play_eresume(thread, frame); break;
    case sgx::EncluLeaf::ereport:
    case sgx::EncluLeaf::egetkey:
    case sgx::EncluLeaf::eaccept:
    case sgx::EncluLeaf::emodpe:
    case sgx::EncluLeaf::eacceptcopy:
      status = play_page_leaf(context, leaf, frame);
      if (status.fault == Fault::none) finish_leaf(*thread.state, frame, status);
      break;
    default: status = Status::gp(); break;
  }
  if (status.fault != Fault::none) take_exception(thread, frame, cause_of(thread.state, status));
}

// ENCLU of the host's entry function.
void enclu_outside(Thread& thread, const Frame& frame) {
  const auto leaf = static_cast<sgx::EncluLeaf>(static_cast<u32>(frame.rax()));
  Status status;
  switch (leaf) {
    case sgx::EncluLeaf::eenter: status = play_eenter(thread, frame); break;
    case sgx::EncluLeaf::eresume: status = play_eresume(thread, frame); break;
    case sgx::EncluLeaf::eexit: status = play_eexit(thread, frame); break;
    default: status = Status::gp(); break;  // all others may run inside only
  }
  if (status.fault != Fault::none) fix_up_exception(frame, cause_of(find_state(frame.reg(REG_RBX)), status));
}

// An exception of enclave code (not ENCLU). False: it resolved itself, the instruction is tried again.
bool exception_inside(Thread& thread, const Frame& frame, int signal, siginfo_t* info) {
  AexCause cause{.exception = true};
  const u64 trap = frame.reg(REG_TRAPNO);
  State& state = *thread.state;
  if (signal == SIGSYS) {
    // The seccomp filter has seen a `syscall` (or `int 0x80`): two bytes. rcx and r11 are what the host kernel's entry left.
    frame.rip() -= 2;
    cause.vector = static_cast<u8>(sgx::Vector::invalid_opcode);
    ++thread.tcs->counters.aex_syscall;
    // RAX is the call's number again: the filter leaves it alone.
    take_exception(thread, frame, cause);
    return true;
  }
  cause.vector = static_cast<u8>(trap & 31);
  if (trap == 14) {
    cause.address = frame.reg(REG_CR2);
    const u32 access = static_cast<u32>(frame.reg(REG_ERR)) & (sgx::kPfWrite | sgx::kPfFetch);
    if (state.contains(cause.address)) {
      if (resolve_fault(state, cause.address, access)) return false;
      cause.error_code = fault_error_code(state, cause.address, false) | access;
    } else if ((access & sgx::kPfFetch) != 0) {
      cause.vector = static_cast<u8>(sgx::Vector::general_protection);  // a fetch outside ELRANGE
    } else {
      cause.error_code = static_cast<u32>(frame.reg(REG_ERR)) & 0xffff;
    }
  } else if (trap == 13) {
    cause.error_code = 0;
    u8 code[8] = {};
    bool cpuid = false;
    if (is_illegal_inside(code, read_code(frame.rip(), code, sizeof(code)), &cpuid)) {
      cause.vector = static_cast<u8>(sgx::Vector::invalid_opcode);
      if (cpuid) ++thread.tcs->counters.aex_cpuid;
    }
  }
  static_cast<void>(info);
  take_exception(thread, frame, cause);
  return true;
}

// CPUID of host code on a thread where it faults.
bool emulate_host_cpuid(const Frame& frame) {
  u8 code[2] = {};
  if (frame.reg(REG_TRAPNO) != 13 || read_code(frame.rip(), code, 2) != 2 || code[0] != 0x0f || code[1] != 0xa2) return false;
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
  u32 eax = static_cast<u32>(frame.rax());
  u32 ecx = static_cast<u32>(frame.reg(REG_RCX));
  u32 ebx = 0;
  u32 edx = 0;
  __cpuid_count(eax, ecx, eax, ebx, ecx, edx);
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
  frame.rax() = eax;
  frame.reg(REG_RBX) = ebx;
  frame.reg(REG_RCX) = ecx;
  frame.reg(REG_RDX) = edx;
  frame.rip() += 2;
  return true;
}

// A fault of host code: to the handler that was there before us, or the default action.
void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& previous = g_previous[signal];
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler == SIG_IGN && info->si_code <= 0) {
    return;
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    // A fault comes again at once; one that was sent must be sent again.
    if (info->si_code <= 0) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);
  }
}

// A fault inside the emulator's own copy: brought up to date if the EPCM allows it, else the copy reports it.
bool settle_copy_fault(const Frame& frame) {
  if (!in_host_copy(frame.rip())) return false;
  const u64 address = frame.reg(REG_CR2);
  State* state = frame.reg(REG_TRAPNO) == 14 ? find_state(address) : nullptr;
  // The emulator reads what it has checked, so the permission asked for is that of the access.
  if (state != nullptr && resolve_fault(*state, address, static_cast<u32>(frame.reg(REG_ERR)) & sgx::kPfWrite)) return true;
  frame.rip() = reinterpret_cast<u64>(&emulator_copy_failed[0]);
  return true;
}

// True if the frame stands on an ENCLU that has trapped.
bool is_enclu(const Thread& thread, const Frame& frame) {
  const u64 rip = frame.rip();
  if (rip == host_enclu()) return thread.in_enclave == 0;
  if (thread.in_enclave == 0 || !thread.state->contains(rip)) return false;
  // The fast path has given up and executed a real ENCLU (settle_fast_transition() has put RIP here).
  if (is_patched_site(*thread.state, rip)) return true;
  const bool fetch_fault = frame.reg(REG_TRAPNO) == 14 && (frame.reg(REG_ERR) & sgx::kPfFetch) != 0;
  if (fetch_fault) return false;
  u8 code[3] = {};
  return read_code(rip, code, 3) == 3 && std::memcmp(code, sgx::kEncluBytes.data(), 3) == 0;
}

bool handle_synchronous(Thread& thread, const Frame& frame, int signal, siginfo_t* info) {
  if (signal == SIGSEGV || signal == SIGBUS) {
    if (settle_copy_fault(frame)) return true;
  }
  if (settle_fast_transition(thread, frame, true)) {
    raise_deferred(thread);
    return true;
  }
  if ((signal == SIGSEGV || signal == SIGILL) && is_enclu(thread, frame)) {
    if (thread.in_enclave != 0) {
      enclu_inside(thread, frame);
    } else {
      enclu_outside(thread, frame);
    }
    raise_deferred(thread);
    return true;
  }
  if (thread.in_enclave != 0) {
    exception_inside(thread, frame, signal, info);
    return true;
  }
  return signal == SIGSEGV && emulate_host_cpuid(frame);
}

void run_async_handler(Thread* thread, int signal, siginfo_t* info, ucontext_t* uc) {
  const AsyncHandler handler = g_async[signal].load();
  if (handler == nullptr) {
    pass_on(signal, info, uc);
    return;
  }
  if (thread == nullptr) {
    handler(signal, info, uc);
    return;
  }
  // The kernel has disarmed the alternate stack; an entry from the handler arms the next level's.
  const u32 armed = thread->armed_level;
  ++thread->depth;
  thread->armed_level = ~0U;
  handler(signal, info, uc);
  --thread->depth;
  thread->armed_level = armed;
}

bool is_synchronous_signal(int signal) {
  for (const int number : kSynchronous) {
    if (number == signal) return true;
  }
  return false;
}

bool set_action(int signal) {
  struct sigaction action {};
  action.sa_sigaction = &emulator_signal_entry;
  // No SA_RESTART: a kick must end the system call that the thread waits in.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (const int number : kSynchronous) sigdelset(&action.sa_mask, number);
  if (is_synchronous_signal(signal)) action.sa_flags |= SA_NODEFER;
  return sigaction(signal, &action, &g_previous[signal]) == 0;
}

}  // namespace

extern "C" void emulator_signal(int signal, siginfo_t* info, ucontext_t* uc, Bases* bases, Thread* thread);

void emulator_signal(int signal, siginfo_t* info, ucontext_t* uc, Bases* bases, Thread* thread) {
  const int saved_errno = errno;
  const bool synchronous = is_synchronous_signal(signal) && info->si_code > 0;
  const Frame frame{uc, bases};
  if (thread == nullptr) {
    if (synchronous && settle_copy_fault(frame)) return;
    // A thread that an entering thread has started inherits CPUID faulting.
    if (synchronous && signal == SIGSEGV && emulate_host_cpuid(frame)) return;
    run_async_handler(nullptr, signal, info, uc);
  } else if (synchronous) {
    const bool handled = handle_synchronous(*thread, frame, signal, info);
    // #DB and #BP are not fixed up: SIGTRAP at the AEP.
    const bool trapped = handled && signal == SIGTRAP && is_at_aep(uc);
    if (trapped || !handled) run_async_handler(thread, signal, info, uc);
  } else {
    if (thread->leaf_active == LEAF_RUNNING) {
      thread->deferred |= u64{1} << (signal - 1);
    } else {
      settle_fast_transition(*thread, frame, false);
      if (thread->in_enclave != 0) play_aex(*thread, frame, {.signal = signal});
      run_async_handler(thread, signal, info, uc);
    }
  }
  errno = saved_errno;
}

bool install_signal_handlers() {
  const std::lock_guard guard(g_install_mutex);
  if (g_installed) return true;
  xstate_layout();  // CPUID: before it faults
  for (const int signal : kSynchronous) {
    if (!set_action(signal)) return false;
  }
  g_installed = true;
  return true;
}

bool install_async_handler(int signal, AsyncHandler handler) {
  const bool usable = signal > 0 && signal <= 64 && signal != SIGKILL && signal != SIGSTOP &&
                      (!is_synchronous_signal(signal) || signal == SIGTRAP);
  if (!usable) {
    errno = EINVAL;
    return false;
  }
  if (!install_signal_handlers()) return false;
  g_async[signal].store(handler);
  if (signal == SIGTRAP) return true;
  if (handler != nullptr) return set_action(signal);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  return sigaction(signal, &ignore, nullptr) == 0;
}

bool is_at_aep(const ucontext_t* context) {
  return static_cast<u64>(context->uc_mcontext.gregs[REG_RIP]) == host_enclu() &&
         static_cast<u64>(context->uc_mcontext.gregs[REG_RAX]) == static_cast<u64>(sgx::EncluLeaf::eresume);
}

}  // namespace emulator
