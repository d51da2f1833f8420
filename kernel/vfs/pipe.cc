#include "kernel/vfs/pipe.h"

#include <algorithm>
#include <bit>
#include <string_view>

#include "abi/fs.h"
#include "abi/signal.h"
#include "kernel/base/string.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/heap.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constinit std::atomic<std::uint64_t> pipe_numbers{1};
constexpr std::uint32_t kFionread = 0x541b;

}  // namespace

std::uint64_t Pipe::next_number() { return pipe_numbers.fetch_add(1, std::memory_order_relaxed); }

Pipe::~Pipe() {
  if (!buffer_.empty()) frame::free_pages(buffer_);
}

Result<> Pipe::make_buffer() {
  if (!buffer_.empty()) return {};
  frame::abandon_copy();  // memory may have to be waited for
  buffer_ = TRY(frame::allocate_pages(size() / kPageSize));
  return {};
}

// The contiguous part of the ring from running index `at`, at most `most` bytes.
std::span<std::byte> Pipe::piece(std::uint64_t at, std::uint64_t most) {
  const std::size_t offset = at & (buffer_.size() - 1);
  return buffer_.subspan(offset, std::min<std::uint64_t>(most, buffer_.size() - offset));
}

bool Pipe::has_room(std::uint64_t needed) const {
  return size() - used() >= needed && packet_count_.load(std::memory_order_acquire) < size() / kAtomic;
}

// --- packets ---

std::optional<Pipe::Packet> Pipe::first_packet() {
  const LockGuard guard(packets_lock_);
  if (packet_count_.load(std::memory_order_relaxed) == 0) return std::nullopt;
  return packets_[first_packet_];
}

void Pipe::drop_packet() {
  const LockGuard guard(packets_lock_);
  first_packet_ = (first_packet_ + 1) % packets_.size();
  packet_count_.fetch_sub(1, std::memory_order_release);
}

// With both locks, after the ring was made anew with its oldest byte at index 0.
void Pipe::move_packets(Vec<Packet>& fresh, std::uint64_t old_head) {
  const LockGuard guard(packets_lock_);
  for (std::size_t i = 0; i < packet_count_.load(std::memory_order_relaxed); ++i) {
    const Packet& packet = packets_[(first_packet_ + i) % packets_.size()];
    fresh[i] = {.begin = std::max(packet.begin, old_head) - old_head, .end = packet.end - old_head};  // splice may have taken its beginning
  }
  std::swap(packets_, fresh);
  first_packet_ = 0;
}

// With the writer's lock.
Result<> Pipe::make_packet_ring() {
  {
    const LockGuard guard(packets_lock_);
    if (!packets_.empty()) return {};
  }
  Vec<Packet> ring;
  TRY(ring.try_resize(buffer_.size() / kAtomic));
  const LockGuard guard(packets_lock_);
  std::swap(packets_, ring);
  return {};
}

// With the writer's lock and room for it: one packet. Its limits are there before its bytes are.
Result<std::size_t> Pipe::write_packet(IoSource& source) {
  frame::abandon_copy();  // memory may have to be waited for
  TRY(make_buffer());
  TRY(make_packet_ring());
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(source.remaining(), kAtomic));
  std::size_t moved = 0;
  while (moved < wanted) {
    const std::span<std::byte> into = piece(tail + moved, wanted - moved);
    if (TRY(source.take(into)) != into.size()) return Errno::fault;
    moved += into.size();
  }
  {
    const LockGuard guard(packets_lock_);
    const std::uint32_t count = packet_count_.load(std::memory_order_relaxed);
    packets_[(first_packet_ + count) % packets_.size()] = {.begin = tail, .end = tail + moved};
    packet_count_.store(count + 1, std::memory_order_release);
  }
  tail_.store(tail + moved, std::memory_order_release);
  return moved;
}

// With the reader's lock: moves bytes out, in at most two pieces.
Result<std::size_t> Pipe::read_available(IoSink& sink) {
  std::size_t moved = 0;
  std::optional<Packet> packet;
  while (!sink.full()) {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    std::uint64_t there = tail_.load(std::memory_order_acquire) - head;
    if (there == 0) break;
    if (packet_count_.load(std::memory_order_acquire) != 0) {
      packet = first_packet();
      if (packet) there = std::min(there, (head < packet->begin ? packet->begin : packet->end) - head);
      if (packet && head < packet->begin) packet.reset();
    }
    const std::span<std::byte> from = piece(head, std::min(there, sink.remaining()));
    auto put = sink.put(from);
    if (!put.ok()) {
      if (moved != 0) break;
      return put.error();
    }
    const std::size_t count = std::move(put).release();
    head_.store(head + count, std::memory_order_release);
    moved += count;
    if (count < from.size() || (packet && head + count == packet->end)) break;
  }
  if (packet) {
    // What does not fit is discarded (pipe(2), O_DIRECT). First the bytes: as long as it counts, it is the first.
    head_.store(packet->end, std::memory_order_release);
    drop_packet();
  }
  return moved;
}

Result<std::size_t> Pipe::read(IoSink& sink, bool nonblocking) {
  if (sink.full()) return std::size_t{0};
  for (;;) {
    if (used() != 0) {
      read_lock_.lock_for_copy();
      auto moved = read_available(sink);
      read_lock_.unlock_after_copy();
      if (!moved.ok()) return moved.error();
      if (const std::size_t count = std::move(moved).release(); count != 0) {
        queue_.wake_all_fenced(kPollWritable);  // by unlock()
        return count;
      }
    }
    if (used() == 0 && writers_.load(std::memory_order_acquire) == 0) return std::size_t{0};
    if (nonblocking) return Errno::again;
    TRY(queue_.wait_kept([this] { return used() != 0 || writers_.load(std::memory_order_acquire) == 0; }));
  }
}

// With the writer's lock: fills what room there is. `before` bytes of the same write are in the pipe already. When the program's memory
// cannot be read any further, whole pages of the write stay and the rest of it does not count, as on Linux.
Result<std::size_t> Pipe::write_room(IoSource& source, std::size_t before, bool& faulted) {
  TRY(make_buffer());
  std::size_t moved = 0;
  while (!source.empty()) {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    const std::uint64_t room = buffer_.size() - (tail - head_.load(std::memory_order_acquire));
    if (room == 0) break;
    const std::span<std::byte> into = piece(tail, std::min(room, source.remaining()));
    auto taken = source.take(into);
    std::size_t count = taken.ok() ? std::move(taken).release() : 0;
    if (count < into.size()) {
      faulted = true;
      const std::size_t whole_pages = (before + moved + count) & ~(kAtomic - 1);
      count = whole_pages > before + moved ? whole_pages - before - moved : 0;
    }
    tail_.store(tail + count, std::memory_order_release);
    moved += count;
    if (faulted) break;
  }
  return moved;
}

Result<std::size_t> Pipe::write(IoSource& source, bool nonblocking, bool packets) {
  std::size_t total = 0;
  const auto partial = [&](Errno error) -> Result<std::size_t> {
    if (total != 0) return total;
    return error;
  };
  while (!source.empty()) {
    if (readers_.load(std::memory_order_acquire) == 0) return partial(Errno::pipe);
    const std::uint64_t needed = source.remaining() <= kAtomic ? source.remaining() : packets ? kAtomic : 1;
    write_lock_.lock_for_copy();
    Result<std::size_t> moved = std::size_t{0};
    bool faulted = false;
    if (has_room(needed)) moved = packets ? write_packet(source) : write_room(source, total, faulted);
    write_lock_.unlock_after_copy();
    if (!moved.ok()) return partial(moved.error());
    if (const std::size_t count = std::move(moved).release(); count != 0) {
      total += count;
      queue_.wake_all_fenced(kPollReadable);  // by unlock()
      if (!faulted) continue;
    }
    if (faulted) return partial(Errno::fault);
    if (nonblocking) return partial(Errno::again);
    const auto waited = queue_.wait_kept([&] { return has_room(needed) || readers_.load(std::memory_order_acquire) == 0; });
    if (!waited.ok()) return partial(waited.error());
  }
  return total;
}

Result<> Pipe::await_data(bool nonblocking) {
  const auto ready = [this] { return used() != 0 || writers_.load(std::memory_order_acquire) == 0; };
  if (ready()) return {};
  if (nonblocking) return Errno::again;
  return queue_.wait(ready);
}

Result<> Pipe::await_room(bool nonblocking) {
  const auto broken = [this] { return readers_.load(std::memory_order_acquire) == 0; };
  const auto ready = [&] { return broken() || has_room(kAtomic); };
  if (!ready()) {
    if (nonblocking) return Errno::again;
    TRY(queue_.wait(ready));
  }
  return broken() ? Result<>(Errno::pipe) : Result<>();
}

Pipe::Front::~Front() {
  pipe_->read_lock_.unlock();
  if (taken_) pipe_->queue_.wake_all_fenced(kPollWritable);  // by unlock()
}

std::size_t Pipe::Front::copy(std::uint64_t skip, std::span<std::byte> into) const {
  const std::uint64_t head = pipe_->head_.load(std::memory_order_relaxed) + skip;
  const std::uint64_t there = std::min<std::uint64_t>(pipe_->tail_.load(std::memory_order_acquire) - head, into.size());
  std::size_t copied = 0;
  while (copied < there) {
    const std::span<const std::byte> from = pipe_->piece(head + copied, there - copied);
    copy_bytes(into.subspan(copied), from);
    copied += from.size();
  }
  return copied;
}

void Pipe::Front::take(std::size_t count) {
  KASSERT(count <= pipe_->used());
  const std::uint64_t head = pipe_->head_.load(std::memory_order_relaxed) + count;
  pipe_->head_.store(head, std::memory_order_release);
  // Packets are no limits here, but what is left of one is.
  for (std::optional<Packet> packet = pipe_->first_packet(); packet && packet->end <= head; packet = pipe_->first_packet()) pipe_->drop_packet();
  taken_ = taken_ || count != 0;
}

Pipe::Back::~Back() {
  pipe_->write_lock_.unlock();
  if (filled_) pipe_->queue_.wake_all_fenced(kPollReadable);  // by unlock()
}

void Pipe::Back::put(std::span<const std::byte> bytes) {
  KASSERT(!pipe_->buffer_.empty() && bytes.size() <= room());
  const std::uint64_t tail = pipe_->tail_.load(std::memory_order_relaxed);
  for (std::size_t done = 0; done < bytes.size();) {
    const std::span<std::byte> into = pipe_->piece(tail + done, bytes.size() - done);
    copy_bytes(into, bytes.subspan(done, into.size()));
    done += into.size();
  }
  pipe_->tail_.store(tail + bytes.size(), std::memory_order_release);
  filled_ = filled_ || !bytes.empty();
}

std::uint32_t Pipe::available() const { return static_cast<std::uint32_t>(used()); }

std::uint32_t Pipe::read_readiness() const {
  std::uint32_t events = used() != 0 ? kPollReadable : 0;
  if (writers_.load(std::memory_order_acquire) == 0 && writer_opens_.load(std::memory_order_relaxed) != 0) events |= kPollHup;
  return events;
}

std::uint32_t Pipe::write_readiness() const {
  std::uint32_t events = has_room(kAtomic) ? kPollWritable : 0;
  if (readers_.load(std::memory_order_acquire) == 0) events |= kPollErr;
  return events;
}

Result<std::uint32_t> Pipe::resize(std::uint32_t wanted) {
  if (wanted > 0x8000'0000U) return Errno::inval;
  const std::uint32_t fresh_size = std::bit_ceil(std::max<std::uint32_t>(wanted, kPageSize));
  if (fresh_size > kMaxSize) return Errno::perm;
  Vec<Packet> fresh_packets;
  TRY(fresh_packets.try_resize(fresh_size / kAtomic));
  const std::span<std::byte> fresh = TRY(frame::allocate_pages(fresh_size / kPageSize));
  std::span<std::byte> old = fresh;
  read_lock_.lock();
  write_lock_.lock();
  const std::uint64_t there = used();
  const bool fits = there <= fresh_size && packet_count_.load(std::memory_order_relaxed) <= fresh_size / kAtomic;
  if (fits) {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    for (std::uint64_t done = 0; done < there;) {
      const std::span<std::byte> from = piece(head + done, there - done);
      copy_bytes(fresh.subspan(done), from);
      done += from.size();
    }
    old = buffer_;
    buffer_ = fresh;
    size_.store(fresh_size, std::memory_order_relaxed);
    move_packets(fresh_packets, head);
    head_.store(0, std::memory_order_relaxed);
    tail_.store(there, std::memory_order_release);
  }
  write_lock_.unlock();
  read_lock_.unlock();
  if (!old.empty()) frame::free_pages(old);
  if (!fits) return Errno::busy;
  queue_.wake_all(kPollWritable);
  return fresh_size;
}

void Pipe::add_reader() {
  readers_.fetch_add(1, std::memory_order_acq_rel);
  reader_opens_.fetch_add(1, std::memory_order_acq_rel);
  queue_.wake_all(kPollWritable);
}
void Pipe::add_writer() {
  writers_.fetch_add(1, std::memory_order_acq_rel);
  writer_opens_.fetch_add(1, std::memory_order_acq_rel);
  queue_.wake_all(0);
}
void Pipe::drop_reader() {
  if (readers_.fetch_sub(1, std::memory_order_acq_rel) == 1) queue_.wake_all(kPollErr | kPollWritable);
}
void Pipe::drop_writer() {
  if (writers_.fetch_sub(1, std::memory_order_acq_rel) == 1) queue_.wake_all(kPollHup | kPollReadable);
}

Result<> Pipe::open_fifo(bool reader, bool writer, bool nonblocking) {
  if (writer && !reader && nonblocking && readers_.load(std::memory_order_acquire) == 0) return Errno::nxio;
  const std::uint32_t readers_before = reader_opens_.load(std::memory_order_acquire);
  const std::uint32_t writers_before = writer_opens_.load(std::memory_order_acquire);
  if (reader) add_reader();
  if (writer) add_writer();
  if (nonblocking || (reader && writer)) return {};
  Result<> waited;
  if (reader)
    waited = queue_.wait([&] { return writers_.load() != 0 || writer_opens_.load(std::memory_order_acquire) != writers_before; });
  else
    waited = queue_.wait([&] { return readers_.load() != 0 || reader_opens_.load(std::memory_order_acquire) != readers_before; });
  if (waited.ok()) return {};
  if (reader) drop_reader();
  if (writer) drop_writer();
  return waited;
}

// ---- the open file

PipeEnd::PipeEnd(Ref<Pipe> pipe, std::uint32_t flags) : OpenFile(flags), pipe_(pipe) {}
PipeEnd::PipeEnd(RefPtr<Dentry> dentry, RefPtr<Inode> inode, Ref<Pipe> pipe, std::uint32_t flags)
    : OpenFile(std::move(dentry), std::move(inode), flags), pipe_(pipe) {}

Result<std::size_t> PipeEnd::read(IoSink& sink) { return pipe_->read(sink, is_nonblocking()); }

Result<std::size_t> PipeEnd::write(IoSource& source) {
  auto written = pipe_->write(source, is_nonblocking(), (flags() & abi::kODirect) != 0);
  if (!written.ok() && written.error() == Errno::pipe) raise_signal(current_task(), abi::kSigPipe);
  return written;
}

Result<std::uint64_t> PipeEnd::ioctl(Task&, std::uint32_t request, std::uint64_t argument) {
  if (request != kFionread) return Errno::notty;
  TRY(UserPtr<std::int32_t>(argument).store(static_cast<std::int32_t>(pipe_->available())));
  return std::uint64_t{0};
}

std::uint32_t PipeEnd::readiness() {
  std::uint32_t events = 0;
  if (may_read()) events |= pipe_->read_readiness();
  if (may_write()) events |= pipe_->write_readiness();
  return events;
}

Result<Attributes> PipeEnd::attributes() {
  if (inode()) return OpenFile::attributes();
  Attributes attributes = pipe_->nameless().attributes();
  attributes.ino = pipe_->number();
  return attributes;
}

std::size_t PipeEnd::describe(std::span<char> into) {
  FixedString<40> text;
  text.append_clipped("pipe:[").append_clipped(Digits(pipe_->number()).view()).append_clipped("]");
  const std::size_t count = std::min(text.view().size(), into.size());
  std::copy_n(text.view().begin(), count, into.begin());
  return count;
}

Result<Ref<OpenFile>> PipeEnd::reopen(std::uint32_t flags) {
  const Ref<PipeEnd> end = TRY(make_ref<PipeEnd>(pipe_, flags));
  const bool reads = (flags & abi::kOAccMode) != abi::kOWrOnly;
  const bool writes = (flags & abi::kOAccMode) != abi::kORdOnly;
  if (inode()) {
    TRY(pipe_->open_fifo(reads, writes, (flags & abi::kONonBlock) != 0));
    return Ref<OpenFile>(end);
  }
  // A pipe without a name never waits for its other side, which may have come and gone (bash's process substitution).
  if (reads) pipe_->add_reader();
  if (writes) pipe_->add_writer();
  return Ref<OpenFile>(end);
}

void PipeEnd::on_last_close() {
  if (may_read()) pipe_->drop_reader();
  if (may_write()) pipe_->drop_writer();
}

Result<PipePair> make_pipe(std::uint32_t flags) {
  const Ref<Pipe> pipe = TRY(make_ref<Pipe>());
  const Ref<PipeEnd> read_end = TRY(make_ref<PipeEnd>(pipe, (flags & ~abi::kODirect) | abi::kORdOnly));
  const Ref<PipeEnd> write_end = TRY(make_ref<PipeEnd>(pipe, flags | abi::kOWrOnly));
  pipe->add_reader();
  pipe->add_writer();
  return PipePair{.read_end = read_end, .write_end = write_end};
}

Result<Ref<OpenFile>> open_fifo(Dentry& where, Inode& inode, std::uint32_t flags) {
  RefPtr<InodePayload> payload = inode.payload();
  if (!payload) payload = inode.install_payload(TRY(make_ref<Pipe>()));
  // SAFETY: only this function installs payloads on FIFO inodes, and they are Pipes.
  const Ref<Pipe> pipe(static_cast<Pipe&>(*payload));
  const std::uint32_t access = flags & abi::kOAccMode;
  const Ref<PipeEnd> end = TRY(make_ref<PipeEnd>(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), pipe, flags));
  TRY(pipe->open_fifo(access != abi::kOWrOnly, access != abi::kORdOnly, (flags & abi::kONonBlock) != 0));
  return Ref<OpenFile>(end);
}

}  // namespace kernel
