// Contents of a page that several address spaces have at one address (overlap groups, docs/decisions/overlap-groups.md).
#ifndef KERNEL_MM_PAGE_VERSION_H
#define KERNEL_MM_PAGE_VERSION_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/tree.h"
#include "kernel/mm/backing.h"
#include "kernel/mm/page_buffer.h"

namespace kernel {

// One content. It is set aside in kernel memory, or it lies in place: then the page at that address holds it and is not writable, since
// all who refer to it see the same. References are held by VersionMaps only, so that their number is the number of sharers.
class PageVersion final : public RefCounted<PageVersion> {
 public:
  PageVersion();
  ~PageVersion();
  bool in_place() const { return buffer_.empty(); }
  bool is_shared() const { return ref_count() > 1; }
  PageView bytes() const { return buffer_.page(0); }
  // From in place to set aside, with this content. ENOMEM.
  Result<> set_aside(ConstPageView content);
  // From set aside to in place; the caller has put the content there.
  void put_in_place();

 private:
  mm::PageBuffer buffer_;
};

// What one address space knows of pages whose content is not simply the page in place: page -> version, in order of addresses. Exchanges walk
// it page by page, so that the place of the last look is kept: calls exclude each other, the const ones too (overlap_lock).
class VersionMap {
 public:
  VersionMap() = default;
  ~VersionMap() { clear(); }
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  PageVersion* find(std::uint64_t page) const;
  // ENOMEM. There is no entry for the page yet.
  Result<> add(std::uint64_t page, Ref<PageVersion> version);
  RefPtr<PageVersion> take(std::uint64_t page);
  // The first page of [begin, end) with an entry; `end` if there is none.
  std::uint64_t next(std::uint64_t begin, std::uint64_t end) const;
  void erase(std::uint64_t begin, std::uint64_t end);
  bool is_shared_in_place(std::uint64_t page) const;
  // Contents that are set aside; those of them that nobody else has.
  std::size_t set_aside(bool alone) const;
  void erase_set_aside();
  void clear();

 private:
  static constexpr std::uint64_t kSlots = 64;
  struct Chunk : TreeNode<Chunk> {
    std::uint64_t number = 0;  // first page number / kSlots
    std::uint64_t used = 0;    // a bit per slot
    std::array<RefPtr<PageVersion>, kSlots> slots;
  };
  struct Traits {
    static std::uint64_t key(const Chunk& chunk) { return chunk.number; }
    static void update(Chunk&, const Chunk*, const Chunk*) {}
  };
  Chunk* chunk_of(std::uint64_t page) const;
  void drop_chunk(Chunk& chunk);
  Tree<Chunk, Traits> chunks_;
  std::size_t count_ = 0;
  // The last number that was looked for, or found behind it, and its chunk: nullptr if there is none.
  mutable std::uint64_t recent_number_ = ~std::uint64_t{0};
  mutable Chunk* recent_ = nullptr;
};

}  // namespace kernel
#endif  // KERNEL_MM_PAGE_VERSION_H
