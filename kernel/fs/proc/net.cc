// /proc/net: the tables of a machine with a loopback interface.
#include "kernel/fs/proc/procfs.h"

namespace kernel {
namespace {

Result<> show_devices(Text& out, std::uint32_t) {
  out << "Inter-|   Receive                                                |  Transmit\n"
         " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
         "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n";
  return {};
}
Result<> show_tcp(Text& out, std::uint32_t) {
  out.left("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", 149) << '\n';
  return {};
}
Result<> show_tcp6(Text& out, std::uint32_t) {
  out << "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid"
         "  timeout inode\n";
  return {};
}
Result<> show_udp(Text& out, std::uint32_t) {
  out.left("   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops", 127) << '\n';
  return {};
}
Result<> show_udp6(Text& out, std::uint32_t) {
  out << "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid"
         "  timeout inode ref pointer drops\n";
  return {};
}
Result<> show_route(Text& out, std::uint32_t) {
  out.left("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT", 127) << '\n';
  return {};
}
Result<> show_unix(Text& out, std::uint32_t) {
  out << "Num       RefCount Protocol Flags    Type St Inode Path\n";
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
    {.path = "raw", .show = show_udp},
    {.path = "unix", .show = show_unix},
    {.path = "route", .show = show_route},
    {.path = "ipv6_route", .show = show_nothing},
    {.path = "arp", .text = "IP address       HW type     Flags       HW address            Mask     Device"},
    {.path = "protocols", .show = show_nothing},
});

}  // namespace

TreeTable proc_net_tree() { return kTree; }

}  // namespace kernel
