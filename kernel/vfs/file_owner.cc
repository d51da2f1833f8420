#include "kernel/vfs/file_owner.h"

#include <array>

#include "abi/signal.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

void store_owner(OpenFile& file, abi::FownerEx owner, const Credentials& who) {
  file.owner.type.store(owner.type, std::memory_order_relaxed);
  file.owner.pid.store(owner.pid, std::memory_order_relaxed);
  file.owner.uid.store(who.ruid, std::memory_order_relaxed);
  file.owner.euid.store(who.euid, std::memory_order_relaxed);
}

bool exists(abi::FownerEx owner) {
  const Pid pid{owner.pid};
  if (owner.type == abi::kOwnerThread) return static_cast<bool>(find_task(pid));
  if (owner.type == abi::kOwnerProcess) return static_cast<bool>(find_process(pid));
  auto members = group_members(pid);
  return members.ok() && !std::move(members).release().empty();
}

// As sigio_perm() of Linux: who set the owner must have been one that may signal it.
bool may_tell(const OpenFile& file, const Task& target) {
  const std::uint32_t uid = file.owner.uid.load(std::memory_order_relaxed), euid = file.owner.euid.load(std::memory_order_relaxed);
  if (euid == 0) return true;
  const Ref<const Credentials> theirs = target.credentials_ref();
  return euid == theirs->suid || euid == theirs->ruid || uid == theirs->suid || uid == theirs->ruid;
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

// To one thread, or to its process.
void tell(const OpenFile& file, Task& target, bool thread, Fd fd, std::int32_t reason) {
  if (!may_tell(file, target)) return;
  const auto send = [&](const abi::SigInfo& info) { return thread ? send_signal(target, info) : send_signal(target.process(), info); };
  const std::int32_t signo = file.owner.signal.load(std::memory_order_relaxed);
  // No room for another queued signal: the plain one says that something was lost.
  if (signo != 0 && send(info_of(signo, fd, reason)).ok()) return;
  (void)send(abi::SigInfo::from_kernel(abi::kSigIo));
}

}  // namespace

Result<> set_file_owner(Task& task, OpenFile& file, abi::FownerEx owner) {
  if (owner.type < abi::kOwnerThread || owner.type > abi::kOwnerGroup) return Errno::inval;
  if (owner.pid != 0 && !exists(owner)) return Errno::srch;
  store_owner(file, owner, task.credentials());
  return {};
}

abi::FownerEx file_owner(const OpenFile& file) {
  abi::FownerEx owner{.type = file.owner.type.load(std::memory_order_relaxed), .pid = file.owner.pid.load(std::memory_order_relaxed)};
  if (owner.pid != 0 && !exists(owner)) owner.pid = 0;
  return owner;
}

void own_by_caller(OpenFile& file) {
  if (file.owner.pid.load(std::memory_order_relaxed) != 0) return;
  const Ref<Task> task(current_task());
  const Ref<Process> process(task->process());
  store_owner(file, {.type = abi::kOwnerProcess, .pid = static_cast<std::int32_t>(process->pid())}, *task->credentials_ref());
}

void send_io_signal(OpenFile& file, Fd fd, std::int32_t reason) {
  const Pid pid{file.owner.pid.load(std::memory_order_relaxed)};
  const std::int32_t type = file.owner.type.load(std::memory_order_relaxed);
  if (pid == Pid{}) return;
  if (type == abi::kOwnerThread) {
    if (const RefPtr<Task> target = find_task(pid)) tell(file, *target, true, fd, reason);
  } else if (type == abi::kOwnerProcess) {
    const RefPtr<Process> process = find_process(pid);
    const RefPtr<Task> target = process ? process->any_thread() : nullptr;
    if (target) tell(file, *target, false, fd, reason);
  } else {
    auto members = group_members(pid);
    if (!members.ok()) return;
    for (const Ref<Process>& member : std::move(members).release())
      if (const RefPtr<Task> target = member->any_thread()) tell(file, *target, false, fd, reason);
  }
}

}  // namespace kernel
