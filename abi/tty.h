// Terminals: termios, window sizes and the requests of ioctl_tty(2), as x86-64 Linux has them.
#ifndef ABI_TTY_H
#define ABI_TTY_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

inline constexpr std::size_t kTtyControlChars = 19;

// What TCGETS moves.
struct Termios {
  std::uint32_t iflag, oflag, cflag, lflag;
  std::uint8_t line;
  std::array<std::uint8_t, kTtyControlChars> cc;
  friend bool operator==(const Termios&, const Termios&) = default;
};
static_assert(sizeof(Termios) == 36 && std::has_unique_object_representations_v<Termios>);

// What TCGETS2 moves: the same with speeds.
struct Termios2 {
  Termios base;
  std::uint32_t ispeed, ospeed;
};
static_assert(sizeof(Termios2) == 44 && std::has_unique_object_representations_v<Termios2>);

// What TCGETA moves (System V's).
struct Termio {
  std::uint16_t iflag, oflag, cflag, lflag;
  std::uint8_t line;
  std::array<std::uint8_t, 8> cc;
  std::uint8_t reserved;
};
static_assert(sizeof(Termio) == 18 && std::has_unique_object_representations_v<Termio>);

struct WindowSize {
  std::uint16_t rows, columns, x_pixels, y_pixels;
  friend bool operator==(const WindowSize&, const WindowSize&) = default;
};
static_assert(sizeof(WindowSize) == 8 && std::has_unique_object_representations_v<WindowSize>);

// iflag
inline constexpr std::uint32_t kIgnBrk = 1, kBrkInt = 2, kIgnPar = 4, kParMrk = 8, kInPck = 16, kIStrip = 32, kINlCr = 64, kIgnCr = 128,
                               kICrNl = 256, kIUcLc = 512, kIXOn = 1024, kIXAny = 2048, kIXOff = 4096, kIMaxBel = 8192, kIUtf8 = 16384;
// oflag
inline constexpr std::uint32_t kOPost = 1, kOLcUc = 2, kONlCr = 4, kOCrNl = 8, kONoCr = 16, kONlRet = 32, kTabDly = 0x1800, kXTabs = 0x1800;
// cflag
inline constexpr std::uint32_t kCBaud = 0x100f, kB38400 = 15, kBOther = 0x1000, kCSize = 0x30, kCS8 = 0x30, kCRead = 0x80, kParEnb = 0x100,
                               kCLocal = 0x800, kCIBaud = 0x100f0000;
inline constexpr unsigned kIBShift = 16;
// lflag
inline constexpr std::uint32_t kISig = 1, kICanon = 2, kXCase = 4, kEcho = 8, kEchoE = 16, kEchoK = 32, kEchoNl = 64, kNoFlsh = 128, kToStop = 256,
                               kEchoCtl = 512, kEchoPrt = 1024, kEchoKe = 2048, kFlushO = 4096, kPendIn = 16384, kIExten = 32768,
                               kExtProc = 65536;
// cc
inline constexpr std::size_t kVIntr = 0, kVQuit = 1, kVErase = 2, kVKill = 3, kVEof = 4, kVTime = 5, kVMin = 6, kVSwtc = 7, kVStart = 8, kVStop = 9,
                             kVSusp = 10, kVEol = 11, kVReprint = 12, kVDiscard = 13, kVWErase = 14, kVLNext = 15, kVEol2 = 16;

// Requests.
inline constexpr std::uint32_t kTcGets = 0x5401, kTcSets = 0x5402, kTcSetsW = 0x5403, kTcSetsF = 0x5404, kTcGetA = 0x5405, kTcSetA = 0x5406,
                               kTcSetAW = 0x5407, kTcSetAF = 0x5408, kTcSBrk = 0x5409, kTcXonc = 0x540a, kTcFlsh = 0x540b, kTiocExcl = 0x540c,
                               kTiocNxcl = 0x540d, kTiocSCtty = 0x540e, kTiocGPgrp = 0x540f, kTiocSPgrp = 0x5410, kTiocOutq = 0x5411,
                               kTiocSti = 0x5412, kTiocGWinsz = 0x5413, kTiocSWinsz = 0x5414, kTiocCons = 0x541d, kTiocPkt = 0x5420,
                               kTiocNotty = 0x5422, kTiocSetD = 0x5423, kTiocGetD = 0x5424, kTcSBrkP = 0x5425, kTiocSBrk = 0x5427,
                               kTiocCBrk = 0x5428, kTiocGSid = 0x5429, kTcGets2 = 0x802c542a, kTcSets2 = 0x402c542b, kTcSetsW2 = 0x402c542c,
                               kTcSetsF2 = 0x402c542d, kTiocGPtn = 0x80045430, kTiocSPtLck = 0x40045431, kTiocGDev = 0x80045432,
                               kTiocSig = 0x40045436, kTiocVHangup = 0x5437, kTiocGPkt = 0x80045438, kTiocGPtLck = 0x80045439,
                               kTiocGExcl = 0x80045440, kTiocGPtPeer = 0x5441, kTiocGLckTrmios = 0x5456, kTiocSLckTrmios = 0x5457;
// TCXONC and TCFLSH
inline constexpr std::uint64_t kTcoOff = 0, kTcoOn = 1, kTciOff = 2, kTciOn = 3;
inline constexpr std::uint64_t kTciFlush = 0, kTcoFlush = 1, kTcioFlush = 2;
// The control byte of packet mode.
inline constexpr std::uint8_t kPktData = 0, kPktFlushRead = 1, kPktFlushWrite = 2, kPktStop = 4, kPktStart = 8, kPktNoStop = 16, kPktDoStop = 32,
                              kPktIoctl = 64;

}  // namespace abi
#endif  // ABI_TTY_H
