// Names of Unix sockets: sockaddr_un, the abstract table, sockets bound to files.
#ifndef KERNEL_NET_UNIX_NAMES_H
#define KERNEL_NET_UNIX_NAMES_H

#include <span>

#include "kernel/base/ref.h"
#include "kernel/net/socket.h"
#include "kernel/net/unix_end.h"
#include "kernel/vfs/inode.h"

namespace kernel {

class Task;

// What a socket inode carries: the end that is bound to it, until that goes.
class UnixBinding final : public InodePayload {
 public:
  explicit UnixBinding(Ref<UnixEnd> end) : end_(end) {}
  RefPtr<UnixEnd> end() const EXCLUDES(lock_);
  void clear() EXCLUDES(lock_);

 private:
  mutable SpinLock<LockRank::socket> lock_;
  RefPtr<UnixEnd> end_ GUARDED_BY(lock_);
};

// The name in a sockaddr_un (unix(7), "Address format"). EINVAL; an address of the family alone gives the empty name.
Result<UnixName> parse_unix_address(std::span<const std::byte> address);
SocketAddress make_unix_address(const UnixName& name);

// Binds `end` to the name; the empty name draws an abstract one (autobind). The binding if it is a path (to be cleared when the socket
// closes). EADDRINUSE, and errors of making a file.
Result<RefPtr<UnixBinding>> bind_unix_name(Task& task, const Ref<UnixEnd>& end, const UnixName& name);
// True if a path is there already.
bool unix_name_exists(Task& task, const UnixName& name);
// Gives an abstract name back.
void release_unix_name(const UnixEnd& end);
// The end that a name leads to. ECONNREFUSED if nobody is there; errors of the path.
Result<Ref<UnixEnd>> find_unix_name(Task& task, const UnixName& name);

}  // namespace kernel
#endif  // KERNEL_NET_UNIX_NAMES_H
