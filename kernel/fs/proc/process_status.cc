// /proc/PID/status, stat and statm.
#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "abi/signal.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/terminal.h"
#include "kernel/task/tracee.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/fs_context.h"

namespace kernel::proc {
namespace {

constexpr std::uint64_t kNsPerTick = 10'000'000;  // USER_HZ = 100

std::string_view name_of(const std::array<char, abi::kTaskCommLength>& name) {
  return std::string_view(name.data(), name.size()).substr(0, std::string_view(name.data(), name.size()).find('\0'));
}

std::uint64_t pid_number(Pid pid) { return static_cast<std::uint64_t>(pid); }

std::string_view state_name(char letter) {
  switch (letter) {
    case 'R': return "R (running)";
    case 'T': return "T (stopped)";
    case 't': return "t (tracing stop)";
    case 'Z': return "Z (zombie)";
    case 'X': return "X (dead)";
    default: return "S (sleeping)";
  }
}

// seq_put of a size in KiB, as fs/proc/task_mmu.c lays it out.
void kib_line(Text& out, std::string_view name, std::uint64_t bytes) {
  out << name;
  out.right(bytes / 1024, 8) << " kB\n";
}

void mask_line(Text& out, std::string_view name, std::uint64_t mask) {
  out << name;
  out.hex(mask, 16) << '\n';
}

void show_ids(const ProcSubject& subject, const Credentials* who, Text& out) {
  const Process& process = *subject.process;
  const auto& task = subject.task;
  const std::uint64_t pid = subject.is_thread && subject.task ? pid_number(subject.task->tid()) : pid_number(process.pid());
  out << "Tgid:\t" << pid_number(process.pid()) << "\nNgid:\t0\nPid:\t" << pid << "\nPPid:\t" << pid_number(process.parent_pid())
      << "\nTracerPid:\t" << pid_number(task ? tracer_pid(*task) : Pid{}) << '\n';
  const Credentials none;
  const Credentials& shown = who != nullptr ? *who : none;
  out << "Uid:\t" << shown.ruid << '\t' << shown.euid << '\t' << shown.suid << '\t' << shown.fsuid << '\n';
  out << "Gid:\t" << shown.rgid << '\t' << shown.egid << '\t' << shown.sgid << '\t' << shown.fsgid << '\n';
  std::uint32_t slots = 0;
  if (subject.task) {
    if (const RefPtr<ProcessResource> files = subject.task->files_ref()) {
      // SAFETY: the descriptor resource of every task is an FdTable (fd_table.h).
      slots = static_cast<const FdTable&>(*files).capacity();
    }
  }
  // Linux grows the table in powers of two from 64.
  std::uint32_t size = 64;
  while (size < slots) size *= 2;
  out << "FDSize:\t" << size << "\nGroups:\t";
  for (const std::uint32_t group : shown.groups) out << group << ' ';
  if (shown.groups.empty()) out << ' ';
  const std::uint64_t group = pid_number(process.group());
  const std::uint64_t session = pid_number(process.session());
  out << "\nNStgid:\t" << pid_number(process.pid()) << "\nNSpid:\t" << pid << "\nNSpgid:\t" << group << "\nNSsid:\t" << session << '\n';
}

void show_memory(AddressSpace& mm, Text& out) {
  const MemoryUsage usage = mm.usage();
  kib_line(out, "VmPeak:\t", usage.virtual_size);
  kib_line(out, "VmSize:\t", usage.virtual_size);
  kib_line(out, "VmLck:\t", usage.locked);
  kib_line(out, "VmPin:\t", 0);
  kib_line(out, "VmHWM:\t", std::max(usage.peak_resident, usage.resident));
  kib_line(out, "VmRSS:\t", usage.resident);
  const std::uint64_t shared = std::min(usage.shared, usage.resident);
  kib_line(out, "RssAnon:\t", usage.resident - shared);
  kib_line(out, "RssFile:\t", 0);
  kib_line(out, "RssShmem:\t", shared);
  kib_line(out, "VmData:\t", usage.data);
  kib_line(out, "VmStk:\t", usage.stack);
  kib_line(out, "VmExe:\t", usage.text);
  kib_line(out, "VmLib:\t", 0);
  kib_line(out, "VmPTE:\t", 0);
  kib_line(out, "VmSwap:\t", 0);
  out << "HugetlbPages:\t";
  out.right(0, 8) << " kB\nCoreDumping:\t0\nTHP_enabled:\t0\n";
}

void show_signals(const ProcSubject& subject, Text& out) {
  const Process& process = *subject.process;
  const Ref<SignalHandlers> handlers = process.handlers();
  const RefPtr<Task>& task = subject.task;
  out << "SigQ:\t" << (task ? task->pending().queued() : 0) << '/' << process.rlimit_current(abi::Rlimit::sigpending) << '\n';
  mask_line(out, "SigPnd:\t", task ? task->pending().set() : 0);
  mask_line(out, "ShdPnd:\t", process.pending_signals());
  mask_line(out, "SigBlk:\t", task ? task->signal_mask() : 0);
  mask_line(out, "SigIgn:\t", handlers->ignored());
  mask_line(out, "SigCgt:\t", handlers->caught());
}

void show_capabilities(const Credentials& who, Text& out) {
  mask_line(out, "CapInh:\t", who.inheritable);
  mask_line(out, "CapPrm:\t", who.permitted);
  mask_line(out, "CapEff:\t", who.effective);
  mask_line(out, "CapBnd:\t", who.bounding);
  mask_line(out, "CapAmb:\t", who.ambient);
}

void show_cpus(std::uint64_t allowed, Text& out) {
  const std::uint32_t count = vcpu_count();
  const std::uint64_t all = count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
  const std::uint64_t mask = (allowed & all) != 0 ? allowed & all : all;
  out << "Cpus_allowed:\t";
  if (count > 32) out.hex(mask >> 32, (count - 32 + 3) / 4) << ',';
  out.hex(mask & 0xffffffff, count > 32 ? 8 : (count + 3) / 4) << "\nCpus_allowed_list:\t";
  bool first = true;
  for (std::uint32_t cpu = 0; cpu < count;) {
    if (((mask >> cpu) & 1) == 0) {
      ++cpu;
      continue;
    }
    std::uint32_t end = cpu;
    while (end + 1 < count && ((mask >> (end + 1)) & 1) != 0) ++end;
    if (!first) out << ',';
    first = false;
    out << cpu;
    if (end != cpu) out << '-' << end;
    cpu = end + 1;
  }
  out << "\nMems_allowed:\t00000000,00000001\nMems_allowed_list:\t0\n";
}

struct Times {
  std::uint64_t user = 0, system = 0;  // ticks
};
Times in_ticks(const CpuTimes& times) { return {.user = times.user_ns / kNsPerTick, .system = times.system_ns / kNsPerTick}; }
Times own_times(const ProcSubject& subject) {
  if (subject.is_thread && subject.task) return in_ticks(subject.task->cpu_times());
  return in_ticks(subject.process->cpu_times());
}

}  // namespace

char state_letter(const ProcSubject& subject) {
  if (subject.process->state() != ProcessState::alive) return 'Z';
  const auto& task = subject.task;
  if (task && is_in_trace_stop(*task)) return 't';
  if (subject.process->is_stopped()) return 'T';
  if (!subject.task) return 'X';
  const ThreadState state = subject.task->state();
  return state == ThreadState::running || state == ThreadState::runnable ? 'R' : 'S';
}

Result<> show_status(const ProcSubject& subject, Text& out) {
  RefPtr<const Credentials> who;
  std::uint32_t mask = 022;
  if (subject.task) {
    who = subject.task->credentials_ref();
    const auto name = subject.task->name();
    out << "Name:\t" << name_of(name) << '\n';
    if (const RefPtr<ProcessResource> fs = subject.task->fs_ref()) {
      // SAFETY: the file-system resource of every task is an FsContext (fs_context.h).
      mask = static_cast<const FsContext&>(*fs).umask();
    }
    out << "Umask:\t";
    out.octal(mask, 4) << '\n';
  } else {
    const Ref<Process> process(subject.process);
    const auto name = process->leader_name();
    out << "Name:\t" << name_of(name) << '\n';
  }
  out << "State:\t" << state_name(state_letter(subject)) << '\n';
  show_ids(subject, who.get(), out);
  const Ref<Process> process(subject.process);
  if (const RefPtr<AddressSpace> mm = process->mm()) show_memory(*mm, out);
  out << "Threads:\t" << process->thread_count() << '\n';
  show_signals(subject, out);
  if (who) show_capabilities(*who, out);
  out << "NoNewPrivs:\t" << (subject.process->no_new_privileges.load(std::memory_order_relaxed) ? 1 : 0)
      << "\nSeccomp:\t0\nSeccomp_filters:\t0\nSpeculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\tconditional enabled\n";
  show_cpus(subject.task ? subject.task->affinity() : ~std::uint64_t{0}, out);
  // As Linux: those of the one thread, the leader's for the process.
  out << "voluntary_ctxt_switches:\t" << (subject.task ? subject.task->voluntary_switches() : 0) << "\nnonvoluntary_ctxt_switches:\t"
      << (subject.task ? subject.task->involuntary_switches() : 0) << '\n';
  return {};
}

// The 52 fields of proc(5), in order.
Result<> show_stat(const ProcSubject& subject, Text& out) {
  const Process& process = *subject.process;
  const RefPtr<Task>& task = subject.task;
  const RefPtr<AddressSpace> mm = process.mm();
  const MemoryUsage memory = mm ? mm->usage() : MemoryUsage{};
  const ProgramLayout layout = process.layout();
  const Times times = own_times(subject);
  const Usage usage = process.usage();
  const Usage children = process.children_usage();
  const auto name = task ? task->name() : process.leader_name();
  out << (subject.is_thread && task ? pid_number(task->tid()) : pid_number(process.pid())) << " (" << name_of(name) << ") " << state_letter(subject);
  out << ' ' << pid_number(process.parent_pid()) << ' ' << pid_number(process.group()) << ' ' << pid_number(process.session());
  const RefPtr<ControllingTerminal> terminal = terminal_of(process);
  out << ' ' << (terminal ? terminal->device() : 0) << ' ';
  if (terminal && terminal->foreground() != Pid{})
    out << pid_number(terminal->foreground());
  else
    out << "-1";
  out << " 4194304 " << usage.minor_faults << ' ' << children.minor_faults << ' ' << usage.major_faults << ' ' << children.major_faults;
  out << ' ' << times.user << ' ' << times.system << ' ' << children.user_ns / kNsPerTick << ' ' << children.system_ns / kNsPerTick;
  const int nice = task ? task->nice : 0;
  const bool realtime = task && task->rt_priority > 0;
  out << ' ' << (realtime ? -1 - task->rt_priority : 20 + nice) << ' ' << nice << ' ' << process.thread_count() << " 0 ";
  out << (subject.is_thread && task ? task->start_time() : process.start_time()) / kNsPerTick;
  out << ' ' << memory.virtual_size << ' ' << memory.resident / kPageSize << ' ' << process.rlimit_current(abi::Rlimit::rss);
  out << ' ' << layout.code_begin << ' ' << layout.code_end << ' ' << layout.stack_top << " 0 0";
  const Ref<SignalHandlers> handlers = process.handlers();
  constexpr std::uint64_t kLow = 0x7fff'ffff;  // these old fields are signed 32-bit words
  out << ' ' << ((task ? task->pending_signals() : 0) & kLow) << ' ' << ((task ? task->signal_mask() : 0) & kLow) << ' '
      << (handlers->ignored() & kLow) << ' ' << (handlers->caught() & kLow);
  out << " 0 0 0 " << (subject.is_thread ? std::int32_t{-1} : std::int32_t{abi::kSigChld}) << ' '
      << (task ? std::min(task->last_vcpu(), vcpu_count() - 1) : 0) << ' ' << (task ? task->rt_priority : 0) << ' ' << (task ? task->policy : 0) << " 0 0 0";
  out << ' ' << layout.data_begin << ' ' << layout.data_end << ' ' << layout.data_end << ' ' << layout.arg_begin << ' ' << layout.arg_end
      << ' ' << layout.env_begin << ' ' << layout.env_end << " 0\n";
  return {};
}

Result<> show_statm(const ProcSubject& subject, Text& out) {
  const RefPtr<AddressSpace> mm = subject.process->mm();
  const MemoryUsage usage = mm ? mm->usage() : MemoryUsage{};
  out << usage.virtual_size / kPageSize << ' ' << usage.resident / kPageSize << ' ' << usage.shared / kPageSize << ' ' << usage.text / kPageSize
      << " 0 " << (usage.data + usage.stack) / kPageSize << " 0\n";
  return {};
}

}  // namespace kernel::proc
