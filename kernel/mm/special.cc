// SpecialPages: memory that the kernel provides to programs.
#include <algorithm>

#include "kernel/base/checked.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/pages.h"
#include "kernel/mm/area.h"
#include "kernel/mm/page_buffer.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/user_memory.h"

namespace kernel {
namespace {

// Commits pages at `begin` with the content and zeros behind it.
Result<> commit_content(std::uint64_t begin, std::span<const std::byte> content, std::uint32_t permissions) {
  const mm::PageBuffer buffer = TRY(mm::PageBuffer::make(1));
  for (std::size_t done = 0; done < content.size(); done += kPageSize) {
    const std::size_t piece = std::min(content.size() - done, kPageSize);
    zero_bytes(buffer.page(0));
    copy_bytes(buffer.page(0), content.subspan(done, piece));
    TRY(mm::page_map().commit_copy(begin + done, buffer.page(0), permissions));
  }
  return {};
}

Result<Ref<SpecialPages>> make_at(std::uint64_t begin, std::span<const std::byte> content, std::uint32_t prot, bool kernel_writable,
                                  std::string_view label) {
  const Ref<MapLabel> text = TRY(MapLabel::make(label));
  TRY(commit_content(begin, content, mm::permissions_for(kernel_writable ? prot | kProtWrite : prot)));
  return make_ref<SpecialPages>(begin, round_up(content.size(), kPageSize), prot, kernel_writable, text);
}

}  // namespace

SpecialPages::SpecialPages(std::uint64_t begin, std::uint64_t size, std::uint32_t prot, bool kernel_writable, Ref<MapLabel> label)
    : begin_(begin), size_(size), prot_(prot), kernel_writable_(kernel_writable), label_(label) {}

SpecialPages::~SpecialPages() { mm::give_range(begin_, size_, 0, false); }

Result<Ref<SpecialPages>> SpecialPages::make(std::span<const std::byte> content, std::uint32_t prot, bool kernel_writable, std::string_view label) {
  const std::uint64_t size = round_up(content.size(), kPageSize);
  const std::uint64_t begin = TRY(mm::take_range(size, kPageSize, 0, false)).begin;
  auto made = make_at(begin, content, prot, kernel_writable, label);
  if (!made.ok()) mm::give_range(begin, size, 0, false);
  return made;
}

Result<SpecialPages::Pair> SpecialPages::make_adjacent(std::span<const std::byte> first, std::uint32_t first_prot, bool first_writable,
                                                       std::string_view first_label, std::span<const std::byte> second,
                                                       std::uint32_t second_prot, std::string_view second_label) {
  const std::uint64_t first_size = round_up(first.size(), kPageSize);
  const std::uint64_t second_size = round_up(second.size(), kPageSize);
  const std::uint64_t begin = TRY(mm::take_range(first_size + second_size, kPageSize, 0, false)).begin;
  auto low = make_at(begin, first, first_prot, first_writable, first_label);
  if (!low.ok()) {
    mm::give_range(begin, first_size + second_size, 0, false);
    return low.error();
  }
  const Ref<SpecialPages> low_pages = std::move(low).release();
  auto high = make_at(begin + first_size, second, second_prot, false, second_label);
  if (!high.ok()) {
    mm::give_range(begin + first_size, second_size, 0, false);
    return high.error();
  }
  return Pair{.first = low_pages, .second = std::move(high).release()};
}

std::span<std::byte> SpecialPages::bytes() const {
  KASSERT(kernel_writable_);
  return frame::page_bytes(begin_, static_cast<std::size_t>(size_));
}

}  // namespace kernel
