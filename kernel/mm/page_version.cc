#include "kernel/mm/page_version.h"

#include <algorithm>
#include <bit>

#include "kernel/frame/bytes.h"
#include "kernel/mm/overlap.h"

namespace kernel {

PageVersion::PageVersion() { overlap_statistics().versions.fetch_add(1, std::memory_order_relaxed); }
PageVersion::~PageVersion() { overlap_statistics().versions.fetch_sub(1, std::memory_order_relaxed); }

Result<> PageVersion::set_aside(ConstPageView content) {
  KASSERT(in_place());
  buffer_ = TRY(mm::PageBuffer::make(1));
  copy_bytes(buffer_.page(0), content);
  return {};
}

void PageVersion::put_in_place() {
  const mm::PageBuffer gone = std::move(buffer_);
}

VersionMap::Chunk* VersionMap::chunk_of(std::uint64_t page) const {
  const std::uint64_t number = (page >> kPageShift) / kSlots;
  if (number == recent_number_) return recent_;
  Chunk* chunk = chunks_.floor(number);
  recent_ = chunk != nullptr && chunk->number == number ? chunk : nullptr;
  recent_number_ = number;
  return recent_;
}

void VersionMap::drop_chunk(Chunk& chunk) {
  chunks_.remove(chunk);
  if (recent_ == &chunk) recent_ = nullptr;  // there is none of that number now
  const Own<Chunk> gone = Own<Chunk>::adopt(&chunk, {.size = sizeof(Chunk), .align = alignof(Chunk)});
}

PageVersion* VersionMap::find(std::uint64_t page) const {
  if (count_ == 0) return nullptr;
  const Chunk* chunk = chunk_of(page);
  return chunk == nullptr ? nullptr : chunk->slots[(page >> kPageShift) % kSlots].get();
}

Result<> VersionMap::add(std::uint64_t page, Ref<PageVersion> version) {
  Chunk* chunk = chunk_of(page);
  if (chunk == nullptr) {
    Own<Chunk> fresh = TRY(make_own<Chunk>());
    fresh->number = (page >> kPageShift) / kSlots;
    chunk = fresh.leak();
    chunks_.insert(*chunk);
    recent_ = chunk;
    recent_number_ = chunk->number;
  }
  const std::uint64_t slot = (page >> kPageShift) % kSlots;
  KASSERT(!chunk->slots[slot]);
  chunk->slots[slot] = RefPtr<PageVersion>(version);
  chunk->used |= std::uint64_t{1} << slot;
  ++count_;
  return {};
}

RefPtr<PageVersion> VersionMap::take(std::uint64_t page) {
  Chunk* chunk = count_ == 0 ? nullptr : chunk_of(page);
  const std::uint64_t slot = (page >> kPageShift) % kSlots;
  if (chunk == nullptr || !chunk->slots[slot]) return nullptr;
  RefPtr<PageVersion> version = std::exchange(chunk->slots[slot], RefPtr<PageVersion>());
  chunk->used &= ~(std::uint64_t{1} << slot);
  --count_;
  if (chunk->used == 0) drop_chunk(*chunk);
  return version;
}

std::uint64_t VersionMap::next(std::uint64_t begin, std::uint64_t end) const {
  if (count_ == 0 || begin >= end) return end;
  const std::uint64_t first = begin >> kPageShift;
  const Chunk* chunk = chunk_of(begin);
  std::uint64_t bits = chunk == nullptr ? 0 : chunk->used & (~std::uint64_t{0} << (first % kSlots));
  if (bits == 0) {
    chunk = chunk != nullptr ? Tree<Chunk, Traits>::next(*chunk) : chunks_.ceiling(first / kSlots + 1);
    if (chunk == nullptr) return end;
    bits = chunk->used;
  }
  const std::uint64_t page = (chunk->number * kSlots + static_cast<std::uint64_t>(std::countr_zero(bits))) << kPageShift;
  return std::min(page, end);
}

void VersionMap::erase(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t page = next(begin, end); page < end; page = next(page + kPageSize, end)) take(page);
}

bool VersionMap::is_shared_in_place(std::uint64_t page) const {
  if (count_ == 0) return false;
  const Chunk* chunk = chunk_of(page);
  if (chunk == nullptr) return false;
  const RefPtr<PageVersion>& version = chunk->slots[(page >> kPageShift) % kSlots];
  return version && version->in_place() && version->is_shared();
}

std::size_t VersionMap::set_aside(bool alone) const {
  constexpr std::uint64_t kEnd = ~std::uint64_t{0};
  std::size_t pages = 0;
  for (std::uint64_t page = next(0, kEnd); page < kEnd; page = next(page + kPageSize, kEnd)) {
    const PageVersion& version = *find(page);
    if (!version.in_place() && !(alone && version.is_shared())) ++pages;
  }
  return pages;
}

void VersionMap::erase_set_aside() {
  constexpr std::uint64_t kEnd = ~std::uint64_t{0};
  for (std::uint64_t page = next(0, kEnd); page < kEnd; page = next(page + kPageSize, kEnd))
    if (!find(page)->in_place()) take(page);
}

void VersionMap::clear() {
  while (Chunk* chunk = chunks_.first()) drop_chunk(*chunk);
  count_ = 0;
}

}  // namespace kernel
