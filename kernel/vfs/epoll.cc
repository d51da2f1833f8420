#include "kernel/vfs/epoll.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>
#include <utility>

#include "abi/fs.h"
#include "kernel/base/string.h"

namespace kernel {
namespace {

constexpr std::uint32_t kOptionBits = abi::kEpollEdge | abi::kEpollOneShot | abi::kEpollExclusive | abi::kEpollWakeup;
constexpr std::uint32_t kAlways = kPollErr | kPollHup;

// Who watches whom is checked and changed under this, so that two threads cannot close a cycle between them.
constinit Mutex<LockRank::mount> topology;
constinit std::uint64_t topology_checks GUARDED_BY(topology) = 0;  // NOLINT: with the mutex

}  // namespace

Epoll::Key Epoll::key_of(std::int32_t fd, OpenFile& file) { return {.fd = fd, .file = std::bit_cast<std::uint64_t>(&file)}; }

Epoll::~Epoll() = default;

Result<std::uint64_t> Epoll::target(std::int32_t fd, std::uint32_t offset) {
  const LockGuard guard(control_);
  const std::uint64_t position = items_.lower_bound(Key{.fd = fd, .file = 0}) + std::uint64_t{offset};
  if (position >= items_.size()) return Errno::noent;
  const Key& key = items_.at(static_cast<std::size_t>(position)).key;
  if (key.fd != fd) return Errno::noent;
  return key.file;
}

// ---- items

bool EpollItem::on_wake(std::uint32_t events) { return epoll_->item_woken(*this, events); }

void EpollItem::on_file_closed(OpenFile& file) {
  // Whatever happens here, the file is gone: the item just must not stay.
  static_cast<void>(epoll_->remove(fd_, file).ok());
}

void Epoll::push_ready_locked(EpollItem& item) {
  if (static_cast<ListNode<EpollReadyTag>&>(item).is_linked()) return;
  ready_.push_back(item);
  ready_count_ += 1;
}

// Called by the waker of a watched file, under its queue's lock.
bool Epoll::item_woken(EpollItem& item, std::uint32_t events) {
  const LockGuard guard(ready_lock_);
  if (item.disarmed_ || item.removed_) return false;
  if (events != 0 && (events & ((item.event_.events & ~kOptionBits) | kAlways)) == 0) return false;
  push_ready_locked(item);
  item.wakes_ += 1;
  if (Sleep* first = sleepers_.front(); first != nullptr) first->sleeper->unpark();
  if (queue_.has_waiters()) {
    ref();
    if (!defer_wake(*this)) deref();
  }
  return true;
}

void Epoll::run_deferred() {
  queue_.wake_all(kPollReadable);
  deref();
}

// Takes the item out of everything. The caller has taken it out of the map, so this runs once; add() may be at it yet, and looks at
// removed_ when it has put the item into the file's lists.
void Epoll::detach(EpollItem& item) {
  {
    const LockGuard guard(ready_lock_);
    item.removed_ = true;
    if (static_cast<ListNode<EpollReadyTag>&>(item).is_linked()) {
      List<EpollItem, EpollReadyTag>::remove(item);
      ready_count_ -= 1;
    }
  }
  leave_file(item);
}

void Epoll::leave_file(EpollItem& item) {
  item.file_->remove_close_observer(item);
  if (WaitQueue* queue = item.file_->wait_queue(); queue != nullptr) queue->remove(item);
  if (const RefPtr<Epoll> nested(item.file_->as_epoll()); nested) {
    const LockGuard guard(nested->control_);
    if (static_cast<ListNode<EpollAboveTag>&>(item).is_linked()) List<EpollItem, EpollAboveTag>::remove(item);
  }
}

// The instances that this one watches, or that watch it. ENOMEM.
Result<Vec<Ref<Epoll>>> Epoll::neighbours(Side side) {
  Vec<Ref<Epoll>> found;
  const LockGuard guard(control_);
  if (side == Side::above)
    for (RefPtr<EpollItem> item(above_.front()); item; item = RefPtr<EpollItem>(above_.next(*item))) TRY(found.try_push(item->epoll_));
  else
    for (const auto& entry : items_)
      if (const RefPtr<Epoll> nested(entry.value->file_->as_epoll()); nested) TRY(found.try_push(nested.as_ref()));
  return found;
}

// How many instances follow each other on that side. kTooDeep: more than may be, or `other` is among them. However many ways lead to an
// instance, `check` says whether it has been looked at. Under `topology`.
std::uint32_t Epoll::depth(Side side, const Epoll& other, std::uint64_t check, std::uint32_t level) {
  if (this == &other || level > kMaxDepth) return kTooDeep;
  if (checked_ == check) return depth_;
  Result<Vec<Ref<Epoll>>> next = neighbours(side);
  if (!next.ok()) return kTooDeep;
  std::uint32_t deepest = 0;
  for (const Vec<Ref<Epoll>> all = std::move(next).release(); const Ref<Epoll>& each : all) {
    deepest = std::max(deepest, each->depth(side, other, check, level + 1) + 1);
    if (deepest > kMaxDepth) return kTooDeep;
  }
  checked_ = check;
  depth_ = deepest;
  return deepest;
}

Result<> Epoll::add(std::int32_t fd, OpenFile& file, const abi::EpollEvent& event) {
  if (file.wait_queue() == nullptr) return Errno::perm;
  if (&file == this) return Errno::inval;
  const RefPtr<Epoll> nested(file.as_epoll());
  if (!nested) return add_item(fd, file, event);
  if ((event.events & abi::kEpollExclusive) != 0) return Errno::inval;
  // Held until the item is there: the next one who looks has to see it.
  const LockGuard guard(topology);
  const std::uint32_t below = nested->depth(Side::below, *this, ++topology_checks, 0);
  const std::uint32_t above = depth(Side::above, *nested, ++topology_checks, 0);
  if (below + 1 + above > kMaxDepth) return Errno::loop;
  return add_item(fd, file, event);
}

Result<> Epoll::add_item(std::int32_t fd, OpenFile& file, const abi::EpollEvent& event) {
  const Ref<EpollItem> item = TRY(make_ref<EpollItem>(Ref<Epoll>(*this), Ref<OpenFile>(file), fd, event));
  {
    const LockGuard guard(control_);
    TRY(items_.try_insert(key_of(fd, file), item));
  }
  if (!file.add_close_observer(*item)) {
    static_cast<void>(remove(fd, file).ok());
    return Errno::badf;
  }
  file.wait_queue()->add(*item);
  if (const RefPtr<Epoll> nested(file.as_epoll()); nested) {
    const LockGuard guard(nested->control_);
    nested->above_.push_back(*item);
  }
  // Since it is in the map others may have removed it, or closed the file, and found it in none of the file's lists. And an instance that is
  // closed has let its items go already.
  if (is_closed()) static_cast<void>(remove(fd, file).ok());
  bool removed = false;
  {
    const LockGuard guard(ready_lock_);
    removed = item->removed_;
  }
  if (removed) {
    leave_file(*item);
    return {};
  }
  // It may be ready already.
  if ((file.readiness() & ((event.events & ~kOptionBits) | kAlways)) != 0) item_woken(*item, 0);
  return {};
}

Result<> Epoll::modify(std::int32_t fd, OpenFile& file, const abi::EpollEvent& event) {
  if ((event.events & abi::kEpollExclusive) != 0) return Errno::inval;
  RefPtr<EpollItem> item;
  {
    const LockGuard guard(control_);
    const Ref<EpollItem>* found = items_.find(key_of(fd, file));
    if (found == nullptr) return Errno::noent;
    item = *found;
  }
  {
    const LockGuard guard(ready_lock_);
    if ((item->event_.events & abi::kEpollExclusive) != 0) return Errno::inval;
    item->event_ = event;
    item->disarmed_ = false;
  }
  if ((file.readiness() & ((event.events & ~kOptionBits) | kAlways)) != 0) item_woken(*item, 0);
  return {};
}

Result<> Epoll::remove(std::int32_t fd, OpenFile& file) {
  RefPtr<EpollItem> item;
  {
    const LockGuard guard(control_);
    const Ref<EpollItem>* found = items_.find(key_of(fd, file));
    if (found == nullptr) return Errno::noent;
    item = *found;
    items_.erase(key_of(fd, file));
  }
  detach(*item);
  return {};
}

void Epoll::on_last_close() {
  FlatMap<Key, Ref<EpollItem>> items;
  {
    const LockGuard guard(control_);
    std::swap(items, items_);
  }
  for (const auto& entry : items) detach(*entry.value);
}

// ---- waiting

// What a popped item has to say. True if `into` was filled; level-triggered items that are still ready go back to the list.
bool Epoll::report(EpollItem& item, abi::EpollEvent& into) {
  const std::uint32_t now = item.file_->readiness();
  const LockGuard guard(ready_lock_);
  if (item.removed_ || item.disarmed_) return false;
  const std::uint32_t events = now & ((item.event_.events & ~kOptionBits) | kAlways);
  if (events == 0) return false;
  into = {.events = events, .data_low = item.event_.data_low, .data_high = item.event_.data_high};
  if ((item.event_.events & abi::kEpollOneShot) != 0)
    item.disarmed_ = true;
  else if ((item.event_.events & abi::kEpollEdge) == 0)
    push_ready_locked(item);
  return true;
}

RefPtr<EpollItem> Epoll::pop_ready() {
  const LockGuard guard(ready_lock_);
  RefPtr<EpollItem> first(ready_.pop_front());
  if (first) ready_count_ -= 1;
  return first;
}

// One wake-up reaches one sleeper; two events may have reached the same one. Whoever leaves events behind passes the wake-up on.
void Epoll::wake_next_sleeper() {
  const LockGuard guard(ready_lock_);
  if (ready_count_ == 0) return;
  if (Sleep* first = sleepers_.front(); first != nullptr) first->sleeper->unpark();
}

Result<std::size_t> Epoll::collect(EpollSink& sink, std::size_t most) {
  std::array<abi::EpollEvent, 64> batch;
  std::size_t filled = 0;
  std::size_t told = 0;
  std::uint32_t left = 0;
  {
    const LockGuard guard(ready_lock_);
    left = ready_count_;
  }
  // Each item that was ready at the start is looked at once: those that go back are behind the others.
  for (; left > 0 && told + filled < most; --left) {
    const RefPtr<EpollItem> item = pop_ready();
    if (!item) break;
    if (report(*item, batch[filled])) ++filled;
    if (filled < batch.size()) continue;
    if (const Result<> taken = sink.take(batch); !taken.ok()) return told != 0 ? Result<std::size_t>(told) : Result<std::size_t>(taken.error());
    told += std::exchange(filled, 0);
  }
  wake_next_sleeper();
  if (filled == 0) return told;
  if (const Result<> taken = sink.take(std::span(batch).first(filled)); !taken.ok() && told == 0) return taken.error();
  return told + filled;
}

Result<std::size_t> Epoll::wait(EpollSink& sink, std::size_t most, Instant deadline) {
  for (;;) {
    if (const std::size_t count = TRY(collect(sink, most)); count != 0 || deadline == 0) return count;
    Sleep sleep;
    sleep.sleeper = &current_sleeper();
    bool ready = false;
    {
      const LockGuard guard(ready_lock_);
      ready = ready_count_ != 0;
      if (!ready) sleepers_.push_back(sleep);
    }
    if (ready) continue;
    const ParkResult parked = park(deadline, Interruptible::yes);
    bool more = false;
    {
      const LockGuard guard(ready_lock_);
      List<Sleep, EpollSleepTag>::remove(sleep);
      more = ready_count_ != 0;
    }
    if (more || parked == ParkResult::woken) continue;
    if (parked == ParkResult::timed_out) return std::size_t{0};
    return Errno::intr;  // never restarted (signal(7))
  }
}

std::uint32_t Epoll::readiness() {
  // Level-triggered items may be in the list without being ready any more: ask them.
  for (;;) {
    RefPtr<EpollItem> item;
    std::uint32_t wakes = 0;
    {
      const LockGuard guard(ready_lock_);
      item = RefPtr<EpollItem>(ready_.front());
      if (!item) return 0;
      wakes = item->wakes_;
    }
    const std::uint32_t now = item->file_->readiness();
    const LockGuard guard(ready_lock_);
    if (!static_cast<ListNode<EpollReadyTag>&>(*item).is_linked()) continue;
    if (item->wakes_ != wakes) continue;  // woken since it was asked: the answer may be old
    if (!item->removed_ && !item->disarmed_ && (now & ((item->event_.events & ~kOptionBits) | kAlways)) != 0) return kPollReadable;
    List<EpollItem, EpollReadyTag>::remove(*item);
    ready_count_ -= 1;
  }
}

std::size_t Epoll::describe(std::span<char> into) {
  constexpr std::string_view kName = "anon_inode:[eventpoll]";
  const std::size_t count = std::min(kName.size(), into.size());
  std::copy_n(kName.begin(), count, into.begin());
  return count;
}

Result<> Epoll::describe_info(String& out) {
  Vec<Ref<EpollItem>> items;
  {
    const LockGuard guard(control_);
    for (const auto& entry : items_) TRY(items.try_push(entry.value));
  }
  const auto number = [&out](std::string_view before, std::uint64_t value, unsigned base, std::size_t width) -> Result<> {
    const Digits digits(value, base);
    TRY(out.try_append(before));
    for (std::size_t i = digits.view().size(); i < width; ++i) TRY(out.try_append(' '));
    return out.try_append(digits.view());
  };
  for (const Ref<EpollItem>& item : items) {
    abi::EpollEvent event;
    {
      const LockGuard guard(ready_lock_);
      event = item->event_;
    }
    const Attributes file = TRY(item->file_->attributes());
    TRY(number("tfd: ", static_cast<std::uint32_t>(item->fd_), 10, 8));
    TRY(number(" events: ", event.events | kAlways, 16, 8));
    TRY(number(" data: ", std::uint64_t{event.data_high} << 32 | event.data_low, 16, 16));
    TRY(out.try_append("  pos:0"));  // what can be waited for has no position
    TRY(number(" ino:", file.ino, 16, 1));
    TRY(number(" sdev:", file.device, 16, 1));
    TRY(out.try_append('\n'));
  }
  return {};
}

Result<Ref<OpenFile>> make_epoll() { return Ref<OpenFile>(TRY(make_ref<Epoll>(abi::kORdWr))); }

}  // namespace kernel
