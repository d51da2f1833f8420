// Internet sockets as programs see them: ip(7), ipv6(7), tcp(7), udp(7), netdevice(7).
#ifndef ABI_INET_H
#define ABI_INET_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

inline constexpr std::int32_t kIpProtoIp = 0, kIpProtoIcmp = 1, kIpProtoTcp = 6, kIpProtoUdp = 17, kIpProtoIpv6 = 41, kIpProtoIcmpv6 = 58,
                              kIpProtoMax = 262;

// Port and address are in network order.
struct SockaddrIn {
  std::uint16_t family;
  std::array<std::uint8_t, 2> port;
  std::array<std::uint8_t, 4> address;
  std::array<std::uint8_t, 8> zero;
};
static_assert(sizeof(SockaddrIn) == 16);

struct SockaddrIn6 {
  std::uint16_t family;
  std::array<std::uint8_t, 2> port;
  std::uint32_t flow;
  std::array<std::uint8_t, 16> address;
  std::uint32_t scope;
};
static_assert(sizeof(SockaddrIn6) == 28);
inline constexpr std::size_t kSockaddrIn6Least = 24;  // RFC 2133 had no scope

// ip(7), level IPPROTO_IP
inline constexpr std::int32_t kIpTos = 1, kIpTtl = 2, kIpHdrIncl = 3, kIpOptions = 4, kIpRecvOpts = 6, kIpRetOpts = 7, kIpPktInfo = 8, kIpMtuDiscover = 10,
                              kIpRecvErr = 11, kIpRecvTtl = 12, kIpRecvTos = 13, kIpMtu = 14, kIpFreeBind = 15, kIpTransparent = 19,
                              kIpBindAddressNoPort = 24, kIpMulticastIf = 32, kIpMulticastTtl = 33, kIpMulticastLoop = 34, kIpAddMembership = 35,
                              kIpDropMembership = 36, kIpMulticastAll = 49, kIpLocalPortRange = 51;
struct InPktInfo {
  std::int32_t interface;
  std::array<std::uint8_t, 4> spec_dst;
  std::array<std::uint8_t, 4> addr;
};
static_assert(sizeof(InPktInfo) == 12);

// ipv6(7), level IPPROTO_IPV6
inline constexpr std::int32_t kIpv6UnicastHops = 16, kIpv6MulticastIf = 17, kIpv6MulticastHops = 18, kIpv6MulticastLoop = 19, kIpv6JoinGroup = 20,
                              kIpv6LeaveGroup = 21, kIpv6MtuDiscover = 23, kIpv6Mtu = 24, kIpv6RecvErr = 25, kIpv6V6Only = 26, kIpv6RecvPktInfo = 49,
                              kIpv6PktInfo = 50, kIpv6RecvHopLimit = 51, kIpv6HopLimit = 52, kIpv6RecvTclass = 66, kIpv6Tclass = 67,
                              kIpv6DontFrag = 62, kIpv6FreeBind = 78;
struct In6PktInfo {
  std::array<std::uint8_t, 16> address;
  std::int32_t interface;
};
static_assert(sizeof(In6PktInfo) == 20);

// tcp(7), level IPPROTO_TCP
inline constexpr std::int32_t kTcpNoDelay = 1, kTcpMaxSeg = 2, kTcpCork = 3, kTcpKeepIdle = 4, kTcpKeepIntvl = 5, kTcpKeepCnt = 6, kTcpSynCnt = 7,
                              kTcpLinger2 = 8, kTcpDeferAccept = 9, kTcpWindowClamp = 10, kTcpInfo = 11, kTcpQuickAck = 12, kTcpCongestion = 13,
                              kTcpUserTimeout = 18, kTcpFastOpen = 23, kTcpNotSentLowat = 25;

// States of TCP_INFO and /proc/net/tcp.
inline constexpr std::uint8_t kTcpEstablished = 1, kTcpSynSent = 2, kTcpFinWait2 = 5, kTcpClose = 7, kTcpCloseWait = 8, kTcpListen = 10;

// struct tcp_info, as far as it is filled in.
struct TcpInfo {
  std::uint8_t state, ca_state, retransmits, probes, backoff, options, window_scales, limits;
  std::uint32_t rto, ato, snd_mss, rcv_mss;
  std::uint32_t unacked, sacked, lost, retrans, fackets;
  std::uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
  std::uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
  std::uint32_t rcv_rtt, rcv_space, total_retrans;
  std::uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  std::uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
  std::uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
  std::uint32_t delivered, delivered_ce;
  std::uint64_t bytes_sent, bytes_retrans;
  std::uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd;
};
static_assert(sizeof(TcpInfo) == 232 && offsetof(TcpInfo, pacing_rate) == 104 && std::has_unique_object_representations_v<TcpInfo>);

// ioctls
inline constexpr std::uint32_t kSiocAtMark = 0x8905, kSiocOutQ = 0x5411;
inline constexpr std::uint32_t kSiocGifName = 0x8910, kSiocGifConf = 0x8912, kSiocGifFlags = 0x8913, kSiocSifFlags = 0x8914, kSiocGifAddr = 0x8915,
                               kSiocSifAddr = 0x8916, kSiocGifDstAddr = 0x8917, kSiocGifBrdAddr = 0x8919, kSiocGifNetmask = 0x891b, kSiocSifNetmask = 0x891c,
                               kSiocGifMetric = 0x891d, kSiocGifMtu = 0x8921, kSiocSifMtu = 0x8922, kSiocGifHwAddr = 0x8927, kSiocGifIndex = 0x8933,
                               kSiocGifTxQLen = 0x8942;
inline constexpr std::size_t kInterfaceNameMax = 16;
struct Ifreq {
  std::array<char, kInterfaceNameMax> name;
  std::array<std::byte, 24> data;
};
static_assert(sizeof(Ifreq) == 40);
struct Ifconf {
  std::int32_t length;
  std::uint32_t reserved;
  std::uint64_t buffer;
};
static_assert(sizeof(Ifconf) == 16);
inline constexpr std::int16_t kIffUp = 1, kIffLoopback = 8, kIffRunning = 0x40;
inline constexpr std::int32_t kLoopbackIndex = 1, kLoopbackMtu = 65536;
inline constexpr std::uint16_t kArphrdLoopback = 772;

}  // namespace abi
#endif  // ABI_INET_H
