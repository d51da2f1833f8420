// Who is bound to which port: the names of all internet sockets, one lock for all of them.
#ifndef KERNEL_NET_INET_TABLE_H
#define KERNEL_NET_INET_TABLE_H

#include <atomic>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/net/inet_address.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"
#include "kernel/vfs/net_tables.h"

namespace kernel {

// /proc/sys/net/ipv4/ip_local_port_range
inline constexpr std::uint16_t kFirstEphemeral = 32768, kLastEphemeral = 60999;
inline constexpr std::uint16_t kFirstUnprivileged = 1024;

struct InetNames {
  InetEndpoint local, remote;
  bool connected = false;     // remote counts
  bool chose_address = false;  // bind() named it: it stays when the connection goes
  bool chose_port = false;
};

struct InetTableTag;
// What a socket is to the others. It outlives its socket as long as a peer or a listener's queue refers to it.
class InetEnd : public RefCounted<InetEnd>, public ListNode<InetTableTag> {
 public:
  virtual ~InetEnd() = default;
  std::int32_t protocol() const { return protocol_; }
  std::uint32_t uid() const { return uid_; }
  std::int32_t domain() const { return domain_; }
  WaitQueue& queue() LIFETIMEBOUND { return queue_; }

  // SO_REUSEADDR, SO_REUSEPORT, IPV6_V6ONLY as other sockets' bind() looks at them.
  std::atomic<bool> reuse_address{false}, reuse_port{false}, v6_only{false};
  std::atomic<std::uint64_t> inode{0};

  virtual bool is_listening() const { return false; }
  // For /proc/net; with the table's lock held.
  virtual NetRow row() const = 0;

 protected:
  InetEnd(std::int32_t domain, std::int32_t protocol, std::uint32_t uid) : domain_(domain), protocol_(protocol), uid_(uid) {
    names_.local.address = names_.remote.address = InetAddress::any(domain);
  }

 private:
  friend class InetTable;
  const std::int32_t domain_, protocol_;
  const std::uint32_t uid_;
  WaitQueue queue_;
  InetNames names_;  // with the table's lock
};

class InetTable final : public NetTables {
 public:
  constexpr InetTable() = default;
  InetNames names(const InetEnd& end) EXCLUDES(lock_);
  // bind(2): port 0 draws one. EADDRINUSE; EINVAL if it has a port already.
  Result<> bind(InetEnd& end, const InetEndpoint& local) EXCLUDES(lock_);
  // Draws a port unless there is one. EADDRNOTAVAIL if there is none left.
  Result<> bind_automatically(InetEnd& end) EXCLUDES(lock_);
  // Sets the peer, and the own address unless bind() named one.
  void connect(InetEnd& end, const InetEndpoint& remote) EXCLUDES(lock_);
  // The reverse; a port that was drawn goes back.
  void disconnect(InetEnd& end) EXCLUDES(lock_);
  // Enters the server's end of a new connection under its listener's port.
  void enter_connected(InetEnd& end, const InetEndpoint& local, const InetEndpoint& remote) EXCLUDES(lock_);
  // The port again, now that the socket will listen: EADDRINUSE if another one listens. `start` runs with the lock held.
  template <class Start>
  Result<> listen(InetEnd& end, Start&& start) EXCLUDES(lock_) {
    const LockGuard guard(lock_);
    if (conflicts_locked(end, end.names_.local, true)) return Errno::addrinuse;
    if (end.is_linked()) {
      // Listeners stand first: who looks for one need not pass all their connections.
      end.unlink();
      bucket(end.protocol_, end.names_.local.port).push_front(end);
    }
    start();
    return {};
  }
  // Takes it out; the names stay for getsockname().
  void release(InetEnd& end) EXCLUDES(lock_);

  // Who takes a connection, or a datagram of `from`, to `to`; null if nobody does. Equal ones with SO_REUSEPORT take turns.
  RefPtr<InetEnd> find_listener(const InetEndpoint& to) EXCLUDES(lock_);
  RefPtr<InetEnd> find_datagram(const InetEndpoint& to, const InetEndpoint& from) EXCLUDES(lock_);

  // For /proc/net/tcp and its like.
  Result<Vec<NetRow>> rows(std::int32_t protocol, std::int32_t domain) override EXCLUDES(lock_);
  Result<Vec<UnixRow>> all_unix() override;

 private:
  static constexpr std::size_t kBuckets = 64;
  using Bucket = List<InetEnd, InetTableTag>;
  Bucket& bucket(std::int32_t protocol, std::uint16_t port) LIFETIMEBOUND REQUIRES(lock_) {
    return buckets_[protocol == abi::kIpProtoTcp ? 0 : 1][port % kBuckets];
  }
  bool conflicts_locked(const InetEnd& end, const InetEndpoint& local, bool may_share) REQUIRES(lock_);
  void insert_locked(InetEnd& end) REQUIRES(lock_);
  Result<> draw_port_locked(InetEnd& end, const InetEndpoint& wanted, std::uint16_t start) REQUIRES(lock_);
  template <class Score>
  RefPtr<InetEnd> best_locked(std::int32_t protocol, std::uint16_t port, Score&& score) REQUIRES(lock_);

  SpinLock<LockRank::socket> lock_;
  std::array<std::array<Bucket, kBuckets>, 2> buckets_ GUARDED_BY(lock_);  // without references: an end leaves before its last holder lets go
  std::uint32_t turn_ GUARDED_BY(lock_) = 0;
};

InetTable& inet_table();

}  // namespace kernel
#endif  // KERNEL_NET_INET_TABLE_H
