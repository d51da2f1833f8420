#include "kernel/fs/image/verity.h"

#include "kernel/frame/bytes.h"
#include "kernel/host/image.h"
#include "kernel/host/log.h"

namespace kernel {

namespace {
constexpr std::uint32_t kMaxComplaints = 16;  // a broken image must not flood the log
}

Result<Own<VerityImage>> VerityImage::create(const host_abi::VerityParams& params, std::uint64_t file_size) {
  Own<VerityImage> image = TRY(make_own<VerityImage>(params));
  TRY(image->lay_out(file_size));
  Vec<HashBlock> slots;
  TRY(slots.try_resize(kHashSlots));
  const LockGuard guard(image->lock_);
  image->slots_ = std::move(slots);
  return image;
}

Result<> VerityImage::lay_out(std::uint64_t file_size) {
  constexpr std::uint64_t kMostBlocks = std::uint64_t{1} << 40;
  if (params_.salt_size > params_.salt.size() || params_.data_blocks == 0 || params_.data_blocks > kMostBlocks ||
      !is_aligned(params_.hash_offset, kPageSize) || params_.hash_offset / kPageSize > kMostBlocks)
    return Errno::inval;
  std::array<std::uint64_t, kMaxLevels> sizes{};
  for (std::uint64_t count = params_.data_blocks; count > 1; ++levels_) {
    if (levels_ == kMaxLevels) return Errno::inval;
    count = (count + kHashesPerBlock - 1) / kHashesPerBlock;
    sizes[levels_] = count;
  }
  // The root's level comes first in the file.
  std::uint64_t at = params_.hash_offset / kPageSize;
  for (std::uint32_t level = levels_; level-- > 0;) {
    level_start_[level] = at;
    at += sizes[level];
  }
  if (file_size / kPageSize < params_.data_blocks) {
    LOG(error) << "image: the file is shorter than its data area (" << file_size << " bytes)";
    return Errno::io;
  }
  if (levels_ != 0 && file_size / kPageSize < at) {
    LOG(error) << "hash tree: the image file is cut off before its end (" << file_size << " bytes)";
    return Errno::io;
  }
  return {};
}

void VerityImage::complain(bool tree, std::uint64_t block, std::string_view what) {
  if (complaints_.fetch_add(1, std::memory_order_relaxed) >= kMaxComplaints) return;
  LOG(error) << std::string_view(tree ? "hash tree" : "image") << ": block " << block << " of the image file " << what;
}

RefPtr<CachedPage> VerityImage::cached(std::uint64_t number) {
  const LockGuard guard(lock_);
  HashBlock& slot = slots_[number % kHashSlots];
  return slot.number == number ? slot.page : nullptr;
}

void VerityImage::keep(std::uint64_t number, const Ref<CachedPage>& page) {
  RefPtr<CachedPage> old(page);  // dropped after the lock
  const LockGuard guard(lock_);
  HashBlock& slot = slots_[number % kHashSlots];
  slot.number = number;
  std::swap(slot.page, old);
}

Result<Ref<CachedPage>> VerityImage::load_hash_block(std::uint32_t level, std::uint64_t index, const Sha256Digest& digest) {
  const std::uint64_t number = level_start_[level] + index;
  Ref<CachedPage> page = TRY(make_page(false));
  const Result<> read = host::read_image(number * kPageSize, page->bytes());
  if (!read.ok()) {
    complain(true, number, "cannot be read");
    return Errno::io;
  }
  if (sha256(salt(), page->bytes()) != digest) {
    complain(true, number, "is damaged: it does not match the measured root hash");
    return Errno::io;
  }
  keep(number, page);
  return page;
}

Result<Ref<CachedPage>> VerityImage::hash_block(std::uint32_t level, std::uint64_t index) {
  // Up to the first block that is known, or the root; then down again.
  std::uint32_t known = level;
  std::uint64_t at = index;
  RefPtr<CachedPage> page;
  for (;;) {
    page = cached(level_start_[known] + at);
    if (page) break;
    if (known + 1 == levels_) {
      Sha256Digest root{};
      copy_bytes(root, std::as_bytes(std::span(params_.root_hash)));
      page = TRY(load_hash_block(known, at, root));
      break;
    }
    at /= kHashesPerBlock;
    ++known;
  }
  while (known != level) {
    --known;
    std::uint64_t below = index;
    for (std::uint32_t i = level; i < known; ++i) below /= kHashesPerBlock;
    const auto digest = load_bytes<Sha256Digest>(page->bytes(), below % kHashesPerBlock * sizeof(Sha256Digest));
    page = TRY(load_hash_block(known, below, digest));
  }
  return page.as_ref();
}

Result<Sha256Digest> VerityImage::expected(std::int32_t level, std::uint64_t index) {
  const auto above = static_cast<std::uint32_t>(level + 1);
  if (above == levels_) {
    Sha256Digest root{};
    copy_bytes(root, std::as_bytes(std::span(params_.root_hash)));
    return root;
  }
  const Ref<CachedPage> page = TRY(hash_block(above, index / kHashesPerBlock));
  return load_bytes<Sha256Digest>(page->bytes(), index % kHashesPerBlock * sizeof(Sha256Digest));
}

Result<> VerityImage::read(std::uint64_t first, std::span<const PageView> pages) {
  if (first >= params_.data_blocks || pages.size() > params_.data_blocks - first) return Errno::inval;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (host::read_image((first + i) * kPageSize, pages[i]).ok()) continue;
    complain(false, first + i, "cannot be read");
    return Errno::io;
  }
  for (std::size_t i = 0; i < pages.size(); i += 2) {
    const bool two = i + 1 < pages.size();
    std::array<Sha256Digest, 2> digests{};
    if (two)
      sha256_pair(salt(), pages[i], pages[i + 1], digests[0], digests[1]);
    else
      digests[0] = sha256(salt(), pages[i]);
    for (std::size_t k = 0; k < (two ? 2U : 1U); ++k) {
      if (TRY(expected(-1, first + i + k)) == digests[k]) continue;
      complain(false, first + i + k, "is damaged: it does not match the hash tree");
      return Errno::io;
    }
  }
  return {};
}

}  // namespace kernel
