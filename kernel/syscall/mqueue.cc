#include "kernel/syscall/mqueue.h"

#include "abi/fs.h"
#include "kernel/syscall/time.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/fs_context.h"
#include "kernel/vfs/mqueue.h"
#include "kernel/vfs/path.h"

namespace kernel {
namespace {

// A name without its slash, as libc passes it.
Result<MqName> load_name(UserPtr<const char> user) {
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view name = TRY(buffer.load(user));
  if (name.find('/') != std::string_view::npos) return Errno::acces;
  return MqName::from(name);
}

Result<Ref<MqFile>> queue_file(Task& task, Fd fd) {
  const Ref<FdTable> files(files_of(task));
  const RefPtr<OpenFile> file = TRY(files->get(fd));
  if (file->kind() != FileKind::message_queue) return Errno::badf;
  // SAFETY: only an MqFile is of that kind.
  return Ref<MqFile>(static_cast<MqFile&>(*file));
}

// An instant of the real-time clock; none = never.
Result<Instant> load_deadline(UserPtr<const abi::Timespec> user) {
  if (user.is_null()) return kNever;
  return realtime_deadline(TRY(load_duration(user)));
}

}  // namespace

Result<std::int32_t> sys_mq_open(Task& task, UserPtr<const char> user, std::uint32_t flags, std::uint32_t mode, UserPtr<const abi::MqAttr> attributes) {
  MqRequest request{.flags = flags, .mode = mode & ~fs_of(task).umask()};
  if (!attributes.is_null()) {
    const abi::MqAttr wanted = TRY(attributes.load());
    request.has_attributes = true;
    // Negative ones become too large.
    request.most_messages = static_cast<std::uint64_t>(wanted.maxmsg);
    request.message_size = static_cast<std::uint64_t>(wanted.msgsize);
  }
  const MqName name = TRY(load_name(user));
  const Ref<OpenFile> file = TRY(open_message_queue(task, name, request));
  return static_cast<std::int32_t>(TRY(add_descriptor(task, file, true)));
}

Result<> sys_mq_unlink(Task& task, UserPtr<const char> user) {
  const MqName name = TRY(load_name(user));
  return unlink_message_queue(task, name.view());
}

Result<> sys_mq_timedsend(Task& task, Fd fd, UserPtr<const std::byte> message, std::uint64_t size, std::uint32_t priority,
                          UserPtr<const abi::Timespec> timeout) {
  const Instant deadline = TRY(load_deadline(timeout));
  if (priority >= abi::kMqPrioMax) return Errno::inval;
  const Ref<MqFile> file = TRY(queue_file(task, fd));
  if (!file->may_write()) return Errno::badf;
  if (size > file->mq().message_size()) return Errno::msgsize;
  Own<MqMessage> fresh = TRY(make_own<MqMessage>());
  fresh->priority = priority;
  TRY(fresh->bytes.try_resize(static_cast<std::size_t>(size)));
  TRY(message.load_all(fresh->bytes.span()));
  return file->send(task, std::move(fresh), deadline);
}

Result<std::uint64_t> sys_mq_timedreceive(Task& task, Fd fd, UserPtr<std::byte> message, std::uint64_t size, UserPtr<std::uint32_t> priority,
                                          UserPtr<const abi::Timespec> timeout) {
  const Instant deadline = TRY(load_deadline(timeout));
  const Ref<MqFile> file = TRY(queue_file(task, fd));
  if (!file->may_read()) return Errno::badf;
  if (size < file->mq().message_size()) return Errno::msgsize;
  const Own<MqMessage> got = TRY(file->receive(deadline));
  if (!priority.is_null()) TRY(priority.store(got->priority));
  TRY(message.store_all(got->bytes.span()));
  return got->bytes.size();
}

Result<> sys_mq_notify(Task& task, Fd fd, UserPtr<const abi::SigEvent> user) {
  PosixQueue::Notification fresh;
  if (!user.is_null()) {
    const abi::SigEvent event = TRY(user.load());
    if (event.notify != abi::kSigEvNone && event.notify != abi::kSigEvSignal && event.notify != abi::kSigEvThread) return Errno::inval;
    if (event.notify == abi::kSigEvSignal && (event.signo < 0 || event.signo > abi::kSigMax)) return Errno::inval;
    // libc's form with a thread wants a netlink socket that the kernel writes to; there is none.
    if (event.notify == abi::kSigEvThread) return Errno::nosys;
    fresh.process = RefPtr<Process>(&task.process());
    fresh.kind = event.notify;
    fresh.signo = event.signo;
    fresh.value = event.value;
  }
  const Ref<MqFile> file = TRY(queue_file(task, fd));
  PosixQueue& queue = file->mq();
  if (fresh.process) return queue.set_notification(std::move(fresh));
  queue.drop_notification(task.process());
  return {};
}

Result<> sys_mq_getsetattr(Task& task, Fd fd, UserPtr<const abi::MqAttr> fresh, UserPtr<abi::MqAttr> old) {
  abi::MqAttr wanted{};
  if (!fresh.is_null()) {
    wanted = TRY(fresh.load());
    if ((wanted.flags & ~std::int64_t{abi::kONonBlock}) != 0) return Errno::inval;
  }
  const Ref<MqFile> file = TRY(queue_file(task, fd));
  const PosixQueue& queue = file->mq();
  const abi::MqAttr now{.flags = file->flags() & abi::kONonBlock,
                        .maxmsg = static_cast<std::int64_t>(queue.most_messages()),
                        .msgsize = static_cast<std::int64_t>(queue.message_size()),
                        .curmsgs = static_cast<std::int64_t>(queue.count()),
                        .reserved = {}};
  if (!fresh.is_null()) TRY(file->set_status_flags((file->flags() & ~abi::kONonBlock) | static_cast<std::uint32_t>(wanted.flags)));
  return old.is_null() ? Result<>() : old.store(now);
}

}  // namespace kernel
