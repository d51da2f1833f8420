#include "kernel/init/boot.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "host_abi/entry.h"
#include "kernel/base/string.h"
#include "kernel/crypto/random.h"
#include "kernel/frame/asm.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/code.h"
#include "kernel/frame/cpu.h"
#include "kernel/frame/cpuid.h"
#include "kernel/frame/heap.h"
#include "kernel/frame/layout.h"
#include "kernel/frame/pages.h"
#include "kernel/frame/panic.h"
#include "kernel/frame/report.h"
#include "kernel/frame/user.h"
#include "kernel/frame/vcpu_slots.h"
#include "kernel/host/client.h"
#include "kernel/host/clock.h"
#include "kernel/host/config.h"
#include "kernel/host/log.h"
#include "kernel/host/memory.h"
#include "kernel/mm/init.h"
#include "kernel/mm/overlap.h"
#include "kernel/task/oom.h"
#include "kernel/task/residency.h"
#include "kernel/task/scheduler.h"
#include "sgx/arch.h"

namespace kernel {
namespace {

using frame::VcpuBlock;
using host_abi::EntryCode;
using host_abi::ExitCode;
using host_abi::Op;

enum class BootState : std::uint32_t { cold, booting, running };
static_assert(kMaxVcpus == host_abi::kMaxVcpus);
constinit std::atomic<BootState> boot_state{BootState::cold};
constinit std::atomic<std::uint64_t> stack_canary{0};

// The host entered where it must not: nothing is changed, and this entry never gets further.
[[noreturn]] void refuse_entry() {
  for (;;) static_cast<void>(exit_to_host(static_cast<std::uint64_t>(ExitCode::retired), 0, 0));
}

void write_panic(const char* text) {
  VcpuBlock& vcpu = frame::this_vcpu();
  vcpu.spin_mask = 0;
  std::string_view line(text);
  static_cast<void>(host::call(Op::log, {.args = {0}, .out = bytes_of(line), .in = {}, .in_exact = false}).ok());
  for (;;) frame::leave(ExitCode::panic, 1);
}

// Pages of the kernel, readable, writable and zero.
Result<> add_pages(std::uint64_t address, std::size_t size) {
  TRY(host::augment(address, size));
  for (std::uint64_t page = address; page < address + size; page += kPageSize) TRY(frame::accept_pending(page));
  return {};
}

// The report's attributes, as far as the configuration pins them, are what was asked for at build (design section 3).
Result<> check_own_report() {
  const sgx::Report report = TRY(frame::make_report(sgx::Targetinfo{}, sgx::Reportdata{}));
  const host_abi::ConfigHeader& wanted = config();
  if (((report.body.attributes.flags ^ wanted.attributes) & wanted.attributes_mask) != 0) return Errno::perm;
  if ((report.body.miscselect & wanted.miscselect) != wanted.miscselect) return Errno::perm;
  if ((report.body.miscselect & sgx::kMiscExinfo) == 0) return Errno::perm;
  frame::cpu_init(report.body.attributes.xfrm);
  return {};
}

void wake_vcpu(std::uint32_t index) { static_cast<void>(host::call(Op::wake_vcpu, index).ok()); }
void kick_vcpu(std::uint32_t index) { static_cast<void>(host::call(Op::kick_vcpu, index).ok()); }

// Makes a vCPU that the enclave file does not have (design section 3: TCS on demand).
Result<> add_vcpu(std::uint32_t index) {
  for (const host_abi::LayoutRange& part : frame::slot_parts(index)) TRY(add_pages(part.start, part.size));
  frame::fill_slot(index);
  const std::uint64_t tcs = frame::layout().slot(index);
  TRY(host::make_tcs(tcs));
  return frame::accept_tcs(tcs);
}

// The scheduler asks once for each vCPU: what fails here is not tried again, and its tasks run on the others.
void start_vcpu(std::uint32_t index) {
  const bool exists = (frame::existing_slots() >> index & 1) != 0;
  if (!exists && !add_vcpu(index).ok()) return log_notice("no memory for another virtual CPU: the programs share those that there are");
  static_cast<void>(host::call(Op::start_vcpu, index).ok());
}
void set_tick(std::uint32_t period_us) { static_cast<void>(host::call(Op::set_tick, period_us).ok()); }

void announce_idle(bool idle) { host::set_idle_word(idle); }

// Leaves until the deadline or a wake-up.
void idle(Instant deadline) {
  frame::leave(ExitCode::idle, deadline);
  static_cast<void>(host::take_pending());
}

// What the scheduler looks at when it idles and on ticks.
bool poll_host() {
  deliver_host_signals();
  return host::poll_completions();
}

Result<> take_cpuid_table() {
  Vec<host_abi::CpuidEntry> table;
  const std::uint64_t count = std::min<std::uint64_t>(host::boot().cpuid_count, frame::kMaxCpuidEntries);
  TRY(table.try_resize(count));
  TRY(host::copy_from_host(std::as_writable_bytes(table.span()), host::boot().cpuid));
  frame::cpuid_init(table.span());
  return {};
}

Result<> start_memory() {
  const host_abi::KernelLayout& layout = frame::layout();
  const bool edmm = config_flag(host_abi::kConfigEdmm);
  if (edmm) frame::heap_set_grow(&add_pages);
  mm::set_grace_period(&frame::wait_for_copies);
  frame::set_page_query(&mm::is_committed);
  return mm::initialise({.user_begin = layout.user.start,
                         .user_end = layout.user.end(),
                         .committed_end = layout.user.start + layout.user_committed,
                         .edmm = edmm,
                         .committed_limit = std::max(config().user_space_size, config().user_space_max_size),
                         .random = random_u64()});
}

class InitThread final : public Thread {
 public:
  void run() override { start_first_program(); }
  void before_user_return(frame::TrapFrame&) override {}
  bool has_interrupt() override { return false; }
  void on_user_exception(frame::TrapFrame&, std::uint32_t, std::uint64_t, std::uint64_t) override {}
};

Result<> boot(std::uint64_t boot_block) {
  const host_abi::KernelLayout& layout = frame::layout();
  TRY(config_init(layout.config.start, layout.config.size));
  frame::set_panic_writer(&write_panic);
  // First what needs nothing of the host: from here on it is known which vector state there is to clear at exits.
  TRY(check_own_report());
  TRY(host::client_init(boot_block));
  frame::heap_init(layout.heap.start, layout.heap.size, layout.heap.start + layout.heap_max);
  host::clock_init();
  TRY(take_cpuid_table());
  TRY(start_memory());
  scheduler().init(host::boot().vcpu_count, {.wake_vcpu = &wake_vcpu,
                                             .kick_vcpu = &kick_vcpu,
                                             .start_vcpu = &start_vcpu,
                                             .set_tick = &set_tick,
                                             .poll_completions = &poll_host,
                                             .announce_idle = &announce_idle,
                                             .idle = &idle,
                                             .refresh_clock = &host::refresh_clock});
  Residency::init();
  init_oom();
  const Ref<InitThread> init = TRY(make_ref<InitThread>());
  TRY(init->allocate_stack(false));
  init->start();
  return {};
}

}  // namespace

namespace {

// What `--stats` shows of the kernel's own counting: one line each, level 6 of Op::log.
void report_statistics() {
  constexpr std::uint64_t kStatistics = 6;
  const frame::VcpuTotals totals = frame::vcpu_totals();
  String text;
  const auto line = [&](std::string_view name, std::uint64_t value) {
    // A line that does not fit into memory is left out.
    static_cast<void>(text.try_append("  ").ok() && text.try_append(name).ok() && text.try_append("  ").ok() &&
                      text.try_append(Digits(value).view()).ok() && text.try_append("\n").ok());
  };
  line("system calls", totals.syscalls);
  line("of them trapped", totals.trapped_syscalls);
  line("exceptions and interrupts", totals.exceptions);
  line("task switches", scheduler().switches());
  const OverlapStatistics& overlap = overlap_statistics();
  line("forks", overlap.forks.load());
  line("member switches in overlap groups", overlap.switches.load());
  line("pages set aside", overlap.pages_copied.load());
  line("pages put back in place", overlap.pages_swapped.load());
  line("pages found equal and shared", overlap.pages_merged.load());
  line("pages dropped for other members", overlap.pages_dropped.load());
  const OverlapUsage left = overlap_usage();
  line("left at the end: contended ranges", left.ranges);
  line("left at the end: contents of pages", left.versions);
  line("left at the end: address spaces", left.spaces);
  static_cast<void>(host::call(Op::log, {.args = {kStatistics}, .out = bytes_of(text.view()), .in = {}, .in_exact = false}).ok());
}

}  // namespace

void shut_down(int status) {
  if ((host::boot().flags & host_abi::kBootStats) != 0) report_statistics();
  for (;;) frame::leave(ExitCode::shutdown, static_cast<std::uint64_t>(status) & 0xff);
}

void fail_to_start(int status, std::string_view message) {
  log_notice(message);
  shut_down(status);
}

}  // namespace kernel

// The first C++ of every first entry of a TCS. The canary changes in here, so no protector.
extern "C" [[noreturn]] __attribute__((no_stack_protector)) void kernel_entry(std::uint64_t code, std::uint64_t argument) {
  using namespace kernel;
  VcpuBlock& vcpu = frame::this_vcpu();
  const host_abi::KernelLayout& layout = frame::measured_layout(vcpu);
  if (code == static_cast<std::uint64_t>(EntryCode::boot) && vcpu.index == 0) {
    BootState cold = BootState::cold;
    if (!boot_state.compare_exchange_strong(cold, BootState::booting)) refuse_entry();
    frame::layout_init(layout);
    frame::cpu_init_early();
    if (layout.magic != host_abi::kLayoutMagic || !frame::runs_where_measured(layout)) refuse_entry();
    stack_canary.store(random_u64() & ~std::uint64_t{0xff});
    frame::vcpu_init(vcpu, layout, stack_canary.load());
    if (const auto booted = boot(argument); !booted.ok()) {
      constexpr int kCannotStart = 125;  // as the runtime's own failures
      fail_to_start(kCannotStart, "the kernel cannot start: the host's boot block or the enclave's attributes are not what was configured");
    }
    boot_state.store(BootState::running);
  } else {
    if (code != static_cast<std::uint64_t>(EntryCode::start_vcpu) || boot_state.load() != BootState::running) refuse_entry();
    if (vcpu.index >= vcpu_count()) refuse_entry();
    frame::vcpu_init(vcpu, layout, stack_canary.load());
  }
  vcpu.sample_ticks = ns_to_ticks(host_abi::kSamplePeriodNs);
  scheduler().idle_loop();
}
