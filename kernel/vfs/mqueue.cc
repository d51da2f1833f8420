#include "kernel/vfs/mqueue.h"

#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constinit MqLimits limits;  // NOLINT: settings of the instance

// All queues there are; a named one has a reference by its name. Those without a name count too, as long as somebody has them open.
struct Names {
  SpinLock<LockRank::ipc> lock;
  List<PosixQueue, MqNamesTag> queues GUARDED_BY(lock);
  std::uint64_t count GUARDED_BY(lock) = 0;

  RefPtr<PosixQueue> find_locked(std::string_view name) REQUIRES(lock) {
    for (PosixQueue* queue = queues.front(); queue != nullptr; queue = queues.next(*queue))
      if (queue->named && queue->name() == name) return RefPtr<PosixQueue>(queue);
    return nullptr;
  }
  std::uint64_t charged_locked(std::uint32_t uid) REQUIRES(lock) {
    std::uint64_t total = 0;
    for (PosixQueue* queue = queues.front(); queue != nullptr; queue = queues.next(*queue))
      if (queue->uid() == uid) total += queue->charge();
    return total;
  }
};
constinit Names names;  // NOLINT: the instance's one name space

Result<> may_open(const Credentials& who, const PosixQueue& queue, std::uint32_t flags) {
  const std::uint32_t access = flags & abi::kOAccMode;
  if (access == abi::kOAccMode) return Errno::inval;
  const std::uint32_t wanted = access == abi::kORdOnly ? 4U : access == abi::kOWrOnly ? 2U : 6U;
  std::uint32_t granted = queue.mode();
  if (who.fsuid == queue.uid())
    granted >>= 6;
  else if (who.in_group(queue.gid()))
    granted >>= 3;
  return (wanted & ~granted & 7) == 0 || who.has(Capability::dac_override) ? Result<>() : Result<>(Errno::acces);
}

Result<Ref<PosixQueue>> make_queue(Task& task, const MqName& name, const MqRequest& request) {
  constexpr std::uint64_t kHardMessages = 65536, kHardSize = 16 << 20;
  const Ref<const Credentials> who = task.credentials_ref();
  std::uint64_t messages = std::min(limits.msg_max.load(), limits.msg_default.load());
  std::uint64_t size = std::min(limits.msgsize_max.load(), limits.msgsize_default.load());
  if (request.has_attributes) {
    const bool privileged = who->has(Capability::sys_resource);
    messages = request.most_messages;
    size = request.message_size;
    if (messages == 0 || size == 0) return Errno::inval;
    if (messages > (privileged ? kHardMessages : limits.msg_max.load()) || size > (privileged ? kHardSize : limits.msgsize_max.load())) return Errno::inval;
  }
  return make_ref<PosixQueue>(name, request.mode & 0777, who->fsuid, who->fsgid, messages, size);
}

}  // namespace

MqLimits& mq_limits() { return limits; }

// --- PosixQueue ---

PosixQueue::PosixQueue(const MqName& name, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid, std::uint64_t most_messages,
                       std::uint64_t most_bytes)
    : name_(name), mode_(mode), uid_(uid), gid_(gid), most_messages_(most_messages), message_size_(most_bytes) {}

PosixQueue::~PosixQueue() {
  {
    const LockGuard guard(names.lock);
    if (ListNode<MqNamesTag>::is_linked()) {
      ListNode<MqNamesTag>::unlink();
      --names.count;
    }
  }
  const LockGuard guard(lock_);
  while (MqMessage* message = messages_.pop_front()) const Own<MqMessage> gone = Own<MqMessage>::adopt(message, {.size = sizeof(MqMessage), .align = alignof(MqMessage)});
}

Result<> PosixQueue::try_send(Task& sender, Own<MqMessage>& message) {
  Notification told;
  {
    const LockGuard guard(lock_);
    const std::uint64_t count = count_.load(std::memory_order_relaxed);
    if (count >= most_messages_) return Errno::again;
    bytes_ += message->bytes.size();
    MqMessage& added = *message.leak();
    // Most messages have the priority of those before them: look from the end.
    MqMessage* behind = messages_.front();
    if (count == 0 || messages_.back()->priority >= added.priority) {
      messages_.push_back(added);
    } else {
      while (behind->priority >= added.priority) behind = messages_.next(*behind);
      messages_.insert_before(*behind, added);
    }
    count_.store(count + 1, std::memory_order_release);
    if (count == 0 && receivers.load(std::memory_order_acquire) == 0) std::swap(told, notification_);
  }
  queue_.wake_all(kPollReadable);
  const RefPtr<Process> listener = std::move(told.process);
  if (listener && told.kind == abi::kSigEvSignal && told.signo != 0) {
    abi::SigInfo info = abi::SigInfo::from_sender(told.signo, abi::kSiMesgQ, static_cast<std::int32_t>(sender.process().pid()), sender.credentials().ruid);
    info.fields[1] = told.value;
    (void)send_signal(*listener, info);
  }
  return {};
}

Result<Own<MqMessage>> PosixQueue::try_receive() {
  Own<MqMessage> taken;
  {
    const LockGuard guard(lock_);
    MqMessage* first = messages_.pop_front();
    if (first == nullptr) return Errno::again;
    taken = Own<MqMessage>::adopt(first, {.size = sizeof(MqMessage), .align = alignof(MqMessage)});
    bytes_ -= taken->bytes.size();
    count_.fetch_sub(1, std::memory_order_acq_rel);
  }
  queue_.wake_all(kPollWritable);
  return taken;
}

Result<> PosixQueue::set_notification(Notification fresh) {
  const LockGuard guard(lock_);
  const RefPtr<Process>& present = notification_.process;
  if (present && present->state() == ProcessState::alive) return Errno::busy;
  std::swap(notification_, fresh);
  return {};
}

void PosixQueue::drop_notification(const Process& process) {
  Notification old;
  const LockGuard guard(lock_);
  if (notification_.process.get() != &process) return;
  std::swap(old, notification_);
}

// mq_overview(7): what reading the queue gives.
std::size_t PosixQueue::describe_state(std::span<char> into) {
  std::uint64_t bytes = 0, notify = 0, signo = 0, pid = 0;
  {
    const LockGuard guard(lock_);
    bytes = bytes_;
    if (notification_.process) {
      notify = static_cast<std::uint64_t>(notification_.kind);
      signo = notification_.kind == abi::kSigEvSignal ? static_cast<std::uint64_t>(notification_.signo) : 0;
      pid = static_cast<std::uint64_t>(notification_.process->pid());
    }
  }
  FixedString<96> text;
  const auto field = [&text](std::string_view name, std::uint64_t number, std::size_t width) {
    const Digits digits(number);
    text.append_clipped(name).append_clipped(digits.view());
    for (std::size_t i = digits.view().size(); i < width; ++i) text.append_clipped(' ');
  };
  field("QSIZE:", bytes, 10);
  field(" NOTIFY:", notify, 5);
  field(" SIGNO:", signo, 5);
  field(" NOTIFY_PID:", pid, 6);
  text.append_clipped('\n');
  const std::size_t size = std::min(text.size(), into.size());
  std::copy_n(text.view().begin(), size, into.begin());
  return size;
}

// --- MqFile ---

Result<> MqFile::send(Task& task, Own<MqMessage> message, Instant deadline) {
  const Ref<Task> sender(task);
  const Ref<PosixQueue> queue(queue_);
  Result<> sent = queue->try_send(*sender, message);
  if (sent.ok() || sent.error() != Errno::again || is_nonblocking()) return sent;
  TRY(queue->queue().wait(
      [&sent, &message, sender, queue] {
        sent = queue->try_send(*sender, message);
        return sent.ok() || sent.error() != Errno::again;
      },
      deadline));
  return sent;
}

Result<Own<MqMessage>> MqFile::receive(Instant deadline) {
  const Ref<PosixQueue> queue(queue_);
  Result<Own<MqMessage>> got = queue->try_receive();
  if (got.ok() || is_nonblocking()) return got;
  queue->receivers.fetch_add(1, std::memory_order_acq_rel);
  const Result<> waited = queue->queue().wait(
      [&got, queue] {
        got = queue->try_receive();
        return got.ok();
      },
      deadline);
  queue->receivers.fetch_sub(1, std::memory_order_acq_rel);
  TRY(waited);
  return got;
}

Result<std::size_t> MqFile::read(IoSink& sink) {
  // A text file in effect: once, then the end.
  if (told_.exchange(true)) return std::size_t{0};
  std::array<char, 96> text;
  const std::size_t size = queue_->describe_state(text);
  return sink.put(std::as_bytes(std::span<const char>(text).first(size)));
}

std::uint32_t MqFile::readiness() {
  const std::uint64_t count = queue_->count();
  return (count != 0 ? kPollReadable : 0) | (count < queue_->most_messages() ? kPollWritable : 0);
}

Result<Attributes> MqFile::attributes() {
  Attributes attributes{};
  attributes.mode = mode_of(FileType::regular) | queue_->mode();
  attributes.uid = queue_->uid();
  attributes.gid = queue_->gid();
  attributes.size = 80;
  return attributes;
}

std::size_t MqFile::describe(std::span<char> into) {
  FixedString<kMqNameMax + 1> text;
  text.append_clipped('/').append_clipped(queue_->name());
  const std::size_t size = std::min(text.size(), into.size());
  std::copy_n(text.view().begin(), size, into.begin());
  return size;
}

// Closing a descriptor takes the process's notification back (mq_close(3)).
void MqFile::on_descriptor_closed() {
  const Ref<Task> task(current_task());
  queue_->drop_notification(task->process());
}

// --- names ---

Result<Ref<OpenFile>> open_message_queue(Task& task, const MqName& name, const MqRequest& request) {
  const Ref<const Credentials> who = task.credentials_ref();
  RefPtr<PosixQueue> queue;
  RefPtr<PosixQueue> fresh;
  const std::uint64_t limit = task.process().rlimit_current(abi::Rlimit::msgqueue);
  for (;;) {
    {
      const LockGuard guard(names.lock);
      queue = names.find_locked(name.view());
      if (!queue && fresh) {
        if (names.count >= limits.queues_max.load() && !who->has(Capability::sys_resource)) return Errno::nospc;
        std::uint64_t total = 0;
        if (__builtin_add_overflow(names.charged_locked(who->fsuid), fresh->charge(), &total) || total > limit) return Errno::mfile;
        fresh->ref();  // the name's
        fresh->named = true;
        names.queues.push_back(*fresh);
        ++names.count;
      }
    }
    if (queue) {
      if ((request.flags & abi::kOCreat) != 0 && (request.flags & abi::kOExcl) != 0) return Errno::exist;
      TRY(may_open(*who, *queue, request.flags));
      break;
    }
    if (fresh) {
      queue = fresh;
      break;
    }
    if ((request.flags & abi::kOCreat) == 0) return Errno::noent;
    fresh = TRY(make_queue(task, name, request));
  }
  return Ref<OpenFile>(TRY(make_ref<MqFile>(queue.as_ref(), request.flags & (abi::kOAccMode | abi::kONonBlock))));
}

Result<> unlink_message_queue(Task& task, std::string_view name) {
  const Ref<const Credentials> who = task.credentials_ref();
  RefPtr<PosixQueue> queue;  // dropped without the lock
  const LockGuard guard(names.lock);
  queue = names.find_locked(name);
  if (!queue) return Errno::noent;
  // The directory of queues belongs to root and is sticky.
  if (who->fsuid != queue->uid() && who->fsuid != 0 && !who->has(Capability::fowner)) return Errno::perm;
  queue->named = false;
  queue->deref();  // the name's
  return {};
}

}  // namespace kernel
