// Dentry: a name in a directory, cached. The tree of dentries with its hash is the name cache; a dentry without an inode remembers that
// a name does not exist. One lock (rank vfs_cache) guards the shape of the tree: a path whose names are all cached is walked under one
// hold of it, without counting references on the way.
//
// A file system is mounted at one place at a time, so a dentry by itself says where in the tree it is.
#ifndef KERNEL_VFS_DENTRY_H
#define KERNEL_VFS_DENTRY_H

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/list.h"
#include "kernel/base/live_count.h"
#include "kernel/base/ref.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/inode.h"

namespace kernel {

struct DentryLruTag;
struct PathText;

class Dentry final : public RefCounted<Dentry>, public ListNode<DentryLruTag> {
 public:
  static constexpr std::size_t kLongestInlineName = 40;  // longer names need memory of their own
  // Use DentryCache's functions to make dentries.
  Dentry(RefPtr<Dentry> parent, RefPtr<Inode> inode, Ref<Superblock> superblock, std::uint32_t hash);
  ~Dentry();

  // The file; nullptr = the name does not exist. Changes only from and to nullptr, and never away while somebody else holds the dentry.
  RefPtr<Inode> inode() const;
  // For holders of a dentry that is known to exist (an open file, a working directory).
  Inode& existing_inode() const {
    KASSERT(inode_);
    return *inode_;
  }
  Superblock& superblock() const { return *superblock_; }
  // The directory that holds the name within this file system; nullptr at its root. Rename changes it.
  RefPtr<Dentry> parent() const;
  bool is_deleted() const;  // its name has been removed (unlink, rmdir)

 private:
  [[no_unique_address]] LiveMark<LiveKind::dentry> live_;
  // Takes the parent out of a dentry of which the caller has the last reference. False: somebody has found it, or it is a root in the list.
  bool give_up_parent(RefPtr<Dentry>& parent);
  friend class DentryCache;
  friend class PathWalk;
  friend Result<PathText> path_text(const Dentry& dentry, const Dentry* root, std::span<char> into);
  static constexpr std::size_t kInlineName = kLongestInlineName;

  // All guarded by the cache's lock, except for inode_ of a held positive dentry.
  RefPtr<Dentry> parent_;
  RefPtr<Inode> inode_;
  const Ref<Superblock> superblock_;
  RefPtr<Dentry> hash_next_;
  RefPtr<Mount> mounted_;  // what covers this directory
  std::uint32_t hash_;
  bool hashed_ = false, deleted_ = false, referenced_ = false;
  // In the list of what is left of file systems that were taken off the tree: found there as long as somebody else holds it.
  bool abandoned_ = false;
  std::uint8_t name_size_ = 0;
  std::array<char, kInlineName> inline_name_;
  Vec<char> long_name_;
};

// Text of the path from `root` (not nullptr: the caller's root) to `dentry`, into `into`; the part used, which is at its end. Crosses
// mounts. ENAMETOOLONG if it does not fit. `reachable` tells whether `root` was met on the way; " (deleted)" is not added.
struct PathText {
  std::string_view text;
  bool reachable;
  bool deleted;
};
Result<PathText> path_text(const Dentry& dentry, const Dentry* root, std::span<char> into LIFETIMEBOUND);

}  // namespace kernel
#endif  // KERNEL_VFS_DENTRY_H
