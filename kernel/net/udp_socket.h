// UDP (udp(7)) between two programs of the enclave.
#ifndef KERNEL_NET_UDP_SOCKET_H
#define KERNEL_NET_UDP_SOCKET_H

#include <atomic>
#include <cstdint>

#include "kernel/net/datagram_queue.h"
#include "kernel/net/inet_socket.h"

namespace kernel {

class UdpEnd final : public InetEnd {
 public:
  UdpEnd(std::int32_t domain, std::uint32_t uid) : InetEnd(domain, abi::kIpProtoUdp, uid) {}
  DatagramQueue& inbox() LIFETIMEBOUND { return inbox_; }
  std::atomic<std::int32_t> error{0};
  std::atomic<std::int32_t> receive_limit{0};  // SO_RCVBUF
  std::atomic<bool> closed{false}, connected{false};
  NetRow row() const override;

 private:
  DatagramQueue inbox_;
};

class UdpSocket final : public InetSocket {
 public:
  UdpSocket(std::int32_t domain, std::uint32_t flags, Ref<UdpEnd> end);
  ~UdpSocket() override = default;

  Result<> connect(Task& task, std::span<const std::byte> address) override;
  Result<> listen(Task&, std::int32_t) override { return Errno::opnotsupp; }
  Result<Ref<Socket>> accept(std::uint32_t) override { return Errno::opnotsupp; }
  Result<> shutdown(std::int32_t how) override;
  Result<std::size_t> send(SendRequest& request) override;
  Result<std::size_t> receive(ReceiveRequest& request) override;
  Result<> set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) override;
  bool is_listening() const override { return false; }
  std::int32_t take_error() override { return end_->error.exchange(0); }
  std::uint32_t readiness() override;
  void on_last_close() override;

 protected:
  Result<std::uint64_t> queued_bytes(bool outgoing) override;

 private:
  Result<InetEndpoint> target_of(std::span<const std::byte> address);
  Result<> apply_controls(const SendRequest& request, Datagram& datagram);
  Result<> deliver(const Ref<Datagram>& datagram);
  Result<RefPtr<Datagram>> next_datagram(ReceiveRequest& request);
  Result<> note_options(const Datagram& datagram, ReceiveRequest& request);

  const Ref<UdpEnd> end_;
  std::atomic<bool> read_shut_{false}, write_shut_{false};
};

}  // namespace kernel
#endif  // KERNEL_NET_UDP_SOCKET_H
