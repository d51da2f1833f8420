#include "kernel/vfs/page.h"

#include "kernel/frame/bytes.h"
#include "kernel/frame/heap.h"

namespace kernel {

CachedPage::~CachedPage() { frame::free_pages(memory_); }

Result<Ref<CachedPage>> make_page(bool zeroed) {
  const std::span<std::byte> memory = TRY(frame::allocate_pages(1));
  Result<Ref<CachedPage>> page = make_ref<CachedPage>(memory);
  if (!page.ok()) {
    frame::free_pages(memory);
    return page.error();
  }
  if (zeroed) zero_bytes(memory);
  return page;
}

}  // namespace kernel
