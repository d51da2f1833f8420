#include "kernel/net/in_flight.h"

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/sync/lock.h"

namespace kernel {
namespace {

struct FlightTag;
// What one user has in flight, as long as that is anything.
struct UserFlight final : ListNode<FlightTag> {
  explicit UserFlight(std::uint32_t user) : uid(user) {}
  const std::uint32_t uid;
  std::uint64_t count = 0;
};

struct Users {
  SpinLock<LockRank::ipc> lock;
  List<UserFlight, FlightTag> list GUARDED_BY(lock);  // owns them

  UserFlight* find_locked(std::uint32_t uid) REQUIRES(lock) {
    UserFlight* user = list.front();
    while (user != nullptr && user->uid != uid) user = list.next(*user);
    return user;
  }
};
constinit Users users;  // NOLINT: of the instance

}  // namespace

InFlight::~InFlight() {
  if (count_ == 0) return;
  Own<UserFlight> gone;  // freed without the lock
  const LockGuard guard(users.lock);
  UserFlight* user = users.find_locked(uid_);
  KASSERT(user != nullptr && user->count >= count_);
  user->count -= count_;
  if (user->count != 0) return;
  user->unlink();
  gone = Own<UserFlight>::adopt(user, {.size = sizeof(UserFlight), .align = alignof(UserFlight)});
}

Result<> InFlight::add(std::uint32_t uid, std::uint64_t count, std::uint64_t limit) {
  if (count == 0) return {};
  Own<UserFlight> fresh = TRY(make_own<UserFlight>(uid));
  const LockGuard guard(users.lock);
  UserFlight* user = users.find_locked(uid);
  if (user != nullptr && user->count > limit) return Errno::toomanyrefs;
  if (user == nullptr) {
    user = fresh.leak();
    users.list.push_back(*user);
  }
  user->count += count;
  uid_ = uid;
  count_ += count;
  return {};
}

}  // namespace kernel
