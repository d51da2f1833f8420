// Files in the kernel's memory: ramfs and tmpfs mounts (/dev/shm, /tmp on request) and the upper side of the root until a volume exists.
// Everything is gone when the enclave ends.
//
// Entries of a directory are guarded by the directory's mutex (inode.h); content by the page map's lock; the rest is atomic.
#ifndef KERNEL_FS_RAM_RAM_FS_H
#define KERNEL_FS_RAM_RAM_FS_H

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernel/base/hash_map.h"
#include "kernel/base/string.h"
#include "kernel/base/vec.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/open_file.h"
#include "kernel/vfs/page_map.h"

namespace kernel {

class RamDirectory;

class RamSuperblock final : public Superblock {
 public:
  // `limit`: most bytes that content may take (ENOSPC beyond).
  static Result<Ref<RamSuperblock>> create(std::uint64_t limit, Mode root_mode = 01777, Owner owner = {});
  explicit RamSuperblock(std::uint64_t limit) : limit_(limit) {}

  Ref<Inode> root() override;
  std::string_view type_name() const override { return "tmpfs"; }
  Result<FsStatistics> statistics() override;
  // Lets the tree go; the superblock must not be used for anything new.
  void on_unmounted() override;

  // Counts content. ENOSPC.
  Result<> reserve(std::uint64_t bytes);
  // Whether so much could be reserved now, if nothing of it is there yet.
  bool has_room(std::uint64_t bytes) const { return bytes <= limit_; }
  void give_back(std::uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::uint64_t next_ino() { return next_ino_.fetch_add(1, std::memory_order_relaxed); }
  void count_inode(bool made) { made ? inodes_.fetch_add(1, std::memory_order_relaxed) : inodes_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  const std::uint64_t limit_;
  std::atomic<std::uint64_t> used_{0}, inodes_{0}, next_ino_{2};
  RefPtr<RamDirectory> root_;  // set once; taken away by on_unmounted
};

// What all kinds have in common; FIFOs, sockets and devices are nothing more.
class RamInode : public Inode {
 public:
  RamInode(Ref<RamSuperblock> superblock, Mode mode, Owner owner, std::uint64_t rdev);
  ~RamInode() override;

  Result<> change_attributes(const AttributeChange& change) override;
  void touch(bool access, bool modify) override;
  Result<std::size_t> get_xattr(std::string_view name, std::span<std::byte> into) override;
  Result<> set_xattr(std::string_view name, std::span<const std::byte> value, bool must_create, bool must_replace) override;
  Result<> remove_xattr(std::string_view name) override;
  Result<std::size_t> list_xattrs(std::span<char> into) override;

  RamSuperblock& ram() const { return ram_; }
  using Inode::add_link;
  using Inode::drop_link;
  using Inode::set_links;
  void note_change() { ctime_.store(current_file_time(), std::memory_order_relaxed); }

 private:
  struct Xattr {
    String name;
    Vec<std::byte> value;
  };
  static constexpr std::size_t kMostXattrBytes = 128 * 1024;  // names and values of one inode

  RamSuperblock& ram_;  // kept alive by superblock()
  Mutex<LockRank::inode> xattr_lock_;
  Vec<Xattr> xattrs_ GUARDED_BY(xattr_lock_);
  std::size_t xattr_bytes_ GUARDED_BY(xattr_lock_) = 0;
};

class RamFile final : public RamInode {
 public:
  RamFile(Ref<RamSuperblock> superblock, Mode mode, Owner owner) : RamInode(superblock, mode, owner, 0) {}
  ~RamFile() override;

  Result<std::size_t> read_at(std::uint64_t offset, IoSink& sink) override;
  Result<std::size_t> write_at(std::uint64_t offset, IoSource& source) override;
  Result<std::size_t> append(IoSource& source, std::uint64_t& end) override;
  Result<> truncate(std::uint64_t size) override;
  Result<> allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) override;
  Result<std::uint64_t> seek_data(std::uint64_t offset, bool hole) override;
  Result<> read_page(std::uint64_t index, PageView into) override;
  Result<> write_page(std::uint64_t index, ConstPageView from) override;
  Result<std::uint32_t> seals(bool add, std::uint32_t which) override;
  Result<> change_attributes(const AttributeChange& change) override;
  // Before it is shown to anybody: seals may be added to `first` (memfd_create with MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL).
  void allow_seals(std::uint32_t first) { seals_.store(first, std::memory_order_relaxed); }

 private:
  static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;
  // The page, made (zeroed and accounted) if it is a hole.
  Result<Ref<CachedPage>> page_for_writing(std::uint64_t index);
  Result<std::size_t> write_alone(std::uint64_t offset, IoSource& source);  // under change_lock_
  Result<std::size_t> write_part(std::uint64_t offset, IoSource& source);
  Result<> zero_range(std::uint64_t begin, std::uint64_t end);
  Result<> fill_holes(std::uint64_t begin, std::uint64_t end);
  void drop_pages(std::uint64_t first, std::uint64_t last);
  void raise_size(std::uint64_t size);
  void note_write();
  bool sealed(std::uint32_t which) const { return (seals_.load(std::memory_order_acquire) & which) != 0; }

  static constexpr std::uint32_t kSealsOnly = 1;     // F_SEAL_SEAL: no further seals
  std::atomic<std::uint32_t> seals_{kSealsOnly};
  PageMap pages_;
  // One write, truncation or allocation at a time, as Linux's inode lock has it; held across user copies, see PositionLock.
  PositionLock change_lock_;
};

class RamDirectory final : public RamInode {
 public:
  RamDirectory(Ref<RamSuperblock> superblock, Mode mode, Owner owner) : RamInode(superblock, mode, owner, 0) { set_links(2); }

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

  bool is_empty() const { return index_.empty(); }
  // Lets all entries go. Gives the next directory to take apart: a subdirectory, or what this one was chained to.
  RefPtr<RamDirectory> take_apart();

 private:
  struct Entry {
    Entry(String text, Ref<RamInode> file, std::uint64_t number) : name(std::move(text)), inode(file), cookie(number) {}
    const String name;
    Ref<RamInode> inode;
    const std::uint64_t cookie;  // where readdir finds it
  };
  // An entry by its name, for the index.
  struct NameKey {
    const Entry* entry;
    std::uint64_t hash() const { return hash_text(entry->name); }
    friend bool operator==(const NameKey& a, std::string_view b) { return a.entry->name.view() == b; }
    friend bool operator==(const NameKey& a, const NameKey& b) { return a.entry == b.entry || a.entry->name.view() == b.entry->name.view(); }
  };

  Entry* find(std::string_view name);
  Result<> add(std::string_view name, Ref<RamInode> inode);
  void drop(Entry& entry);
  void compact();
  std::size_t position(std::uint64_t cookie) const;
  void changed();

  HashMap<NameKey, std::uint64_t> index_;  // name -> cookie
  Vec<Own<Entry>> order_;                  // by rising cookie; null: removed
  Vec<std::uint64_t> cookies_;             // of order_, also of removed ones
  std::uint64_t next_cookie_ = 2;
  RefPtr<RamDirectory> next_doomed_;  // take_apart()
};

// A file that has no name and never had one (memfd_create(2)). ENOMEM.
Result<Ref<RamFile>> make_unnamed_ram_file(Owner owner);

class RamSymlink final : public RamInode {
 public:
  RamSymlink(Ref<RamSuperblock> superblock, String target, Mode mode, Owner owner);
  Result<std::size_t> read_link(std::span<char> into) override;

 private:
  const String target_;
};

}  // namespace kernel
#endif  // KERNEL_FS_RAM_RAM_FS_H
