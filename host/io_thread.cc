#include "host/io_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "host/futex.h"
#include "host/shared_memory.h"

namespace host {
namespace {

using host_abi::kRingEntries;

// How long the thread looks for new submissions before it sleeps: about what a wake-up would cost.
constexpr std::uint64_t kSpinNs = 20'000;
// With completions that the kernel has not made room for, the ring is looked at this often.
constexpr std::uint64_t kOverflowRetryNs = 1'000'000;

}  // namespace

IoThread::IoThread(host_abi::Rings& rings, HostCalls& calls, std::function<void()> completed)
    : rings_(rings), calls_(calls), completed_(std::move(completed)) {}

IoThread::~IoThread() {
  stop();
  if (wake_fd_ >= 0) close(wake_fd_);
}

Status IoThread::start() {
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return fail(errno, "cannot create an event descriptor: {}", errno_text(errno));
  thread_ = std::thread([this] { loop(); });
  return {};
}

void IoThread::wake() {
  const std::uint64_t one = 1;
  // Fails only with EAGAIN when the counter is full, and then the thread wakes anyway.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

void IoThread::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  wake();
  thread_.join();
}

void IoThread::loop() {
  while (!stopping_.load()) {
    const bool took = take_submissions();
    const bool flushed = flush_completions();
    if (!took && !flushed && !spin_for_work()) sleep();
  }
}

bool IoThread::take_submissions() {
  const std::uint32_t tail = shared(rings_.sq_tail).load(std::memory_order_acquire);
  const std::uint32_t count = tail - sq_head_;
  if (count == 0) return false;
  if (count > kRingEntries) {
    // Not a state that our kernel makes. Forget what was between and go on from its index.
    counters_.bad_indices.fetch_add(1, std::memory_order_relaxed);
    sq_head_ = tail;
    shared(rings_.sq_head).store(tail, std::memory_order_release);
    return false;
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    const host_abi::CallSlot request = rings_.sq[sq_head_ % kRingEntries];
    ++sq_head_;
    shared(rings_.sq_head).store(sq_head_, std::memory_order_release);
    counters_.submissions.fetch_add(1, std::memory_order_relaxed);
    serve(request);
  }
  return true;
}

void IoThread::serve(const host_abi::CallSlot& request) {
  HostCalls::NotReady reason;
  if (const auto result = calls_.try_serve(request, reason)) {
    complete(request.token, *result);
    return;
  }
  counters_.waited.fetch_add(1, std::memory_order_relaxed);
  waiting_.push_back({request, std::move(reason)});
}

void IoThread::complete(std::uint64_t token, std::int64_t result) { overflow_.push_back({token, result}); }

bool IoThread::flush_completions() {
  if (overflow_.empty()) return false;
  bool any = false;
  while (!overflow_.empty()) {
    const std::uint32_t head = shared(rings_.cq_head).load(std::memory_order_acquire);
    if (cq_tail_ - head >= kRingEntries) break;
    rings_.cq[cq_tail_ % kRingEntries] = overflow_.front();
    overflow_.pop_front();
    ++cq_tail_;
    // Sequentially consistent: an idle virtual CPU first announces itself and then looks at cq_tail; we do the reverse.
    shared(rings_.cq_tail).store(cq_tail_, std::memory_order_seq_cst);
    counters_.completions.fetch_add(1, std::memory_order_relaxed);
    any = true;
  }
  if (any) completed_();
  return any;
}

bool IoThread::spin_for_work() {
  if (!waiting_.empty() || !overflow_.empty()) return false;
  const std::uint64_t until = monotonic_now() + kSpinNs;
  do {
    if (shared(rings_.sq_tail).load(std::memory_order_acquire) != sq_head_) return true;
    for (int i = 0; i < 32; ++i) _mm_pause();
  } while (monotonic_now() < until && !stopping_.load());
  return false;
}

void IoThread::sleep() {
  std::vector<pollfd> files = {{wake_fd_, POLLIN, 0}};
  std::uint64_t deadline = overflow_.empty() ? kNoDeadline : monotonic_now() + kOverflowRetryNs;
  for (const Waiting& item : waiting_) {
    files.push_back({item.reason.file->fd(), item.reason.events, 0});
    deadline = std::min(deadline, item.reason.deadline);
  }
  shared(rings_.sq_sleeping).store(1, std::memory_order_seq_cst);
  if (shared(rings_.sq_tail).load(std::memory_order_seq_cst) == sq_head_) {
    timespec timeout = {};
    if (deadline != kNoDeadline) {
      const std::uint64_t now = monotonic_now();
      timeout = to_timespec(deadline > now ? deadline - now : 0);
    }
    counters_.sleeps.fetch_add(1, std::memory_order_relaxed);
    const int count = ppoll(files.data(), files.size(), deadline == kNoDeadline ? nullptr : &timeout, nullptr);
    if (count < 0) std::for_each(files.begin(), files.end(), [](pollfd& entry) { entry.revents = 0; });
  }
  shared(rings_.sq_sleeping).store(0, std::memory_order_seq_cst);
  if (files[0].revents != 0) {
    std::uint64_t drained = 0;
    [[maybe_unused]] const ssize_t got = read(wake_fd_, &drained, sizeof(drained));
  }
  std::vector<short> revents;
  for (std::size_t i = 1; i < files.size(); ++i) revents.push_back(files[i].revents);
  serve_ready(revents);
}

void IoThread::serve_ready(const std::vector<short>& revents) {
  std::vector<Waiting> items = std::exchange(waiting_, {});
  for (std::size_t i = 0; i < items.size(); ++i) {
    Waiting& item = items[i];
    const bool is_poll = static_cast<host_abi::Op>(item.request.op) == host_abi::Op::poll;
    const bool late = item.reason.deadline != kNoDeadline && monotonic_now() >= item.reason.deadline;
    if (revents[i] == 0 && !late) {
      waiting_.push_back(std::move(item));
    } else if (is_poll) {
      complete(item.request.token, revents[i]);
    } else {
      HostCalls::NotReady again;
      if (const auto result = calls_.try_serve(item.request, again)) {
        complete(item.request.token, *result);
      } else {
        waiting_.push_back({item.request, std::move(again)});
      }
    }
  }
  flush_completions();
}

}  // namespace host
