// Pipes and FIFOs (pipe(7), fifo(7)).
//
// A pipe is a ring of bytes with one running index per side. Each side is serialised by a PositionLock of its own, so data is copied
// between the ring and program memory directly, in one copy, while the other side works on its part; the indices are the only shared
// words. Writes of at most PIPE_BUF bytes are atomic because the writer's lock is held for the whole piece. What an end with O_DIRECT writes
// are packets: their limits stand beside the ring, and they are as many at most as the pipe has pages.
#ifndef KERNEL_VFS_PIPE_H
#define KERNEL_VFS_PIPE_H

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "kernel/base/live_count.h"
#include "kernel/base/vec.h"
#include "kernel/sync/lock.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class Pipe final : public InodePayload {
 public:
  static constexpr std::uint32_t kDefaultSize = 64 * 1024, kMaxSize = 1024 * 1024;
  static constexpr std::size_t kAtomic = 4096;  // PIPE_BUF

  Pipe() = default;
  ~Pipe() override;

  // Moves what is there, at most sink.remaining(). 0 = end of file. EAGAIN, Errno::restart.
  Result<std::size_t> read(IoSink& sink, bool nonblocking);
  // EPIPE without readers (the caller raises SIGPIPE). `packets`: each piece of up to PIPE_BUF bytes is one, which a read gets alone.
  Result<std::size_t> write(IoSource& source, bool nonblocking, bool packets = false);
  // For splice(2) and its kin, which pass bytes on inside the kernel. Until there is something to read or nobody is left to write; until a
  // page has room (EPIPE without readers, and the caller raises SIGPIPE). EAGAIN, Errno::restart. Front and Back (below) may find that
  // somebody else was faster.
  Result<> await_data(bool nonblocking);
  Result<> await_room(bool nonblocking);
  class Front;
  class Back;
  // Empty for good: nobody is left to write.
  bool at_end() const { return writers_.load(std::memory_order_acquire) == 0 && used() == 0; }
  std::uint32_t read_readiness() const;
  std::uint32_t write_readiness() const;
  std::uint32_t available() const;  // bytes to read (FIONREAD)
  std::uint32_t size() const { return size_.load(std::memory_order_relaxed); }
  // F_SETPIPE_SZ: rounded up to a power of two of pages; EBUSY below what is in it, EPERM beyond kMaxSize, ENOMEM.
  Result<std::uint32_t> resize(std::uint32_t size);

  void add_reader();
  void add_writer();
  void drop_reader();
  void drop_writer();
  // fifo(7): an open for one side waits for the other one. ENXIO for a non-blocking writer without readers.
  Result<> open_fifo(bool reader, bool writer, bool nonblocking);

  WaitQueue& queue() { return queue_; }
  std::uint64_t number() const { return number_; }  // inode number of an anonymous pipe
  Nameless& nameless() { return nameless_; }

 private:
  [[no_unique_address]] LiveMark<LiveKind::pipe> live_;
  Result<> make_buffer();
  std::span<std::byte> piece(std::uint64_t at, std::uint64_t most);
  std::uint64_t used() const { return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire); }
  Result<std::size_t> read_available(IoSink& sink);
  Result<std::size_t> write_room(IoSource& source, std::size_t before, bool& faulted);
  bool has_room(std::uint64_t needed) const;
  struct Packet {
    std::uint64_t begin = 0, end = 0;  // running indexes
  };
  std::optional<Packet> first_packet() EXCLUDES(packets_lock_);
  void drop_packet() EXCLUDES(packets_lock_);
  Result<> make_packet_ring() EXCLUDES(packets_lock_);
  void move_packets(Vec<Packet>& fresh, std::uint64_t old_head) EXCLUDES(packets_lock_);
  Result<std::size_t> write_packet(IoSource& source);

  PositionLock read_lock_, write_lock_;
  std::span<std::byte> buffer_;  // changes only with both locks held; size is a power of two
  std::atomic<std::uint32_t> size_{kDefaultSize};
  std::atomic<std::uint64_t> head_{0}, tail_{0};  // bytes read and written since the buffer was made
  std::atomic<std::uint32_t> packet_count_{0};
  SpinLock<LockRank::pipe> packets_lock_;
  Vec<Packet> packets_ GUARDED_BY(packets_lock_);  // a ring too, made with the first packet: as many as the pipe has pages
  std::size_t first_packet_ GUARDED_BY(packets_lock_) = 0;
  std::atomic<std::uint32_t> readers_{0}, writers_{0};
  std::atomic<std::uint32_t> reader_opens_{0}, writer_opens_{0};  // ever, for FIFOs that wait for the other side
  WaitQueue queue_;
  Nameless nameless_{mode_of(FileType::fifo) | 0600, Nameless::Changes::allowed};
  const std::uint64_t number_ = next_number();
  static std::uint64_t next_number();
};

// The bytes at the front, for one who passes them on: other readers wait as long as it lives, so that what could not be passed on is still
// there. Of two pipes the front of one comes before the back of the other.
class Pipe::Front {
 public:
  explicit Front(Pipe& pipe) : pipe_(pipe) { pipe.read_lock_.lock(); }
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;
  // Copies the bytes behind the first `skip`; how many there were of them.
  std::size_t copy(std::uint64_t skip, std::span<std::byte> into) const;
  void take(std::size_t count);

 private:
  const Ref<Pipe> pipe_;
  bool taken_ = false;
};

// The room at the back, which nobody else fills as long as it lives.
class Pipe::Back {
 public:
  explicit Back(Pipe& pipe) : pipe_(pipe) { pipe.write_lock_.lock(); }
  ~Back();
  Back(const Back&) = delete;
  Back& operator=(const Back&) = delete;
  std::size_t room() const { return static_cast<std::size_t>(pipe_->size() - pipe_->used()); }
  // Makes the memory that put() needs. ENOMEM: to be asked before bytes are taken from where they cannot be put back.
  Result<> prepare() { return pipe_->make_buffer(); }
  // At most room() bytes, after prepare().
  void put(std::span<const std::byte> bytes);

 private:
  const Ref<Pipe> pipe_;
  bool filled_ = false;
};

// One end, or both for a FIFO opened with O_RDWR.
class PipeEnd final : public OpenFile {
 public:
  PipeEnd(Ref<Pipe> pipe, std::uint32_t flags);
  PipeEnd(RefPtr<Dentry> dentry, RefPtr<Inode> inode, Ref<Pipe> pipe, std::uint32_t flags);

  Result<std::size_t> read(IoSink& sink) override;
  Result<std::size_t> write(IoSource& source) override;
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &pipe_->queue(); }
  Result<Attributes> attributes() override;
  std::size_t describe(std::span<char> into) override;
  void on_last_close() override;
  Result<Ref<OpenFile>> reopen(std::uint32_t flags) override;
  Result<std::uint32_t> pipe_size() override { return pipe_->size(); }
  Result<std::uint32_t> set_pipe_size(std::uint32_t size) override { return pipe_->resize(size); }
  bool is_stream() const override { return true; }
  FileKind kind() const override { return FileKind::pipe; }
  // Its ends hear of each other's close as of data and of room (pipe_release() of Linux).
  std::uint32_t async_events() const override { return (may_read() ? kPollIn : 0) | (may_write() ? kPollOut : 0); }
  Nameless& nameless() override { return pipe_->nameless(); }
  Pipe& pipe() { return *pipe_; }

 private:
  const Ref<Pipe> pipe_;
};

struct PipePair {
  Ref<OpenFile> read_end, write_end;
};
// pipe2(2); `flags`: O_NONBLOCK, O_DIRECT.
Result<PipePair> make_pipe(std::uint32_t flags);
// For register_fifo().
Result<Ref<OpenFile>> open_fifo(Dentry& where, Inode& inode, std::uint32_t flags);

}  // namespace kernel
#endif  // KERNEL_VFS_PIPE_H
