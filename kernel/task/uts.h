// Names of the system (uname(2), sethostname(2)).
#ifndef KERNEL_TASK_UTS_H
#define KERNEL_TASK_UTS_H

#include <string_view>

#include "abi/process.h"
#include "kernel/base/result.h"

namespace kernel {

abi::UtsName uts_name();
// At most 64 bytes, else EINVAL.
Result<> set_node_name(std::string_view name);
Result<> set_domain_name(std::string_view name);

}  // namespace kernel
#endif  // KERNEL_TASK_UTS_H
