#include "kernel/syscall/pidfd.h"

#include <compare>

#include "abi/fs.h"
#include "abi/poll.h"
#include "abi/sched.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/inspect.h"
#include "kernel/task/sysv_sem.h"
#include "kernel/vfs/epoll.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {
namespace {

constexpr std::uint32_t kSignalThread = 1, kSignalGroup = 2, kSignalProcessGroup = 4;  // PIDFD_SIGNAL_*

// SAFETY: the descriptor resource of every task is an FdTable (fd_table.h).
FdTable& as_table(ProcessResource& resource) { return static_cast<FdTable&>(resource); }
Ref<FdTable> table_of(Task& task) { return Ref<FdTable>(files_of(task)); }

}  // namespace

Result<PidFdTarget> process_of_descriptor(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(table_of(task)->get(fd));
  if (file->kind() != FileKind::process) return Errno::badf;
  // SAFETY: its kind says that it is a PidFd.
  const Ref<PidFd> pidfd(static_cast<PidFd&>(*file));
  return PidFdTarget{.process = pidfd->process().as_ref(), .nonblocking = file->is_nonblocking()};
}

namespace {
// pidfd_send_signal(2) takes a folder /proc/PID too.
Result<Ref<Process>> process_to_signal(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(table_of(task)->get(fd));
  if (const RefPtr<Inode>& inode = file->inode()) {
    const RefPtr<Process> shown(inode->process_shown());
    if (shown) return shown.as_ref();
  }
  return TRY(process_of_descriptor(task, fd)).process;
}
}  // namespace

PidFdForChild::~PidFdForChild() {
  if (reserved_ != Fd{-1}) table_of(*parent_)->release(reserved_);
}

Result<> PidFdForChild::prepare(UserPtr<std::int32_t> where, std::uint64_t flags) {
  const Ref<Process> process(parent_->process());
  file_ = RefPtr<PidFd>(TRY(make_ref<PidFd>(nullptr, 0U)));
  reserved_ = TRY(table_of(*parent_)->reserve(process->rlimit_current(abi::Rlimit::nofile)));
  number_ = static_cast<std::int32_t>(reserved_);
  const std::int32_t old = TRY(where.load());
  TRY(where.store(number_));
  if ((flags & abi::kCloneVm) != 0) return {};
  where_ = where;
  return where.store(old);
}

void PidFdForChild::finish() const {
  if (!where_.is_null()) (void)where_.store(number_);
}

void PidFdForChild::on_child(Process& child) {
  const Ref<PidFd> file = file_.as_ref();
  file->attach(child);
  table_of(*parent_)->install(reserved_, FileHandle(file), true);
  reserved_ = Fd{-1};
}

Result<std::int32_t> sys_pidfd_open(Task& task, Pid pid, std::uint32_t flags) {
  if ((flags & ~abi::kONonBlock) != 0 || static_cast<std::int32_t>(pid) <= 0) return Errno::inval;
  const RefPtr<Process> process = find_process(pid);
  // A descriptor of a thread (PIDFD_THREAD) is not offered.
  if (!process) return find_task(pid) ? Errno::noent : Errno::srch;
  const Ref<OpenFile> file = TRY(make_ref<PidFd>(process, flags));
  return static_cast<std::int32_t>(TRY(add_descriptor(task, file, true)));
}

Result<> sys_pidfd_send_signal(Task& task, Fd fd, std::int32_t signo, UserPtr<const abi::SigInfo> user, std::uint32_t flags) {
  if (flags != 0 && flags != kSignalThread && flags != kSignalGroup && flags != kSignalProcessGroup) return Errno::inval;
  const Ref<Process> target = TRY(process_to_signal(task, fd));
  abi::SigInfo info = abi::SigInfo::from_sender(signo, flags == kSignalThread ? abi::kSiTkill : abi::kSiUser,
                                                static_cast<std::int32_t>(task.process().pid()), task.credentials().ruid);
  if (!user.is_null()) {
    info = TRY(user.load());
    if (info.signo != signo) return Errno::inval;
    if (target.get() != &task.process() && (info.code >= 0 || info.code == abi::kSiTkill)) return Errno::perm;
  }
  if (signo < 0 || signo > abi::kSigMax) return Errno::inval;
  if (target->state() == ProcessState::reaped) return Errno::srch;
  TRY(may_signal(task, *target, signo == 0 ? abi::kSigTerm : signo));
  if (signo == 0) return {};
  if (flags == kSignalProcessGroup) return send_signal_to_group(target->group(), info);
  if (flags == kSignalThread) {
    const RefPtr<Task> leader = find_task(target->pid());
    return leader ? send_signal(*leader, info) : Result<>(Errno::srch);
  }
  return send_signal(*target, info);
}

Result<std::int32_t> sys_pidfd_getfd(Task& task, Fd fd, Fd wanted, std::uint32_t flags) {
  if (flags != 0) return Errno::inval;
  const Ref<Process> process = TRY(process_of_descriptor(task, fd)).process;
  const RefPtr<Task> thread = process->any_thread();
  if (!thread) return Errno::srch;
  TRY(may_inspect(task, *process));
  const RefPtr<ProcessResource> table = thread->files_ref();
  if (!table) return Errno::srch;
  const Ref<FdTable> theirs(as_table(*table));
  FileHandle handle = TRY(theirs->get_handle(wanted));
  const Ref<Process> own(task.process());
  return static_cast<std::int32_t>(TRY(table_of(task)->add(std::move(handle), true, own->rlimit_current(abi::Rlimit::nofile))));
}

// --- kcmp ---

namespace {

enum class Kcmp : std::int32_t { file, vm, files, fs, sighand, io, sysvsem, epoll };

// 0 = the same, 1 = the first is less, 2 = it is greater.
std::int32_t order(const void* first, const void* second) {
  if (first == second) return 0;
  return std::compare_three_way()(first, second) < 0 ? 1 : 2;
}

Result<RefPtr<OpenFile>> file_of(const Task& task, std::uint64_t index) {
  const RefPtr<ProcessResource> table = task.files_ref();
  if (!table || index > 0x7fffffff) return Errno::badf;
  const Ref<FdTable> files(as_table(*table));
  return files->get_any(Fd{static_cast<std::int32_t>(index)});
}

// The file `index` of one task against what an epoll instance of another watches.
Result<std::int32_t> compare_watched(const Task& a, const Task& b, std::uint64_t index, UserPtr<const abi::KcmpEpollSlot> where) {
  const abi::KcmpEpollSlot slot = TRY(where.load());
  const RefPtr<OpenFile> one = TRY(file_of(a, index));
  const RefPtr<OpenFile> instance = TRY(file_of(b, slot.epoll));
  const RefPtr<Epoll> epoll(instance->as_epoll());
  if (!epoll) return Errno::inval;
  const std::uint64_t watched = TRY(epoll->target(static_cast<std::int32_t>(slot.target), slot.offset));
  const std::uint64_t asked = Epoll::identity(*one);
  if (asked == watched) return 0;
  return asked < watched ? 1 : 2;
}

}  // namespace

Result<std::int32_t> sys_kcmp(Task& task, Pid first, Pid second, std::int32_t type, std::uint64_t first_index, std::uint64_t second_index) {
  const RefPtr<Task> a = find_task(first);
  const RefPtr<Task> b = find_task(second);
  if (!a || !b) return Errno::srch;
  TRY(may_inspect(task, a->process()));
  TRY(may_inspect(task, b->process()));
  switch (static_cast<Kcmp>(type)) {
    case Kcmp::file: {
      const RefPtr<OpenFile> one = TRY(file_of(*a, first_index));
      const RefPtr<OpenFile> other = TRY(file_of(*b, second_index));
      return order(one.get(), other.get());
    }
    case Kcmp::vm: return order(a->process().mm().get(), b->process().mm().get());
    case Kcmp::files: return order(a->files_ref().get(), b->files_ref().get());
    case Kcmp::fs: return order(a->fs_ref().get(), b->fs_ref().get());
    case Kcmp::sighand: return order(a->process().handlers().get(), b->process().handlers().get());
    case Kcmp::io: return 0;  // nobody has an I/O context
    case Kcmp::sysvsem: return order(a->sem_undo.get(), b->sem_undo.get());
    case Kcmp::epoll: return compare_watched(*a, *b, first_index, UserPtr<const abi::KcmpEpollSlot>(second_index));
  }
  return Errno::inval;
}

}  // namespace kernel
