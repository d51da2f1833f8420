// Extended attributes of the image.
#include <algorithm>
#include <array>

#include "kernel/base/string.h"
#include "kernel/frame/bytes.h"
#include "kernel/fs/image/image_fs.h"

namespace kernel {

namespace {

std::string_view prefix_of(std::uint8_t index) {
  switch (index) {
    case 1:
      return "user.";
    case 2:
      return "system.posix_acl_access";
    case 3:
      return "system.posix_acl_default";
    case 4:
      return "trusted.";
    case 6:
      return "security.";
    default:
      return {};
  }
}

struct XattrView {
  std::string_view name;        // with its prefix
  std::uint64_t value_offset;   // in the image
  std::size_t value_size;
};

}  // namespace

// Calls visit(XattrView) -> Result<bool>: true ends the walk.
template <class Visit>
Result<> ImageInode::visit_xattrs(Visit&& visit) {
  if (xattr_size_ == 0) return {};
  erofs::XattrHeader header{};
  TRY(image_.read_meta(xattr_offset_, std::as_writable_bytes(std::span(&header, 1))));
  std::uint64_t at = xattr_offset_ + sizeof(header);
  const std::uint64_t end = xattr_offset_ + xattr_size_;
  const std::uint64_t inline_start = at + header.shared_count * std::uint64_t{4};
  if (inline_start > end) return image_.broken("extended attributes", nid());
  const auto one = [&](std::uint64_t place, std::uint64_t& next) -> Result<bool> {
    erofs::XattrEntry entry{};
    TRY(image_.read_meta(place, std::as_writable_bytes(std::span(&entry, 1))));
    std::array<char, 256> rest{};
    const std::span<char> rest_used = std::span(rest).first(entry.name_size);
    TRY(image_.read_meta(place + sizeof(entry), std::as_writable_bytes(rest_used)));
    FixedString<300> name;
    TRY(name.append(prefix_of(entry.name_index)));
    TRY(name.append(std::string_view(rest_used.data(), rest_used.size())));
    const std::uint64_t value = place + sizeof(entry) + entry.name_size;
    next = round_up(value + entry.value_size, 4);
    return visit(XattrView{.name = name.view(), .value_offset = value, .value_size = entry.value_size});
  };
  std::uint64_t next = 0;
  for (; at < inline_start; at += 4) {
    std::uint32_t id = 0;
    TRY(image_.read_meta(at, std::as_writable_bytes(std::span(&id, 1))));
    if (TRY(one(image_.shared_xattr_offset(id), next))) return {};
  }
  while (at + sizeof(erofs::XattrEntry) <= end) {
    if (TRY(one(at, next))) return {};
    at = next;
  }
  return {};
}

Result<std::size_t> ImageInode::get_xattr(std::string_view name, std::span<std::byte> into) {
  bool found = false;
  std::size_t size = 0;
  TRY(visit_xattrs([&](const XattrView& view) -> Result<bool> {
    if (view.name != name) return false;
    found = true;
    size = view.value_size;
    if (into.empty()) return true;
    if (size > into.size()) return Errno::range;
    TRY(image_.read_meta(view.value_offset, into.first(size)));
    return true;
  }));
  if (!found) return Errno::nodata;
  return size;
}

Result<std::size_t> ImageInode::list_xattrs(std::span<char> into) {
  std::size_t size = 0;
  TRY(visit_xattrs([&](const XattrView& view) -> Result<bool> {
    const std::size_t start = size;
    size += view.name.size() + 1;
    if (into.empty()) return false;
    if (size > into.size()) return Errno::range;
    std::copy(view.name.begin(), view.name.end(), into.subspan(start, view.name.size()).begin());
    into[size - 1] = '\0';
    return false;
  }));
  return size;
}

}  // namespace kernel
