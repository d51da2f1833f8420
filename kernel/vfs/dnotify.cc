#include "kernel/vfs/dnotify.h"

#include <utility>

#include "abi/fs.h"
#include "abi/signal.h"
#include "kernel/vfs/file_owner.h"
#include "kernel/vfs/inotify.h"
#include "kernel/vfs/notify.h"

namespace kernel {
namespace {

struct MarkTag;
struct Mark final : ListNode<MarkTag> {
  Mark(Ref<Inode> directory, Ref<OpenFile> asked_by, std::uint64_t descriptors) : inode(directory), file(asked_by), table(descriptors) {}
  const Ref<Inode> inode;
  const Ref<OpenFile> file;
  const std::uint64_t table;  // which descriptor table, as a number
  Fd fd{-1};                  // what the signal says
  std::uint32_t events = 0;   // abi::kDn*
};
using Marks = List<Mark, MarkTag>;

// All there are: few programs have any. The list owns them.
constinit Marks marks;  // NOLINT: guarded by notify_lock

std::uint32_t events_of(std::uint32_t event) {
  switch (event) {
    case abi::kInAccess: return abi::kDnAccess;
    case abi::kInModify: return abi::kDnModify;
    case abi::kInCreate:
    case abi::kInMovedTo: return abi::kDnCreate;
    case abi::kInDelete:
    case abi::kInMovedFrom: return abi::kDnDelete;
    case abi::kInAttrib: return abi::kDnAttrib;
    case notify::kRenamed: return abi::kDnRename;
    default: return 0;
  }
}

void take_locked(Mark& mark, Marks& gone) REQUIRES(notify_lock) {
  mark.unlink();
  gone.push_back(mark);
  notify::watch_count.fetch_sub(1, std::memory_order_relaxed);
}

// Inodes and files may go with them: without the lock.
void release(Marks& gone) {
  while (Mark* mark = gone.pop_front()) const auto owned = Own<Mark>::adopt(mark, {.size = sizeof(Mark), .align = alignof(Mark)});
}

}  // namespace

Result<> set_directory_notification(std::uint64_t table, OpenFile& file, Fd fd, std::uint32_t events) {
  if ((events & ~abi::kDnMultiShot) == 0) {
    drop_directory_notifications(table, file);
    return {};
  }
  if (!file.inode() || !file.inode()->is_directory()) return Errno::notdir;
  TRY(own_by_caller(file));
  Own<Mark> fresh = TRY(make_own<Mark>(file.inode().as_ref(), Ref<OpenFile>(file), table));
  const LockGuard guard(notify_lock);
  Mark* mark = marks.front();
  while (mark != nullptr && (mark->file.get() != &file || mark->table != table)) mark = marks.next(*mark);
  if (mark == nullptr) {
    if (file.is_closed()) return Errno::badf;  // nobody would ever remove it
    mark = fresh.leak();
    marks.push_back(*mark);
    notify::watch_count.fetch_add(1, std::memory_order_relaxed);
  }
  mark->fd = fd;
  mark->events |= events;
  return {};
}

void drop_directory_notifications(std::uint64_t table, const OpenFile& file) {
  if (!notify::is_watched()) return;
  Marks gone;
  {
    const LockGuard guard(notify_lock);
    for (Mark *mark = marks.front(), *next = nullptr; mark != nullptr; mark = next) {
      next = marks.next(*mark);
      if (mark->file.get() == &file && mark->table == table) take_locked(*mark, gone);
    }
  }
  release(gone);
}

void notify::signal_directory(const Inode& directory, std::uint32_t event) {
  const std::uint32_t wanted = events_of(event);
  if (wanted == 0) return;
  Marks gone;
  {
    const LockGuard guard(notify_lock);
    for (Mark *mark = marks.front(), *next = nullptr; mark != nullptr; mark = next) {
      next = marks.next(*mark);
      if (mark->inode.get() != &directory || (mark->events & wanted) == 0) continue;
      if (const RefPtr<FileOwner> owner = mark->file->owner_if_any()) owner->send(mark->fd, abi::kPollMsg);
      if ((mark->events & abi::kDnMultiShot) == 0) take_locked(*mark, gone);
    }
  }
  release(gone);
}

}  // namespace kernel
