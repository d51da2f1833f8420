#include "kernel/task/sysv_msg.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "kernel/frame/bytes.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constinit IpcTable<MessageQueue> table;  // NOLINT: the instance's one IPC namespace

Own<Message> take_out(Message& message) {
  message.unlink();
  return Own<Message>::adopt(&message, {.size = sizeof(Message), .align = alignof(Message)});
}

Result<Ref<MessageQueue>> find_allowed(const Credentials& who, std::int32_t id, std::uint32_t wanted) EXCLUDES(ipc_lock) {
  const LockGuard guard(ipc_lock);
  const RefPtr<MessageQueue> queue = table.find(id);
  if (!queue) return Errno::inval;
  TRY(ipc_check(who, queue->permissions, wanted));
  return queue.as_ref();
}

bool matches(const Message& message, std::int64_t type, std::uint32_t flags) {
  if (type == 0) return true;
  if (type < 0) return message.type <= (type == std::numeric_limits<std::int64_t>::min() ? std::numeric_limits<std::int64_t>::max() : -type);
  return (message.type == type) != ((flags & abi::kMsgExcept) != 0);
}

// The message that msgrcv(2) wants, null if there is none.
Message* select(MessageQueue& queue, std::int64_t type, std::uint32_t flags) REQUIRES(ipc_lock) {
  Message* best = nullptr;
  std::int64_t number = 0;
  for (Message* each = queue.messages.front(); each != nullptr; each = queue.messages.next(*each)) {
    if ((flags & abi::kMsgCopy) != 0) {
      if (number++ == type) return each;
      continue;
    }
    if (!matches(*each, type, flags)) continue;
    if (type >= 0) return each;
    if (best == nullptr || each->type < best->type) best = each;  // the lowest type, of these the oldest
  }
  return best;
}

abi::MsqIdDs exported(const MessageQueue& queue) REQUIRES(ipc_lock) {
  abi::MsqIdDs ds{};
  ds.perm = ipc_export(queue.permissions, queue.id);
  ds.stime = queue.send_time;
  ds.rtime = queue.receive_time;
  ds.ctime = queue.change_time;
  ds.cbytes = queue.bytes;
  ds.qnum = queue.count;
  ds.qbytes = queue.most_bytes;
  ds.lspid = queue.last_sender;
  ds.lrpid = queue.last_receiver;
  return ds;
}

// Queues the message if there is room. False: wait.
Result<bool> try_send(Task& task, MessageQueue& queue, Own<Message>& message) {
  const std::int64_t now = ipc_now();
  const LockGuard guard(ipc_lock);
  if (queue.removed) return Errno::idrm;
  TRY(ipc_check(task.credentials(), queue.permissions, kWriteAny));
  const std::size_t size = message->bytes.size();
  // Empty messages count too, so that there is an end to them.
  if (size + queue.bytes > queue.most_bytes || queue.count + 1 > queue.most_bytes) return false;
  queue.messages.push_back(*message.leak());
  ++queue.count;
  queue.bytes += size;
  queue.send_time = now;
  queue.last_sender = static_cast<std::int32_t>(task.process().pid());
  return true;
}

Result<Own<Message>> copy_of(const Message& message, std::uint64_t room, std::uint32_t flags, Own<Message> copy) {
  const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(message.bytes.size(), room));
  if (size < message.bytes.size() && (flags & abi::kMsgNoError) == 0) return Errno::toobig;
  copy->type = message.type;
  if (size > copy->bytes.size()) return Errno::nomem;
  copy_bytes(copy->bytes.span().first(size), message.bytes.span().first(size));
  TRY(copy->bytes.try_resize(size));
  return copy;
}

// Takes a message if there is one that fits `request`. nullopt: wait (or ENOMSG).
Result<std::optional<Own<Message>>> try_receive(Task& task, MessageQueue& queue, std::uint64_t room, std::int64_t type, std::uint32_t flags,
                                                Own<Message> copy) {
  const std::int64_t now = ipc_now();
  const LockGuard guard(ipc_lock);
  if (queue.removed) return Errno::idrm;
  TRY(ipc_check(task.credentials(), queue.permissions, kReadAny));
  Message* found = select(queue, type, flags);
  if (found == nullptr) return std::optional<Own<Message>>();
  if (copy) return std::optional<Own<Message>>(TRY(copy_of(*found, room, flags, std::move(copy))));
  if (found->bytes.size() > room && (flags & abi::kMsgNoError) == 0) return Errno::toobig;
  --queue.count;
  queue.bytes -= found->bytes.size();
  queue.receive_time = now;
  queue.last_receiver = static_cast<std::int32_t>(task.process().pid());
  return std::optional<Own<Message>>(take_out(*found));
}

// sysvipc calls are never restarted (signal(7)).
Result<> never_restart(const Result<>& waited) { return !waited.ok() && waited.error() == Errno::restart ? Result<>(Errno::intr) : waited; }

}  // namespace

MessageQueue::~MessageQueue() {
  const LockGuard guard(ipc_lock);
  while (Message* message = messages.front()) const Own<Message> gone = take_out(*message);
}

Result<std::int32_t> msg_get(Task& task, std::int32_t key, std::uint32_t flags) {
  return table.get(
      task.credentials(), key, flags, ipc_limits().msgmni.load(),
      [](const IpcPermissions& fresh) { return make_ref<MessageQueue>(fresh, ipc_limits().msgmnb.load()); },
      [](const MessageQueue&) { return Result<>(); });
}

Result<> msg_send(Task& task, std::int32_t id, Own<Message> message, std::uint32_t flags) {
  const Ref<MessageQueue> queue = TRY(find_allowed(task.credentials(), id, kWriteAny));
  Result<bool> sent = try_send(task, *queue, message);
  if (sent.ok() && !Result<bool>(sent).release()) {
    if ((flags & abi::kIpcNoWait) != 0) return Errno::again;
    TRY(never_restart(queue->senders.wait([&] {
      sent = try_send(task, *queue, message);
      return !sent.ok() || Result<bool>(sent).release();
    })));
  }
  TRY(sent);
  queue->receivers.wake_all();
  return {};
}

Result<Own<Message>> msg_receive(Task& task, std::int32_t id, std::uint64_t room, std::int64_t type, std::uint32_t flags) {
  const Ref<MessageQueue> queue = TRY(find_allowed(task.credentials(), id, kReadAny));
  if ((flags & abi::kMsgCopy) != 0) {
    // The copy is made under the lock into room that is there before.
    Own<Message> copy = TRY(make_own<Message>());
    TRY(copy->bytes.try_resize(static_cast<std::size_t>(std::min(room, ipc_limits().msgmax.load()))));
    std::optional<Own<Message>> found = TRY(try_receive(task, *queue, room, type, flags, std::move(copy)));
    if (!found) return Errno::nomsg;
    return std::move(*found);
  }
  std::optional<Own<Message>> found;
  Result<> outcome;
  const auto attempt = [&] {
    auto tried = try_receive(task, *queue, room, type, flags, nullptr);
    if (!tried.ok()) {
      outcome = tried.error();
      return true;
    }
    found = std::move(tried).release();
    return found.has_value();
  };
  if (!attempt()) {
    if ((flags & abi::kIpcNoWait) != 0) return Errno::nomsg;
    TRY(never_restart(queue->receivers.wait(attempt)));
  }
  TRY(outcome);
  queue->senders.wake_all();
  return std::move(*found);
}

Result<> msg_remove(Task& task, std::int32_t id) {
  RefPtr<MessageQueue> dead;
  {
    const LockGuard guard(ipc_lock);
    const RefPtr<MessageQueue> queue = table.find(id);
    if (!queue) return Errno::inval;
    TRY(ipc_check_owner(task.credentials(), queue->permissions));
    queue->removed = true;
    dead = table.remove(*queue);
  }
  dead->senders.wake_all();
  dead->receivers.wake_all();
  return {};
}

Result<> msg_set(Task& task, std::int32_t id, const abi::IpcPerm& wanted, std::uint64_t most_bytes) {
  const std::int64_t now = ipc_now();
  RefPtr<MessageQueue> queue;
  {
    const LockGuard guard(ipc_lock);
    queue = table.find(id);
    if (!queue) return Errno::inval;
    TRY(ipc_check_owner(task.credentials(), queue->permissions));
    if (most_bytes > ipc_limits().msgmnb.load() && !task.credentials().has(Capability::sys_resource)) return Errno::perm;
    TRY(ipc_apply(queue->permissions, wanted));
    queue->most_bytes = most_bytes;
    queue->change_time = now;
  }
  // They may have lost the permission, or found room.
  queue->senders.wake_all();
  queue->receivers.wake_all();
  return {};
}

Result<std::int32_t> msg_stat(Task& task, std::int32_t id, bool by_index, bool any, abi::MsqIdDs& into) {
  const LockGuard guard(ipc_lock);
  if (id < 0) return Errno::inval;
  const RefPtr<MessageQueue> queue = by_index ? table.at(IpcTable<MessageQueue>::index_of(id)) : table.find(id);
  if (!queue) return Errno::inval;
  if (!any) TRY(ipc_check(task.credentials(), queue->permissions, kReadAny));
  into = exported(*queue);
  return queue->id;
}

MessageUse msg_use() {
  MessageUse use;
  const LockGuard guard(ipc_lock);
  use.highest = table.highest();
  use.queues = table.in_use();
  for (std::size_t i = 0; i < table.size(); ++i) {
    const RefPtr<MessageQueue> queue = table.at(i);
    if (!queue) continue;
    use.messages += queue->count;
    use.bytes += queue->bytes;
  }
  return use;
}

bool msg_next(std::size_t& index, abi::MsqIdDs& into, std::int32_t& id) {
  const LockGuard guard(ipc_lock);
  while (index < table.size()) {
    const RefPtr<MessageQueue> queue = table.at(index++);
    if (!queue) continue;
    into = exported(*queue);
    id = queue->id;
    return true;
  }
  return false;
}

}  // namespace kernel
