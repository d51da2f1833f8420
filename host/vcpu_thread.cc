#include "host/vcpu_thread.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>

#include "host/futex.h"

namespace host {
namespace {

using host_abi::EntryCode;
using host_abi::ExitCode;

// An idle virtual CPU looks for work this long before it sleeps: less than a wake-up across processors costs.
constexpr std::uint64_t kIdleSpinNs = 20'000;
// A fault in the kernel's CSSA 1 handler is resumed this often (the host may have unmapped a page for a moment).
constexpr int kHandlerRetries = 64;
// So often in a row the kernel may refuse to look at an exception before we believe that nothing will change.
constexpr std::uint32_t kMaxRefusals = 10'000;
// New pending bits found after the handler make it run again, within reason.
constexpr int kHandlerRounds = 4;

constinit thread_local Vcpu* current_vcpu = nullptr;

void only_vcpu_signal() {
  sigset_t mask;
  sigfillset(&mask);
  for (const int signal : {kVcpuSignal, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS}) sigdelset(&mask, signal);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

}  // namespace

Vcpu::Vcpu(VcpuSet& set, std::uint32_t index, std::uint64_t tcs, sgx::EnterFunction function)
    : set_(set),
      tcs_(tcs),
      block_(set.parts_.memory.vcpu(index)),
      entry_(function, tcs),
      handler_(function, tcs),
      interrupted_([this] { return wants_attention() || set_.stopping_.load(); }) {}

void VcpuSet::on_signal(int, siginfo_t* info, ucontext_t* context) {
  if (current_vcpu == nullptr) return;
  const int saved_errno = errno;
  current_vcpu->on_interrupt(*context, info->si_code == SI_TIMER);
  errno = saved_errno;
}

void Vcpu::begin(EntryCode code, std::uint64_t argument) {
  place_.store(Place::serving, std::memory_order_seq_cst);
  thread_ = std::thread([this, code, argument] {
    current_vcpu = this;
    only_vcpu_signal();
    if (set_.parts_.device.begin_thread()) {
      run(code, argument);
      set_.parts_.device.end_thread();
    } else {
      set_.finish(Outcome::Kind::crashed, 0, EndReason::thread, {});
    }
    current_vcpu = nullptr;
    tid_.store(0);
    place_.store(Place::none, std::memory_order_seq_cst);
  });
}

void Vcpu::run(EntryCode first, std::uint64_t argument) {
  tid_.store(static_cast<pid_t>(syscall(SYS_gettid)));
  prctl(PR_SET_TIMERSLACK, 1UL);
  start_sampling();
  ExitEvent event = enter(first, argument);
  while (handle(event) && !set_.stopping_.load()) event = enter(EntryCode::resume, sampled_.exchange(false) ? host_abi::kEntrySample : 0);
}

// A timer on the thread's own processor time, which therefore stands still while the thread sleeps, and whose signal finds the thread where
// it is. Without it (no memory in the host's kernel) programs see all their time as user time. It goes with the process.
void Vcpu::start_sampling() {
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kVcpuSignal;
  event._sigev_un._tid = tid_.load();
  timer_t timer = {};
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) != 0) return;
  const timespec period = {0, host_abi::kSamplePeriodNs};
  const itimerspec setting = {.it_interval = period, .it_value = period};
  timer_settime(timer, 0, &setting, nullptr);
}

// Enters at CSSA 0 and takes every exception inside to the kernel's handler, until the kernel leaves by EEXIT.
ExitEvent Vcpu::enter(EntryCode code, std::uint64_t argument) {
  active_.store(&entry_);
  place_.store(Place::inside, std::memory_order_seq_cst);
  ExitEvent event = entry_.enter(sgx::EncluLeaf::eenter, static_cast<std::uint64_t>(code), argument);
  while (event.kind == ExitEvent::Kind::fault) {
    ++counters_.faults;
    if (!run_handler()) {
      event.kind = ExitEvent::Kind::abandoned;
      break;
    }
    event = entry_.enter(sgx::EncluLeaf::eresume, 0, 0);
  }
  place_.store(Place::serving, std::memory_order_seq_cst);
  return event;
}

// Runs the kernel's CSSA 1 handler. False: the instance has ended, the TCS must not be resumed.
bool Vcpu::run_handler(bool sample) {
  in_handler_.store(true);
  active_.store(&handler_);
  bool go_on = true;
  for (int round = 0; round < kHandlerRounds && go_on; ++round) {
    const std::uint32_t seen = shared(block_.pending).load(std::memory_order_seq_cst);
    const ExitEvent event = enter_handler((seen != 0 ? host_abi::kEntryInterrupt : 0) | (sample ? host_abi::kEntrySample : 0));
    sample = false;
    if (event.kind == ExitEvent::Kind::abandoned) {
      go_on = false;
    } else if (event.kind == ExitEvent::Kind::fault) {
      set_.finish(Outcome::Kind::crashed, 0, EndReason::handler_fault, event);
      go_on = false;
    } else if (event.kind != ExitEvent::Kind::exit) {
      set_.finish(Outcome::Kind::crashed, 0, EndReason::refused, event);
      go_on = false;
    } else if (event.rdi == static_cast<std::uint64_t>(ExitCode::resume)) {
      refusals_ = 0;
      // The kernel has been interrupted and has had its look: a bit that it left would be sent again and again.
      shared(block_.pending).fetch_and(~seen, std::memory_order_seq_cst);
    } else if (event.rdi == static_cast<std::uint64_t>(ExitCode::retired)) {
      if (++refusals_ < kMaxRefusals) break;
      set_.finish(Outcome::Kind::crashed, 0, EndReason::retired, event);
      go_on = false;
    } else {
      const bool panic = event.rdi == static_cast<std::uint64_t>(ExitCode::panic);
      set_.finish(panic ? Outcome::Kind::panic : Outcome::Kind::crashed, event.rsi,
                  panic ? EndReason::none : EndReason::handler_exit, event);
      go_on = false;
    }
    // What came while the handler ran found in_handler_ set and only left its bit.
    if ((shared(block_.pending).load(std::memory_order_seq_cst) & ~seen) == 0) break;
  }
  active_.store(&entry_);
  in_handler_.store(false);
  return go_on;
}

ExitEvent Vcpu::enter_handler(std::uint64_t hints) {
  ExitEvent event = handler_.enter(sgx::EncluLeaf::eenter, static_cast<std::uint64_t>(EntryCode::resume), hints);
  for (int i = 0; i < kHandlerRetries && event.kind == ExitEvent::Kind::fault; ++i) {
    event = handler_.enter(sgx::EncluLeaf::eresume, 0, 0);
  }
  return event;
}

void Vcpu::on_interrupt(ucontext_t& context, bool sample) {
  if (!set_.parts_.device.is_at_aep(context, tcs_)) {
    if (sample) sampled_.store(true);
    // Just before it sleeps: the futex word must not say idle any more.
    if (place_.load() == Place::idle) shared(block_.state).store(host_abi::kVcpuRunning);
    return;
  }
  if (set_.stopping_.load()) {
    active_.load()->abandon(context);
    return;
  }
  if (in_handler_.load()) return;
  ++counters_.interrupts;
  if (!run_handler(sample)) entry_.abandon(context);
}

void Vcpu::signal_thread() const {
  const pid_t tid = tid_.load();
  if (tid != 0) syscall(SYS_tgkill, getpid(), tid, kVcpuSignal);
}

bool Vcpu::wake() {
  std::uint32_t expected = host_abi::kVcpuIdle;
  if (!shared(block_.state).compare_exchange_strong(expected, host_abi::kVcpuRunning)) return false;
  if (sleeping()) futex_wake(&block_.state);
  return true;
}

// True: enter again.
bool Vcpu::handle(const ExitEvent& event) {
  switch (event.kind) {
    case ExitEvent::Kind::exit: return handle_exit(event);
    case ExitEvent::Kind::abandoned: return false;
    case ExitEvent::Kind::entry_fault: set_.finish(Outcome::Kind::crashed, 0, EndReason::entry_fault, event); return false;
    case ExitEvent::Kind::refused:
    case ExitEvent::Kind::fault: set_.finish(Outcome::Kind::crashed, 0, EndReason::refused, event); return false;
  }
  return false;
}

bool Vcpu::handle_exit(const ExitEvent& event) {
  if (event.rdi < counters_.exits.size()) ++counters_.exits[event.rdi];
  switch (static_cast<ExitCode>(event.rdi)) {
    case ExitCode::host_call: serve_call(); return true;
    case ExitCode::idle: idle(event.rsi); return true;
    case ExitCode::yield: sched_yield(); return true;
    case ExitCode::stop_vcpu: return false;
    case ExitCode::shutdown: set_.finish(Outcome::Kind::shutdown, event.rsi & 0xff, EndReason::none, event); return false;
    case ExitCode::panic: set_.finish(Outcome::Kind::panic, event.rsi, EndReason::none, event); return false;
    case ExitCode::retired: set_.finish(Outcome::Kind::crashed, 0, EndReason::retired, event); return false;
    case ExitCode::resume: break;  // only at CSSA 1
  }
  set_.finish(Outcome::Kind::crashed, event.rdi, EndReason::unknown_exit, event);
  return false;
}

void Vcpu::serve_call() {
  const host_abi::CallSlot request = block_.call;
  block_.call.result = set_.parts_.calls->serve(request, interrupted_);
  shared(block_.call.token_done).store(request.token, std::memory_order_release);
}

bool Vcpu::wants_attention() const {
  constexpr std::uint32_t kAttention = host_abi::kPendingWake | host_abi::kPendingSignal;
  return (shared(block_.pending).load(std::memory_order_seq_cst) & kAttention) != 0;
}

bool Vcpu::should_wake() const {
  const host_abi::Rings& rings = set_.parts_.memory.rings();
  auto& words = const_cast<host_abi::Rings&>(rings);
  return shared(block_.state).load(std::memory_order_seq_cst) != host_abi::kVcpuIdle ||
         shared(block_.pending).load(std::memory_order_seq_cst) != 0 ||
         shared(words.cq_tail).load(std::memory_order_seq_cst) != shared(words.cq_head).load(std::memory_order_relaxed) ||
         set_.stopping_.load();
}

void Vcpu::idle(std::uint64_t deadline) {
  place_.store(Place::idle, std::memory_order_seq_cst);
  const std::uint64_t start = monotonic_now();
  const std::uint64_t spin_end = std::min(start + kIdleSpinNs, deadline);
  bool woken = should_wake();
  while (!woken && monotonic_now() < spin_end) {
    for (int i = 0; i < 16; ++i) _mm_pause();
    woken = should_wake();
  }
  if (woken || monotonic_now() >= deadline) {
    ++counters_.idle_spins;
  } else {
    ++counters_.idle_sleeps;
    sleeping_.store(1, std::memory_order_seq_cst);
    while (!should_wake()) {
      const int error = futex_wait(&block_.state, host_abi::kVcpuIdle, deadline);
      if (error == ETIMEDOUT) break;
    }
    sleeping_.store(0, std::memory_order_seq_cst);
    set_.parts_.clock.sample();
  }
  shared(block_.state).store(host_abi::kVcpuRunning, std::memory_order_seq_cst);
  place_.store(Place::serving, std::memory_order_seq_cst);
}

}  // namespace host
