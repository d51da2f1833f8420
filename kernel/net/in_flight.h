// How many descriptors each user has on their way through Unix sockets (SCM_RIGHTS), for the limit of unix(7).
#ifndef KERNEL_NET_IN_FLIGHT_H
#define KERNEL_NET_IN_FLIGHT_H

#include <cstdint>
#include <utility>

#include "kernel/base/result.h"

namespace kernel {

// Counts descriptors for a user while it lives. Travels with them.
class InFlight {
 public:
  InFlight() = default;
  InFlight(InFlight&& other) noexcept : uid_(other.uid_), count_(std::exchange(other.count_, 0)) {}
  InFlight& operator=(InFlight&& other) noexcept {
    std::swap(uid_, other.uid_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~InFlight();
  // `count` more of `uid`, the same at each call. ETOOMANYREFS if the user has more than `limit` on their way already. ENOMEM.
  Result<> add(std::uint32_t uid, std::uint64_t count, std::uint64_t limit);

 private:
  std::uint32_t uid_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_NET_IN_FLIGHT_H
