// What /proc/net shows of sockets. The sockets live above; they hand the source over at boot.
#ifndef KERNEL_VFS_NET_TABLES_H
#define KERNEL_VFS_NET_TABLES_H

#include <array>
#include <cstdint>

#include "kernel/base/result.h"
#include "kernel/base/string.h"
#include "kernel/base/vec.h"

namespace kernel {

// One internet socket. Addresses are of IPv6, or IPv4 mapped into it.
struct NetRow {
  std::array<std::uint8_t, 16> local{}, remote{};
  std::uint16_t local_port = 0, remote_port = 0;
  std::uint8_t state = 0;
  std::uint32_t send_queue = 0, receive_queue = 0, uid = 0;
  std::uint64_t inode = 0;
};

// One Unix socket.
struct UnixRow {
  std::uint32_t references = 0;
  bool listening = false, connected = false;
  std::uint16_t type = 0;
  std::uint64_t inode = 0;
  FixedString<108> name;  // with a leading NUL if it is abstract
};

class NetTables {
 public:
  virtual Result<Vec<UnixRow>> all_unix() = 0;
  // Sockets of one protocol (abi::kIpProto*) and address family.
  virtual Result<Vec<NetRow>> rows(std::int32_t protocol, std::int32_t domain) = 0;

 protected:
  ~NetTables() = default;
};

// At boot, once. Null before.
void set_net_tables(NetTables& tables);
NetTables* net_tables();

}  // namespace kernel
#endif  // KERNEL_VFS_NET_TABLES_H
