#include "kernel/task/cpu_time.h"

#include <algorithm>

namespace kernel {

namespace {
// whole * part / parts, for part <= parts: no product of it leaves 64 bits.
std::uint64_t share_of(std::uint64_t whole, std::uint64_t part, std::uint64_t parts) {
  // Without a sample it was a short time, mostly the program's own: Linux says so, too.
  if (parts == 0) return 0;
  for (; parts >> 32 != 0; parts >>= 1) part >>= 1;
  return whole / parts * part + whole % parts * part / parts;
}
}  // namespace

CpuTimes CpuSplit::split(const CpuCount& count) {
  // Counts of several readers may arrive here in another order than they were taken.
  if (count.run_ns <= last_.user_ns + last_.system_ns) return last_;
  const std::uint64_t share = share_of(count.run_ns, count.system_sampled, count.user_sampled + count.system_sampled);
  // The new time goes to one or both; what one of them has already, it keeps.
  const std::uint64_t system = std::clamp(share, last_.system_ns, count.run_ns - last_.user_ns);
  last_ = {.user_ns = count.run_ns - system, .system_ns = system};
  return last_;
}

}  // namespace kernel
