#include "kernel/fs/tty/pty.h"

#include <algorithm>
#include <array>
#include <utility>

#include "abi/fs.h"
#include "kernel/fs/tty/devpts.h"
#include "kernel/fs/tty/pty_file.h"

namespace kernel {

namespace {

constexpr std::size_t kOutputSize = 16384, kArrivingSize = 8192;
constexpr std::size_t kPiece = 512;  // moved between program memory and the pair at a time
constexpr Instant kTimeUnit = 100'000'000;  // of VTIME: a tenth of a second

}  // namespace

Result<> Pty::allocate() {
  // Nobody else knows the object yet; the lock is for the analysis.
  ByteRing output, arriving;
  TRY(output.allocate(kOutputSize));
  TRY(arriving.allocate(kArrivingSize));
  const LockGuard guard(lock_);
  output_ = std::move(output);
  arriving_ = std::move(arriving);
  return line_.allocate();
}

std::uint64_t Pty::device() const { return abi::make_device(kPtySlaveMajor, number_); }

void Pty::note_changes_locked(After& after) {
  after.signals |= line_.take_signals();
  if (packet_mode_ && line_.packet_status() != 0) after.master_in = true;
}

void Pty::finish(const After& after) {
  for (int signo = 1; after.signals >> (signo - 1) != 0; ++signo)
    if ((after.signals & signal_bit(signo)) != 0) signal_foreground(*this, signo);
  if (after.slave_in) slave_queue_.wake_all(kPollReadable);
  if (after.slave_out) slave_queue_.wake_all(kPollWritable);
  if (after.master_in) master_queue_.wake_all(kPollReadable);
  if (after.master_out) master_queue_.wake_all(kPollWritable);
}

// Gives the line discipline what has arrived.
void Pty::feed_locked(After& after) {
  const std::size_t output_before = output_.size();
  const bool was_stopped = line_.is_stopped();
  std::size_t fed = 0;
  while (!arriving_.empty() && line_.receive(arriving_.at(0))) {
    arriving_.drop(1);
    ++fed;
  }
  if (fed != 0 && line_.is_readable(false)) after.slave_in = true;
  if (fed != 0) after.master_out = true;
  if (output_.size() != output_before) after.master_in = true;
  if (was_stopped && !line_.is_stopped()) after.slave_out = true;
}

// --- the master's side ---

std::optional<std::uint8_t> Pty::take_packet_status() {
  const LockGuard guard(lock_);
  if (!packet_mode_ || line_.packet_status() == 0) return std::nullopt;
  const std::uint8_t status = line_.packet_status();
  line_.clear_packet_status();
  return status;
}

Result<std::size_t> Pty::read_output(IoSink& sink, bool nonblocking) {
  if (sink.full()) return std::size_t{0};
  std::array<std::byte, kPiece> piece;
  std::size_t total = 0;
  for (;;) {
    if (total == 0) {
      if (const std::optional<std::uint8_t> status = take_packet_status()) {
        piece[0] = static_cast<std::byte>(*status);
        return sink.put(std::span(piece).first(1));
      }
    }
    std::size_t count = 0, header = 0;
    bool over = false;
    {
      Work work(*this);
        if (total == 0 && packet_mode_ && !output_.empty()) piece[header++] = static_cast<std::byte>(abi::kPktData);
      const std::uint64_t room = std::min<std::uint64_t>(sink.remaining(), piece.size());
      count = output_.take(std::span(piece).first(static_cast<std::size_t>(room)).subspan(header));
      over = output_.empty() && slave_closed_;
      if (count != 0) {
        (void)line_.flush_echo();
        work.after.slave_out = true;
      }
    }
    if (count + header != 0) {
      auto put = sink.put(std::span(piece).first(count + header));
      if (!put.ok()) return total != 0 ? Result<std::size_t>(total) : put;
      total += std::move(put).release();
      if (sink.full()) return total;
      if (count != 0) continue;
    }
    if (total != 0) return total;
    if (over) return Errno::io;
    if (nonblocking) return Errno::again;
    TRY(master_queue_.wait([this] {
      const LockGuard guard(lock_);
      return !output_.empty() || slave_closed_ || (packet_mode_ && line_.packet_status() != 0);
    }));
  }
}

Result<std::size_t> Pty::write_input(IoSource& source, bool nonblocking) {
  std::array<std::byte, kPiece> piece;
  std::size_t total = 0;
  while (!source.empty()) {
    auto taken = source.take(piece);
    if (!taken.ok()) return total != 0 ? Result<std::size_t>(total) : taken;
    std::span<const std::byte> rest = std::span(piece).first(std::move(taken).release());
    while (!rest.empty()) {
      std::size_t count = 0;
      {
        Work work(*this);
            while (count < rest.size() && arriving_.push(static_cast<std::uint8_t>(rest[count]))) ++count;
        feed_locked(work.after);
      }
      rest = rest.subspan(count);
      total += count;
      if (rest.empty() || count != 0) continue;
      if (nonblocking) return total != 0 ? Result<std::size_t>(total) : Errno::again;
      const Result<> waited = master_queue_.wait([this] {
        const LockGuard guard(lock_);
        return arriving_.room() != 0;
      });
      if (!waited.ok()) return total != 0 ? Result<std::size_t>(total) : waited.error();
    }
  }
  return total;
}

std::uint32_t Pty::master_readiness() {
  const LockGuard guard(lock_);
  std::uint32_t events = 0;
  if (!output_.empty()) events |= kPollReadable;
  if (packet_mode_ && line_.packet_status() != 0) events |= kPollReadable | kPollPri;
  if (slave_closed_) events |= kPollHup;
  if (arriving_.room() != 0) events |= kPollWritable;
  return events;
}

void Pty::close_master() {
  forget_pty(*this);
  {
    const LockGuard guard(lock_);
    master_closed_ = true;
  }
  hang_up();
}

// --- the slave's side ---

void Pty::hang_up() {
  hangups_.fetch_add(1, std::memory_order_acq_rel);
  slave_queue_.wake_all(kPollReadable | kPollWritable | kPollErr | kPollHup);
  hang_up_session(*this);
}

Result<> Pty::check_open_locked(Task& task) {
  if (master_closed_ || locked_) return Errno::io;
  if (exclusive_ && !task.credentials().has(Capability::sys_admin)) return Errno::busy;
  return {};
}

Result<Ref<OpenFile>> Pty::open(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags) {
  Task& task = current_task();
  const Ref<SlaveFile> file = TRY(make_ref<SlaveFile>(std::move(dentry), std::move(inode), Ref<Pty>(*this), flags));
  {
    const LockGuard guard(lock_);
    TRY(check_open_locked(task));
    ++slave_files_;
    slave_closed_ = false;
  }
  file->set_counted();
  if ((flags & abi::kONoCtty) == 0 && file->may_read()) adopt_terminal(task, *this);
  return Ref<OpenFile>(file);
}

void Pty::close_slave() {
  {
    const LockGuard guard(lock_);
    if (--slave_files_ != 0) return;
    slave_closed_ = true;
  }
  master_queue_.wake_all(kPollHup | kPollReadable);
}

bool Pty::has_input(std::uint32_t opened_at) {
  if (is_hung_up(opened_at)) return true;
  const LockGuard guard(lock_);
  return line_.is_readable(false) || master_closed_;
}

// How long read(2) waits and for how much (termios(3), "canonical and noncanonical mode").
struct Pty::ReadPlan {
  std::size_t minimum = 0;   // bytes; 0 in canonical mode
  Instant between = 0;       // most time between two bytes, 0 = any
  Instant deadline = kNever;
};

LineDiscipline::Taken Pty::take_input(std::span<std::byte> into, bool last, bool& available) {
  Work work(*this);
  available = line_.is_readable(false);
  if (!available) return {};
  const LineDiscipline::Taken taken = line_.take(into, last);
  feed_locked(work.after);
  return taken;
}

Result<> Pty::await_input(const ReadPlan& plan, std::uint32_t opened_at) {
  return slave_queue_.wait([&] { return has_input(opened_at); }, plan.deadline);
}

Result<std::size_t> Pty::read_input(Task& task, IoSink& sink, bool nonblocking, std::uint32_t opened_at) {
  if (is_hung_up(opened_at)) return std::size_t{0};
  TRY(check_background(task, *this, abi::kSigTtin));
  ReadPlan plan;
  {
    const LockGuard guard(lock_);
    const auto& keys = line_.termios().base.cc;
    if ((line_.termios().base.lflag & abi::kICanon) == 0) {
      plan.minimum = std::max<std::size_t>(keys[abi::kVMin], 1);
      const Instant time = keys[abi::kVTime] * kTimeUnit;
      if (keys[abi::kVMin] != 0)
        plan.between = time;
      else
        plan.deadline = time == 0 ? 0 : monotonic_now() + time;
    }
  }
  std::array<std::byte, kPiece> piece;
  std::size_t total = 0;
  const auto partial = [&total](Errno error) -> Result<std::size_t> {
    if (total != 0) return total;
    return error;
  };
  while (!sink.full()) {
    const std::uint64_t room = std::min<std::uint64_t>(sink.remaining(), piece.size());
    bool available = false;
    const LineDiscipline::Taken taken = take_input(std::span(piece).first(static_cast<std::size_t>(room)), room == sink.remaining(), available);
    if (available) {
      auto put = sink.put(std::span(piece).first(taken.count));
      if (!put.ok()) return partial(put.error());
      total += std::move(put).release();
      if (taken.ended || sink.full()) return total;
      if (plan.between != 0) plan.deadline = monotonic_now() + plan.between;
      continue;
    }
    if (total != 0 && total >= plan.minimum) return total;
    if (is_hung_up(opened_at)) return total;
    if (plan.deadline == 0) return total;
    if (nonblocking) return partial(Errno::again);
    const Result<> waited = await_input(plan, opened_at);
    if (!waited.ok() && waited.error() == Errno::timedout) return total;
    if (!waited.ok()) return partial(waited.error());
    const LockGuard guard(lock_);
    if (master_closed_ && !line_.is_readable(false)) return partial(Errno::io);
  }
  return total;
}

std::uint32_t Pty::slave_readiness(std::uint32_t opened_at) {
  if (is_hung_up(opened_at)) return kPollReadable | kPollWritable | kPollErr | kPollHup;
  const LockGuard guard(lock_);
  std::uint32_t events = 0;
  if (line_.is_readable(true)) events |= kPollReadable;
  if (master_closed_) events |= kPollHup;
  if (!line_.is_stopped() && output_.room() != 0) events |= kPollWritable;
  return events;
}

std::size_t Pty::put_output_bytes(std::span<const std::byte> bytes, std::uint32_t opened_at) {
  if (is_hung_up(opened_at)) return 0;
  Work work(*this);
  const std::size_t before = output_.size();
  std::size_t count = 0;
  if (line_.flush_echo())
    while (count < bytes.size() && line_.put_output(static_cast<std::uint8_t>(bytes[count]))) ++count;
  if (output_.size() != before) work.after.master_in = true;
  return count;
}

Result<> Pty::await_output_room(std::uint32_t opened_at) {
  constexpr std::size_t kMostForOne = 8;  // a tab
  return slave_queue_.wait([&] {
    if (is_hung_up(opened_at)) return true;
    const LockGuard guard(lock_);
    return master_closed_ || (!line_.is_stopped() && output_.room() >= kMostForOne);
  });
}

Result<std::size_t> Pty::write_gated(IoSource& source, bool nonblocking, std::uint32_t opened_at) {
  std::array<std::byte, kPiece> piece;
  std::size_t total = 0;
  const auto partial = [&total](Errno error) -> Result<std::size_t> {
    if (total != 0) return total;
    return error;
  };
  while (!source.empty()) {
    auto taken = source.take(piece);
    if (!taken.ok()) return partial(taken.error());
    std::span<const std::byte> rest = std::span(piece).first(std::move(taken).release());
    while (!rest.empty()) {
      if (is_hung_up(opened_at)) return partial(Errno::io);
      const std::size_t count = put_output_bytes(rest, opened_at);
      rest = rest.subspan(count);
      total += count;
      if (count != 0) continue;
      if (nonblocking) return partial(Errno::again);
      const Result<> waited = await_output_room(opened_at);
      if (!waited.ok()) return partial(waited.error());
    }
  }
  return total;
}

Result<std::size_t> Pty::write_output(Task& task, IoSource& source, bool nonblocking, std::uint32_t opened_at) {
  if (is_hung_up(opened_at)) return Errno::io;
  bool stops_background = false;
  {
    const LockGuard guard(lock_);
    stops_background = (line_.termios().base.lflag & abi::kToStop) != 0;
  }
  if (stops_background) TRY(check_background(task, *this, abi::kSigTtou));
  if (writing_.exchange(true, std::memory_order_acq_rel)) {
    if (nonblocking) return Errno::again;
    TRY(slave_queue_.wait([this] { return !writing_.exchange(true, std::memory_order_acq_rel); }));
  }
  auto written = write_gated(source, nonblocking, opened_at);
  writing_.store(false, std::memory_order_release);
  slave_queue_.wake_all(kPollWritable);
  return written;
}

}  // namespace kernel
