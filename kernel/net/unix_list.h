// All Unix sockets, for /proc/net/unix.
#ifndef KERNEL_NET_UNIX_LIST_H
#define KERNEL_NET_UNIX_LIST_H

#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/vfs/net_tables.h"

namespace kernel {

class UnixSocket;
struct UnixListTag;

// From a socket's birth to its destructor; the list holds no references.
void list_unix_socket(UnixSocket& socket);
void unlist_unix_socket(UnixSocket& socket);
// Those that are open, the oldest first. ENOMEM.
Result<Vec<UnixRow>> unix_rows();

}  // namespace kernel
#endif  // KERNEL_NET_UNIX_LIST_H
