// Moving bytes between pipes and files inside the kernel: splice(2), tee(2), vmsplice(2).
#ifndef KERNEL_VFS_SPLICE_H
#define KERNEL_VFS_SPLICE_H

#include <cstdint>
#include <optional>

#include "kernel/vfs/open_file.h"

namespace kernel {

// One side: a file at an offset of its own, or at its position.
struct SpliceSide {
  OpenFile& file;
  std::optional<std::uint64_t> offset;  // advanced
};

// Moves up to `count` bytes; at least one side is a pipe. 0 = end of the input. EAGAIN with `nonblock` if a pipe is not ready.
Result<std::uint64_t> splice_bytes(SpliceSide& in, SpliceSide& out, std::uint64_t count, bool nonblock);

}  // namespace kernel
#endif  // KERNEL_VFS_SPLICE_H
