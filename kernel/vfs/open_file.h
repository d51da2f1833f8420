// OpenFile: an open file description (open(2)). Descriptors refer to it; so do calls in progress.
//
// References keep the object alive; *handles* (descriptor-table slots, descriptors in flight in a Unix socket) keep it open. When the
// last handle goes, on_last_close() runs once, in a context that may sleep; calls still in progress must cope with a closed file.
#ifndef KERNEL_VFS_OPEN_FILE_H
#define KERNEL_VFS_OPEN_FILE_H

#include <atomic>
#include <cstdint>
#include <span>

#include "kernel/base/list.h"
#include "kernel/base/live_count.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/string.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/io.h"
#include "kernel/vfs/nameless.h"
#include "kernel/vfs/types.h"

namespace kernel {

class Epoll;
class EventFd;
class FileOwner;
class Task;

// poll(2) bits, as readiness() gives them and wake_all() takes them.
inline constexpr std::uint32_t kPollIn = 1, kPollPri = 2, kPollOut = 4, kPollErr = 8, kPollHup = 16, kPollNval = 32, kPollRdNorm = 64,
                               kPollRdBand = 128, kPollWrNorm = 256, kPollWrBand = 512, kPollRdHup = 0x2000;
inline constexpr std::uint32_t kPollReadable = kPollIn | kPollRdNorm, kPollWritable = kPollOut | kPollWrNorm;

// What a call that works on one kind of file only asks (timerfd_settime, bind, splice); the object is then of the class named.
enum class FileKind : std::uint8_t { other, pipe /* PipeEnd */, timer /* TimerFd */, signal /* SignalFd */, inotify /* Inotify */, socket /* Socket */,
                                     process /* PidFd */, message_queue /* MqFile */ };

struct CloseObserverTag;
// Told when a file is closed for good (epoll drops its entry). The file's list holds a reference.
class CloseObserver : public RefCounted<CloseObserver>, public ListNode<CloseObserverTag> {
 public:
  virtual ~CloseObserver() = default;
  // Called once without locks, before the file's own on_last_close(); it is off the file's list already. May race with whoever removes
  // the observer.
  virtual void on_file_closed(OpenFile& file) = 0;

 protected:
  CloseObserver() = default;
};

class OpenFile : public RefCounted<OpenFile> {
 public:
  virtual ~OpenFile();

  // --- what a file does; the defaults are what Linux says for a file without the operation ---
  // At the file position, or from the stream. Bytes moved (0 = end of file), EAGAIN if it would block and is_nonblocking(),
  // Errno::restart if a signal interrupted it before the first byte. A count of 0 has been dealt with for files, not for streams.
  virtual Result<std::size_t> read(IoSink& sink);      // EINVAL
  virtual Result<std::size_t> write(IoSource& source);  // EINVAL
  virtual Result<std::size_t> read_at(IoSink& sink, std::uint64_t offset);       // ESPIPE
  virtual Result<std::size_t> write_at(IoSource& source, std::uint64_t offset);  // ESPIPE
  virtual Result<FileOffset> seek(FileOffset offset, std::uint32_t whence);      // ESPIPE; event files stay at 0
  // FIONBIO, FIOCLEX, FIONCLEX and FIOASYNC are handled above. `argument` is the raw register (often a program address). ENOTTY.
  virtual Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument);
  // Poll bits that hold now. By default always readable and writable.
  virtual std::uint32_t readiness() { return kPollReadable | kPollWritable; }
  // Woken (with the bits that became true) whenever readiness may have changed; nullptr: readiness never changes. epoll on a file
  // without one is EPERM.
  virtual WaitQueue* wait_queue() { return nullptr; }
  virtual Result<> sync(bool data_only);                                                       // EINVAL
  virtual Result<> truncate(std::uint64_t size);                                               // EINVAL
  virtual Result<> allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length);   // ENODEV, ESPIPE for FIFOs
  virtual Result<> read_directory(DirectorySink& sink);                                        // ENOTDIR; advances the position
  // For mmap: the pages behind this file. ENODEV by default. Access mode is checked by the caller with may_read()/may_write().
  virtual Result<Ref<FileBacking>> mapping();
  virtual Result<Attributes> attributes();  // fstat; of the inode, or of an anonymous inode
  // What stands in for the inode of a file without one.
  virtual Nameless& nameless() { return Nameless::of_event_files(); }
  // For /proc/self/fd of files without a dentry: "pipe:[7]", "anon_inode:[eventpoll]". How many characters were put.
  virtual std::size_t describe(std::span<char> into);
  // Lines that /proc/self/fdinfo has for this kind of file besides the common ones.
  virtual Result<> describe_info(String& out);
  // F_SETFL: `flags` are the changeable ones (O_APPEND, O_NONBLOCK, O_ASYNC, O_DIRECT, O_NOATIME), already stored when this is called.
  virtual Result<> on_flags_changed(std::uint32_t /*flags*/) { return {}; }
  virtual void on_last_close() {}
  // One descriptor of it was closed, by the running task; others may be open.
  virtual void on_descriptor_closed() {}
  // F_GETPIPE_SZ / F_SETPIPE_SZ (EBADF by default).
  virtual Result<std::uint32_t> pipe_size();
  virtual Result<std::uint32_t> set_pipe_size(std::uint32_t size);
  // F_GET_SEALS / F_ADD_SEALS (EINVAL by default: memfd only). The seals, or 0 after adding.
  virtual Result<std::uint32_t> seals(bool add, std::uint32_t which);
  // Opens the same file once more, with access and status flags of its own (open(2) of /proc/self/fd/N). For files without a dentry only;
  // ENXIO by default, as for sockets and event files.
  virtual Result<Ref<OpenFile>> reopen(std::uint32_t flags);
  // True for pipes, sockets, terminals: no position, short reads are normal.
  virtual bool is_stream() const { return !inode_ || !inode_->is_regular(); }
  virtual FileKind kind() const { return FileKind::other; }
  // True for eventfd, epoll and their like (Linux: files of the anonymous inode with noop_llseek).
  virtual bool is_event_file() const { return false; }
  // False where the file has no operation of that kind at all: then EINVAL comes before the buffer is looked at.
  virtual bool has_read() const { return true; }
  virtual bool has_write() const { return true; }
  // pread, pwrite and their kin work; otherwise ESPIPE comes before the access mode and the buffer.
  virtual bool has_offsets() const { return inode_ && inode_->type() != FileType::fifo && inode_->type() != FileType::socket; }
  // The poll bits that signals tell while O_ASYNC is set; 0: this kind of file has none, and O_ASYNC stays off.
  virtual std::uint32_t async_events() const { return 0; }
  // Whom they go to if no owner is named: the foreground group of a terminal.
  virtual Pid async_group() const { return Pid{}; }
  // The epoll instance that this file is, or nullptr.
  virtual Epoll* as_epoll() { return nullptr; }
  virtual EventFd* as_eventfd() { return nullptr; }

  // --- what every file has ---
  std::uint32_t flags() const { return flags_.load(std::memory_order_relaxed); }  // O_ACCMODE and status flags
  bool may_read() const;   // opened for reading, not O_PATH
  bool may_write() const;
  bool is_path_only() const;
  bool is_nonblocking() const;
  bool is_append() const;
  // Replaces the bits that F_SETFL may change.
  Result<> set_status_flags(std::uint32_t flags);

  const RefPtr<Dentry>& dentry() const { return dentry_; }  // null for anonymous files
  const RefPtr<Inode>& inode() const { return inode_; }      // likewise

  // The locks of the inode, or of what stands in for it.
  Result<Ref<FileLocks>> file_locks();
  RefPtr<FileLocks> file_locks_if_any();

  // No effect on a file that is closed already: returns false then.
  bool add_close_observer(CloseObserver& observer) EXCLUDES(observers_lock_);
  void remove_close_observer(CloseObserver& observer) EXCLUDES(observers_lock_);
  std::uint32_t handles() const { return handles_.load(std::memory_order_acquire); }
  bool is_closed() const { return closed_.load(std::memory_order_acquire); }

  // Who gets its signals, made now if nobody has asked before. ENOMEM.
  Result<Ref<FileOwner>> owner();
  RefPtr<FileOwner> owner_if_any() const;  // any context
  // For file_owner.cc. False: the file is closed, and nothing was done. No effect on an owner that watches already.
  bool watch_by_owner(FileOwner& owner, WaitQueue& queue) EXCLUDES(observers_lock_);
  void set_async_flag(bool on);

 protected:
  explicit OpenFile(std::uint32_t flags) : flags_(flags) {}
  OpenFile(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags);

 private:
  [[no_unique_address]] LiveMark<LiveKind::file> live_;
  friend class FileHandle;
  void add_handle() { handles_.fetch_add(1, std::memory_order_relaxed); }
  void drop_handle();

  std::atomic<std::uint32_t> flags_;
  std::atomic<std::uint32_t> handles_{0};
  std::atomic<bool> closed_{false};
  const RefPtr<Dentry> dentry_;
  const RefPtr<Inode> inode_;
  SpinLock<LockRank::fd_table> observers_lock_;
  List<CloseObserver, CloseObserverTag> observers_ GUARDED_BY(observers_lock_);
  std::atomic<FileOwner*> owner_{nullptr};  // set once, with a reference that the destructor drops
};

// Keeps a file open: one per descriptor. Copying makes another. Destroying the last one closes the file and may sleep: never under locks.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(Ref<OpenFile> file) : file_(file) { file_->add_handle(); }
  FileHandle(const FileHandle& other) : file_(other.file_) {
    if (file_) file_->add_handle();
  }
  FileHandle(FileHandle&& other) noexcept = default;
  FileHandle& operator=(FileHandle other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~FileHandle() {
    if (file_) file_->drop_handle();
  }
  explicit operator bool() const { return static_cast<bool>(file_); }
  const RefPtr<OpenFile>& file() const { return file_; }

 private:
  RefPtr<OpenFile> file_;
};

// Serialises users of one file position across waits and user copies; not a Mutex, since it may be held across user copies: nothing
// that a user copy needs ever takes it.
class PositionLock {
 public:
  void lock();
  // The same for somebody who copies from or to the program right after: the lock's instruction is the copy's fence.
  void lock_for_copy();
  // After that; the copy need not have taken place.
  void unlock_after_copy();
  void unlock();  // a full fence too: see WaitQueue::wake_all_fenced

 private:
  std::atomic<std::uint32_t> state_{0};  // 0 free, 1 held, 2 held and wanted
  WaitQueue queue_;
};

}  // namespace kernel
#endif  // KERNEL_VFS_OPEN_FILE_H
