#include "kernel/net/unix_list.h"

#include <atomic>

#include "kernel/sync/lock.h"

namespace kernel {
namespace {

struct Everyone {
  SpinLock<LockRank::notify> lock;  // below the sockets' own: a row takes them
  List<UnixListed, UnixListTag> list GUARDED_BY(lock);
  std::atomic<std::uint64_t> count{0};
};
constinit Everyone everyone;  // NOLINT: of the instance

}  // namespace

void list_unix_socket(UnixListed& socket) {
  const LockGuard guard(everyone.lock);
  everyone.list.push_back(socket);
  everyone.count.fetch_add(1, std::memory_order_relaxed);
}

void unlist_unix_socket(UnixListed& socket) {
  const LockGuard guard(everyone.lock);
  socket.unlink();
  everyone.count.fetch_sub(1, std::memory_order_relaxed);
}

void tell_unix_senders(const UnixEnd& end) {
  const LockGuard guard(everyone.lock);
  for (UnixListed* socket = everyone.list.front(); socket != nullptr; socket = everyone.list.next(*socket)) socket->tell_of_room(end);
}

Result<Vec<UnixRow>> unix_rows() {
  Vec<UnixRow> rows;
  for (;;) {
    const std::uint64_t room = everyone.count.load(std::memory_order_relaxed) + 16;
    TRY(rows.try_reserve(room));
    const LockGuard guard(everyone.lock);
    if (everyone.count.load(std::memory_order_relaxed) > room) continue;
    // A socket on the list cannot finish dying before it is off, so its fields may be read; references to it are not to be made.
    for (UnixListed* socket = everyone.list.front(); socket != nullptr; socket = everyone.list.next(*socket))
      if (socket->has_descriptors()) TRY(rows.try_push(socket->row()));
    return rows;
  }
}

}  // namespace kernel
