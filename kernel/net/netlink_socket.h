// Netlink sockets of the family NETLINK_ROUTE (netlink(7), rtnetlink(7)): questions about interfaces; nothing can be changed, and nothing
// ever changes, so that groups stay silent.
#ifndef KERNEL_NET_NETLINK_SOCKET_H
#define KERNEL_NET_NETLINK_SOCKET_H

#include <atomic>
#include <cstdint>

#include "abi/netlink.h"
#include "kernel/net/datagram_queue.h"
#include "kernel/net/socket.h"

namespace kernel {

class NetlinkSocket final : public Socket {
 public:
  NetlinkSocket(std::int32_t type, std::uint32_t flags) : Socket(abi::kAfNetlink, type, abi::kNetlinkRoute, flags) {}
  ~NetlinkSocket() override;

  Result<> bind(Task& task, std::span<const std::byte> address) override;
  Result<> connect(Task& task, std::span<const std::byte> address) override;
  Result<> listen(Task&, std::int32_t) override { return Errno::opnotsupp; }
  Result<Ref<Socket>> accept(std::uint32_t) override { return Errno::opnotsupp; }
  Result<SocketAddress> local_address() override;
  Result<SocketAddress> peer_address() override;
  Result<> shutdown(std::int32_t) override { return Errno::opnotsupp; }
  Result<std::size_t> send(SendRequest& request) override;
  Result<std::size_t> receive(ReceiveRequest& request) override;
  Result<std::size_t> get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) override;
  Result<> set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) override;
  bool is_listening() const override { return false; }
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override { return kPollWritable | (inbox_.empty() ? 0 : kPollReadable); }
  WaitQueue* wait_queue() override { return &queue_; }

 private:
  Result<> take_port(Task& task, std::uint32_t wanted);
  Result<> answer(Task& task, const abi::Nlmsghdr& header, std::span<const std::byte> whole);
  Result<> queue_answer(Vec<std::byte> bytes);
  Result<> queue_error(const abi::Nlmsghdr& header, std::span<const std::byte> whole, std::int32_t error);

  WaitQueue queue_;
  DatagramQueue inbox_;
  std::atomic<std::uint32_t> port_{0}, groups_{0}, flags_{0};
};

// ESOCKTNOSUPPORT, EPROTONOSUPPORT.
Result<Ref<Socket>> make_netlink_socket(Task& task, std::int32_t type, std::int32_t protocol, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_NET_NETLINK_SOCKET_H
