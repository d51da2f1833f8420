// What ioctl_tty(2) says of pseudo terminals.
#include <algorithm>
#include <array>
#include <optional>

#include "abi/fs.h"
#include "kernel/frame/user.h"
#include "kernel/fs/tty/devpts.h"
#include "kernel/fs/tty/pty.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {

namespace {

using Answer = Result<std::optional<std::uint64_t>>;
constexpr std::optional<std::uint64_t> kDone{0};

// Speeds by their code in cflag; codes from kBOther on continue behind the first sixteen.
constexpr std::array<std::uint32_t, 31> kSpeeds{0,      50,     75,     110,    134,    150,     200,     300,     600,     1200,    1800,
                                                2400,   4800,   9600,   19200,  38400,  57600,   115200,  230400,  460800,  500000,  576000,
                                                921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000};

std::uint32_t speed_of(std::uint32_t code, std::uint32_t other) {
  if (code == abi::kBOther) return other;
  const std::size_t index = (code & abi::kBOther) != 0 ? (code & ~abi::kBOther) + 15 : code;
  return index < kSpeeds.size() ? kSpeeds[index] : 0;
}

void fill_speeds(abi::Termios2& settings) {
  const std::uint32_t in = (settings.base.cflag & abi::kCIBaud) >> abi::kIBShift;
  settings.ospeed = speed_of(settings.base.cflag & abi::kCBaud, settings.ospeed);
  settings.ispeed = in == 0 ? settings.ospeed : speed_of(in, settings.ispeed);
}

void put_termio(abi::Termios& into, const abi::Termio& from) {
  const auto low = [](std::uint32_t& whole, std::uint16_t part) { whole = (whole & 0xffff0000) | part; };
  low(into.iflag, from.iflag);
  low(into.oflag, from.oflag);
  low(into.cflag, from.cflag);
  low(into.lflag, from.lflag);
  into.line = from.line;
  std::copy(from.cc.begin(), from.cc.end(), into.cc.begin());
}

abi::Termio to_termio(const abi::Termios& from) {
  abi::Termio result{.iflag = static_cast<std::uint16_t>(from.iflag),
                     .oflag = static_cast<std::uint16_t>(from.oflag),
                     .cflag = static_cast<std::uint16_t>(from.cflag),
                     .lflag = static_cast<std::uint16_t>(from.lflag),
                     .line = from.line,
                     .cc = {},
                     .reserved = 0};
  std::copy_n(from.cc.begin(), result.cc.size(), result.cc.begin());
  return result;
}

// TIOCGLCKTRMIOS(2const): bits and characters that are not 0 in `locked` stay as they are.
abi::Termios2 keep_locked(const abi::Termios2& wanted, const abi::Termios2& old, const abi::Termios& locked) {
  const auto keep = [](std::uint32_t& value, std::uint32_t before, std::uint32_t mask) { value = (value & ~mask) | (before & mask); };
  abi::Termios2 result = wanted;
  keep(result.base.iflag, old.base.iflag, locked.iflag);
  keep(result.base.oflag, old.base.oflag, locked.oflag);
  keep(result.base.cflag, old.base.cflag, locked.cflag);
  keep(result.base.lflag, old.base.lflag, locked.lflag);
  if (locked.line != 0) result.base.line = old.base.line;
  for (std::size_t i = 0; i < result.base.cc.size(); ++i)
    if (locked.cc[i] != 0) result.base.cc[i] = old.base.cc[i];
  return result;
}

}  // namespace

Result<std::uint64_t> Pty::ioctl(Task& task, bool master, bool readable, std::uint32_t request, std::uint64_t argument) {
  if (auto answer = TRY(session_ioctl(task, *this, master, readable, request, argument))) return *answer;
  if (auto answer = TRY(settings_ioctl(task, request, argument))) return *answer;
  if (auto answer = TRY(lock_settings_ioctl(task, request, argument))) return *answer;
  if (auto answer = TRY(line_ioctl(task, master, request, argument))) return *answer;
  if (auto answer = TRY(common_ioctl(task, master, request, argument))) return *answer;
  if (!master) return Errno::notty;
  if (auto answer = TRY(master_ioctl(task, request, argument))) return *answer;
  return Errno::notty;
}

// --- settings ---

abi::Termios2 Pty::settings() {
  const LockGuard guard(lock_);
  return line_.termios();
}

Result<> Pty::change_settings(Task& task, const abi::Termios2& fresh, bool flush) {
  TRY(check_background(task, *this, abi::kSigTtou));
  Work work(*this);
  if (flush) line_.flush_input();
  line_.set_termios(keep_locked(fresh, line_.termios(), locked_settings_));
  feed_locked(work.after);
  // Whatever waits looks again: what it waits for may mean something else now.
  work.after.slave_in = work.after.slave_out = true;
  return {};
}

// Output is always drained: it is with the other side as soon as it is written, so that waiting for it (TCSETSW) takes no time.
Answer Pty::settings_ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  abi::Termios2 now = settings();
  switch (request) {
    case abi::kTcGets:
      TRY(UserPtr<abi::Termios>(argument).store(now.base));
      return kDone;
    case abi::kTcGets2:
      TRY(UserPtr<abi::Termios2>(argument).store(now));
      return kDone;
    case abi::kTcGetA:
      TRY(UserPtr<abi::Termio>(argument).store(to_termio(now.base)));
      return kDone;
    case abi::kTcSets:
    case abi::kTcSetsW:
    case abi::kTcSetsF:
      TRY(check_background(task, *this, abi::kSigTtou));
      now.base = TRY(UserPtr<const abi::Termios>(argument).load());
      break;
    case abi::kTcSets2:
    case abi::kTcSetsW2:
    case abi::kTcSetsF2:
      TRY(check_background(task, *this, abi::kSigTtou));
      now = TRY(UserPtr<const abi::Termios2>(argument).load());
      break;
    case abi::kTcSetA:
    case abi::kTcSetAW:
    case abi::kTcSetAF:
      TRY(check_background(task, *this, abi::kSigTtou));
      put_termio(now.base, TRY(UserPtr<const abi::Termio>(argument).load()));
      break;
    default:
      return std::optional<std::uint64_t>();
  }
  fill_speeds(now);
  TRY(change_settings(task, now, request == abi::kTcSetsF || request == abi::kTcSetsF2 || request == abi::kTcSetAF));
  return kDone;
}

Answer Pty::lock_settings_ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  if (request != abi::kTiocGLckTrmios && request != abi::kTiocSLckTrmios) return std::optional<std::uint64_t>();
  if (request == abi::kTiocSLckTrmios) {
    if (!task.credentials().has(Capability::sys_admin)) return Errno::perm;
    const auto fresh = TRY(UserPtr<const abi::Termios>(argument).load());
    const LockGuard guard(lock_);
    locked_settings_ = fresh;
    return kDone;
  }
  abi::Termios now{};
  {
    const LockGuard guard(lock_);
    now = locked_settings_;
  }
  TRY(UserPtr<abi::Termios>(argument).store(now));
  return kDone;
}

// --- flow, flushing, counts ---

Result<> Pty::send_flow_key(std::size_t which) {
  Work work(*this);
  const std::uint8_t key = line_.termios().base.cc[which];
  // It is sent although the output may be stopped; without room it is lost, as on a line.
  if (key != 0 && output_.push(key)) work.after.master_in = true;
  return {};
}

Result<> Pty::flow(Task& task, bool master, std::uint64_t action) {
  if (!master) TRY(check_background(task, *this, abi::kSigTtou));
  if (action > abi::kTciOn) return Errno::inval;
  if (master) return {};  // the master's own line has no flow control
  if (action == abi::kTciOff || action == abi::kTciOn) return send_flow_key(action == abi::kTciOff ? abi::kVStop : abi::kVStart);
  Work work(*this);
  if (action == abi::kTcoOff)
    line_.stop(true);
  else
    line_.start(true);
  work.after.slave_out = true;
  if (!output_.empty()) work.after.master_in = true;
  return {};
}

Result<> Pty::flush(Task& task, bool master, std::uint64_t which) {
  if (!master) TRY(check_background(task, *this, abi::kSigTtou));
  if (which > abi::kTcioFlush) return Errno::inval;
  const bool in = which != abi::kTcoFlush;
  const bool out = which != abi::kTciFlush;
  Work work(*this);
  if (master) {
    if (in) output_.truncate(0);
    if (out) arriving_.truncate(0);
    work.after.slave_out = in;
  } else {
    if (in) {
      arriving_.truncate(0);
      line_.flush_input();
    }
    if (out) line_.flush_output();
  }
  work.after.master_out = true;
  return {};
}

Answer Pty::line_ioctl(Task& task, bool master, std::uint32_t request, std::uint64_t argument) {
  switch (request) {
    case abi::kTcXonc:
      TRY(flow(task, master, argument));
      return kDone;
    case abi::kTcFlsh:
      TRY(flush(task, master, argument));
      return kDone;
    case abi::kTcSBrk:
    case abi::kTcSBrkP:
    case abi::kTiocSBrk:
      // There is no line to break; output has been sent.
      if (!master) TRY(check_background(task, *this, abi::kSigTtou));
      return kDone;
    case abi::kTiocCBrk:
      if (!master) TRY(check_background(task, *this, abi::kSigTtou));
      return kDone;
    case abi::kFioNRead: {
      std::size_t count = 0;
      {
        const LockGuard guard(lock_);
        count = master ? output_.size() : line_.readable_bytes();
      }
      TRY(UserPtr<std::int32_t>(argument).store(static_cast<std::int32_t>(count)));
      return kDone;
    }
    case abi::kTiocOutq:
      TRY(UserPtr<std::int32_t>(argument).store(0));
      return kDone;
    case abi::kTiocSti:
      TRY(type_key(task, master, argument));
      return kDone;
    default:
      return std::optional<std::uint64_t>();
  }
}

// TIOCSTI as Linux has it since 6.2 where it is off by default: root only.
Result<> Pty::type_key(Task& task, bool master, std::uint64_t argument) {
  if (!task.credentials().has(Capability::sys_admin)) return Errno::io;
  const auto byte = TRY(UserPtr<const std::uint8_t>(argument).load());
  Work work(*this);
  if (master) {
    if (output_.push(byte)) work.after.master_in = true;
    return {};
  }
  if (arriving_.push(byte)) feed_locked(work.after);
  return {};
}

// --- what any terminal answers ---

Result<> Pty::resize(std::uint64_t argument) {
  const abi::WindowSize fresh = TRY(UserPtr<const abi::WindowSize>(argument).load());
  {
    const LockGuard guard(lock_);
    if (fresh == window_) return {};
    window_ = fresh;
  }
  signal_foreground(*this, abi::kSigWinch);
  return {};
}

Answer Pty::common_ioctl(Task& task, bool, std::uint32_t request, std::uint64_t argument) {
  constexpr std::int32_t kLineDiscipline = 0;  // N_TTY
  const UserPtr<std::int32_t> number(argument);
  switch (request) {
    case abi::kTiocGWinsz: {
      abi::WindowSize window{};
      {
        const LockGuard guard(lock_);
        window = window_;
      }
      TRY(UserPtr<abi::WindowSize>(argument).store(window));
      return kDone;
    }
    case abi::kTiocSWinsz:
      TRY(resize(argument));
      return kDone;
    case abi::kTiocExcl:
    case abi::kTiocNxcl: {
      const LockGuard guard(lock_);
      exclusive_ = request == abi::kTiocExcl;
      return kDone;
    }
    case abi::kTiocGExcl: {
      std::int32_t value = 0;
      {
        const LockGuard guard(lock_);
        value = exclusive_ ? 1 : 0;
      }
      TRY(number.store(value));
      return kDone;
    }
    case abi::kTiocGetD:
      TRY(number.store(kLineDiscipline));
      return kDone;
    case abi::kTiocSetD:
      if (TRY(number.load()) != kLineDiscipline) return Errno::inval;
      return kDone;
    case abi::kTiocGDev:
      TRY(UserPtr<std::uint32_t>(argument).store(static_cast<std::uint32_t>(device())));
      return kDone;
    case abi::kTiocVHangup:
      if (!task.credentials().has(Capability::sys_admin)) return Errno::perm;
      hang_up();
      return kDone;
    default:
      return std::optional<std::uint64_t>();
  }
}

// --- what only the master answers ---

void Pty::set_packet_mode(bool on) {
  const LockGuard guard(lock_);
  if (on && !packet_mode_) line_.clear_packet_status();
  packet_mode_ = on;
}

Answer Pty::master_ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  const UserPtr<std::int32_t> number(argument);
  const auto tell = [&](std::int32_t value) -> Answer {
    TRY(number.store(value));
    return kDone;
  };
  switch (request) {
    case abi::kTiocGPtn:
      return tell(static_cast<std::int32_t>(number_));
    case abi::kTiocSPtLck: {
      const bool on = TRY(number.load()) != 0;
      const LockGuard guard(lock_);
      locked_ = on;
      return kDone;
    }
    case abi::kTiocGPtLck: {
      bool on = false;
      {
        const LockGuard guard(lock_);
        on = locked_;
      }
      return tell(on ? 1 : 0);
    }
    case abi::kTiocPkt:
      set_packet_mode(TRY(number.load()) != 0);
      return kDone;
    case abi::kTiocGPkt: {
      bool on = false;
      {
        const LockGuard guard(lock_);
        on = packet_mode_;
      }
      return tell(on ? 1 : 0);
    }
    case abi::kTiocSig: {
      const auto signo = static_cast<int>(argument);
      if (signo != abi::kSigInt && signo != abi::kSigQuit && signo != abi::kSigTstp) return Errno::inval;
      signal_foreground(*this, signo);
      return kDone;
    }
    case abi::kTiocGPtPeer: {
      const auto flags = static_cast<std::uint32_t>(argument);
      const Ref<OpenFile> peer = TRY(open_peer(*this, flags));
      const Fd fd = TRY(add_descriptor(task, peer, (flags & abi::kOCloExec) != 0));
      return std::optional<std::uint64_t>(static_cast<std::uint64_t>(fd));
    }
    default:
      return std::optional<std::uint64_t>();
  }
}

}  // namespace kernel
