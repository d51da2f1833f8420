// What TCP and UDP sockets have in common: names, options of IP, ioctls.
#ifndef KERNEL_NET_INET_SOCKET_H
#define KERNEL_NET_INET_SOCKET_H

#include <atomic>
#include <cstdint>

#include "kernel/net/inet_options.h"
#include "kernel/net/inet_table.h"
#include "kernel/net/socket.h"

namespace kernel {

class InetSocket : public Socket {
 public:
  ~InetSocket() override;
  Result<> bind(Task& task, std::span<const std::byte> address) override;
  Result<SocketAddress> local_address() override;
  Result<SocketAddress> peer_address() override;
  Result<std::size_t> get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) override;
  Result<> set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) override;
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  WaitQueue* wait_queue() override { return &end_->queue(); }

 protected:
  InetSocket(std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags, Ref<InetEnd> end);
  // As accept() does for the new socket.
  void inherit_options(InetSocket& listener);
  bool is_v6_only() const { return end_->v6_only.load(std::memory_order_relaxed); }
  InetOptions& options() LIFETIMEBOUND { return options_; }
  // SIOCINQ and SIOCOUTQ. EINVAL where the state forbids it.
  virtual Result<std::uint64_t> queued_bytes(bool outgoing) = 0;
  Result<> give_count(std::uint64_t count, std::uint64_t argument);

 private:
  Result<> set_socket_option(Task& task, std::int32_t name, std::span<const std::byte> value);
  const Ref<InetEnd> end_;
  InetOptions options_;
};

// EPROTONOSUPPORT, ESOCKTNOSUPPORT, EINVAL.
Result<Ref<Socket>> make_inet_socket(Task& task, std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_NET_INET_SOCKET_H
