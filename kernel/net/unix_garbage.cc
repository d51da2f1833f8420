#include "kernel/net/unix_garbage.h"

#include <utility>

#include "kernel/net/in_flight.h"
#include "kernel/net/unix_socket.h"
#include "kernel/sync/lock.h"
#include "kernel/task/thread.h"

namespace kernel {

// --- what is dropped ---

namespace {
struct Scopes {
  SpinLock<LockRank::socket> lock;
  List<DiscardScope, DiscardTag> outermost GUARDED_BY(lock);  // one for each thread that is discarding
};
constinit Scopes scopes;  // NOLINT: of the instance
}  // namespace

DiscardScope* DiscardScope::find(const void* thread) {
  const LockGuard guard(scopes.lock);
  DiscardScope* scope = scopes.outermost.front();
  while (scope != nullptr && scope->thread_ != thread) scope = scopes.outermost.next(*scope);
  return scope;
}

DiscardScope::DiscardScope() : thread_(&current_thread()), outer_(find(thread_)) {
  if (outer_ != nullptr) return;
  const LockGuard guard(scopes.lock);
  scopes.outermost.push_back(*this);
}

DiscardScope::~DiscardScope() {
  if (outer_ != nullptr) return;
  for (;;) {
    // What one of them closes adds to the lists.
    const RefPtr<StreamMark> mark(marks_.pop_front());
    const RefPtr<UnixMessage> message(messages_.pop_front());
    if (!mark && !message) break;
    if (mark) mark->deref();  // the list's
    if (message) message->deref();
  }
  const LockGuard guard(scopes.lock);
  unlink();
}

void DiscardScope::add(Ref<StreamMark> mark) {
  mark->ref();
  (outer_ != nullptr ? outer_ : this)->marks_.push_back(*mark);
}

void DiscardScope::add(Ref<UnixMessage> message) {
  message->ref();
  (outer_ != nullptr ? outer_ : this)->messages_.push_back(*message);
}

// --- what nobody can reach ---

namespace {

constexpr std::uint64_t kMany = 16000;  // in flight, as Linux has it
constexpr int kTries = 8;

struct Collector {
  std::atomic<bool> busy{false};
  std::atomic<bool> wanted{false};
};
constinit Collector collector;  // NOLINT: of the instance

using Sockets = Vec<Ref<UnixSocket>>;

template <class Visit>
void each_in_queue(UnixSocket& socket, const Visit& visit) {
  socket.end().each_ancillary([&visit](const Ancillary& ancillary) {
    for (const Ref<UnixSocket>& held : ancillary.flight.sockets()) visit(*held);
  });
}

// Marks those of `all` that are reachable. Every handle of a suspect is in flight; one that the queues of other suspects do not account for is
// in a queue that somebody can read, or on its way into one, and makes it reachable with all that its own queue holds.
void mark_reachable(Sockets& all, Sockets& found) {
  for (const Ref<UnixSocket>& socket : all) {
    if (!socket->flight().suspect) continue;
    each_in_queue(*socket, [](UnixSocket& held) {
      if (held.flight().suspect && held.flight().unexplained != 0) --held.flight().unexplained;
    });
  }
  const auto reach = [&found](UnixSocket& socket) {
    UnixSocket::Flight& flight = socket.flight();
    if (!flight.suspect) return;
    flight.suspect = false;
    const Result<> noted = found.try_push(Ref<UnixSocket>(socket));  // there is room: no allocation
    KASSERT(noted.ok());
  };
  for (const Ref<UnixSocket>& socket : all)
    if (socket->flight().unexplained != 0) reach(*socket);
  while (!found.empty()) {
    const Ref<UnixSocket> socket = found.back();
    found.pop_back();
    each_in_queue(*socket, reach);
  }
}

// One look. False: descriptors were sent or received meanwhile, or there is no memory, so nothing is known.
bool collect_once() {
  Sockets all, found;
  const std::uint64_t generation = InFlight::generation();
  if (!InFlight::list_sockets(all) || !found.try_reserve(all.size()).ok()) return false;
  mark_reachable(all, found);
  // Whoever is garbage now stays so: nobody has it who could give it to anybody.
  const bool known = generation == InFlight::generation();
  {
    DiscardScope scope;
    for (const Ref<UnixSocket>& socket : all)
      if (std::exchange(socket->flight().suspect, false) && known) socket->end().drop_input(scope);
  }
  return known;
}

}  // namespace

bool is_unix_garbage_likely() { return InFlight::socket_count() > kMany; }

void collect_unix_garbage() {
  if (InFlight::socket_count() == 0) return;
  {
    const DiscardScope probe;
    if (!probe.is_outermost()) return;
  }
  collector.wanted.store(true);
  while (collector.wanted.load()) {
    if (collector.busy.exchange(true)) return;  // whoever is at it looks again afterwards
    while (collector.wanted.exchange(false)) {
      for (int tries = 0; tries < kTries && !collect_once(); ++tries) {
      }
    }
    collector.busy.store(false);
  }
}

}  // namespace kernel
