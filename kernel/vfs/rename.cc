// rename(2) and renameat2(2).
#include <utility>

#include "abi/fs.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/names.h"

namespace kernel {

namespace {

// One rename that concerns two directories at a time: the tree above both stands still meanwhile.
struct RenameState {
  Mutex<LockRank::mount> lock;
};
constinit RenameState rename_state;  // NOLINT: one for the whole tree

bool is_ancestor(const Dentry& above, const Dentry& below) {
  if (&below == &above) return true;
  RefPtr<Dentry> at = below.parent();
  while (at) {
    if (at.get() == &above) return true;
    at = at->parent();
  }
  return false;
}

// Both directories' mutexes, once if they are the same: the upper one first if one lies above the other (as rmdir takes them), else by
// address.
class TwoDirectories {
 public:
  // SAFETY: (analysis) taken and released in pairs by this object; which one comes first is found out at run time.
  TwoDirectories(const Dentry& a, const Dentry& b) NO_THREAD_SAFETY_ANALYSIS : first_(a_first(a, b) ? a.existing_inode() : b.existing_inode()),
                                                                              second_(a_first(a, b) ? b.existing_inode() : a.existing_inode()) {
    first_.directory_mutex().lock();
    if (&first_ != &second_) second_.directory_mutex().lock();
  }
  // SAFETY: (analysis) see the constructor.
  ~TwoDirectories() NO_THREAD_SAFETY_ANALYSIS {
    if (&first_ != &second_) second_.directory_mutex().unlock();
    first_.directory_mutex().unlock();
  }
  TwoDirectories(const TwoDirectories&) = delete;
  TwoDirectories& operator=(const TwoDirectories&) = delete;

 private:
  static bool a_first(const Dentry& a, const Dentry& b) {
    if (is_ancestor(a, b)) return true;
    if (is_ancestor(b, a)) return false;
    return &a < &b;
  }
  Inode& first_;
  Inode& second_;
};

Result<> may_take(const Identity& who, const Dentry& directory, const Inode& victim) {
  const Inode& parent = directory.existing_inode();
  TRY(check_permission(who, parent, kMayWrite | kMayExec));
  if ((parent.mode() & kModeSticky) != 0 && who.uid != victim.uid() && who.uid != parent.uid() && !has_capability(who, kCapFowner))
    return Errno::perm;
  return {};
}

struct Sides {
  Dentry& from_directory;
  Dentry& to_directory;
  Dentry& moved;
  Dentry& target;  // negative, or what is replaced or exchanged
  std::string_view name, to_name;
  bool name_slash, to_slash;
};

Result<> check_sides(const NameContext& context, const Sides& sides, std::uint32_t flags) {
  const Inode& moved = sides.moved.existing_inode();
  const RefPtr<Inode> target = sides.target.inode();
  const bool exchange = (flags & abi::kRenameExchange) != 0;
  if (target && (flags & abi::kRenameNoReplace) != 0) return Errno::exist;
  if (!target && exchange) return Errno::noent;
  if (!moved.is_directory() && (sides.name_slash || (!exchange && sides.to_slash))) return Errno::notdir;
  if (exchange && sides.to_slash && !target->is_directory()) return Errno::notdir;
  if (is_ancestor(sides.moved, sides.to_directory)) return Errno::inval;
  if (target && is_ancestor(sides.target, sides.from_directory)) return exchange ? Errno::inval : Errno::notempty;
  TRY(check_writable(sides.from_directory));
  TRY(may_take(context.who, sides.from_directory, moved));
  if (target)
    TRY(may_take(context.who, sides.to_directory, *target));
  else
    TRY(check_permission(context.who, sides.to_directory.existing_inode(), kMayWrite | kMayExec));
  if (target && !exchange) {
    if (moved.is_directory() && !target->is_directory()) return Errno::notdir;
    if (!moved.is_directory() && target->is_directory()) return Errno::isdir;
  }
  // A directory that changes its parent needs its `..` changed.
  if (&sides.from_directory != &sides.to_directory) {
    if (moved.is_directory()) TRY(check_permission(context.who, moved, kMayWrite));
    if (exchange && target->is_directory()) TRY(check_permission(context.who, *target, kMayWrite));
  }
  DentryCache& cache = DentryCache::instance();
  if (cache.mount_over(sides.moved) || cache.mount_over(sides.target)) return Errno::busy;
  return {};
}

Result<Vec<char>> room_for(std::string_view name) {
  Vec<char> room;
  if (name.size() > Dentry::kLongestInlineName) TRY(room.try_resize(name.size()));
  return room;
}

// What watchers are told of one direction of a rename.
void notify_moved(Inode& from, std::string_view name, Inode& to, std::string_view to_name, Inode& moved) {
  if (!notify::is_watched()) return;
  const std::uint32_t cookie = notify::next_cookie();
  const bool directory = moved.is_directory();
  if (&from == &to) notify_entry(from, name, notify::kRenamed, directory);
  notify_entry(from, name, abi::kInMovedFrom, directory, cookie);
  notify_entry(to, to_name, abi::kInMovedTo, directory, cookie);
}

Result<> rename_locked(const NameContext& context, const Sides& sides, std::uint32_t flags) {
  TRY(check_sides(context, sides, flags));
  DentryCache& cache = DentryCache::instance();
  Inode& from = sides.from_directory.existing_inode();
  Inode& to = sides.to_directory.existing_inode();
  Inode& moved = sides.moved.existing_inode();
  const RefPtr<Inode> target = sides.target.inode();
  if (target.get() == &moved) return {};  // one file: nothing happens, whatever the flags
  if ((flags & abi::kRenameWhiteout) != 0) return Errno::inval;  // as file systems that cannot leave one behind
  Vec<char> room = TRY(room_for(sides.to_name));
  if ((flags & abi::kRenameExchange) != 0) {
    Vec<char> other_room = TRY(room_for(sides.name));
    TRY(from.rename(sides.name, moved, to, sides.to_name, target.get(), true));
    cache.exchange(sides.moved, sides.target, std::move(room), std::move(other_room));
    notify_moved(from, sides.name, to, sides.to_name, moved);
    notify_file(nullptr, &moved, abi::kInMoveSelf);
    notify_moved(to, sides.to_name, from, sides.name, *target);
    notify_file(nullptr, target.get(), abi::kInMoveSelf);
    return {};
  }
  TRY(from.rename(sides.name, moved, to, sides.to_name, target.get(), false));
  if (target) cache.remove(sides.target);
  cache.move(sides.moved, sides.to_directory, sides.to_name, std::move(room));
  notify_moved(from, sides.name, to, sides.to_name, moved);
  if (target) notify_unlinked(*target);
  notify_file(nullptr, &moved, abi::kInMoveSelf);
  return {};
}

}  // namespace

Result<> check_rename_flags(std::uint32_t flags) {
  constexpr std::uint32_t kAlone = abi::kRenameNoReplace | abi::kRenameWhiteout;
  if ((flags & ~(kAlone | abi::kRenameExchange)) != 0) return Errno::inval;
  return (flags & abi::kRenameExchange) != 0 && (flags & kAlone) != 0 ? Result<>(Errno::inval) : Result<>();
}

Result<> rename_at(const NameContext& context, const RenameSide& from_side, const RenameSide& to_side, std::uint32_t flags) {
  const PathWalk& from_walk = from_side.walk;
  const PathWalk& to_walk = to_side.walk;
  const Ref<Dentry> from(from_side.parent);
  const Ref<Dentry> to(to_side.parent);
  if (&from->superblock() != &to->superblock()) return Errno::xdev;
  if (from_walk.last_kind() != PathWalk::LastKind::name) return Errno::busy;
  if (to_walk.last_kind() != PathWalk::LastKind::name) return (flags & abi::kRenameNoReplace) != 0 ? Errno::exist : Errno::busy;
  RefPtr<Dentry> moved, target;  // dropped after the locks
  RefPtr<Inode> replaced;
  const LockGuard tree_guard(rename_state.lock);
  const TwoDirectories both(*from, *to);
  moved = TRY(DentryCache::instance().child(*from, from_walk.last()));
  if (!moved->inode()) return Errno::noent;
  target = TRY(DentryCache::instance().child(*to, to_walk.last()));
  replaced = target->inode();
  const Sides sides{.from_directory = *from,
                    .to_directory = *to,
                    .moved = *moved,
                    .target = *target,
                    .name = from_walk.last(),
                    .to_name = to_walk.last(),
                    .name_slash = from_walk.trailing_slash(),
                    .to_slash = to_walk.trailing_slash()};
  // A target that lies above the source is refused in there; taking its mutex after that of a directory below would be the reverse of
  // rmdir's order.
  if (!replaced || !replaced->is_directory() || is_ancestor(*target, *from) || replaced.get() == &to->existing_inode())
    return rename_locked(context, sides, flags);
  // A directory that is replaced must stay empty until it is gone.
  const LockGuard victim_guard(replaced->directory_mutex());
  return rename_locked(context, sides, flags);
}

}  // namespace kernel
