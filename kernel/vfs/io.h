// Source and target of file I/O: one or several runs of program memory, or kernel bytes. Consumed from the front. Copies to and from
// program memory may sleep: no lock may be held around put()/take() (reserve, copy, commit).
#ifndef KERNEL_VFS_IO_H
#define KERNEL_VFS_IO_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"
#include "kernel/frame/user.h"

namespace kernel {

// Where the bytes of a read go. For an iovec list the spans must outlive the object.
class IoSink {
 public:
  explicit IoSink(UserBytes user) : user_(user), remaining_(user.size()) {}
  explicit IoSink(std::span<std::byte> kernel_bytes) : kernel_(kernel_bytes), remaining_(kernel_bytes.size()) {}
  // `total` = the sum of the segments' sizes (checked by whoever read the iovec).
  IoSink(std::span<const UserBytes> segments LIFETIMEBOUND, std::uint64_t total) : segments_(segments), remaining_(total) {}

  std::uint64_t remaining() const { return remaining_; }
  bool full() const { return remaining_ == 0; }
  // Takes min(remaining, from.size()) bytes; how many, fewer only at inaccessible memory. EFAULT if that is at the first byte.
  Result<std::size_t> put(std::span<const std::byte> from);
  Result<std::size_t> put_zeros(std::uint64_t count);
  // Never gives more than `count` bytes to this sink from now on.
  void limit(std::uint64_t count) {
    if (count < remaining_) remaining_ = count;
  }

 private:
  UserBytes user_;
  std::span<std::byte> kernel_;
  std::span<const UserBytes> segments_;  // after user_
  std::uint64_t remaining_;
};

// Where the bytes of a write come from.
class IoSource {
 public:
  explicit IoSource(UserBytes user) : user_(user), remaining_(user.size()) {}
  explicit IoSource(std::span<const std::byte> kernel_bytes) : kernel_(kernel_bytes), remaining_(kernel_bytes.size()) {}
  IoSource(std::span<const UserBytes> segments LIFETIMEBOUND, std::uint64_t total) : segments_(segments), remaining_(total) {}

  std::uint64_t remaining() const { return remaining_; }
  bool empty() const { return remaining_ == 0; }
  // Gives min(remaining, into.size()) bytes; how many, fewer only at inaccessible memory. EFAULT if that is at the first byte.
  Result<std::size_t> take(std::span<std::byte> into);
  void limit(std::uint64_t count) {
    if (count < remaining_) remaining_ = count;
  }

 private:
  UserBytes user_;
  std::span<const std::byte> kernel_;
  std::span<const UserBytes> segments_;
  std::uint64_t remaining_;
};

}  // namespace kernel
#endif  // KERNEL_VFS_IO_H
