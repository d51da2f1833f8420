// One line per system call; docs/syscalls.md is generated from these lines.
#include "kernel/syscall/table.h"

#include "kernel/syscall/event.h"
#include "kernel/syscall/pipe.h"
#include "kernel/syscall/poll.h"

namespace kernel {
namespace {

using Table = std::array<SyscallEntry, kSyscallCount>;

// Writes one entry.
template <auto kHandler>
constexpr SyscallEntry bind(const char* name) {
  return {.name = name, .function = &Bind<kHandler>::call};
}

#define entry(number, name, handler) table[(number)] = bind<handler>(name)

consteval Table make_table() {
  Table table{};
  // --- memory (kernel/syscall/memory.h) ---
  // --- files (file.h, directory.h, path.h, stat.h) ---
  // --- processes, threads, signals, time (process.h, thread.h, signal.h, futex.h, time.h, exec.h, misc.h) ---
  // --- events, pipes (event.h, pipe.h) ---
  entry(7, "poll", sys_poll);
  entry(22, "pipe", sys_pipe);
  entry(23, "select", sys_select);
  entry(213, "epoll_create", sys_epoll_create);
  entry(232, "epoll_wait", sys_epoll_wait);
  entry(233, "epoll_ctl", sys_epoll_ctl);
  entry(270, "pselect6", sys_pselect6);
  entry(271, "ppoll", sys_ppoll);
  entry(281, "epoll_pwait", sys_epoll_pwait);
  entry(284, "eventfd", sys_eventfd);
  entry(290, "eventfd2", sys_eventfd2);
  entry(291, "epoll_create1", sys_epoll_create1);
  entry(293, "pipe2", sys_pipe2);
  entry(441, "epoll_pwait2", sys_epoll_pwait2);
  return table;
}

#undef entry

}  // namespace

constinit const std::array<SyscallEntry, kSyscallCount> kSyscalls = make_table();

}  // namespace kernel
