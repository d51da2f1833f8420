// Bad pointers and bad descriptors, by table: what every call that takes one says. A pointer is bad in five ways: null, unmapped,
// not accessible, non-canonical, and in the half that belongs to the kernel. No case may crash or succeed where Linux does not.
#include "conf.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define P 0x7001L  // stands for the bad pointer
#define F 0x7002L  // an open file, read and write
#define D 0x7003L  // an open folder
#define N 0x7004L  // a good name: "name"
#define G 0x7005L  // good memory of 4096 bytes
#define E 0x7006L  // an epoll instance
#define S 0x7007L  // a socket
#define W 0x7008L  // the writing end of a pipe

struct row {
    int nr;
    const char *name;
    long a[6];
};
// Built with -DSOCKETS, the rows of the socket calls come too.
#define ROW(name, ...) {SYS_##name, #name, {__VA_ARGS__}}

static const struct row rows[] = {
    ROW(read, F, P, 8), ROW(write, W, P, 8), ROW(open, P, 0, 0), ROW(stat, P, G), ROW(stat, N, P), ROW(fstat, F, P), ROW(lstat, P, G),
    ROW(lstat, N, P), ROW(poll, P, 1, 0), ROW(rt_sigaction, SIGUSR1, P, 0, 8), ROW(rt_sigaction, SIGUSR1, 0, P, 8),
    ROW(rt_sigprocmask, SIG_BLOCK, P, 0, 8), ROW(rt_sigprocmask, SIG_BLOCK, 0, P, 8), ROW(pread64, F, P, 8, 0), ROW(pwrite64, F, P, 8, 0),
    ROW(readv, F, P, 1), ROW(writev, F, P, 1), ROW(access, P, 0), ROW(pipe, P), ROW(pipe2, P, 0), ROW(select, 1, P, 0, 0, 0),
    ROW(select, 0, 0, 0, 0, P), ROW(mincore, G, 4096, P), ROW(nanosleep, P, 0), ROW(getitimer, 0, P), ROW(setitimer, 0, P, 0),
    ROW(sendfile, F, F, P, 1), ROW(execve, P, 0, 0), ROW(execve, N, P, 0), ROW(wait4, -1, 0, 0, P), ROW(uname, P),
    ROW(fcntl, F, F_GETLK, P), ROW(fcntl, F, F_SETLK, P), ROW(truncate, P, 0), ROW(getdents, D, P, 512), ROW(getdents64, D, P, 512),
    ROW(getcwd, P, 512), ROW(chdir, P), ROW(rename, P, N), ROW(rename, N, P), ROW(mkdir, P, 0700), ROW(rmdir, P), ROW(creat, P, 0600),
    ROW(link, P, N), ROW(link, N, P), ROW(unlink, P), ROW(symlink, P, N), ROW(symlink, N, P), ROW(readlink, P, G, 10),
    ROW(readlink, N, P, 10), ROW(chmod, P, 0600), ROW(chown, P, 0, 0), ROW(lchown, P, 0, 0), ROW(gettimeofday, P, 0), ROW(getrlimit, 7, P),
    ROW(setrlimit, 7, P), ROW(getrusage, 0, P), ROW(sysinfo, P), ROW(times, P), ROW(getgroups, 100, P), ROW(getresuid, P, P, P),
    ROW(getresgid, P, P, P), ROW(rt_sigpending, P, 8), ROW(rt_sigtimedwait, P, 0, 0, 8), ROW(rt_sigqueueinfo, 1, SIGUSR1, P),
    ROW(rt_sigsuspend, P, 8), ROW(sigaltstack, P, 0), ROW(sigaltstack, 0, P), ROW(utime, P, 0), ROW(utime, N, P), ROW(mknod, P, 0100600, 0),
    ROW(statfs, P, G), ROW(statfs, N, P), ROW(fstatfs, F, P), ROW(sched_setparam, 0, P), ROW(sched_getparam, 0, P),
    ROW(sched_setscheduler, 0, 0, P), ROW(sched_rr_get_interval, 0, P), ROW(prctl, 15, P), ROW(prctl, 16, P), ROW(prctl, 2, P),
    ROW(arch_prctl, 0x1003, P), ROW(setxattr, P, N, G, 1, 0), ROW(setxattr, N, P, G, 1, 0), ROW(getxattr, P, N, G, 1),
    ROW(listxattr, P, G, 10), ROW(removexattr, P, N), ROW(futex, P, 0, 0, 0, 0, 0), ROW(futex, G, 0, 0, P, 0, 0),
    ROW(sched_setaffinity, 0, 128, P), ROW(sched_getaffinity, 0, 128, P), ROW(epoll_ctl, E, 1, F, P), 
    ROW(timer_create, 1, P, G), ROW(timer_create, 1, 0, P), ROW(clock_settime, 0, P), ROW(clock_gettime, 1, P), ROW(clock_getres, 1, P),
    ROW(clock_nanosleep, 1, 0, P, 0), ROW(utimes, P, 0), ROW(utimes, N, P), ROW(waitid, 0, 0, 0, 4, P), ROW(openat, D, P, 0, 0),
    ROW(mkdirat, D, P, 0700), ROW(mknodat, D, P, 0100600, 0), ROW(fchownat, D, P, 0, 0, 0), ROW(newfstatat, D, P, G, 0),
    ROW(newfstatat, D, N, P, 0), ROW(unlinkat, D, P, 0), ROW(renameat, D, P, D, N), ROW(linkat, D, P, D, N, 0), ROW(symlinkat, P, D, N),
    ROW(readlinkat, D, P, G, 10), ROW(fchmodat, D, P, 0600), ROW(faccessat, D, P, 0), ROW(pselect6, 1, P, 0, 0, 0, 0), ROW(ppoll, P, 1, 0, 0, 8),
    ROW(ppoll, 0, 0, P, 0, 8), ROW(set_robust_list, P, 24), ROW(utimensat, D, P, 0, 0), ROW(utimensat, D, N, P, 0), 
    ROW(epoll_pwait, E, G, 1, 0, P, 8), ROW(signalfd4, -1, P, 8, 0), ROW(timerfd_create, 99, 0), ROW(preadv, F, P, 1, 0), ROW(pwritev, F, P, 1, 0),
    ROW(prlimit64, 0, 7, P, 0), ROW(prlimit64, 0, 7, 0, P), ROW(renameat2, D, P, D, N, 0), ROW(getrandom, P, 8, 0), ROW(memfd_create, P, 0),
    ROW(statx, D, P, 0, 0x7ff, G), ROW(statx, D, N, 0, 0x7ff, P), ROW(getcpu, P, 0, 0), ROW(faccessat2, D, P, 0, 0), ROW(openat2, D, P, G, 24),
    ROW(openat2, D, N, P, 24), ROW(clone3, P, 88), ROW(copy_file_range, F, P, F, 0, 1, 0), ROW(ioctl, W, 0x541b, P),
#ifdef SOCKETS
    ROW(connect, S, P, 16), ROW(bind, S, P, 16), ROW(getsockname, S, P, P), ROW(getpeername, S, P, P),
    ROW(sendmsg, S, P, 0), ROW(recvmsg, S, P, 0x40),
    ROW(setsockopt, S, 1, 2, P, 4), ROW(getsockopt, S, 1, 2, P, P), ROW(socketpair, 1, 1, 0, P), ROW(sendmmsg, S, P, 1, 0), ROW(recvmmsg, S, P, 1, 0x40, 0),
#endif
};

// Calls that take a descriptor as their first argument, with arguments that are right otherwise.
static const struct row bad_descriptor[] = {
    ROW(read, 0, G, 8), ROW(write, 0, G, 8), ROW(close), ROW(fstat, 0, G), ROW(lseek, 0, 0, 0), ROW(ioctl, 0, 0x5401, G), ROW(pread64, 0, G, 8, 0),
    ROW(pwrite64, 0, G, 8, 0), ROW(readv, 0, G, 0), ROW(writev, 0, G, 0), ROW(dup), ROW(dup2, 0, 50), ROW(dup3, 0, 50, 0), ROW(fcntl, 0, F_GETFD),
    ROW(flock, 0, 1), ROW(fsync), ROW(fdatasync), ROW(ftruncate, 0, 0), ROW(getdents, 0, G, 512), ROW(getdents64, 0, G, 512), ROW(fchdir),
    ROW(fchmod, 0, 0600), ROW(fchown, 0, 0, 0), ROW(fstatfs, 0, G), ROW(readahead, 0, 0, 0), ROW(fadvise64, 0, 0, 0, 0), ROW(epoll_ctl, 0, 1, F, G),
    ROW(epoll_wait, 0, G, 1, 0), ROW(openat, 0, N, 0, 0), ROW(mkdirat, 0, N, 0700), ROW(fchownat, 0, N, 0, 0, 0), ROW(newfstatat, 0, N, G, 0),
    ROW(unlinkat, 0, N, 0), ROW(renameat, 0, N, D, N), ROW(linkat, 0, N, D, N, 0), ROW(readlinkat, 0, N, G, 10), ROW(fchmodat, 0, N, 0600),
    ROW(faccessat, 0, N, 0), ROW(sync_file_range, 0, 0, 0, 0), ROW(utimensat, 0, N, 0, 0), ROW(fallocate, 0, 0, 0, 10),
    ROW(timerfd_settime, 0, 0, G, 0), ROW(timerfd_gettime, 0, G), ROW(preadv, 0, G, 0, 0), ROW(pwritev, 0, G, 0, 0), ROW(syncfs),
    ROW(statx, 0, N, 0, 0x7ff, G), ROW(copy_file_range, 0, 0, F, 0, 1, 0), ROW(sendfile, 0, F, 0, 1),
    ROW(fgetxattr, 0, N, G, 8), ROW(flistxattr, 0, G, 8),
#ifdef SOCKETS
    ROW(connect, 0, G, 16), ROW(bind, 0, G, 16),
    ROW(listen, 0, 1), ROW(accept, 0, 0, 0), ROW(getsockname, 0, G, G), ROW(shutdown, 0, 0), ROW(sendto, 0, G, 8, 0, 0, 0),
    ROW(recvfrom, 0, G, 8, 0, 0, 0), ROW(setsockopt, 0, 1, 2, G, 4),
#endif
};

static const struct {
    const char *name;
    uintptr_t address;
} bad[] = {{"null", 8}, {"unmapped", 0}, {"no access", 0}, {"non-canonical", 0x800000000000ul}, {"kernel half", 0xffff888000001000ul}, {"end of space", ~0xful}};

static char *good;
static long descriptors[8];

static long argument(long a, uintptr_t p, int fd)
{
    switch (a) {
    case P: return (long)p;
    case N: return (long)"name";
    case G: return (long)good;
    case F: case D: case E: case S: case W: return descriptors[a & 7];
    default: return fd && a == 0 ? 0 : a;
    }
}

static void run(const struct row *r, const char *label, uintptr_t p, int use_bad_fd, long fd)
{
    long a[6];
    for (int i = 0; i < 6; i++)
        a[i] = argument(r->a[i], p, 0);
    if (use_bad_fd)
        a[0] = fd;
    memset(good, 0, 4096);
    errno = 0;
    long v = syscall(r->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    printf("%s %s %s\n", r->name, label, v == -1 ? conf_errno(errno) : "no error");
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    uintptr_t where[6];
    for (int i = 0; i < 6; i++)
        where[i] = bad[i].address;
    char *hole = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole + 4096, 4096);
    where[1] = (uintptr_t)hole + 4096 + 64;
    where[2] = (uintptr_t)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 64;
    good = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int pipe_ends[2];
    mkdir("d", 0700);
    close(open("name", O_CREAT | O_WRONLY, 0600));
    descriptors[F & 7] = open("f", O_CREAT | O_RDWR, 0600);
    CHECK(write((int)descriptors[F & 7], "some bytes in the file", 22) == 22);
    descriptors[D & 7] = open(".", O_RDONLY | O_DIRECTORY);
    descriptors[E & 7] = (long)syscall(SYS_epoll_create1, 0);
#ifdef SOCKETS
    descriptors[S & 7] = (long)socket(AF_UNIX, SOCK_STREAM, 0);
#endif
    CHECK(pipe(pipe_ends) == 0);
    descriptors[W & 7] = pipe_ends[1];
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < 6; k++) {
            lseek((int)descriptors[F & 7], 0, SEEK_SET);
            lseek((int)descriptors[D & 7], 0, SEEK_SET);
            run(&rows[i], bad[k].name, where[k], 0, 0);
        }
    static const long fds[] = {-1, 99, 0x7fffffff};
    for (size_t i = 0; i < sizeof bad_descriptor / sizeof *bad_descriptor; i++)
        for (int k = 0; k < 3; k++) {
            char label[32];
            snprintf(label, sizeof label, "fd %ld", fds[k]);
            run(&bad_descriptor[i], label, 0, 1, fds[k]);
        }
    return conf_end();
}
