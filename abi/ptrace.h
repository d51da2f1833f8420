// ptrace(2) as programs see it on x86-64.
#ifndef ABI_PTRACE_H
#define ABI_PTRACE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

enum class PtraceRequest : std::uint64_t {
  traceme = 0, peektext, peekdata, peekuser, poketext, pokedata, pokeuser, cont, kill, singlestep,
  getregs = 12, setregs, getfpregs, setfpregs, attach, detach,
  oldsetoptions = 21,
  syscall = 24,
  setoptions = 0x4200, geteventmsg, getsiginfo, setsiginfo, getregset, setregset, seize, interrupt, listen, peeksiginfo, getsigmask,
  setsigmask,
  get_syscall_info = 0x420e,
};

inline constexpr std::int32_t kPtraceEventFork = 1, kPtraceEventVfork = 2, kPtraceEventClone = 3, kPtraceEventExec = 4,
                              kPtraceEventVforkDone = 5, kPtraceEventExit = 6, kPtraceEventStop = 128;
// The option of an event is 1 << event.
inline constexpr std::uint32_t kPtraceOSysGood = 1, kPtraceOExitKill = 1U << 20;
// SYSGOOD, the events up to seccomp (of which there are none, since no filters can be made), EXITKILL.
inline constexpr std::uint32_t kPtraceOKnown = 0xff | kPtraceOExitKill;
inline constexpr std::int32_t kSysGoodBit = 0x80;

// struct user_regs_struct.
struct UserRegs {
  std::uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, rflags, rsp, ss, fs_base, gs_base,
      ds, es, fs, gs;
};
static_assert(sizeof(UserRegs) == 27 * 8);
// struct user as the kernel knows it: two words longer than that of the headers.
inline constexpr std::uint64_t kUserSize = 928, kUserDebugRegisters = 848;

inline constexpr std::uint64_t kNtPrStatus = 1, kNtPrFpReg = 2, kNtX86XState = 0x202;

struct PtracePeekSigInfo {
  std::uint64_t offset;
  std::uint32_t flags;
  std::int32_t count;
};
inline constexpr std::uint32_t kPeekSigInfoShared = 1;

inline constexpr std::uint32_t kAuditArchX86_64 = 0xc000003e;
inline constexpr std::uint8_t kSyscallInfoNone = 0, kSyscallInfoEntry = 1, kSyscallInfoExit = 2;
struct PtraceSyscallInfo {
  std::uint8_t op;
  std::array<std::uint8_t, 3> reserved;
  std::uint32_t arch;
  std::uint64_t rip;
  std::uint64_t rsp;
  std::uint64_t number_or_result;      // entry: the number; exit: the result
  std::array<std::uint64_t, 6> args;  // exit: the first byte says whether the result is an error
  std::uint64_t reserved2;
};
static_assert(sizeof(PtraceSyscallInfo) == 88 && std::has_unique_object_representations_v<PtraceSyscallInfo>);
inline constexpr std::size_t kSyscallInfoNoneSize = 24, kSyscallInfoEntrySize = 80, kSyscallInfoExitSize = 33;

}  // namespace abi
#endif  // ABI_PTRACE_H
