// Control messages of sendmsg(2) and recvmsg(2) (cmsg(3)).
#ifndef KERNEL_SYSCALL_CONTROL_H
#define KERNEL_SYSCALL_CONTROL_H

#include "abi/socket.h"
#include "kernel/base/result.h"
#include "kernel/net/socket.h"

namespace kernel {

class Task;

// What the program put into the control buffer of `header`. EINVAL, EBADF, EPERM (credentials of somebody else), ETOOMANYREFS.
Result<> load_control(Task& task, const abi::MsgHdr& header, Ancillary& into);
// Stores what was received into the control buffer, makes descriptors for files, and sets control_length and MSG_CTRUNC in `header`.
// Files that find no room are closed.
Result<> store_control(Task& task, abi::MsgHdr& header, Ancillary& from, bool close_on_exec);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_CONTROL_H
