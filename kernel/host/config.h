// The measured configuration (trusted).
#ifndef KERNEL_HOST_CONFIG_H
#define KERNEL_HOST_CONFIG_H

#include <optional>
#include <string_view>

#include "host_abi/enclave_config.h"
#include "kernel/base/result.h"

namespace kernel {

// Validates and keeps the blob's address. EINVAL if it is damaged (cannot be: it is measured).
Result<> config_init(std::uint64_t address, std::uint64_t size);
const host_abi::ConfigHeader& config();
inline bool config_flag(std::uint64_t bit) { return (config().flags & bit) != 0; }

// Walks a list: string(list, 0), string(list, 1)... nullopt after the last.
std::optional<std::string_view> config_string(const host_abi::StringList& list, std::uint32_t index);

}  // namespace kernel
#endif  // KERNEL_HOST_CONFIG_H
