// Path walk. The part that finds every name in the cache runs under one hold of the cache's lock; it stops where the file system must be
// asked or a symbolic link expanded.
#include "kernel/vfs/path.h"

#include <algorithm>

#include "kernel/frame/bytes.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"

namespace kernel {

struct PathWalk::Component {
  std::string_view name;
  std::string_view after;  // what follows, without the slashes
  std::uint32_t hash;
  bool slash;  // a slash follows
};

struct PathWalk::Step {
  enum class Kind : std::uint8_t { done, missing, link, failed };
  Kind kind;
  Errno error{};
  RefPtr<Dentry> at;    // where the walk is; for `done` the result
  RefPtr<Dentry> link;  // the symbolic link met
};

Result<std::string_view> PathBuffer::load(UserPtr<const char> path, bool allow_empty) {
  Result<std::size_t> size = frame::copy_string_from_user(inline_, path.address());
  std::string_view text;
  if (size.ok()) {
    text = std::string_view(inline_.data(), std::move(size).release());
  } else {
    if (size.error() != Errno::nametoolong) return size.error();
    if (!long_) long_ = TRY(make_own<PathPage>());
    const std::size_t length = TRY(frame::copy_string_from_user(long_->bytes, path.address()));
    text = std::string_view(long_->bytes.data(), length);
  }
  if (text.empty() && !allow_empty) return Errno::noent;
  return text;
}

Result<> check_permission(const Identity& who, const Inode& inode, unsigned access) {
  const Mode mode = inode.mode();
  unsigned granted = mode & 7;
  if (who.uid == inode.uid())
    granted = (mode >> 6) & 7;
  else if (who.gid == inode.gid() || std::find(who.groups.begin(), who.groups.end(), inode.gid()) != who.groups.end())
    granted = (mode >> 3) & 7;
  if ((access & ~granted) == 0) return {};
  const bool directory = inode.is_directory();
  if (has_capability(who, kCapDacOverride) && (directory || (access & kMayExec) == 0 || (mode & 0111) != 0)) return {};
  if (has_capability(who, kCapDacReadSearch) && (access == kMayRead || (directory && (access & kMayWrite) == 0))) return {};
  return Errno::acces;
}

// Splits the next component off and hashes it in the same pass (as DentryCache::hash_name does).
PathWalk::Component PathWalk::scan(const Dentry& at, std::string_view rest) const {
  constexpr std::uint64_t kHashFactor = DentryCache::kHashFactor;
  std::uint64_t hash = DentryCache::hash_start(at);
  std::uint64_t word = 0;
  std::size_t size = 0;
  for (const char c : rest) {
    if (c == '/') break;
    word = (word << 8) | static_cast<std::uint8_t>(c);
    if ((++size & 7) == 0) {
      hash = (hash ^ word) * kHashFactor;
      hash ^= hash >> 32;
      word = 0;
    }
  }
  hash = (hash ^ word ^ (std::uint64_t{size} << 56)) * kHashFactor;
  std::string_view after = rest.substr(size);
  const bool slash = !after.empty();
  while (!after.empty() && after.front() == '/') after.remove_prefix(1);
  return {.name = rest.substr(0, size), .after = after, .hash = static_cast<std::uint32_t>(hash >> 32), .slash = slash};
}

void PathWalk::note_last(const Component& component) {
  last_ = component.name;
  last_kind_ = component.name == "." ? LastKind::dot : component.name == ".." ? LastKind::dot_dot : LastKind::name;
  trailing_slash_ = component.slash;
}

Dentry* PathWalk::go_up(Dentry* at, const Dentry* root) {
  while (at != root) {
    if (at->parent_) return DentryCache::covering_locked(at->parent_.get());
    Dentry* below = DentryCache::covered_locked(at);
    if (below == nullptr) return at;
    at = below;
  }
  return at;
}

PathWalk::Step PathWalk::cached_steps(RefPtr<Dentry> start, RefPtr<Dentry> supplied, std::string_view& rest, std::uint32_t flags,
                                      bool stop_at_parent) {
  using Kind = Step::Kind;
  DentryCache& cache = DentryCache::instance();
  const bool may_search_all = has_capability(who_, kCapDacOverride) || has_capability(who_, kCapDacReadSearch);
  bool use_supplied = static_cast<bool>(supplied);
  const LockGuard guard(cache.lock());
  Dentry* at = start.get();
  if (at == nullptr) {
    at = !rest.empty() && rest.front() == '/' ? context_.root_.get() : base_ ? base_.get() : context_.working_directory_.get();
    while (!rest.empty() && rest.front() == '/') rest.remove_prefix(1);
  }
  const auto stop = [&](Kind kind, Dentry* link = nullptr) {
    return Step{.kind = kind, .at = RefPtr<Dentry>(at), .link = RefPtr<Dentry>(link)};
  };
  const auto fail = [](Errno error) { return Step{.kind = Kind::failed, .error = error, .at = nullptr, .link = nullptr}; };
  while (!rest.empty()) {
    const Component component = scan(*at, rest);
    const bool last = component.after.empty();
    Inode* directory = at->inode_.get();
    if (directory == nullptr) return fail(Errno::noent);
    if (!directory->is_directory()) return fail(Errno::notdir);
    if (!may_search_all && !check_permission(who_, *directory, kMayExec).ok()) return fail(Errno::acces);
    if (component.name.size() > kNameMax) return fail(Errno::nametoolong);
    if (last) note_last(component);
    if (component.name == "." || component.name == "..") {
      if (last && stop_at_parent) return stop(Kind::done);
      if (component.name.size() == 2) at = go_up(at, context_.root_.get());
      rest = component.after;
      continue;
    }
    if (last && stop_at_parent && (flags & kWalkFollow) == 0) return stop(Kind::done);
    Dentry* child = use_supplied ? supplied.get() : cache.find_locked(*at, component.hash, component.name);
    if (child == nullptr) return stop(Kind::missing);
    if (child->inode_ && child->inode_->is_symlink() && (!last || component.slash || (flags & kWalkFollow) != 0)) {
      rest = component.after;
      return stop(Kind::link, child);
    }
    if (last && stop_at_parent) return stop(Kind::done);
    if (!child->inode_) return fail(Errno::noent);
    at = DentryCache::covering_locked(child);
    rest = component.after;
    use_supplied = false;  // it lives on until we return: `at` may hang on it alone
  }
  return stop(Kind::done);
}

Result<> PathWalk::expand_link(Inode& link, std::string_view& rest) {
  if (++links_ > kMaxSymlinks) return Errno::loop;
  Own<PathPage>& page = pages_[page_ ^ 1];
  if (!page) page = TRY(make_own<PathPage>());
  const std::span<char> text(page->bytes);
  std::size_t size = TRY(link.read_link(text));
  if (size == 0) return Errno::noent;
  if (!rest.empty() || trailing_slash_) {
    if (size + 1 + rest.size() >= text.size()) return Errno::nametoolong;
    text[size++] = '/';
    std::copy(rest.begin(), rest.end(), text.subspan(size, rest.size()).begin());
    size += rest.size();
  }
  rest = std::string_view(text.data(), size);
  page_ ^= 1;
  return {};
}

Result<RefPtr<Dentry>> PathWalk::walk(std::string_view path, std::uint32_t flags, bool stop_at_parent) {
  std::string_view rest = path;
  RefPtr<Dentry> at;
  RefPtr<Dentry> supplied;
  last_kind_ = LastKind::root;
  for (;;) {
    Step step = cached_steps(std::move(at), std::move(supplied), rest, flags, stop_at_parent);
    switch (step.kind) {
      case Step::Kind::failed:
        return step.error;
      case Step::Kind::done:
        return std::move(step.at);
      case Step::Kind::missing: {
        at = std::move(step.at);
        const std::string_view name = rest.substr(0, rest.find('/'));
        const LockGuard guard(at->existing_inode().directory_mutex());
        supplied = TRY(DentryCache::instance().child(*at, name));
        break;
      }
      case Step::Kind::link: {
        Inode& link = step.link->existing_inode();
        if ((mount_flags(*step.link) & kMountNoSymlinks) != 0) return Errno::loop;
        if (RefPtr<Dentry> target = TRY(link.follow())) {
          if (++links_ > kMaxSymlinks) return Errno::loop;
          at = target;
          if (rest.empty() && stop_at_parent) {
            magic_target_ = target;
            return std::move(step.at);
          }
          break;
        }
        TRY(expand_link(link, rest));
        trailing_slash_ = false;
        last_kind_ = LastKind::root;
        at = rest.front() == '/' ? RefPtr<Dentry>() : std::move(step.at);
        break;
      }
    }
  }
}

Result<RefPtr<Dentry>> PathWalk::find_quick(std::string_view path, std::uint32_t flags) {
  if (path.empty() && (flags & kWalkEmpty) == 0) return Errno::noent;
  Result<RefPtr<Dentry>> walked = walk(path, flags, false);
  if (!walked.ok() || (!trailing_slash_ && (flags & kWalkDirectory) == 0)) return walked;
  RefPtr<Dentry> found = std::move(walked).release();
  if (!found->existing_inode().is_directory()) return Errno::notdir;
  return found;
}

Result<Ref<Dentry>> PathWalk::find(std::string_view path, std::uint32_t flags) { return TRY(find_quick(path, flags)).as_ref(); }

Result<Ref<Dentry>> PathWalk::find_parent(std::string_view path, std::uint32_t flags) {
  if (path.empty()) return Errno::noent;
  return TRY(walk(path, flags, true)).as_ref();
}

}  // namespace kernel
