// /proc/sys: settings that programs read, and the few that they may write.
#include <array>

#include "abi/fs.h"
#include "kernel/crypto/random.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/fs/tty/devpts.h"
#include "kernel/task/ipc.h"
#include "kernel/task/uts.h"
#include "kernel/vfs/aio.h"
#include "kernel/vfs/inotify.h"
#include "kernel/vfs/mqueue.h"

namespace kernel {
namespace {

using Uuid = std::array<std::uint8_t, 16>;

Uuid make_uuid() {
  Uuid uuid{};
  random_bytes(std::as_writable_bytes(std::span(uuid)));
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0f) | 0x40);  // version 4 (RFC 4122)
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3f) | 0x80);
  return uuid;
}

void put_uuid(const Uuid& uuid, Text& out) {
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out << '-';
    out.hex(uuid[i], 2);
  }
  out << '\n';
}

struct BootId {
  SpinLock<LockRank::process> lock;
  Uuid value GUARDED_BY(lock){};
  bool made GUARDED_BY(lock) = false;
};
constinit BootId boot_id;  // NOLINT: drawn once per run

Result<> show_boot_id(Text& out, std::uint32_t) {
  Uuid uuid = make_uuid();
  {
    const LockGuard guard(boot_id.lock);
    if (!boot_id.made) boot_id.value = uuid;
    boot_id.made = true;
    uuid = boot_id.value;
  }
  put_uuid(uuid, out);
  return {};
}

Result<> show_uuid(Text& out, std::uint32_t) {
  put_uuid(make_uuid(), out);
  return {};
}

Result<> show_threads_max(Text& out, std::uint32_t) {
  out << kPidMax / 2 << '\n';
  return {};
}
Result<> show_aio_nr(Text& out, std::uint32_t) {
  out << AioContext::in_use() << '\n';
  return {};
}
Result<> show_pid_max(Text& out, std::uint32_t) {
  out << kPidMax << '\n';
  return {};
}
Result<> show_inotify_events(Text& out, std::uint32_t) {
  out << kMaxInotifyEvents << '\n';
  return {};
}
Result<> show_inotify_instances(Text& out, std::uint32_t) {
  out << kMaxInotifyInstances << '\n';
  return {};
}
Result<> show_inotify_watches(Text& out, std::uint32_t) {
  out << kMaxInotifyWatches << '\n';
  return {};
}
Result<> show_pty_max(Text& out, std::uint32_t) {
  out << kMaxPtys << '\n';
  return {};
}
Result<> show_pty_count(Text& out, std::uint32_t) {
  out << pty_count() << '\n';
  return {};
}
Result<> show_cap_last(Text& out, std::uint32_t) {
  out << abi::kCapLast << '\n';
  return {};
}
Result<> show_file_nr(Text& out, std::uint32_t) {
  out << "0\t0\t9223372036854775807\n";
  return {};
}
std::string_view trimmed(std::span<const char> name LIFETIMEBOUND) {
  const std::string_view all(name.data(), name.size());
  return all.substr(0, all.find('\0'));
}
Result<> store_host(std::string_view text) {
  if (!current_task().credentials().has(Capability::sys_admin)) return Errno::perm;
  return set_node_name(text.substr(0, text.find('\n')));
}
Result<> store_domain(std::string_view text) {
  if (!current_task().credentials().has(Capability::sys_admin)) return Errno::perm;
  return set_domain_name(text.substr(0, text.find('\n')));
}
Result<> show_domain(Text& out, std::uint32_t) {
  const abi::UtsName names = uts_name();
  out << trimmed(names.domainname) << '\n';
  return {};
}
Result<> show_host(Text& out, std::uint32_t) {
  const abi::UtsName names = uts_name();
  out << trimmed(names.nodename) << '\n';
  return {};
}
Result<> show_release(Text& out, std::uint32_t) {
  const abi::UtsName names = uts_name();
  out << trimmed(names.release) << '\n';
  return {};
}
Result<> show_system(Text& out, std::uint32_t) {
  const abi::UtsName names = uts_name();
  out << trimmed(names.sysname) << '\n';
  return {};
}
Result<> show_version(Text& out, std::uint32_t) {
  const abi::UtsName names = uts_name();
  out << trimmed(names.version) << '\n';
  return {};
}

template <std::atomic<std::uint64_t> IpcLimits::*kField>
Result<> show_limit(Text& out, std::uint32_t) {
  out << (ipc_limits().*kField).load() << '\n';
  return {};
}
template <std::atomic<std::uint64_t> IpcLimits::*kField, std::uint64_t kMost>
Result<> store_limit(std::string_view text) {
  const std::int64_t value = TRY(parse_written_number(text));
  if (value < 0 || static_cast<std::uint64_t>(value) > kMost) return Errno::inval;
  (ipc_limits().*kField).store(static_cast<std::uint64_t>(value));
  return {};
}

template <std::atomic<std::uint64_t> MqLimits::*kField>
Result<> show_mq(Text& out, std::uint32_t) {
  out << (mq_limits().*kField).load() << '\n';
  return {};
}
template <std::atomic<std::uint64_t> MqLimits::*kField, std::uint64_t kMost>
Result<> store_mq(std::string_view text) {
  const std::int64_t value = TRY(parse_written_number(text));
  if (value < 1 || static_cast<std::uint64_t>(value) > kMost) return Errno::inval;
  (mq_limits().*kField).store(static_cast<std::uint64_t>(value));
  return {};
}

// Settings of Linux's memory manager and sockets that have no effect here may not be written: EPERM says so.
constexpr auto kTree = std::to_array<TreeEntry>({
    {.path = "sys/kernel/pid_max", .show = show_pid_max},
    {.path = "sys/kernel/threads-max", .show = show_threads_max},
    {.path = "sys/kernel/ostype", .show = show_system},
    {.path = "sys/kernel/osrelease", .show = show_release},
    {.path = "sys/kernel/version", .show = show_version},
    {.path = "sys/kernel/hostname", .show = show_host, .store = store_host},
    {.path = "sys/kernel/domainname", .show = show_domain, .store = store_domain},
    {.path = "sys/kernel/random/boot_id", .show = show_boot_id},
    {.path = "sys/kernel/random/uuid", .show = show_uuid},
    {.path = "sys/kernel/random/entropy_avail", .text = "256"},
    {.path = "sys/kernel/random/poolsize", .text = "256"},
    {.path = "sys/fs/inotify/max_queued_events", .show = show_inotify_events},
    {.path = "sys/fs/inotify/max_user_instances", .show = show_inotify_instances},
    {.path = "sys/fs/inotify/max_user_watches", .show = show_inotify_watches},
    {.path = "sys/kernel/pty/max", .show = show_pty_max},
    {.path = "sys/kernel/pty/nr", .show = show_pty_count},
    {.path = "sys/kernel/pty/reserve", .text = "0"},
    {.path = "sys/kernel/random/urandom_min_reseed_secs", .text = "60"},
    {.path = "sys/kernel/random/write_wakeup_threshold", .text = "256"},
    {.path = "sys/kernel/cap_last_cap", .show = show_cap_last},
    {.path = "sys/kernel/core_pattern", .text = "core"},
    {.path = "sys/kernel/core_uses_pid", .text = "0"},
    {.path = "sys/kernel/shmmax", .show = show_limit<&IpcLimits::shmmax>, .store = store_limit<&IpcLimits::shmmax, 0x7fffffffffffffff>},
    {.path = "sys/kernel/shmall", .show = show_limit<&IpcLimits::shmall>, .store = store_limit<&IpcLimits::shmall, 0x7fffffffffffffff>},
    {.path = "sys/kernel/shmmni", .show = show_limit<&IpcLimits::shmmni>, .store = store_limit<&IpcLimits::shmmni, kIpcMost>},
    {.path = "sys/kernel/msgmax", .show = show_limit<&IpcLimits::msgmax>, .store = store_limit<&IpcLimits::msgmax, 0x7fffffff>},
    {.path = "sys/kernel/msgmnb", .show = show_limit<&IpcLimits::msgmnb>, .store = store_limit<&IpcLimits::msgmnb, 0x7fffffff>},
    {.path = "sys/kernel/msgmni", .show = show_limit<&IpcLimits::msgmni>, .store = store_limit<&IpcLimits::msgmni, kIpcMost>},
    {.path = "sys/kernel/sem", .show = proc::show_sem_limits, .store = proc::store_sem_limits},
    {.path = "sys/kernel/ngroups_max", .text = "65536"},
    {.path = "sys/kernel/overflowuid", .text = "65534"},
    {.path = "sys/kernel/overflowgid", .text = "65534"},
    {.path = "sys/kernel/randomize_va_space", .text = "2"},
    {.path = "sys/kernel/perf_event_paranoid", .text = "4"},
    {.path = "sys/kernel/kptr_restrict", .text = "2"},
    {.path = "sys/kernel/dmesg_restrict", .text = "1"},
    {.path = "sys/kernel/yama/ptrace_scope", .text = "1"},
    {.path = "sys/kernel/seccomp/actions_avail", .text = ""},
    {.path = "sys/kernel/unprivileged_userns_clone", .text = "0"},
    {.path = "sys/kernel/sched_child_runs_first", .text = "0"},
    {.path = "sys/kernel/sched_rt_runtime_us", .text = "950000"},
    {.path = "sys/kernel/sched_rt_period_us", .text = "1000000"},
    {.path = "sys/kernel/tainted", .text = "0"},
    {.path = "sys/kernel/panic", .text = "0"},
    {.path = "sys/kernel/sysrq", .text = "0"},
    {.path = "sys/kernel/numa_balancing", .text = "0"},
    {.path = "sys/vm/overcommit_memory", .text = "1"},
    {.path = "sys/vm/overcommit_ratio", .text = "50"},
    {.path = "sys/vm/overcommit_kbytes", .text = "0"},
    {.path = "sys/vm/max_map_count", .text = "65530"},
    {.path = "sys/vm/mmap_min_addr", .text = "65536"},
    {.path = "sys/vm/swappiness", .text = "0"},
    {.path = "sys/vm/nr_hugepages", .text = "0"},
    {.path = "sys/vm/hugetlb_shm_group", .text = "0"},
    {.path = "sys/vm/legacy_va_layout", .text = "0"},
    {.path = "sys/vm/zone_reclaim_mode", .text = "0"},
    {.path = "sys/vm/vfs_cache_pressure", .text = "100"},
    {.path = "sys/vm/dirty_ratio", .text = "20"},
    {.path = "sys/vm/dirty_background_ratio", .text = "10"},
    {.path = "sys/vm/drop_caches", .text = "0"},
    {.path = "sys/vm/overcommit_hugepages", .text = "0"},
    {.path = "sys/fs/file-max", .text = "9223372036854775807"},
    {.path = "sys/fs/file-nr", .show = show_file_nr},
    {.path = "sys/fs/nr_open", .text = "1048576"},
    {.path = "sys/fs/pipe-max-size", .text = "1048576"},
    {.path = "sys/fs/pipe-user-pages-soft", .text = "16384"},
    {.path = "sys/fs/pipe-user-pages-hard", .text = "0"},
    {.path = "sys/fs/aio-max-nr", .text = "65536"},
    {.path = "sys/fs/aio-nr", .show = show_aio_nr},
    {.path = "sys/fs/inotify/max_queued_events", .text = "16384"},
    {.path = "sys/fs/inotify/max_user_instances", .text = "128"},
    {.path = "sys/fs/inotify/max_user_watches", .text = "65536"},
    {.path = "sys/fs/epoll/max_user_watches", .text = "1048576"},
    {.path = "sys/fs/mqueue/msg_max", .show = show_mq<&MqLimits::msg_max>, .store = store_mq<&MqLimits::msg_max, 65536>},
    {.path = "sys/fs/mqueue/msgsize_max", .show = show_mq<&MqLimits::msgsize_max>, .store = store_mq<&MqLimits::msgsize_max, 16777216>},
    {.path = "sys/fs/mqueue/msg_default", .show = show_mq<&MqLimits::msg_default>, .store = store_mq<&MqLimits::msg_default, 65536>},
    {.path = "sys/fs/mqueue/msgsize_default", .show = show_mq<&MqLimits::msgsize_default>, .store = store_mq<&MqLimits::msgsize_default, 16777216>},
    {.path = "sys/fs/mqueue/queues_max", .show = show_mq<&MqLimits::queues_max>, .store = store_mq<&MqLimits::queues_max, 2147483647>},
    {.path = "sys/fs/protected_hardlinks", .text = "0"},
    {.path = "sys/fs/protected_symlinks", .text = "0"},
    {.path = "sys/fs/suid_dumpable", .text = "0"},
    {.path = "sys/net/core/busy_poll", .text = "0"},
    {.path = "sys/net/core/busy_read", .text = "0"},
    {.path = "sys/net/core/default_qdisc", .text = "pfifo_fast"},
    {.path = "sys/net/core/netdev_max_backlog", .text = "1000"},
    {.path = "sys/net/core/optmem_max", .text = "20480"},
    {.path = "sys/net/core/rmem_default", .text = "212992"},
    {.path = "sys/net/core/rmem_max", .text = "212992"},
    {.path = "sys/net/core/somaxconn", .text = "4096"},
    {.path = "sys/net/core/wmem_default", .text = "212992"},
    {.path = "sys/net/core/wmem_max", .text = "212992"},
    {.path = "sys/net/ipv4/conf/all/forwarding", .text = "0"},
    {.path = "sys/net/ipv4/conf/default/forwarding", .text = "0"},
    {.path = "sys/net/ipv4/conf/lo/forwarding", .text = "0"},
    {.path = "sys/net/ipv4/ip_default_ttl", .text = "64"},
    {.path = "sys/net/ipv4/ip_forward", .text = "0"},
    {.path = "sys/net/ipv4/ip_local_port_range", .text = "32768\t60999"},
    {.path = "sys/net/ipv4/ip_local_reserved_ports", .text = ""},
    {.path = "sys/net/ipv4/ip_nonlocal_bind", .text = "0"},
    {.path = "sys/net/ipv4/ip_unprivileged_port_start", .text = "1024"},
    {.path = "sys/net/ipv4/ping_group_range", .text = "1\t0"},
    {.path = "sys/net/ipv4/tcp_abort_on_overflow", .text = "0"},
    {.path = "sys/net/ipv4/tcp_allowed_congestion_control", .text = "cubic"},
    {.path = "sys/net/ipv4/tcp_available_congestion_control", .text = "cubic"},
    {.path = "sys/net/ipv4/tcp_congestion_control", .text = "cubic"},
    {.path = "sys/net/ipv4/tcp_ecn", .text = "2"},
    {.path = "sys/net/ipv4/tcp_fastopen", .text = "0"},
    {.path = "sys/net/ipv4/tcp_fin_timeout", .text = "60"},
    {.path = "sys/net/ipv4/tcp_keepalive_intvl", .text = "75"},
    {.path = "sys/net/ipv4/tcp_keepalive_probes", .text = "9"},
    {.path = "sys/net/ipv4/tcp_keepalive_time", .text = "7200"},
    {.path = "sys/net/ipv4/tcp_max_orphans", .text = "131072"},
    {.path = "sys/net/ipv4/tcp_max_syn_backlog", .text = "512"},
    {.path = "sys/net/ipv4/tcp_max_tw_buckets", .text = "131072"},
    {.path = "sys/net/ipv4/tcp_mem", .text = "287898\t383867\t575796"},
    {.path = "sys/net/ipv4/tcp_moderate_rcvbuf", .text = "1"},
    {.path = "sys/net/ipv4/tcp_no_metrics_save", .text = "0"},
    {.path = "sys/net/ipv4/tcp_notsent_lowat", .text = "4294967295"},
    {.path = "sys/net/ipv4/tcp_retries1", .text = "3"},
    {.path = "sys/net/ipv4/tcp_retries2", .text = "15"},
    {.path = "sys/net/ipv4/tcp_rmem", .text = "4096\t131072\t6291456"},
    {.path = "sys/net/ipv4/tcp_sack", .text = "1"},
    {.path = "sys/net/ipv4/tcp_slow_start_after_idle", .text = "1"},
    {.path = "sys/net/ipv4/tcp_syn_retries", .text = "6"},
    {.path = "sys/net/ipv4/tcp_synack_retries", .text = "5"},
    {.path = "sys/net/ipv4/tcp_syncookies", .text = "1"},
    {.path = "sys/net/ipv4/tcp_timestamps", .text = "1"},
    {.path = "sys/net/ipv4/tcp_tw_reuse", .text = "2"},
    {.path = "sys/net/ipv4/tcp_window_scaling", .text = "1"},
    {.path = "sys/net/ipv4/tcp_wmem", .text = "4096\t16384\t4194304"},
    {.path = "sys/net/ipv4/udp_mem", .text = "575799\t767734\t1151598"},
    {.path = "sys/net/ipv4/udp_rmem_min", .text = "4096"},
    {.path = "sys/net/ipv4/udp_wmem_min", .text = "4096"},
    {.path = "sys/net/ipv6/bindv6only", .text = "0"},
    {.path = "sys/net/ipv6/conf/all/disable_ipv6", .text = "0"},
    {.path = "sys/net/ipv6/conf/all/forwarding", .text = "0"},
    {.path = "sys/net/ipv6/conf/default/disable_ipv6", .text = "0"},
    {.path = "sys/net/ipv6/conf/lo/disable_ipv6", .text = "0"},
    {.path = "sys/net/unix/max_dgram_qlen", .text = "10"},
    {.path = "sys/user/max_user_namespaces", .text = "0"},
});

}  // namespace

TreeTable proc_sysctl_tree() { return kTree; }

}  // namespace kernel
