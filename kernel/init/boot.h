// Boot order. boot.cc brings the platform up on the first vCPU (checks, heap, clock, scheduler); main.cc then runs as a kernel thread and
// starts the first program.
#ifndef KERNEL_INIT_BOOT_H
#define KERNEL_INIT_BOOT_H

#include <string_view>

namespace kernel {

// The kernel thread that mounts the root and starts the first program; never returns.
void start_first_program();

// Gives the signals that the host has passed on (Ctrl-C, kill of `occlum run`) to the first process.
void deliver_host_signals();

// Ends the instance: tells the host the exit status (0..255) and never returns.
[[noreturn]] void shut_down(int status);

// Ends the instance with a line for the user and exit status `status`.
[[noreturn]] void fail_to_start(int status, std::string_view message);

}  // namespace kernel
#endif  // KERNEL_INIT_BOOT_H
