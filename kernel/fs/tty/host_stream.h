// A descriptor that `occlum run` was started with (0, 1, 2), as programs see it: a pipe, a file or a terminal of the host.
//
// The vCPU never blocks in the host: readiness is asked first, waiting goes through the asynchronous ring and parks the thread only.
#ifndef KERNEL_FS_TTY_HOST_STREAM_H
#define KERNEL_FS_TTY_HOST_STREAM_H

#include <optional>

#include "kernel/host/client.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class HostStream final : public OpenFile, private host::Watch {
 public:
  // `flags`: O_RDONLY, O_WRONLY or O_RDWR.
  HostStream(std::uint32_t handle, const host_abi::HostStat& stat, std::uint32_t flags);
  // The same under a name: the node of the console.
  HostStream(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t handle, const host_abi::HostStat& stat, std::uint32_t flags);
  static bool is_terminal(const host_abi::HostStat& stat) { return (stat.flags & 1) != 0; }
  ~HostStream() override;

  Result<std::size_t> read(IoSink& sink) override;
  Result<std::size_t> write(IoSource& source) override;
  Result<FileOffset> seek(FileOffset offset, std::uint32_t whence) override;
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return is_regular_ ? nullptr : &queue_; }
  Result<Attributes> attributes() override;
  bool has_offsets() const override { return false; }
  std::size_t describe(std::span<char> into) override;
  Result<> sync(bool data_only) override;
  Result<Ref<OpenFile>> reopen(std::uint32_t flags) override;

 private:
  void on_ready(std::uint32_t events) override;
  // Waits until one of `events` holds; EAGAIN if the file is non-blocking, Errno::restart on a signal.
  Result<> await(std::uint32_t events);
  // The same for a terminal's reader: false if the time that VTIME gives is over without input.
  Result<bool> await_input();
  Result<> check_reader();
  Result<> check_writer();
  Result<std::optional<std::uint64_t>> terminal_ioctl(Task& task, std::uint32_t request, std::uint64_t argument);
  Result<std::size_t> write_piece(IoSource& source, std::size_t most);
  void watch_soon(std::uint32_t events);

  const std::uint32_t handle_;
  const host_abi::HostStat stat_;
  const bool is_regular_;
  const bool is_terminal_;
  WaitQueue queue_;
  std::atomic<bool> watching_{false};
};

// Opens host handle 0, 1 or 2. EBADF if the host gave none.
Result<Ref<OpenFile>> open_host_stream(std::uint32_t handle);

}  // namespace kernel
#endif  // KERNEL_FS_TTY_HOST_STREAM_H
