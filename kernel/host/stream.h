// Host streams: the descriptors that `occlum run` was given (handles 0, 1, 2), as pipes, files or terminals of the host.
#ifndef KERNEL_HOST_STREAM_H
#define KERNEL_HOST_STREAM_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "host_abi/entry.h"
#include "kernel/base/result.h"

namespace kernel::host {

// One read/write of at most 32 KiB; blocks the vCPU only as long as the host's call does, so ask poll() or wait_ready() first.
Result<std::size_t> stream_read(std::uint32_t handle, std::span<std::byte> into);
Result<std::size_t> stream_write(std::uint32_t handle, std::span<const std::byte> from);
// Which of `events` are ready right now.
Result<std::uint32_t> stream_poll(std::uint32_t handle, std::uint32_t events);
Result<host_abi::HostStat> stream_stat(std::uint32_t handle);
Result<std::uint64_t> stream_seek(std::uint32_t handle, std::int64_t offset, std::uint32_t whence);
// Terminal controls; the host allows terminal requests only.
Result<> stream_ioctl_get(std::uint32_t handle, std::uint64_t request, std::span<std::byte> into);
Result<> stream_ioctl_set(std::uint32_t handle, std::uint64_t request, std::span<const std::byte> from);
Result<> stream_ioctl_value(std::uint32_t handle, std::uint64_t request, std::uint64_t value);
// The user's shell gets its terminal back: `occlum run` stops until it is continued.
void suspend_runtime();

}  // namespace kernel::host
#endif  // KERNEL_HOST_STREAM_H
