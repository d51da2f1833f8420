// Sockets: socket(2), bind(2), connect(2), accept(2), sendmsg(2), recvmsg(2) and the rest.
#ifndef KERNEL_SYSCALL_SOCKET_H
#define KERNEL_SYSCALL_SOCKET_H

#include <cstdint>

#include "abi/socket.h"
#include "abi/time.h"
#include "kernel/base/result.h"
#include "kernel/base/types.h"
#include "kernel/frame/user.h"

namespace kernel {

class Task;

Result<std::int32_t> sys_socket(Task& task, std::int32_t domain, std::uint32_t type, std::int32_t protocol);
Result<> sys_socketpair(Task& task, std::int32_t domain, std::uint32_t type, std::int32_t protocol, UserPtr<std::int32_t> descriptors);
Result<> sys_bind(Task& task, Fd fd, UserPtr<const std::byte> address, std::int32_t length);
Result<> sys_connect(Task& task, Fd fd, UserPtr<const std::byte> address, std::int32_t length);
Result<> sys_listen(Task& task, Fd fd, std::int32_t backlog);
Result<std::int32_t> sys_accept(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length);
Result<std::int32_t> sys_accept4(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length, std::uint32_t flags);
Result<> sys_getsockname(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length);
Result<> sys_getpeername(Task& task, Fd fd, UserPtr<std::byte> address, UserPtr<std::int32_t> length);
Result<> sys_shutdown(Task& task, Fd fd, std::int32_t how);
Result<> sys_setsockopt(Task& task, Fd fd, std::int32_t level, std::int32_t name, UserPtr<const std::byte> value, std::int32_t length);
Result<> sys_getsockopt(Task& task, Fd fd, std::int32_t level, std::int32_t name, UserPtr<std::byte> value, UserPtr<std::int32_t> length);
Result<std::uint64_t> sys_sendto(Task& task, Fd fd, UserPtr<const std::byte> buffer, std::uint64_t size, std::uint32_t flags,
                                 UserPtr<const std::byte> address, std::int32_t length);
Result<std::uint64_t> sys_recvfrom(Task& task, Fd fd, UserPtr<std::byte> buffer, std::uint64_t size, std::uint32_t flags,
                                   UserPtr<std::byte> address, UserPtr<std::int32_t> length);
Result<std::uint64_t> sys_sendmsg(Task& task, Fd fd, UserPtr<const abi::MsgHdr> message, std::uint32_t flags);
Result<std::uint64_t> sys_recvmsg(Task& task, Fd fd, UserPtr<abi::MsgHdr> message, std::uint32_t flags);
Result<std::uint32_t> sys_sendmmsg(Task& task, Fd fd, UserPtr<abi::MmsgHdr> messages, std::uint32_t count, std::uint32_t flags);
Result<std::uint32_t> sys_recvmmsg(Task& task, Fd fd, UserPtr<abi::MmsgHdr> messages, std::uint32_t count, std::uint32_t flags,
                                   UserPtr<const abi::Timespec> timeout);

}  // namespace kernel
#endif  // KERNEL_SYSCALL_SOCKET_H
