// The root of programs: a read-only lower file system (the image) below a writable one.
//
// A file or directory of the lower side is known by its inode number there, and so is what is written over it: copying up never touches
// names. The upper file system has two directories: "root", whose entries lie over those of the lower root, and "copies", which holds
// the upper half of each lower inode that was changed, named by its number. So every name of a lower file (hard links) sees the copy,
// and the inode number that programs see never changes. A name that is removed or replaced is a whiteout in the upper directory: a
// character device 0:0. A directory made anew has no lower half, so it is opaque.
//
// Locks: the mutex of the union's directory is held by the VFS; the upper directory's own mutex is taken inside it, one at a time.
// state_lock_ (rank inode) guards the tables and copying up; it is taken last but for the upper "copies" directory.
#ifndef KERNEL_FS_UNION_UNION_FS_H
#define KERNEL_FS_UNION_UNION_FS_H

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/hash_map.h"
#include "kernel/base/string.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class UnionInode;

class UnionSuperblock final : public Superblock {
 public:
  // `upper` is empty or was made by this class.
  static Result<Ref<UnionSuperblock>> create(Ref<Superblock> lower, Ref<Superblock> upper);
  UnionSuperblock(Ref<Superblock> lower, Ref<Superblock> upper) : lower_(lower), upper_(upper) {}

  Ref<Inode> root() override;
  std::string_view type_name() const override { return "overlay"; }
  Result<FsStatistics> statistics() override;
  Result<> sync() override { return upper_->sync(); }
  void on_unmounted() override;

  // The union's inode for one of the lower or upper side; the same as long as somebody holds it.
  Result<Ref<UnionInode>> from_lower(const Ref<Inode>& lower);
  Result<Ref<UnionInode>> from_upper(const Ref<Inode>& upper);
  // The number that programs see for an upper inode.
  std::uint64_t number_of_upper(std::uint64_t upper_ino);
  static constexpr std::uint64_t kUpperNumbers = std::uint64_t{1} << 48;  // added to numbers of the upper side

 private:
  friend class UnionInode;
  struct Persistent {  // of a lower inode that was changed, whether or not its UnionInode is around
    RefPtr<Inode> upper;
    std::int64_t link_delta = 0;
  };
  Result<> start();
  void forget(UnionInode& inode) EXCLUDES(state_lock_);
  UnionInode* live_locked(std::uint64_t number) REQUIRES(state_lock_);
  Result<Ref<UnionInode>> publish_locked(std::uint64_t number, RefPtr<Inode> lower, RefPtr<Inode> upper) REQUIRES(state_lock_);

  const Ref<Superblock> lower_, upper_;
  RefPtr<Inode> upper_top_, copies_;
  RefPtr<UnionInode> root_;
  Mutex<LockRank::inode> state_lock_;
  HashMap<std::uint64_t, UnionInode*> live_ GUARDED_BY(state_lock_);        // by the number that programs see; not counted
  HashMap<std::uint64_t, Persistent> persistent_ GUARDED_BY(state_lock_);   // by lower number
  HashMap<std::uint64_t, std::uint64_t> origin_ GUARDED_BY(state_lock_);    // upper number -> lower number of copies
};

class UnionInode final : public Inode {
 public:
  UnionInode(Ref<UnionSuperblock> superblock, std::uint64_t number, RefPtr<Inode> lower, RefPtr<Inode> upper);
  ~UnionInode() override;

  Attributes attributes() const override;
  Result<> change_attributes(const AttributeChange& change) override;
  void touch(bool access, bool modify) override;

  Result<Ref<Inode>> lookup(std::string_view name) override;
  Result<Ref<Inode>> create(std::string_view name, Mode mode, std::uint64_t rdev, Owner owner) override;
  Result<Ref<Inode>> make_directory(std::string_view name, Mode mode, Owner owner) override;
  Result<Ref<Inode>> make_symlink(std::string_view name, std::string_view target, Owner owner) override;
  Result<Ref<Inode>> create_unnamed(Mode mode, Owner owner) override;
  Result<> link(std::string_view name, Inode& existing) override;
  Result<> unlink(std::string_view name, Inode& victim) override;
  Result<> remove_directory(std::string_view name, Inode& victim) override;
  Result<> rename(std::string_view name, Inode& moved, Inode& to, std::string_view to_name, Inode* replaced, bool exchange) override;
  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override;
  Result<std::size_t> read_link(std::span<char> into) override { return active().read_link(into); }

  Result<std::size_t> read_at(std::uint64_t offset, IoSink& sink) override { return active().read_at(offset, sink); }
  Result<std::size_t> write_at(std::uint64_t offset, IoSource& source) override;
  Result<std::size_t> append(IoSource& source, std::uint64_t& end) override;
  Result<> truncate(std::uint64_t size) override;
  Result<> allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) override;
  Result<std::uint64_t> seek_data(std::uint64_t offset, bool hole) override { return active().seek_data(offset, hole); }
  Result<> sync(bool data_only) override { return active().sync(data_only); }
  Result<Ref<OpenFile>> open(Dentry& where, std::uint32_t flags) override;

  Result<std::size_t> get_xattr(std::string_view name, std::span<std::byte> into) override { return active().get_xattr(name, into); }
  Result<> set_xattr(std::string_view name, std::span<const std::byte> value, bool must_create, bool must_replace) override;
  Result<> remove_xattr(std::string_view name) override;
  Result<std::size_t> list_xattrs(std::span<char> into) override { return active().list_xattrs(into); }

  // FileBacking. Mappings are made of the half that is there: immutable, with patch tables, as long as it is the image's.
  std::uint64_t size() override { return active().size(); }
  Result<> read_page(std::uint64_t index, PageView into) override { return active().read_page(index, into); }
  Result<> write_page(std::uint64_t index, ConstPageView from) override;
  Result<Ref<FileBacking>> backing() override { return Ref<FileBacking>(active()); }

 private:
  friend class UnionSuperblock;
  UnionSuperblock& owner() const { return union_; }
  Inode* upper() const { return upper_now_.load(std::memory_order_acquire); }
  Inode& active() const {
    Inode* up = upper();
    return up != nullptr ? *up : *lower_;
  }
  // The upper half, made by copying up if there is none yet.
  Result<Ref<Inode>> make_upper();
  Result<Ref<Inode>> copy_up();
  static Result<> copy_content(Inode& from, Inode& to);
  static Result<> copy_xattrs(Inode& from, Inode& to);
  void adopt_attributes();
  // What the lower half has under the name; nullptr if nothing.
  Result<RefPtr<Inode>> lower_entry(std::string_view name);
  // What the upper half has, whiteouts too.
  Result<RefPtr<Inode>> upper_entry(std::string_view name);
  Result<> put_whiteout(std::string_view name);
  // Takes a whiteout away if there is one. True if there was.
  Result<bool> clear_name(std::string_view name);
  Result<bool> has_visible_entries();
  // The upper half of an empty directory loses its whiteouts.
  Result<> purge_whiteouts();
  void note_unlinked();
  void note_linked();
  // Moves the upper half of `moved` from where it is (under `name` here, or in "copies") to a name in `to` that is free or a file.
  Result<> move_upper(std::string_view name, UnionInode& moved, UnionInode& to, std::string_view to_name);
  Result<> exchange(std::string_view name, UnionInode& moved, UnionInode& to, std::string_view to_name, UnionInode& other);

  UnionSuperblock& union_;  // kept alive by superblock()
  const RefPtr<Inode> lower_;
  RefPtr<Inode> upper_;              // set at most once after construction, under the superblock's state lock
  std::atomic<Inode*> upper_now_;    // the same, for readers without a lock
  std::atomic<std::int64_t> link_delta_{0};
};

}  // namespace kernel
#endif  // KERNEL_FS_UNION_UNION_FS_H
