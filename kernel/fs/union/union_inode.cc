// Inodes of the union: which half answers, and copying up.
#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/fs/union/union_fs.h"
#include "kernel/task/thread.h"
#include "kernel/vfs/page.h"
#include "kernel/vfs/regular_file.h"

namespace kernel {

namespace {
constexpr std::size_t kCopyChunk = 64 * 1024;
}

UnionInode::UnionInode(Ref<UnionSuperblock> superblock, std::uint64_t number, RefPtr<Inode> lower, RefPtr<Inode> upper)
    : Inode(superblock, number, 0, {}, 0),
      union_(*superblock),
      lower_(std::move(lower)),
      upper_(std::move(upper)),
      upper_now_(upper_.get()) {
  adopt_attributes();
}

UnionInode::~UnionInode() { union_.forget(*this); }

// What permission checks read without a virtual call.
void UnionInode::adopt_attributes() {
  const Inode& from = active();
  set_mode(from.mode());
  set_owner({.uid = from.uid(), .gid = from.gid()});
}

Attributes UnionInode::attributes() const {
  Attributes result = active().attributes();
  result.device = superblock().device();
  result.ino = ino();
  if (lower_ && !is_directory()) {
    const std::int64_t links = static_cast<std::int64_t>(lower_->link_count()) + link_delta_.load(std::memory_order_relaxed);
    result.nlink = static_cast<std::uint32_t>(std::max<std::int64_t>(links, 0));
  } else if (lower_) {
    // Both halves count subdirectories; which are in both is not known: 1 says "unknown" to find(1) and others.
    if (upper() != nullptr) result.nlink = 1;
  }
  return result;
}

Result<> UnionInode::copy_xattrs(Inode& from, Inode& to) {
  const std::size_t size = TRY(from.list_xattrs({}));
  if (size == 0) return {};
  Vec<char> names;
  TRY(names.try_resize(size));
  TRY(from.list_xattrs(names.span()));
  std::string_view rest(names.begin(), names.size());
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    Vec<std::byte> value;
    TRY(value.try_resize(TRY(from.get_xattr(name, {}))));
    if (!value.empty()) TRY(from.get_xattr(name, value.span()));
    TRY(to.set_xattr(name, value.span(), false, false));
  }
  return {};
}

Result<> UnionInode::copy_content(Inode& from, Inode& to) {
  const std::uint64_t size = from.size();
  Vec<std::byte> buffer;
  TRY(buffer.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(size, kCopyChunk))));
  for (std::uint64_t at = 0; at < size;) {
    // By extent: holes stay holes.
    const Result<std::uint64_t> data = from.seek_data(at, false);
    if (!data.ok()) {
      if (data.error() != Errno::nxio) return data.error();
      break;
    }
    at = Result<std::uint64_t>(data).release();
    IoSink sink(buffer.span());
    const std::size_t got = TRY(from.read_at(at, sink));
    if (got == 0) return Errno::io;
    IoSource source(std::span<const std::byte>(buffer.span()).first(got));
    if (TRY(to.write_at(at, source)) != got) return Errno::nospc;
    at += got;
    preemption_point();
  }
  return to.truncate(size);
}

// The state lock is held by make_upper(): one copy at a time.
Result<Ref<Inode>> UnionInode::copy_up() {
  const Attributes from = lower_->attributes();
  const Owner owner{.uid = from.uid, .gid = from.gid};
  const Digits name(ino());
  RefPtr<Inode> copy;
  Inode& copies = *union_.copies_;
  const bool named = from.nlink != 0 && static_cast<std::int64_t>(from.nlink) + link_delta_.load(std::memory_order_relaxed) > 0;
  {
    const LockGuard guard(copies.directory_mutex());
    switch (type_of(from.mode)) {
      case FileType::directory:
        copy = TRY(copies.make_directory(name, from.mode, owner));
        break;
      case FileType::symlink: {
        std::array<char, 512> small{};
        Vec<char> target;
        TRY(target.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(from.size, kPathMax))));
        const std::span<char> room = target.size() <= small.size() ? std::span(small).first(target.size()) : target.span();
        const std::size_t length = TRY(lower_->read_link(room));
        copy = TRY(copies.make_symlink(name, std::string_view(room.data(), length), owner));
        break;
      }
      default:
        copy = named || !is_regular() ? TRY(copies.create(name, from.mode, from.rdev, owner)) : TRY(copies.create_unnamed(from.mode, owner));
        break;
    }
  }
  Result<> filled = copy_xattrs(*lower_, *copy);
  if (filled.ok() && is_regular()) filled = copy_content(*lower_, *copy);
  if (filled.ok())
    filled = copy->change_attributes({.mode = from.mode & kModePermMask, .atime = from.atime, .mtime = from.mtime});
  if (filled.ok()) return copy.as_ref();
  const LockGuard guard(copies.directory_mutex());
  const Result<> undone = is_directory() ? copies.remove_directory(name, *copy) : copies.unlink(name, *copy);
  (void)undone.ok();  // an unnamed copy has no name to remove
  return filled.error();
}

Result<Ref<Inode>> UnionInode::make_upper() {
  if (Inode* there = upper()) return Ref<Inode>(*there);
  const LockGuard guard(union_.state_lock_);
  if (Inode* there = upper()) return Ref<Inode>(*there);
  // Room first, so that nothing can fail once the copy exists.
  TRY(union_.persistent_.try_reserve(union_.persistent_.size() + 1));
  TRY(union_.origin_.try_reserve(union_.origin_.size() + 1));
  const Ref<Inode> copy = TRY(copy_up());
  TRY(union_.persistent_.try_set(ino(), {.upper = copy, .link_delta = link_delta_.load(std::memory_order_relaxed)}));
  TRY(union_.origin_.try_set(copy->ino(), ino()));
  upper_ = copy;
  upper_now_.store(copy.get(), std::memory_order_release);
  return copy;
}

Result<> UnionInode::change_attributes(const AttributeChange& change) {
  TRY(TRY(make_upper())->change_attributes(change));
  adopt_attributes();
  return {};
}

void UnionInode::touch(bool access, bool modify) {
  if (Inode* up = upper()) up->touch(access, modify);
}

Result<std::size_t> UnionInode::write_at(std::uint64_t offset, IoSource& source) { return TRY(make_upper())->write_at(offset, source); }
Result<std::size_t> UnionInode::append(IoSource& source, std::uint64_t& end) { return TRY(make_upper())->append(source, end); }
Result<> UnionInode::truncate(std::uint64_t size) { return TRY(make_upper())->truncate(size); }
Result<> UnionInode::allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) {
  return TRY(make_upper())->allocate(mode, offset, length);
}
Result<> UnionInode::set_xattr(std::string_view name, std::span<const std::byte> value, bool must_create, bool must_replace) {
  return TRY(make_upper())->set_xattr(name, value, must_create, must_replace);
}
Result<> UnionInode::remove_xattr(std::string_view name) { return TRY(make_upper())->remove_xattr(name); }
Result<> UnionInode::write_page(std::uint64_t index, ConstPageView from) { return TRY(make_upper())->write_page(index, from); }

// A file that is opened for writing is copied at once: a later write must not fail for reasons that open(2) reports.
Result<Ref<OpenFile>> UnionInode::open(Dentry& where, std::uint32_t flags) {
  if (is_regular() && (flags & abi::kOAccMode) != abi::kORdOnly) TRY(make_upper());
  return open_ordinary(where, *this, flags);
}

void UnionInode::note_linked() {
  if (!lower_) return;
  const LockGuard guard(union_.state_lock_);
  const std::int64_t delta = link_delta_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (auto* kept = union_.persistent_.find(ino())) kept->link_delta = delta;
}

void UnionInode::note_unlinked() {
  if (!lower_ || is_directory()) return;
  const LockGuard guard(union_.state_lock_);
  const std::int64_t delta = link_delta_.fetch_sub(1, std::memory_order_relaxed) - 1;
  if (auto* kept = union_.persistent_.find(ino())) {
    kept->link_delta = delta;
  } else if (static_cast<std::int64_t>(lower_->link_count()) + delta > 0) {
    // Another name stays: what it will show must be remembered. Without memory the count is too high by one, no more.
    (void)union_.persistent_.try_set(ino(), {.upper = nullptr, .link_delta = delta}).ok();
  }
}

}  // namespace kernel
