#include "kernel/net/in_flight.h"

#include "kernel/sync/lock.h"

namespace kernel {
namespace {

struct Users {
  SpinLock<LockRank::ipc> lock;
  List<UserFlight, FlightTag> list GUARDED_BY(lock);  // owns nothing
};
constinit Users users;  // NOLINT: of the instance

}  // namespace

UserFlight::~UserFlight() {
  const LockGuard guard(users.lock);
  if (is_linked()) unlink();
}

InFlight::~InFlight() {
  if (user_) user_->count.fetch_sub(count_, std::memory_order_relaxed);
}

Result<> InFlight::add(std::uint32_t uid, std::uint64_t count, std::uint64_t limit) {
  if (!user_) {
    const Ref<UserFlight> fresh = TRY(make_ref<UserFlight>(uid));
    RefPtr<UserFlight> found;
    {
      const LockGuard guard(users.lock);
      for (UserFlight* user = users.list.front(); user != nullptr && !found; user = users.list.next(*user))
        if (user->uid() == uid && user->try_ref()) {
          found = RefPtr<UserFlight>(user);
          user->deref();
        }
      if (!found) {
        users.list.push_back(*fresh);
        found = fresh;
      }
    }
    user_ = std::move(found);
  }
  if (user_->count.load(std::memory_order_relaxed) > limit) return Errno::toomanyrefs;
  user_->count.fetch_add(count, std::memory_order_relaxed);
  count_ += count;
  return {};
}

}  // namespace kernel
