// The one network interface, lo, as the ioctls of netdevice(7) show it.
#ifndef KERNEL_NET_INTERFACE_H
#define KERNEL_NET_INTERFACE_H

#include <cstdint>

#include "kernel/base/result.h"

namespace kernel {

class Task;

// SIOCGIF*. ENODEV for other interfaces, EPERM or EOPNOTSUPP for changes, ENOTTY for requests that are none of this.
Result<> interface_ioctl(Task& task, std::uint32_t request, std::uint64_t argument);

}  // namespace kernel
#endif  // KERNEL_NET_INTERFACE_H
