// Files of /proc that are about the machine.
#include <algorithm>
#include <array>

#include "kernel/base/live_count.h"
#include "kernel/base/string.h"
#include "kernel/frame/heap.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/host/clock.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/init.h"
#include "kernel/mm/overlap.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/task/oom.h"
#include "kernel/task/pid.h"
#include "kernel/task/process.h"
#include "kernel/task/scheduler.h"
#include "kernel/task/task.h"
#include "kernel/task/uts.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/pipe.h"

namespace kernel {

Result<> show_cpuinfo(Text& out, std::uint32_t);  // cpuinfo.cc

namespace {

constexpr std::uint64_t kNsPerSec = 1'000'000'000, kNsPerTick = 10'000'000;

std::string_view trimmed(std::span<const char> name LIFETIMEBOUND) {
  const std::string_view all(name.data(), name.size());
  return all.substr(0, all.find('\0'));
}

Result<> show_version(Text& out, std::uint32_t) {
  const abi::UtsName names = uts_name();
  out << trimmed(names.sysname) << " version " << trimmed(names.release) << " (occlum@occlum) (clang version " << __clang_major__ << '.'
      << __clang_minor__ << ") " << trimmed(names.version) << '\n';
  return {};
}

// What each vCPU has said of its time.
struct CpuSplits {
  SpinLock<LockRank::process> lock;
  std::array<CpuSplit, kMaxVcpus> each GUARDED_BY(lock);
};
constinit CpuSplits cpu_splits;  // NOLINT: of the instance

struct CpuLine {
  std::uint64_t user = 0, system = 0, idle = 0;  // ns
};
CpuLine cpu_line(std::uint32_t cpu) {
  const CpuCount count = scheduler().busy(cpu);
  const std::uint64_t up = boottime_now();
  const LockGuard guard(cpu_splits.lock);
  const CpuTimes times = cpu_splits.each[cpu].split(count);
  const std::uint64_t busy = times.user_ns + times.system_ns;
  return {.user = times.user_ns, .system = times.system_ns, .idle = up > busy ? up - busy : 0};
}

std::uint64_t idle_ns() {
  std::uint64_t sum = 0;
  for (std::uint32_t cpu = 0; cpu < vcpu_count(); ++cpu) sum += cpu_line(cpu).idle;
  return sum;
}

Result<> show_uptime(Text& out, std::uint32_t) {
  const std::uint64_t up = boottime_now();
  const std::uint64_t idle = idle_ns();
  out << up / kNsPerSec << '.';
  out.decimal(up % kNsPerSec / kNsPerTick, 2) << ' ' << idle / kNsPerSec << '.';
  out.decimal(idle % kNsPerSec / kNsPerTick, 2) << '\n';
  return {};
}

std::int32_t last_pid() {
  const LockGuard guard(tree_lock);
  return id_table().last();
}

Result<> show_loadavg(Text& out, std::uint32_t) {
  constexpr std::uint64_t kOne = LoadAverage::kOne;
  for (const std::uint64_t load : scheduler().loads()) {
    const std::uint64_t rounded = load + kOne / 200;
    out << rounded / kOne << '.';
    out.decimal(rounded % kOne * 100 / kOne, 2) << ' ';
  }
  out << scheduler().active() << '/' << task_count() << ' ' << last_pid() << '\n';
  return {};
}

void memory_line(Text& out, std::string_view name, std::uint64_t bytes) {
  out.left(name, 16).right(bytes / 1024, 8) << " kB\n";
}

// Programs' memory and the kernel's together.
struct Memory {
  std::uint64_t total, free, user, kernel;
};
Memory memory_now() {
  const frame::HeapUsage heap = frame::heap_usage();
  const std::uint64_t limit = mm::page_map().limit() * kPageSize;
  const std::uint64_t user = mm::page_map().committed() * kPageSize;
  return {.total = limit + heap.limit, .free = (limit > user ? limit - user : 0) + (heap.limit - heap.used), .user = user, .kernel = heap.used};
}

Result<> show_meminfo(Text& out, std::uint32_t) {
  const Memory memory = memory_now();
  memory_line(out, "MemTotal:", memory.total);
  memory_line(out, "MemFree:", memory.free);
  memory_line(out, "MemAvailable:", memory.free);
  for (const std::string_view name : {"Buffers:", "Cached:", "SwapCached:"}) memory_line(out, name, 0);
  memory_line(out, "Active:", memory.user);
  memory_line(out, "Inactive:", 0);
  memory_line(out, "Active(anon):", memory.user);
  for (const std::string_view name : {"Inactive(anon):", "Active(file):", "Inactive(file):", "Unevictable:", "Mlocked:", "SwapTotal:", "SwapFree:",
                                      "Dirty:", "Writeback:"})
    memory_line(out, name, 0);
  memory_line(out, "AnonPages:", memory.user);
  for (const std::string_view name : {"Mapped:", "Shmem:", "KReclaimable:"}) memory_line(out, name, 0);
  memory_line(out, "Slab:", memory.kernel);
  memory_line(out, "SReclaimable:", 0);
  memory_line(out, "SUnreclaim:", memory.kernel);
  for (const std::string_view name : {"KernelStack:", "PageTables:", "NFS_Unstable:", "Bounce:", "WritebackTmp:"}) memory_line(out, name, 0);
  memory_line(out, "CommitLimit:", memory.total);
  memory_line(out, "Committed_AS:", memory.user);
  memory_line(out, "VmallocTotal:", 0);
  memory_line(out, "VmallocUsed:", 0);
  memory_line(out, "AnonHugePages:", 0);
  out << "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\n";
  memory_line(out, "Hugepagesize:", 2 << 20);
  memory_line(out, "Hugetlb:", 0);
  return {};
}

Result<> show_stat(Text& out, std::uint32_t) {
  std::array<CpuLine, kMaxVcpus> lines;
  CpuLine all;
  const std::uint32_t cpus = vcpu_count();
  for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
    lines[cpu] = cpu_line(cpu);
    all = {.user = all.user + lines[cpu].user, .system = all.system + lines[cpu].system, .idle = all.idle + lines[cpu].idle};
  }
  const auto show = [&out](const CpuLine& line) {
    out << ' ' << line.user / kNsPerTick << " 0 " << line.system / kNsPerTick << ' ' << line.idle / kNsPerTick << " 0 0 0 0 0 0\n";
  };
  out << "cpu ";
  show(all);
  for (std::uint32_t cpu = 0; cpu < cpus; ++cpu) {
    out << "cpu" << cpu;
    show(lines[cpu]);
  }
  const std::uint64_t now = realtime_now(), up = boottime_now();
  out << "intr 0\nctxt " << scheduler().switches() << "\nbtime " << (now > up ? now - up : 0) / kNsPerSec << "\nprocesses " << last_pid()
      << "\nprocs_running " << scheduler().active() << "\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n";
  return {};
}

Result<> show_vmstat(Text& out, std::uint32_t) {
  const Memory memory = memory_now();
  out << "nr_free_pages " << memory.free / kPageSize << "\nnr_anon_pages " << memory.user / kPageSize
      << "\nnr_mapped 0\nnr_file_pages 0\nnr_dirty 0\nnr_writeback 0\nnr_shmem 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n"
         "oom_kill "
      << oom_kills() << '\n';
  return {};
}

Result<> show_interrupts(Text& out, std::uint32_t) {
  out.spaces(11);
  for (std::uint32_t cpu = 0; cpu < vcpu_count(); ++cpu) {
    out << "CPU" << cpu;
    out.spaces(cpu < 10 ? 7 : 6);
  }
  out << '\n';
  return {};
}

// slabinfo(5): objects that exist by kind, then the kernel's memory by size. What Linux says of tuning is 0.
void slab_line(Text& out, std::string_view name, std::uint64_t used, std::uint64_t total, std::uint64_t size, std::uint64_t pages) {
  out.left(name, 17) << ' ';
  out.right(used, 6) << ' ';
  out.right(total, 6) << ' ';
  out.right(size, 6) << "    1    1 : tunables    0    0    0 : slabdata ";
  out.right(pages, 6) << ' ';
  out.right(pages, 6) << "      0\n";
}

Result<> show_slabinfo(Text& out, std::uint32_t) {
  out << "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> "
         "<sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n";
  const auto objects = [&](std::string_view name, std::uint64_t count, std::uint64_t size) { slab_line(out, name, count, count, size, 0); };
  const auto live = [&](std::string_view name, LiveKind kind, std::uint64_t size) { objects(name, live_count(kind).load(std::memory_order_relaxed), size); };
  live("task_struct", LiveKind::task, sizeof(Task));
  live("signal_cache", LiveKind::process, sizeof(Process));
  live("filp", LiveKind::file, sizeof(OpenFile));
  live("inode_cache", LiveKind::inode, sizeof(Inode));
  live("dentry", LiveKind::dentry, sizeof(Dentry));
  live("pipe_inode_cache", LiveKind::pipe, sizeof(Pipe));
  live("sock_inode_cache", LiveKind::socket, sizeof(OpenFile));
  live("shared_window", LiveKind::window, sizeof(SharedWindow));
  const OverlapUsage overlap = overlap_usage();
  objects("mm_struct", overlap.spaces, sizeof(AddressSpace));
  objects("contended_range", overlap.ranges, sizeof(ContendedRange));
  objects("page_version", overlap.versions, kPageSize);
  const mm::SystemMemory memory = mm::system_memory();
  objects("user_page", (memory.committed - std::min(memory.cached, memory.committed)) / kPageSize, kPageSize);
  objects("cached_page", memory.cached / kPageSize, kPageSize);
  for (const frame::HeapClassUsage& usage : frame::heap_classes()) {
    String name;
    TRY(name.try_append("kmalloc-"));
    TRY(name.try_append(Digits(usage.size).view()));
    slab_line(out, name.view(), usage.used, usage.total, usage.size, usage.pages);
  }
  return {};
}

Result<> show_nothing(Text&, std::uint32_t) { return {}; }

constexpr auto kTree = std::to_array<TreeEntry>({
    {.path = "cpuinfo", .show = show_cpuinfo},
    {.path = "meminfo", .show = show_meminfo},
    {.path = "slabinfo", .show = show_slabinfo, .mode = 0400},
    {.path = "stat", .show = show_stat},
    {.path = "uptime", .show = show_uptime},
    {.path = "loadavg", .show = show_loadavg},
    {.path = "version", .show = show_version},
    {.path = "vmstat", .show = show_vmstat},
    {.path = "interrupts", .show = show_interrupts},
    {.path = "softirqs", .show = show_interrupts},
    {.path = "filesystems", .text = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\tpipefs\nnodev\tramfs\nnodev\tdevpts\nnodev\toverlay\n\terofs"},
    {.path = "swaps", .text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"},
    {.path = "devices", .text = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:"},
    {.path = "misc", .show = show_nothing},
    {.path = "modules", .show = show_nothing},
    {.path = "partitions", .text = "major minor  #blocks  name\n"},
    {.path = "diskstats", .show = show_nothing},
    {.path = "cmdline", .text = "occlum"},
    {.path = "cgroups", .text = "#subsys_name\thierarchy\tnum_cgroups\tenabled"},
    {.path = "consoles", .text = "tty0                 -WU (EC  p  )    4:1"},
    {.path = "execdomains", .text = "0-0\tLinux           \t[kernel]"},
    {.path = "locks", .show = show_nothing},
    {.path = "key-users", .show = show_nothing},
    {.path = "keys", .show = show_nothing},
    {.path = "bus", .type = FileType::directory},
    {.path = "driver", .type = FileType::directory},
    {.path = "fs", .type = FileType::directory},
    {.path = "irq", .type = FileType::directory},
    {.path = "sysvipc/shm", .show = proc::show_sysv_shm},
    {.path = "sysvipc/sem", .show = proc::show_sysv_sem},
    {.path = "sysvipc/msg", .show = proc::show_sysv_msg},
    {.path = "tty/drivers", .text = "/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
                                    "/dev/console         /dev/console    5       1 system:console\n"
                                    "/dev/ptmx            /dev/ptmx       5       2 system\n"
                                    "pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
                                    "pty_master           /dev/ptm      128 0-1048575 pty:master"},
});

}  // namespace

TreeTable proc_system_tree() { return kTree; }

}  // namespace kernel
