#include "kernel/task/process.h"

#include <utility>

#include "kernel/base/checked.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/exec_files.h"
#include "kernel/task/posix_timers.h"
#include "kernel/task/task.h"
#include "kernel/task/tracee.h"

namespace kernel {

constinit SpinLock<LockRank::process_tree> tree_lock;

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

// What a login on Linux gives; the first process starts with it.
std::array<abi::RlimitPair, abi::kRlimitCount> default_limits() {
  std::array<abi::RlimitPair, abi::kRlimitCount> limits{};
  for (abi::RlimitPair& limit : limits) limit = {abi::kRlimInfinity, abi::kRlimInfinity};
  const auto set = [&limits](abi::Rlimit which, std::uint64_t current, std::uint64_t maximum) {
    limits[static_cast<std::size_t>(which)] = {current, maximum};
  };
  set(abi::Rlimit::stack, 8 * kMiB, abi::kRlimInfinity);
  set(abi::Rlimit::core, 0, abi::kRlimInfinity);
  set(abi::Rlimit::nproc, kPidMax, kPidMax);
  set(abi::Rlimit::nofile, 1024, 1048576);
  set(abi::Rlimit::memlock, 64 * kMiB, 64 * kMiB);
  set(abi::Rlimit::sigpending, 32768, 32768);
  set(abi::Rlimit::msgqueue, 819200, 819200);
  set(abi::Rlimit::nice, 0, 0);
  set(abi::Rlimit::rtprio, 0, 0);
  return limits;
}

}  // namespace

Process::Process(Pid pid, Ref<SignalHandlers> handlers, Ref<AddressSpace> mm)
    : pid_(pid), start_time_(monotonic_now()), handlers_(std::move(handlers)), mm_(mm), rlimits_(default_limits()) {}

Process::~Process() = default;

RefPtr<Process> Process::parent() const {
  const LockGuard guard(tree_lock);
  return parent_;
}

Pid Process::parent_pid() const { return Pid{parent_pid_.load(std::memory_order_relaxed)}; }

ProcessState Process::state() const {
  const LockGuard guard(tree_lock);
  return state_;
}

Result<Vec<Ref<Task>>> Process::threads() const {
  Vec<Ref<Task>> found;
  for (;;) {
    TRY(found.try_reserve(thread_count() + std::size_t{8}));
    {
      const LockGuard guard(signal_lock_);
      if (thread_count() <= found.capacity()) {
        // SAFETY: the list is only read; List has no const iteration.
        auto& tasks = const_cast<List<Task, TaskListTag>&>(tasks_);
        for (Task* task = tasks.front(); task != nullptr; task = tasks.next(*task)) TRY(found.try_push(Ref<Task>(*task)));
        break;
      }
    }
  }
  return found;
}

RefPtr<Task> Process::any_thread() const {
  const LockGuard guard(signal_lock_);
  // SAFETY: the list is only read; List has no const iteration.
  return RefPtr<Task>(const_cast<List<Task, TaskListTag>&>(tasks_).front());
}

RefPtr<ProcessResource> Process::aio() const {
  const LockGuard guard(lock_);
  return aio_;
}

Ref<ProcessResource> Process::set_aio(Ref<ProcessResource> fresh) {
  const LockGuard guard(lock_);
  if (!aio_) aio_ = fresh;
  return aio_.as_ref();
}

void Process::drop_aio() {
  RefPtr<ProcessResource> gone;
  {
    const LockGuard guard(lock_);
    std::swap(gone, aio_);
  }
  if (gone) gone->on_exec();
}

RefPtr<AddressSpace> Process::mm() const {
  const LockGuard guard(lock_);
  return mm_;
}

abi::RlimitPair Process::rlimit(abi::Rlimit which) const {
  const LockGuard guard(lock_);
  return rlimits_[static_cast<std::size_t>(which)];
}

void Process::set_rlimit(abi::Rlimit which, abi::RlimitPair value) {
  const LockGuard guard(lock_);
  rlimits_[static_cast<std::size_t>(which)] = value;
}

Ref<SignalHandlers> Process::handlers() const {
  const LockGuard guard(lock_);
  return handlers_;
}

ProgramLayout Process::layout() const {
  const LockGuard guard(lock_);
  return layout_;
}

void Process::set_layout(const ProgramLayout& layout) {
  const LockGuard guard(lock_);
  layout_ = layout;
}

RefPtr<ExecFile> Process::executable() const {
  const LockGuard guard(lock_);
  return executable_;
}

void Process::set_executable(RefPtr<ExecFile> file) {
  const LockGuard guard(lock_);
  std::swap(executable_, file);
}  // `file`, the old one, is dropped after the guard

std::array<char, abi::kTaskCommLength> Process::leader_name() const {
  const LockGuard guard(lock_);
  return leader_name_;
}

void Process::keep_leader_name(const std::array<char, abi::kTaskCommLength>& name) {
  const LockGuard guard(lock_);
  leader_name_ = name;
}

Usage Process::usage() const {
  Usage usage;
  {
    const LockGuard guard(signal_lock_);
    usage = ended_usage_;
    // SAFETY: the list is only read; List has no const iteration.
    auto& tasks = const_cast<List<Task, TaskListTag>&>(tasks_);
    for (Task* task = tasks.front(); task != nullptr; task = tasks.next(*task)) {
      // Each thread's time is split by itself: samples of one say nothing about another.
      const CpuTimes times = task->cpu_times();
      usage.user_ns += times.user_ns;
      usage.system_ns += times.system_ns;
      usage.voluntary_switches += task->voluntary_switches();
      usage.involuntary_switches += task->involuntary_switches();
    }
  }
  usage.minor_faults += minor_faults_.load(std::memory_order_relaxed);
  usage.major_faults += major_faults_.load(std::memory_order_relaxed);
  return usage;
}

CpuTimes Process::cpu_times() const {
  const Usage all = usage();
  return {.user_ns = all.user_ns, .system_ns = all.system_ns};
}

std::uint64_t Process::cpu_time_ns() const {
  const CpuTimes times = cpu_times();
  return times.user_ns + times.system_ns;
}

Usage Process::children_usage() const {
  const LockGuard guard(tree_lock);
  return children_usage_;
}

PosixTimers& Process::timers() { return *timers_; }

void Process::request_exit(std::int32_t wait_status) {
  {
    const LockGuard guard(signal_lock_);
    if (exiting_.load(std::memory_order_relaxed)) return;
    requested_status_ = wait_status;
    exiting_.store(true, std::memory_order_release);
  }
  kill_other_threads(nullptr);
}

void Process::kill_other_threads(const Task* survivor) {
  // Notifying may leave the enclave, so it happens without the lock. Nobody joins the list any more (exiting_ or exec_task_ is set).
  Vec<Ref<Task>> victims;
  {
    Result<Vec<Ref<Task>>> all = threads();
    if (all.ok()) victims = std::move(all).release();
  }
  for (const Ref<Task>& victim : victims) {
    if (victim.get() == survivor) continue;
    TaskAccess::dying(*victim).store(true, std::memory_order_release);
    victim->notify(frame::kWorkSignal);
    victim->unpark();
  }
  while (victims.empty()) {  // no memory for the list: one by one
    RefPtr<Task> victim;
    {
      const LockGuard guard(signal_lock_);
      for (Task* task = tasks_.front(); task != nullptr && !victim; task = tasks_.next(*task))
        if (task != survivor && !task->is_dying()) victim = RefPtr<Task>(task);
    }
    if (!victim) break;
    TaskAccess::dying(*victim).store(true, std::memory_order_release);
    victim->notify(frame::kWorkSignal);
    victim->unpark();
  }
  stop_queue_.wake_all();
}

}  // namespace kernel
