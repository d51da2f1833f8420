#include "kernel/fs/pseudo/pseudo.h"

#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"

namespace kernel {
namespace {

constexpr std::size_t kMostStored = 4096;  // one write(2) to a file of text

class PositionGuard {
 public:
  explicit PositionGuard(PositionLock& lock) : lock_(lock) { lock_.lock(); }
  ~PositionGuard() { lock_.unlock(); }
  PositionGuard(const PositionGuard&) = delete;
  PositionGuard& operator=(const PositionGuard&) = delete;

 private:
  PositionLock& lock_;
};

Result<std::size_t> put_from(const Text& text, std::uint64_t offset, IoSink& sink) {
  if (offset >= text.size()) return std::size_t{0};
  return sink.put(bytes_of(text.view().substr(static_cast<std::size_t>(offset))));
}

}  // namespace

Result<> PseudoSuperblock::start() {
  root_ = TRY(make_root_(Ref<PseudoSuperblock>(*this)));
  return {};
}

Ref<Inode> PseudoSuperblock::root() {
  const RefPtr<Inode> root = std::move(root_);
  return root.as_ref();
}

Result<FsStatistics> PseudoSuperblock::statistics() {
  FsStatistics result;
  result.type = magic_;
  return result;
}

Result<Ref<Superblock>> make_pseudo_file_system(std::string_view type_name, std::uint64_t magic, PseudoSuperblock::RootMaker make_root) {
  const Ref<PseudoSuperblock> superblock = TRY(make_ref<PseudoSuperblock>(type_name, magic, make_root));
  TRY(superblock->start());
  return Ref<Superblock>(superblock);
}

Result<Ref<OpenFile>> TextInode::open(Dentry& where, std::uint32_t flags) {
  return Ref<OpenFile>(TRY(make_ref<TextFile>(where, *this, flags)));
}

Result<std::size_t> TextInode::read_at(std::uint64_t offset, IoSink& sink) {
  Text text;
  TRY(show(text));
  TRY(text.status());
  return put_from(text, offset, sink);
}

TextFile::TextFile(Dentry& where, TextInode& inode, std::uint32_t flags)
    : OpenFile(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags), text_inode_(inode) {}

Result<std::size_t> TextFile::read_locked(IoSink& sink, std::uint64_t offset) {
  if (offset == 0 || !filled_) {
    text_.clear();
    filled_ = false;
    TRY(text_inode_->show(text_));
    TRY(text_.status());
    filled_ = true;
  }
  return put_from(text_, offset, sink);
}

Result<std::size_t> TextFile::read(IoSink& sink) {
  const PositionGuard guard(position_lock_);
  const std::size_t count = TRY(read_locked(sink, position_));
  position_ += count;
  return count;
}

Result<std::size_t> TextFile::read_at(IoSink& sink, std::uint64_t offset) {
  const PositionGuard guard(position_lock_);
  return read_locked(sink, offset);
}

Result<std::size_t> TextFile::write(IoSource& source) {
  Vec<char> text;
  TRY(text.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(source.remaining(), kMostStored))));
  const std::size_t count = TRY(source.take(std::as_writable_bytes(text.span())));
  TRY(text_inode_->store(std::string_view(text.begin(), count)));
  return count;
}

Result<std::size_t> TextFile::write_at(IoSource& source, std::uint64_t) { return write(source); }

Result<FileOffset> TextFile::seek(FileOffset offset, std::uint32_t whence) {
  const PositionGuard guard(position_lock_);
  FileOffset base = 0;
  if (whence == abi::kSeekCur)
    base = static_cast<FileOffset>(position_);
  else if (whence != abi::kSeekSet)
    return Errno::inval;  // the length is not known beforehand
  FileOffset target = 0;
  if (__builtin_add_overflow(base, offset, &target)) return Errno::overflow;
  if (target < 0) return Errno::inval;
  position_ = static_cast<std::uint64_t>(target);
  return target;
}

Result<std::size_t> PseudoLink::read_link(std::span<char> into) {
  Text text;
  TRY(target(text));
  TRY(text.status());
  const std::string_view view = text.view();
  const std::size_t count = std::min(view.size(), into.size());
  std::copy_n(view.begin(), count, into.begin());
  return count;
}

}  // namespace kernel
