// Reading the image file block by block, each checked against the dm-verity tree whose root hash is in the measured configuration.
// Parameters come from there, never from the file. Format: Linux, Documentation/admin-guide/device-mapper/verity.rst; hash type 1 (salt
// before the block), SHA-256, 4096-byte data and hash blocks.
#ifndef KERNEL_FS_IMAGE_VERITY_H
#define KERNEL_FS_IMAGE_VERITY_H

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "host_abi/enclave_config.h"
#include "kernel/base/checked.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/crypto/sha256.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/page.h"

namespace kernel {

class VerityImage {
 public:
  // Checks the parameters (EINVAL) and that the file is long enough (EIO with a log line).
  static Result<Own<VerityImage>> create(const host_abi::VerityParams& params, std::uint64_t file_size);
  explicit VerityImage(const host_abi::VerityParams& params) : params_(params) {}

  std::uint64_t block_count() const { return params_.data_blocks; }
  // Data blocks [first, first + pages.size()) into the pages, all verified. EIO and one log line that names the artefact otherwise; the
  // pages' content is undefined then. EINVAL beyond the data area.
  Result<> read(std::uint64_t first, std::span<const PageView> pages);

 private:
  static constexpr std::uint32_t kHashesPerBlock = kPageSize / 32;
  static constexpr std::uint32_t kMaxLevels = 8;
  static constexpr std::size_t kHashSlots = 512;

  struct HashBlock {
    std::uint64_t number = ~std::uint64_t{0};
    RefPtr<CachedPage> page;
  };

  Result<> lay_out(std::uint64_t file_size);
  std::span<const std::byte> salt() const { return std::as_bytes(std::span(params_.salt)).first(params_.salt_size); }
  // What a block of `level` (-1: data) must hash to.
  Result<Sha256Digest> expected(std::int32_t level, std::uint64_t index);
  // A verified block of the hash tree.
  Result<Ref<CachedPage>> hash_block(std::uint32_t level, std::uint64_t index);
  Result<Ref<CachedPage>> load_hash_block(std::uint32_t level, std::uint64_t index, const Sha256Digest& digest);
  RefPtr<CachedPage> cached(std::uint64_t number);
  void keep(std::uint64_t number, const Ref<CachedPage>& page);
  void complain(bool tree, std::uint64_t block, std::string_view what);

  host_abi::VerityParams params_;
  std::uint32_t levels_ = 0;
  std::array<std::uint64_t, kMaxLevels> level_start_{};  // in blocks of the file; level 0 holds the hashes of data blocks
  SpinLock<LockRank::page_cache> lock_;
  Vec<HashBlock> slots_ GUARDED_BY(lock_);  // direct-mapped cache of verified hash blocks
  std::atomic<std::uint32_t> complaints_{0};
};

}  // namespace kernel
#endif  // KERNEL_FS_IMAGE_VERITY_H
