#include "kernel/task/task.h"

#include <algorithm>
#include <utility>

#include "kernel/host/log.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/sysv_sem.h"
#include "kernel/task/tracee.h"

namespace kernel {

Task::Task(Ref<Process> process, Pid tid, Ref<AddressSpace> mm, Ref<const Credentials> credentials)
    : process_(std::move(process)), tid_(tid), mm_(mm), credentials_(std::move(credentials)), start_time_(monotonic_now()) {
  mm->add_user();
  set_user_space(mm.get());
}

Task::~Task() {
  if (mm_) mm_->drop_user();  // it was never published
}

Ref<AddressSpace> Task::mm_ref() const { return mm_.as_ref(); }

RefPtr<ProcessResource> Task::files_ref() const {
  const LockGuard guard(lock_);
  return files_;
}

RefPtr<ProcessResource> Task::fs_ref() const {
  const LockGuard guard(lock_);
  return fs_;
}

void Task::set_files(RefPtr<ProcessResource> files) {
  const LockGuard guard(lock_);
  std::swap(files_, files);
}  // the parameter, which holds the old table, dies after the guard

void Task::set_fs(RefPtr<ProcessResource> fs) {
  const LockGuard guard(lock_);
  std::swap(fs_, fs);
}

Ref<const Credentials> Task::credentials_ref() const {
  const LockGuard guard(lock_);
  return credentials_;
}

void Task::set_credentials(Ref<const Credentials> credentials) {
  const LockGuard guard(lock_);
  std::swap(credentials_, credentials);
}

CpuTimes Task::cpu_times() const {
  const CpuCount count = cpu_count();
  const LockGuard guard(lock_);
  return cpu_split_.split(count);
}

std::array<char, abi::kTaskCommLength> Task::name() const {
  const LockGuard guard(lock_);
  return name_;
}

void Task::set_name(std::string_view name) {
  std::array<char, abi::kTaskCommLength> padded{};
  std::ranges::copy(name.substr(0, padded.size() - 1), padded.begin());
  const LockGuard guard(lock_);
  name_ = padded;
}

void Task::set_signal_mask(SignalSet mask) {
  mask_.store(mask & ~kUnblockable, std::memory_order_release);
  if (has_interrupt()) set_work(frame::kWorkSignal);
  // A signal of the process that this thread blocks from now on must not stay with it: the others look again.
  if ((process_->pending_signals() & mask) != 0) wake_siblings();
}

void Task::wake_siblings() {
  if (process_->thread_count() < 2) return;
  Result<Vec<Ref<Task>>> all = process_->threads();
  if (!all.ok()) return;
  for (const Ref<Task>& other : std::move(all).release()) {
    if (other.get() == this || !other->has_interrupt()) continue;
    other->notify(frame::kWorkSignal);
    other->unpark();
  }
}

void Task::pass_signals_on() {
  mask_.store(~SignalSet{0}, std::memory_order_release);
  if (process_->pending_signals() != 0) wake_siblings();
}

void Task::set_temporary_mask(SignalSet mask) {
  if (!saved_mask_) saved_mask_ = signal_mask();
  set_signal_mask(mask);
}

void Task::restore_signal_mask() {
  if (!saved_mask_) return;
  const SignalSet mask = *saved_mask_;
  saved_mask_.reset();
  set_signal_mask(mask);
}

SignalSet Task::pending_signals() const { return pending_.set() | process_->pending_signals(); }

bool Task::has_interrupt() {
  if (is_dying()) return true;
  if (killable_only_) return false;
  if ((pending_signals() & ~signal_mask()) != 0) return true;
  const std::uint32_t bits = trace_bits();
  if ((bits & kTraceTrap) != 0) return true;
  // A tracer may let it go on although its process is stopped.
  return process_->is_stopping() && ((bits & kTraced) == 0 || stop_counted_.load(std::memory_order_acquire));
}

Instant Task::keep_deadline(Instant fresh) {
  const frame::TrapFrame& frame = trap_frame();
  const bool same = kept_call_ == frame.orig_rax && kept_rip_ == frame.rip;
  if (std::exchange(restarting_, false) && same) return kept_deadline_;
  kept_deadline_ = fresh;
  kept_call_ = frame.orig_rax;
  kept_rip_ = frame.rip;
  return fresh;
}

bool Task::take_restart(frame::TrapFrame& frame) {
  if (!std::exchange(rewound_, false)) return false;
  frame.rip += 2;  // the length of `syscall`
  return true;
}

void Task::run() {
  if (!set_child_tid.is_null()) (void)set_child_tid.store(static_cast<std::int32_t>(tid_));  // as Linux: a bad address is no error
  enter_user();
}

void Task::on_memory_lost() {
  if (is_dying()) return;
  LOG(error) << "no memory to keep the pages of process " << static_cast<std::int32_t>(process().pid())
             << " while another with the same addresses runs: it is killed (resource_limits.kernel_space_heap_max_size)";
  process().request_exit(abi::wait_signaled(abi::kSigKill, false));
}

}  // namespace kernel
