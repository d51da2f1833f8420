// CPU time: how long threads ran, exactly, and how that is split into user and system time (docs/decisions/cpu-time.md).
#ifndef KERNEL_TASK_CPU_TIME_H
#define KERNEL_TASK_CPU_TIME_H

#include <cstdint>

namespace kernel {

// What is known: the time that a thread or virtual CPU ran, and how long by the host's sampling interrupts in the program and in the kernel (of
// these only the ratio counts).
struct CpuCount {
  std::uint64_t run_ns = 0;
  std::uint64_t user_sampled = 0, system_sampled = 0;
};

struct CpuTimes {
  std::uint64_t user_ns = 0, system_ns = 0;
};

// Splits a growing count. What it said once never gets less, for neither part, and the sum is the precise time. The owner's lock guards it.
class CpuSplit {
 public:
  CpuTimes split(const CpuCount& count);

 private:
  CpuTimes last_;
};

}  // namespace kernel
#endif  // KERNEL_TASK_CPU_TIME_H
