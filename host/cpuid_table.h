// The processor's CPUID answers for the boot block: CPUID is illegal in an enclave, so the kernel gets a table once and filters it.
#ifndef HOST_CPUID_TABLE_H
#define HOST_CPUID_TABLE_H

#include <vector>

#include "host_abi/entry.h"

namespace host {

// All basic and extended leaves of this processor with their subleaves, at most 128 entries. CPUID traps in virtual machines (some
// microseconds each), so subleaves that say nothing end a leaf early.
std::vector<host_abi::CpuidEntry> read_cpuid_table();

}  // namespace host
#endif  // HOST_CPUID_TABLE_H
