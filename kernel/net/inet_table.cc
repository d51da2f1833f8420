#include "kernel/net/inet_table.h"

#include <algorithm>

#include "kernel/crypto/random.h"
#include "kernel/net/unix_list.h"

namespace kernel {
namespace {

constinit InetTable table;  // NOLINT: the one table

// Could one address of a packet belong to both?
bool addresses_meet(const InetAddress& a, bool a_v6_only, const InetAddress& b, bool b_v6_only) {
  if (a.is_v4() == b.is_v4()) return a == b || a.is_any() || b.is_any();
  const bool wild_v6_is_a = b.is_v4();
  return wild_v6_is_a ? a.is_any() && !a_v6_only : b.is_any() && !b_v6_only;
}

std::uint16_t random_port() {
  std::uint16_t drawn = 0;
  random_bytes(std::as_writable_bytes(std::span<std::uint16_t, 1>(&drawn, 1)));
  return static_cast<std::uint16_t>(kFirstEphemeral + drawn % (kLastEphemeral - kFirstEphemeral + 1));
}

// How well a bound address suits a destination: 0 = not at all.
unsigned address_score(const InetAddress& bound, bool v6_only, const InetAddress& to) {
  if (bound == to) return 3;
  if (!bound.is_any()) return 0;
  if (bound.is_v4() == to.is_v4()) return 2;
  return to.is_v4() && !v6_only ? 1 : 0;
}

}  // namespace

InetTable& inet_table() { return table; }

InetNames InetTable::names(const InetEnd& end) {
  const LockGuard guard(lock_);
  return end.names_;
}

bool InetTable::conflicts_locked(const InetEnd& end, const InetEndpoint& local, bool may_share) {
  Bucket& list = bucket(end.protocol_, local.port);
  for (RefPtr<InetEnd> other(list.front()); other; other = RefPtr<InetEnd>(list.next(*other))) {
    if (other.get() == &end || other->names_.local.port != local.port) continue;
    if (!addresses_meet(local.address, end.v6_only.load(), other->names_.local.address, other->v6_only.load())) continue;
    if (!may_share) return true;
    // socket(7): SO_REUSEADDR on both, unless a stream socket listens there; SO_REUSEPORT on both, of one user.
    if (end.reuse_address.load() && other->reuse_address.load() && !other->is_listening()) continue;
    if (end.reuse_port.load() && other->reuse_port.load() && end.uid_ == other->uid_) continue;
    return true;
  }
  return false;
}

// Of datagram sockets that share a port the newest is found first.
void InetTable::insert_locked(InetEnd& end) {
  Bucket& list = bucket(end.protocol_, end.names_.local.port);
  if (end.protocol_ == abi::kIpProtoTcp)
    list.push_back(end);
  else
    list.push_front(end);
}

Result<> InetTable::draw_port_locked(InetEnd& end, const InetEndpoint& wanted, std::uint16_t start) {
  constexpr unsigned kPorts = kLastEphemeral - kFirstEphemeral + 1;
  for (unsigned i = 0; i < kPorts; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstEphemeral + (start - kFirstEphemeral + i) % kPorts);
    const InetEndpoint local{.address = wanted.address, .port = port};
    if (conflicts_locked(end, local, false)) continue;
    end.names_.local = local;
    insert_locked(end);
    return {};
  }
  return Errno::addrinuse;
}

Result<> InetTable::bind(InetEnd& end, const InetEndpoint& local) {
  const std::uint16_t start = random_port();
  const LockGuard guard(lock_);
  if (end.is_linked() || end.names_.connected) return Errno::inval;
  if (local.port == 0) {
    TRY(draw_port_locked(end, local, start));
  } else {
    if (conflicts_locked(end, local, true)) return Errno::addrinuse;
    end.names_.local = local;
    insert_locked(end);
  }
  end.names_.chose_port = local.port != 0;
  end.names_.chose_address = !local.address.is_any();
  return {};
}

Result<> InetTable::bind_automatically(InetEnd& end) {
  const std::uint16_t start = random_port();
  const LockGuard guard(lock_);
  if (end.is_linked()) return {};
  return draw_port_locked(end, end.names_.local, start).ok() ? Result<>() : Errno::addrnotavail;
}

void InetTable::connect(InetEnd& end, const InetEndpoint& remote) {
  const LockGuard guard(lock_);
  end.names_.remote = remote;
  end.names_.connected = true;
  if (end.names_.local.address.is_any()) end.names_.local.address = InetAddress::loopback(remote.address.is_v4());
}

void InetTable::disconnect(InetEnd& end) {
  const LockGuard guard(lock_);
  end.names_.connected = false;
  end.names_.remote = {.address = InetAddress::any(end.domain_)};
  if (!end.names_.chose_address) end.names_.local.address = InetAddress::any(end.domain_);
  if (end.names_.chose_port) return;
  if (end.is_linked()) end.unlink();
  end.names_.local.port = 0;
}

void InetTable::enter_connected(InetEnd& end, const InetEndpoint& local, const InetEndpoint& remote) {
  const LockGuard guard(lock_);
  end.names_ = {.local = local, .remote = remote, .connected = true, .chose_address = true, .chose_port = true};
  insert_locked(end);
}

void InetTable::release(InetEnd& end) {
  const LockGuard guard(lock_);
  if (end.is_linked()) end.unlink();
}

template <class Score>
RefPtr<InetEnd> InetTable::best_locked(std::int32_t protocol, std::uint16_t port, Score&& score) {
  Bucket& list = bucket(protocol, port);
  RefPtr<InetEnd> best;
  unsigned best_score = 0;
  std::uint32_t equals = 0;
  for (RefPtr<InetEnd> end(list.front()); end; end = RefPtr<InetEnd>(list.next(*end))) {
    if (protocol == abi::kIpProtoTcp && !end->is_listening()) break;  // listeners stand first
    if (end->names_.local.port != port) continue;
    const unsigned value = score(*end);
    if (value == 0 || value < best_score) continue;
    equals = value == best_score ? equals + 1 : 1;
    best_score = value;
    if (equals == 1 || (end->reuse_port.load() && turn_ % equals == 0)) best = end;
  }
  if (equals > 1) ++turn_;
  return best;
}

RefPtr<InetEnd> InetTable::find_listener(const InetEndpoint& to) {
  const LockGuard guard(lock_);
  return best_locked(abi::kIpProtoTcp, to.port, [&](const InetEnd& end) {
    return address_score(end.names_.local.address, end.v6_only.load(), to.address);
  });
}

RefPtr<InetEnd> InetTable::find_datagram(const InetEndpoint& to, const InetEndpoint& from) {
  const LockGuard guard(lock_);
  return best_locked(abi::kIpProtoUdp, to.port, [&](const InetEnd& end) {
    if (end.names_.connected && end.names_.remote != from) return 0U;
    const unsigned score = address_score(end.names_.local.address, end.v6_only.load(), to.address);
    return score != 0 && end.names_.connected ? score + 4 : score;
  });
}

Result<Vec<UnixRow>> InetTable::all_unix() { return unix_rows(); }

Result<Vec<NetRow>> InetTable::rows(std::int32_t protocol, std::int32_t domain) {
  Vec<NetRow> rows;
  for (;;) {
    std::size_t needed = 0;
    {
      const LockGuard guard(lock_);
      for (Bucket& list : buckets_[protocol == abi::kIpProtoTcp ? 0 : 1]) {
        for (RefPtr<InetEnd> end(list.front()); end; end = RefPtr<InetEnd>(list.next(*end))) {
          if (end->domain_ != domain) continue;
          if (++needed > rows.capacity()) continue;
          NetRow row = end->row();
          row.local = end->names_.local.address.bytes;
          row.local_port = end->names_.local.port;
          row.remote = end->names_.remote.address.bytes;
          row.remote_port = end->names_.remote.port;
          row.uid = end->uid_;
          row.inode = end->inode.load(std::memory_order_relaxed);
          TRY(rows.try_push(row));  // within the capacity
        }
      }
    }
    if (needed <= rows.capacity()) return rows;
    rows.clear();
    TRY(rows.try_reserve(needed + 16));
  }
}

}  // namespace kernel
