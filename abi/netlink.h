// Netlink and its routing family as programs see them: netlink(7), rtnetlink(7).
#ifndef ABI_NETLINK_H
#define ABI_NETLINK_H

#include <cstdint>

namespace abi {

inline constexpr std::int32_t kNetlinkRoute = 0, kSolNetlink = 270;
inline constexpr std::int32_t kNetlinkAddMembership = 1, kNetlinkDropMembership = 2, kNetlinkPktInfo = 3, kNetlinkBroadcastError = 4,
                              kNetlinkNoEnobufs = 5, kNetlinkCapAck = 10, kNetlinkExtAck = 11, kNetlinkGetStrictChk = 12;

struct SockaddrNl {
  std::uint16_t family;
  std::uint16_t reserved;
  std::uint32_t pid;
  std::uint32_t groups;
};
static_assert(sizeof(SockaddrNl) == 12);

struct Nlmsghdr {
  std::uint32_t length;  // with this header
  std::uint16_t type;
  std::uint16_t flags;
  std::uint32_t sequence;
  std::uint32_t pid;
};
static_assert(sizeof(Nlmsghdr) == 16);
constexpr std::uint64_t nl_align(std::uint64_t length) { return (length + 3) & ~std::uint64_t{3}; }

inline constexpr std::uint16_t kNlmsgNoop = 1, kNlmsgError = 2, kNlmsgDone = 3, kNlmsgMinType = 0x10;
inline constexpr std::uint16_t kNlmFRequest = 1, kNlmFMulti = 2, kNlmFAck = 4, kNlmFDump = 0x300;

inline constexpr std::uint16_t kRtmNewLink = 16, kRtmGetLink = 18, kRtmNewAddr = 20, kRtmGetAddr = 22, kRtmNewRoute = 24, kRtmGetRoute = 26;

struct Rtattr {
  std::uint16_t length;  // with this header
  std::uint16_t type;
};
struct Ifinfomsg {
  std::uint8_t family, reserved;
  std::uint16_t type;
  std::int32_t index;
  std::uint32_t flags, change;
};
static_assert(sizeof(Ifinfomsg) == 16);
struct Ifaddrmsg {
  std::uint8_t family, prefix, flags, scope;
  std::int32_t index;
};
static_assert(sizeof(Ifaddrmsg) == 8);
struct Rtmsg {
  std::uint8_t family, dst_length, src_length, tos, table, protocol, scope, type;
  std::uint32_t flags;
};
static_assert(sizeof(Rtmsg) == 12);

inline constexpr std::uint16_t kIflaAddress = 1, kIflaBroadcast = 2, kIflaIfname = 3, kIflaMtu = 4, kIflaQdisc = 6, kIflaTxQLen = 13, kIflaOperState = 16,
                               kIflaLinkMode = 17, kIflaGroup = 27;
inline constexpr std::uint16_t kIfaAddress = 1, kIfaLocal = 2, kIfaLabel = 3, kIfaFlags = 8;
inline constexpr std::uint16_t kRtaDst = 1, kRtaOif = 4, kRtaPrefSrc = 7, kRtaTable = 15;
inline constexpr std::uint8_t kIfaFPermanent = 0x80, kRtScopeHost = 254, kRtScopeLink = 253, kRtTableLocal = 255, kRtProtKernel = 2, kRtnLocal = 2,
                              kRtnBroadcast = 3;

}  // namespace abi
#endif  // ABI_NETLINK_H
