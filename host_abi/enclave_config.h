// The measured configuration: one blob in read-only enclave pages directly behind the kernel image. Written by the image builder
// (from Occlum.json), read by the kernel at boot. Because its pages are measured, its content is trusted.
#ifndef HOST_ABI_ENCLAVE_CONFIG_H
#define HOST_ABI_ENCLAVE_CONFIG_H

#include <array>
#include <cstdint>
#include <type_traits>

namespace host_abi {

inline constexpr std::uint64_t kConfigMagic = 0x31474643'4c43434f;  // "OCCLCFG1"

// Address arithmetic of the enclave; all follow from the size of ELRANGE (a power of two, 2^36..2^46).
struct EnclaveGeometry {
  std::uint64_t elrange_size;
  constexpr std::uint64_t kernel_base() const { return elrange_size - elrange_size / 16; }      // first byte of the kernel region
  constexpr std::uint64_t user_base() const { return 0x10000; }                                  // mmap_min_addr
  constexpr std::uint64_t user_end() const { return kernel_base() - elrange_size / 64; }         // exclusive; then a guard gap
};

struct StringList {  // `count` NUL-terminated strings, `bytes` in all, at `offset` from the blob's start
  std::uint32_t offset;
  std::uint32_t bytes;
  std::uint32_t count;
  std::uint32_t reserved;
};

inline constexpr std::uint32_t kConfigDebuggable = 1;
inline constexpr std::uint32_t kConfigEdmm = 2;
inline constexpr std::uint32_t kConfigKss = 4;
inline constexpr std::uint32_t kConfigDisableLog = 8;
inline constexpr std::uint32_t kConfigPosixShm = 16;

// dm-verity parameters of the image. Offsets in bytes within the image file; block size is 4096 for data and hashes, SHA-256.
struct VerityParams {
  std::array<std::uint8_t, 32> root_hash;
  std::array<std::uint8_t, 32> salt;
  std::uint32_t salt_size;
  std::uint32_t reserved;
  std::uint64_t data_blocks;   // blocks [0, data_blocks) of the file are data: EROFS, then patch tables
  std::uint64_t hash_offset;   // first hash block (root level first), behind the verity superblock
  std::uint64_t patch_offset;  // start of the PatchIndex within the data area, 0 = none
  std::uint64_t patch_size;
};
static_assert(sizeof(VerityParams) == 104 && std::has_unique_object_representations_v<VerityParams>);

struct ConfigHeader {
  std::uint64_t magic;
  std::uint32_t version;     // 1
  std::uint32_t total_size;  // of the blob in bytes
  std::uint64_t elrange_size;
  std::uint64_t flags;  // kConfig*
  // Attributes that the kernel's own report must show (design section 3), as in SECS.
  std::uint64_t attributes;
  std::uint64_t attributes_mask;
  std::uint32_t miscselect;
  std::uint32_t ssa_frame_pages;
  std::uint32_t tcs_count;
  std::uint32_t max_threads;  // resource_limits.max_num_of_threads
  std::uint64_t kernel_heap_size;  // bytes committed at boot (all of it without EDMM)
  std::uint64_t kernel_heap_max;
  std::uint64_t kernel_stack_size;
  std::uint64_t user_space_size;      // committed at load without EDMM
  std::uint64_t user_space_max_size;  // limit of committed user bytes
  std::uint64_t default_stack_size;
  std::uint64_t default_heap_size;
  std::uint64_t default_mmap_size;
  std::uint64_t build_epoch;  // seconds: times in the image are not later than this
  VerityParams image;
  StringList entry_points;
  StringList env_default;
  StringList env_untrusted;
  StringList mounts;  // one string per mount: "type\ttarget\tsource\toptions"
  std::uint64_t reserved[8];
};
static_assert(std::has_unique_object_representations_v<ConfigHeader>);

}  // namespace host_abi
#endif  // HOST_ABI_ENCLAVE_CONFIG_H
