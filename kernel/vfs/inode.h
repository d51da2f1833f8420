// Inode: one file of whatever kind. Superblock: one file system. File systems derive from both.
//
// Directory operations (lookup, create, link, unlink, rename, read_directory...) are called with the directory_mutex() of every
// directory involved held by the caller, so a file system needs no lock of its own for entries that are reached through the VFS only.
// Names passed in are valid components: 1..255 bytes, no '/', not "." or "..". Permissions are checked by the caller (path.h, access.h);
// read-only mounts too. Content operations are called without locks and may sleep.
#ifndef KERNEL_VFS_INODE_H
#define KERNEL_VFS_INODE_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/live_count.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/mm/backing.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/io.h"
#include "kernel/vfs/types.h"

namespace kernel {

class Dentry;
class FileLocks;
class Inode;
class Mount;
class OpenFile;
class Process;
struct PathText;

class Superblock : public RefCounted<Superblock> {
 public:
  virtual ~Superblock() = default;
  // The root directory. Always the same inode.
  virtual Ref<Inode> root() = 0;
  virtual std::string_view type_name() const = 0;  // as in /proc/mounts: "erofs", "tmpfs", "proc"
  virtual Result<FsStatistics> statistics() = 0;
  // The inode with a number that this file system gave out before. ENOENT by default.
  virtual Result<Ref<Inode>> inode_by_number(std::uint64_t number);
  virtual Result<> sync() { return {}; }
  // It has been taken off the mount tree; nothing new will be asked of it.
  virtual void on_unmounted() {}
  // False: names change by themselves (proc, host), every lookup asks the file system and nothing is kept in the name cache.
  virtual bool caches_names() const { return true; }
  virtual bool is_read_only() const { return false; }

  std::uint64_t device() const { return device_; }  // st_dev
  // kMount* flags of the mount; 0 while it is not mounted.
  std::uint32_t mount_flags() const { return mount_flags_.load(std::memory_order_relaxed); }
  void set_mount_flags(std::uint32_t flags) { mount_flags_.store(flags, std::memory_order_relaxed); }

 protected:
  Superblock();  // draws a new device number

 private:
  friend class Dentry;
  friend class DentryCache;
  friend Result<PathText> path_text(const Dentry& dentry, const Dentry* root, std::span<char> into);
  const std::uint64_t device_;
  std::atomic<std::uint32_t> mount_flags_{0};
  Dentry* root_dentry_ = nullptr;   // guarded by the dentry cache's lock; set while mounted
  Dentry* mountpoint_ = nullptr;    // likewise: what the root covers; kept alive by the Mount
};

// What an inode carries for others: the pipe of a FIFO, the socket bound to a path.
class InodePayload : public RefCounted<InodePayload> {
 public:
  virtual ~InodePayload() = default;
};

class Inode : public FileBacking {
 public:
  ~Inode() override;

  Superblock& superblock() const { return *superblock_; }
  std::uint64_t ino() const { return ino_; }
  Mode mode() const { return mode_.load(std::memory_order_relaxed); }
  FileType type() const { return type_of(mode()); }
  bool is_directory() const { return type() == FileType::directory; }
  bool is_symlink() const { return type() == FileType::symlink; }
  bool is_regular() const { return type() == FileType::regular; }
  std::uint32_t uid() const { return uid_.load(std::memory_order_relaxed); }
  std::uint32_t gid() const { return gid_.load(std::memory_order_relaxed); }
  std::uint32_t link_count() const { return nlink_.load(std::memory_order_relaxed); }

  // Lock-free by default: the fields below. Overridden where attributes come from elsewhere.
  virtual Attributes attributes() const;
  // FileBacking.
  std::uint64_t size() override { return size_.load(std::memory_order_acquire); }
  Result<> read_page(std::uint64_t index, PageView into) override;  // through read_at
  std::uint64_t device_number() const override { return superblock_->device(); }
  std::uint64_t inode_number() const override { return ino_; }
  // EPERM by default for file systems that keep no attributes. Sets ctime.
  virtual Result<> change_attributes(const AttributeChange& change);
  // Notes an access or change now. Never fails, may be ignored.
  virtual void touch(bool access, bool modify);

  // --- directories (ENOTDIR or EPERM by default) ---
  virtual Result<Ref<Inode>> lookup(std::string_view name);  // ENOENT if there is none
  // A regular file, FIFO, socket or device (the type is in `mode`, which has gone through the umask).
  virtual Result<Ref<Inode>> create(std::string_view name, Mode mode, std::uint64_t rdev, Owner owner);
  virtual Result<Ref<Inode>> make_directory(std::string_view name, Mode mode, Owner owner);
  virtual Result<Ref<Inode>> make_symlink(std::string_view name, std::string_view target, Owner owner);
  virtual Result<> link(std::string_view name, Inode& existing);
  // O_TMPFILE: a regular file without a name. EOPNOTSUPP by default.
  virtual Result<Ref<Inode>> create_unnamed(Mode mode, Owner owner);
  // `victim` is what lookup(name) gave.
  virtual Result<> unlink(std::string_view name, Inode& victim);
  virtual Result<> remove_directory(std::string_view name, Inode& victim);  // ENOTEMPTY
  // Moves `moved` (this directory's `name`) to `to_name` in `to` (same superblock), replacing `replaced` if given (types are checked:
  // a directory replaces an empty directory only; ENOTEMPTY). With `exchange` both swap places.
  virtual Result<> rename(std::string_view name, Inode& moved, Inode& to, std::string_view to_name, Inode* replaced, bool exchange);
  // Gives entries from `offset` on (0 = first; others as given in DirectoryEntry::next), without "." and "..". Offsets 0..1 are the
  // caller's; a file system's own start at 2. Stable while entries come and go.
  virtual Result<> read_directory(std::uint64_t offset, DirectorySink& sink);

  // --- symbolic links ---
  // The target, kept for the inode's life; EINVAL for others. For links that are not plain text (/proc/self/exe) see follow().
  virtual Result<std::size_t> read_link(std::span<char> into);
  // A magic link: where it leads, without a path. nullptr = an ordinary link, go by its text.
  virtual Result<RefPtr<Dentry>> follow();

  // The process that a folder of /proc is about; such a folder stands for it in pidfd_send_signal(2).
  virtual Process* process_shown() { return nullptr; }

  // --- content of regular files ---
  virtual Result<std::size_t> read_at(std::uint64_t offset, IoSink& sink);
  virtual Result<std::size_t> write_at(std::uint64_t offset, IoSource& source);
  // Writes at the end, atomically towards other appends; `end` receives the file offset behind the data.
  virtual Result<std::size_t> append(IoSource& source, std::uint64_t& end);
  virtual Result<> truncate(std::uint64_t size);
  // fallocate(2) with its mode bits; EOPNOTSUPP by default.
  virtual Result<> allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length);
  // SEEK_DATA / SEEK_HOLE; ENXIO beyond the end. By default the whole file is data.
  virtual Result<std::uint64_t> seek_data(std::uint64_t offset, bool hole);
  virtual Result<> sync(bool /*data_only*/) { return {}; }
  // F_GET_SEALS, F_ADD_SEALS: files of memfd_create(2) only (EINVAL). The seals, or 0 after adding.
  virtual Result<std::uint32_t> seals(bool /*add*/, std::uint32_t /*which*/) { return Errno::inval; }

  // Makes the open file for this inode: by default a RegularFile, DirectoryFile, or what special_file.h has registered for FIFOs,
  // sockets (ENXIO) and devices. `flags` as open(2) has them, checked. O_TRUNC and O_CREAT have been dealt with.
  virtual Result<Ref<OpenFile>> open(Dentry& where, std::uint32_t flags);
  // What mappings of the file are made of.
  virtual Result<Ref<FileBacking>> backing() { return Ref<FileBacking>(*this); }

  // An open file without a place in the tree (memfd, fexecve of one). Regular files only (EACCES).
  Result<Ref<OpenFile>> open_anonymous(std::uint32_t flags);

  // --- extended attributes (EOPNOTSUPP by default). Names carry their prefix ("user.x"). ---
  virtual Result<std::size_t> get_xattr(std::string_view name, std::span<std::byte> into);  // ENODATA; size if `into` is empty; ERANGE
  virtual Result<> set_xattr(std::string_view name, std::span<const std::byte> value, bool must_create, bool must_replace);
  virtual Result<> remove_xattr(std::string_view name);
  virtual Result<std::size_t> list_xattrs(std::span<char> into);  // NUL-terminated names; size if `into` is empty

  // Open files that refer to it.
  std::uint32_t open_count() const { return open_files_.load(std::memory_order_acquire); }
  void add_open() { open_files_.fetch_add(1, std::memory_order_relaxed); }
  std::uint32_t drop_open() { return open_files_.fetch_sub(1, std::memory_order_acq_rel) - 1; }  // how many are left

  Mutex<LockRank::directory>& directory_mutex() const { return directory_mutex_; }
  // Record locks, created at first use (file_lock.h).
  Result<Ref<FileLocks>> file_locks();
  RefPtr<FileLocks> file_locks_if_any() const;
  // The payload, or nullptr. install_payload() sets it unless one is there, and returns the one that is there now.
  RefPtr<InodePayload> payload() const;
  Ref<InodePayload> install_payload(Ref<InodePayload> payload);
  void clear_payload();
  // For writers: ETXTBSY while the file is being executed, and the reverse for exec (deny_write / allow_write in pairs).
  Result<> begin_write_access();
  void end_write_access();
  Result<> deny_write();
  void allow_write();

 protected:
  Inode(Ref<Superblock> superblock, std::uint64_t ino, Mode mode, Owner owner, FileTime now);
  // For file systems that keep their attributes here.
  void set_mode(Mode mode) { mode_.store(mode, std::memory_order_relaxed); }
  void set_owner(Owner owner) {
    uid_.store(owner.uid, std::memory_order_relaxed);
    gid_.store(owner.gid, std::memory_order_relaxed);
  }
  void set_times(FileTime atime, FileTime mtime, FileTime ctime) {
    atime_.store(atime, std::memory_order_relaxed);
    mtime_.store(mtime, std::memory_order_relaxed);
    ctime_.store(ctime, std::memory_order_relaxed);
  }
  void set_links(std::uint32_t count) { nlink_.store(count, std::memory_order_relaxed); }
  void add_link() { nlink_.fetch_add(1, std::memory_order_relaxed); }
  std::uint32_t drop_link() { return nlink_.fetch_sub(1, std::memory_order_relaxed) - 1; }  // how many are left

  std::atomic<Mode> mode_;
  std::atomic<std::uint32_t> nlink_{1}, uid_, gid_;
  std::atomic<std::uint64_t> size_{0}, blocks_{0}, rdev_{0};
  std::atomic<FileTime> atime_, mtime_, ctime_;
  FileTime btime_;

 private:
  [[no_unique_address]] LiveMark<LiveKind::inode> live_;
  const Ref<Superblock> superblock_;
  const std::uint64_t ino_;
  mutable Mutex<LockRank::directory> directory_mutex_;
  mutable SpinLock<LockRank::vfs_cache> attachments_lock_;
  RefPtr<InodePayload> payload_ GUARDED_BY(attachments_lock_);
  RefPtr<FileLocks> file_locks_ GUARDED_BY(attachments_lock_);
  std::atomic<bool> has_locks_{false};
  std::atomic<std::uint32_t> open_files_{0};
  std::atomic<std::int32_t> writers_{0};  // > 0: open for writing; < 0: being executed
};

// Realtime now as inodes keep it.
FileTime current_file_time();

}  // namespace kernel
#endif  // KERNEL_VFS_INODE_H
