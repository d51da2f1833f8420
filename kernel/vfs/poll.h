// Waiting for readiness of several files at once: the engine of poll(2) and select(2).
#ifndef KERNEL_VFS_POLL_H
#define KERNEL_VFS_POLL_H

#include <cstdint>
#include <span>

#include "kernel/vfs/open_file.h"

namespace kernel {

struct PollItem {
  RefPtr<OpenFile> file;     // null: never ready (a negative descriptor), unless `ready` is set beforehand (POLLNVAL)
  std::uint32_t events = 0;  // kPoll* that are asked for; ERR and HUP always are
  std::uint32_t ready = 0;   // out
};

// Waits until an item is ready or the deadline has come: how many are ready. restart_nohand on a signal (these calls never restart
// after a handler). No locks held.
Result<std::uint32_t> poll_files(std::span<PollItem> items, Instant deadline);

}  // namespace kernel
#endif  // KERNEL_VFS_POLL_H
