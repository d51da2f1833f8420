#include "kernel/vfs/inotify.h"

#include <algorithm>
#include <array>
#include <utility>

#include "abi/fs.h"
#include "kernel/frame/user.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/dnotify.h"
#include "kernel/vfs/notify.h"

namespace kernel {

constinit SpinLock<LockRank::notify> notify_lock;
constinit std::atomic<std::uint32_t> notify::watch_count{0};

namespace {

constexpr std::size_t kBuckets = 256;
constexpr std::size_t kNameUnit = sizeof(abi::InotifyEvent);  // names are padded to a multiple of it
constinit std::array<List<InotifyWatch, WatchTag>, kBuckets> buckets;  // by inode; guarded by notify_lock
constinit std::atomic<std::uint32_t> instances{0}, cookies{0};

List<InotifyWatch, WatchTag>& bucket_of(const Inode& inode) REQUIRES(notify_lock) {
  constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;
  return buckets[(inode.ino() * kFactor ^ inode.superblock().device()) >> 8 & (kBuckets - 1)];
}

std::uint64_t padded(std::size_t name) { return name == 0 ? 0 : (name + 1 + kNameUnit - 1) / kNameUnit * kNameUnit; }

// Watches that went while the lock was held; dropped when it is free again, since inodes may go with them.
using Dropped = List<InotifyWatch, WatchTag>;
void release(Dropped& dropped) {
  while (InotifyWatch* watch = dropped.pop_front()) {
    const RefPtr<Inotify> circle = std::exchange(watch->instance, RefPtr<Inotify>());
    watch->deref();
  }
}

// Tells the watches of one inode. `unlinked`: the name that the file was reached by is gone.
void tell(Inode& inode, std::uint32_t event, std::uint32_t flags, std::uint32_t cookie, std::string_view name, bool unlinked) {
  if (inode.is_directory()) notify::signal_directory(inode, event);
  Dropped dropped;
  {
    const LockGuard guard(notify_lock);
    auto& bucket = bucket_of(inode);
    InotifyWatch* next = nullptr;
    for (InotifyWatch* watch = bucket.front(); watch != nullptr; watch = next) {
      next = bucket.next(*watch);
      if (watch->inode.get() != &inode || (watch->mask & event) == 0) continue;
      if (unlinked && (watch->mask & abi::kInExclUnlink) != 0) continue;
      const RefPtr<Inotify> instance = watch->instance;
      const bool once = (watch->mask & abi::kInOneShot) != 0;
      instance->queue_locked(watch->wd, event | flags, cookie, name);
      if (!once) continue;
      RefPtr<InotifyWatch> gone = instance->drop_watch_locked(*watch, true);
      gone->ref();
      dropped.push_back(*gone);
    }
  }
  release(dropped);
}

// Ends the watches of a bucket that `chosen` accepts, with a last event for those who want it.
template <class Chosen>
void drop_locked(List<InotifyWatch, WatchTag>& bucket, std::uint32_t event, Dropped& dropped, Chosen&& chosen) REQUIRES(notify_lock) {
  InotifyWatch* next = nullptr;
  for (InotifyWatch* watch = bucket.front(); watch != nullptr; watch = next) {
    next = bucket.next(*watch);
    if (!chosen(*watch->inode)) continue;
    const RefPtr<Inotify> instance = watch->instance;
    const std::uint32_t kind = event == abi::kInUnmount && watch->inode->is_directory() ? abi::kInIsDir : 0;
    if (((watch->mask | abi::kInUnmount) & event) != 0) instance->queue_locked(watch->wd, event | kind, 0, {});
    RefPtr<InotifyWatch> gone = instance->drop_watch_locked(*watch, true);
    gone->ref();
    dropped.push_back(*gone);
  }
}

// The file is gone: its watches go with it.
void drop_all(Inode& inode, std::uint32_t event) {
  Dropped dropped;
  {
    const LockGuard guard(notify_lock);
    drop_locked(bucket_of(inode), event, dropped, [&inode](const Inode& watched) { return &watched == &inode; });
  }
  release(dropped);
}

}  // namespace

// --- what the file layer calls ---

void notify::tell_file(const Dentry* where, Inode& inode, std::uint32_t event) {
  const std::uint32_t flags = inode.is_directory() ? abi::kInIsDir : 0;
  bool unlinked = false;
  if (where != nullptr) {
    FixedString<kNameMax> name;
    const RefPtr<Dentry> parent = where->parent();
    unlinked = where->is_deleted();
    if (parent) {
      {
        const LockGuard guard(DentryCache::instance().lock());
        name.append_clipped(DentryCache::name_of(*where));
      }
      if (const RefPtr<Inode> directory = parent->inode()) tell(*directory, event, flags, 0, name.view(), unlinked);
    }
  }
  tell(inode, event, flags, 0, {}, unlinked);
}

void notify::tell_entry(Inode& directory, std::string_view name, std::uint32_t event, bool is_directory, std::uint32_t cookie) {
  tell(directory, event, is_directory ? abi::kInIsDir : 0, cookie, name, false);
}

void notify::tell_removed(Inode& inode) {
  if (!inode.is_directory()) tell(inode, abi::kInAttrib, 0, 0, {}, false);
  if (inode.attributes().nlink == 0 && inode.open_count() == 0) drop_all(inode, abi::kInDeleteSelf);
}

std::uint32_t notify::next_cookie() { return cookies.fetch_add(1, std::memory_order_relaxed) + 1; }

void notify_last_close(Inode& inode) {
  if (notify::is_watched() && inode.attributes().nlink == 0) drop_all(inode, abi::kInDeleteSelf);
}

void notify_unmounted(const Superblock& superblock) {
  if (!notify::is_watched()) return;
  Dropped dropped;
  {
    const LockGuard guard(notify_lock);
    for (auto& bucket : buckets)
      drop_locked(bucket, abi::kInUnmount, dropped, [&superblock](const Inode& watched) { return &watched.superblock() == &superblock; });
  }
  release(dropped);
}

std::uint32_t event_of(const AttributeChange& change) {
  if (change.mode || change.uid || change.gid) return abi::kInAttrib;
  if (change.atime && change.mtime) return abi::kInAttrib;
  if (change.atime) return abi::kInAccess;
  return change.mtime ? abi::kInModify : 0;
}

// --- watches ---

InotifyWatch::InotifyWatch(Ref<Inotify> owner, Ref<Inode> watched, std::int32_t number, std::uint32_t events)
    : instance(owner), inode(watched), wd(number), mask(events) {}
InotifyWatch::~InotifyWatch() = default;

Result<std::int32_t> Inotify::add_watch(Inode& inode, std::uint32_t mask) {
  constexpr std::uint32_t kKept = abi::kInAllEvents | abi::kInExclUnlink | abi::kInOneShot;
  for (;;) {
    std::int32_t wd = 0;
    std::size_t room = 0;
    {
      const LockGuard guard(notify_lock);
      for (const RefPtr<InotifyWatch>& watch : watches_) {
        if (watch->inode.get() != &inode) continue;
        if ((mask & abi::kInMaskCreate) != 0) return Errno::exist;
        watch->mask = (mask & abi::kInMaskAdd) != 0 ? watch->mask | (mask & kKept) : mask & kKept;
        return watch->wd;
      }
      wd = last_wd_ + 1;
      room = watches_.size() + 1;
    }
    if (notify::watch_count.load() >= kMaxInotifyWatches) return Errno::nospc;
    // Made and grown outside of the lock.
    const Ref<InotifyWatch> fresh = TRY(make_ref<InotifyWatch>(Ref<Inotify>(*this), Ref<Inode>(inode), wd, mask & kKept));
    Vec<RefPtr<InotifyWatch>> larger;
    TRY(larger.try_reserve(room * 2));
    const LockGuard guard(notify_lock);
    if (is_closed()) return Errno::badf;  // nobody would ever remove it
    if (last_wd_ + 1 != wd || room != watches_.size() + 1) continue;  // somebody was faster
    if (watches_.capacity() < room) {
      for (RefPtr<InotifyWatch>& watch : watches_) TRY(larger.try_push(std::move(watch)));
      std::swap(watches_, larger);
    }
    TRY(watches_.try_push(fresh));
    bucket_of(inode).push_back(*fresh);
    last_wd_ = wd;
    notify::watch_count.fetch_add(1, std::memory_order_relaxed);
    return wd;
  }
}

RefPtr<InotifyWatch> Inotify::drop_watch_locked(InotifyWatch& watch, bool tell_it) {
  RefPtr<InotifyWatch> kept;
  for (std::size_t i = 0; i < watches_.size() && !kept; ++i) {
    if (watches_[i].get() != &watch) continue;
    kept = watches_[i];
    watches_.erase(i);
  }
  KASSERT(kept);
  watch.unlink();
  if (tell_it) queue_locked(watch.wd, abi::kInIgnored, 0, {});
  notify::watch_count.fetch_sub(1, std::memory_order_relaxed);
  return kept;
}

Result<> Inotify::remove_watch(std::int32_t wd) {
  RefPtr<InotifyWatch> gone;  // dropped after the lock
  RefPtr<Inotify> circle;
  const LockGuard guard(notify_lock);
  for (const RefPtr<InotifyWatch>& watch : watches_) {
    if (watch->wd != wd) continue;
    gone = watch;
    break;
  }
  if (!gone) return Errno::inval;
  static_cast<void>(drop_watch_locked(*gone, true));
  std::swap(circle, gone->instance);
  return {};
}

void Inotify::on_last_close() {
  for (;;) {
    RefPtr<InotifyWatch> gone;
    RefPtr<Inotify> circle;
    const LockGuard guard(notify_lock);
    if (watches_.empty()) return;
    gone = watches_.back();
    static_cast<void>(drop_watch_locked(*gone, false));
    std::swap(circle, gone->instance);
  }
}

Inotify::~Inotify() {
  List<InotifyQueued, EventTag> rest;
  {
    const LockGuard guard(notify_lock);
    while (InotifyQueued* event = events_.pop_front()) rest.push_back(*event);
  }
  while (InotifyQueued* event = rest.pop_front())
    const auto owned = Own<InotifyQueued>::adopt(event, {.size = sizeof(InotifyQueued), .align = alignof(InotifyQueued)});
  instances.fetch_sub(1, std::memory_order_relaxed);
}

// --- the queue ---

// nullptr: no memory.
InotifyQueued* Inotify::append_locked(std::int32_t wd, std::uint32_t mask) {
  auto made = make_own<InotifyQueued>();
  if (!made.ok()) return nullptr;
  Own<InotifyQueued> event = std::move(made).release();
  event->header = {.wd = wd, .mask = mask, .cookie = 0, .length = 0};
  events_.push_back(*event);
  ++event_count_;
  event_bytes_ += sizeof(abi::InotifyEvent);
  return event.leak();  // the queue owns it until it is read
}

void Inotify::queue_locked(std::int32_t wd, std::uint32_t mask, std::uint32_t cookie, std::string_view name) {
  // Never reported of a directory's own end or move (inotify(7) has it for children only).
  if ((mask & (abi::kInDeleteSelf | abi::kInMoveSelf)) != 0) mask &= ~abi::kInIsDir;
  if (const InotifyQueued* last = events_.back(); last != nullptr && last->header.wd == wd && last->header.mask == mask &&
                                                   last->header.cookie == cookie && last->name == name)
    return;
  if (overflowed_) return;
  InotifyQueued* event = nullptr;
  if (event_count_ < kMaxInotifyEvents) event = append_locked(wd, mask);
  if (event == nullptr) {
    overflowed_ = append_locked(-1, abi::kInQOverflow) != nullptr;
  } else if (event->name.try_append(name).ok()) {
    event->header.cookie = cookie;
    event->header.length = static_cast<std::uint32_t>(padded(name.size()));
    event_bytes_ += event->header.length;
  }
  queue_.wake_all(kPollReadable);
}

Result<std::size_t> Inotify::read(IoSink& sink) {
  std::size_t total = 0;
  for (;;) {
    Own<InotifyQueued> event;
    bool too_small = false;
    {
      const LockGuard guard(notify_lock);
      InotifyQueued* first = events_.front();
      too_small = first != nullptr && sizeof(first->header) + first->header.length > sink.remaining();
      if (first != nullptr && !too_small) {
        first->unlink();
        --event_count_;
        event_bytes_ -= sizeof(first->header) + first->header.length;
        if (first->header.mask == abi::kInQOverflow) overflowed_ = false;
        event = Own<InotifyQueued>::adopt(first, {.size = sizeof(InotifyQueued), .align = alignof(InotifyQueued)});
      }
    }
    if (event) {
      TRY(sink.put(std::as_bytes(std::span<const abi::InotifyEvent, 1>(&event->header, 1))));
      TRY(sink.put(std::as_bytes(std::span(event->name.view()))));
      TRY(sink.put_zeros(event->header.length - event->name.size()));
      total += sizeof(event->header) + event->header.length;
      continue;
    }
    if (total != 0) return total;
    if (too_small) return Errno::inval;
    if (is_nonblocking()) return Errno::again;
    TRY(queue_.wait([this] {
      const LockGuard guard(notify_lock);
      return !events_.empty();
    }));
  }
}

Result<std::uint64_t> Inotify::ioctl(Task&, std::uint32_t request, std::uint64_t argument) {
  if (request != abi::kFioNRead) return Errno::notty;
  std::uint64_t bytes = 0;
  {
    const LockGuard guard(notify_lock);
    bytes = event_bytes_;
  }
  TRY(UserPtr<std::int32_t>(argument).store(static_cast<std::int32_t>(bytes)));
  return std::uint64_t{0};
}

std::uint32_t Inotify::readiness() {
  const LockGuard guard(notify_lock);
  return events_.empty() ? 0 : kPollReadable;
}

std::size_t Inotify::describe(std::span<char> into) {
  constexpr std::string_view kName = "anon_inode:inotify";
  const std::size_t count = std::min(kName.size(), into.size());
  std::copy_n(kName.begin(), count, into.begin());
  return count;
}

// As fs/notify of Linux lays it out, without the file handle.
Result<> Inotify::describe_info(String& out) {
  struct Line {
    std::int32_t wd;
    std::uint64_t ino, device;
    std::uint32_t mask;
  };
  Vec<Line> lines;
  for (;;) {
    std::size_t wanted = 0;
    {
      const LockGuard guard(notify_lock);
      wanted = watches_.size();
      if (lines.capacity() >= wanted) {
        for (const RefPtr<InotifyWatch>& watch : watches_)
          TRY(lines.try_push({.wd = watch->wd, .ino = watch->inode->ino(), .device = watch->inode->superblock().device(), .mask = watch->mask}));
        break;
      }
    }
    TRY(lines.try_reserve(wanted));
  }
  for (const Line& line : lines) {
    const auto hex = [](std::uint64_t value) { return Digits(value, 16); };
    TRY(out.try_append("inotify wd:"));
    TRY(out.try_append(hex(static_cast<std::uint64_t>(line.wd)).view()));
    TRY(out.try_append(" ino:"));
    TRY(out.try_append(hex(line.ino).view()));
    TRY(out.try_append(" sdev:"));
    TRY(out.try_append(hex(line.device).view()));
    TRY(out.try_append(" mask:"));
    TRY(out.try_append(hex(line.mask).view()));
    TRY(out.try_append(" ignored_mask:0\n"));
  }
  return {};
}

Result<Ref<Inotify>> make_inotify(std::uint32_t flags) {
  if (instances.fetch_add(1, std::memory_order_relaxed) >= kMaxInotifyInstances) {
    instances.fetch_sub(1, std::memory_order_relaxed);
    return Errno::mfile;
  }
  auto made = make_ref<Inotify>(flags);
  if (!made.ok()) instances.fetch_sub(1, std::memory_order_relaxed);
  return made;
}

}  // namespace kernel
