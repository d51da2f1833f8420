// Content of RAM files: pages by index, holes where nothing was written. Bytes beyond the size in the last page are zero.
#include <algorithm>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/heap.h"
#include "kernel/fs/ram/ram_fs.h"
#include "kernel/mm/shared.h"

namespace kernel {

namespace {

class ChangeGuard {
 public:
  explicit ChangeGuard(PositionLock& lock) : lock_(lock) { lock_.lock(); }
  ~ChangeGuard() { lock_.unlock(); }
  ChangeGuard(const ChangeGuard&) = delete;
  ChangeGuard& operator=(const ChangeGuard&) = delete;

 private:
  PositionLock& lock_;
};

constexpr std::uint64_t pages_for(std::uint64_t bytes) { return (bytes + kPageSize - 1) / kPageSize; }

}  // namespace

RamFile::~RamFile() { drop_pages(0, ~std::uint64_t{0}); }

void RamFile::drop_pages(std::uint64_t first, std::uint64_t last) {
  const std::uint64_t dropped = pages_.remove(first, last);
  if (dropped == 0) return;
  ram().give_back(dropped * kPageSize);
  blocks_.fetch_sub(dropped * (kPageSize / 512), std::memory_order_relaxed);
}

void RamFile::raise_size(std::uint64_t size) {
  std::uint64_t seen = size_.load(std::memory_order_relaxed);
  while (seen < size && !size_.compare_exchange_weak(seen, size, std::memory_order_acq_rel)) {
  }
}

void RamFile::note_write() { touch(false, true); }

Result<std::size_t> RamFile::read_at(std::uint64_t offset, IoSink& sink) {
  std::size_t done = 0;
  while (!sink.full()) {
    const std::uint64_t size = size_.load(std::memory_order_acquire);
    if (offset >= size) break;
    const auto in_page = static_cast<std::size_t>(offset % kPageSize);
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>({size - offset, kPageSize - in_page, sink.remaining()}));
    RefPtr<CachedPage> page = pages_.find(offset / kPageSize);
    if (has_shared_window()) {
      // Some of these bytes may live in the window: put together in a page of our own.
      const Ref<CachedPage> bounce = TRY(make_page(true));
      if (page) copy_bytes(bounce->bytes(), page->bytes());
      read_through_window(*this, offset, bounce->bytes().subspan(in_page, count));
      page = bounce;
    }
    const Result<std::size_t> part = page ? sink.put(page->bytes().subspan(in_page, count)) : sink.put_zeros(count);
    if (!part.ok()) {
      if (done == 0) return part.error();
      break;
    }
    const std::size_t moved = Result<std::size_t>(part).release();
    done += moved;
    offset += moved;
    if (moved < count) break;
  }
  return done;
}

Result<Ref<CachedPage>> RamFile::page_for_writing(std::uint64_t index) {
  if (RefPtr<CachedPage> page = pages_.find(index)) return page.as_ref();
  TRY(ram().reserve(kPageSize));
  Result<Ref<CachedPage>> fresh = make_page(true);
  if (!fresh.ok()) {
    ram().give_back(kPageSize);
    // For a program the memory of this file system is its disk.
    return fresh.error() == Errno::nomem ? Errno::nospc : fresh.error();
  }
  const Ref<CachedPage> page = std::move(fresh).release();
  Result<PageMap::Inserted> inserted = pages_.insert(index, page);
  if (!inserted.ok() || !Result<PageMap::Inserted>(inserted).release().fresh) ram().give_back(kPageSize);
  if (!inserted.ok()) return Errno::nospc;
  const PageMap::Inserted result = std::move(inserted).release();
  if (result.fresh) blocks_.fetch_add(kPageSize / 512, std::memory_order_relaxed);
  return result.page;
}

// Up to the end of one page.
Result<std::size_t> RamFile::write_part(std::uint64_t offset, IoSource& source) {
  const auto in_page = static_cast<std::size_t>(offset % kPageSize);
  const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(kPageSize - in_page, source.remaining()));
  const Ref<CachedPage> page = TRY(page_for_writing(offset / kPageSize));
  const std::span<std::byte> target = page->bytes().subspan(in_page, count);
  const std::size_t moved = TRY(source.take(target));
  if (has_shared_window()) write_through_window(*this, offset, target.first(moved));
  raise_size(offset + moved);
  return moved;
}

Result<std::size_t> RamFile::write_at(std::uint64_t offset, IoSource& source) {
  const ChangeGuard guard(change_lock_);
  return write_alone(offset, source);
}

Result<std::size_t> RamFile::write_alone(std::uint64_t offset, IoSource& source) {
  if (offset >= kMostBytes) return Errno::fbig;
  if (sealed(abi::kSealWrite | abi::kSealFutureWrite)) return Errno::perm;
  if (sealed(abi::kSealGrow) && offset + source.remaining() > size()) return Errno::perm;
  source.limit(kMostBytes - offset);
  std::size_t done = 0;
  while (!source.empty()) {
    const std::uint64_t asked = std::min<std::uint64_t>(kPageSize - offset % kPageSize, source.remaining());
    const Result<std::size_t> part = write_part(offset, source);
    if (!part.ok()) {
      if (done == 0) return part.error();
      break;
    }
    const std::size_t moved = Result<std::size_t>(part).release();
    done += moved;
    offset += moved;
    if (moved < asked) break;
  }
  if (done != 0) note_write();
  return done;
}

Result<std::size_t> RamFile::append(IoSource& source, std::uint64_t& end) {
  const ChangeGuard guard(change_lock_);
  const std::uint64_t start = size_.load(std::memory_order_acquire);
  const std::size_t count = TRY(write_alone(start, source));
  end = start + count;
  return count;
}

// Makes [begin, end) read as zeros without changing the size: whole pages go, the edges are cleared.
Result<> RamFile::zero_range(std::uint64_t begin, std::uint64_t end) {
  const auto clear_edge = [&](std::uint64_t from, std::uint64_t to) {
    if (const RefPtr<CachedPage> page = pages_.find(from / kPageSize))
      zero_bytes(page->bytes().subspan(static_cast<std::size_t>(from % kPageSize), static_cast<std::size_t>(to - from)));
  };
  const std::uint64_t first_whole = pages_for(begin), last_whole = end / kPageSize;
  if (first_whole > last_whole) {
    clear_edge(begin, end);
  } else {
    if (begin % kPageSize != 0) clear_edge(begin, first_whole * kPageSize);
    drop_pages(first_whole, last_whole);
    if (end % kPageSize != 0) clear_edge(last_whole * kPageSize, end);
  }
  if (has_shared_window()) zero_through_window(*this, begin, end);
  return {};
}

Result<> RamFile::truncate(std::uint64_t size) {
  if (size > kMostBytes) return Errno::fbig;
  bool is_shorter = false;
  {
    const ChangeGuard guard(change_lock_);
    if (sealed(size < this->size() ? abi::kSealShrink : abi::kSealGrow) && size != this->size()) return Errno::perm;
    is_shorter = size < size_.exchange(size, std::memory_order_acq_rel);
    if (is_shorter) {
      drop_pages(pages_for(size), ~std::uint64_t{0});
      if (size % kPageSize != 0)
        if (const RefPtr<CachedPage> page = pages_.find(size / kPageSize))
          zero_bytes(page->bytes().subspan(static_cast<std::size_t>(size % kPageSize)));
    }
    if (has_shared_window()) truncate_window(*this, size);
  }
  if (is_shorter && was_mapped_private()) truncate_private(*this, size);
  note_write();
  return {};
}

Result<> RamFile::fill_holes(std::uint64_t begin, std::uint64_t end) {
  if (!ram().has_room(end - begin)) return Errno::nospc;
  const std::uint64_t first = begin / kPageSize;
  for (std::uint64_t page = first; page < pages_for(end); ++page) {
    const Result<Ref<CachedPage>> made = page_for_writing(page);
    if (made.ok()) continue;
    // What was added beyond the end goes again; zero pages inside the file do no harm.
    drop_pages(std::max(first, pages_for(size_.load(std::memory_order_relaxed))), page);
    return made.error();
  }
  return {};
}

Result<> RamFile::allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) {
  std::uint64_t end = 0;
  if (__builtin_add_overflow(offset, length, &end) || end > kMostBytes) return Errno::fbig;
  const ChangeGuard guard(change_lock_);
  const std::uint64_t size = size_.load(std::memory_order_acquire);
  if (sealed(abi::kSealWrite | abi::kSealFutureWrite) || (sealed(abi::kSealGrow) && end > size)) return Errno::perm;
  const bool keep = (mode & abi::kFallocKeepSize) != 0;
  switch (mode & ~abi::kFallocKeepSize) {
    case abi::kFallocPunchHole:
      if (offset < size) TRY(zero_range(offset, std::min(end, round_up(size, kPageSize))));
      break;
    case abi::kFallocZeroRange:
      if (offset < size) TRY(zero_range(offset, std::min(end, round_up(size, kPageSize))));
      TRY(fill_holes(offset, end));
      if (!keep) raise_size(end);
      break;
    case 0:
      TRY(fill_holes(offset, end));
      if (!keep) raise_size(end);
      break;
    default:
      return Errno::opnotsupp;
  }
  note_write();
  return {};
}

Result<std::uint64_t> RamFile::seek_data(std::uint64_t offset, bool hole) {
  const std::uint64_t size = size_.load(std::memory_order_acquire);
  if (offset >= size) return Errno::nxio;
  std::uint64_t page = offset / kPageSize;
  if (!hole) {
    const std::optional<std::uint64_t> next = pages_.next_present(page);
    if (!next || *next * kPageSize >= size) return Errno::nxio;
    return std::max(offset, *next * kPageSize);
  }
  while (page * kPageSize < size && pages_.find(page)) ++page;
  return std::min(size, std::max(offset, page * kPageSize));
}

Result<> RamFile::read_page(std::uint64_t index, PageView into) {
  const RefPtr<CachedPage> page = pages_.find(index);
  if (page)
    copy_bytes(into, page->bytes());
  else
    zero_bytes(into);
  return {};
}

// A page of a shared mapping comes back. What lies beyond the end of the file is dropped.
Result<> RamFile::write_page(std::uint64_t index, ConstPageView from) {
  const std::uint64_t start = index * kPageSize;
  const std::uint64_t size = size_.load(std::memory_order_acquire);
  if (start >= size) return {};
  const Ref<CachedPage> page = TRY(page_for_writing(index));
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size - start, kPageSize));
  copy_bytes(page->bytes(), std::span<const std::byte>(from).first(count));
  note_write();
  return {};
}

namespace {
constexpr Mode kModeExecutable = 0111;
}  // namespace

Result<> RamFile::change_attributes(const AttributeChange& change) {
  if (change.mode && sealed(abi::kSealExec) && ((mode() ^ *change.mode) & kModeExecutable) != 0) return Errno::perm;
  return RamInode::change_attributes(change);
}

// fcntl(2), "File Sealing".
Result<std::uint32_t> RamFile::seals(bool add, std::uint32_t which) {
  if (!add) return seals_.load(std::memory_order_acquire);
  constexpr std::uint32_t kKnown = abi::kSealSeal | abi::kSealShrink | abi::kSealGrow | abi::kSealWrite | abi::kSealFutureWrite | abi::kSealExec;
  if ((which & ~kKnown) != 0) return Errno::inval;
  const ChangeGuard guard(change_lock_);
  if (sealed(abi::kSealSeal)) return Errno::perm;
  // What can be executed, and stays so, is not to be changed either.
  if ((which & abi::kSealExec) != 0 && (mode() & kModeExecutable) != 0) which |= abi::kSealShrink | abi::kSealGrow | abi::kSealWrite | abi::kSealFutureWrite;
  if ((which & abi::kSealWrite) != 0 && has_shared_window()) return Errno::busy;
  seals_.fetch_or(which, std::memory_order_acq_rel);
  return 0U;
}

namespace {
struct Unnamed {
  Mutex<LockRank::mount> lock;
  RefPtr<RamSuperblock> superblock GUARDED_BY(lock);
};
constinit Unnamed unnamed;  // NOLINT: where files without names live
}  // namespace

Result<Ref<RamFile>> make_unnamed_ram_file(Owner owner) {
  RefPtr<RamSuperblock> superblock;
  {
    const LockGuard guard(unnamed.lock);
    if (!unnamed.superblock) unnamed.superblock = TRY(RamSuperblock::create(frame::heap_usage().limit / 2));
    superblock = unnamed.superblock;
  }
  Ref<RamFile> file = TRY(make_ref<RamFile>(superblock.as_ref(), mode_of(FileType::regular) | 0777U, owner));
  file->set_links(0);
  return file;
}

}  // namespace kernel
