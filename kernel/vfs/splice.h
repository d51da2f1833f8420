// Moving bytes between pipes and files inside the kernel: splice(2), tee(2), vmsplice(2).
#ifndef KERNEL_VFS_SPLICE_H
#define KERNEL_VFS_SPLICE_H

#include <cstdint>
#include <optional>

#include "kernel/vfs/open_file.h"

namespace kernel {

class Pipe;

// One side: a file at an offset of its own, or at its position.
struct SpliceSide {
  Ref<OpenFile> file;
  std::optional<std::uint64_t> offset;  // advanced
};

// Moves up to `count` bytes; at least one side is a pipe, and not both the same. 0 = end of the input. EAGAIN with `nonblock` if a pipe is
// not ready, EPIPE if the output is a pipe without readers (the caller raises SIGPIPE). What was not written is still in the pipe, or before the file's offset.
Result<std::uint64_t> splice_bytes(SpliceSide& in, SpliceSide& out, std::uint64_t count, bool nonblock);
// tee(2): as between two pipes, but the bytes stay in the first one.
Result<std::uint64_t> tee_bytes(OpenFile& in, OpenFile& out, std::uint64_t count, bool nonblock);
// The pipe behind a file of FileKind::pipe.
Ref<Pipe> pipe_of(OpenFile& file);

}  // namespace kernel
#endif  // KERNEL_VFS_SPLICE_H
