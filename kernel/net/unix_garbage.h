// Unix sockets whose descriptors travel through Unix sockets (SCM_RIGHTS): how what is in a closed socket's queue ends, however deep it is
// nested, and how sockets are found that only queues hold which nobody can read.
#ifndef KERNEL_NET_UNIX_GARBAGE_H
#define KERNEL_NET_UNIX_GARBAGE_H

#include <atomic>
#include <cstdint>

#include "kernel/base/list.h"
#include "kernel/base/ref.h"
#include "kernel/net/stream_buffer.h"
#include "kernel/net/unix_end.h"

namespace kernel {

class Thread;

// Closing a socket closes the descriptors in its queue, among them perhaps the last of other sockets, and so on: a chain as long as programs
// like to make it, and a kernel stack is short. So while a scope is open, what the running thread takes out of queues is only noted in it;
// its end drops all that in a loop. A scope within another one is part of that. May sleep: no locks held.
struct DiscardTag;
class DiscardScope final : public ListNode<DiscardTag> {
 public:
  DiscardScope();
  ~DiscardScope();
  DiscardScope(const DiscardScope&) = delete;
  DiscardScope& operator=(const DiscardScope&) = delete;

  void add(Ref<StreamMark> mark);
  void add(Ref<UnixMessage> message);
  bool is_outermost() const { return outer_ == nullptr; }

 private:
  static DiscardScope* find(const void* thread);
  const void* const thread_;  // which one it is, to compare
  DiscardScope* const outer_;
  List<StreamMark, StreamMarkTag> marks_;        // each holds a reference of its own
  List<UnixMessage, UnixMessageTag> messages_;  // likewise
};

// Closes the sockets that nobody can reach any more: those whose every handle is in the queue of a socket that is such itself. Called when a
// Unix socket has been closed; does nothing within a DiscardScope (its end is followed by another call) or without sockets in flight. Others may
// send and receive meanwhile; if they do so all the time it gives up, and the next close tries again.
void collect_unix_garbage();
// So many sockets are in flight that it is time to look before there are more.
bool is_unix_garbage_likely();

}  // namespace kernel
#endif  // KERNEL_NET_UNIX_GARBAGE_H
