#include "kernel/vfs/aio.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "kernel/vfs/eventfd.h"

namespace kernel {
namespace {

constexpr std::uint32_t kAlways = kPollErr | kPollHup;

std::atomic<std::uint64_t>& total() {
  static constinit std::atomic<std::uint64_t> charged{0};
  return charged;
}

}  // namespace

// ---- requests

// Under the lock of the file's wait queue.
bool AioRequest::on_wake(std::uint32_t events) {
  const LockGuard guard(context_->lock_);
  if (done_ || (events != 0 && (events & events_) == 0)) return false;
  if (events == 0) {
    unsure_ = true;
    context_->unsure_ = true;
  } else {
    context_->finish_locked(*this, events & events_);
  }
  if (!deferred_ && defer_wake(*this)) deferred_ = true;
  return false;  // it only tells: a wake-up that is for one of those who take what has come goes on to them
}

void AioRequest::run_deferred() {
  bool tells = false;
  {
    const LockGuard guard(context_->lock_);
    tells = done_;
  }
  context_->queue_.wake_all();
  if (tells) tell();
  // From here on it may be gone.
  const LockGuard guard(context_->lock_);
  deferred_ = false;
}

void AioRequest::tell() const {
  if (notify_) notify_->add(1);
}

// ---- contexts

std::uint64_t AioContext::in_use() { return total().load(std::memory_order_relaxed); }

Result<Ref<AioContext>> AioContext::make(std::uint64_t id, std::uint32_t requests, std::uint32_t capacity) {
  Ref<AioContext> context = TRY(make_ref<AioContext>(id, capacity));
  std::uint64_t before = total().load(std::memory_order_relaxed);
  do {
    if (before + requests > kMost) return Errno::again;
  } while (!total().compare_exchange_weak(before, before + requests, std::memory_order_relaxed));
  context->charged_ = requests;
  return context;
}

AioContext::~AioContext() { total().fetch_sub(charged_, std::memory_order_relaxed); }

Result<Ref<AioRequest>> AioContext::begin(const abi::IoEvent& event, RefPtr<EventFd> notify) {
  reap();
  Ref<AioRequest> request = TRY(make_ref<AioRequest>(Ref<AioContext>(*this), event, std::move(notify)));
  const LockGuard guard(lock_);
  if (dead_) return Errno::inval;
  if (count_ >= capacity_) return Errno::again;
  ++count_;
  request->ref();  // the list's
  pending_.push_back(*request);
  return request;
}

void AioContext::abandon(AioRequest& request) {
  {
    const LockGuard guard(lock_);
    request.done_ = true;
    Requests::remove(request);
    --count_;
  }
  dispose(Ref<AioRequest>::adopt(request));
}

void AioContext::finish_locked(AioRequest& request, std::int64_t result) {
  request.done_ = true;
  request.event_.result = result;
  Requests::remove(request);
  done_.push_back(request);
}

void AioContext::complete(AioRequest& request, std::int64_t result) {
  bool dead = false;
  {
    const LockGuard guard(lock_);
    if (request.done_) return;
    dead = dead_;
    if (!dead) finish_locked(request, result);
  }
  if (dead) return abandon(request);
  queue_.wake_all();
  request.tell();
}

void AioContext::poll(AioRequest& request, Ref<OpenFile> file, std::uint32_t events) {
  request.events_ = events | kAlways;
  request.file_ = file;
  // Registered first, then looked: a change in between completes it.
  if (WaitQueue* queue = file->wait_queue(); queue != nullptr) queue->add(request);
  if (const std::uint32_t ready = file->readiness() & request.events_; ready != 0) complete(request, ready);
}

Result<> AioContext::cancel(std::uint64_t object) {
  RefPtr<AioRequest> found;
  {
    const LockGuard guard(lock_);
    found = RefPtr<AioRequest>(pending_.front());
    while (found && (found->event_.object != object || !found->file_)) found = RefPtr<AioRequest>(pending_.next(*found));
  }
  if (!found) return Errno::inval;
  complete(*found, 0);
  return Errno::inprogress;
}

// Its reference was the list's. It goes unless a waker is about to come back to it.
void AioContext::dispose(Ref<AioRequest> request) {
  if (const RefPtr<OpenFile> file = request->file_)
    if (WaitQueue* queue = file->wait_queue(); queue != nullptr) queue->remove(*request);
  const LockGuard guard(lock_);
  if (!request->deferred_) return;
  request->ref();
  retired_.push_back(*request);
}

void AioContext::reap() {
  while (true) {
    RefPtr<AioRequest> gone;
    const LockGuard guard(lock_);
    RefPtr<AioRequest> request(retired_.front());
    while (request && request->deferred_) request = RefPtr<AioRequest>(retired_.next(*request));
    if (!request) return;
    Requests::remove(*request);
    gone = Ref<AioRequest>::adopt(*request);
  }
}

// Those that were woken without being told what has become ready.
void AioContext::ask_unsure() {
  while (true) {
    RefPtr<AioRequest> asked;
    {
      const LockGuard guard(lock_);
      if (!unsure_) return;
      asked = RefPtr<AioRequest>(pending_.front());
      while (asked && !asked->unsure_) asked = RefPtr<AioRequest>(pending_.next(*asked));
      if (!asked) {
        unsure_ = false;
        return;
      }
      asked->unsure_ = false;
    }
    const Ref<OpenFile> file = asked->file_.as_ref();
    if (const std::uint32_t ready = file->readiness() & asked->events_; ready != 0) complete(*asked, ready);
  }
}

// One batch. EFAULT leaves the events where they were.
Result<std::uint32_t> AioContext::deliver(UserPtr<abi::IoEvent> into, std::uint32_t most) {
  constexpr std::size_t kBatch = 16;
  std::array<RefPtr<AioRequest>, kBatch> taken;
  std::array<abi::IoEvent, kBatch> events{};
  std::size_t count = 0;
  {
    const LockGuard guard(lock_);
    for (; count < std::min<std::size_t>(most, kBatch); ++count) {
      const RefPtr<AioRequest> request(done_.pop_front());
      if (!request) break;
      events[count] = request->event_;
      taken[count] = request;
      request->deref();  // the list's
    }
  }
  if (count == 0) return std::uint32_t{0};
  // A waker tells what may have changed; the file says what holds.
  for (std::size_t i = 0; i < count; ++i) {
    const Ref<AioRequest> request = taken[i].as_ref();
    const RefPtr<OpenFile> file = request->file_;
    if (!file || events[i].result == 0) continue;
    if (const std::uint32_t now = file->readiness() & request->events_; now != 0) events[i].result = now;
  }
  const Result<> stored = into.store_all(std::span(events).first(count));
  {
    const LockGuard guard(lock_);
    if (stored.ok()) count_ -= static_cast<std::uint32_t>(count);
    for (std::size_t i = count; i > 0 && !stored.ok(); --i) {
      const Ref<AioRequest> back = taken[i - 1].as_ref();
      back->ref();
      done_.push_front(*back);
    }
  }
  TRY(stored);
  for (std::size_t i = 0; i < count; ++i) dispose(std::move(taken[i]).as_ref());
  return static_cast<std::uint32_t>(count);
}

Result<std::uint32_t> AioContext::fetch(UserPtr<abi::IoEvent> into, std::uint32_t least, std::uint32_t most, Instant deadline) {
  reap();
  std::uint32_t got = 0;
  while (true) {
    ask_unsure();
    while (got < most) {
      const std::uint32_t more = TRY(deliver(TRY(into.at(got)), most - got));
      if (more == 0) break;
      got += more;
    }
    if (got >= least || deadline == 0) return got;
    bool dead = false;
    const Ref<AioContext> self(*this);
    const Result<> waited = queue_.wait(
        [&self, &dead] {
          const LockGuard guard(self->lock_);
          dead = self->dead_;
          return dead || !self->done_.empty() || self->unsure_;
        },
        deadline);
    if (dead) return got != 0 ? Result<std::uint32_t>(got) : Result<std::uint32_t>(Errno::inval);
    if (waited.ok()) continue;
    if (waited.error() == Errno::timedout || got != 0) return got;
    return Errno::intr;
  }
}

void AioContext::shut_down() {
  while (true) {
    RefPtr<AioRequest> request;
    {
      const LockGuard guard(lock_);
      dead_ = true;
      request = RefPtr<AioRequest>(pending_.front());
      while (request && !request->file_) request = RefPtr<AioRequest>(pending_.next(*request));  // under way in another thread: that completes it
      if (!request) request = RefPtr<AioRequest>(done_.front());
      if (!request) break;
      Requests::remove(*request);
      request->done_ = true;
      --count_;
      request->deref();  // the list's
    }
    dispose(std::move(request).as_ref());
  }
  queue_.wake_all();
  // Wakers that are on their way to a request hold no reference: they are short.
  while (true) {
    reap();
    {
      const LockGuard guard(lock_);
      if (retired_.empty()) return;
    }
    (void)park(monotonic_now() + 100'000, Interruptible::no);
  }
}

// ---- a process's contexts

AioContexts::~AioContexts() {
  const LockGuard guard(lock_);
  KASSERT(contexts_.empty());
}

Result<Ref<ProcessResource>> AioContexts::clone() { return Ref<ProcessResource>(TRY(make_ref<AioContexts>())); }

void AioContexts::on_exec() {
  while (true) {
    RefPtr<AioContext> context;
    {
      const LockGuard guard(lock_);
      if (contexts_.empty()) return;
      context = contexts_.back();
      contexts_.pop_back();
    }
    context->shut_down();
  }
}

Result<> AioContexts::add(Ref<AioContext> context) {
  const LockGuard guard(lock_);
  return contexts_.try_push(std::move(context));
}

Result<Ref<AioContext>> AioContexts::find(std::uint64_t id) {
  const LockGuard guard(lock_);
  for (const Ref<AioContext>& context : contexts_)
    if (context->id() == id) return context;
  return Errno::inval;
}

Result<Ref<AioContext>> AioContexts::take(std::uint64_t id) {
  const LockGuard guard(lock_);
  for (std::size_t i = 0; i < contexts_.size(); ++i) {
    if (contexts_[i]->id() != id) continue;
    Ref<AioContext> found = contexts_[i];
    std::swap(contexts_[i], contexts_.back());
    contexts_.pop_back();
    return found;
  }
  return Errno::inval;
}

}  // namespace kernel
