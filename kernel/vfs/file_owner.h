// Who gets the signals of a file, and sending them (fcntl(2): F_SETOWN, F_SETSIG).
#ifndef KERNEL_VFS_FILE_OWNER_H
#define KERNEL_VFS_FILE_OWNER_H

#include <cstdint>

#include "abi/fs.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

// F_SETOWN_EX by `task`; pid 0 = nobody. EINVAL: no such type, ESRCH.
Result<> set_file_owner(Task& task, OpenFile& file, abi::FownerEx owner);
// F_GETOWN_EX: pid 0 if it does not exist any more.
abi::FownerEx file_owner(const OpenFile& file);
// The running process becomes the owner unless there is one.
void own_by_caller(OpenFile& file);
// Signals the owner: SIGIO, or what F_SETSIG says with its siginfo. `reason`: abi::kPoll* of a siginfo. No locks of rank >= signal held.
void send_io_signal(OpenFile& file, Fd fd, std::int32_t reason);

}  // namespace kernel
#endif  // KERNEL_VFS_FILE_OWNER_H
