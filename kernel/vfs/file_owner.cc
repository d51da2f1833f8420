#include "kernel/vfs/file_owner.h"

#include <array>

#include "abi/signal.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

bool exists(abi::FownerEx owner) {
  const Pid pid{owner.pid};
  if (owner.type == abi::kOwnerThread) return static_cast<bool>(find_task(pid));
  if (owner.type == abi::kOwnerProcess) return static_cast<bool>(find_process(pid));
  auto members = group_members(pid);
  return members.ok() && !std::move(members).release().empty();
}

// Signals whose codes mean something else than POLL_*.
bool has_codes_of_its_own(std::int32_t signo) {
  constexpr SignalSet kWithCodes = kSynchronous | signal_bit(abi::kSigChld);
  return (kWithCodes & signal_bit(signo)) != 0;
}

abi::SigInfo info_of(std::int32_t signo, Fd fd, std::int32_t reason) {
  constexpr std::array<std::uint64_t, 7> kBands{0, 0x41, 0x304, 0x441, 0x8, 0x82, 0x18};  // fs/fcntl.c, band_table
  const auto at = static_cast<std::size_t>(reason);
  return abi::SigInfo::poll(signo, has_codes_of_its_own(signo) ? abi::kSiSigIo : reason, kBands[at], static_cast<std::int32_t>(fd));
}

}  // namespace

void FileOwner::set(abi::FownerEx owner, std::uint32_t uid, std::uint32_t euid) {
  type_.store(owner.type, std::memory_order_relaxed);
  pid_.store(owner.pid, std::memory_order_relaxed);
  uid_.store(uid, std::memory_order_relaxed);
  euid_.store(euid, std::memory_order_relaxed);
}

abi::FownerEx FileOwner::get() const { return {.type = type_.load(std::memory_order_relaxed), .pid = pid_.load(std::memory_order_relaxed)}; }

// As sigio_perm() of Linux: who set the owner must have been one that may signal it.
bool FileOwner::may_tell(const Task& target) const {
  const std::uint32_t uid = uid_.load(std::memory_order_relaxed), euid = euid_.load(std::memory_order_relaxed);
  if (euid == 0) return true;
  const Ref<const Credentials> theirs = target.credentials_ref();
  return euid == theirs->suid || euid == theirs->ruid || uid == theirs->suid || uid == theirs->ruid;
}

// To one thread, or to its process.
void FileOwner::tell(Task& target, bool thread, Fd fd, std::int32_t reason) const {
  if (!may_tell(target)) return;
  const Ref<Process> process(target.process());
  const auto send = [&](const abi::SigInfo& info) { return thread ? send_signal(target, info) : send_signal(*process, info); };
  const std::int32_t signo = signal();
  // No room for another queued signal: the plain one says that something was lost.
  if (signo != 0 && send(info_of(signo, fd, reason)).ok()) return;
  (void)send(abi::SigInfo::from_kernel(abi::kSigIo));
}

void FileOwner::send(Fd fd, std::int32_t reason) const {
  const abi::FownerEx owner = get();
  const Pid pid{owner.pid};
  if (pid == Pid{}) return;
  if (owner.type == abi::kOwnerThread) {
    if (const RefPtr<Task> target = find_task(pid)) tell(*target, true, fd, reason);
  } else if (owner.type == abi::kOwnerProcess) {
    const RefPtr<Process> process = find_process(pid);
    const RefPtr<Task> target = process ? process->any_thread() : nullptr;
    if (target) tell(*target, false, fd, reason);
  } else {
    auto members = group_members(pid);
    if (!members.ok()) return;
    for (const Ref<Process>& member : std::move(members).release())
      if (const RefPtr<Task> target = member->any_thread()) tell(*target, false, fd, reason);
  }
}

// Not an exclusive waiter: it never uses a wake-up up.
bool FileOwner::on_wake(std::uint32_t events) {
  const std::uint32_t told = events & events_.load(std::memory_order_relaxed);
  if (told == 0) return false;
  pending_.fetch_or(told, std::memory_order_acq_rel);
  ref();
  if (!defer_wake(*this)) deref();
  return false;
}

void FileOwner::run_deferred() {
  const std::uint32_t told = pending_.exchange(0, std::memory_order_acq_rel);
  const Fd fd{fd_.load(std::memory_order_relaxed)};
  if ((told & kPollHup) != 0) {
    send(fd, abi::kPollHup);
  } else {
    if ((told & (kPollIn | kPollRdHup)) != 0) send(fd, abi::kPollIn);
    if ((told & kPollOut) != 0) send(fd, abi::kPollOut);
  }
  deref();
}

void FileOwner::on_file_closed(OpenFile& file) {
  if (WaitQueue* queue = file.wait_queue(); queue != nullptr) queue->remove(*this);
}

Result<> set_file_owner(Task& task, OpenFile& file, abi::FownerEx owner) {
  if (owner.type < abi::kOwnerThread || owner.type > abi::kOwnerGroup) return Errno::inval;
  if (owner.pid != 0 && !exists(owner)) return Errno::srch;
  const Ref<FileOwner> kept = TRY(file.owner());
  const Ref<const Credentials> who = task.credentials_ref();
  kept->set(owner, who->ruid, who->euid);
  return {};
}

abi::FownerEx file_owner(const OpenFile& file) {
  const RefPtr<FileOwner> kept = file.owner_if_any();
  abi::FownerEx owner = kept ? kept->get() : abi::FownerEx{};
  if (owner.pid != 0 && !exists(owner)) owner.pid = 0;
  return owner;
}

Result<Ref<FileOwner>> own_by_caller(OpenFile& file) {
  const Ref<FileOwner> kept = TRY(file.owner());
  if (kept->get().pid != 0) return kept;
  const Ref<Task> task(current_task());
  const Ref<Process> process(task->process());
  const Ref<const Credentials> who = task->credentials_ref();
  kept->set({.type = abi::kOwnerProcess, .pid = static_cast<std::int32_t>(process->pid())}, who->ruid, who->euid);
  return kept;
}

Result<> set_async(OpenFile& file, Fd fd, bool on) {
  // A descriptor that comes second is not the one that is told (setfl() of Linux).
  if (((file.flags() & abi::kOAsync) != 0) == on) return {};
  const std::uint32_t events = file.async_events();
  WaitQueue* queue = file.wait_queue();
  if (events == 0 || queue == nullptr) return {};
  const Ref<FileOwner> owner = TRY(file.owner());
  if (!on) {
    file.remove_close_observer(*owner);
    queue->remove(*owner);
    file.set_async_flag(false);
    return {};
  }
  // A terminal tells its foreground group unless somebody else is named (tty_fasync() of Linux).
  if (const Pid group = file.async_group(); owner->get().pid == 0 && group != Pid{}) {
    const Ref<const Credentials> who = Ref<Task>(current_task())->credentials_ref();
    owner->set({.type = abi::kOwnerGroup, .pid = static_cast<std::int32_t>(group)}, who->ruid, who->euid);
  }
  owner->fd_.store(static_cast<std::int32_t>(fd), std::memory_order_relaxed);
  owner->events_.store(events, std::memory_order_relaxed);
  if (file.watch_by_owner(*owner, *queue)) file.set_async_flag(true);
  return {};
}

}  // namespace kernel
