/* The functions of vdso(7) for x86-64, with the names, versions and results that libraries expect. Runs in programs: no kernel code here
   but the two words of the per-vCPU block that GS points to (frame/vcpu_block.h): the vCPU's number and the address of the gate. */
#include <stdint.h>

#include "kernel/frame/vcpu_block.h"
#include "kernel/task/vdso/data.h"

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)
#define EXPORT __attribute__((visibility("default")))
#define NS_PER_SEC 1000000000ULL
#define FEW_TICKS (1ULL << 32) /* times any mult they fit into 64 bits */

enum { kRealtime = 0, kMonotonic = 1, kMonotonicRaw = 4, kRealtimeCoarse = 5, kMonotonicCoarse = 6, kBoottime = 7, kTai = 11 };
enum { kNrClockGettime = 228, kNrClockGetres = 229, kNrGettimeofday = 96 };

struct timespec {
  int64_t sec, nsec;
};
struct timeval {
  int64_t sec, usec;
};
struct timezone {
  int32_t minutes_west, dst_time;
};

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

static inline const volatile struct VdsoData* data(void) {
  return (const volatile struct VdsoData*)(__ehdr_start - VDSO_DATA_SIZE);
}

/* A system call as patched program text makes it. The `syscall` behind the jump is what a restart rewinds to. */
static long gate(long number, long a, long b) {
  register long result __asm__("rax") = number;
  __asm__ volatile(
      "lea 1f(%%rip), %%rcx\n\t"
      "jmp *%%gs:" STRING(VCPU_GATE) "\n\t"
      "syscall\n"
      "1:"
      : "+r"(result)
      : "D"(a), "S"(b)
      : "rcx", "r11", "memory", "cc");
  return result;
}

static inline uint64_t read_tsc(void) {
  uint32_t low, high;
  __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
  return low | ((uint64_t)high << 32);
}

/* CLOCK_MONOTONIC in ns; `offset` gets what has to be added for another clock. */
static inline uint64_t read_clock(int clock, uint64_t* offset) {
  const volatile struct VdsoData* page = data();
  for (;;) {
    const uint32_t before = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
    const uint64_t base_tsc = page->base_tsc, base_ns = page->base_monotonic_ns;
    const uint32_t mult = page->mult, shift = page->shift;
    *offset = clock == kRealtime ? page->realtime_offset_ns : clock == kBoottime ? page->boottime_offset_ns : 0;
    const uint64_t tsc = read_tsc();
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if ((before & 1) != 0 || __atomic_load_n(&page->sequence, __ATOMIC_RELAXED) != before) continue;
    const uint64_t ticks = tsc > base_tsc ? tsc - base_tsc : 0;
    if (__builtin_expect(ticks < FEW_TICKS, 1)) return base_ns + (ticks * mult >> shift);
    return base_ns + (uint64_t)(((unsigned __int128)ticks * mult) >> shift);
  }
}

/* Seconds and the rest. */
static inline void split(uint64_t ns, int64_t* sec, int64_t* rest) {
  *sec = (int64_t)(ns / NS_PER_SEC);
  *rest = (int64_t)(ns % NS_PER_SEC);
}

/* The clock whose arithmetic a clock id shares, or -1: ask the kernel. */
static inline int base_clock(int clock) {
  const uint32_t bit = (uint32_t)clock < 32 ? 1u << clock : 0; /* no table: a jump through one costs more than the rest */
  if (bit & (1u << kMonotonic | 1u << kMonotonicRaw | 1u << kMonotonicCoarse)) return kMonotonic;
  if (bit & (1u << kRealtime | 1u << kRealtimeCoarse | 1u << kTai)) return kRealtime;
  return clock == kBoottime ? kBoottime : -1;
}

EXPORT int __vdso_clock_gettime(int clock, struct timespec* into) {
  const int base = base_clock(clock);
  if (__builtin_expect(base < 0 || data()->mult == 0, 0)) return (int)gate(kNrClockGettime, clock, (long)into);
  uint64_t offset;
  const uint64_t ns = read_clock(base, &offset);
  split(ns + offset, &into->sec, &into->nsec);
  return 0;
}

EXPORT int __vdso_gettimeofday(struct timeval* into, struct timezone* zone) {
  if (__builtin_expect(data()->mult == 0, 0)) return (int)gate(kNrGettimeofday, (long)into, (long)zone);
  if (into) {
    uint64_t offset;
    const uint64_t ns = read_clock(kRealtime, &offset);
    split(ns + offset, &into->sec, &into->usec);
    into->usec /= 1000;
  }
  if (zone) zone->minutes_west = zone->dst_time = 0;
  return 0;
}

EXPORT int64_t __vdso_time(int64_t* into) {
  struct timespec now;
  if (__vdso_clock_gettime(kRealtime, &now) != 0) return -1;
  if (into) *into = now.sec;
  return now.sec;
}

EXPORT int __vdso_clock_getres(int clock, struct timespec* into) {
  if (base_clock(clock) < 0) return (int)gate(kNrClockGetres, clock, (long)into);
  if (into) {
    into->sec = 0;
    into->nsec = clock == kRealtimeCoarse || clock == kMonotonicCoarse ? 4000000 : 1;
  }
  return 0;
}

/* The number of the vCPU, as sched_getaffinity counts them. One node. */
EXPORT long __vdso_getcpu(unsigned* cpu, unsigned* node, void* unused) {
  (void)unused;
  unsigned number;
  __asm__ volatile("movl %%gs:" STRING(VCPU_INDEX) ", %0" : "=r"(number));
  if (cpu) *cpu = number;
  if (node) *node = 0;
  return 0;
}

EXPORT int clock_gettime(int, struct timespec*) __attribute__((weak, alias("__vdso_clock_gettime")));
EXPORT int gettimeofday(struct timeval*, struct timezone*) __attribute__((weak, alias("__vdso_gettimeofday")));
EXPORT int64_t time(int64_t*) __attribute__((weak, alias("__vdso_time")));
EXPORT int clock_getres(int, struct timespec*) __attribute__((weak, alias("__vdso_clock_getres")));
EXPORT long getcpu(unsigned*, unsigned*, void*) __attribute__((weak, alias("__vdso_getcpu")));

/* Where handlers return to when the program's own restorer does nothing but call rt_sigreturn: the same call through the gate, which does
   not trap. Unwinders find it by its frame description ("S": a signal frame; the registers lie in the ucontext that RSP points to). The
   `nop` belongs to it because they look up the byte before the return address. */
__asm__(
    ".pushsection .sigreturn, \"ax\", @progbits\n"
    ".macro sig_register number, offset\n"
    "  .cfi_escape 0x10, \\number, 3, 0x77, (\\offset & 0x7f) | 0x80, \\offset >> 7\n" /* DW_CFA_expression: breg7 + offset */
    ".endm\n"
    ".type __vdso_rt_sigreturn, @function\n"
    ".hidden __vdso_rt_sigreturn\n"
    ".globl __vdso_rt_sigreturn\n"
    ".cfi_startproc simple\n"
    ".cfi_signal_frame\n"
    ".cfi_escape 0x0f, 4, 0x77, 0xa0, 1, 0x06\n" /* DW_CFA_def_cfa_expression: *(breg7 + 160) */
    "sig_register 8, 40\n sig_register 9, 48\n sig_register 10, 56\n sig_register 11, 64\n"
    "sig_register 12, 72\n sig_register 13, 80\n sig_register 14, 88\n sig_register 15, 96\n"
    "sig_register 5, 104\n sig_register 4, 112\n sig_register 6, 120\n sig_register 3, 128\n"
    "sig_register 1, 136\n sig_register 0, 144\n sig_register 2, 152\n sig_register 7, 160\n sig_register 16, 168\n"
    "  nop\n"
    "__vdso_rt_sigreturn:\n"
    "  movl $15, %eax\n"
    "  leaq 1f(%rip), %rcx\n"
    "  jmp *%gs:" STRING(VCPU_GATE) "\n"
    "1: ud2\n"
    ".cfi_endproc\n"
    ".size __vdso_rt_sigreturn, . - __vdso_rt_sigreturn\n"
    ".popsection\n");
