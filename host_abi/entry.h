// How a host thread enters and leaves the enclave, and the memory that both sides see.
//
// The host enters a TCS with EENTER (through the vDSO function or the emulator's twin of it); general registers carry the codes
// below: RDI = EntryCode, RSI = argument. The kernel leaves with EEXIT: RDI = ExitCode, RSI and RDX = arguments. Register values
// are untrusted in the inward direction.
//
// CSSA decides what an entry is: at CSSA 0 a virtual CPU starts or continues after its last exit; at CSSA 1 the kernel's exception
// and interrupt handler runs, which ends with ExitCode::resume and expects ERESUME; CSSA 2 and more only leave.
#ifndef HOST_ABI_ENTRY_H
#define HOST_ABI_ENTRY_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace host_abi {

inline constexpr std::uint32_t kAbiVersion = 1;
inline constexpr std::uint32_t kMaxVcpus = 64;

// RDI at EENTER with CSSA 0. The first entry of the first TCS is `boot` (RSI = address of BootBlock); the first entry of any other
// TCS is `start_vcpu`; all later ones are `resume` (after a host call, an idle sleep or a yield).
enum class EntryCode : std::uint64_t { boot = 0, start_vcpu = 1, resume = 2 };

// RSI at every other EENTER, bits: why the host enters at CSSA 1, and what it has noted. Hints, as all that the host says: the kernel uses
// them for statistics and for whether to look at its ticks.
inline constexpr std::uint64_t kEntryInterrupt = 1;  // bits of VcpuBlock::pending are set
inline constexpr std::uint64_t kEntrySample = 2;     // the thread has used another kSamplePeriodNs of processor time: who was it?
inline constexpr std::uint64_t kSamplePeriodNs = 4'000'000;

// RDI at EEXIT.
enum class ExitCode : std::uint64_t {
  resume = 0,     // the CSSA 1 handler is done: ERESUME this TCS
  host_call = 1,  // serve this vCPU's call slot (VcpuBlock::call), then EENTER with EntryCode::resume
  idle = 2,       // RSI = absolute CLOCK_MONOTONIC deadline in ns (UINT64_MAX: none). Sleep until then or until woken
  yield = 3,      // the holder of a lock may have been descheduled: sched_yield, then resume
  stop_vcpu = 4,  // this vCPU will not run again: end its thread
  shutdown = 5,   // the instance is finished: RSI = exit status as `occlum run` shall return it (0..255)
  panic = 6,      // a kernel invariant failed: RSI = line or code; a message was logged if it was possible
  retired = 7,    // refused entry (wrong time, wrong code): nothing was changed
};

// Why a vCPU is entered at CSSA 1, in the vCPU's shared word `pending` (bits). Only a hint: exceptions are told by SSA.EXITINFO.
inline constexpr std::uint32_t kPendingTick = 1;    // the scheduler tick has come
inline constexpr std::uint32_t kPendingWake = 2;    // somebody wants this vCPU to look at its run queue
inline constexpr std::uint32_t kPendingSignal = 4;  // the host wants a signal delivered to the first process (see SharedBlock)

// States in VcpuBlock::state, written by the kernel before it leaves and by the host when it wakes a sleeper.
inline constexpr std::uint32_t kVcpuRunning = 0;
inline constexpr std::uint32_t kVcpuIdle = 1;  // a futex word: the host thread sleeps on it while it has this value

enum class Op : std::uint32_t {
  none = 0,
  log = 1,           // buffer, length: text for the host's stderr/log (args[0] = level)
  read = 2,          // args[0] = host handle; buffer, length in/out
  write = 3,         // args[0] = host handle; buffer, length
  poll = 4,          // args[0] = host handle, args[1] = POLL* events, args[2] = timeout ns (-1 none): result = revents
  ioctl_get = 5,     // args[0] = handle, args[1] = request; result bytes to buffer, length = size (terminal calls only)
  ioctl_set = 6,     // args[0] = handle, args[1] = request; bytes from buffer
  fstat = 7,         // args[0] = handle: buffer receives a HostStat
  clock = 8,         // refresh SharedBlock::clock now
  augment = 9,       // args[0] = offset, args[1] = length: EAUG every page (EDMM), pages are PENDING afterwards
  restrict_perm = 10,  // args[0] = offset, args[1] = length, args[2] = SECINFO R|W|X: EMODPR
  modify_type = 11,  // args[0] = offset, args[1] = length, args[2] = page type: EMODT (TRIM, TCS)
  remove = 12,       // args[0] = offset, args[1] = length: remove trimmed and accepted pages
  start_vcpu = 13,   // args[0] = index of the vCPU: start its thread
  set_tick = 14,     // args[0] = period in us, 0 = off: periodic kPendingTick for every running vCPU
  wake_vcpu = 15,    // args[0] = index: wake an idle vCPU
  lseek = 16,        // args[0] = handle, args[1] = offset, args[2] = whence
  kick_vcpu = 17,    // args[0] = index: interrupt a running vCPU (kPendingWake), so that it looks at its run queue
  close_handle = 18, // args[0] = handle
  suspend = 19,      // the first process has stopped: stop the runtime until the user continues it
};

// One host call. The kernel fills it, the host writes `result` (>= 0 or -errno) and then `token_done` = token.
// Buffers are addresses of untrusted memory outside ELRANGE (in the bounce arena).
struct CallSlot {
  std::uint64_t token;
  std::uint32_t op;
  std::uint32_t flags;
  std::uint64_t args[4];
  std::uint64_t buffer;
  std::uint64_t length;
  std::int64_t result;
  std::uint64_t token_done;
};
static_assert(sizeof(CallSlot) == 80 && std::has_unique_object_representations_v<CallSlot>);

// Per-vCPU words in shared memory, one cache-line group each.
struct VcpuBlock {
  std::uint32_t state;    // kVcpu*
  std::uint32_t pending;  // kPending* bits, set by the host before it interrupts, cleared by the kernel
  std::uint64_t reserved[5];
  CallSlot call;  // the synchronous transport
};
static_assert(sizeof(VcpuBlock) == 128 && std::has_unique_object_representations_v<VcpuBlock>);

// A sample of the host's clocks: tsc was read between two reads of the clocks. seq is odd while it is written.
struct ClockPage {
  std::uint64_t seq;
  std::uint64_t tsc;
  std::uint64_t monotonic_ns;
  std::uint64_t realtime_ns;
  std::uint64_t boottime_ns;
  std::uint64_t tsc_hz;  // 0: unknown
  std::uint64_t reserved[2];
};
static_assert(sizeof(ClockPage) == 64);

// The asynchronous ring pair. The kernel produces submissions and consumes completions; the host's I/O threads do the reverse.
// Indices run freely; slot = index % kRingEntries.
inline constexpr std::uint32_t kRingEntries = 256;
struct Completion {
  std::uint64_t token;
  std::int64_t result;
};
struct Rings {
  std::uint32_t sq_head;  // host
  std::uint32_t reserved0[15];
  std::uint32_t sq_tail;  // kernel; the host's I/O thread sleeps on it as a futex when empty
  std::uint32_t sq_sleeping;  // host: 1 = the I/O thread sleeps and needs Op::wake by exit (ExitCode::host_call with Op::none)
  std::uint32_t reserved1[14];
  std::uint32_t cq_head;  // kernel
  std::uint32_t reserved2[15];
  std::uint32_t cq_tail;  // host; after it is raised the host wakes one idle vCPU
  std::uint32_t reserved3[15];
  CallSlot sq[kRingEntries];
  Completion cq[kRingEntries];
};
static_assert(sizeof(Rings) == 256 + kRingEntries * (80 + 16));

// What the host hands over at boot. The kernel copies it once; every value in it is checked.
struct BootBlock {
  std::uint32_t version;     // kAbiVersion
  std::uint32_t vcpu_count;  // online CPUs that the host offers, 1..kMaxVcpus
  std::uint64_t vcpus;       // address of VcpuBlock[vcpu_count]
  std::uint64_t rings;       // address of Rings
  std::uint64_t clock;       // address of ClockPage
  std::uint64_t arena;       // bounce arena: untrusted memory that the kernel hands out to calls
  std::uint64_t arena_size;  // bytes, a multiple of 4096
  std::uint64_t image;       // the image file, mapped read-only (EROFS + patch tables + hash tree)
  std::uint64_t image_size;
  std::uint64_t strings;       // NUL-separated: argv[0..argc), then environment
  std::uint64_t strings_size;  // bytes
  std::uint32_t argc;
  std::uint32_t envc;
  std::uint32_t log_level;  // 0 off, 1 error, 2 warn, 3 info, 4 debug, 5 trace
  std::uint32_t flags;      // kBoot*
  std::uint64_t resolv_conf, resolv_conf_size;  // text of the host's files, checked before use
  std::uint64_t hosts, hosts_size;
  std::uint64_t hostname, hostname_size;
  std::uint64_t user_signal;  // address of a u64: bit n-1 = host wants signal n for the first process (kPendingSignal)
  std::uint64_t cpuid;        // address of CpuidEntry[cpuid_count]: what the processor answers; the kernel filters it
  std::uint64_t cpuid_count;
  std::uint64_t reserved[5];
};
static_assert(sizeof(BootBlock) == 208 && std::has_unique_object_representations_v<BootBlock>);
inline constexpr std::uint32_t kBootStats = 1;  // `--stats`: the kernel fills StatsBlock at shutdown (through Op::log level 6)

struct CpuidEntry {
  std::uint32_t leaf, subleaf;
  std::uint32_t eax, ebx, ecx, edx;
};
static_assert(sizeof(CpuidEntry) == 24);

struct HostStat {
  std::uint32_t mode;  // S_IF* and permissions
  std::uint32_t rdev_major;
  std::uint32_t rdev_minor;
  std::uint32_t flags;  // bit 0: isatty
  std::uint64_t size;
  std::uint64_t reserved;
};
static_assert(sizeof(HostStat) == 32);

}  // namespace host_abi
#endif  // HOST_ABI_ENTRY_H
