// What the host may start: the program, its arguments and its environment, under the measured rules of the configuration
// (entry_points, env.default, env.untrusted).
#ifndef KERNEL_INIT_LAUNCH_H
#define KERNEL_INIT_LAUNCH_H

#include <string_view>

#include "kernel/base/result.h"
#include "kernel/base/vec.h"

namespace kernel {

// Strings of the host's request, copied in. Views point into `text`.
struct LaunchRequest {
  Vec<char> text;
  Vec<std::string_view> argv;
  Vec<std::string_view> environment;  // the host's, unfiltered
};

// Copies and splits the boot block's strings. EINVAL if they do not match the counts; E2BIG beyond 1 MiB.
Result<LaunchRequest> take_launch_request();

// True if `path` is absolute, free of ".." and lies in one of the configured entry points.
bool is_entry_point(std::string_view path);

// env.default, where a variable that env.untrusted names is replaced by the host's value, plus the host's other variables so named.
Result<Vec<std::string_view>> build_environment(const LaunchRequest& request);

}  // namespace kernel
#endif  // KERNEL_INIT_LAUNCH_H
