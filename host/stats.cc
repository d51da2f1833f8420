#include "host/stats.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace host {
namespace {

constexpr std::string_view kOpNames[kOpCount] = {
    "wake_io",  "log",     "read",          "write",       "poll",   "ioctl_get",  "ioctl_set", "fstat",     "clock", "augment",
    "restrict", "retype",  "remove",        "start_vcpu",  "tick",   "wake_vcpu",  "lseek",     "kick_vcpu", "close", "suspend",
};
constexpr std::string_view kExitNames[8] = {"resume", "host_call", "idle", "yield", "stop_vcpu", "shutdown", "panic", "retired"};

class Report {
 public:
  void section(std::string_view title) { fmt::format_to(std::back_inserter(text_), "{}\n", title); }
  // Zero lines are left out: what is not there did not happen.
  void line(std::string_view name, std::uint64_t value) {
    if (value != 0) fmt::format_to(std::back_inserter(text_), "  {:<28} {}\n", name, value);
  }
  void text(std::string_view text) { text_ += text; }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void report_machine(Report& report, const DeviceCounters& machine) {
  report.section("enclave transitions");
  report.line("EENTER", machine.eenter);
  report.line("EEXIT", machine.eexit);
  report.line("ERESUME", machine.eresume);
  report.line("AEX by interrupt", machine.aex_interrupt);
  report.line("AEX by page fault", machine.aex_page_fault);
  report.line("AEX by raw syscall", machine.aex_syscall);
  report.line("AEX by cpuid", machine.aex_cpuid);
  report.line("AEX by other #UD", machine.aex_undefined);
  report.line("AEX by other exception", machine.aex_other);
  report.section("enclave pages");
  report.line("added at load", machine.pages_added);
  report.line("augmented", machine.pages_augmented);
  report.line("restricted", machine.pages_restricted);
  report.line("retyped", machine.pages_retyped);
  report.line("removed", machine.pages_removed);
  report.line("EACCEPT", machine.eaccept);
  report.line("EACCEPTCOPY", machine.eacceptcopy);
  report.line("EMODPE", machine.emodpe);
  report.line("EREPORT", machine.ereport);
  report.line("EGETKEY", machine.egetkey);
}

void report_runtime(Report& report, const RunStats& stats) {
  report.section("exits by cause");
  for (std::size_t i = 0; i < stats.vcpus.exits.size(); ++i) report.line(kExitNames[i], stats.vcpus.exits[i]);
  report.line("exceptions to the kernel", stats.vcpus.faults);
  report.line("interrupts to the kernel", stats.vcpus.interrupts);
  report.line("ticks sent", stats.ticks_sent);
  report.line("idle, ended while spinning", stats.vcpus.idle_spins);
  report.line("idle, slept", stats.vcpus.idle_sleeps);
  if (stats.calls != nullptr) {
    report.section("host calls by exit");
    for (std::uint32_t i = 0; i < kOpCount; ++i) report.line(kOpNames[i], stats.calls->synchronous[i].load());
    report.section("host calls by ring");
    for (std::uint32_t i = 0; i < kOpCount; ++i) report.line(kOpNames[i], stats.calls->asynchronous[i].load());
    report.line("bytes read", stats.calls->bytes_read.load());
    report.line("bytes written", stats.calls->bytes_written.load());
  }
  if (stats.io != nullptr) {
    report.line("requests that waited", stats.io->waited.load());
    report.line("I/O thread slept", stats.io->sleeps.load());
    report.line("bad ring indices", stats.io->bad_indices.load());
  }
}

double milliseconds(std::uint64_t cycles) { return static_cast<double>(cycles) * 1e3 / static_cast<double>(cost::kAssumedHz); }

}  // namespace

ProjectedCost project_cost(const DeviceCounters& machine) {
  ProjectedCost out;
  out.load_cycles = machine.pages_added * cost::kPageAdded;
  const std::uint64_t exceptions =
      machine.aex_page_fault + machine.aex_undefined + machine.aex_syscall + machine.aex_cpuid + machine.aex_other;
  out.run_cycles = machine.eenter * cost::kEenter + machine.eexit * cost::kEexit + machine.aex_interrupt * cost::kInterrupt +
                   exceptions * cost::kException + machine.pages_augmented * cost::kPageAugmented +
                   (machine.pages_restricted + machine.pages_retyped + machine.pages_removed) * cost::kPageChanged +
                   (machine.eaccept + machine.eacceptcopy + machine.emodpe) * cost::kEaccept +
                   (machine.ereport + machine.egetkey) * cost::kKey;
  return out;
}

std::string format_stats(const RunStats& stats) {
  Report report;
  report.text(fmt::format("occlum statistics ({})\n", stats.device));
  report.text(fmt::format("  {:<28} {:.3f} ms\n", "time to load", static_cast<double>(stats.load_ns) / 1e6));
  report.text(fmt::format("  {:<28} {:.3f} ms\n", "time to run", static_cast<double>(stats.run_ns) / 1e6));
  report_machine(report, stats.machine);
  report_runtime(report, stats);
  const ProjectedCost projected = project_cost(stats.machine);
  report.text(fmt::format("projected cost on hardware (published figures at {} GHz, see docs/stats.md)\n",
                          cost::kAssumedHz / 1'000'000'000));
  report.text(fmt::format("  {:<28} {} cycles, {:.3f} ms\n", "load", projected.load_cycles, milliseconds(projected.load_cycles)));
  report.text(fmt::format("  {:<28} {} cycles, {:.3f} ms\n", "run", projected.run_cycles, milliseconds(projected.run_cycles)));
  if (!stats.kernel.empty()) {
    report.section("kernel");
    report.text(stats.kernel);
    if (stats.kernel.back() != '\n') report.text("\n");
  }
  return report.take();
}

}  // namespace host
