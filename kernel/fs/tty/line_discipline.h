// What stands between the keys of a terminal and a program that reads: editing of lines, echo, signals, flow control, and the
// processing of output (termios(3)). It only computes: no lock, no waiting, no processes; the terminal that owns it does these.
#ifndef KERNEL_FS_TTY_LINE_DISCIPLINE_H
#define KERNEL_FS_TTY_LINE_DISCIPLINE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "abi/tty.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/fs/tty/byte_ring.h"
#include "kernel/task/signal.h"

namespace kernel {

// The settings of a new pseudo terminal.
abi::Termios2 default_termios();

class LineDiscipline {
 public:
  static constexpr std::size_t kLineMax = 4096;  // bytes of one line with its end, and of input that was not read

  // `output` takes echoes and what put_output() makes of a program's bytes.
  explicit LineDiscipline(ByteRing& output LIFETIMEBOUND) : output_(output) {}
  Result<> allocate();  // once, before use

  const abi::Termios2& termios() const LIFETIMEBOUND { return termios_; }
  void set_termios(const abi::Termios2& fresh);
  bool is_canonical() const { return has_local(abi::kICanon) && !has_local(abi::kExtProc); }

  // --- input ---
  // One byte from the line. False: there is no room, it was not taken.
  bool receive(std::uint8_t byte);
  // A program may read: a line, or bytes (for poll(2) as many as MIN says, unless TIME is set).
  bool is_readable(bool for_poll) const;
  // What FIONREAD tells.
  std::size_t readable_bytes() const;
  struct Taken {
    std::size_t count = 0;
    bool ended = false;  // at the end of a line
  };
  // Moves input out. `last`: there is no room for more behind `into`, so that an end-of-file right behind it goes with it.
  Taken take(std::span<std::byte> into, bool last);
  void flush_input();

  // --- output ---
  // Processes one byte of a program's output. False: no room, or the output is stopped.
  bool put_output(std::uint8_t byte);
  // Moves echoes that found no room before. False: some are left, they go first.
  bool flush_echo();
  bool is_stopped() const { return stopped_; }
  void stop(bool by_request);   // by_request: TCXONC, which keys do not undo
  void start(bool by_request);
  void flush_output();

  // --- what happened, for the terminal to act on ---
  SignalSet take_signals() { return std::exchange(signals_, 0); }
  std::uint8_t packet_status() const { return packet_status_; }
  void clear_packet_status() { packet_status_ = 0; }
  void note_packet_status(std::uint8_t set, std::uint8_t cleared = 0) {
    packet_status_ = static_cast<std::uint8_t>((packet_status_ & ~cleared) | set);
  }

 private:
  bool has_input(std::uint32_t flag) const { return (termios_.base.iflag & flag) != 0; }
  bool has_output(std::uint32_t flag) const { return (termios_.base.oflag & flag) != 0; }
  bool has_local(std::uint32_t flag) const { return (termios_.base.lflag & flag) != 0; }
  // `byte` is the control character `which`; a character that is 0 is switched off.
  bool is_key(std::uint8_t byte, std::size_t which) const { return byte != 0 && byte == termios_.base.cc[which]; }
  bool is_continuation(std::uint8_t byte) const { return has_input(abi::kIUtf8) && (byte & 0xc0) == 0x80; }

  bool make_room();
  void append(std::uint8_t byte);  // to the input
  void append_marked(std::uint8_t byte);
  void finish_line(std::uint8_t byte);
  void receive_processed(std::uint8_t byte);
  bool receive_flow(std::uint8_t byte);
  bool receive_signal(std::uint8_t byte);
  bool receive_editing(std::uint8_t byte);
  bool receive_end(std::uint8_t byte);
  void raise(int signo, std::uint8_t byte);

  void erase(std::uint8_t key);
  void erase_to_start();
  void erase_one_echo(std::uint64_t at, bool by_erase_key);
  void erase_tab_echo();
  void reprint();
  void finish_erasing();
  void echo(std::uint8_t byte);      // control characters as ^X if so set
  void echo_raw(std::uint8_t byte);  // as output of a program
  void echo_at_line(std::uint8_t byte);
  void put_echo(std::uint8_t byte) { (void)echo_.push(byte); }  // more than fits is lost
  bool put_processed(std::uint8_t byte, ByteRing& to);

  std::uint8_t byte_at(std::uint64_t at) const { return buffer_[at % kLineMax]; }
  bool is_marked(std::uint64_t at) const { return (marks_[at % kLineMax / 64] >> (at % 64) & 1) != 0; }
  void set_mark(std::uint64_t at, bool on);

  ByteRing& output_;
  abi::Termios2 termios_ = default_termios();
  // Input between tail_ and head_; up to line_end_ it is whole lines. A marked byte ends a line; a marked NUL is an end-of-file.
  Vec<std::uint8_t> buffer_;
  std::array<std::uint64_t, kLineMax / 64> marks_{};
  std::uint64_t tail_ = 0, head_ = 0, line_end_ = 0;
  ByteRing echo_;
  std::uint32_t column_ = 0, line_column_ = 0;  // of the cursor; where the line being edited began
  bool literal_next_ = false, erasing_ = false, stopped_ = false, stopped_by_request_ = false;
  SignalSet signals_ = 0;
  std::uint8_t packet_status_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_FS_TTY_LINE_DISCIPLINE_H
