// The server of the asynchronous rings: one thread that takes submissions, does at once what can be done, and keeps the rest until
// poll(2) says that a file is ready, so that a read from a quiet terminal holds nothing up.
#ifndef HOST_IO_THREAD_H
#define HOST_IO_THREAD_H

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "host/calls.h"
#include "host/result.h"
#include "host_abi/entry.h"

namespace host {

struct IoCounters {
  std::atomic<std::uint64_t> submissions = 0;
  std::atomic<std::uint64_t> completions = 0;
  std::atomic<std::uint64_t> waited = 0;  // requests whose file was not ready at first
  std::atomic<std::uint64_t> sleeps = 0;
  std::atomic<std::uint64_t> bad_indices = 0;  // the kernel's ring indices made no sense
};

class IoThread {
 public:
  // `completed` is called after cq_tail was raised (it wakes an idle virtual CPU).
  IoThread(host_abi::Rings& rings, HostCalls& calls, std::function<void()> completed);
  ~IoThread();  // stops
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  Status start();
  // Wakes the thread: new submissions. Any thread; async-signal-safe.
  void wake();
  // Ends the thread; requests that wait for a file are dropped. A request that blocks in the host (a full disk, a stopped
  // terminal) is waited for.
  void stop();

  const IoCounters& counters() const { return counters_; }

 private:
  struct Waiting {
    host_abi::CallSlot request;
    HostCalls::NotReady reason;
  };
  void loop();
  bool take_submissions();
  void serve(const host_abi::CallSlot& request);
  void complete(std::uint64_t token, std::int64_t result);
  bool flush_completions();
  bool spin_for_work();
  void sleep();
  void serve_ready(const std::vector<short>& revents);

  host_abi::Rings& rings_;
  HostCalls& calls_;
  const std::function<void()> completed_;
  int wake_fd_ = -1;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  IoCounters counters_;
  // Only the thread itself uses these.
  std::uint32_t sq_head_ = 0;
  std::uint32_t cq_tail_ = 0;
  std::vector<Waiting> waiting_;
  std::deque<host_abi::Completion> overflow_;  // completions for which the ring had no room
};

}  // namespace host
#endif  // HOST_IO_THREAD_H
