// How many vCPUs an enclave may get. Loader and kernel must agree on it.
#ifndef HOST_ABI_VCPU_LIMIT_H
#define HOST_ABI_VCPU_LIMIT_H

#include <algorithm>
#include <cstdint>

#include "host_abi/enclave_config.h"

namespace host_abi {

// Without EDMM there are the slots of the file; with it the kernel adds others when it needs them, up to `tcs_slots` of the layout. (What it
// adds is not measured: EAUG gives zeros, and the kernel writes the rest.)
constexpr std::uint32_t vcpu_limit(const ConfigHeader& config, std::uint32_t tcs_slots) {
  if ((config.flags & kConfigEdmm) == 0) return config.tcs_count;
  return std::max(config.tcs_count, std::min(config.max_threads, tcs_slots));
}

}  // namespace host_abi
#endif  // HOST_ABI_VCPU_LIMIT_H
