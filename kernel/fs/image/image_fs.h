// The image: a read-only EROFS file system, every block of which is verified (verity.h), plus the patch tables behind it.
//
// What is in the image is trusted once verified, but still bounds-checked: a damaged or odd image is EIO, never a crash.
#ifndef KERNEL_FS_IMAGE_IMAGE_FS_H
#define KERNEL_FS_IMAGE_IMAGE_FS_H

#include <cstdint>
#include <span>
#include <string_view>

#include "host_abi/enclave_config.h"
#include "host_abi/patch_table.h"
#include "kernel/base/hash_map.h"
#include "kernel/base/vec.h"
#include "kernel/fs/image/block_cache.h"
#include "kernel/fs/image/erofs_format.h"
#include "kernel/vfs/inode.h"

namespace kernel {

class ImageInode;

class ImageSuperblock final : public Superblock {
 public:
  // `cache_blocks`: limit of the cache of blocks. EIO (with a log line) if the image is not what the configuration says, EINVAL.
  static Result<Ref<ImageSuperblock>> create(const host_abi::VerityParams& params, std::uint64_t file_size, std::size_t cache_blocks);
  explicit ImageSuperblock(Own<BlockCache> blocks) : blocks_(std::move(blocks)) {}

  Ref<Inode> root() override;
  std::string_view type_name() const override { return "erofs"; }
  Result<FsStatistics> statistics() override;
  bool is_read_only() const override { return true; }
  Result<Ref<Inode>> inode_by_number(std::uint64_t number) override;
  void on_unmounted() override;

  // The inode with that number; the same object as long as somebody holds it. EIO.
  Result<Ref<ImageInode>> inode(std::uint64_t nid);
  BlockCache& blocks() { return *blocks_; }
  // Bytes of the image, wherever they lie; for metadata. EIO beyond the data area.
  Result<> read_meta(std::uint64_t offset, std::span<std::byte> into);
  // A damaged structure: one log line, and the error to return.
  Errno broken(std::string_view what, std::uint64_t nid) const;

  std::uint64_t inode_offset(std::uint64_t nid) const { return super_.meta_block * std::uint64_t{kPageSize} + nid * erofs::kSlotSize; }
  std::uint64_t shared_xattr_offset(std::uint32_t id) const { return super_.xattr_block * std::uint64_t{kPageSize} + id * std::uint64_t{4}; }
  FileTime build_time() const;
  std::uint64_t block_limit() const { return blocks_->block_count(); }
  // Patch sites of a file, by rising offset. EIO.
  Result<Vec<host_abi::PatchSite>> load_patch_sites(std::uint64_t nid);

 private:
  static constexpr std::size_t kMostInodes = 16384;
  Result<> start(const host_abi::VerityParams& params);
  Result<host_abi::PatchFile> patch_file(std::uint64_t index);

  const Own<BlockCache> blocks_;
  erofs::SuperBlock super_{};
  std::uint64_t patch_offset_ = 0, patch_size_ = 0;
  std::uint32_t patch_files_ = 0;
  Mutex<LockRank::inode> inodes_lock_;
  // SAFETY: not counted cycles: an inode holds its superblock; the map holds inodes until they are pruned or the file system goes.
  HashMap<std::uint64_t, RefPtr<ImageInode>> inodes_ GUARDED_BY(inodes_lock_);
};

class ImageInode final : public Inode {
 public:
  ImageInode(Ref<ImageSuperblock> superblock, std::uint64_t nid, Mode mode, Owner owner, FileTime time);

  Result<Ref<Inode>> lookup(std::string_view name) override;
  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override;
  Result<std::size_t> read_link(std::span<char> into) override;
  Result<std::size_t> read_at(std::uint64_t offset, IoSink& sink) override;
  Result<std::size_t> write_at(std::uint64_t, IoSource&) override { return Errno::rofs; }
  Result<> truncate(std::uint64_t) override { return Errno::rofs; }
  Result<> change_attributes(const AttributeChange&) override { return Errno::rofs; }
  Result<std::size_t> get_xattr(std::string_view name, std::span<std::byte> into) override;
  Result<std::size_t> list_xattrs(std::span<char> into) override;
  Result<> set_xattr(std::string_view, std::span<const std::byte>, bool, bool) override { return Errno::rofs; }
  Result<> remove_xattr(std::string_view) override { return Errno::rofs; }
  Result<std::uint64_t> seek_data(std::uint64_t offset, bool hole) override;

  // FileBacking.
  Result<> read_page(std::uint64_t index, PageView into) override;
  std::span<const host_abi::PatchSite> patch_sites() override;
  bool is_immutable() const override { return true; }

  // Reads and checks what the image says; once, before the inode is shown to others.
  Result<> load();
  // Bytes [offset, offset + into.size()) of the content, which must lie in the file (directories, links).
  Result<> read_content(std::uint64_t offset, std::span<std::byte> into);
  // The kernel's copies of it (union's copy-up).
  std::uint64_t nid() const { return ino(); }

 private:
  friend class ImageSuperblock;
  // Where a page of the file lies: a block of the image, a place inside a metadata block, or nowhere (a hole).
  struct Place {
    enum class Kind : std::uint8_t { block, tail, hole };
    Kind kind;
    std::uint64_t block = 0;   // of the image
    std::uint64_t offset = 0;  // tail: bytes from the image's start
    std::size_t run = 1;       // block: further blocks follow directly
  };
  Result<Place> locate(std::uint64_t page);
  Result<Place> locate_chunk(std::uint64_t page);
  Result<std::size_t> read_part(std::uint64_t offset, std::span<std::byte> into, IoSink* sink, std::size_t want);
  Result<std::size_t> directory_block(std::uint64_t index, std::span<std::byte> into);
  template <class Visit>
  Result<> visit_xattrs(Visit&& visit);

  ImageSuperblock& image_;  // kept alive by superblock()
  std::uint8_t layout_ = 0;
  std::uint32_t place_ = 0;
  std::uint64_t tail_ = 0;  // where data behind the inode (and its xattrs) start in the image
  std::uint32_t xattr_size_ = 0;
  std::uint64_t xattr_offset_ = 0;
  std::atomic<std::uint64_t> expected_read_{0};  // offset at which a sequential reader would go on
  Mutex<LockRank::inode> lazy_lock_;
  Vec<char> link_ GUARDED_BY(lazy_lock_);
  Vec<host_abi::PatchSite> sites_;  // set once under lazy_lock_, then published by sites_loaded_
  std::atomic<bool> sites_loaded_{false};
};

}  // namespace kernel
#endif  // KERNEL_FS_IMAGE_IMAGE_FS_H
