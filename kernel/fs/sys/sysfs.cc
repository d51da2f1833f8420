#include "kernel/fs/sys/sysfs.h"

#include <array>

#include "abi/fs.h"
#include "kernel/frame/cpuid.h"
#include "kernel/fs/pseudo/tree.h"
#include "kernel/host/config.h"
#include "kernel/task/thread.h"
#include "kernel/vfs/mount.h"

namespace kernel {
namespace {

// "0-3", or "0".
void cpu_range(Text& out) {
  out << '0';
  if (vcpu_count() > 1) out << '-' << vcpu_count() - 1;
  out << '\n';
}
Result<> show_cpus(Text& out, std::uint32_t) {
  cpu_range(out);
  return {};
}
// A bit mask in groups of 32, highest first.
Result<> show_cpu_mask(Text& out, std::uint32_t) {
  const std::uint64_t mask = vcpu_count() >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << vcpu_count()) - 1;
  if ((mask >> 32) != 0) out.hex(mask >> 32, 8) << ',';
  out.hex(mask & 0xffffffff, vcpu_count() > 32 ? 8 : (vcpu_count() + 3) / 4) << '\n';
  return {};
}
Result<> show_own_mask(Text& out, std::uint32_t cpu) {
  if (cpu >= 32) out.hex(std::uint64_t{1} << (cpu - 32), 8) << ',';
  out.hex(cpu < 32 ? std::uint64_t{1} << cpu : 0, vcpu_count() > 32 ? 8 : (vcpu_count() + 3) / 4) << '\n';
  return {};
}
Result<> show_cpu_number(Text& out, std::uint32_t cpu) {
  out << cpu << '\n';
  return {};
}
Result<> show_empty_line(Text& out, std::uint32_t) {
  out << '\n';
  return {};
}
Result<> show_nothing(Text&, std::uint32_t) { return {}; }
Result<> show_kernel_max(Text& out, std::uint32_t) {
  out << host_abi::kMaxVcpus - 1 << '\n';
  return {};
}

// Caches by CPUID leaf 4 (or 8000001d on AMD processors).
struct Cache {
  std::uint32_t level = 0, type = 0, line = 0, ways = 0, sets = 0;
  std::uint64_t size() const { return std::uint64_t{line} * ways * sets; }
};
Cache cache_at(std::uint32_t index) {
  frame::CpuidResult answer = frame::cpuid(4, index);
  if ((frame::cpuid(4, 0).eax & 0x1f) == 0) answer = frame::cpuid(0x8000001d, index);
  if ((answer.eax & 0x1f) == 0) return {};
  return {.level = (answer.eax >> 5) & 7,
          .type = answer.eax & 0x1f,
          .line = (answer.ebx & 0xfff) + 1,
          .ways = (((answer.ebx >> 22) & 0x3ff) + 1) * (((answer.ebx >> 12) & 0x3ff) + 1),
          .sets = answer.ecx + 1};
}
template <std::uint32_t kIndex>
Result<> show_cache_level(Text& out, std::uint32_t) {
  out << cache_at(kIndex).level << '\n';
  return {};
}
template <std::uint32_t kIndex>
Result<> show_cache_type(Text& out, std::uint32_t) {
  constexpr std::array<std::string_view, 4> kTypes{"Unknown", "Data", "Instruction", "Unified"};
  out << kTypes[cache_at(kIndex).type & 3] << '\n';
  return {};
}
template <std::uint32_t kIndex>
Result<> show_cache_size(Text& out, std::uint32_t) {
  out << cache_at(kIndex).size() / 1024 << "K\n";
  return {};
}
template <std::uint32_t kIndex>
Result<> show_cache_line(Text& out, std::uint32_t) {
  out << cache_at(kIndex).line << '\n';
  return {};
}
template <std::uint32_t kIndex>
Result<> show_cache_ways(Text& out, std::uint32_t) {
  out << cache_at(kIndex).ways << '\n';
  return {};
}
template <std::uint32_t kIndex>
Result<> show_cache_sets(Text& out, std::uint32_t) {
  out << cache_at(kIndex).sets << '\n';
  return {};
}

Result<> show_node_memory(Text& out, std::uint32_t) {
  const std::uint64_t kib = config().user_space_max_size / 1024;
  out << "Node 0 MemTotal:       ";
  out.right(kib, 8) << " kB\nNode 0 MemFree:        ";
  out.right(kib, 8) << " kB\nNode 0 MemUsed:        ";
  out.right(0, 8) << " kB\n";
  return {};
}

#define CACHE_ENTRIES(index)                                                                                     \
  {.path = "devices/system/cpu/cpu#/cache/index" #index "/level", .show = show_cache_level<index>},              \
      {.path = "devices/system/cpu/cpu#/cache/index" #index "/type", .show = show_cache_type<index>},            \
      {.path = "devices/system/cpu/cpu#/cache/index" #index "/size", .show = show_cache_size<index>},            \
      {.path = "devices/system/cpu/cpu#/cache/index" #index "/coherency_line_size", .show = show_cache_line<index>}, \
      {.path = "devices/system/cpu/cpu#/cache/index" #index "/ways_of_associativity", .show = show_cache_ways<index>}, \
      {.path = "devices/system/cpu/cpu#/cache/index" #index "/number_of_sets", .show = show_cache_sets<index>},  \
  {                                                                                                              \
    .path = "devices/system/cpu/cpu#/cache/index" #index "/shared_cpu_map", .show = index == 3 ? show_cpu_mask : show_own_mask                    \
  }

constexpr auto kTree = std::to_array<TreeEntry>({
    {.path = "devices/system/cpu/online", .show = show_cpus},
    {.path = "devices/system/cpu/possible", .show = show_cpus},
    {.path = "devices/system/cpu/present", .show = show_cpus},
    {.path = "devices/system/cpu/offline", .show = show_empty_line},
    {.path = "devices/system/cpu/isolated", .show = show_empty_line},
    {.path = "devices/system/cpu/kernel_max", .show = show_kernel_max},
    {.path = "devices/system/cpu/cpu#/online", .text = "1"},
    {.path = "devices/system/cpu/cpu#/topology/core_id", .show = show_cpu_number},
    {.path = "devices/system/cpu/cpu#/topology/physical_package_id", .text = "0"},
    {.path = "devices/system/cpu/cpu#/topology/die_id", .text = "0"},
    {.path = "devices/system/cpu/cpu#/topology/core_cpus", .show = show_own_mask},
    {.path = "devices/system/cpu/cpu#/topology/core_cpus_list", .show = show_cpu_number},
    {.path = "devices/system/cpu/cpu#/topology/thread_siblings", .show = show_own_mask},
    {.path = "devices/system/cpu/cpu#/topology/thread_siblings_list", .show = show_cpu_number},
    {.path = "devices/system/cpu/cpu#/topology/core_siblings", .show = show_cpu_mask},
    {.path = "devices/system/cpu/cpu#/topology/core_siblings_list", .show = show_cpus},
    {.path = "devices/system/cpu/cpu#/topology/package_cpus", .show = show_cpu_mask},
    {.path = "devices/system/cpu/cpu#/topology/package_cpus_list", .show = show_cpus},
    CACHE_ENTRIES(0),
    CACHE_ENTRIES(1),
    CACHE_ENTRIES(2),
    CACHE_ENTRIES(3),
    {.path = "devices/system/node/online", .text = "0"},
    {.path = "devices/system/node/possible", .text = "0"},
    {.path = "devices/system/node/has_cpu", .text = "0"},
    {.path = "devices/system/node/has_memory", .text = "0"},
    {.path = "devices/system/node/has_normal_memory", .text = "0"},
    {.path = "devices/system/node/node0/cpulist", .show = show_cpus},
    {.path = "devices/system/node/node0/cpumap", .show = show_cpu_mask},
    {.path = "devices/system/node/node0/distance", .text = "10"},
    {.path = "devices/system/node/node0/meminfo", .show = show_node_memory},
    {.path = "devices/virtual/net/lo/addr_assign_type", .text = "0"},
    {.path = "devices/virtual/net/lo/addr_len", .text = "6"},
    {.path = "devices/virtual/net/lo/broadcast", .text = "00:00:00:00:00:00"},
    {.path = "devices/virtual/net/lo/carrier", .text = "1"},
    {.path = "devices/virtual/net/lo/carrier_changes", .text = "0"},
    {.path = "devices/virtual/net/lo/dev_id", .text = "0x0"},
    {.path = "devices/virtual/net/lo/dev_port", .text = "0"},
    {.path = "devices/virtual/net/lo/dormant", .text = "0"},
    {.path = "devices/virtual/net/lo/iflink", .text = "1"},
    {.path = "devices/virtual/net/lo/link_mode", .text = "0"},
    {.path = "devices/virtual/net/lo/name_assign_type", .text = "2"},
    {.path = "devices/virtual/net/lo/netdev_group", .text = "0"},
    {.path = "devices/virtual/net/lo/tx_queue_len", .text = "1000"},
    {.path = "devices/virtual/net/lo/uevent", .text = "INTERFACE=lo\nIFINDEX=1"},
    {.path = "devices/virtual/net/lo/statistics/collisions", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/multicast", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_bytes", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_compressed", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_crc_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_dropped", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_fifo_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_frame_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_length_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_missed_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_nohandler", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_over_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/rx_packets", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_aborted_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_bytes", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_carrier_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_compressed", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_dropped", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_fifo_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_heartbeat_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_packets", .text = "0"},
    {.path = "devices/virtual/net/lo/statistics/tx_window_errors", .text = "0"},
    {.path = "devices/virtual/net/lo/mtu", .text = "65536"},
    {.path = "devices/virtual/net/lo/address", .text = "00:00:00:00:00:00"},
    {.path = "devices/virtual/net/lo/ifindex", .text = "1"},
    {.path = "devices/virtual/net/lo/operstate", .text = "unknown"},
    {.path = "devices/virtual/net/lo/type", .text = "772"},
    {.path = "devices/virtual/net/lo/flags", .text = "0x9"},
    {.path = "class/net/lo", .text = "../../devices/virtual/net/lo", .type = FileType::symlink},
    {.path = "class/block", .type = FileType::directory},
    {.path = "class/tty", .type = FileType::directory},
    {.path = "class/thermal", .type = FileType::directory},
    {.path = "class/dmi", .type = FileType::directory},
    {.path = "block", .type = FileType::directory},
    {.path = "bus", .type = FileType::directory},
    {.path = "dev/char", .type = FileType::directory},
    {.path = "dev/block", .type = FileType::directory},
    {.path = "firmware", .type = FileType::directory},
    {.path = "module", .type = FileType::directory},
    {.path = "fs/cgroup", .type = FileType::directory},
    {.path = "kernel/mm/transparent_hugepage/enabled", .text = "always madvise [never]"},
    {.path = "kernel/mm/transparent_hugepage/defrag", .text = "always defer defer+madvise madvise [never]"},
    {.path = "kernel/mm/transparent_hugepage/shmem_enabled", .text = "always within_size advise [never] deny force"},
    {.path = "kernel/mm/transparent_hugepage/hpage_pmd_size", .text = "2097152"},
    {.path = "kernel/mm/transparent_hugepage/use_zero_page", .text = "0"},
    {.path = "kernel/mm/hugepages", .type = FileType::directory},
    {.path = "kernel/security", .type = FileType::directory},
    {.path = "kernel/debug", .type = FileType::directory},
    {.path = "kernel/uevent_seqnum", .text = "0"},
    {.path = "kernel/notes", .show = show_nothing},
    {.path = "power", .type = FileType::directory},
});
#undef CACHE_ENTRIES

Result<Ref<Inode>> make_root(Ref<PseudoSuperblock> superblock) { return tree_directory(superblock, kTree, {}); }

Result<Ref<Superblock>> make_sysfs(std::string_view, std::string_view) { return make_pseudo_file_system("sysfs", abi::kMagicSysfs, make_root); }

}  // namespace

Result<> register_sys_file_system() { return register_file_system({.name = "sysfs", .make = make_sysfs}); }

}  // namespace kernel
