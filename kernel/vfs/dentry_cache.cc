#include "kernel/vfs/dentry_cache.h"

#include <algorithm>

#include "kernel/base/string.h"
#include "kernel/vfs/mount.h"

namespace kernel {

namespace {
// NOLINTNEXTLINE: the one object of this folder; made at boot, never destroyed.
constinit Own<DentryCache> the_cache;
constexpr std::size_t kEvictBatch = 8;
}  // namespace

Dentry::Dentry(RefPtr<Dentry> parent, RefPtr<Inode> inode, Ref<Superblock> superblock, std::uint32_t hash)
    : parent_(std::move(parent)), inode_(std::move(inode)), superblock_(superblock), hash_(hash) {}

// A chain of removed directories may be as deep as a path is long: parents that die with this one are taken apart in a loop.
Dentry::~Dentry() {
  const bool was_abandoned = abandoned_;
  if (was_abandoned) {
    DentryCache& cache = DentryCache::instance();
    const LockGuard guard(cache.lock());
    cache.forget_abandoned_locked(*this);
  }
  RefPtr<Dentry> up = std::move(parent_);
  if (was_abandoned && !up) finish_unmount(*superblock_);
  while (up && up->is_unique()) {
    RefPtr<Dentry> next;
    if (!up->give_up_parent(next)) break;
    up = std::move(next);
  }
}

bool Dentry::give_up_parent(RefPtr<Dentry>& parent) {
  if (!abandoned_) {
    parent = std::move(parent_);
    return true;
  }
  DentryCache& cache = DentryCache::instance();
  const LockGuard guard(cache.lock());
  if (!is_unique() || !parent_) return false;
  cache.forget_abandoned_locked(*this);
  parent = std::move(parent_);
  return true;
}

RefPtr<Inode> Dentry::inode() const {
  const LockGuard guard(DentryCache::instance().lock());
  return inode_;
}

RefPtr<Dentry> Dentry::parent() const {
  const LockGuard guard(DentryCache::instance().lock());
  return parent_;
}

bool Dentry::is_deleted() const {
  const LockGuard guard(DentryCache::instance().lock());
  return deleted_;
}

DentryCache::~DentryCache() {
  for (;;) {
    RefPtr<Dentry> victim;
    const LockGuard guard(lock_);
    Dentry* dentry = lru_.front();
    if (dentry == nullptr) return;
    victim = unhash_locked(*dentry);
  }
}

DentryCache& DentryCache::instance() { return *the_cache; }

Result<> DentryCache::init() {
  if (the_cache) return {};
  Own<DentryCache> cache = TRY(make_own<DentryCache>());
  Vec<RefPtr<Dentry>> buckets;
  TRY(buckets.try_resize(kBuckets));
  {
    const LockGuard guard(cache->lock_);
    cache->buckets_ = std::move(buckets);
  }
  the_cache = std::move(cache);
  return {};
}

std::uint32_t DentryCache::hash_start(const Dentry& parent) {
  const auto address = __builtin_bit_cast(std::uint64_t, &parent);
  return static_cast<std::uint32_t>((address >> 4) * kHashFactor >> 32);
}

std::uint32_t DentryCache::hash_name(const Dentry& parent, std::string_view name) {
  std::uint64_t hash = hash_start(parent);
  std::uint64_t word = 0;
  unsigned held = 0;
  for (const char c : name) {
    word = (word << 8) | static_cast<std::uint8_t>(c);
    if (++held == 8) {
      hash = (hash ^ word) * kHashFactor;
      hash ^= hash >> 32;
      word = 0;
      held = 0;
    }
  }
  hash = (hash ^ word ^ (std::uint64_t{name.size()} << 56)) * kHashFactor;
  return static_cast<std::uint32_t>(hash >> 32);
}

std::string_view DentryCache::name_of(const Dentry& dentry) {
  if (dentry.name_size_ <= Dentry::kInlineName) return std::string_view(dentry.inline_name_.data(), dentry.name_size_);
  return std::string_view(dentry.long_name_.begin(), dentry.long_name_.size());
}

Result<> DentryCache::set_name(Dentry& dentry, std::string_view name) {
  Vec<char> long_name;
  if (name.size() > Dentry::kInlineName) TRY(long_name.try_resize(name.size()));
  store_name(dentry, name, std::move(long_name));
  return {};
}

// `long_name` has the right size if the name is a long one.
void DentryCache::store_name(Dentry& dentry, std::string_view name, Vec<char> long_name) {
  KASSERT(name.size() <= kNameMax);
  dentry.name_size_ = static_cast<std::uint8_t>(name.size());
  if (name.size() <= Dentry::kInlineName) {
    std::copy(name.begin(), name.end(), dentry.inline_name_.begin());
    return;
  }
  KASSERT(long_name.size() == name.size());
  std::copy(name.begin(), name.end(), long_name.begin());
  dentry.long_name_ = std::move(long_name);
}

Dentry* DentryCache::find_locked(const Dentry& parent, std::uint32_t hash, std::string_view name) {
  for (Dentry* dentry = buckets_[hash % kBuckets].get(); dentry != nullptr; dentry = dentry->hash_next_.get()) {
    if (dentry->hash_ != hash || dentry->parent_.get() != &parent) continue;
    if (name_of(*dentry) != name) continue;
    dentry->referenced_ = true;
    return dentry;
  }
  return nullptr;
}

Dentry* DentryCache::covering_locked(Dentry* directory) {
  while (directory->mounted_) directory = directory->mounted_->root().get();
  return directory;
}

Dentry* DentryCache::covered_locked(const Dentry* root) {
  if (root->superblock_->root_dentry_ != root) return nullptr;
  return root->superblock_->mountpoint_;
}

Dentry* DentryCache::fs_root_locked(const Dentry& dentry) { return dentry.superblock_->root_dentry_; }

void DentryCache::insert_locked(Dentry& dentry) {
  RefPtr<Dentry>& bucket = buckets_[dentry.hash_ % kBuckets];
  dentry.hash_next_ = std::move(bucket);
  bucket = RefPtr<Dentry>(&dentry);
  dentry.hashed_ = true;
  lru_.push_back(dentry);
  add_to_count(1);
}

RefPtr<Dentry> DentryCache::unhash_locked(Dentry& dentry) {
  if (!dentry.hashed_) return nullptr;
  RefPtr<Dentry>* link = &buckets_[dentry.hash_ % kBuckets];
  while (link->get() != &dentry) link = &(*link)->hash_next_;
  RefPtr<Dentry> self = std::move(*link);
  *link = std::move(self->hash_next_);
  dentry.hashed_ = false;
  dentry.unlink();
  add_to_count(~std::size_t{0});
  return self;
}

std::size_t DentryCache::evict_locked(std::span<RefPtr<Dentry>> into) {
  std::size_t taken = 0;
  for (std::size_t looked = 0; looked < into.size() * 4 && taken < into.size(); ++looked) {
    Dentry* dentry = lru_.front();
    if (dentry == nullptr) break;
    if (in_use(*dentry) || dentry->referenced_) {
      dentry->referenced_ = false;
      dentry->unlink();
      lru_.push_back(*dentry);
      continue;
    }
    into[taken++] = unhash_locked(*dentry);
  }
  return taken;
}

void DentryCache::trim(std::size_t count) {
  if (size() <= count) return;
  std::array<RefPtr<Dentry>, kEvictBatch> victims;  // dropped without the lock: inodes die with them
  const LockGuard guard(lock_);
  evict_locked(victims);
}

void DentryCache::shrink(std::size_t count) {
  for (std::size_t round = 0; round < kMostDentries && size() > count; ++round) {
    const std::size_t before = size();
    trim(count);
    if (size() == before && round > count / kEvictBatch) break;
  }
}

Result<Ref<Dentry>> DentryCache::child(Dentry& directory, std::string_view name) {
  const bool caches = directory.superblock_->caches_names();
  const std::uint32_t hash = hash_name(directory, name);
  {
    const LockGuard guard(lock_);
    if (directory.deleted_) return Errno::noent;
    if (caches) {
      if (const RefPtr<Dentry> found(find_locked(directory, hash, name)); found) return found.as_ref();
      if (directory.superblock_->root_dentry_ == nullptr)
        if (RefPtr<Dentry> found = find_abandoned_locked(directory, hash, name)) return found.as_ref();
    }
  }
  Result<Ref<Inode>> inode = directory.existing_inode().lookup(name);
  RefPtr<Inode> file;
  if (inode.ok())
    file = std::move(inode).release();
  else if (inode.error() != Errno::noent)
    return inode.error();
  Ref<Dentry> fresh = TRY(make_ref<Dentry>(RefPtr<Dentry>(&directory), std::move(file), directory.superblock_, hash));
  TRY(set_name(*fresh, name));
  if (!caches) return fresh;
  {
    const LockGuard guard(lock_);
    if (directory.superblock_->root_dentry_ == nullptr)
      abandon_locked(*fresh);
    else
      insert_locked(*fresh);
  }
  trim(kMostDentries);
  return fresh;
}

Result<Ref<Dentry>> DentryCache::unnamed_child(Dentry& directory, Ref<Inode> inode) {
  FixedString<24> name;
  name.append_clipped("#").append_clipped(Digits(inode->ino()).view());
  Ref<Dentry> made = TRY(make_ref<Dentry>(RefPtr<Dentry>(&directory), RefPtr<Inode>(inode), directory.superblock_, 0U));
  TRY(set_name(*made, name.view()));
  made->deleted_ = true;
  return made;
}

void DentryCache::instantiate(Dentry& negative, Ref<Inode> inode) {
  const LockGuard guard(lock_);
  KASSERT(!negative.inode_);
  negative.inode_ = inode;
}

void DentryCache::remove(Dentry& dentry) {
  RefPtr<Dentry> self;  // dropped after the lock
  const LockGuard guard(lock_);
  dentry.deleted_ = true;
  self = unhash_locked(dentry);
}

void DentryCache::move(Dentry& moved, Dentry& directory, std::string_view name, Vec<char> long_name) {
  const std::uint32_t hash = hash_name(directory, name);
  RefPtr<Dentry> self, stale, old_parent(&directory);
  const LockGuard guard(lock_);
  // A negative dentry may hold the new name.
  if (Dentry* there = find_locked(directory, hash, name)) {
    stale = unhash_locked(*there);
  } else if (moved.abandoned_) {
    stale = find_abandoned_locked(directory, hash, name);
    if (stale) forget_abandoned_locked(*stale);
  }
  self = unhash_locked(moved);
  moved.hash_ = hash;
  store_name(moved, name, std::move(long_name));
  std::swap(moved.parent_, old_parent);
  if (self) insert_locked(moved);
}

void DentryCache::exchange(Dentry& a, Dentry& b, Vec<char> long_a, Vec<char> long_b) {
  RefPtr<Dentry> self_a, self_b;
  std::array<char, kNameMax> name_a{};
  const LockGuard guard(lock_);
  self_a = unhash_locked(a);
  self_b = unhash_locked(b);
  const std::string_view old_a = name_of(a);
  std::copy(old_a.begin(), old_a.end(), name_a.begin());
  const std::string_view kept_a(name_a.data(), old_a.size());
  store_name(a, name_of(b), std::move(long_a));
  store_name(b, kept_a, std::move(long_b));
  std::swap(a.parent_, b.parent_);
  a.hash_ = hash_name(*a.parent_, name_of(a));
  b.hash_ = hash_name(*b.parent_, name_of(b));
  if (self_a) insert_locked(a);
  if (self_b) insert_locked(b);
}

void DentryCache::prune(Superblock& superblock) {
  for (;;) {
    std::array<RefPtr<Dentry>, kEvictBatch> victims;
    std::size_t taken = 0;
    {
      const LockGuard guard(lock_);
      for (Dentry* dentry = lru_.front(); dentry != nullptr && taken < victims.size();) {
        Dentry* next = lru_.next(*dentry);
        if (dentry->superblock_.get() == &superblock && !in_use(*dentry)) victims[taken++] = unhash_locked(*dentry);
        dentry = next;
      }
    }
    if (taken == 0) return;
  }
}

RefPtr<Dentry> DentryCache::find_abandoned_locked(const Dentry& parent, std::uint32_t hash, std::string_view name) {
  for (Dentry* dentry = abandoned_.front(); dentry != nullptr; dentry = abandoned_.next(*dentry)) {
    if (dentry->parent_.get() != &parent || dentry->hash_ != hash || dentry->deleted_ || name_of(*dentry) != name) continue;
    if (!dentry->try_ref()) continue;  // it is about to leave
    RefPtr<Dentry> found(dentry);
    dentry->deref();  // not the last: `found` has one
    return found;
  }
  return nullptr;
}

void DentryCache::abandon_locked(Dentry& dentry) {
  abandoned_.push_back(dentry);
  dentry.abandoned_ = true;
}

void DentryCache::forget_abandoned_locked(Dentry& dentry) {
  dentry.unlink();
  dentry.abandoned_ = false;
}

Result<> DentryCache::cover(Dentry& directory, Mount& mount, Dentry& root) {
  const LockGuard guard(lock_);
  if (directory.deleted_) return Errno::noent;
  directory.mounted_ = RefPtr<Mount>(&mount);
  root.superblock_->root_dentry_ = &root;
  root.superblock_->mountpoint_ = &directory;
  return {};
}

void DentryCache::set_root(Dentry& root) {
  const LockGuard guard(lock_);
  root.superblock_->root_dentry_ = &root;
}

bool DentryCache::uncover(Dentry& directory, Dentry& root, std::uint32_t most_users) {
  RefPtr<Mount> mount;        // dropped after the lock
  RefPtr<Dentry> let_go;  // what the cache held, a chain
  {
    const LockGuard guard(lock_);
    if (root.ref_count() > most_users) return false;
    std::swap(mount, directory.mounted_);
    root.superblock_->root_dentry_ = nullptr;
    root.superblock_->mountpoint_ = nullptr;
    abandon_locked(root);
    for (RefPtr<Dentry> dentry(lru_.front()); dentry;) {
      RefPtr<Dentry> next(lru_.next(*dentry));
      if (dentry->superblock_.get() == root.superblock_.get()) {
        RefPtr<Dentry> self = unhash_locked(*dentry);
        abandon_locked(*dentry);
        dentry->hash_next_ = std::move(let_go);
        let_go = std::move(self);
      }
      dentry = std::move(next);
    }
  }
  while (let_go) {
    RefPtr<Dentry> next = std::move(let_go->hash_next_);
    let_go = std::move(next);
  }
  return true;
}

RefPtr<Mount> DentryCache::mount_over(const Dentry& directory) {
  const LockGuard guard(lock_);
  return directory.mounted_;
}

Result<Ref<Dentry>> make_root_dentry(Ref<Inode> inode) {
  return make_ref<Dentry>(RefPtr<Dentry>(), RefPtr<Inode>(inode), Ref<Superblock>(inode->superblock()), 0U);
}

Result<PathText> path_text(const Dentry& dentry, const Dentry* root, std::span<char> into) {
  const LockGuard guard(DentryCache::instance().lock());
  std::size_t start = into.size();
  PathText result{.text = {}, .reachable = true, .deleted = dentry.deleted_};
  const Dentry* at = &dentry;
  while (at != root) {
    if (!at->parent_) {
      const Dentry* below = DentryCache::covered_locked(at);
      if (below == nullptr) {
        result.reachable = root == nullptr && at->superblock_->root_dentry_ == at;
        break;
      }
      at = below;
      continue;
    }
    const std::string_view name = DentryCache::name_of(*at);
    if (name.size() + 1 > start) return Errno::nametoolong;
    start -= name.size() + 1;
    into[start] = '/';
    std::copy(name.begin(), name.end(), into.subspan(start + 1, name.size()).begin());
    at = at->parent_.get();
  }
  if (start == into.size()) {
    if (start == 0) return Errno::nametoolong;
    into[--start] = '/';
  }
  const std::span<char> used = into.subspan(start);
  result.text = std::string_view(used.data(), used.size());
  return result;
}

}  // namespace kernel
