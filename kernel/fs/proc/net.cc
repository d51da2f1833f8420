// /proc/net: the tables of a machine with a loopback interface.
#include "abi/inet.h"
#include "abi/socket.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/vfs/net_tables.h"

namespace kernel {
namespace {

Result<> show_devices(Text& out, std::uint32_t) {
  out << "Inter-|   Receive                                                |  Transmit\n"
         " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
         "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n";
  return {};
}
constexpr std::size_t kTcpWidth = 149, kUdpWidth = 127;  // lines of IPv4 are padded

// As Linux prints such numbers: in capitals.
void upper(Text& out, std::uint64_t number, unsigned width) {
  for (const char c : Digits(number, 16, width).view()) out << (c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c);
}

// Each four bytes are printed as one number of the machine.
void put_endpoint(Text& out, std::span<const std::uint8_t> address, std::uint16_t port) {
  for (std::size_t i = 0; i < address.size(); i += sizeof(std::uint32_t)) {
    std::uint32_t word = 0;
    for (std::size_t k = sizeof(word); k > 0; --k) word = word << 8U | address[i + k - 1];
    upper(out, word, 8);
  }
  out << ':';
  upper(out, port, 4);
}

// The columns up to the inode, which all these tables share.
void put_row(Text& out, const NetRow& row, bool v4) {
  constexpr std::size_t kMappedPrefix = 12;
  const std::size_t skip = v4 ? kMappedPrefix : 0;
  out << ": ";
  put_endpoint(out, std::span(row.local).subspan(skip), row.local_port);
  out << ' ';
  put_endpoint(out, std::span(row.remote).subspan(skip), row.remote_port);
  out << ' ';
  upper(out, row.state, 2);
  out << ' ';
  upper(out, row.send_queue, 8);
  out << ':';
  upper(out, row.receive_queue, 8);
  out << " 00:00000000 00000000 ";
  out.right(row.uid, 5) << ' ';
  out.right(0, 8) << ' ' << row.inode;
}

Result<> show_sockets(Text& out, std::int32_t protocol, std::int32_t domain) {
  NetTables* const tables = net_tables();
  if (tables == nullptr) return {};
  const Vec<NetRow> rows = TRY(tables->rows(protocol, domain));
  const bool v4 = domain == abi::kAfInet;
  const bool tcp = protocol == abi::kIpProtoTcp;
  std::uint32_t number = 0;
  for (const NetRow& row : rows) {
    Text line;
    line.right(number++, tcp ? 4 : 5);
    put_row(line, row, v4);
    line << (tcp ? " 1 0000000000000000 100 0 0 10 0" : " 2 0000000000000000 0");
    TRY(line.status());
    if (v4)
      out.left(line.view(), tcp ? kTcpWidth : kUdpWidth) << '\n';
    else
      out << line.view() << '\n';
  }
  return {};
}

Result<> show_tcp(Text& out, std::uint32_t) {
  out.left("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", kTcpWidth) << '\n';
  return show_sockets(out, abi::kIpProtoTcp, abi::kAfInet);
}
Result<> show_tcp6(Text& out, std::uint32_t) {
  out << "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid"
         "  timeout inode\n";
  return show_sockets(out, abi::kIpProtoTcp, abi::kAfInet6);
}
void put_udp_title(Text& out) {
  out.left("   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops", kUdpWidth) << '\n';
}
Result<> show_udp(Text& out, std::uint32_t) {
  put_udp_title(out);
  return show_sockets(out, abi::kIpProtoUdp, abi::kAfInet);
}
Result<> show_raw(Text& out, std::uint32_t) {
  put_udp_title(out);
  return {};
}
Result<> show_udp6(Text& out, std::uint32_t) {
  out << "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid"
         "  timeout inode ref pointer drops\n";
  return show_sockets(out, abi::kIpProtoUdp, abi::kAfInet6);
}
Result<> show_route(Text& out, std::uint32_t) {
  out.left("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT", 127) << '\n';
  return {};
}
Result<> show_unix(Text& out, std::uint32_t) {
  out << "Num       RefCount Protocol Flags    Type St Inode Path\n";
  NetTables* const tables = net_tables();
  if (tables == nullptr) return {};
  const Vec<UnixRow> rows = TRY(tables->all_unix());
  for (const UnixRow& row : rows) {
    constexpr std::uint64_t kAcceptsConnections = 1 << 16;
    out << "0000000000000000: ";
    upper(out, row.references, 8);
    out << " 00000000 ";
    upper(out, row.listening ? kAcceptsConnections : 0, 8);
    out << ' ';
    upper(out, row.type, 4);
    out << (row.connected ? " 03 " : " 01 ");
    out.right(row.inode, 5);
    std::string_view name = row.name.view();
    if (!name.empty() && name.front() != '\0' && name.back() == '\0') name.remove_suffix(1);
    if (!name.empty()) out << ' ';
    for (const char c : name) out << (c == '\0' ? '@' : c);
    out << '\n';
  }
  return {};
}
Result<> show_nothing(Text&, std::uint32_t) { return {}; }

constexpr auto kTree = std::to_array<TreeEntry>({
    {.path = "dev", .show = show_devices},
    {.path = "if_inet6", .text = "00000000000000000000000000000001 01 80 10 80       lo"},
    {.path = "tcp", .show = show_tcp},
    {.path = "tcp6", .show = show_tcp6},
    {.path = "udp", .show = show_udp},
    {.path = "udp6", .show = show_udp6},
    {.path = "raw", .show = show_raw},
    {.path = "unix", .show = show_unix},
    {.path = "route", .show = show_route},
    {.path = "ipv6_route", .show = show_nothing},
    {.path = "arp", .text = "IP address       HW type     Flags       HW address            Mask     Device"},
    {.path = "protocols", .show = show_nothing},
});

}  // namespace

TreeTable proc_net_tree() { return kTree; }

}  // namespace kernel
