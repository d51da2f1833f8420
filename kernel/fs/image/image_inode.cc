// Inodes of the image: where their bytes are.
#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/fs/image/image_fs.h"
#include "kernel/host/log.h"

namespace kernel {

namespace {
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 50;
constexpr std::size_t kReadAhead = BlockCache::kRun;

std::uint64_t decode_device(std::uint32_t coded) {
  return abi::make_device((coded & 0xfff00) >> 8, (coded & 0xff) | ((coded >> 12) & 0xfff00));
}
}  // namespace

ImageInode::ImageInode(Ref<ImageSuperblock> superblock, std::uint64_t nid, Mode mode, Owner owner, FileTime time)
    : Inode(superblock, nid, mode, owner, time), image_(*superblock) {}

Result<> ImageInode::load() {
  const std::uint64_t at = image_.inode_offset(nid());
  erofs::CompactInode compact{};
  TRY(image_.read_meta(at, std::as_writable_bytes(std::span(&compact, 1))));
  std::uint64_t size = compact.size;
  std::uint64_t head = sizeof(compact);
  if ((compact.format & 1) != 0) {
    erofs::ExtendedInode extended{};
    TRY(image_.read_meta(at, std::as_writable_bytes(std::span(&extended, 1))));
    size = extended.size;
    head = sizeof(extended);
    place_ = extended.place;
    set_mode(extended.mode);
    set_owner({.uid = extended.uid, .gid = extended.gid});
    set_links(extended.nlink);
    FileTime time = 0;
    constexpr FileTime kSecond = 1'000'000'000;
    if (!__builtin_mul_overflow(static_cast<FileTime>(extended.mtime), kSecond, &time)) time += extended.mtime_nsec % kSecond;
    set_times(time, time, time);
  } else {
    place_ = compact.place;
    set_mode(compact.mode);
    set_owner({.uid = compact.uid, .gid = compact.gid});
    set_links(compact.nlink);
    set_times(image_.build_time(), image_.build_time(), image_.build_time());
  }
  layout_ = (compact.format >> 1) & 7;
  if (size > kMostBytes || type() == FileType::none) return image_.broken("inode", nid());
  size_.store(size, std::memory_order_relaxed);
  blocks_.store((size + 511) / 512, std::memory_order_relaxed);
  xattr_offset_ = at + head;
  if (compact.xattr_count != 0) xattr_size_ = static_cast<std::uint32_t>(sizeof(erofs::XattrHeader)) + 4 * (compact.xattr_count - 1U);
  tail_ = xattr_offset_ + xattr_size_;
  switch (type()) {
    case FileType::character:
    case FileType::block:
      rdev_.store(decode_device(place_), std::memory_order_relaxed);
      [[fallthrough]];
    case FileType::fifo:
    case FileType::socket:
      size_.store(0, std::memory_order_relaxed);
      return {};
    default:
      break;
  }
  if (layout_ != erofs::kLayoutPlain && layout_ != erofs::kLayoutInline && layout_ != erofs::kLayoutChunked)
    return image_.broken("inode layout (compressed images are not supported)", nid());
  if (layout_ == erofs::kLayoutInline && tail_ % kPageSize + size % kPageSize > kPageSize) return image_.broken("inline data", nid());
  return {};
}

Result<ImageInode::Place> ImageInode::locate_chunk(std::uint64_t page) {
  const unsigned bits = place_ & erofs::kChunkBitsMask;
  const bool indexes = (place_ & erofs::kChunkIndexes) != 0;
  const std::uint64_t unit = indexes ? sizeof(erofs::ChunkIndex) : sizeof(std::uint32_t);
  const std::uint64_t at = round_up(tail_, unit) + (page >> bits) * unit;
  std::uint32_t start = 0;
  if (indexes) {
    erofs::ChunkIndex index{};
    TRY(image_.read_meta(at, std::as_writable_bytes(std::span(&index, 1))));
    if (index.device != 0) return image_.broken("chunk (on another device)", nid());
    start = index.block;
  } else {
    TRY(image_.read_meta(at, std::as_writable_bytes(std::span(&start, 1))));
  }
  if (start == erofs::kNullBlock) return Place{.kind = Place::Kind::hole};
  const std::uint64_t inside = page & ((std::uint64_t{1} << bits) - 1);
  const std::uint64_t left = (std::uint64_t{1} << bits) - inside;
  return Place{.kind = Place::Kind::block, .block = start + inside, .run = static_cast<std::size_t>(std::min<std::uint64_t>(left, kReadAhead))};
}

Result<ImageInode::Place> ImageInode::locate(std::uint64_t page) {
  const std::uint64_t size = this->size();
  Place result{.kind = Place::Kind::block};
  if (layout_ == erofs::kLayoutChunked) {
    result = TRY(locate_chunk(page));
  } else if (layout_ == erofs::kLayoutInline && page == size / kPageSize) {
    return Place{.kind = Place::Kind::tail, .offset = tail_};
  } else {
    result.block = std::uint64_t{place_} + page;
    result.run = kReadAhead;
  }
  if (result.kind == Place::Kind::hole) return result;
  // No further than the file's own blocks.
  const std::uint64_t pages = layout_ == erofs::kLayoutInline ? size / kPageSize : (size + kPageSize - 1) / kPageSize;
  result.run = static_cast<std::size_t>(std::min<std::uint64_t>(result.run, pages - page));
  if (result.block >= image_.block_limit()) return image_.broken("block of a file, beyond the end", nid());
  return result;
}

// Up to the end of the page that holds `offset`: to `into`, or to `sink` if there is one. `want` bounds the read-ahead (in pages).
Result<std::size_t> ImageInode::read_part(std::uint64_t offset, std::span<std::byte> into, IoSink* sink, std::size_t want) {
  const auto in_page = static_cast<std::size_t>(offset % kPageSize);
  const std::uint64_t most = std::min<std::uint64_t>(size() - offset, kPageSize - in_page);
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(most, sink != nullptr ? sink->remaining() : into.size()));
  const Place place = TRY(locate(offset / kPageSize));
  if (place.kind == Place::Kind::hole) {
    if (sink != nullptr) return sink->put_zeros(count);
    zero_bytes(into.first(count));
    return count;
  }
  std::uint64_t block = place.block;
  std::size_t start = in_page;
  if (place.kind == Place::Kind::tail) {
    block = place.offset / kPageSize;
    start += static_cast<std::size_t>(place.offset % kPageSize);
    if (start + count > kPageSize) return image_.broken("inline data", nid());
  }
  const Ref<CachedPage> page = TRY(image_.blocks().get(block, std::min(want, place.run)));
  const std::span<const std::byte> bytes = page->bytes().subspan(start, count);
  if (sink != nullptr) return sink->put(bytes);
  copy_bytes(into, bytes);
  return count;
}

Result<std::size_t> ImageInode::read_at(std::uint64_t offset, IoSink& sink) {
  if (is_directory()) return Errno::isdir;
  const std::uint64_t size = this->size();
  std::size_t done = 0;
  // A reader that goes on where it stopped gets read-ahead beyond what it asks for.
  const bool sequential = expected_read_.load(std::memory_order_relaxed) == offset;
  while (offset < size && !sink.full()) {
    const std::uint64_t asked = (std::min(sink.remaining(), size - offset) + kPageSize - 1) / kPageSize;
    const std::size_t want = sequential ? kReadAhead : static_cast<std::size_t>(std::min<std::uint64_t>(asked + 1, kReadAhead));
    const std::uint64_t left = std::min<std::uint64_t>({sink.remaining(), size - offset, kPageSize - offset % kPageSize});
    Result<std::size_t> part = read_part(offset, {}, &sink, want);
    if (!part.ok()) {
      if (done == 0) return part.error();
      break;
    }
    const std::size_t count = std::move(part).release();
    done += count;
    offset += count;
    if (count < left) break;
  }
  expected_read_.store(offset, std::memory_order_relaxed);
  return done;
}

Result<> ImageInode::read_content(std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    if (offset >= size()) return image_.broken("size", nid());
    const std::size_t count = TRY(read_part(offset, into, nullptr, 1));
    into = into.subspan(count);
    offset += count;
  }
  return {};
}

Result<> ImageInode::read_page(std::uint64_t index, PageView into) {
  if (index > kMostBytes / kPageSize) return Errno::inval;
  const std::uint64_t offset = index * kPageSize;
  const std::uint64_t size = this->size();
  const auto count = static_cast<std::size_t>(offset >= size ? 0 : std::min<std::uint64_t>(size - offset, kPageSize));
  if (count != 0) {
    const Place place = TRY(locate(index));
    if (place.kind == Place::Kind::block)
      TRY(image_.blocks().read_uncached(place.block, into));
    else
      TRY(read_part(offset, into, nullptr, 1));
  }
  zero_bytes(into.subspan(count));
  return {};
}

Result<std::uint64_t> ImageInode::seek_data(std::uint64_t offset, bool hole) {
  const std::uint64_t size = this->size();
  if (offset >= size) return Errno::nxio;
  if (layout_ != erofs::kLayoutChunked) return hole ? size : offset;
  for (std::uint64_t at = offset; at < size;) {
    const Place place = TRY(locate(at / kPageSize));
    if ((place.kind == Place::Kind::hole) == hole) return at;
    at = (at / kPageSize + 1) * kPageSize;
  }
  return hole ? Result<std::uint64_t>(size) : Result<std::uint64_t>(Errno::nxio);
}

Result<std::size_t> ImageInode::read_link(std::span<char> into) {
  if (!is_symlink()) return Errno::inval;
  const LockGuard guard(lazy_lock_);
  if (link_.empty()) {
    if (size() == 0 || size() >= kPathMax) return image_.broken("symbolic link", nid());
    Vec<char> text;
    TRY(text.try_resize(static_cast<std::size_t>(size())));
    TRY(read_content(0, std::as_writable_bytes(text.span())));
    link_ = std::move(text);
  }
  const std::size_t count = std::min(into.size(), link_.size());
  std::copy_n(link_.begin(), count, into.begin());
  return count;
}

std::span<const host_abi::PatchSite> ImageInode::patch_sites() {
  if (!sites_loaded_.load(std::memory_order_acquire)) {
    const LockGuard guard(lazy_lock_);
    if (!sites_loaded_.load(std::memory_order_relaxed)) {
      Result<Vec<host_abi::PatchSite>> sites = image_.load_patch_sites(nid());
      if (sites.ok())
        sites_ = std::move(sites).release();
      else
        LOG(warn) << "image: no patch table for inode " << nid() << "; its system calls trap";
      sites_loaded_.store(true, std::memory_order_release);
    }
  }
  return sites_.span();
}

}  // namespace kernel
