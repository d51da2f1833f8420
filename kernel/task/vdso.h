// The vDSO: a small shared object that every program gets mapped (clock_gettime, gettimeofday, time, getcpu, clock_getres), and the
// page with the clocks' parameters that it reads. Both are at one address in all processes.
#ifndef KERNEL_TASK_VDSO_H
#define KERNEL_TASK_VDSO_H

#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/host/clock.h"
#include "kernel/mm/address_space.h"

namespace kernel {

// Makes the pages. Once at boot, after mm::initialise. ENOMEM.
Result<> vdso_init();
// Maps both into a new address space: the address of the shared object's ELF header (AT_SYSINFO_EHDR).
Result<std::uint64_t> map_vdso(AddressSpace& mm);
// The code in the vDSO that calls rt_sigreturn without trapping; 0 if there is no vDSO.
std::uint64_t vdso_sigreturn();
// New clock parameters, for host::set_clock_listener(). Any context; calls are serialised here.
void update_vdso_clock(const ClockParameters& parameters);

}  // namespace kernel
#endif  // KERNEL_TASK_VDSO_H
