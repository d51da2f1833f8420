// Unix sockets (unix(7)): stream, datagram and seqpacket. Everything stays inside the enclave.
#ifndef KERNEL_NET_UNIX_SOCKET_H
#define KERNEL_NET_UNIX_SOCKET_H

#include <atomic>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/net/socket.h"
#include "kernel/net/unix_end.h"
#include "kernel/net/unix_list.h"
#include "kernel/net/unix_names.h"

namespace kernel {

struct FlyingTag;

class UnixSocket final : public Socket, public ListNode<FlyingTag>, public UnixListed {
 public:
  // Of a socket whose descriptors are in queues of Unix sockets.
  struct Flight {
    std::uint32_t count = 0;  // how many: guarded by the lock of in_flight.cc
    // The collector's (unix_garbage.cc), one at a time: all its handles are in flight, and no reachable place was found for any; handles that
    // queues of other suspects do not account for.
    bool suspect = false;
    std::uint32_t unexplained = 0;
  };
  UnixSocket(std::int32_t type, std::int32_t protocol, std::uint32_t flags, Ref<UnixEnd> end, RefPtr<UnixEnd> peer);
  ~UnixSocket() override { unlist_unix_socket(*this); }

  Result<> bind(Task& task, std::span<const std::byte> address) override;
  Result<> connect(Task& task, std::span<const std::byte> address) override;
  Result<> listen(Task& task, std::int32_t backlog) override;
  Result<Ref<Socket>> accept(std::uint32_t flags) override;
  Result<SocketAddress> local_address() override;
  Result<SocketAddress> peer_address() override;
  Result<> shutdown(std::int32_t how) override;
  Result<std::size_t> send(SendRequest& request) override;
  Result<std::size_t> receive(ReceiveRequest& request) override;
  Result<std::size_t> get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) override;
  Result<> set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) override;
  bool is_listening() const override { return end_->is_listening(); }
  bool has_descriptors() const override { return handles() != 0; }
  UnixRow row() const override;
  void tell_of_room(const UnixEnd& end) override EXCLUDES(lock_);
  Flight& flight() LIFETIMEBOUND { return flight_; }
  UnixEnd& end() LIFETIMEBOUND { return *end_; }
  std::int32_t take_error() override { return end_->take_error(); }

  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &end_->queue(); }
  void on_last_close() override;
  std::size_t describe(std::span<char> into) override { return Socket::describe(into); }

 private:
  bool is_connected() const { return connected_.load(std::memory_order_acquire); }
  // The peer, or nullptr. For stream and seqpacket sockets it never changes once it is set.
  RefPtr<UnixEnd> peer() const EXCLUDES(lock_);
  void set_peer(RefPtr<UnixEnd> peer) EXCLUDES(lock_);
  Result<> connect_stream(Task& task, const Ref<UnixEnd>& listener);
  Result<std::size_t> send_stream(UnixEnd& to, SendRequest& request);
  Result<RefPtr<UnixEnd>> receiver_of(Task& task, const SendRequest& request) EXCLUDES(lock_);
  Result<std::size_t> send_message(Task& task, SendRequest& request);
  void apply_send_buffer();
  bool is_writable(UnixEnd* other) const;
  Result<std::size_t> receive_stream(ReceiveRequest& request);
  Result<std::size_t> receive_message(ReceiveRequest& request);
  Result<> await_input(std::uint32_t flags, Instant deadline);
  void note_credential(ReceiveRequest& request, const RefPtr<UnixEnd>& peer);

  Flight flight_;
  const Ref<UnixEnd> end_;
  mutable SpinLock<LockRank::socket> lock_;
  RefPtr<UnixEnd> peer_ GUARDED_BY(lock_);
  RefPtr<UnixBinding> binding_ GUARDED_BY(lock_);
  UnixEnd* stream_peer_ = nullptr;  // of a connected stream socket: peer_, which stays until this object dies; after connected_
  std::atomic<bool> connected_{false};
  std::atomic<bool> write_shut_{false};
  std::atomic<bool> bound_{false};
};

// `type` without flags. EPROTONOSUPPORT, ESOCKTNOSUPPORT.
Result<Ref<Socket>> make_unix_socket(Task& task, std::int32_t type, std::int32_t protocol, std::uint32_t flags);
Result<SocketPair> make_unix_pair(Task& task, std::int32_t type, std::int32_t protocol, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_NET_UNIX_SOCKET_H
