// One line per system call; docs/syscalls.md is generated from these lines.
#include "kernel/syscall/table.h"

#include "kernel/syscall/aio.h"
#include "kernel/syscall/directory.h"
#include "kernel/syscall/event.h"
#include "kernel/syscall/exec.h"
#include "kernel/syscall/file.h"
#include "kernel/syscall/futex.h"
#include "kernel/syscall/ids.h"
#include "kernel/syscall/inotify.h"
#include "kernel/syscall/io.h"
#include "kernel/syscall/memfd.h"
#include "kernel/syscall/memory.h"
#include "kernel/syscall/misc.h"
#include "kernel/syscall/mqueue.h"
#include "kernel/syscall/path.h"
#include "kernel/syscall/pidfd.h"
#include "kernel/syscall/pipe.h"
#include "kernel/syscall/poll.h"
#include "kernel/syscall/process.h"
#include "kernel/syscall/ptrace.h"
#include "kernel/syscall/signal.h"
#include "kernel/syscall/socket.h"
#include "kernel/syscall/splice.h"
#include "kernel/syscall/stat.h"
#include "kernel/syscall/sysv.h"
#include "kernel/syscall/thread.h"
#include "kernel/syscall/time.h"
#include "kernel/syscall/timerfd.h"

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
  entry(9, "mmap", sys_mmap);  // MAP_HUGETLB is ENOMEM: there are no huge pages
  entry(10, "mprotect", sys_mprotect);
  entry(11, "munmap", sys_munmap);
  entry(12, "brk", sys_brk);
  entry(25, "mremap", sys_mremap);  // an old size of 0 (shared pages at a second address) is EINVAL
  entry(26, "msync", sys_msync);
  entry(27, "mincore", sys_mincore);
  entry(28, "madvise", sys_madvise);  // hints change nothing (HUGEPAGE, COLD, PAGEOUT, MERGEABLE...); REMOVE on a file's mapping is EOPNOTSUPP; no HWPOISON
  entry(149, "mlock", sys_mlock);
  entry(150, "munlock", sys_munlock);
  entry(151, "mlockall", sys_mlockall);
  entry(152, "munlockall", sys_munlockall);
  entry(310, "process_vm_readv", sys_process_vm_readv);
  entry(311, "process_vm_writev", sys_process_vm_writev);
  entry(325, "mlock2", sys_mlock2);
  entry(329, "pkey_mprotect", sys_pkey_mprotect);  // key -1 only: there are no protection keys
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
  entry(72, "fcntl", sys_fcntl);  // leases are EINVAL
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
  entry(165, "mount", sys_mount);  // binding, moving and propagation are EINVAL; MS_SYNCHRONOUS, MS_DIRSYNC and times beyond MS_NOATIME change nothing
  entry(166, "umount2", sys_umount2);  // MNT_EXPIRE is EINVAL
  entry(187, "readahead", sys_readahead);  // changes nothing
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
  entry(221, "fadvise64", sys_fadvise64);  // changes nothing
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
  entry(319, "memfd_create", sys_memfd_create);  // MFD_HUGETLB is EINVAL
  entry(326, "copy_file_range", sys_copy_file_range);
  entry(327, "preadv2", sys_preadv2);  // RWF_NOWAIT on streams is EOPNOTSUPP
  entry(328, "pwritev2", sys_pwritev2);  // RWF_APPEND and RWF_NOWAIT are EOPNOTSUPP
  entry(332, "statx", sys_statx);
  entry(436, "close_range", sys_close_range);
  entry(437, "openat2", sys_openat2);  // RESOLVE_* is EINVAL
  entry(439, "faccessat2", sys_faccessat2);
  // --- processes, threads, signals, time (process.h, thread.h, signal.h, futex.h, time.h, ids.h, exec.h, misc.h) ---
  entry(13, "rt_sigaction", sys_rt_sigaction);
  entry(14, "rt_sigprocmask", sys_rt_sigprocmask);
  entry(15, "rt_sigreturn", sys_rt_sigreturn);
  entry(24, "sched_yield", sys_sched_yield);
  entry(34, "pause", sys_pause);
  entry(35, "nanosleep", sys_nanosleep);
  entry(36, "getitimer", sys_getitimer);
  entry(37, "alarm", sys_alarm);
  entry(38, "setitimer", sys_setitimer);
  entry(39, "getpid", sys_getpid);
  entry(56, "clone", sys_clone);  // namespaces are EINVAL
  entry(57, "fork", sys_fork);
  entry(58, "vfork", sys_vfork);
  entry(59, "execve", sys_execve);
  entry(60, "exit", sys_exit);
  entry(61, "wait4", sys_wait4);
  entry(62, "kill", sys_kill);
  entry(63, "uname", sys_uname);
  entry(96, "gettimeofday", sys_gettimeofday);
  entry(97, "getrlimit", sys_getrlimit);
  entry(98, "getrusage", sys_getrusage);
  entry(99, "sysinfo", sys_sysinfo);
  entry(100, "times", sys_times);
  entry(101, "ptrace", sys_ptrace);  // one code segment, no hardware breakpoints, no SYSEMU, no single blocks (docs/decisions/ptrace.md)
  entry(102, "getuid", sys_getuid);
  entry(104, "getgid", sys_getgid);
  entry(105, "setuid", sys_setuid);
  entry(106, "setgid", sys_setgid);
  entry(107, "geteuid", sys_geteuid);
  entry(108, "getegid", sys_getegid);
  entry(109, "setpgid", sys_setpgid);
  entry(110, "getppid", sys_getppid);
  entry(111, "getpgrp", sys_getpgrp);
  entry(112, "setsid", sys_setsid);
  entry(113, "setreuid", sys_setreuid);
  entry(114, "setregid", sys_setregid);
  entry(115, "getgroups", sys_getgroups);
  entry(116, "setgroups", sys_setgroups);
  entry(117, "setresuid", sys_setresuid);
  entry(118, "getresuid", sys_getresuid);
  entry(119, "setresgid", sys_setresgid);
  entry(120, "getresgid", sys_getresgid);
  entry(121, "getpgid", sys_getpgid);
  entry(122, "setfsuid", sys_setfsuid);
  entry(123, "setfsgid", sys_setfsgid);
  entry(124, "getsid", sys_getsid);
  entry(125, "capget", sys_capget);
  entry(126, "capset", sys_capset);
  entry(127, "rt_sigpending", sys_rt_sigpending);
  entry(128, "rt_sigtimedwait", sys_rt_sigtimedwait);
  entry(129, "rt_sigqueueinfo", sys_rt_sigqueueinfo);
  entry(130, "rt_sigsuspend", sys_rt_sigsuspend);
  entry(131, "sigaltstack", sys_sigaltstack);
  entry(135, "personality", sys_personality);  // PER_LINUX and PER_LINUX32; flags are kept and change nothing: placement stays random with ADDR_NO_RANDOMIZE
  entry(140, "getpriority", sys_getpriority);
  entry(141, "setpriority", sys_setpriority);
  entry(142, "sched_setparam", sys_sched_setparam);
  entry(143, "sched_getparam", sys_sched_getparam);
  entry(144, "sched_setscheduler", sys_sched_setscheduler);  // SCHED_DEADLINE is EINVAL
  entry(145, "sched_getscheduler", sys_sched_getscheduler);
  entry(146, "sched_get_priority_max", sys_sched_get_priority_max);
  entry(147, "sched_get_priority_min", sys_sched_get_priority_min);
  entry(148, "sched_rr_get_interval", sys_sched_rr_get_interval);
  entry(153, "vhangup", sys_vhangup);
  entry(157, "prctl", sys_prctl);  // PR_SET_VMA, PR_SET_MM, PR_SET_PTRACER, PR_SET_SECCOMP and PR_TSC_SIGSEGV are EINVAL; the timer slack is kept and changes nothing
  entry(158, "arch_prctl", sys_arch_prctl);  // ARCH_SET_GS is EPERM: GS belongs to the kernel; faults on CPUID are EINVAL
  entry(160, "setrlimit", sys_setrlimit);  // RLIMIT_CORE and RLIMIT_RTTIME change nothing: there are no core files
  entry(164, "settimeofday", sys_settimeofday);  // a time zone other than UTC is EINVAL
  entry(170, "sethostname", sys_sethostname);
  entry(171, "setdomainname", sys_setdomainname);
  entry(186, "gettid", sys_gettid);
  entry(200, "tkill", sys_tkill);
  entry(201, "time", sys_time);
  entry(202, "futex", sys_futex);
  entry(203, "sched_setaffinity", sys_sched_setaffinity);
  entry(204, "sched_getaffinity", sys_sched_getaffinity);
  entry(218, "set_tid_address", sys_set_tid_address);
  entry(222, "timer_create", sys_timer_create);
  entry(223, "timer_settime", sys_timer_settime);
  entry(224, "timer_gettime", sys_timer_gettime);
  entry(225, "timer_getoverrun", sys_timer_getoverrun);
  entry(226, "timer_delete", sys_timer_delete);
  entry(159, "adjtimex", sys_adjtimex);  // read only
  entry(305, "clock_adjtime", sys_clock_adjtime);  // read only
  entry(227, "clock_settime", sys_clock_settime);
  entry(228, "clock_gettime", sys_clock_gettime);
  entry(229, "clock_getres", sys_clock_getres);
  entry(230, "clock_nanosleep", sys_clock_nanosleep);
  entry(231, "exit_group", sys_exit_group);
  entry(234, "tgkill", sys_tgkill);
  entry(247, "waitid", sys_waitid);
  entry(273, "set_robust_list", sys_set_robust_list);
  entry(274, "get_robust_list", sys_get_robust_list);
  entry(297, "rt_tgsigqueueinfo", sys_rt_tgsigqueueinfo);
  entry(302, "prlimit64", sys_prlimit64);  // as setrlimit
  entry(272, "unshare", sys_unshare);  // namespaces
  entry(308, "setns", sys_setns);  // namespaces: EINVAL
  entry(309, "getcpu", sys_getcpu);
  entry(251, "ioprio_set", sys_ioprio_set);  // kept, orders nothing
  entry(252, "ioprio_get", sys_ioprio_get);
  entry(314, "sched_setattr", sys_sched_setattr);  // SCHED_DEADLINE is EINVAL, utilisation clamps are EOPNOTSUPP
  entry(315, "sched_getattr", sys_sched_getattr);
  entry(318, "getrandom", sys_getrandom);
  entry(322, "execveat", sys_execveat);
  entry(324, "membarrier", sys_membarrier);  // the commands about rseq
  entry(312, "kcmp", sys_kcmp);
  entry(424, "pidfd_send_signal", sys_pidfd_send_signal);
  entry(434, "pidfd_open", sys_pidfd_open);  // PIDFD_THREAD
  entry(438, "pidfd_getfd", sys_pidfd_getfd);
  entry(435, "clone3", sys_clone3);  // namespaces, CLONE_INTO_CGROUP and set_tid are EINVAL
  entry(449, "futex_waitv", sys_futex_waitv);
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
  entry(282, "signalfd", sys_signalfd);
  entry(283, "timerfd_create", sys_timerfd_create);
  entry(253, "inotify_init", sys_inotify_init);
  entry(254, "inotify_add_watch", sys_inotify_add_watch);
  entry(255, "inotify_rm_watch", sys_inotify_rm_watch);
  entry(284, "eventfd", sys_eventfd);
  entry(286, "timerfd_settime", sys_timerfd_settime);
  entry(287, "timerfd_gettime", sys_timerfd_gettime);
  entry(289, "signalfd4", sys_signalfd4);
  entry(290, "eventfd2", sys_eventfd2);
  entry(294, "inotify_init1", sys_inotify_init1);
  entry(291, "epoll_create1", sys_epoll_create1);
  entry(293, "pipe2", sys_pipe2);
  entry(441, "epoll_pwait2", sys_epoll_pwait2);
  // --- Linux AIO (aio.h) ---
  entry(206, "io_setup", sys_io_setup);
  entry(207, "io_destroy", sys_io_destroy);
  entry(208, "io_getevents", sys_io_getevents);
  entry(209, "io_submit", sys_io_submit);  // reads and writes are done by the call; the ring is not for reading
  entry(210, "io_cancel", sys_io_cancel);
  entry(333, "io_pgetevents", sys_io_pgetevents);
  // --- System V IPC (sysv.h) ---
  entry(29, "shmget", sys_shmget);  // SHM_HUGETLB: there are no huge pages
  entry(30, "shmat", sys_shmat);  // a segment has one address, the same in every process and there once only; the first attachment decides
  entry(31, "shmctl", sys_shmctl);
  entry(64, "semget", sys_semget);
  entry(65, "semop", sys_semop);
  entry(66, "semctl", sys_semctl);
  entry(67, "shmdt", sys_shmdt);
  entry(68, "msgget", sys_msgget);
  entry(69, "msgsnd", sys_msgsnd);
  entry(70, "msgrcv", sys_msgrcv);
  entry(71, "msgctl", sys_msgctl);
  entry(220, "semtimedop", sys_semtimedop);
  // --- POSIX message queues (mqueue.h) ---
  entry(240, "mq_open", sys_mq_open);
  entry(241, "mq_unlink", sys_mq_unlink);
  entry(242, "mq_timedsend", sys_mq_timedsend);
  entry(243, "mq_timedreceive", sys_mq_timedreceive);
  entry(244, "mq_notify", sys_mq_notify);  // SIGEV_THREAD is ENOSYS: libc's way to it is a netlink socket
  entry(245, "mq_getsetattr", sys_mq_getsetattr);
  // --- splicing (splice.h) ---
  entry(275, "splice", sys_splice);
  entry(276, "tee", sys_tee);
  entry(278, "vmsplice", sys_vmsplice);
  // --- sockets (socket.h) ---
  entry(41, "socket", sys_socket);  // AF_UNIX, AF_INET, AF_INET6 (stream, dgram), AF_NETLINK (route); no raw or packet sockets
  entry(42, "connect", sys_connect);  // addresses beyond 127.0.0.0/8 and ::1 are ENETUNREACH
  entry(43, "accept", sys_accept);
  entry(44, "sendto", sys_sendto);  // as connect; MSG_MORE on UDP is EOPNOTSUPP, MSG_FASTOPEN too
  entry(45, "recvfrom", sys_recvfrom);
  entry(46, "sendmsg", sys_sendmsg);
  entry(47, "recvmsg", sys_recvmsg);
  entry(48, "shutdown", sys_shutdown);
  entry(49, "bind", sys_bind);
  entry(50, "listen", sys_listen);
  entry(51, "getsockname", sys_getsockname);
  entry(52, "getpeername", sys_getpeername);
  entry(53, "socketpair", sys_socketpair);
  entry(54, "setsockopt", sys_setsockopt);  // TCP_DEFER_ACCEPT, TCP_CORK, and keepalive of TCP are kept but change nothing; no groups of multicast, no TIME_WAIT
  entry(55, "getsockopt", sys_getsockopt);
  entry(288, "accept4", sys_accept4);
  entry(299, "recvmmsg", sys_recvmmsg);
  entry(307, "sendmmsg", sys_sendmmsg);
  return table;
}

#undef entry

}  // namespace

constinit const std::array<SyscallEntry, kSyscallCount> kSyscalls = make_table();

}  // namespace kernel
