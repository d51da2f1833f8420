// Error numbers of Linux (errno(3)) as a type. Values are the ABI's.
#ifndef KERNEL_BASE_ERRNO_H
#define KERNEL_BASE_ERRNO_H

#include <cstdint>

namespace kernel {

enum class Errno : std::int32_t {
  perm = 1,  // Operation not permitted
  noent = 2,  // No such file or directory
  srch = 3,  // No such process
  intr = 4,  // Interrupted system call
  io = 5,  // Input/output error
  nxio = 6,  // No such device or address
  toobig = 7,  // Argument list too long
  noexec = 8,  // Exec format error
  badf = 9,  // Bad file descriptor
  child = 10,  // No child processes
  again = 11,  // Resource temporarily unavailable
  nomem = 12,  // Cannot allocate memory
  acces = 13,  // Permission denied
  fault = 14,  // Bad address
  notblk = 15,  // Block device required
  busy = 16,  // Device or resource busy
  exist = 17,  // File exists
  xdev = 18,  // Invalid cross-device link
  nodev = 19,  // No such device
  notdir = 20,  // Not a directory
  isdir = 21,  // Is a directory
  inval = 22,  // Invalid argument
  nfile = 23,  // Too many open files in system
  mfile = 24,  // Too many open files
  notty = 25,  // Inappropriate ioctl for device
  txtbsy = 26,  // Text file busy
  fbig = 27,  // File too large
  nospc = 28,  // No space left on device
  spipe = 29,  // Illegal seek
  rofs = 30,  // Read-only file system
  mlink = 31,  // Too many links
  pipe = 32,  // Broken pipe
  dom = 33,  // Numerical argument out of domain
  range = 34,  // Numerical result out of range
  deadlk = 35,  // Resource deadlock avoided
  nametoolong = 36,  // File name too long
  nolck = 37,  // No locks available
  nosys = 38,  // Function not implemented
  notempty = 39,  // Directory not empty
  loop = 40,  // Too many levels of symbolic links
  nomsg = 42,  // No message of desired type
  idrm = 43,  // Identifier removed
  chrng = 44,  // Channel number out of range
  l2nsync = 45,  // Level 2 not synchronized
  l3hlt = 46,  // Level 3 halted
  l3rst = 47,  // Level 3 reset
  lnrng = 48,  // Link number out of range
  unatch = 49,  // Protocol driver not attached
  nocsi = 50,  // No CSI structure available
  l2hlt = 51,  // Level 2 halted
  bade = 52,  // Invalid exchange
  badr = 53,  // Invalid request descriptor
  xfull = 54,  // Exchange full
  noano = 55,  // No anode
  badrqc = 56,  // Invalid request code
  badslt = 57,  // Invalid slot
  bfont = 59,  // Bad font file format
  nostr = 60,  // Device not a stream
  nodata = 61,  // No data available
  time = 62,  // Timer expired
  nosr = 63,  // Out of streams resources
  nonet = 64,  // Machine is not on the network
  nopkg = 65,  // Package not installed
  remote = 66,  // Object is remote
  nolink = 67,  // Link has been severed
  adv = 68,  // Advertise error
  srmnt = 69,  // Srmount error
  comm = 70,  // Communication error on send
  proto = 71,  // Protocol error
  multihop = 72,  // Multihop attempted
  dotdot = 73,  // RFS specific error
  badmsg = 74,  // Bad message
  overflow = 75,  // Value too large for defined data type
  notuniq = 76,  // Name not unique on network
  badfd = 77,  // File descriptor in bad state
  remchg = 78,  // Remote address changed
  libacc = 79,  // Can not access a needed shared library
  libbad = 80,  // Accessing a corrupted shared library
  libscn = 81,  // .lib section in a.out corrupted
  libmax = 82,  // Attempting to link in too many shared libraries
  libexec = 83,  // Cannot exec a shared library directly
  ilseq = 84,  // Invalid or incomplete multibyte or wide character
  strpipe = 86,  // Streams pipe error
  users = 87,  // Too many users
  notsock = 88,  // Socket operation on non-socket
  destaddrreq = 89,  // Destination address required
  msgsize = 90,  // Message too long
  prototype = 91,  // Protocol wrong type for socket
  noprotoopt = 92,  // Protocol not available
  protonosupport = 93,  // Protocol not supported
  socktnosupport = 94,  // Socket type not supported
  opnotsupp = 95,  // Operation not supported
  pfnosupport = 96,  // Protocol family not supported
  afnosupport = 97,  // Address family not supported by protocol
  addrinuse = 98,  // Address already in use
  addrnotavail = 99,  // Cannot assign requested address
  netdown = 100,  // Network is down
  netunreach = 101,  // Network is unreachable
  netreset = 102,  // Network dropped connection on reset
  connaborted = 103,  // Software caused connection abort
  connreset = 104,  // Connection reset by peer
  nobufs = 105,  // No buffer space available
  isconn = 106,  // Transport endpoint is already connected
  notconn = 107,  // Transport endpoint is not connected
  shutdown = 108,  // Cannot send after transport endpoint shutdown
  toomanyrefs = 109,  // Too many references: cannot splice
  timedout = 110,  // Connection timed out
  connrefused = 111,  // Connection refused
  hostdown = 112,  // Host is down
  hostunreach = 113,  // No route to host
  already = 114,  // Operation already in progress
  inprogress = 115,  // Operation now in progress
  stale = 116,  // Stale file handle
  uclean = 117,  // Structure needs cleaning
  notnam = 118,  // Not a XENIX named type file
  navail = 119,  // No XENIX semaphores available
  isnam = 120,  // Is a named type file
  remoteio = 121,  // Remote I/O error
  dquot = 122,  // Disk quota exceeded
  nomedium = 123,  // No medium found
  mediumtype = 124,  // Wrong medium type
  canceled = 125,  // Operation canceled
  nokey = 126,  // Required key not available
  keyexpired = 127,  // Key has expired
  keyrevoked = 128,  // Key has been revoked
  keyrejected = 129,  // Key was rejected by service
  ownerdead = 130,  // Owner died
  notrecoverable = 131,  // State not recoverable
  rfkill = 132,  // Operation not possible due to RF-kill
  // Never shown to a program: the call is to be restarted after the signal handler (signal(7)). `restart` obeys SA_RESTART;
  // The exit helper of syscall/ turns it into EINTR or into a restart.
  restart = 512,            // restart if the handler has SA_RESTART or no handler ran, else EINTR
  restart_nohand = 514,     // EINTR if any handler ran, else restart
};

}  // namespace kernel
#endif  // KERNEL_BASE_ERRNO_H
