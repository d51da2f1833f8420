#include "kernel/vfs/mount.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/host/config.h"
#include "kernel/host/log.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/special_file.h"

namespace kernel {

namespace {

struct CharacterDevice {
  std::uint32_t major;
  SpecialOpen open;
};

struct MountTable {
  Mutex<LockRank::mount> lock;
  Vec<Ref<Mount>> mounts GUARDED_BY(lock);
  // Set at boot, read-only afterwards.
  Vec<FileSystemType> types;
  Vec<CharacterDevice> devices;
  SpecialOpen fifo = nullptr;
  RefPtr<Dentry> root;
};
constinit MountTable table;  // NOLINT: the mount table

const FileSystemType* find_type(std::string_view name) {
  for (const FileSystemType& type : table.types)
    if (type.name == name) return &type;
  return nullptr;
}

bool is_mounted_locked(const Superblock& superblock) REQUIRES(table.lock) {
  for (const Ref<Mount>& mount : table.mounts)
    if (&mount->superblock() == &superblock) return true;
  return false;
}

}  // namespace

Result<> Mount::set_source(std::string_view source) {
  TRY(source_.try_resize(source.size()));
  std::copy(source.begin(), source.end(), source_.begin());
  return {};
}

Result<> register_file_system(FileSystemType type) { return table.types.try_push(type); }
Result<> register_character_device(std::uint32_t major, SpecialOpen open) { return table.devices.try_push({.major = major, .open = open}); }
void register_fifo(SpecialOpen open) { table.fifo = open; }

Result<Ref<OpenFile>> open_special(Dentry& where, Inode& inode, std::uint32_t flags) {
  if (inode.type() == FileType::fifo) {
    if (table.fifo == nullptr) return Errno::nxio;
    return table.fifo(where, inode, flags);
  }
  if ((mount_flags(where) & kMountNoDev) != 0) return Errno::acces;
  if (inode.type() != FileType::character) return Errno::nxio;
  const std::uint32_t major = abi::device_major(inode.attributes().rdev);
  for (const CharacterDevice& device : table.devices)
    if (device.major == major) return device.open(where, inode, flags);
  return Errno::nxio;
}

Result<Ref<Superblock>> make_file_system(std::string_view type_name, std::string_view source, std::string_view options) {
  const FileSystemType* type = find_type(type_name);
  if (type == nullptr) return Errno::nodev;
  return type->make(source, options);
}

Result<> mount_at(Dentry& directory, Ref<Superblock> superblock, std::uint32_t flags, std::string_view source) {
  if (!directory.existing_inode().is_directory()) return Errno::notdir;
  const Ref<Inode> root_inode = superblock->root();
  const Ref<Dentry> root = TRY(make_root_dentry(root_inode));
  RefPtr<Mount> mount;  // dropped after the locks
  const LockGuard guard(table.lock);
  for (const Ref<Mount>& other : table.mounts)
    if (&other->superblock() == superblock.get()) return Errno::busy;
  DentryCache& cache = DentryCache::instance();
  Ref<Dentry> place(directory);
  while (const RefPtr<Mount> over = cache.mount_over(*place)) place = over->root();
  if (!is_mounted_locked(place->superblock())) return Errno::noent;
  TRY(table.mounts.try_reserve(table.mounts.size() + 1));
  mount = TRY(make_ref<Mount>(superblock, root, RefPtr<Dentry>(place), flags));
  TRY(mount->set_source(source));
  // With its mutex held nobody removes the directory: rmdir(2) and rename(2) take it before they ask whether something is mounted there.
  const LockGuard place_guard(place->existing_inode().directory_mutex());
  TRY(cache.cover(*place, *mount, *root));
  TRY(table.mounts.try_push(mount.as_ref()));
  return {};
}

namespace {

// The mounts that go with one: those below it, in whatever order.
Result<Vec<Ref<Mount>>> mounts_from_locked(const Ref<Mount>& top) REQUIRES(table.lock) {
  Vec<Ref<Mount>> going;
  TRY(going.try_reserve(table.mounts.size()));
  TRY(going.try_push(top));
  for (std::size_t i = 0; i < going.size(); ++i)
    for (const Ref<Mount>& other : table.mounts)
      if (other->mountpoint() && &other->mountpoint()->superblock() == &going[i]->superblock()) TRY(going.try_push(other));
  return going;
}

void erase_locked(const Mount& mount) REQUIRES(table.lock) {
  std::size_t at = 0;
  while (table.mounts[at].get() != &mount) ++at;
  table.mounts.erase(at);
}

}  // namespace

Result<> unmount(Dentry& root, bool detach) {
  Vec<Ref<Mount>> going;  // dropped after the lock: who is last finishes the file system
  const LockGuard guard(table.lock);
  std::size_t at = 0;
  while (at < table.mounts.size() && table.mounts[at]->root().get() != &root) ++at;
  if (at == table.mounts.size()) return Errno::inval;
  if (!table.mounts[at]->mountpoint()) return Errno::busy;  // the root of everything
  going = TRY(mounts_from_locked(table.mounts[at]));
  if (!detach && going.size() > 1) return Errno::busy;
  DentryCache& cache = DentryCache::instance();
  const Result<> synced = root.superblock().sync();
  for (const Ref<Mount>& mount : going) {
    cache.prune(mount->superblock());
    // References left: the mount's own and the caller's. Open files, working directories and what else is in use hold more.
    const std::uint32_t most_users = detach ? ~std::uint32_t{0} : 2;
    if (!cache.uncover(*mount->mountpoint(), *mount->root(), most_users)) return Errno::busy;
    erase_locked(*mount);
  }
  return synced;
}

void finish_unmount(Superblock& superblock) {
  notify_unmounted(superblock);
  (void)superblock.sync().ok();  // umount2(2) has returned
  superblock.on_unmounted();
}

Result<Vec<Ref<Mount>>> list_mounts() {
  Vec<Ref<Mount>> copy;
  const LockGuard guard(table.lock);
  TRY(copy.try_reserve(table.mounts.size()));
  for (const Ref<Mount>& mount : table.mounts) TRY(copy.try_push(mount));
  return copy;
}

RefPtr<Mount> mount_of(const Superblock& superblock) {
  const LockGuard guard(table.lock);
  for (const Ref<Mount>& mount : table.mounts)
    if (&mount->superblock() == &superblock) return mount;
  return nullptr;
}

std::uint32_t mount_flags(const Dentry& dentry) { return dentry.superblock().mount_flags(); }

bool is_mount_root(const Dentry& dentry) {
  const LockGuard guard(DentryCache::instance().lock());
  return DentryCache::fs_root_locked(dentry) == &dentry;
}

Result<> check_writable(const Dentry& dentry) {
  const Superblock& superblock = dentry.superblock();
  if (superblock.is_read_only() || (superblock.mount_flags() & kMountReadOnly) != 0) return Errno::rofs;
  return {};
}

Ref<Dentry> root_dentry() { return table.root.as_ref(); }

Result<> install_root(Ref<Superblock> superblock, std::uint32_t flags) {
  const Ref<Dentry> root = TRY(make_root_dentry(superblock->root()));
  const Ref<Mount> mount = TRY(make_ref<Mount>(superblock, root, RefPtr<Dentry>(), flags));
  const LockGuard guard(table.lock);
  TRY(table.mounts.try_push(mount));
  DentryCache::instance().set_root(*root);
  table.root = root;
  return {};
}

}  // namespace kernel
