#include "kernel/fs/image/image_fs.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/host/log.h"

namespace kernel {

Result<Ref<ImageSuperblock>> ImageSuperblock::create(const host_abi::VerityParams& params, std::uint64_t file_size,
                                                     std::size_t cache_blocks) {
  Own<VerityImage> verity = TRY(VerityImage::create(params, file_size));
  Own<BlockCache> blocks = TRY(BlockCache::create(std::move(verity), cache_blocks));
  Ref<ImageSuperblock> image = TRY(make_ref<ImageSuperblock>(std::move(blocks)));
  TRY(image->start(params));
  return image;
}

Result<> ImageSuperblock::start(const host_abi::VerityParams& params) {
  TRY(read_meta(erofs::kSuperOffset, std::as_writable_bytes(std::span(&super_, 1))));
  if (super_.magic != erofs::kMagic || super_.block_bits != kPageShift) {
    LOG(error) << "image: not an EROFS file system with 4096-byte blocks";
    return Errno::io;
  }
  if ((super_.feature_incompat & ~erofs::kSupportedIncompat) != 0) {
    LOG(error) << "image: EROFS features are used that this kernel does not read";
    return Errno::io;
  }
  if (params.patch_offset != 0) {
    const std::uint64_t end = block_limit() * kPageSize;
    host_abi::PatchIndex index{};
    if (params.patch_offset > end || params.patch_size > end - params.patch_offset || params.patch_size < sizeof(index))
      return broken("patch tables", 0);
    TRY(read_meta(params.patch_offset, std::as_writable_bytes(std::span(&index, 1))));
    const std::uint64_t room = (params.patch_size - sizeof(index)) / sizeof(host_abi::PatchFile);
    if (index.magic != host_abi::kPatchMagic || index.version != 1 || index.file_count > room || index.total_size > params.patch_size)
      return broken("patch tables", 0);
    patch_offset_ = params.patch_offset;
    patch_size_ = params.patch_size;
    patch_files_ = index.file_count;
  }
  const Ref<ImageInode> top = TRY(inode(super_.root_nid));
  return top->is_directory() ? Result<>() : Result<>(broken("root directory", super_.root_nid));
}

Errno ImageSuperblock::broken(std::string_view what, std::uint64_t nid) const {
  LOG(error) << "image: bad " << what << " (inode " << nid << ")";
  return Errno::io;
}

FileTime ImageSuperblock::build_time() const {
  constexpr FileTime kSecond = 1'000'000'000;
  FileTime time = 0;
  if (__builtin_mul_overflow(static_cast<FileTime>(super_.build_time), kSecond, &time)) return 0;
  return time + super_.build_time_nsec % kSecond;
}

Result<> ImageSuperblock::read_meta(std::uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const std::uint64_t block = offset / kPageSize;
    if (block >= block_limit()) return broken("place of metadata, beyond the end", block);
    const Ref<CachedPage> page = TRY(blocks_->get(block));
    const auto at = static_cast<std::size_t>(offset % kPageSize);
    const std::size_t count = std::min(into.size(), kPageSize - at);
    copy_bytes(into, page->bytes().subspan(at, count));
    into = into.subspan(count);
    offset += count;
  }
  return {};
}

Ref<Inode> ImageSuperblock::root() {
  Result<Ref<ImageInode>> top = inode(super_.root_nid);
  // start() read it, and it stays in the map: prune keeps the root.
  return std::move(top).release();
}

Result<Ref<Inode>> ImageSuperblock::inode_by_number(std::uint64_t number) { return Ref<Inode>(TRY(inode(number))); }

void ImageSuperblock::on_unmounted() {
  HashMap<std::uint64_t, RefPtr<ImageInode>> inodes;  // dropped after the lock
  const LockGuard guard(inodes_lock_);
  std::swap(inodes, inodes_);
}

Result<FsStatistics> ImageSuperblock::statistics() {
  FsStatistics result;
  result.type = abi::kMagicErofs;
  result.blocks = super_.blocks;
  result.files = super_.inodes;
  result.fsid = device();
  result.flags = abi::kStReadOnly;
  return result;
}

Result<Ref<ImageInode>> ImageSuperblock::inode(std::uint64_t nid) {
  const LockGuard guard(inodes_lock_);
  if (const RefPtr<ImageInode>* there = inodes_.find(nid)) return there->as_ref();
  const std::uint64_t limit = block_limit() * kPageSize / erofs::kSlotSize;
  if (nid >= limit || inode_offset(nid) / kPageSize >= block_limit()) return broken("inode number", nid);
  const Ref<ImageInode> fresh = TRY(make_ref<ImageInode>(Ref<ImageSuperblock>(*this), nid, 0U, Owner{}, build_time()));
  TRY(fresh->load());
  if (inodes_.size() >= kMostInodes)
    inodes_.erase_if([this](std::uint64_t number, const RefPtr<ImageInode>& held) {
      return held->ref_count() == 1 && number != super_.root_nid;
    });
  TRY(inodes_.try_insert(nid, fresh));
  return fresh;
}

Result<host_abi::PatchFile> ImageSuperblock::patch_file(std::uint64_t index) {
  host_abi::PatchFile file{};
  TRY(read_meta(patch_offset_ + sizeof(host_abi::PatchIndex) + index * sizeof(file), std::as_writable_bytes(std::span(&file, 1))));
  return file;
}

Result<Vec<host_abi::PatchSite>> ImageSuperblock::load_patch_sites(std::uint64_t nid) {
  Vec<host_abi::PatchSite> sites;
  std::uint64_t low = 0, high = patch_files_;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    const host_abi::PatchFile file = TRY(patch_file(middle));
    if (file.nid == nid) {
      const std::uint64_t bytes = std::uint64_t{file.site_count} * sizeof(host_abi::PatchSite);
      if (file.sites > patch_size_ || bytes > patch_size_ - file.sites) return broken("patch table", nid);
      TRY(sites.try_resize(file.site_count));
      TRY(read_meta(patch_offset_ + file.sites, std::as_writable_bytes(sites.span())));
      return sites;
    }
    (file.nid < nid ? low : high) = file.nid < nid ? middle + 1 : middle;
  }
  return sites;
}

}  // namespace kernel
