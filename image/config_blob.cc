#include "image/config_blob.h"

#include <algorithm>

#include "host_abi/entry.h"
#include "image/little_endian.h"

namespace image {
namespace {

constexpr std::uint32_t kEdmmTcsAtStart = 1;  // what boot needs; the others are added when there is work for them
constexpr std::uint32_t kSsaPagesPlain = 1;
constexpr std::uint32_t kSsaPagesAmx = 4;

// A TCS is a virtual CPU; more of them than the host may ever offer are of no use.
std::uint32_t tcs_count(const OcclumConfig& config) {
  const ResourceLimits& limits = config.limits;
  const std::uint32_t wanted = config.feature.enable_edmm ? limits.init_num_of_threads.value_or(kEdmmTcsAtStart) : limits.max_num_of_threads;
  return std::min({wanted, limits.max_num_of_threads, host_abi::kMaxVcpus});
}

std::uint64_t config_flags(const OcclumConfig& config) {
  std::uint64_t flags = 0;
  if (config.metadata.debuggable) flags |= host_abi::kConfigDebuggable;
  if (config.feature.enable_edmm) flags |= host_abi::kConfigEdmm;
  if (config.metadata.enable_kss) flags |= host_abi::kConfigKss;
  if (config.metadata.disable_log) flags |= host_abi::kConfigDisableLog;
  if (config.feature.enable_posix_shm) flags |= host_abi::kConfigPosixShm;
  return flags;
}

sgx::Id128 id_bytes(const KssId& id) {
  sgx::Id128 bytes = {};
  std::ranges::copy(bytes_of(id.low), bytes.begin());
  std::ranges::copy(bytes_of(id.high), bytes.begin() + 8);
  return bytes;
}

host_abi::StringList append_strings(Bytes& blob, const std::vector<std::string>& strings) {
  host_abi::StringList list = {};
  list.offset = static_cast<std::uint32_t>(blob.size());
  list.count = static_cast<std::uint32_t>(strings.size());
  for (const std::string& text : strings) {
    blob.insert(blob.end(), text.begin(), text.end());
    blob.push_back(0);
  }
  list.bytes = static_cast<std::uint32_t>(blob.size()) - list.offset;
  return list;
}

std::string mount_options(const Mount& mount) {
  std::vector<std::string> options;
  if (mount.type == "unionfs" && mount.layers.size() == 2) {
    options.push_back(fmt::format("lower={}:{}", mount.layers[0].type, mount.layers[0].source));
    options.push_back(fmt::format("upper={}:{}", mount.layers[1].type, mount.layers[1].source));
    if (mount.layers[1].temporary) options.emplace_back("temporary");
    if (mount.layers[1].cache_size) options.push_back(fmt::format("cache_size={}", *mount.layers[1].cache_size));
  }
  if (mount.temporary) options.emplace_back("temporary");
  if (mount.cache_size) options.push_back(fmt::format("cache_size={}", *mount.cache_size));
  if (mount.disk_size) options.push_back(fmt::format("disk_size={}", *mount.disk_size));
  return fmt::format("{}", fmt::join(options, ","));
}

}  // namespace

sgx::SigningParams signing_params(const OcclumConfig& config) {
  sgx::SigningParams params;
  params.debuggable = config.metadata.debuggable;
  params.kss = config.metadata.enable_kss;
  params.require_amx = config.feature.amx == Use::required;
  params.isv_prod_id = config.metadata.product_id;
  params.isv_svn = config.metadata.version_number;
  if (params.kss) {
    params.isv_family_id = id_bytes(config.metadata.family_id);
    params.isv_ext_prod_id = id_bytes(config.metadata.ext_prod_id);
  }
  return params;
}

std::vector<std::string> mount_strings(const OcclumConfig& config) {
  std::vector<std::string> strings;
  for (const Mount& mount : config.mounts) {
    strings.push_back(fmt::format("{}\t{}\t{}\t{}", mount.type, mount.target, mount.source, mount_options(mount)));
  }
  return strings;
}

Bytes make_config_blob(const OcclumConfig& config, const host_abi::VerityParams& image, std::uint64_t epoch) {
  host_abi::ConfigHeader header = {};
  header.magic = host_abi::kConfigMagic;
  header.version = 1;
  header.elrange_size = config.limits.elrange_size;
  header.flags = config_flags(config);
  header.ssa_frame_pages = config.feature.amx == Use::off ? kSsaPagesPlain : kSsaPagesAmx;
  sgx::set_config_attributes(header, signing_params(config));
  header.tcs_count = tcs_count(config);
  header.max_threads = config.limits.max_num_of_threads;
  header.kernel_heap_max = kernel_heap_limit(config);
  header.kernel_heap_size = config.feature.enable_edmm ? config.limits.kernel_space_heap_size : header.kernel_heap_max;
  header.kernel_stack_size = config.limits.kernel_space_stack_size;
  header.user_space_max_size = user_space_limit(config);
  header.user_space_size = config.feature.enable_edmm ? config.limits.user_space_size : header.user_space_max_size;
  header.default_stack_size = config.process.stack_size;
  header.default_heap_size = config.process.heap_size;
  header.default_mmap_size = config.process.mmap_size;
  header.build_epoch = epoch;
  header.image = image;
  Bytes blob(sizeof(header));
  header.entry_points = append_strings(blob, config.entry_points);
  header.env_default = append_strings(blob, config.env_default);
  header.env_untrusted = append_strings(blob, config.env_untrusted);
  header.mounts = append_strings(blob, mount_strings(config));
  blob.resize(align_up(blob.size(), 8));
  header.total_size = static_cast<std::uint32_t>(blob.size());
  std::ranges::copy(bytes_of(header), blob.begin());
  return blob;
}

}  // namespace image
