// Time. The host's clocks cannot be trusted; what the kernel makes of them never goes backwards (monotonic) and is read by RDTSC without
// leaving the enclave. monotonic_now() is declared in sync/wait.h.
#ifndef KERNEL_HOST_CLOCK_H
#define KERNEL_HOST_CLOCK_H

#include <cstdint>

namespace kernel {

// Nanoseconds since the epoch / since the host's boot (suspended time included).
std::uint64_t realtime_now();
std::uint64_t boottime_now();
// Ticks of the time-stamp counter as nanoseconds and back, at the frequency that was known at boot: for measuring spans, such as CPU time.
std::uint64_t ticks_to_ns(std::uint64_t ticks);
std::uint64_t ns_to_ticks(std::uint64_t ns);
// Adds to the real-time clock (clock_settime, settimeofday); inside only.
void adjust_realtime(std::int64_t delta_ns);

// How to compute clocks from RDTSC: ns = base_ns + ((tsc - base_tsc) * mult >> shift), for the vDSO's page.
struct ClockParameters {
  std::uint64_t base_tsc, base_monotonic_ns, realtime_offset_ns, boottime_offset_ns;
  std::uint32_t mult, shift;
};

namespace host {
// First sample; blocks until the TSC's frequency is known.
void clock_init();
// Takes the newest sample of the host's page if there is one, and calls the listener.
void refresh_clock();
using ClockListener = void (*)(const ClockParameters& parameters);
void set_clock_listener(ClockListener listener);
}  // namespace host

}  // namespace kernel
#endif  // KERNEL_HOST_CLOCK_H
