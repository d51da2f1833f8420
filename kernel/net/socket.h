// Socket: what the socket system calls ask of every address family.
#ifndef KERNEL_NET_SOCKET_H
#define KERNEL_NET_SOCKET_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "abi/socket.h"
#include "kernel/base/live_count.h"
#include "kernel/base/vec.h"
#include "kernel/net/in_flight.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

inline constexpr std::int32_t kDefaultSocketBuffer = 212992;  // /proc/sys/net/core/wmem_default, and the other three beside it

// A struct sockaddr in kernel memory.
struct SocketAddress {
  std::array<std::byte, abi::kSockaddrMax> bytes{};
  std::size_t size = 0;
  std::span<const std::byte> view() const LIFETIMEBOUND { return std::span<const std::byte>(bytes).first(size); }
};

// A control message of another level than SOL_SOCKET, or a time stamp.
struct ControlMessage {
  std::int32_t level = 0, type = 0;
  std::array<std::byte, 24> data{};
  std::size_t size = 0;
};

// What travels beside data (SCM_RIGHTS, SCM_CREDENTIALS, and what a datagram's options ask for).
struct Ancillary {
  Vec<FileHandle> files;
  InFlight flight;  // counts the files
  std::optional<abi::Ucred> credential;
  Vec<ControlMessage> messages;  // between a program and its socket: they do not travel
  bool empty() const { return files.empty() && !credential; }
};

struct SendRequest {
  IoSource& source;
  std::span<const std::byte> address;  // empty: to the peer
  Ancillary* ancillary = nullptr;      // its content is moved out when it has been sent
  std::uint32_t flags = 0;             // abi::kMsg*
};

struct ReceiveRequest {
  IoSink& sink;
  std::uint32_t flags = 0;
  SocketAddress* from = nullptr;    // receives the sender's address; null = not wanted
  Ancillary* ancillary = nullptr;   // null = dropped
  std::uint32_t out_flags = 0;      // kMsgTrunc...
  bool has_credential_option = false;  // out: SO_PASSCRED is on
};

class Socket : public OpenFile {
 public:
  std::int32_t domain() const { return domain_; }
  std::int32_t type() const { return type_; }
  std::int32_t protocol() const { return protocol_; }

  // Errors as the man pages of the calls list them. Addresses are as the program gave them: family first, any length up to 128.
  virtual Result<> bind(Task& task, std::span<const std::byte> address) = 0;
  virtual Result<> connect(Task& task, std::span<const std::byte> address) = 0;
  virtual Result<> listen(Task& task, std::int32_t backlog) = 0;
  // The new socket with `flags` (O_NONBLOCK).
  virtual Result<Ref<Socket>> accept(std::uint32_t flags) = 0;
  virtual Result<SocketAddress> local_address() = 0;
  virtual Result<SocketAddress> peer_address() = 0;
  virtual Result<> shutdown(std::int32_t how) = 0;
  // Bytes sent. EPIPE does not raise SIGPIPE: wants_sigpipe() says whether the caller has to.
  virtual Result<std::size_t> send(SendRequest& request) = 0;
  // Bytes received; of a message that was cut, with kMsgTrunc in the request the full length.
  virtual Result<std::size_t> receive(ReceiveRequest& request) = 0;
  // Options below and above SOL_SOCKET's common ones, which are kept here. ENOPROTOOPT.
  virtual Result<std::size_t> get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into);
  virtual Result<> set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value);
  virtual bool is_listening() const = 0;
  virtual std::int32_t take_error() { return 0; }  // SO_ERROR
  virtual bool wants_sigpipe() const { return type_ == abi::kSockStream; }

  // OpenFile
  Result<std::size_t> read(IoSink& sink) override;
  Result<std::size_t> write(IoSource& source) override;
  Result<Attributes> attributes() override;
  std::size_t describe(std::span<char> into) override;
  FileKind kind() const final { return FileKind::socket; }
  bool is_stream() const override { return true; }
  std::uint32_t async_events() const final { return kPollIn | kPollOut | kPollHup | kPollRdHup; }
  Nameless& nameless() final { return nameless_; }

 protected:
  Socket(std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags);
  bool must_not_block(std::uint32_t message_flags) const { return is_nonblocking() || (message_flags & abi::kMsgDontWait) != 0; }
  Instant receive_deadline() const { return deadline(receive_timeout_); }
  Instant send_deadline() const { return deadline(send_timeout_); }
  // Of an option that is a number and kept here.
  std::int32_t plain_value(std::int32_t name) const;
  void set_plain(std::int32_t name, std::int32_t value);
  void copy_plain_options(const Socket& other);
  bool resets_at_close() const { return linger_[0].load(std::memory_order_relaxed) != 0 && linger_[1].load(std::memory_order_relaxed) == 0; }
  std::uint64_t number() const { return number_; }
  bool passes_credentials() const { return pass_credentials_.load(std::memory_order_relaxed); }

 private:
  [[no_unique_address]] LiveMark<LiveKind::socket> live_;
  static Instant deadline(const std::atomic<std::uint64_t>& timeout);
  struct PlainOption {
    std::int32_t name;
    std::atomic<std::int32_t> value;
  };
  std::atomic<std::int32_t>* plain_option(std::int32_t name);
  Result<> set_plain_option(Task& task, std::int32_t name, std::int32_t number);

  const std::int32_t domain_, type_, protocol_;
  const std::uint64_t number_;  // inode number
  Nameless nameless_{mode_of(FileType::socket) | 0777, Nameless::Changes::allowed};
  std::atomic<std::uint64_t> receive_timeout_{0}, send_timeout_{0};  // ns, 0 = none
  std::atomic<bool> pass_credentials_{false};
  std::array<PlainOption, 15> plain_options_;
  std::array<std::atomic<std::int32_t>, 2> linger_{};
};

// A new socket; EAFNOSUPPORT for families that this kernel does not have, EPROTONOSUPPORT, ESOCKTNOSUPPORT. `flags`: O_NONBLOCK.
Result<Ref<Socket>> make_socket(Task& task, std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags);
struct SocketPair {
  Ref<Socket> first, second;
};
Result<SocketPair> make_socket_pair(Task& task, std::int32_t domain, std::int32_t type, std::int32_t protocol, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_NET_SOCKET_H
