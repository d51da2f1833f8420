// Sockets as programs see them: socket(2), unix(7), socket(7), sendmsg(2), cmsg(3).
#ifndef ABI_SOCKET_H
#define ABI_SOCKET_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

inline constexpr std::int32_t kAfUnspec = 0, kAfUnix = 1, kAfInet = 2, kAfInet6 = 10, kAfNetlink = 16, kAfPacket = 17, kAfMax = 46;
inline constexpr std::int32_t kSockStream = 1, kSockDgram = 2, kSockRaw = 3, kSockRdm = 4, kSockSeqPacket = 5, kSockMax = 11, kSockTypeMask = 0xf;
inline constexpr std::uint32_t kSockNonBlock = 04000, kSockCloExec = 02000000;

inline constexpr std::int32_t kShutRd = 0, kShutWr = 1, kShutRdWr = 2;

// MSG_*
inline constexpr std::uint32_t kMsgOob = 1, kMsgPeek = 2, kMsgDontRoute = 4, kMsgCtrunc = 8, kMsgTrunc = 0x20, kMsgDontWait = 0x40, kMsgEor = 0x80,
                               kMsgWaitAll = 0x100, kMsgConfirm = 0x800, kMsgErrQueue = 0x2000, kMsgNoSignal = 0x4000, kMsgMore = 0x8000,
                               kMsgWaitForOne = 0x10000, kMsgFastOpen = 0x20000000, kMsgCmsgCloExec = 0x40000000;

// setsockopt(2), SOL_SOCKET
inline constexpr std::int32_t kSolSocket = 1;
inline constexpr std::int32_t kSoDebug = 1, kSoReuseAddr = 2, kSoType = 3, kSoError = 4, kSoDontRoute = 5, kSoBroadcast = 6, kSoSndBuf = 7,
                              kSoRcvBuf = 8, kSoKeepAlive = 9, kSoOobInline = 10, kSoNoCheck = 11, kSoPriority = 12, kSoLinger = 13,
                              kSoBsdCompat = 14, kSoReusePort = 15, kSoPassCred = 16, kSoPeerCred = 17, kSoRcvLowat = 18, kSoSndLowat = 19,
                              kSoRcvTimeo = 20, kSoSndTimeo = 21, kSoTimestamp = 29, kSoTimestampNs = 35, kSoAcceptConn = 30, kSoPeerSec = 31, kSoSndBufForce = 32,
                              kSoRcvBufForce = 33, kSoPassSec = 34, kSoMark = 36, kSoProtocol = 38, kSoDomain = 39, kSoPeekOff = 42,
                              kSoBusyPoll = 46, kSoIncomingCpu = 49, kSoCookie = 57, kSoPeerGroups = 59, kSoRcvTimeoNew = 66,
                              kSoSndTimeoNew = 67;

// Control messages of SOL_SOCKET.
inline constexpr std::int32_t kScmRights = 1, kScmCredentials = 2;
inline constexpr std::size_t kScmMaxFd = 253;

struct Ucred {
  std::int32_t pid;
  std::uint32_t uid;
  std::uint32_t gid;
};
static_assert(sizeof(Ucred) == 12);

struct Linger {
  std::int32_t on;
  std::int32_t seconds;
};

inline constexpr std::size_t kSockaddrMax = 128;  // sizeof(struct sockaddr_storage)
inline constexpr std::size_t kUnixPathMax = 108;
struct SockaddrUn {
  std::uint16_t family;
  std::array<char, kUnixPathMax> path;
};
static_assert(sizeof(SockaddrUn) == 110);

struct MsgHdr {
  std::uint64_t name;
  std::uint32_t name_length;
  std::uint32_t reserved0;
  std::uint64_t iov;
  std::uint64_t iov_length;
  std::uint64_t control;
  std::uint64_t control_length;
  std::uint32_t flags;
  std::uint32_t reserved1;
};
static_assert(sizeof(MsgHdr) == 56 && offsetof(MsgHdr, flags) == 48 && std::has_unique_object_representations_v<MsgHdr>);

struct MmsgHdr {
  MsgHdr header;
  std::uint32_t length;
  std::uint32_t reserved;
};
static_assert(sizeof(MmsgHdr) == 64 && offsetof(MmsgHdr, length) == 56);

struct CmsgHdr {
  std::uint64_t length;  // with this header
  std::int32_t level;
  std::int32_t type;
};
static_assert(sizeof(CmsgHdr) == 16);
constexpr std::uint64_t cmsg_align(std::uint64_t length) { return (length + 7) & ~std::uint64_t{7}; }

}  // namespace abi
#endif  // ABI_SOCKET_H
