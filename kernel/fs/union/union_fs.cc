#include "kernel/fs/union/union_fs.h"

#include "abi/fs.h"

namespace kernel {

namespace {
constexpr std::string_view kRootName = "root", kCopiesName = "copies";
}  // namespace

Result<Ref<UnionSuperblock>> UnionSuperblock::create(Ref<Superblock> lower, Ref<Superblock> upper) {
  Ref<UnionSuperblock> made = TRY(make_ref<UnionSuperblock>(lower, upper));
  TRY(made->start());
  return made;
}

Result<> UnionSuperblock::start() {
  const Ref<Inode> lower_root = lower_->root();
  const Ref<Inode> top = upper_->root();
  const Attributes attributes = lower_root->attributes();
  const Owner owner{.uid = attributes.uid, .gid = attributes.gid};
  const LockGuard directory(top->directory_mutex());
  const auto find_or_make = [&](std::string_view name, Mode mode) -> Result<Ref<Inode>> {
    Result<Ref<Inode>> there = top->lookup(name);
    if (there.ok() || there.error() != Errno::noent) return there;
    return top->make_directory(name, mode_of(FileType::directory) | (mode & kModePermMask), owner);
  };
  upper_top_ = TRY(find_or_make(kRootName, attributes.mode));
  copies_ = TRY(find_or_make(kCopiesName, 0700));
  const LockGuard guard(state_lock_);
  TRY(persistent_.try_insert(lower_root->ino(), Persistent{.upper = upper_top_, .link_delta = 0}));
  TRY(origin_.try_insert(upper_top_->ino(), lower_root->ino()));
  root_ = TRY(publish_locked(lower_root->ino(), lower_root, upper_top_));
  return {};
}

Ref<Inode> UnionSuperblock::root() { return Ref<Inode>(root_.as_ref()); }

void UnionSuperblock::on_unmounted() {
  root_ = nullptr;
  upper_top_ = nullptr;
  copies_ = nullptr;
  upper_->on_unmounted();
  lower_->on_unmounted();
}

Result<FsStatistics> UnionSuperblock::statistics() {
  FsStatistics result = TRY(upper_->statistics());
  result.type = abi::kMagicOverlay;
  result.fsid = device();
  return result;
}

// A live inode with the number, if there is one that is not dying.
UnionInode* UnionSuperblock::live_locked(std::uint64_t number) {
  UnionInode** there = live_.find(number);
  return there != nullptr && (*there)->try_ref() ? *there : nullptr;
}

Result<Ref<UnionInode>> UnionSuperblock::publish_locked(std::uint64_t number, RefPtr<Inode> lower, RefPtr<Inode> upper) {
  // Room first: an inode that dies here would want the lock that is held.
  TRY(live_.try_reserve(live_.size() + 1));
  const Ref<UnionInode> fresh = TRY(make_ref<UnionInode>(Ref<UnionSuperblock>(*this), number, std::move(lower), std::move(upper)));
  // A dying one with the number may still be listed; forget() leaves its successor alone.
  TRY(live_.try_set(number, fresh.get()));
  return fresh;
}

Result<Ref<UnionInode>> UnionSuperblock::from_lower(const Ref<Inode>& lower) {
  const std::uint64_t number = lower->ino();
  const LockGuard guard(state_lock_);
  if (UnionInode* there = live_locked(number)) return Ref<UnionInode>::adopt(*there);
  const Persistent* kept = persistent_.find(number);
  Ref<UnionInode> fresh = TRY(publish_locked(number, lower, kept != nullptr ? kept->upper : nullptr));
  if (kept != nullptr) fresh->link_delta_.store(kept->link_delta, std::memory_order_relaxed);
  return fresh;
}

Result<Ref<UnionInode>> UnionSuperblock::from_upper(const Ref<Inode>& upper) {
  RefPtr<Inode> lower;
  std::uint64_t number = kUpperNumbers + upper->ino();
  {
    const LockGuard guard(state_lock_);
    if (const std::uint64_t* origin = origin_.find(upper->ino())) number = *origin;
    if (UnionInode* there = live_locked(number)) return Ref<UnionInode>::adopt(*there);
    if (number >= kUpperNumbers) return publish_locked(number, nullptr, upper);
  }
  // A copy: its lower half has to be found again.
  lower = TRY(lower_->inode_by_number(number));
  return from_lower(lower.as_ref());
}

std::uint64_t UnionSuperblock::number_of_upper(std::uint64_t upper_ino) {
  const LockGuard guard(state_lock_);
  const std::uint64_t* origin = origin_.find(upper_ino);
  return origin != nullptr ? *origin : kUpperNumbers + upper_ino;
}

void UnionSuperblock::forget(UnionInode& inode) {
  RefPtr<Inode> gone;  // dropped after the lock
  const LockGuard guard(state_lock_);
  if (UnionInode** there = live_.find(inode.ino()); there != nullptr && *there == &inode) live_.erase(inode.ino());
  if (!inode.lower_) return;
  Persistent* kept = persistent_.find(inode.ino());
  if (kept == nullptr || inode.lower_->is_directory()) return;
  if (static_cast<std::int64_t>(inode.lower_->link_count()) + kept->link_delta > 0) return;
  // No name leads to it any more.
  if (kept->upper) origin_.erase(kept->upper->ino());
  gone = std::move(kept->upper);
  persistent_.erase(inode.ino());
}

}  // namespace kernel
