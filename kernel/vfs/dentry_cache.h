// The name cache (see dentry.h). Internal to vfs/ but for make_root_dentry and make_anonymous_dentry.
#ifndef KERNEL_VFS_DENTRY_CACHE_H
#define KERNEL_VFS_DENTRY_CACHE_H

#include <cstdint>
#include <string_view>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/vfs/dentry.h"

namespace kernel {

class DentryCache {
 public:
  static constexpr std::size_t kBuckets = 8192;
  static constexpr std::size_t kMostDentries = 32768;
  static constexpr std::uint64_t kHashFactor = 0x9e3779b97f4a7c15;

  DentryCache() = default;
  ~DentryCache();  // unit tests only: in the kernel it lives for ever

  // The one cache; init() makes it at boot. ENOMEM.
  static DentryCache& instance();
  static Result<> init();

  SpinLock<LockRank::vfs_cache>& lock() __attribute__((lock_returned(lock_))) { return lock_; }

  // Hash of a component below `parent`; PathWalk computes the same while it scans.
  static std::uint32_t hash_start(const Dentry& parent);
  static std::uint32_t hash_name(const Dentry& parent, std::string_view name);

  // The cached dentry of a name, maybe negative, or nullptr.
  Dentry* find_locked(const Dentry& parent, std::uint32_t hash, std::string_view name) REQUIRES(lock_);
  // The topmost mount's root over a directory (the dentry itself if nothing is mounted there), and its reverse: where `..` of a
  // file-system root goes on (nullptr at the root of everything).
  static Dentry* covering_locked(Dentry* directory);
  static Dentry* covered_locked(const Dentry* root);

  // The dentry of `name`, negative if there is no such file; asks the file system if it is not cached. The directory's mutex is held by
  // the caller. ENOENT if the directory has been removed.
  Result<Ref<Dentry>> child(Dentry& directory, std::string_view name) EXCLUDES(lock_);
  // For a file in that directory which has no name (O_TMPFILE): "#" and its number, as if it had been removed.
  static Result<Ref<Dentry>> unnamed_child(Dentry& directory, Ref<Inode> inode);
  // After the file system did it, still under the directory mutexes:
  void instantiate(Dentry& negative, Ref<Inode> inode) EXCLUDES(lock_);
  void remove(Dentry& dentry) EXCLUDES(lock_);  // unlink, rmdir, or replaced by rename
  // `moved` gets a new place. A name that is too long for a dentry needs `long_name` of its size, so that nothing can fail here.
  void move(Dentry& moved, Dentry& directory, std::string_view name, Vec<char> long_name) EXCLUDES(lock_);
  void exchange(Dentry& a, Dentry& b, Vec<char> long_a, Vec<char> long_b) EXCLUDES(lock_);
  // Drops what is cached below a dentry and not in use (unmount).
  void prune(Superblock& superblock) EXCLUDES(lock_);
  // Drops unused entries until at most `count` are left (memory is short).
  void shrink(std::size_t count) EXCLUDES(lock_);

  // Mounting: what covers what. `root` must be the dentry of a superblock that is mounted nowhere. The directory's mutex is held by the
  // caller; ENOENT if the directory has been removed.
  Result<> cover(Dentry& directory, Mount& mount, Dentry& root) EXCLUDES(lock_);
  void set_root(Dentry& root) EXCLUDES(lock_);  // of everything
  // The reverse, unless more than `most_users` hold the root: then false. From now on the cache keeps nothing of the file system alive, and it
  // goes with its last user (finish_unmount).
  bool uncover(Dentry& directory, Dentry& root, std::uint32_t most_users) EXCLUDES(lock_);
  RefPtr<Mount> mount_over(const Dentry& directory) EXCLUDES(lock_);
  // The root dentry of the file system that holds `dentry` (walks up).
  static Dentry* fs_root_locked(const Dentry& dentry);

  static std::string_view name_of(const Dentry& dentry);
  std::size_t size() const { return count_.load(std::memory_order_relaxed); }

 private:
  friend class Dentry;
  friend class PathWalk;
  friend Result<PathText> path_text(const Dentry& dentry, const Dentry* root, std::span<char> into);
  static Result<> set_name(Dentry& dentry, std::string_view name);
  static void store_name(Dentry& dentry, std::string_view name, Vec<char> long_name);
  void insert_locked(Dentry& dentry) REQUIRES(lock_);
  // The same for names of a file system that has been taken off the tree while it was in use.
  RefPtr<Dentry> find_abandoned_locked(const Dentry& parent, std::uint32_t hash, std::string_view name) REQUIRES(lock_);
  void abandon_locked(Dentry& dentry) REQUIRES(lock_);
  void forget_abandoned_locked(Dentry& dentry) REQUIRES(lock_);
  RefPtr<Dentry> unhash_locked(Dentry& dentry) REQUIRES(lock_);
  // Takes up to `into.size()` unused entries out; the caller drops them after unlocking.
  std::size_t evict_locked(std::span<RefPtr<Dentry>> into) REQUIRES(lock_);
  void trim(std::size_t count);
  static bool in_use(const Dentry& dentry) { return dentry.ref_count() > 1 || dentry.mounted_; }

  SpinLock<LockRank::vfs_cache> lock_;
  Vec<RefPtr<Dentry>> buckets_ GUARDED_BY(lock_);
  List<Dentry, DentryLruTag> lru_ GUARDED_BY(lock_);
  List<Dentry, DentryLruTag> abandoned_ GUARDED_BY(lock_);  // holds no references
  // Written under the lock; a reader without it learns what it was a moment ago.
  void add_to_count(std::size_t change) REQUIRES(lock_) { count_.store(size() + change, std::memory_order_relaxed); }
  std::atomic<std::size_t> count_{0};  // hashed dentries
};

// A dentry without a parent or a name: the root of a file system about to be mounted, or an anonymous file (/proc/self/fd of a pipe).
Result<Ref<Dentry>> make_root_dentry(Ref<Inode> inode);

}  // namespace kernel
#endif  // KERNEL_VFS_DENTRY_CACHE_H
