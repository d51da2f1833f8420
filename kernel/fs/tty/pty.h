// Pseudo terminals (pty(7)). A pair is one object: the slave's line discipline, what travels each way, and who has which side open.
//
// Locks: lock_ (rank terminal) guards all of it. Signals are sent and queues woken after it is free.
#ifndef KERNEL_FS_TTY_PTY_H
#define KERNEL_FS_TTY_PTY_H

#include <atomic>
#include <cstdint>
#include <optional>

#include "abi/tty.h"
#include "kernel/base/ref.h"
#include "kernel/fs/tty/byte_ring.h"
#include "kernel/fs/tty/line_discipline.h"
#include "kernel/fs/tty/terminal.h"
#include "kernel/sync/lock.h"
#include "kernel/sync/wait.h"
#include "kernel/vfs/inode.h"
#include "kernel/vfs/io.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

inline constexpr std::uint32_t kPtySlaveMajor = 136;

class Pty final : public Terminal {
 public:
  explicit Pty(std::uint32_t number) : number_(number), line_(output_) {}
  Result<> allocate();  // once, before use

  std::uint32_t number() const { return number_; }

  // ControllingTerminal, Terminal.
  std::uint64_t device() const override;
  void hang_up() override;
  Result<Ref<OpenFile>> open(RefPtr<Dentry> dentry, RefPtr<Inode> inode, std::uint32_t flags) override;

  // --- the master's side ---
  Result<std::size_t> read_output(IoSink& sink, bool nonblocking);
  Result<std::size_t> write_input(IoSource& source, bool nonblocking);
  std::uint32_t master_readiness();
  WaitQueue& master_queue() LIFETIMEBOUND { return master_queue_; }
  void close_master();

  // --- the slave's side; `opened_at` is what hangups() was when the file was opened ---
  std::uint32_t hangups() const { return hangups_.load(std::memory_order_acquire); }
  bool is_hung_up(std::uint32_t opened_at) const { return hangups() != opened_at; }
  Result<std::size_t> read_input(Task& task, IoSink& sink, bool nonblocking, std::uint32_t opened_at);
  Result<std::size_t> write_output(Task& task, IoSource& source, bool nonblocking, std::uint32_t opened_at);
  std::uint32_t slave_readiness(std::uint32_t opened_at);
  WaitQueue& slave_queue() LIFETIMEBOUND { return slave_queue_; }
  void close_slave();

  // ioctl(2) on either side. `readable`: the file may be read.
  Result<std::uint64_t> ioctl(Task& task, bool master, bool readable, std::uint32_t request, std::uint64_t argument);

  // What stat(2) tells of the slave's node.
  std::atomic<std::uint32_t> owner_uid{0}, owner_gid{0}, node_mode{0};

 private:
  // What is left to do when the lock is free.
  struct After {
    SignalSet signals = 0;
    bool slave_in = false, slave_out = false, master_in = false, master_out = false;
  };
  // Holds the lock; when it is released, signals are sent and queues woken.
  class SCOPED_CAPABILITY Work {
   public:
    explicit Work(Pty& pty) ACQUIRE(pty.lock_) : pty_(pty) { pty_.lock_.lock(); }
    // SAFETY: the lock that the constructor took; the analysis cannot follow it through the reference.
    ~Work() RELEASE() NO_THREAD_SAFETY_ANALYSIS {
      pty_.note_changes_locked(after);
      pty_.lock_.unlock();
      pty_.finish(after);
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;
    After after;

   private:
    Pty& pty_;
  };
  void finish(const After& after);
  void note_changes_locked(After& after) REQUIRES(lock_);
  void feed_locked(After& after) REQUIRES(lock_);

  struct ReadPlan;
  LineDiscipline::Taken take_input(std::span<std::byte> into, bool last, bool& available);
  Result<> await_input(const ReadPlan& plan, std::uint32_t opened_at);
  std::size_t put_output_bytes(std::span<const std::byte> bytes, std::uint32_t opened_at);
  Result<> await_output_room(std::uint32_t opened_at);
  Result<std::size_t> write_gated(IoSource& source, bool nonblocking, std::uint32_t opened_at);
  std::optional<std::uint8_t> take_packet_status();
  bool has_input(std::uint32_t opened_at);

  // pty_ioctl.cc
  Result<std::optional<std::uint64_t>> settings_ioctl(Task& task, std::uint32_t request, std::uint64_t argument);
  Result<std::optional<std::uint64_t>> line_ioctl(Task& task, bool master, std::uint32_t request, std::uint64_t argument);
  Result<std::optional<std::uint64_t>> common_ioctl(Task& task, bool master, std::uint32_t request, std::uint64_t argument);
  Result<std::optional<std::uint64_t>> master_ioctl(Task& task, std::uint32_t request, std::uint64_t argument);
  Result<std::optional<std::uint64_t>> lock_settings_ioctl(Task& task, std::uint32_t request, std::uint64_t argument);
  Result<> change_settings(Task& task, const abi::Termios2& fresh, bool flush);
  abi::Termios2 settings();
  Result<> flow(Task& task, bool master, std::uint64_t action);
  Result<> flush(Task& task, bool master, std::uint64_t which);
  Result<> send_flow_key(std::size_t which);
  Result<> type_key(Task& task, bool master, std::uint64_t argument);
  Result<> resize(std::uint64_t argument);
  void set_packet_mode(bool on);
  Result<> check_open_locked(Task& task) REQUIRES(lock_);

  const std::uint32_t number_;
  SpinLock<LockRank::terminal> lock_;
  ByteRing output_ GUARDED_BY(lock_);   // to the master
  ByteRing arriving_ GUARDED_BY(lock_);  // from the master, before the line discipline has room
  LineDiscipline line_ GUARDED_BY(lock_);
  abi::Termios locked_settings_ GUARDED_BY(lock_){};  // TIOCSLCKTRMIOS: what is not 0 there does not change
  abi::WindowSize window_ GUARDED_BY(lock_){};
  std::uint32_t slave_files_ GUARDED_BY(lock_) = 0;
  bool locked_ GUARDED_BY(lock_) = true;          // TIOCSPTLCK: the slave cannot be opened
  bool exclusive_ GUARDED_BY(lock_) = false;      // TIOCEXCL
  bool packet_mode_ GUARDED_BY(lock_) = false;    // TIOCPKT
  bool master_closed_ GUARDED_BY(lock_) = false;
  bool slave_closed_ GUARDED_BY(lock_) = false;   // it was open and is not any more
  std::atomic<std::uint32_t> hangups_{0};         // files of the slave that were opened before the last one are dead
  std::atomic<bool> writing_{false};              // one write(2) at a time, so that they do not mix
  WaitQueue slave_queue_, master_queue_;
};

}  // namespace kernel
#endif  // KERNEL_FS_TTY_PTY_H
