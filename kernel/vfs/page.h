// One page of kernel memory that is counted: page caches and RAM files hold them, reads and writes in progress too.
#ifndef KERNEL_VFS_PAGE_H
#define KERNEL_VFS_PAGE_H

#include <cstddef>
#include <span>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/mm/backing.h"

namespace kernel {

class CachedPage final : public RefCounted<CachedPage> {
 public:
  explicit CachedPage(std::span<std::byte> memory) : memory_(memory) {}
  ~CachedPage();
  PageView bytes() const { return memory_.first<kPageSize>(); }

 private:
  const std::span<std::byte> memory_;  // one page of our own
};

// Content is undefined unless `zeroed`. ENOMEM.
Result<Ref<CachedPage>> make_page(bool zeroed);

}  // namespace kernel
#endif  // KERNEL_VFS_PAGE_H
