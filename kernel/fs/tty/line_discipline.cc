#include "kernel/fs/tty/line_discipline.h"

#include <algorithm>

namespace kernel {

namespace {

constexpr std::size_t kEchoSize = 4096;
constexpr std::size_t kKeptOutput = 4095;  // what had reached the reader's side before a flush stays there
constexpr std::uint32_t kTabWidth = 8;

bool is_control(std::uint8_t byte) { return byte < 0x20 || byte == 0x7f; }
bool is_word(std::uint8_t byte) {
  // Letters of Latin-1 count, as in Linux's table.
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_' ||
         (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7);
}
std::uint8_t lower(std::uint8_t byte) {
  const bool upper = (byte >= 'A' && byte <= 'Z') || (byte >= 0xc0 && byte <= 0xde && byte != 0xd7);
  return upper ? static_cast<std::uint8_t>(byte + 0x20) : byte;
}
std::uint8_t upper(std::uint8_t byte) {
  const bool small = (byte >= 'a' && byte <= 'z') || (byte >= 0xe0 && byte != 0xf7 && byte != 0xff);
  return small ? static_cast<std::uint8_t>(byte - 0x20) : byte;
}

bool has_usual_flow_control(const abi::Termios2& termios) {
  return (termios.base.iflag & abi::kIXOn) != 0 && termios.base.cc[abi::kVStop] == 0x13 && termios.base.cc[abi::kVStart] == 0x11;
}

}  // namespace

abi::Termios2 default_termios() {
  abi::Termios2 result{};
  result.base.iflag = abi::kICrNl | abi::kIXOn;
  result.base.oflag = abi::kOPost | abi::kONlCr;
  result.base.cflag = abi::kB38400 | abi::kCS8 | abi::kCRead;
  result.base.lflag = abi::kISig | abi::kICanon | abi::kEcho | abi::kEchoE | abi::kEchoK | abi::kEchoCtl | abi::kEchoKe | abi::kIExten;
  result.base.cc = {3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16, 0, 0, 0};
  result.ispeed = result.ospeed = 38400;
  return result;
}

Result<> LineDiscipline::allocate() {
  TRY(buffer_.try_resize(kLineMax));
  return echo_.allocate(kEchoSize);
}

void LineDiscipline::set_mark(std::uint64_t at, bool on) {
  std::uint64_t& word = marks_[at % kLineMax / 64];
  const std::uint64_t bit = std::uint64_t{1} << (at % 64);
  word = on ? word | bit : word & ~bit;
}

void LineDiscipline::set_termios(const abi::Termios2& fresh) {
  const abi::Termios2 old = termios_;
  termios_ = fresh;
  termios_.base.cflag = (termios_.base.cflag & ~(abi::kCSize | abi::kParEnb)) | abi::kCS8 | abi::kCRead;
  const bool extended = ((old.base.lflag | fresh.base.lflag) & abi::kExtProc) != 0;
  if (has_usual_flow_control(old) != has_usual_flow_control(fresh))
    note_packet_status(has_usual_flow_control(fresh) ? abi::kPktDoStop : abi::kPktNoStop, abi::kPktDoStop | abi::kPktNoStop);
  if (extended) note_packet_status(abi::kPktIoctl);
  if (((old.base.lflag ^ fresh.base.lflag) & (abi::kICanon | abi::kExtProc)) != 0) {
    marks_.fill(0);
    if (has_local(abi::kICanon) && head_ != tail_) {
      // What was typed so far can be read at once, as if it were a line.
      set_mark(head_ - 1, true);
      line_end_ = head_;
    } else {
      line_end_ = tail_;
    }
    erasing_ = literal_next_ = false;
  }
  if ((old.base.iflag & abi::kIXOn) != 0 && !has_input(abi::kIXOn)) start(false);  // or nothing could start it any more
}

// --- input ---

// A line that is being typed never fills up: its last byte is replaced until the line ends. True: there is room for a byte.
bool LineDiscipline::make_room() {
  const std::uint64_t used = head_ - tail_;
  if (used + 1 < kLineMax) return true;
  if (!has_local(abi::kICanon) || line_end_ != tail_) return false;
  if (used == kLineMax) --head_;
  return true;
}

void LineDiscipline::append(std::uint8_t byte) {
  // Under PARMRK a byte of ones is told from a mark by doubling it.
  if (byte == 0xff && has_input(abi::kParMrk) && head_ - tail_ < kLineMax) {
    buffer_[head_ % kLineMax] = byte;
    set_mark(head_++, false);
  }
  if (head_ - tail_ == kLineMax) --head_;
  buffer_[head_ % kLineMax] = byte;
  set_mark(head_++, false);
}

void LineDiscipline::append_marked(std::uint8_t byte) {
  if (head_ - tail_ == kLineMax) --head_;
  buffer_[head_ % kLineMax] = byte;
  set_mark(head_++, true);
  line_end_ = head_;
}

bool LineDiscipline::receive(std::uint8_t byte) {
  if (!make_room()) return false;
  if (has_input(abi::kIStrip)) byte &= 0x7f;
  if (has_input(abi::kIUcLc) && has_local(abi::kIExten)) byte = lower(byte);
  if (has_local(abi::kExtProc)) {
    append(byte);
  } else if (literal_next_) {
    literal_next_ = false;
    finish_erasing();
    if (has_local(abi::kEcho)) echo_at_line(byte);
    append(byte);
  } else {
    receive_processed(byte);
  }
  (void)flush_echo();
  return true;
}

void LineDiscipline::receive_processed(std::uint8_t byte) {
  if (receive_flow(byte) || receive_signal(byte)) return;
  if (stopped_ && has_input(abi::kIXOn) && has_input(abi::kIXAny)) start(false);
  bool from_return = false;
  if (byte == '\r') {
    if (has_input(abi::kIgnCr)) return;
    from_return = has_input(abi::kICrNl);
    if (from_return) byte = '\n';
  } else if (byte == '\n' && has_input(abi::kINlCr)) {
    byte = '\r';
  }
  if (has_local(abi::kICanon) && (receive_editing(byte) || receive_end(byte))) return;
  if (has_local(abi::kEcho)) {
    finish_erasing();
    if (from_return)
      echo_raw(byte);
    else
      echo_at_line(byte);  // a newline that was typed as such shows as ^J here
  }
  append(byte);
}

bool LineDiscipline::receive_flow(std::uint8_t byte) {
  if (!has_input(abi::kIXOn)) return false;
  if (is_key(byte, abi::kVStart))
    start(false);
  else if (is_key(byte, abi::kVStop))
    stop(false);
  else
    return false;
  return true;
}

bool LineDiscipline::receive_signal(std::uint8_t byte) {
  if (!has_local(abi::kISig)) return false;
  if (is_key(byte, abi::kVIntr))
    raise(abi::kSigInt, byte);
  else if (is_key(byte, abi::kVQuit))
    raise(abi::kSigQuit, byte);
  else if (is_key(byte, abi::kVSusp))
    raise(abi::kSigTstp, byte);
  else
    return false;
  return true;
}

void LineDiscipline::raise(int signo, std::uint8_t byte) {
  signals_ |= signal_bit(signo);
  if (!has_local(abi::kNoFlsh)) {
    echo_.truncate(0);
    flush_output();
    flush_input();
  }
  if (has_input(abi::kIXOn)) start(false);
  if (has_local(abi::kEcho)) echo(byte);
}

// Keys that change the line. True: the byte was one.
bool LineDiscipline::receive_editing(std::uint8_t byte) {
  const bool extended = has_local(abi::kIExten);
  if (is_key(byte, abi::kVErase) || is_key(byte, abi::kVKill) || (extended && is_key(byte, abi::kVWErase))) {
    erase(byte);
    return true;
  }
  if (extended && is_key(byte, abi::kVLNext)) {
    literal_next_ = true;
    if (!has_local(abi::kEcho)) return true;
    finish_erasing();
    if (has_local(abi::kEchoCtl)) {
      echo_raw('^');
      echo_raw('\b');
    }
    return true;
  }
  if (extended && has_local(abi::kEcho) && is_key(byte, abi::kVReprint)) {
    reprint();
    return true;
  }
  return false;
}

// Bytes that end a line. True: the byte was one.
bool LineDiscipline::receive_end(std::uint8_t byte) {
  if (byte == '\n') {
    if (has_local(abi::kEcho) || has_local(abi::kEchoNl)) echo_raw('\n');
    append_marked('\n');
    return true;
  }
  if (is_key(byte, abi::kVEof)) {
    append_marked(0);
    return true;
  }
  if (!is_key(byte, abi::kVEol) && !(has_local(abi::kIExten) && is_key(byte, abi::kVEol2))) return false;
  if (has_local(abi::kEcho)) echo_at_line(byte);
  append_marked(byte);
  return true;
}

bool LineDiscipline::is_readable(bool for_poll) const {
  if (is_canonical()) return line_end_ != tail_;
  const std::uint8_t minimum = termios_.base.cc[abi::kVMin];
  const std::uint64_t wanted = for_poll && termios_.base.cc[abi::kVTime] == 0 && minimum != 0 ? minimum : 1;
  return head_ - tail_ >= wanted;
}

std::size_t LineDiscipline::readable_bytes() const {
  if (!has_local(abi::kICanon)) return static_cast<std::size_t>(head_ - tail_);
  std::size_t count = 0;
  for (std::uint64_t at = tail_; at != line_end_; ++at)
    if (!(is_marked(at) && byte_at(at) == 0)) ++count;
  return count;
}

LineDiscipline::Taken LineDiscipline::take(std::span<std::byte> into, bool last) {
  Taken taken;
  const bool lines = is_canonical();
  const std::uint64_t end = lines ? line_end_ : head_;
  while (tail_ != end && taken.count < into.size()) {
    const std::uint64_t at = tail_++;
    const bool ends = lines && is_marked(at);
    if (ends) set_mark(at, false);
    if (!(ends && byte_at(at) == 0)) into[taken.count++] = static_cast<std::byte>(byte_at(at));
    if (ends) {
      taken.ended = true;
      return taken;
    }
  }
  if (last && lines && tail_ != end && taken.count == into.size() && is_marked(tail_) && byte_at(tail_) == 0) {
    set_mark(tail_++, false);
    taken.ended = true;
  }
  return taken;
}

void LineDiscipline::flush_input() {
  tail_ = line_end_ = head_;
  marks_.fill(0);
  literal_next_ = erasing_ = false;
  note_packet_status(abi::kPktFlushRead);
}

// --- editing ---

void LineDiscipline::erase(std::uint8_t key) {
  if (head_ == line_end_) return;
  const bool by_erase = is_key(key, abi::kVErase);
  const bool by_word = !by_erase && is_key(key, abi::kVWErase) && has_local(abi::kIExten);
  if (!by_erase && !by_word) {
    if (!has_local(abi::kEcho) || !has_local(abi::kEchoK) || !has_local(abi::kEchoKe) || !has_local(abi::kEchoE)) return erase_to_start();
  }
  bool seen_word = false;
  while (head_ != line_end_) {
    std::uint64_t at = head_;
    do {
      --at;
    } while (is_continuation(byte_at(at)) && at != line_end_);
    const std::uint8_t first = byte_at(at);
    if (is_continuation(first)) break;  // half a character is not erased
    if (by_word) {
      if (is_word(first))
        seen_word = true;
      else if (seen_word)
        break;
    }
    const std::uint64_t old_head = head_;
    head_ = at;
    if (has_local(abi::kEcho) && has_local(abi::kEchoPrt)) {
      if (!erasing_) echo_raw('\\');
      erasing_ = true;
      echo(first);
      for (std::uint64_t more = at + 1; more < old_head; ++more) echo_raw(byte_at(more));
    } else if (has_local(abi::kEcho)) {
      erase_one_echo(at, by_erase);
    }
    if (by_erase) break;
  }
  if (head_ == line_end_ && has_local(abi::kEcho)) finish_erasing();
}

// The kill character where it cannot be shown by erasing.
void LineDiscipline::erase_to_start() {
  head_ = line_end_;
  if (!has_local(abi::kEcho)) return;
  finish_erasing();
  echo(termios_.base.cc[abi::kVKill]);
  if (has_local(abi::kEchoK)) echo_raw('\n');
}

// Takes the character that began at `at` off the screen.
void LineDiscipline::erase_one_echo(std::uint64_t at, bool by_erase_key) {
  const std::uint8_t byte = byte_at(at);
  if (by_erase_key && !has_local(abi::kEchoE)) return echo(termios_.base.cc[abi::kVErase]);
  if (byte == '\t') return erase_tab_echo();
  const std::uint32_t width = is_control(byte) ? (has_local(abi::kEchoCtl) ? 2 : 0) : 1;
  for (std::uint32_t i = 0; i < width; ++i) {
    echo_raw('\b');
    echo_raw(' ');
    echo_raw('\b');
  }
}

// Goes back over a tab: how far depends on what stands before it since the last tab or the start of the line.
void LineDiscipline::erase_tab_echo() {
  std::uint32_t used = 0;
  bool after_tab = false;
  for (std::uint64_t at = head_; at != line_end_ && !after_tab;) {
    const std::uint8_t byte = byte_at(--at);
    if (byte == '\t')
      after_tab = true;
    else if (is_control(byte))
      used += has_local(abi::kEchoCtl) ? 2 : 0;
    else if (!is_continuation(byte))
      ++used;
  }
  if (!after_tab) used += line_column_;
  for (std::uint32_t back = kTabWidth - used % kTabWidth; back != 0; --back) {
    put_echo('\b');
    if (column_ > 0) --column_;
  }
}

void LineDiscipline::reprint() {
  finish_erasing();
  echo(termios_.base.cc[abi::kVReprint]);
  echo_raw('\n');
  for (std::uint64_t at = line_end_; at != head_; ++at) echo(byte_at(at));
}

void LineDiscipline::finish_erasing() {
  if (!erasing_) return;
  echo_raw('/');
  erasing_ = false;
}

// --- output ---

void LineDiscipline::echo_at_line(std::uint8_t byte) {
  if (line_end_ == head_) line_column_ = column_;
  echo(byte);
}

void LineDiscipline::echo(std::uint8_t byte) {
  if (!has_local(abi::kEchoCtl) || !is_control(byte) || byte == '\t') return echo_raw(byte);
  put_echo('^');
  put_echo(byte ^ 0x40);
  column_ += 2;
}

void LineDiscipline::echo_raw(std::uint8_t byte) {
  if (has_output(abi::kOPost))
    (void)put_processed(byte, echo_);
  else
    put_echo(byte);
}

bool LineDiscipline::put_processed(std::uint8_t byte, ByteRing& to) {
  const std::size_t room = to.room();
  if (room == 0) return false;
  switch (byte) {
    case '\n':
      if (has_output(abi::kONlRet)) column_ = 0;
      if (has_output(abi::kONlCr)) {
        if (room < 2) return false;
        column_ = line_column_ = 0;
        (void)to.push('\r');
      }
      line_column_ = column_;
      break;
    case '\r':
      if (has_output(abi::kONoCr) && column_ == 0) return true;
      if (has_output(abi::kOCrNl)) {
        byte = '\n';
        if (has_output(abi::kONlRet)) column_ = line_column_ = 0;
        break;
      }
      column_ = line_column_ = 0;
      break;
    case '\t': {
      const std::uint32_t spaces = kTabWidth - column_ % kTabWidth;
      const bool expanded = (termios_.base.oflag & abi::kTabDly) == abi::kXTabs;
      if (expanded && room < spaces) return false;
      column_ += spaces;
      if (!expanded) break;
      for (std::uint32_t i = 0; i < spaces; ++i) (void)to.push(' ');
      return true;
    }
    case '\b':
      if (column_ > 0) --column_;
      break;
    default:
      if (is_control(byte)) break;
      if (has_output(abi::kOLcUc)) byte = upper(byte);
      if (!is_continuation(byte)) ++column_;
      break;
  }
  return to.push(byte);
}

bool LineDiscipline::put_output(std::uint8_t byte) {
  if (stopped_) return false;
  return has_output(abi::kOPost) ? put_processed(byte, output_) : output_.push(byte);
}

bool LineDiscipline::flush_echo() {
  while (!echo_.empty()) {
    if (stopped_ || !output_.push(echo_.at(0))) return false;
    echo_.drop(1);
  }
  return true;
}

void LineDiscipline::stop(bool by_request) {
  if (by_request) {
    if (stopped_by_request_) return;
    stopped_by_request_ = true;
  }
  if (stopped_) return;
  stopped_ = true;
  note_packet_status(abi::kPktStop, abi::kPktStart);
}

void LineDiscipline::start(bool by_request) {
  if (by_request && !stopped_by_request_) return;
  if (by_request) stopped_by_request_ = false;
  if (!stopped_ || stopped_by_request_) return;
  stopped_ = false;
  note_packet_status(abi::kPktStart, abi::kPktStop);
  (void)flush_echo();
}

void LineDiscipline::flush_output() {
  output_.truncate(kKeptOutput);
  note_packet_status(abi::kPktFlushWrite);
}

}  // namespace kernel
