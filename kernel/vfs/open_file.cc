#include "kernel/vfs/open_file.h"

#include "abi/fs.h"
#include "kernel/frame/user.h"
#include "kernel/vfs/file_lock.h"
#include "kernel/vfs/file_owner.h"
#include "kernel/vfs/notify.h"

namespace kernel {

OpenFile::OpenFile(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags)
    : flags_(flags & ~abi::kONoCtty), dentry_(std::move(dentry)), inode_(std::move(inode)) {
  if (inode_) inode_->add_open();
}

OpenFile::~OpenFile() {
  if (const RefPtr<FileOwner> owner = owner_if_any()) owner->deref();  // the file's reference
  if (inode_ && inode_->drop_open() == 0) notify_last_close(*inode_);
}

Result<std::size_t> OpenFile::read(IoSink&) { return Errno::inval; }
Result<std::size_t> OpenFile::write(IoSource&) { return Errno::inval; }
Result<std::size_t> OpenFile::read_at(IoSink&, std::uint64_t) { return Errno::spipe; }
Result<std::size_t> OpenFile::write_at(IoSource&, std::uint64_t) { return Errno::spipe; }
Result<FileOffset> OpenFile::seek(FileOffset, std::uint32_t) {
  if (is_event_file()) return FileOffset{0};
  return Errno::spipe;
}
Result<std::uint64_t> OpenFile::ioctl(Task&, std::uint32_t, std::uint64_t) { return Errno::notty; }
Result<> OpenFile::sync(bool) { return Errno::inval; }
Result<> OpenFile::truncate(std::uint64_t) { return Errno::inval; }
Result<> OpenFile::allocate(std::uint32_t, std::uint64_t, std::uint64_t) {
  if (kind() == FileKind::pipe) return Errno::spipe;
  return inode_ && inode_->is_directory() ? Errno::isdir : Errno::nodev;
}
Result<> OpenFile::read_directory(DirectorySink&) { return Errno::notdir; }
Result<Ref<FileBacking>> OpenFile::mapping() { return Errno::nodev; }
Result<Attributes> OpenFile::attributes() {
  if (inode_) return inode_->attributes();
  return nameless().attributes();
}
Result<> OpenFile::describe_info(String&) {
  return {};
}
Result<Ref<FileLocks>> OpenFile::file_locks() { return inode_ ? inode_->file_locks() : nameless().locks(); }
RefPtr<FileLocks> OpenFile::file_locks_if_any() { return inode_ ? inode_->file_locks_if_any() : nameless().locks_if_any(); }
std::size_t OpenFile::describe(std::span<char>) { return 0; }
Result<Ref<OpenFile>> OpenFile::reopen(std::uint32_t flags) {
  if (!inode_) return Errno::nxio;
  return inode_->open_anonymous(flags);
}
Result<std::uint32_t> OpenFile::pipe_size() { return Errno::badf; }
Result<std::uint32_t> OpenFile::set_pipe_size(std::uint32_t) { return Errno::badf; }

Result<std::uint32_t> OpenFile::seals(bool, std::uint32_t) { return Errno::inval; }

bool OpenFile::may_read() const {
  const std::uint32_t now = flags();
  return (now & abi::kOPath) == 0 && (now & abi::kOAccMode) != abi::kOWrOnly && (now & abi::kOAccMode) != 3;
}
bool OpenFile::may_write() const {
  const std::uint32_t now = flags();
  return (now & abi::kOPath) == 0 && (now & abi::kOAccMode) != abi::kORdOnly && (now & abi::kOAccMode) != 3;
}
bool OpenFile::is_path_only() const { return (flags() & abi::kOPath) != 0; }
bool OpenFile::is_nonblocking() const { return (flags() & abi::kONonBlock) != 0; }
bool OpenFile::is_append() const { return (flags() & abi::kOAppend) != 0; }

Result<> OpenFile::set_status_flags(std::uint32_t flags) {
  std::uint32_t seen = flags_.load(std::memory_order_relaxed);
  std::uint32_t wanted = 0;
  do {
    // set_async() sees to O_ASYNC.
    wanted = (seen & ~(abi::kSettableFlags & ~abi::kOAsync)) | (flags & abi::kSettableFlags & ~abi::kOAsync);
  } while (!flags_.compare_exchange_weak(seen, wanted, std::memory_order_acq_rel));
  return on_flags_changed(wanted & abi::kSettableFlags);
}

Result<Ref<FileOwner>> OpenFile::owner() {
  if (const RefPtr<FileOwner> present = owner_if_any()) return present.as_ref();
  const Ref<FileOwner> fresh = TRY(make_ref<FileOwner>());
  FileOwner* none = nullptr;
  fresh->ref();
  if (owner_.compare_exchange_strong(none, fresh.get(), std::memory_order_acq_rel)) return fresh;
  fresh->deref();
  return owner_if_any().as_ref();
}

RefPtr<FileOwner> OpenFile::owner_if_any() const { return RefPtr<FileOwner>(owner_.load(std::memory_order_acquire)); }

bool OpenFile::watch_by_owner(FileOwner& owner, WaitQueue& queue) {
  const LockGuard guard(observers_lock_);
  if (is_closed()) return false;
  if (static_cast<ListNode<CloseObserverTag>&>(owner).is_linked()) return true;
  owner.ref();
  observers_.push_back(owner);
  queue.add_first(owner);
  return true;
}

void OpenFile::set_async_flag(bool on) {
  if (on)
    flags_.fetch_or(abi::kOAsync, std::memory_order_relaxed);
  else
    flags_.fetch_and(~abi::kOAsync, std::memory_order_relaxed);
}

bool OpenFile::add_close_observer(CloseObserver& observer) {
  const LockGuard guard(observers_lock_);
  if (is_closed()) return false;
  observer.ref();
  observers_.push_back(observer);
  return true;
}

void OpenFile::remove_close_observer(CloseObserver& observer) {
  {
    const LockGuard guard(observers_lock_);
    if (!observer.is_linked()) return;
    observer.unlink();
  }
  observer.deref();
}

void OpenFile::drop_handle() {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  {
    const LockGuard guard(observers_lock_);
    closed_.store(true, std::memory_order_release);
  }
  for (;;) {
    RefPtr<CloseObserver> observer;
    {
      const LockGuard guard(observers_lock_);
      observer = RefPtr<CloseObserver>(observers_.pop_front());
    }
    if (!observer) break;
    observer->deref();  // the list's reference
    observer->on_file_closed(*this);
  }
  if (!is_path_only()) notify_file(dentry_.get(), inode_.get(), may_write() ? abi::kInCloseWrite : abi::kInCloseNoWrite);
  if (const RefPtr<FileLocks> locks = file_locks_if_any()) locks->release_file(*this);
  on_last_close();
}

void PositionLock::lock() {
  std::uint32_t free = 0;
  if (state_.compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
  // Uninterruptible: whoever holds it makes progress.
  const Result<> waited =
      queue_.wait([this] { return state_.exchange(2, std::memory_order_acquire) == 0; }, kNever, Interruptible::no);
  KASSERT(waited.ok());
}

void PositionLock::lock_for_copy() {
  frame::announce_copy();
  std::uint32_t free = 0;
  if (state_.compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
  frame::abandon_copy();  // lock() may wait
  lock();
}

void PositionLock::unlock_after_copy() {
  frame::abandon_copy();
  unlock();
}

void PositionLock::unlock() {
  if (state_.exchange(0, std::memory_order_seq_cst) == 2) queue_.wake_one();
}

}  // namespace kernel
