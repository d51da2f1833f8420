// A ring of bytes of a fixed size. No lock of its own.
#ifndef KERNEL_FS_TTY_BYTE_RING_H
#define KERNEL_FS_TTY_BYTE_RING_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernel/base/result.h"
#include "kernel/base/vec.h"

namespace kernel {

class ByteRing {
 public:
  // `size` is a power of two. ENOMEM. Once, before use.
  Result<> allocate(std::size_t size) { return bytes_.try_resize(size); }
  std::size_t size() const { return static_cast<std::size_t>(tail_ - head_); }
  std::size_t room() const { return bytes_.size() - size(); }
  bool empty() const { return head_ == tail_; }
  bool push(std::uint8_t byte) {
    if (room() == 0) return false;
    bytes_[tail_++ & (bytes_.size() - 1)] = byte;
    return true;
  }
  std::uint8_t at(std::size_t index) const { return bytes_[(head_ + index) & (bytes_.size() - 1)]; }
  void drop(std::size_t count) { head_ += std::min(count, size()); }
  // Keeps the oldest `count` bytes at most.
  void truncate(std::size_t count) { tail_ = head_ + std::min(count, size()); }
  std::size_t take(std::span<std::byte> into) {
    const std::size_t count = std::min(into.size(), size());
    for (std::size_t i = 0; i < count; ++i) into[i] = static_cast<std::byte>(at(i));
    head_ += count;
    return count;
  }

 private:
  Vec<std::uint8_t> bytes_;
  std::uint64_t head_ = 0, tail_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_FS_TTY_BYTE_RING_H
