// System V message queues.
#ifndef KERNEL_TASK_SYSV_MSG_H
#define KERNEL_TASK_SYSV_MSG_H

#include <cstddef>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/sync/wait.h"
#include "kernel/task/ipc.h"

namespace kernel {

struct MessageTag;
struct Message final : ListNode<MessageTag> {
  std::int64_t type = 0;
  Vec<std::byte> bytes;
};

class MessageQueue final : public RefCounted<MessageQueue> {
 public:
  MessageQueue(IpcPermissions fresh, std::uint64_t most_bytes) : permissions(fresh), most_bytes(most_bytes) {}
  ~MessageQueue();

  IpcPermissions permissions GUARDED_BY(ipc_lock);
  std::int32_t id GUARDED_BY(ipc_lock) = -1;
  bool removed GUARDED_BY(ipc_lock) = false;
  List<Message, MessageTag> messages GUARDED_BY(ipc_lock);
  std::uint64_t count GUARDED_BY(ipc_lock) = 0, bytes GUARDED_BY(ipc_lock) = 0, most_bytes GUARDED_BY(ipc_lock);
  std::int64_t send_time GUARDED_BY(ipc_lock) = 0, receive_time GUARDED_BY(ipc_lock) = 0, change_time GUARDED_BY(ipc_lock) = ipc_now();
  std::int32_t last_sender GUARDED_BY(ipc_lock) = 0, last_receiver GUARDED_BY(ipc_lock) = 0;
  WaitQueue senders, receivers;
};

Result<std::int32_t> msg_get(Task& task, std::int32_t key, std::uint32_t flags);
Result<> msg_send(Task& task, std::int32_t id, Own<Message> message, std::uint32_t flags);
// The message, taken out; with MSG_COPY a copy of it.
Result<Own<Message>> msg_receive(Task& task, std::int32_t id, std::uint64_t room, std::int64_t type, std::uint32_t flags);
Result<> msg_remove(Task& task, std::int32_t id);
Result<> msg_set(Task& task, std::int32_t id, const abi::IpcPerm& wanted, std::uint64_t most_bytes);
Result<std::int32_t> msg_stat(Task& task, std::int32_t id, bool by_index, bool any, abi::MsqIdDs& into);
// Queues, messages and bytes that there are.
struct MessageUse {
  std::uint64_t queues = 0, messages = 0, bytes = 0;
  std::int32_t highest = 0;
};
MessageUse msg_use();
bool msg_next(std::size_t& index, abi::MsqIdDs& into, std::int32_t& id);

}  // namespace kernel
#endif  // KERNEL_TASK_SYSV_MSG_H
