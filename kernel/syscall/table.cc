// One line per system call; docs/syscalls.md is generated from these lines.
#include "kernel/syscall/table.h"

#include "kernel/syscall/directory.h"
#include "kernel/syscall/event.h"
#include "kernel/syscall/file.h"
#include "kernel/syscall/io.h"
#include "kernel/syscall/memory.h"
#include "kernel/syscall/path.h"
#include "kernel/syscall/pipe.h"
#include "kernel/syscall/poll.h"
#include "kernel/syscall/stat.h"

namespace kernel {
namespace {

using Table = std::array<SyscallEntry, kSyscallCount>;

// Writes one entry.
template <auto kHandler>
constexpr SyscallEntry bind(const char* name) {
  return {.name = name, .function = &Bind<kHandler>::call};
}

#define entry(number, name, handler) table[(number)] = bind<handler>(name)

consteval Table make_table() {
  Table table{};
  // --- memory (kernel/syscall/memory.h) ---
  entry(9, "mmap", sys_mmap);
  entry(10, "mprotect", sys_mprotect);
  entry(11, "munmap", sys_munmap);
  entry(12, "brk", sys_brk);
  entry(25, "mremap", sys_mremap);
  entry(26, "msync", sys_msync);
  entry(27, "mincore", sys_mincore);
  entry(28, "madvise", sys_madvise);
  entry(149, "mlock", sys_mlock);
  entry(150, "munlock", sys_munlock);
  entry(151, "mlockall", sys_mlockall);
  entry(152, "munlockall", sys_munlockall);
  entry(310, "process_vm_readv", sys_process_vm_readv);
  entry(311, "process_vm_writev", sys_process_vm_writev);
  entry(325, "mlock2", sys_mlock2);
  entry(329, "pkey_mprotect", sys_pkey_mprotect);
  // --- files (file.h, directory.h, path.h, stat.h) ---
  entry(0, "read", sys_read);
  entry(1, "write", sys_write);
  entry(2, "open", sys_open);
  entry(3, "close", sys_close);
  entry(4, "stat", sys_stat);
  entry(5, "fstat", sys_fstat);
  entry(6, "lstat", sys_lstat);
  entry(8, "lseek", sys_lseek);
  entry(16, "ioctl", sys_ioctl);
  entry(17, "pread64", sys_pread64);
  entry(18, "pwrite64", sys_pwrite64);
  entry(19, "readv", sys_readv);
  entry(20, "writev", sys_writev);
  entry(21, "access", sys_access);
  entry(32, "dup", sys_dup);
  entry(33, "dup2", sys_dup2);
  entry(40, "sendfile", sys_sendfile);
  entry(72, "fcntl", sys_fcntl);
  entry(73, "flock", sys_flock);
  entry(74, "fsync", sys_fsync);
  entry(75, "fdatasync", sys_fdatasync);
  entry(76, "truncate", sys_truncate);
  entry(77, "ftruncate", sys_ftruncate);
  entry(78, "getdents", sys_getdents);
  entry(79, "getcwd", sys_getcwd);
  entry(80, "chdir", sys_chdir);
  entry(81, "fchdir", sys_fchdir);
  entry(82, "rename", sys_rename);
  entry(83, "mkdir", sys_mkdir);
  entry(84, "rmdir", sys_rmdir);
  entry(85, "creat", sys_creat);
  entry(86, "link", sys_link);
  entry(87, "unlink", sys_unlink);
  entry(88, "symlink", sys_symlink);
  entry(89, "readlink", sys_readlink);
  entry(90, "chmod", sys_chmod);
  entry(91, "fchmod", sys_fchmod);
  entry(92, "chown", sys_chown);
  entry(93, "fchown", sys_fchown);
  entry(94, "lchown", sys_lchown);
  entry(95, "umask", sys_umask);
  entry(132, "utime", sys_utime);
  entry(133, "mknod", sys_mknod);
  entry(137, "statfs", sys_statfs);
  entry(138, "fstatfs", sys_fstatfs);
  entry(161, "chroot", sys_chroot);
  entry(162, "sync", sys_sync);
  entry(165, "mount", sys_mount);
  entry(166, "umount2", sys_umount2);
  entry(187, "readahead", sys_readahead);
  entry(188, "setxattr", sys_setxattr);
  entry(189, "lsetxattr", sys_lsetxattr);
  entry(190, "fsetxattr", sys_fsetxattr);
  entry(191, "getxattr", sys_getxattr);
  entry(192, "lgetxattr", sys_lgetxattr);
  entry(193, "fgetxattr", sys_fgetxattr);
  entry(194, "listxattr", sys_listxattr);
  entry(195, "llistxattr", sys_llistxattr);
  entry(196, "flistxattr", sys_flistxattr);
  entry(197, "removexattr", sys_removexattr);
  entry(198, "lremovexattr", sys_lremovexattr);
  entry(199, "fremovexattr", sys_fremovexattr);
  entry(217, "getdents64", sys_getdents64);
  entry(221, "fadvise64", sys_fadvise64);
  entry(235, "utimes", sys_utimes);
  entry(257, "openat", sys_openat);
  entry(258, "mkdirat", sys_mkdirat);
  entry(259, "mknodat", sys_mknodat);
  entry(260, "fchownat", sys_fchownat);
  entry(261, "futimesat", sys_futimesat);
  entry(262, "newfstatat", sys_newfstatat);
  entry(263, "unlinkat", sys_unlinkat);
  entry(264, "renameat", sys_renameat);
  entry(265, "linkat", sys_linkat);
  entry(266, "symlinkat", sys_symlinkat);
  entry(267, "readlinkat", sys_readlinkat);
  entry(268, "fchmodat", sys_fchmodat);
  entry(269, "faccessat", sys_faccessat);
  entry(277, "sync_file_range", sys_sync_file_range);
  entry(280, "utimensat", sys_utimensat);
  entry(285, "fallocate", sys_fallocate);
  entry(292, "dup3", sys_dup3);
  entry(295, "preadv", sys_preadv);
  entry(296, "pwritev", sys_pwritev);
  entry(306, "syncfs", sys_syncfs);
  entry(316, "renameat2", sys_renameat2);
  entry(326, "copy_file_range", sys_copy_file_range);
  entry(327, "preadv2", sys_preadv2);
  entry(328, "pwritev2", sys_pwritev2);
  entry(332, "statx", sys_statx);
  entry(436, "close_range", sys_close_range);
  entry(437, "openat2", sys_openat2);
  entry(439, "faccessat2", sys_faccessat2);
  // --- processes, threads, signals, time (process.h, thread.h, signal.h, futex.h, time.h, exec.h, misc.h) ---
  // --- events, pipes (event.h, pipe.h) ---
  entry(7, "poll", sys_poll);
  entry(22, "pipe", sys_pipe);
  entry(23, "select", sys_select);
  entry(213, "epoll_create", sys_epoll_create);
  entry(232, "epoll_wait", sys_epoll_wait);
  entry(233, "epoll_ctl", sys_epoll_ctl);
  entry(270, "pselect6", sys_pselect6);
  entry(271, "ppoll", sys_ppoll);
  entry(281, "epoll_pwait", sys_epoll_pwait);
  entry(284, "eventfd", sys_eventfd);
  entry(290, "eventfd2", sys_eventfd2);
  entry(291, "epoll_create1", sys_epoll_create1);
  entry(293, "pipe2", sys_pipe2);
  entry(441, "epoll_pwait2", sys_epoll_pwait2);
  return table;
}

#undef entry

}  // namespace

constinit const std::array<SyscallEntry, kSyscallCount> kSyscalls = make_table();

}  // namespace kernel
