// All Unix sockets, for /proc/net/unix.
#ifndef KERNEL_NET_UNIX_LIST_H
#define KERNEL_NET_UNIX_LIST_H

#include "kernel/base/list.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/vfs/net_tables.h"

namespace kernel {

class UnixEnd;
struct UnixListTag;
// What the list knows of a socket, which may be dying while it is asked.
class UnixListed : public ListNode<UnixListTag> {
 public:
  virtual bool has_descriptors() const = 0;
  virtual UnixRow row() const = 0;
  // Wakes whoever waits for this socket, if it sends to `end`. Compared, never followed.
  virtual void tell_of_room(const UnixEnd& end) = 0;

 protected:
  ~UnixListed() = default;
};

// From a socket's birth to its destructor; the list holds no references.
void list_unix_socket(UnixListed& socket);
void unlist_unix_socket(UnixListed& socket);
// Those that are open, the oldest first. ENOMEM.
Result<Vec<UnixRow>> unix_rows();
// Whoever polls a socket that sends to `end`, which was full, is told to look again.
void tell_unix_senders(const UnixEnd& end);

}  // namespace kernel
#endif  // KERNEL_NET_UNIX_LIST_H
