#include "kernel/syscall/socket.h"

#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "abi/process.h"
#include "kernel/frame/bytes.h"
#include "kernel/net/socket.h"
#include "kernel/syscall/control.h"
#include "kernel/syscall/io.h"
#include "kernel/syscall/time.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {
namespace {

constexpr std::uint32_t kMostMessages = 1024;  // UIO_MAXIOV
constexpr std::size_t kLongestOption = 256;

// EBADF, ENOTSOCK. Never null on success.
Result<RefPtr<Socket>> get_socket(Task& task, Fd fd) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (file->kind() != FileKind::socket) return Errno::notsock;
  // SAFETY: kind() says that it is a Socket.
  return RefPtr<Socket>(static_cast<Socket*>(file.get()));
}

Result<> load_address(SocketAddress& address, UserPtr<const std::byte> from, std::int32_t length) {
  if (length < 0 || static_cast<std::size_t>(length) > address.bytes.size()) return Errno::inval;
  address.size = static_cast<std::size_t>(length);
  return from.load_all(std::span(address.bytes).first(address.size));
}

// Stores as much of the address as there is room for, and its whole length.
Result<> store_address(const SocketAddress& address, UserPtr<std::byte> into, UserPtr<std::int32_t> length) {
  const std::int32_t room = TRY(length.load());
  if (room < 0) return Errno::inval;
  TRY(into.store_all(address.view().first(std::min(address.size, static_cast<std::size_t>(room)))));
  return length.store(static_cast<std::int32_t>(address.size));
}

Result<std::uint32_t> file_flags(std::uint32_t flags) {
  if ((flags & ~(abi::kSockNonBlock | abi::kSockCloExec)) != 0) return Errno::inval;
  return (flags & abi::kSockNonBlock) != 0 ? abi::kONonBlock : 0U;
}

Result<std::size_t> send_on(Task& task, Socket& socket, SendRequest& request) {
  auto sent = socket.send(request);
  if (!sent.ok() && sent.error() == Errno::pipe && socket.wants_sigpipe() && (request.flags & abi::kMsgNoSignal) == 0)
    raise_signal(task, abi::kSigPipe);
  return sent;
}

// One sendmsg of a header that has been read.
Result<std::size_t> send_message(Task& task, Socket& socket, const abi::MsgHdr& header, std::uint32_t flags) {
  SocketAddress address;
  if (header.name != 0 && header.name_length != 0)
    TRY(load_address(address, UserPtr<const std::byte>(header.name), static_cast<std::int32_t>(std::min<std::uint32_t>(header.name_length, 0x7fffffff))));
  if (header.iov_length > abi::kIovMax) return Errno::msgsize;
  UserIovec vector;
  TRY(vector.load(UserPtr<const abi::Iovec>(header.iov), header.iov_length));
  Ancillary ancillary;
  if (header.control != 0 && header.control_length != 0) TRY(load_control(task, header, ancillary));
  IoSource source(vector.segments(), vector.total());
  SendRequest request{.source = source, .address = address.view(), .ancillary = ancillary.empty() && ancillary.messages.empty() ? nullptr : &ancillary, .flags = flags};
  return send_on(task, socket, request);
}

// One recvmsg; the changed fields go back to the header at `user`.
Result<std::size_t> receive_message(Task& task, Socket& socket, UserPtr<abi::MsgHdr> user, std::uint32_t flags) {
  abi::MsgHdr header = TRY(user.load());
  if (header.iov_length > abi::kIovMax) return Errno::msgsize;
  UserIovec vector;
  TRY(vector.load(UserPtr<const abi::Iovec>(header.iov), header.iov_length));
  IoSink sink(vector.segments(), vector.total());
  SocketAddress from;
  Ancillary ancillary;
  ReceiveRequest request{.sink = sink, .flags = flags, .from = header.name != 0 ? &from : nullptr, .ancillary = &ancillary};
  const std::size_t count = TRY(socket.receive(request));
  if (header.name != 0) {
    const std::size_t room = std::min<std::size_t>(header.name_length, from.size);
    TRY(UserPtr<std::byte>(header.name).store_all(from.view().first(room)));
    header.name_length = static_cast<std::uint32_t>(from.size);
  }
  header.flags = request.out_flags | (flags & abi::kMsgCmsgCloExec);
  TRY(store_control(task, header, ancillary, (flags & abi::kMsgCmsgCloExec) != 0));
  TRY(user.store(header));
  return count;
}

}  // namespace

Result<std::int32_t> sys_socket(Task& task, std::int32_t domain, std::uint32_t type, std::int32_t protocol) {
  constexpr auto kMask = static_cast<std::uint32_t>(abi::kSockTypeMask);
  const std::uint32_t flags = TRY(file_flags(type & ~kMask));
  const Ref<Socket> socket = TRY(make_socket(task, domain, static_cast<std::int32_t>(type & kMask), protocol, flags));
  return static_cast<std::int32_t>(TRY(add_descriptor(task, socket, (type & abi::kSockCloExec) != 0)));
}

Result<> sys_socketpair(Task& task, std::int32_t domain, std::uint32_t type, std::int32_t protocol, UserPtr<std::int32_t> descriptors) {
  constexpr auto kMask = static_cast<std::uint32_t>(abi::kSockTypeMask);
  const std::uint32_t flags = TRY(file_flags(type & ~kMask));
  const SocketPair pair = TRY(make_socket_pair(task, domain, static_cast<std::int32_t>(type & kMask), protocol, flags));
  const bool close_on_exec = (type & abi::kSockCloExec) != 0;
  const std::uint64_t limit = task.process().rlimit_current(abi::Rlimit::nofile);
  FdTable& files = files_of(task);
  // Handles first: whatever fails below closes the ends.
  FileHandle first{Ref<OpenFile>(pair.first)};
  FileHandle second{Ref<OpenFile>(pair.second)};
  const Fd first_fd = TRY(files.reserve(limit));
  auto reserved = files.reserve(limit);
  if (!reserved.ok()) {
    files.release(first_fd);
    return reserved.error();
  }
  const Fd second_fd = std::move(reserved).release();
  const std::array<std::int32_t, 2> numbers{static_cast<std::int32_t>(first_fd), static_cast<std::int32_t>(second_fd)};
  if (const Result<> stored = descriptors.store_all(numbers); !stored.ok()) {
    files.release(first_fd);
    files.release(second_fd);
    return stored;
  }
  files.install(first_fd, std::move(first), close_on_exec);
  files.install(second_fd, std::move(second), close_on_exec);
  return {};
}

Result<> sys_bind(Task& task, Fd fd, UserPtr<const std::byte> address, std::int32_t length) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  SocketAddress where;
  TRY(load_address(where, address, length));
  return socket->bind(task, where.view());
}

Result<> sys_connect(Task& task, Fd fd, UserPtr<const std::byte> address, std::int32_t length) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  SocketAddress where;
  TRY(load_address(where, address, length));
  return socket->connect(task, where.view());
}

Result<> sys_listen(Task& task, Fd fd, std::int32_t backlog) { return TRY(get_socket(task, fd))->listen(task, backlog); }

Result<std::int32_t> sys_accept(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length) {
  return sys_accept4(task, fd, address, length, 0);
}

Result<std::int32_t> sys_accept4(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length, std::uint32_t flags) {
  const std::uint32_t status = TRY(file_flags(flags));
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  const Ref<Socket> accepted = TRY(socket->accept(status));
  FileHandle handle{Ref<OpenFile>(accepted)};  // closes it if something fails below
  if (!address.is_null()) {
    auto peer = accepted->peer_address();
    if (!peer.ok()) return Errno::connaborted;
    TRY(store_address(std::move(peer).release(), address, length));
  }
  return static_cast<std::int32_t>(
      TRY(files_of(task).add(std::move(handle), (flags & abi::kSockCloExec) != 0, task.process().rlimit_current(abi::Rlimit::nofile))));
}

Result<> sys_getsockname(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length) {
  return store_address(TRY(TRY(get_socket(task, fd))->local_address()), address, length);
}

Result<> sys_getpeername(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length) {
  return store_address(TRY(TRY(get_socket(task, fd))->peer_address()), address, length);
}

Result<> sys_shutdown(Task& task, Fd fd, std::int32_t how) { return TRY(get_socket(task, fd))->shutdown(how); }

Result<> sys_setsockopt(Task& task, Fd fd, std::int32_t level, std::int32_t name, UserPtr<const std::byte> value, std::int32_t length) {
  if (length < 0) return Errno::inval;
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  std::array<std::byte, kLongestOption> bytes{};
  const std::span<std::byte> known = std::span(bytes).first(std::min(static_cast<std::size_t>(length), bytes.size()));
  TRY(value.load_all(known));
  return socket->set_option(task, level, name, known);
}

Result<> sys_getsockopt(Task& task, Fd fd, std::int32_t level, std::int32_t name, UserPtr<std::byte> value, UserPtr<std::int32_t> length) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  const std::int32_t room = TRY(length.load());
  if (room < 0) return Errno::inval;
  std::array<std::byte, kLongestOption> bytes{};
  const std::span<std::byte> into = std::span(bytes).first(std::min(static_cast<std::size_t>(room), bytes.size()));
  const std::size_t count = TRY(socket->get_option(task, level, name, into));
  TRY(value.store_all(into.first(count)));
  return length.store(static_cast<std::int32_t>(count));
}

Result<std::uint64_t> sys_sendto(Task& task, Fd fd, UserPtr<const std::byte> buffer, std::uint64_t size, std::uint32_t flags,
                                 UserPtr<const std::byte> address, std::int32_t length) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  IoSource source(TRY(UserBytes::at(buffer, std::min(size, abi::kMaxRwCount))));
  SocketAddress to;
  if (!address.is_null()) TRY(load_address(to, address, length));
  SendRequest request{.source = source, .address = to.view(), .flags = flags};
  return std::uint64_t{TRY(send_on(task, *socket, request))};
}

Result<std::uint64_t> sys_recvfrom(Task& task, Fd fd, UserPtr<std::byte> buffer, std::uint64_t size, std::uint32_t flags,
                                   UserPtr<std::byte> address, UserPtr<std::int32_t> length) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  IoSink sink(TRY(UserBytes::at(buffer, std::min(size, abi::kMaxRwCount))));
  SocketAddress from;
  ReceiveRequest request{.sink = sink, .flags = flags, .from = address.is_null() ? nullptr : &from};
  const std::uint64_t count = TRY(socket->receive(request));
  if (!address.is_null()) TRY(store_address(from, address, length));
  return count;
}

Result<std::uint64_t> sys_sendmsg(Task& task, Fd fd, UserPtr<const abi::MsgHdr> message, std::uint32_t flags) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  return std::uint64_t{TRY(send_message(task, *socket, TRY(message.load()), flags))};
}

Result<std::uint64_t> sys_recvmsg(Task& task, Fd fd, UserPtr<abi::MsgHdr> message, std::uint32_t flags) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  return std::uint64_t{TRY(receive_message(task, *socket, message, flags))};
}

Result<std::uint32_t> sys_sendmmsg(Task& task, Fd fd, UserPtr<abi::MmsgHdr> messages, std::uint32_t count, std::uint32_t flags) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  std::uint32_t done = 0;
  for (; done < std::min(count, kMostMessages); ++done) {
    const UserPtr<abi::MmsgHdr> at = TRY(messages.at(done));
    const auto send_one = [&]() -> Result<> {
      abi::MmsgHdr message = TRY(at.load());
      message.length = static_cast<std::uint32_t>(TRY(send_message(task, *socket, message.header, flags)));
      return at.store(message);
    };
    const Result<> sent = send_one();
    if (!sent.ok() && done == 0) return sent.error();
    if (!sent.ok()) break;
  }
  return done;
}

Result<std::uint32_t> sys_recvmmsg(Task& task, Fd fd, UserPtr<abi::MmsgHdr> messages, std::uint32_t count, std::uint32_t flags,
                                   UserPtr<const abi::Timespec> timeout) {
  const RefPtr<Socket> socket = TRY(get_socket(task, fd));
  const Instant deadline = timeout.is_null() ? kNever : deadline_after(TRY(load_duration(timeout)));
  const bool for_one = (flags & abi::kMsgWaitForOne) != 0;
  flags &= ~abi::kMsgWaitForOne;
  std::uint32_t done = 0;
  while (done < std::min(count, kMostMessages)) {
    const UserPtr<abi::MmsgHdr> at = TRY(messages.at(done));
    const auto receive_one = [&]() -> Result<> {
      abi::MmsgHdr message = TRY(at.load());
      message.length = static_cast<std::uint32_t>(TRY(receive_message(task, *socket, at.cast<abi::MsgHdr>(), flags)));
      message.header = TRY(at.load()).header;
      return at.store(message);
    };
    const Result<> received = receive_one();
    if (!received.ok() && done == 0) return received.error();
    if (!received.ok()) break;
    ++done;
    if (for_one) flags |= abi::kMsgDontWait;
    // recvmmsg(2), BUGS: the timeout is looked at after each message only.
    if (monotonic_now() >= deadline) break;
  }
  return done;
}

}  // namespace kernel
