// Host handles: the small numbers by which the kernel names files of the host. 0, 1 and 2 are the standard streams.
#ifndef HOST_HANDLES_H
#define HOST_HANDLES_H

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace host {

// An open descriptor, closed with its last user (unless it is borrowed). A call in flight keeps it alive over close_handle.
class HostFile {
 public:
  HostFile(int fd, bool owned) : fd_(fd), owned_(owned) {}
  ~HostFile();
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
  const bool owned_;
};

class HandleTable {
 public:
  static constexpr std::uint64_t kMaxHandles = 65536;

  // Starts with the three standard streams, which are borrowed: closing their handles leaves the descriptors open.
  HandleTable();
  explicit HandleTable(int in, int out, int err);

  // The file, or null if there is none.
  std::shared_ptr<HostFile> get(std::uint64_t handle) const;
  // Takes over `fd`; the lowest free handle, or -EMFILE (and the descriptor is closed).
  std::int64_t add(int fd);
  // 0 or -EBADF.
  std::int64_t close(std::uint64_t handle);

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<HostFile>> files_;  // guarded by mutex_
};

}  // namespace host
#endif  // HOST_HANDLES_H
