/* The page in front of the vDSO image, written by the kernel (vdso.cc) and read by vdso.c in every program. C and C++. */
#ifndef KERNEL_TASK_VDSO_DATA_H
#define KERNEL_TASK_VDSO_DATA_H

#include <stdint.h>

/* ns(clock) = base_monotonic_ns + ((tsc - base_tsc) * mult >> shift) + the clock's offset. `sequence` is odd while the rest changes. */
struct VdsoData {
  uint32_t sequence;
  uint32_t mult;
  uint32_t shift;
  uint32_t reserved;
  uint64_t base_tsc;
  uint64_t base_monotonic_ns;
  uint64_t realtime_offset_ns; /* of CLOCK_REALTIME from CLOCK_MONOTONIC, modulo 2^64 */
  uint64_t boottime_offset_ns;
};

#define VDSO_DATA_SIZE 4096 /* the image starts this many bytes behind it */

#define VDSO_SIGRETURN_OFFSET 0xb01 /* of __vdso_rt_sigreturn in the image; a nop precedes it */

#endif
