// Kernel pages for a while: where file pages are put together before they are copied into the program's memory at once.
#ifndef KERNEL_MM_PAGE_BUFFER_H
#define KERNEL_MM_PAGE_BUFFER_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "kernel/base/result.h"
#include "kernel/frame/heap.h"
#include "kernel/mm/backing.h"

namespace kernel::mm {

class PageBuffer {
 public:
  PageBuffer() = default;
  // ENOMEM. Content undefined.
  static Result<PageBuffer> make(std::uint64_t pages) {
    PageBuffer buffer;
    buffer.bytes_ = TRY(frame::allocate_pages(static_cast<std::size_t>(pages)));
    return buffer;
  }
  PageBuffer(PageBuffer&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  PageBuffer& operator=(PageBuffer&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PageBuffer() { frame::free_pages(bytes_); }

  bool empty() const { return bytes_.empty(); }
  PageView page(std::uint64_t index) const { return bytes_.subspan(static_cast<std::size_t>(index) * kPageSize).first<kPageSize>(); }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace kernel::mm
#endif  // KERNEL_MM_PAGE_BUFFER_H
