// Occlum.json: the user's configuration of an instance, parsed and checked (docs/configuration.md lists every key).
#ifndef IMAGE_OCCLUM_JSON_H
#define IMAGE_OCCLUM_JSON_H

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "image/result.h"

namespace image {

// One entry of `mount`, or one layer of a unionfs.
struct Mount {
  std::string type;    // sefs, hostfs, ramfs, unionfs, devfs, procfs, ext2
  std::string target;  // absolute, normalised
  std::string source;  // relative to the instance folder, or empty
  std::string mac;     // accepted as upstream writes it; the image's root hash is measured, so it has no effect
  bool temporary = false;
  std::optional<std::uint64_t> cache_size;  // bytes
  std::optional<std::uint64_t> disk_size;   // bytes
  std::vector<Mount> layers;                // unionfs: image, then container
};

struct ResourceLimits {
  std::uint64_t kernel_space_heap_size = 0;  // bytes, all sizes are
  std::optional<std::uint64_t> kernel_space_heap_max_size;
  std::uint64_t kernel_space_stack_size = 0;
  std::uint64_t user_space_size = 0;
  std::optional<std::uint64_t> user_space_max_size;
  std::uint32_t max_num_of_threads = 0;
  std::optional<std::uint32_t> init_num_of_threads;
  std::uint64_t elrange_size = 0;  // power of two
};

struct ProcessDefaults {
  std::uint64_t stack_size = 0;
  std::uint64_t heap_size = 0;
  std::uint64_t mmap_size = 0;
};

struct KssId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};

struct Metadata {
  std::uint16_t product_id = 0;
  std::uint16_t version_number = 0;
  bool debuggable = true;
  bool disable_log = false;
  bool enable_kss = false;
  KssId family_id;
  KssId ext_prod_id;
};

// How a feature of the processor is used: feature.amx, feature.pkru.
enum class Use : std::uint8_t { off = 0, optional = 1, required = 2 };

struct Features {
  Use amx = Use::off;
  Use pkru = Use::off;
  std::uint32_t io_uring = 0;
  bool enable_edmm = false;
  bool enable_posix_shm = false;
};

struct OcclumConfig {
  ResourceLimits limits;
  ProcessDefaults process;
  std::vector<std::string> entry_points;
  std::vector<std::string> env_default;
  std::vector<std::string> env_untrusted;
  Metadata metadata;
  Features feature;
  std::vector<Mount> mounts;
  std::vector<std::string> warnings;  // lines to show: keys that have no effect here
};

// Parses and checks the text of an Occlum.json; `file` is its name in errors. The error text holds one line per mistake.
Result<OcclumConfig> parse_occlum_json(std::string_view text, std::string_view file);

// Reads and parses a file.
Result<OcclumConfig> load_occlum_json(const std::filesystem::path& path);

// The file that `occlum init` writes.
std::string_view occlum_json_template();

// Limit of committed user memory in bytes, as the configuration and EDMM decide it.
std::uint64_t user_space_limit(const OcclumConfig& config);
// Limit of the kernel heap in bytes.
std::uint64_t kernel_heap_limit(const OcclumConfig& config);

}  // namespace image
#endif  // IMAGE_OCCLUM_JSON_H
