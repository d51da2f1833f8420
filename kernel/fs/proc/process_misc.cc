// Small files of /proc/PID.
#include <array>

#include "kernel/fs/proc/procfs.h"
#include "kernel/task/oom.h"

namespace kernel::proc {
namespace {

std::string_view name_of(const std::array<char, abi::kTaskCommLength>& name) {
  const std::string_view all(name.data(), name.size());
  return all.substr(0, all.find('\0'));
}

struct LimitRow {
  std::string_view name, unit;
  abi::Rlimit which;
};
constexpr auto kLimits = std::to_array<LimitRow>({
    {"Max cpu time", "seconds", abi::Rlimit::cpu},       {"Max file size", "bytes", abi::Rlimit::fsize},
    {"Max data size", "bytes", abi::Rlimit::data},       {"Max stack size", "bytes", abi::Rlimit::stack},
    {"Max core file size", "bytes", abi::Rlimit::core},  {"Max resident set", "bytes", abi::Rlimit::rss},
    {"Max processes", "processes", abi::Rlimit::nproc},  {"Max open files", "files", abi::Rlimit::nofile},
    {"Max locked memory", "bytes", abi::Rlimit::memlock}, {"Max address space", "bytes", abi::Rlimit::as},
    {"Max file locks", "locks", abi::Rlimit::locks},     {"Max pending signals", "signals", abi::Rlimit::sigpending},
    {"Max msgqueue size", "bytes", abi::Rlimit::msgqueue}, {"Max nice priority", "", abi::Rlimit::nice},
    {"Max realtime priority", "", abi::Rlimit::rtprio},  {"Max realtime timeout", "us", abi::Rlimit::rttime},
});

void limit_column(std::uint64_t value, Text& out) {
  const Digits digits(value);
  out.left(value == abi::kRlimInfinity ? std::string_view("unlimited") : digits.view(), 21);
}

}  // namespace

Result<> show_comm(const ProcSubject& subject, Text& out) {
  if (!subject.task) return Errno::srch;
  const auto name = subject.task->name();
  out << name_of(name) << '\n';
  return {};
}

Result<> store_comm(const ProcSubject& subject, std::string_view text) {
  if (&current_task().process() != subject.process.get()) return Errno::inval;
  if (!subject.task) return Errno::srch;
  subject.task->set_name(text.substr(0, text.find('\n')).substr(0, abi::kTaskCommLength - 1));
  return {};
}

Result<> show_limits(const ProcSubject& subject, Text& out) {
  out << "Limit                     Soft Limit           Hard Limit           Units     \n";
  for (const LimitRow& row : kLimits) {
    const abi::RlimitPair limit = subject.process->rlimit(row.which);
    out.left(row.name, 26);
    limit_column(limit.current, out);
    limit_column(limit.maximum, out);
    if (row.unit.empty())
      out << '\n';
    else
      out.left(row.unit, 10) << '\n';
  }
  return {};
}

// Bytes are not counted: what programs move stays inside the enclave.
Result<> show_io(const ProcSubject&, Text& out) {
  out << "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n";
  return {};
}

Result<> show_sched(const ProcSubject& subject, Text& out) {
  if (!subject.task) return Errno::srch;
  const auto name = subject.task->name();
  const std::uint64_t run = subject.task->run_time_ns();
  out << name_of(name) << " (" << static_cast<std::int32_t>(subject.task->tid()) << ", #threads: " << subject.process->thread_count()
      << ")\n-------------------------------------------------------------------\n";
  out << "se.sum_exec_runtime                          :";
  out.right(run / 1'000'000, 21) << '.';
  out.decimal(run % 1'000'000, 6) << "\npolicy                                       :";
  out.right(static_cast<std::uint64_t>(subject.task->policy), 21) << "\nprio                                         :";
  out.right(static_cast<std::uint64_t>(120 + subject.task->nice), 21) << '\n';
  return {};
}

Result<> show_schedstat(const ProcSubject& subject, Text& out) {
  if (!subject.task) return Errno::srch;
  out << subject.task->run_time_ns() << " 0 0\n";
  return {};
}

Result<> show_oom_score_adj(const ProcSubject& subject, Text& out) {
  out << subject.process->oom_score_adj.load(std::memory_order_relaxed) << '\n';
  return {};
}

Result<> store_oom_score_adj(const ProcSubject& subject, std::string_view text) {
  const std::int64_t value = TRY(parse_written_number(text));
  if (value < -kOomAdjustMax || value > kOomAdjustMax) return Errno::inval;
  if (value < subject.process->oom_score_adj.load() && !current_task().credentials().has(Capability::sys_resource)) return Errno::acces;
  subject.process->oom_score_adj.store(static_cast<std::int32_t>(value), std::memory_order_relaxed);
  return {};
}

Result<> show_oom_score(const ProcSubject& subject, Text& out) {
  const auto& process = subject.process;
  out << oom_score(*process) << '\n';
  return {};
}

Result<> show_oom_adj(const ProcSubject& subject, Text& out) {
  out << subject.process->oom_score_adj.load(std::memory_order_relaxed) * 17 / kOomAdjustMax << '\n';
  return {};
}

Result<> show_timer_slack(const ProcSubject& subject, Text& out) {
  if (!subject.task) return Errno::srch;
  out << subject.task->timer_slack_ns << '\n';
  return {};
}

Result<> show_personality(const ProcSubject& subject, Text& out) {
  out.hex(subject.process->personality.load(std::memory_order_relaxed), 8) << '\n';
  return {};
}

Result<> show_children(const ProcSubject& subject, Text& out) {
  // A process's children hang on its leader here.
  if (!subject.task || subject.task->tid() != subject.process->pid()) return {};
  for (const Ref<Process>& process : TRY(all_processes()))
    if (process->parent_pid() == subject.process->pid()) out << static_cast<std::int32_t>(process->pid()) << ' ';
  return {};
}

}  // namespace kernel::proc
