// The on-disk format of EROFS, as far as mkfs.erofs writes it without compression (Linux, Documentation/filesystems/erofs.rst and
// fs/erofs/erofs_fs.h). Little endian.
#ifndef KERNEL_FS_IMAGE_EROFS_FORMAT_H
#define KERNEL_FS_IMAGE_EROFS_FORMAT_H

#include <array>
#include <cstddef>
#include <cstdint>

namespace kernel::erofs {

inline constexpr std::uint32_t kMagic = 0xe0f5e1e2;
inline constexpr std::uint64_t kSuperOffset = 1024;
inline constexpr std::uint32_t kNullBlock = 0xffffffff;
inline constexpr std::uint64_t kSlotSize = 32;  // inodes are numbered in units of it

// feature_incompat bits that change nothing for images without compression.
inline constexpr std::uint32_t kIncompatZeroPadding = 1, kIncompatChunkedFile = 4;
inline constexpr std::uint32_t kSupportedIncompat = kIncompatZeroPadding | kIncompatChunkedFile;

struct SuperBlock {
  std::uint32_t magic;
  std::uint32_t checksum;
  std::uint32_t feature_compat;
  std::uint8_t block_bits;
  std::uint8_t ext_slots;
  std::uint16_t root_nid;
  std::uint64_t inodes;
  std::uint64_t build_time;
  std::uint32_t build_time_nsec;
  std::uint32_t blocks;
  std::uint32_t meta_block;
  std::uint32_t xattr_block;
  std::array<std::uint8_t, 16> uuid;
  std::array<std::uint8_t, 16> volume_name;
  std::uint32_t feature_incompat;
  std::array<std::uint8_t, 44> rest;
};
static_assert(sizeof(SuperBlock) == 128 && offsetof(SuperBlock, feature_incompat) == 80 && offsetof(SuperBlock, meta_block) == 40);

// Layouts in bits 1..3 of the format word; bit 0 = extended inode.
inline constexpr unsigned kLayoutPlain = 0, kLayoutInline = 2, kLayoutChunked = 4;

struct CompactInode {
  std::uint16_t format;
  std::uint16_t xattr_count;
  std::uint16_t mode;
  std::uint16_t nlink;
  std::uint32_t size;
  std::uint32_t reserved;
  std::uint32_t place;  // first block, device number, or chunk format
  std::uint32_t ino;
  std::uint16_t uid;
  std::uint16_t gid;
  std::uint32_t reserved2;
};
static_assert(sizeof(CompactInode) == 32);

struct ExtendedInode {
  std::uint16_t format;
  std::uint16_t xattr_count;
  std::uint16_t mode;
  std::uint16_t reserved;
  std::uint64_t size;
  std::uint32_t place;
  std::uint32_t ino;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint64_t mtime;
  std::uint32_t mtime_nsec;
  std::uint32_t nlink;
  std::array<std::uint8_t, 16> reserved2;
};
static_assert(sizeof(ExtendedInode) == 64 && offsetof(ExtendedInode, mtime) == 32);

inline constexpr std::uint32_t kChunkBitsMask = 0x1f, kChunkIndexes = 0x20;
struct ChunkIndex {
  std::uint16_t advise;
  std::uint16_t device;
  std::uint32_t block;
};
static_assert(sizeof(ChunkIndex) == 8);

struct DirectoryRecord {
  std::uint32_t nid_low;
  std::uint32_t nid_high;
  std::uint16_t name_offset;
  std::uint8_t type;
  std::uint8_t reserved;
};
static_assert(sizeof(DirectoryRecord) == 12);

struct XattrHeader {
  std::uint32_t name_filter;
  std::uint8_t shared_count;
  std::array<std::uint8_t, 7> reserved;
};
static_assert(sizeof(XattrHeader) == 12);
struct XattrEntry {
  std::uint8_t name_size;
  std::uint8_t name_index;
  std::uint16_t value_size;
};
static_assert(sizeof(XattrEntry) == 4);

}  // namespace kernel::erofs
#endif  // KERNEL_FS_IMAGE_EROFS_FORMAT_H
