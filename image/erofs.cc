#include "image/erofs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <deque>

#include "image/little_endian.h"

namespace image {
namespace {

constexpr std::uint64_t kSuperOffset = 1024;
constexpr std::uint64_t kSuperSize = 128;
constexpr std::uint32_t kMagic = 0xe0f5e1e2;
constexpr std::uint32_t kCompactSize = 32;
constexpr std::uint32_t kExtendedSize = 64;
constexpr std::uint32_t kLayoutPlain = 0;
constexpr std::uint32_t kLayoutInline = 2;
constexpr std::uint64_t kDirentSize = 12;
constexpr int kDeepest = 512;  // folders below each other
constexpr std::string_view kUuid = "6f63636c-756d-4000-8000-696d61676531";

// What the owner may do decides for everybody; only the owner writes.
mode_t common_mode(mode_t mode) {
  const mode_t owner = (mode >> 6) & 7;
  const mode_t others = owner & 5;
  return (mode & ~mode_t{0777}) | (owner << 6) | (others << 3) | others;
}

// Rewrites the permission bits of each inode in place.
Status normalise_modes(const std::filesystem::path& path) {
  const Fd file = IMAGE_TRY(open_file(path, O_RDWR));
  const MappedFile mapped = IMAGE_TRY(MappedFile::open(path));
  const ErofsReader reader = IMAGE_TRY(ErofsReader::open(mapped.data()));
  const auto fix = [&](const std::string& name, const ErofsInode& inode) -> Status {
    const auto mode = static_cast<std::uint16_t>(common_mode(inode.mode));
    if (S_ISLNK(inode.mode) || mode == inode.mode) return {};
    return write_at(file, inode.offset + 4, bytes_of(mode), name);
  };
  const ErofsInode root = IMAGE_TRY(reader.inode(reader.root_nid()));
  IMAGE_CHECK(fix("/", root));
  return reader.walk(fix);
}

// What mkfs.erofs said, without the page on its options that follows some errors.
std::string one_line(std::string text) {
  text.resize(std::min(text.size(), text.find("usage:")));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::ranges::replace(text, '\n', ';');
  return text;
}

}  // namespace

Status make_erofs(const std::filesystem::path& root, const std::filesystem::path& output, const ErofsOptions& options) {
  std::error_code error;
  if (!std::filesystem::is_directory(root, error)) return fail("{}: not a folder", root.string());
  // Without a checksum of block 0: it would have to follow the permission bits, and the hash tree covers every block anyway.
  const ChildResult child = IMAGE_TRY(run_program(
      {"mkfs.erofs", "-x-1", "-U", std::string(kUuid), "--all-root", "--preserve-mtime", "-Enosbcrc", fmt::format("--exclude-regex={}", kTempPattern), "--quiet", output.string(), root.string()},
      {fmt::format("SOURCE_DATE_EPOCH={}", options.epoch)}));
  if (!WIFEXITED(child.status) || WEXITSTATUS(child.status) != 0) {
    if (child.output.find("No space left") != std::string::npos) return fail("{}: no space left for the image", output.parent_path().string());
    return fail("mkfs.erofs failed on {}: {}", root.string(), one_line(child.output));
  }
  return options.keep_modes ? Status{} : normalise_modes(output);
}

Result<std::span<const std::uint8_t>> ErofsReader::part(std::uint64_t offset, std::uint64_t size) const {
  if (!inside(image_, offset, size)) return fail("EROFS image: damaged (offset {:#x} is outside)", offset);
  return image_.subspan(offset, size);
}

Result<ErofsReader> ErofsReader::open(std::span<const std::uint8_t> image) {
  ErofsReader reader(image);
  const auto super = IMAGE_TRY(reader.part(kSuperOffset, kSuperSize));
  if (load<std::uint32_t>(super, 0) != kMagic) return fail("EROFS image: wrong magic");
  if (super[12] != 12) return fail("EROFS image: the block size is not 4096");
  if (load<std::uint32_t>(super, 80) != 0) return fail("EROFS image: has features that are not used here (compression or chunks)");
  reader.root_nid_ = load<std::uint16_t>(super, 14);
  reader.blocks_ = load<std::uint32_t>(super, 36);
  reader.meta_offset_ = std::uint64_t{load<std::uint32_t>(super, 40)} * kBlockSize;
  if (reader.size() > image.size()) return fail("EROFS image: shorter than its superblock says");
  return reader;
}

Result<ErofsInode> ErofsReader::inode(std::uint64_t nid) const {
  if (nid > image_.size() / kCompactSize) return fail("EROFS image: inode {} is outside", nid);
  const std::uint64_t offset = meta_offset_ + nid * kCompactSize;
  const auto head = IMAGE_TRY(part(offset, kCompactSize));
  const std::uint32_t format = load<std::uint16_t>(head, 0);
  const bool extended = (format & 1) != 0;
  const auto raw = IMAGE_TRY(part(offset, extended ? kExtendedSize : kCompactSize));
  ErofsInode inode = {.nid = nid, .size = 0, .offset = offset, .data = 0, .tail = 0, .nlink = 0, .mode = load<std::uint16_t>(raw, 4), .extended = extended};
  inode.size = extended ? load<std::uint64_t>(raw, 8) : load<std::uint32_t>(raw, 8);
  inode.nlink = extended ? load<std::uint32_t>(raw, 44) : load<std::uint16_t>(raw, 6);
  inode.data = std::uint64_t{load<std::uint32_t>(raw, 16)} * kBlockSize;
  const std::uint32_t xattr_count = load<std::uint16_t>(raw, 2);
  const std::uint64_t xattr_size = xattr_count == 0 ? 0 : 12 + 4 * (xattr_count - std::uint64_t{1});
  const std::uint32_t layout = (format >> 1) & 7;
  if (layout != kLayoutPlain && layout != kLayoutInline) return fail("EROFS image: inode {} has data layout {}", nid, layout);
  if (layout == kLayoutInline && inode.size % kBlockSize != 0) inode.tail = offset + raw.size() + xattr_size;
  return inode;
}

Result<Bytes> ErofsReader::read(const ErofsInode& file) const {
  if (file.size > image_.size()) return fail("EROFS image: inode {} is larger than the image", file.nid);
  const std::uint64_t tail_size = file.tail != 0 ? file.size % kBlockSize : 0;
  Bytes data(file.size);
  if (file.size > tail_size) {
    const auto blocks = IMAGE_TRY(part(file.data, file.size - tail_size));
    std::ranges::copy(blocks, data.begin());
  }
  if (tail_size != 0) {
    const auto tail = IMAGE_TRY(part(file.tail, tail_size));
    std::ranges::copy(tail, data.end() - static_cast<std::ptrdiff_t>(tail_size));
  }
  return data;
}

Result<Bytes> ErofsReader::read_start(const ErofsInode& file, std::uint64_t limit) const {
  const std::uint64_t whole_blocks = file.tail != 0 ? file.size - file.size % kBlockSize : file.size;
  if (limit >= whole_blocks) {
    Bytes data = IMAGE_TRY(read(file));
    data.resize(std::min<std::uint64_t>(data.size(), limit));
    return data;
  }
  const auto blocks = IMAGE_TRY(part(file.data, limit));
  return Bytes(blocks.begin(), blocks.end());
}

Result<std::vector<ErofsEntry>> ErofsReader::list(const ErofsInode& directory) const {
  if (!S_ISDIR(directory.mode)) return fail("EROFS image: inode {} is not a folder", directory.nid);
  const Bytes data = IMAGE_TRY(read(directory));
  std::vector<ErofsEntry> entries;
  for (std::uint64_t start = 0; start < data.size(); start += kBlockSize) {
    const std::span<const std::uint8_t> block = std::span(data).subspan(start, std::min(kBlockSize, data.size() - start));
    if (block.size() < kDirentSize) return fail("EROFS image: folder {} is damaged", directory.nid);
    const std::uint64_t count = load<std::uint16_t>(block, 8) / kDirentSize;
    for (std::uint64_t i = 0; i < count; ++i) {
      if (!inside(block, i * kDirentSize, kDirentSize)) return fail("EROFS image: folder {} is damaged", directory.nid);
      const std::uint64_t from = load<std::uint16_t>(block, i * kDirentSize + 8);
      const std::uint64_t to = i + 1 < count && inside(block, (i + 1) * kDirentSize, kDirentSize)
                                   ? load<std::uint16_t>(block, (i + 1) * kDirentSize + 8)
                                   : block.size();
      if (from > to || to > block.size()) return fail("EROFS image: folder {} is damaged", directory.nid);
      std::string name(block.begin() + static_cast<std::ptrdiff_t>(from), block.begin() + static_cast<std::ptrdiff_t>(to));
      name.resize(std::min(name.size(), name.find('\0')));
      if (name != "." && name != "..") entries.push_back({std::move(name), load<std::uint64_t>(block, i * kDirentSize)});
    }
  }
  return entries;
}

Result<std::optional<ErofsInode>> ErofsReader::find(std::string_view path) const {
  constexpr int kMostLinks = 40;
  std::deque<std::string> rest;
  for (const auto& part : std::filesystem::path(path).relative_path()) rest.push_back(part.string());
  std::vector<ErofsInode> stack = {IMAGE_TRY(inode(root_nid_))};
  int links = 0;
  while (!rest.empty()) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (stack.size() > 1) stack.pop_back();
      continue;
    }
    if (!S_ISDIR(stack.back().mode)) return std::nullopt;
    const std::vector<ErofsEntry> entries = IMAGE_TRY(list(stack.back()));
    const auto entry = std::ranges::find(entries, name, &ErofsEntry::name);
    if (entry == entries.end()) return std::nullopt;
    const ErofsInode child = IMAGE_TRY(inode(entry->nid));
    if (!S_ISLNK(child.mode)) {
      stack.push_back(child);
      continue;
    }
    if (++links > kMostLinks) return std::nullopt;
    const Bytes content = IMAGE_TRY(read(child));
    const std::filesystem::path target = std::string(content.begin(), content.end());
    if (target.is_absolute()) stack.resize(1);
    const std::filesystem::path relative = target.relative_path();
    rest.insert(rest.begin(), relative.begin(), relative.end());
  }
  return stack.back();
}

Status ErofsReader::walk_folder(const std::string& path, const ErofsInode& folder, int depth, const Visitor& visit) const {
  if (depth > kDeepest) return fail("EROFS image: folders are nested deeper than {}", kDeepest);
  const std::vector<ErofsEntry> entries = IMAGE_TRY(list(folder));
  for (const ErofsEntry& entry : entries) {
    const ErofsInode child = IMAGE_TRY(inode(entry.nid));
    const std::string child_path = path + "/" + entry.name;
    IMAGE_CHECK(visit(child_path, child));
    if (S_ISDIR(child.mode)) IMAGE_CHECK(walk_folder(child_path, child, depth + 1, visit));
  }
  return {};
}

Status ErofsReader::walk(const Visitor& visit) const {
  const ErofsInode root = IMAGE_TRY(inode(root_nid_));
  return walk_folder("", root, 0, visit);
}

}  // namespace image
