#include "image/verity.h"

#include <fcntl.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "image/erofs.h"
#include "image/files.h"
#include "image/little_endian.h"

// The low-level SHA-256 of OpenSSL lets one state with the salt already hashed be copied for each block, without an allocation.
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

namespace image {
namespace {

constexpr std::uint64_t kDigestSize = 32;
constexpr std::uint32_t kSaltSize = 32;
constexpr std::uint64_t kSuperblockSize = 512;

// The salt need not be secret or fresh: it only has to be the same for everybody, so that builds are reproducible.
Sha256 fixed_salt() {
  constexpr std::string_view kText = "occlum image hash tree, version 1";
  const Bytes text(kText.begin(), kText.end());
  return sha256(text);
}

constexpr std::array<std::uint8_t, 16> kUuid = {0x6f, 0x63, 0x63, 0x6c, 0x75, 0x6d, 0x40, 0x00,
                                                0x80, 0x00, 0x76, 0x65, 0x72, 0x69, 0x74, 0x79};

// Hashes blocks [first, last) of `data` into `digests`.
void hash_range(std::span<const std::uint8_t> data, std::uint64_t first, std::uint64_t last, const SHA256_CTX& salted,
                std::span<std::uint8_t> digests) {
  for (std::uint64_t i = first; i < last; ++i) {
    SHA256_CTX state = salted;
    SHA256_Update(&state, data.subspan(i * kBlockSize, kBlockSize).data(), kBlockSize);
    SHA256_Final(digests.subspan(i * kDigestSize, kDigestSize).data(), &state);
  }
}

// The digests of all blocks, padded with zeros to whole blocks.
Bytes hash_level(std::span<const std::uint8_t> data, const Sha256& salt) {
  const std::uint64_t blocks = data.size() / kBlockSize;
  Bytes level(align_up(blocks * kDigestSize, kBlockSize));
  SHA256_CTX salted;
  SHA256_Init(&salted);
  SHA256_Update(&salted, salt.data(), salt.size());
  constexpr std::uint64_t kWorthAThread = 1024;
  const std::uint64_t middle = blocks >= kWorthAThread ? blocks / 2 : 0;
  {
    std::jthread helper;
    if (middle != 0) helper = std::jthread([&] { hash_range(data, 0, middle, salted, level); });
    hash_range(data, middle, blocks, salted, level);
  }
  return level;
}

Bytes superblock(std::uint64_t data_blocks, const Sha256& salt) {
  Bytes block(kBlockSize);
  const auto put = [&](std::uint64_t offset, std::span<const std::uint8_t> bytes) {
    std::ranges::copy(bytes, block.begin() + static_cast<std::ptrdiff_t>(offset));
  };
  const auto text = [&](std::uint64_t offset, std::string_view value) { std::ranges::copy(value, block.begin() + static_cast<std::ptrdiff_t>(offset)); };
  constexpr std::uint32_t kOne = 1;
  constexpr std::uint32_t kBlock = kBlockSize;
  constexpr std::uint16_t kSalt = kSaltSize;
  text(0, "verity");
  put(8, bytes_of(kOne));   // version
  put(12, bytes_of(kOne));  // hash type
  put(16, kUuid);
  text(32, "sha256");
  put(64, bytes_of(kBlock));
  put(68, bytes_of(kBlock));
  put(72, bytes_of(data_blocks));
  put(80, bytes_of(kSalt));
  put(88, salt);
  static_assert(88 + 256 <= kSuperblockSize);
  return block;
}

}  // namespace

Result<host_abi::VerityParams> append_verity(const std::filesystem::path& file) {
  const Sha256 salt = fixed_salt();
  std::vector<Bytes> levels;  // lowest first
  host_abi::VerityParams params = {};
  {
    const MappedFile mapped = IMAGE_TRY(MappedFile::open(file));
    if (mapped.data().empty() || mapped.data().size() % kBlockSize != 0) {
      return fail("{}: the size is not a multiple of {}", file.string(), kBlockSize);
    }
    params.data_blocks = mapped.data().size() / kBlockSize;
    levels.push_back(hash_level(mapped.data(), salt));
  }
  while (levels.back().size() > kBlockSize) levels.push_back(hash_level(levels.back(), salt));
  const Bytes top = hash_level(levels.back(), salt);
  std::copy_n(top.begin(), kDigestSize, params.root_hash.begin());
  params.salt = salt;
  params.salt_size = kSaltSize;
  const std::uint64_t super_offset = params.data_blocks * kBlockSize;
  params.hash_offset = super_offset + kBlockSize;
  const Fd output = IMAGE_TRY(open_file(file, O_WRONLY));
  IMAGE_CHECK(write_at(output, super_offset, superblock(params.data_blocks, salt), file.string()));
  std::uint64_t offset = params.hash_offset;
  for (auto level = levels.rbegin(); level != levels.rend(); ++level) {
    IMAGE_CHECK(write_at(output, offset, *level, file.string()));
    offset += level->size();
  }
  return params;
}

}  // namespace image
