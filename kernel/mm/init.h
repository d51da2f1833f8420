// Boot of the memory subsystem.
#ifndef KERNEL_MM_INIT_H
#define KERNEL_MM_INIT_H

#include <cstdint>

#include "kernel/base/result.h"

namespace kernel::mm {

struct MemoryConfig {
  std::uint64_t user_begin = 0, user_end = 0;  // the user window
  std::uint64_t committed_end = 0;             // without EDMM: [user_begin, committed_end) was added at load, RWX
  bool edmm = false;
  std::uint64_t committed_limit = 0;  // bytes of program memory that may be committed at a time (user_space_max_size)
  std::uint64_t random = 0;           // from RDRAND: where placement starts
};

// Once, by the first vCPU, after the heap works and before any AddressSpace. ENOMEM.
Result<> initialise(const MemoryConfig& config);

// True if the page is there by right and allows the access. Without locks: for the exception handler (frame::PageQuery).
bool is_committed(std::uint64_t address, bool write);

struct SystemMemory {  // bytes
  std::uint64_t limit, committed, cached;  // cached: committed but in no mapping, can be given back at any time
};
SystemMemory system_memory();

// Work for an idle vCPU: nothing urgent. True if there is more. May leave the enclave; no locks held.
bool idle_work();

// Called before addresses that one process gave up are handed to another: returns when every vCPU has left the user copies that it was
// in (design section 6). Set at boot; without it single-vCPU operation is assumed.
using GracePeriod = void (*)();
void set_grace_period(GracePeriod wait);

}  // namespace kernel::mm
#endif  // KERNEL_MM_INIT_H
