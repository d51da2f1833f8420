#include "kernel/net/in_flight.h"

#include <atomic>
#include <utility>

#include "kernel/base/list.h"
#include "kernel/net/unix_socket.h"
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

// The sockets in flight.
struct Flying {
  SpinLock<LockRank::socket> lock;
  List<UnixSocket, FlyingTag> list GUARDED_BY(lock);
  std::atomic<std::uint64_t> count{0}, generation{0};

  void enter(UnixSocket& socket) EXCLUDES(lock) {
    const LockGuard guard(lock);
    generation.fetch_add(1, std::memory_order_acq_rel);
    if (socket.flight().count++ != 0) return;
    list.push_back(socket);
    count.fetch_add(1, std::memory_order_relaxed);
  }
  void leave(UnixSocket& socket) EXCLUDES(lock) {
    const LockGuard guard(lock);
    generation.fetch_add(1, std::memory_order_acq_rel);
    KASSERT(socket.flight().count != 0);
    if (--socket.flight().count != 0) return;
    socket.ListNode<FlyingTag>::unlink();
    count.fetch_sub(1, std::memory_order_relaxed);
  }
};
constinit Flying flying;  // NOLINT: of the instance

}  // namespace

InFlight::InFlight() = default;
InFlight::InFlight(InFlight&& other) noexcept
    : uid_(other.uid_), count_(std::exchange(other.count_, 0)), sockets_(std::move(other.sockets_)) {}
InFlight& InFlight::operator=(InFlight&& other) noexcept {
  std::swap(uid_, other.uid_);
  std::swap(count_, other.count_);
  std::swap(sockets_, other.sockets_);
  return *this;
}

InFlight::~InFlight() {
  for (const Ref<UnixSocket>& socket : sockets_) flying.leave(*socket);
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

Result<> InFlight::depart(std::span<const FileHandle> files) {
  for (const FileHandle& handle : files) {
    const RefPtr<OpenFile>& file = handle.file();
    if (!file || file->kind() != FileKind::socket) continue;
    // SAFETY: sockets are the files of that kind, and only UnixSocket is of that family.
    const Ref<Socket> socket(static_cast<Socket&>(*file));
    if (socket->domain() != abi::kAfUnix) continue;
    const Ref<UnixSocket> unix_socket(static_cast<UnixSocket&>(*socket));
    TRY(sockets_.try_push(unix_socket));
    flying.enter(*unix_socket);
  }
  return {};
}

std::uint64_t InFlight::socket_count() { return flying.count.load(std::memory_order_relaxed); }
std::uint64_t InFlight::generation() { return flying.generation.load(std::memory_order_acquire); }
void InFlight::note_change() { flying.generation.fetch_add(1, std::memory_order_acq_rel); }

bool InFlight::list_sockets(Vec<Ref<UnixSocket>>& into) {
  for (;;) {
    const std::uint64_t room = socket_count() + 16;
    if (!into.try_reserve(room).ok()) return false;
    const LockGuard guard(flying.lock);
    if (flying.count.load(std::memory_order_relaxed) > room) continue;
    // Those in flight have references until they are off the list.
    for (RefPtr<UnixSocket> socket(flying.list.front()); socket; socket = RefPtr<UnixSocket>(flying.list.next(*socket))) {
      UnixSocket::Flight& flight = socket->flight();
      if (socket->handles() != flight.count) continue;
      const Result<> noted = into.try_push(socket.as_ref());  // there is room
      KASSERT(noted.ok());
      flight.suspect = true;
      flight.unexplained = flight.count;
    }
    return true;
  }
}

}  // namespace kernel
