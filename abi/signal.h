// Signals as programs see them (signal(7), sigaction(2), the kernel's x86-64 signal frame).
#ifndef ABI_SIGNAL_H
#define ABI_SIGNAL_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

enum : int {
  kSigHup = 1, kSigInt, kSigQuit, kSigIll, kSigTrap, kSigAbrt, kSigBus, kSigFpe, kSigKill, kSigUsr1, kSigSegv, kSigUsr2, kSigPipe,
  kSigAlrm, kSigTerm, kSigStkFlt, kSigChld, kSigCont, kSigStop, kSigTstp, kSigTtin, kSigTtou, kSigUrg, kSigXcpu, kSigXfsz,
  kSigVtAlrm, kSigProf, kSigWinch, kSigIo, kSigPwr, kSigSys,
  kSigRtMin = 32,
  kSigMax = 64,  // also the number of signals
};

inline constexpr std::uint64_t kSigDfl = 0, kSigIgn = 1;

inline constexpr std::uint64_t kSaNoCldStop = 1, kSaNoCldWait = 2, kSaSigInfo = 4, kSaUnsupported = 0x400, kSaExposeTagbits = 0x800,
                               kSaRestorer = 0x04000000, kSaOnStack = 0x08000000, kSaRestart = 0x10000000, kSaNoDefer = 0x40000000,
                               kSaResetHand = 0x80000000;
inline constexpr std::uint64_t kSaKnown = kSaNoCldStop | kSaNoCldWait | kSaSigInfo | kSaRestorer | kSaOnStack | kSaRestart |
                                          kSaNoDefer | kSaResetHand;

// struct kernel_sigaction of rt_sigaction(2).
struct SigAction {
  std::uint64_t handler;
  std::uint64_t flags;
  std::uint64_t restorer;
  std::uint64_t mask;
};
static_assert(sizeof(SigAction) == 32);

enum class SigHow : std::int32_t { block = 0, unblock = 1, setmask = 2 };

inline constexpr std::int32_t kSsOnStack = 1, kSsDisable = 2;
inline constexpr std::uint32_t kSsAutoDisarm = 0x80000000;
inline constexpr std::uint64_t kMinSigStackSize = 2048;

struct StackT {
  std::uint64_t sp;
  std::int32_t flags;
  std::int32_t reserved;
  std::uint64_t size;
};
static_assert(sizeof(StackT) == 24);

// si_code
inline constexpr std::int32_t kSiUser = 0, kSiKernel = 0x80, kSiQueue = -1, kSiTimer = -2, kSiMesgQ = -3, kSiAsyncIo = -4,
                              kSiSigIo = -5, kSiTkill = -6;
inline constexpr std::int32_t kIllIllOpc = 1, kIllIllOpn = 2, kIllIllAdr = 3, kIllIllTrp = 4, kIllPrvOpc = 5;
inline constexpr std::int32_t kFpeIntDiv = 1, kFpeIntOvf = 2, kFpeFltDiv = 3, kFpeFltOvf = 4, kFpeFltUnd = 5, kFpeFltRes = 6,
                              kFpeFltInv = 7, kFpeFltSub = 8;
inline constexpr std::int32_t kSegvMapErr = 1, kSegvAccErr = 2, kSegvBndErr = 3, kSegvPkuErr = 4;
inline constexpr std::int32_t kBusAdrAln = 1, kBusAdrErr = 2, kBusObjErr = 3;
inline constexpr std::int32_t kTrapBrkpt = 1, kTrapTrace = 2;
inline constexpr std::int32_t kCldExited = 1, kCldKilled = 2, kCldDumped = 3, kCldTrapped = 4, kCldStopped = 5, kCldContinued = 6;
inline constexpr std::int32_t kPollIn = 1, kPollOut = 2, kPollMsg = 3, kPollErr = 4, kPollPri = 5, kPollHup = 6;
inline constexpr std::int32_t kSysSeccomp = 1;

// siginfo_t: 128 bytes. What `fields` holds depends on signo and code; the named makers below are the only writers.
struct SigInfo {
  std::int32_t signo;
  std::int32_t error;
  std::int32_t code;
  std::int32_t reserved;
  std::array<std::uint64_t, 14> fields;

  static constexpr std::uint64_t pair(std::uint32_t low, std::uint32_t high) { return low | (std::uint64_t{high} << 32); }
  // SI_USER, SI_TKILL: who sent it.
  static constexpr SigInfo from_sender(int signal, std::int32_t code, std::int32_t pid, std::uint32_t uid) {
    SigInfo info{};
    info.signo = signal;
    info.code = code;
    info.fields[0] = pair(static_cast<std::uint32_t>(pid), uid);
    return info;
  }
  static constexpr SigInfo from_kernel(int signal) { return from_sender(signal, kSiKernel, 0, 0); }
  static constexpr SigInfo fault(int signal, std::int32_t code, std::uint64_t address) {
    SigInfo info{};
    info.signo = signal;
    info.code = code;
    info.fields[0] = address;
    return info;
  }
  // SIGCHLD. utime and stime in clock ticks.
  static constexpr SigInfo child(std::int32_t code, std::int32_t pid, std::uint32_t uid, std::int32_t status, std::uint64_t utime,
                                 std::uint64_t stime) {
    SigInfo info = from_sender(kSigChld, code, pid, uid);
    info.fields[1] = static_cast<std::uint32_t>(status);
    info.fields[2] = utime;
    info.fields[3] = stime;
    return info;
  }
  // SI_TIMER, SI_QUEUE and the like: si_value.
  static constexpr SigInfo timer(int signal, std::int32_t timer_id, std::int32_t overrun, std::uint64_t value) {
    SigInfo info{};
    info.signo = signal;
    info.code = kSiTimer;
    info.fields[0] = pair(static_cast<std::uint32_t>(timer_id), static_cast<std::uint32_t>(overrun));
    info.fields[1] = value;
    return info;
  }
  // SIGIO and friends: si_band, si_fd.
  static constexpr SigInfo poll(int signal, std::int32_t code, std::uint64_t band, std::int32_t fd) {
    SigInfo info{};
    info.signo = signal;
    info.code = code;
    info.fields[0] = band;
    info.fields[1] = static_cast<std::uint32_t>(fd);
    return info;
  }
  constexpr std::int32_t pid() const { return static_cast<std::int32_t>(fields[0] & 0xffffffff); }
  constexpr std::uint32_t uid() const { return static_cast<std::uint32_t>(fields[0] >> 32); }
  constexpr std::int32_t status() const { return static_cast<std::int32_t>(fields[1] & 0xffffffff); }
  constexpr std::uint64_t value() const { return fields[1]; }
  constexpr std::uint64_t address() const { return fields[0]; }
};
static_assert(sizeof(SigInfo) == 128 && offsetof(SigInfo, fields) == 16 && std::has_unique_object_representations_v<SigInfo>);

// signalfd_siginfo of signalfd(2).
struct SignalFdSigInfo {
  std::uint32_t signo;
  std::int32_t error;
  std::int32_t code;
  std::uint32_t pid;
  std::uint32_t uid;
  std::int32_t fd;
  std::uint32_t tid;
  std::uint32_t band;
  std::uint32_t overrun;
  std::uint32_t trapno;
  std::int32_t status;
  std::int32_t int_value;
  std::uint64_t ptr;
  std::uint64_t utime;
  std::uint64_t stime;
  std::uint64_t addr;
  std::uint16_t addr_lsb;
  std::uint16_t reserved;
  std::int32_t syscall;
  std::uint64_t call_addr;
  std::uint32_t arch;
  std::array<std::uint8_t, 28> reserved2;
};
static_assert(sizeof(SignalFdSigInfo) == 128 && std::has_unique_object_representations_v<SignalFdSigInfo>);

// struct sigcontext of x86-64, the uc_mcontext of a ucontext.
struct SigContext {
  std::uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
  std::uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
  std::uint16_t cs, gs, fs, ss;
  std::uint64_t err, trapno, oldmask, cr2;
  std::uint64_t fpstate;  // address of the XSAVE state on the stack, 64-byte aligned; 0 = none
  std::array<std::uint64_t, 8> reserved;
};
static_assert(sizeof(SigContext) == 256 && offsetof(SigContext, fpstate) == 184);

inline constexpr std::uint64_t kUcFpXstate = 1, kUcSigContextSs = 2, kUcStrictRestoreSs = 4;

struct UContext {
  std::uint64_t flags;  // kUc*
  std::uint64_t link;
  StackT stack;
  SigContext mcontext;
  std::uint64_t sigmask;
};
static_assert(sizeof(UContext) == 304 && offsetof(UContext, mcontext) == 40 && offsetof(UContext, sigmask) == 296);

// struct rt_sigframe: what lies at RSP when a handler starts.
struct RtSigFrame {
  std::uint64_t pretcode;
  UContext uc;
  SigInfo info;
};
static_assert(sizeof(RtSigFrame) == 440 && std::has_unique_object_representations_v<RtSigFrame>);

// struct _fpx_sw_bytes at offset 464 of the FXSAVE image on the stack.
struct FpxSwBytes {
  std::uint32_t magic1;         // kFpXstateMagic1
  std::uint32_t extended_size;  // bytes of the whole state including the trailing magic2
  std::uint64_t xfeatures;      // state components it may hold
  std::uint32_t xstate_size;    // without magic2
  std::array<std::uint32_t, 7> reserved;
};
static_assert(sizeof(FpxSwBytes) == 48);
inline constexpr std::size_t kFpxSwOffset = 464;
inline constexpr std::uint32_t kFpXstateMagic1 = 0x46505853, kFpXstateMagic2 = 0x46505845;
inline constexpr std::size_t kFpXstateMagic2Size = 4;

// sigevent of timer_create(2).
inline constexpr std::int32_t kSigEvSignal = 0, kSigEvNone = 1, kSigEvThread = 2, kSigEvThreadId = 4;
struct SigEvent {
  std::uint64_t value;
  std::int32_t signo;
  std::int32_t notify;
  std::int32_t tid;
  std::array<std::uint32_t, 11> reserved;
};
static_assert(sizeof(SigEvent) == 64);

}  // namespace abi
#endif  // ABI_SIGNAL_H
