// What file systems without storage have in common (proc, sys, devpts): a superblock that makes its root when asked, files whose content
// is written when it is read, symbolic links with a computed target.
#ifndef KERNEL_FS_PSEUDO_PSEUDO_H
#define KERNEL_FS_PSEUDO_PSEUDO_H

#include <cstdint>
#include <string_view>

#include "kernel/fs/pseudo/text.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class PseudoSuperblock final : public Superblock {
 public:
  using RootMaker = Result<Ref<Inode>> (*)(Ref<PseudoSuperblock> superblock);
  // `type_name` and `magic` as /proc/mounts and statfs show them; the name has at most 16 characters.
  PseudoSuperblock(std::string_view type_name, std::uint64_t magic, RootMaker make_root)
      : magic_(magic), make_root_(make_root) {
    type_name_.append_clipped(type_name);
  }
  // Makes the root; once, before root().
  Result<> start();

  // The mount table asks once; the root belongs to the mount from then on (it holds this object, so keeping it here would be a circle).
  Ref<Inode> root() override;
  std::string_view type_name() const override { return type_name_.view(); }
  Result<FsStatistics> statistics() override;
  void on_unmounted() override { root_ = nullptr; }
  // Names come and go with processes and configuration.
  bool caches_names() const override { return false; }

 private:
  FixedString<16> type_name_;
  const std::uint64_t magic_;
  const RootMaker make_root_;
  RefPtr<Inode> root_;
};

// An inode of such a file system. Attributes do not change but for mode and owner of what allows it.
class PseudoInode : public Inode {
 protected:
  PseudoInode(Ref<Superblock> superblock, std::uint64_t ino, Mode mode, Owner owner = {})
      : Inode(superblock, ino, mode, owner, current_file_time()) {
    if (type_of(mode) == FileType::directory) set_links(2);
  }
};

// A file of generated text.
class TextInode : public PseudoInode {
 public:
  // The whole content now.
  virtual Result<> show(Text& out) = 0;
  // What one write(2) brings; EIO by default.
  virtual Result<> store(std::string_view /*text*/) { return Errno::io; }
  Result<Ref<OpenFile>> open(Dentry& where, std::uint32_t flags) override;
  Result<std::size_t> read_at(std::uint64_t offset, IoSink& sink) override;
  Result<> truncate(std::uint64_t) override { return {}; }  // O_TRUNC of a shell's `>`

 protected:
  using PseudoInode::PseudoInode;
};

// Reads what show() gave when it was read from the start, so that a reader with a small buffer sees one state.
class TextFile final : public OpenFile {
 public:
  TextFile(Dentry& where, TextInode& inode, std::uint32_t flags);
  Result<std::size_t> read(IoSink& sink) override;
  Result<std::size_t> read_at(IoSink& sink, std::uint64_t offset) override;
  Result<std::size_t> write(IoSource& source) override;
  Result<std::size_t> write_at(IoSource& source, std::uint64_t offset) override;
  Result<FileOffset> seek(FileOffset offset, std::uint32_t whence) override;
  Result<> truncate(std::uint64_t) override { return {}; }
  bool is_stream() const override { return false; }

 private:
  Result<std::size_t> read_locked(IoSink& sink, std::uint64_t offset);

  const Ref<TextInode> text_inode_;
  PositionLock position_lock_;
  std::uint64_t position_ = 0;  // these three with position_lock_
  Text text_;
  bool filled_ = false;
};

// A plain symbolic link with a computed target.
class PseudoLink : public PseudoInode {
 public:
  virtual Result<> target(Text& out) = 0;
  Result<std::size_t> read_link(std::span<char> into) override;

 protected:
  using PseudoInode::PseudoInode;
};

// A directory that is always empty.
class EmptyDirectory final : public PseudoInode {
 public:
  explicit EmptyDirectory(Ref<Superblock> superblock, std::uint64_t ino = 1) : PseudoInode(superblock, ino, mode_of(FileType::directory) | 0755) {}
  Result<Ref<Inode>> lookup(std::string_view) override { return Errno::noent; }
  Result<> read_directory(std::uint64_t, DirectorySink&) override { return {}; }
};

// A superblock with its root.
Result<Ref<Superblock>> make_pseudo_file_system(std::string_view type_name, std::uint64_t magic, PseudoSuperblock::RootMaker make_root);

}  // namespace kernel
#endif  // KERNEL_FS_PSEUDO_PSEUDO_H
