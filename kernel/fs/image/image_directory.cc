// Directories of the image: blocks of records sorted by name, found by binary search.
#include <algorithm>
#include <array>
#include <compare>

#include "kernel/frame/bytes.h"
#include "kernel/fs/image/image_fs.h"

namespace kernel {

namespace {

// One directory block: records, then names. Checks everything it is asked.
class DirectoryBlock {
 public:
  explicit DirectoryBlock(std::span<const std::byte> bytes LIFETIMEBOUND) : bytes_(bytes) {}

  // How many records there are; 0 = damaged.
  std::size_t count() const {
    if (bytes_.size() < sizeof(erofs::DirectoryRecord)) return 0;
    const std::size_t names = record(0).name_offset;
    if (names % sizeof(erofs::DirectoryRecord) != 0 || names == 0 || names > bytes_.size()) return 0;
    return names / sizeof(erofs::DirectoryRecord);
  }
  erofs::DirectoryRecord record(std::size_t index) const {
    return load_bytes<erofs::DirectoryRecord>(bytes_, index * sizeof(erofs::DirectoryRecord));
  }
  // Empty = damaged.
  std::string_view name(std::size_t index) const LIFETIMEBOUND {
    const std::size_t begin = record(index).name_offset;
    const std::size_t end = index + 1 < count() ? record(index + 1).name_offset : bytes_.size();
    if (begin >= end || end > bytes_.size()) return {};
    const std::string_view text = text_of(bytes_.subspan(begin, end - begin));
    return text.substr(0, text.find('\0'));
  }

 private:
  std::span<const std::byte> bytes_;
};

std::uint64_t nid_of(const erofs::DirectoryRecord& record) { return (std::uint64_t{record.nid_high} << 32) | record.nid_low; }

FileType type_from(std::uint8_t coded) {
  constexpr std::array<FileType, 8> kTypes{FileType::none,  FileType::regular, FileType::directory, FileType::character,
                                           FileType::block, FileType::fifo,    FileType::socket,    FileType::symlink};
  return coded < kTypes.size() ? kTypes[coded] : FileType::none;
}

bool is_dots(std::string_view name) { return name == "." || name == ".."; }

// Heap room for one block: kernel stacks are small.
struct BlockRoom {
  BlockRoom() {}  // NOLINT: filled before it is read
  std::array<std::byte, kPageSize> bytes;
};

}  // namespace

// Reads block `index` of the directory; how many bytes of it are used.
Result<std::size_t> ImageInode::directory_block(std::uint64_t index, std::span<std::byte> into) {
  const std::uint64_t offset = index * kPageSize;
  if (offset >= size()) return image_.broken("directory", nid());
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size() - offset, kPageSize));
  TRY(read_content(offset, into.first(count)));
  return count;
}

Result<Ref<Inode>> ImageInode::lookup(std::string_view name) {
  if (!is_directory()) return Errno::notdir;
  const Own<BlockRoom> room = TRY(make_own<BlockRoom>());
  // The last block whose first name is not greater.
  std::uint64_t low = 0, high = (size() + kPageSize - 1) / kPageSize;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    const std::size_t used = TRY(directory_block(middle, room->bytes));
    const DirectoryBlock block(std::span(room->bytes).first(used));
    const std::size_t count = block.count();
    if (count == 0) return image_.broken("directory", nid());
    if (name < block.name(0)) {
      high = middle;
      continue;
    }
    if (name > block.name(count - 1)) {
      low = middle + 1;
      continue;
    }
    std::size_t first = 0, last = count;
    while (first < last) {
      const std::size_t at = first + (last - first) / 2;
      const std::string_view here = block.name(at);
      if (here.empty()) return image_.broken("directory", nid());
      const std::strong_ordering order = name <=> here;
      if (order == std::strong_ordering::equal) return Ref<Inode>(TRY(image_.inode(nid_of(block.record(at)))));
      if (order == std::strong_ordering::less)
        last = at;
      else
        first = at + 1;
    }
    return Errno::noent;
  }
  return Errno::noent;
}

// Offsets: 2 + block * kPageSize + index of the record in its block; "." and ".." are records of the image that are left out.
Result<> ImageInode::read_directory(std::uint64_t offset, DirectorySink& sink) {
  if (!is_directory()) return Errno::notdir;
  const Own<BlockRoom> room = TRY(make_own<BlockRoom>());
  const std::uint64_t start = offset < 2 ? 0 : offset - 2;
  const std::uint64_t blocks = (size() + kPageSize - 1) / kPageSize;
  std::uint64_t index = start % kPageSize;
  for (std::uint64_t at = start / kPageSize; at < blocks; ++at, index = 0) {
    const std::size_t used = TRY(directory_block(at, room->bytes));
    const DirectoryBlock block(std::span(room->bytes).first(used));
    const std::size_t count = block.count();
    if (count == 0) return image_.broken("directory", nid());
    for (; index < count; ++index) {
      const std::string_view name = block.name(index);
      if (name.empty() || name.size() > kNameMax || name.find('/') != std::string_view::npos) return image_.broken("directory", nid());
      if (is_dots(name)) continue;
      const erofs::DirectoryRecord record = block.record(index);
      const std::uint64_t next = 2 + (index + 1 < count ? at * kPageSize + index + 1 : (at + 1) * kPageSize);
      if (!sink.add({.name = name, .ino = nid_of(record), .type = type_from(record.type), .next = next})) return {};
    }
  }
  return {};
}

}  // namespace kernel
