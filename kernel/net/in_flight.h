// How many descriptors each user has on their way through Unix sockets (SCM_RIGHTS), for the limit of unix(7).
#ifndef KERNEL_NET_IN_FLIGHT_H
#define KERNEL_NET_IN_FLIGHT_H

#include <atomic>
#include <cstdint>
#include <utility>

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/base/result.h"

namespace kernel {

struct FlightTag;
// What one user has in flight. There is one object per user as long as anything is.
class UserFlight final : public RefCounted<UserFlight>, public ListNode<FlightTag> {
 public:
  explicit UserFlight(std::uint32_t uid) : uid_(uid) {}
  ~UserFlight();
  std::uint32_t uid() const { return uid_; }
  std::atomic<std::uint64_t> count{0};

 private:
  const std::uint32_t uid_;
};

// Counts descriptors for a user while it lives. Travels with them.
class InFlight {
 public:
  InFlight() = default;
  InFlight(InFlight&& other) noexcept : user_(std::move(other.user_)), count_(std::exchange(other.count_, 0)) {}
  InFlight& operator=(InFlight&& other) noexcept {
    std::swap(user_, other.user_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~InFlight();
  // `count` more of `uid`. ETOOMANYREFS if the user has more than `limit` on their way already. ENOMEM.
  Result<> add(std::uint32_t uid, std::uint64_t count, std::uint64_t limit);

 private:
  RefPtr<UserFlight> user_;
  std::uint64_t count_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_NET_IN_FLIGHT_H
