// POSIX message queues (mq_overview(7)): named queues of messages with priorities, in a name space of their own.
//
// A queue lives while it has a name or is open. Its lock has the rank of IPC objects; messages are allocated and copied without it.
#ifndef KERNEL_VFS_MQUEUE_H
#define KERNEL_VFS_MQUEUE_H

#include <cstdint>
#include <string_view>

#include "abi/mqueue.h"
#include "abi/signal.h"
#include "kernel/base/list.h"
#include "kernel/base/string.h"
#include "kernel/vfs/open_file.h"

namespace kernel {

class Credentials;
class Process;

inline constexpr std::size_t kMqNameMax = 255;
using MqName = FixedString<kMqNameMax>;

struct MqMessageTag;
struct MqMessage final : ListNode<MqMessageTag> {
  std::uint32_t priority = 0;
  Vec<std::byte> bytes;
};

struct MqNamesTag;
class PosixQueue final : public RefCounted<PosixQueue>, public ListNode<MqNamesTag> {
 public:
  PosixQueue(const MqName& name, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid, std::uint64_t most_messages, std::uint64_t most_bytes);
  ~PosixQueue();
  std::string_view name() const LIFETIMEBOUND { return name_.view(); }
  std::uint32_t mode() const { return mode_; }
  std::uint32_t uid() const { return uid_; }
  std::uint32_t gid() const { return gid_; }
  std::uint64_t most_messages() const { return most_messages_; }
  std::uint64_t message_size() const { return message_size_; }
  // What RLIMIT_MSGQUEUE counts.
  std::uint64_t charge() const { return most_messages_ * (message_size_ + 96); }
  std::uint64_t count() const { return count_.load(std::memory_order_acquire); }

  // EAGAIN if it is full (empty).
  Result<> try_send(Task& sender, Own<MqMessage>& message) EXCLUDES(lock_);
  Result<Own<MqMessage>> try_receive() EXCLUDES(lock_);
  // Who is told of the next message that comes into the empty queue; EBUSY if somebody is already.
  struct Notification {
    RefPtr<Process> process;
    std::int32_t kind = 0, signo = 0;  // SIGEV_*
    std::uint64_t value = 0;
  };
  Result<> set_notification(Notification fresh) EXCLUDES(lock_);
  // Takes it back if it is that process's.
  void drop_notification(const Process& process) EXCLUDES(lock_);
  std::size_t describe_state(std::span<char> into) EXCLUDES(lock_);

  // Its name leads to it; for the table of names, under its lock.
  bool named = false;
  WaitQueue& queue() LIFETIMEBOUND { return queue_; }
  std::atomic<std::uint32_t> receivers{0};  // tasks that wait for a message: nobody is notified while there are any

 private:
  const MqName name_;
  const std::uint32_t mode_, uid_, gid_;
  const std::uint64_t most_messages_, message_size_;
  SpinLock<LockRank::ipc> lock_;
  List<MqMessage, MqMessageTag> messages_ GUARDED_BY(lock_);  // the highest priority first, of these the oldest
  std::atomic<std::uint64_t> count_{0};
  std::uint64_t bytes_ GUARDED_BY(lock_) = 0;
  Notification notification_ GUARDED_BY(lock_);
  WaitQueue queue_;
};

class MqFile final : public OpenFile {
 public:
  MqFile(Ref<PosixQueue> queue, std::uint32_t flags) : OpenFile(flags), queue_(queue) {}
  PosixQueue& mq() const LIFETIMEBOUND { return *queue_; }
  Result<> send(Task& task, Own<MqMessage> message, Instant deadline);
  Result<Own<MqMessage>> receive(Instant deadline);
  Result<std::size_t> read(IoSink& sink) override;
  std::uint32_t readiness() override;
  WaitQueue* wait_queue() override { return &queue_->queue(); }
  Result<Attributes> attributes() override;
  std::size_t describe(std::span<char> into) override;
  FileKind kind() const override { return FileKind::message_queue; }
  void on_descriptor_closed() override;

 private:
  const Ref<PosixQueue> queue_;
  std::atomic<bool> told_{false};  // its status has been read
};

struct MqRequest {
  std::uint32_t flags = 0, mode = 0;  // of open(2)
  bool has_attributes = false;
  std::uint64_t most_messages = 0, message_size = 0;
};
Result<Ref<OpenFile>> open_message_queue(Task& task, const MqName& name, const MqRequest& request);
Result<> unlink_message_queue(Task& task, std::string_view name);

// Limits of /proc/sys/fs/mqueue.
struct MqLimits {
  std::atomic<std::uint64_t> msg_max{10}, msgsize_max{8192}, queues_max{256}, msg_default{10}, msgsize_default{8192};
};
MqLimits& mq_limits();

}  // namespace kernel
#endif  // KERNEL_VFS_MQUEUE_H
