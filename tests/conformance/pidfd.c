// Descriptors of processes, kcmp, the memory of others, membarrier, affinity that moves a thread.
#include "conf.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define PIDFD_FLAG 0x1000

extern char **environ;

static pid_t start(const char *role)
{
    char *argv[] = {"pidfd", "as", (char *)role, NULL};
    pid_t pid = -1;
    CHECK(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) == 0);
    return pid;
}

static int role(const char *name)
{
    if (!strcmp(name, "wait"))
        for (;;)
            pause();
    return atoi(name);
}

static int pidfd_open_(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }
static int send_(int fd, int sig, siginfo_t *info, unsigned flags) { return (int)syscall(SYS_pidfd_send_signal, fd, sig, info, flags); }

static volatile int got_code, got_value;
static void on_signal(int s, siginfo_t *info, void *context)
{
    (void)s;
    (void)context;
    got_code = info->si_code;
    got_value = info->si_value.sival_int;
}

struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static void descriptors(void)
{
    siginfo_t info = {0};
    RES(pidfd_open_(0, 0));
    RES(pidfd_open_(-5, 0));
    RES(pidfd_open_(getpid(), 12345));
    RES(pidfd_open_(0x3ffffff, 0));
    pid_t child = start("wait");
    int fd = pidfd_open_(child, 0);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    char path[64], text[256] = {0}, want[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    RES(readlink(path, text, sizeof text) > 0);
    puts(text);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int f = open(path, O_RDONLY);
    memset(text, 0, sizeof text);
    CHECK(read(f, text, sizeof text - 1) > 0);
    close(f);
    snprintf(want, sizeof want, "Pid:\t%d\n", child);
    CHECK(strstr(text, want) != NULL);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    RES(poll(&p, 1, 0));
    RES(read(fd, text, 4));
    RES(send_(fd, 0, NULL, 0));
    RES(send_(fd, 999, NULL, 0));
    RES(send_(fd, 0, NULL, 0x100));
    RES(send_(0, 0, NULL, 0));
    RES(send_(999, 0, NULL, 0));
    info.si_signo = SIGTERM;
    info.si_code = SI_USER;
    RES(send_(fd, SIGTERM, &info, 0));
    RES(send_(fd, SIGUSR1, &info, 0));
    RES(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG));
    int quick = pidfd_open_(child, O_NONBLOCK);
    RES(waitid(P_PIDFD, (id_t)quick, &info, WEXITED));
    close(quick);
    int e = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, got;
    RES(epoll_ctl(e, EPOLL_CTL_ADD, fd, &event));
    RES(epoll_wait(e, &got, 1, 0));
    // A descriptor of the other's table.
    int copy = (int)syscall(SYS_pidfd_getfd, fd, 1, 0);
    CHECK(copy >= 0 && fcntl(copy, F_GETFD) == FD_CLOEXEC);
    RES(syscall(SYS_kcmp, getpid(), child, 0, copy, 1));
    RES(syscall(SYS_kcmp, getpid(), getpid(), 0, copy, 1));
    RES(syscall(SYS_kcmp, getpid(), getpid(), 0, copy, fd) != 0);
    close(copy);
    RES(syscall(SYS_pidfd_getfd, fd, 500, 0));
    RES(syscall(SYS_pidfd_getfd, fd, 1, 1));
    RES(syscall(SYS_pidfd_getfd, 0, 1, 0));
    RES(send_(fd, SIGKILL, NULL, 0));
    RES(epoll_wait(e, &got, 1, 10000));
    RES(got.events);
    RES(poll(&p, 1, 0));
    RES(p.revents);
    memset(&info, 0, sizeof info);
    RES(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOWAIT));
    RES(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    printf("%d %d %d\n", info.si_pid == child, info.si_code, info.si_status);
    RES(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    RES(waitid(P_PIDFD, 0, &info, WEXITED));
    RES(waitid(P_PIDFD, (id_t)-1, &info, WEXITED));
    RES(send_(fd, SIGKILL, NULL, 0));
    RES(syscall(SYS_pidfd_getfd, fd, 1, 0));
    close(fd);
    close(e);
    // To oneself, with a siginfo of one's own.
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, NULL);
    fd = pidfd_open_(getpid(), 0);
    memset(&info, 0, sizeof info);
    info.si_signo = SIGUSR1;
    info.si_code = SI_QUEUE;
    info.si_value.sival_int = 99;
    RES(send_(fd, SIGUSR1, &info, 0));
    printf("%d %d\n", got_code == SI_QUEUE, got_value);
    RES(send_(fd, SIGUSR1, NULL, 0));
    RES(got_code == SI_USER);
    RES(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    close(fd);
}

// A folder /proc/PID stands for the process in one call; what fdinfo says of a descriptor.
static void in_proc(void)
{
    char path[64], text[512], line[64];
    snprintf(path, sizeof path, "/proc/%d", (int)getpid());
    int folder = open(path, O_RDONLY | O_DIRECTORY), other = open("/proc", O_RDONLY | O_DIRECTORY);
    siginfo_t info = {0};
    got_code = 99;
    RES(send_(folder, SIGUSR1, NULL, 0));
    RES(got_code == SI_USER);
    RES(send_(other, SIGUSR1, NULL, 0));
    RES(waitid(P_PIDFD, (id_t)folder, &info, WEXITED));
    RES(syscall(SYS_pidfd_getfd, folder, 1, 0));
    close(folder);
    close(other);
    int fd = pidfd_open_(getpid(), 0);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int f = open(path, O_RDONLY);
    ssize_t n = read(f, text, sizeof text - 1);
    CHECK(n > 0);
    text[n > 0 ? n : 0] = 0;
    snprintf(line, sizeof line, "\nPid:\t%d\nNSpid:\t%d\n", (int)getpid(), (int)getpid());
    RES(strstr(text, line) != NULL);
    close(f);
    close(fd);
}

static int leave(void *arg)
{
    (void)arg;
    _exit(7);
}

static void cloned(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    int fd = -1, status = 0;
    pid_t child = clone(leave, stack + sizeof stack, CLONE_VM | CLONE_VFORK | PIDFD_FLAG | SIGCHLD, NULL, &fd);
    CHECK(child > 0 && fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    siginfo_t info = {0};
    RES(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    printf("%d %d\n", info.si_pid == child, info.si_status);
    close(fd);
    RES(clone(leave, stack + sizeof stack, CLONE_VM | CLONE_VFORK | PIDFD_FLAG | CLONE_PARENT_SETTID | SIGCHLD, NULL, &fd));
    struct clone_arguments a = {.flags = CLONE_VM | CLONE_VFORK | PIDFD_FLAG, .pidfd = (uint64_t)(uintptr_t)&fd, .exit_signal = SIGCHLD};
    a.flags |= CLONE_THREAD | CLONE_SIGHAND;
    a.exit_signal = 0;
    (void)status;
    a.flags = PIDFD_FLAG | 0x400000; // CLONE_DETACHED
    RES(syscall(SYS_clone3, &a, sizeof a));
    // A copy of the memory does not see the number, nor has it the descriptor.
    fd = -1;
    struct clone_arguments fork_too = {.flags = PIDFD_FLAG, .pidfd = (uint64_t)(uintptr_t)&fd, .exit_signal = SIGCHLD};
    int next = dup(1);
    close(next);
    child = (pid_t)syscall(SYS_clone3, &fork_too, sizeof fork_too);
    if (child == 0)
        _exit(fd != -1 ? 1 : fcntl(next, F_GETFD) != -1 ? 2 : 0);
    CHECK(child > 0 && fd == next);
    RES(waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
    printf("%d %d\n", info.si_pid == child, info.si_status);
    close(fd);
    fork_too.pidfd = 8;
    RES(syscall(SYS_clone3, &fork_too, sizeof fork_too));
}

static void comparing(void)
{
    pid_t child = start("wait"), me = getpid();
    RES(syscall(SYS_kcmp, me, me, 1, 0, 0));
    RES(syscall(SYS_kcmp, me, child, 1, 0, 0) != 0);
    RES(syscall(SYS_kcmp, me, me, 2, 0, 0));
    RES(syscall(SYS_kcmp, me, child, 2, 0, 0) != 0);
    RES(syscall(SYS_kcmp, me, me, 3, 0, 0));
    RES(syscall(SYS_kcmp, me, me, 4, 0, 0));
    RES(syscall(SYS_kcmp, me, me, 99, 0, 0));
    RES(syscall(SYS_kcmp, me, me, 0, 500, 0));
    RES(syscall(SYS_kcmp, me, 0x3ffffff, 1, 0, 0));
    int e = epoll_create1(0), p[2], copy;
    CHECK(e >= 0 && pipe(p) == 0 && (copy = dup(p[0])) >= 0);
    struct epoll_event event = {.events = EPOLLIN};
    struct {
        unsigned epoll, target, offset;
    } slot = {(unsigned)e, (unsigned)p[0], 0};
    CHECK(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &event) == 0);
    RES(syscall(SYS_kcmp, me, me, 7, p[0], &slot));
    RES(syscall(SYS_kcmp, me, me, 7, copy, &slot));
    RES(syscall(SYS_kcmp, me, me, 7, p[1], &slot) != 0);
    RES(syscall(SYS_kcmp, me, me, 7, 500, &slot));
    RES(syscall(SYS_kcmp, me, me, 7, p[0], (void *)1));
    slot.offset = 1;
    RES(syscall(SYS_kcmp, me, me, 7, p[0], &slot));
    slot.offset = 0, slot.target = (unsigned)p[1];
    RES(syscall(SYS_kcmp, me, me, 7, p[0], &slot));
    slot.epoll = (unsigned)p[1];
    RES(syscall(SYS_kcmp, me, me, 7, p[0], &slot));
    slot.epoll = 500;
    RES(syscall(SYS_kcmp, me, me, 7, p[0], &slot));
    close(e), close(p[0]), close(p[1]), close(copy);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static volatile int stop_spinning;
static void *spin(void *arg)
{
    (void)arg;
    while (!stop_spinning) {
    }
    return NULL;
}

static void barriers(void)
{
    long known = syscall(SYS_membarrier, 0, 0, 0);
    CHECK(known > 0 && (known & 0x7f) == 0x7f);
    RES(syscall(SYS_membarrier, 8, 0, 0)); // not registered
    RES(syscall(SYS_membarrier, 32, 0, 0));
    RES(syscall(SYS_membarrier, 16, 0, 0));
    RES(syscall(SYS_membarrier, 64, 0, 0));
    RES(syscall(SYS_membarrier, 4, 0, 0));
    RES(syscall(SYS_membarrier, 8, 1, 0));
    RES(syscall(SYS_membarrier, 4096, 0, 0));
    RES(syscall(SYS_membarrier, 0, 1, 0));
    pthread_t t;
    pthread_create(&t, NULL, spin, NULL);
    for (int i = 0; i < 50; i++) {
        CHECK(syscall(SYS_membarrier, 8, 0, 0) == 0);
        CHECK(syscall(SYS_membarrier, 32, 0, 0) == 0);
        CHECK(syscall(SYS_membarrier, 2, 0, 0) == 0);
    }
    RES(syscall(SYS_membarrier, 1, 0, 0));
    stop_spinning = 1;
    pthread_join(t, NULL);
}

static void affinity(void)
{
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    int bad = 0;
    for (int round = 0; round < 20; round++)
        for (int cpu = 0; cpu < 64; cpu++) {
            if (!CPU_ISSET(cpu, &all))
                continue;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            bad += sched_setaffinity(0, sizeof one, &one) != 0 || sched_getcpu() != cpu;
        }
    RES(bad);
    RES(sched_setaffinity(0, sizeof all, &all));
}

static volatile int xcpu;
static void on_xcpu(int s)
{
    (void)s;
    xcpu++;
}
static void limits(void)
{
    struct rlimit old, l;
    getrlimit(RLIMIT_CPU, &old);
    signal(SIGXCPU, on_xcpu);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    l = old;
    l.rlim_cur = (rlim_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1);
    RES(setrlimit(RLIMIT_CPU, &l));
    double begin = conf_now(CLOCK_PROCESS_CPUTIME_ID);
    while (!xcpu && conf_now(CLOCK_PROCESS_CPUTIME_ID) - begin < 10) {
    }
    RES(xcpu);
    CHECK(conf_now(CLOCK_PROCESS_CPUTIME_ID) - begin < 2.5);
    RES(setrlimit(RLIMIT_CPU, &old));
    getrusage(RUSAGE_SELF, &u);
    long before = u.ru_nvcsw;
    for (int i = 0; i < 5; i++)
        conf_sleep_ms(1);
    getrusage(RUSAGE_SELF, &u);
    CHECK(u.ru_nvcsw >= before + 5);
}

static void unsharing(void)
{
    RES(unshare(0));
    RES(unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM));
    RES(unshare(0x1));
    RES(setns(-1, 0));
    RES(setns(1, 0));
    RES(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "as"))
        return role(argv[2]);
    alarm(60);
    descriptors();
    in_proc();
    cloned();
    comparing();
    barriers();
    affinity();
    limits();
    unsharing();
    return conf_end();
}
