// How many descriptors each user has on their way through Unix sockets (SCM_RIGHTS), for the limit of unix(7).
#ifndef KERNEL_NET_IN_FLIGHT_H
#define KERNEL_NET_IN_FLIGHT_H

#include <cstdint>
#include <span>

#include "kernel/base/ref.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class UnixSocket;

// Counts descriptors for a user while it lives, and Unix sockets among them as being in flight. Travels with them.
class InFlight {
 public:
  InFlight();
  InFlight(InFlight&& other) noexcept;
  InFlight& operator=(InFlight&& other) noexcept;
  ~InFlight();
  // `count` more of `uid`, the same at each call. ETOOMANYREFS if the user has more than `limit` on their way already. ENOMEM.
  Result<> add(std::uint32_t uid, std::uint64_t count, std::uint64_t limit);
  // The files are about to enter a queue. ENOMEM.
  Result<> depart(std::span<const FileHandle> files);
  std::span<const Ref<UnixSocket>> sockets() const LIFETIMEBOUND { return sockets_.span(); }

  // --- of all that are in flight ---
  static std::uint64_t socket_count();
  // Changes whenever a socket enters or leaves a queue, or may become reachable in another way.
  static std::uint64_t generation();
  static void note_change();
  // Those whose handles are all in flight, with the fields of their Flight set. False: no memory.
  static bool list_sockets(Vec<Ref<UnixSocket>>& into);

 private:
  std::uint32_t uid_ = 0;
  std::uint64_t count_ = 0;
  Vec<Ref<UnixSocket>> sockets_;
};

}  // namespace kernel
#endif  // KERNEL_NET_IN_FLIGHT_H
