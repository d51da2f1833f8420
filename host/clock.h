// Samples of the host's clocks for the enclave. The enclave extrapolates from the last sample with RDTSC, so the page needs a fresh
// sample now and then (kSampleInterval) and a rate that gets better with time.
#ifndef HOST_CLOCK_H
#define HOST_CLOCK_H

#include <cstdint>
#include <mutex>

#include "host_abi/entry.h"

namespace host {

class ClockSource {
 public:
  static constexpr std::uint64_t kSampleInterval = 100'000'000;  // ns between samples while vCPUs run
  // A rate from two readings this far apart is good to about 30 ppm (a reading is good to some 30 ns).
  static constexpr std::uint64_t kMinBaseline = 1'000'000;  // ns

  // Takes the anchor of the rate measurement: create it early, so that nobody has to wait for the baseline.
  ClockSource();

  // Publishes to `page` from now on, with a first sample. Waits until kMinBaseline after the constructor (at most 1 ms).
  void publish_to(host_abi::ClockPage& page);

  // Takes a sample. Any thread; no signal handler. Does nothing before publish_to.
  void sample();

  // True if the TSC runs at one rate on all processors; otherwise tsc_hz stays 0 and the enclave must ask for samples.
  bool tsc_usable() const { return tsc_usable_; }

 private:
  struct Reading {
    std::uint64_t tsc = 0;
    std::uint64_t monotonic = 0;
  };
  static Reading read_pair();
  std::uint64_t rate_locked(const Reading& now);

  const bool tsc_usable_;
  Reading anchor_;
  std::mutex mutex_;
  host_abi::ClockPage* page_ = nullptr;  // guarded by mutex_
};

}  // namespace host
#endif  // HOST_CLOCK_H
