// TCP (tcp(7)) between two programs of the enclave.
#ifndef KERNEL_NET_TCP_SOCKET_H
#define KERNEL_NET_TCP_SOCKET_H

#include <atomic>
#include <cstdint>

#include "kernel/net/inet_socket.h"
#include "kernel/net/tcp_end.h"

namespace kernel {

class TcpSocket final : public InetSocket {
 public:
  TcpSocket(std::int32_t domain, std::uint32_t flags, Ref<TcpEnd> end, RefPtr<TcpEnd> peer);
  ~TcpSocket() override = default;

  Result<> connect(Task& task, std::span<const std::byte> address) override;
  Result<> listen(Task& task, std::int32_t backlog) override;
  Result<Ref<Socket>> accept(std::uint32_t flags) override;
  Result<SocketAddress> peer_address() override;
  Result<> shutdown(std::int32_t how) override;
  Result<std::size_t> send(SendRequest& request) override;
  Result<std::size_t> receive(ReceiveRequest& request) override;
  Result<std::size_t> get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) override;
  Result<> set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) override;
  bool is_listening() const override { return end_->is_listening(); }
  std::int32_t take_error() override { return end_->take_error(); }

  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override;
  void on_last_close() override;

 protected:
  Result<std::uint64_t> queued_bytes(bool outgoing) override;

 private:
  void adopt_buffer_size(std::int32_t name);
  // What connect(2) has been told: the other half of the state, as Linux's struct socket keeps it.
  enum class Attempt : std::uint8_t { none, running, done };

  RefPtr<TcpEnd> peer() const EXCLUDES(lock_);
  void set_peer(RefPtr<TcpEnd> peer) EXCLUDES(lock_);
  void disconnect();
  Result<> start_connecting(std::span<const std::byte> address);
  Result<> finish_connecting(Errno pending);
  // Waits until the connection stands. EPIPE if there is none and none under way.
  Result<> await_connection(std::uint32_t flags);
  Errno broken_pipe();  // why nothing can be sent
  Result<std::size_t> send_stream(TcpEnd& to, SendRequest& request);
  Result<std::size_t> send_urgent(TcpEnd& to, SendRequest& request);
  Result<std::size_t> receive_urgent(ReceiveRequest& request);
  Result<std::size_t> read_stream(ReceiveRequest& request, std::size_t total);
  Result<bool> input_is_over();
  abi::TcpInfo info() const;

  const Ref<TcpEnd> end_;
  mutable SpinLock<LockRank::socket> lock_;
  RefPtr<TcpEnd> peer_ GUARDED_BY(lock_);
  std::atomic<Attempt> attempt_{Attempt::none};
};

}  // namespace kernel
#endif  // KERNEL_NET_TCP_SOCKET_H
