// Resource limits as they are enforced, for root and for somebody else; what may be set; priorities, scheduling and their rights.
#include "conf.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>

static volatile sig_atomic_t got;
static void note(int signo)
{
    got = signo;
}

// Runs a part in a process of its own: what it changes ends with it.
static void apart(const char *name, void (*part)(void), int uid)
{
    printf("-- %s%s\n", name, uid ? " (not root)" : "");
    pid_t child = fork();
    if (child == 0) {
        if (uid && (setgid((gid_t)uid) != 0 || setuid((uid_t)uid) != 0))
            _exit(99);
        alarm(30);
        part();
        exit(conf_failures ? 1 : 0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        printf("ended by signal %d\n", WTERMSIG(status));
    else
        printf("ended with %d\n", WEXITSTATUS(status));
}

static int lower(int resource, rlim_t soft)
{
    struct rlimit l;
    if (getrlimit(resource, &l) != 0)
        return -1;
    l.rlim_cur = soft;
    return setrlimit(resource, &l);
}

static void file_size(void)
{
    char text[8192] = {0};
    struct stat s;
    int fd = open("sized", O_CREAT | O_RDWR | O_TRUNC, 0600);
    signal(SIGXFSZ, note);
    RES(lower(RLIMIT_FSIZE, 5000));
    RES(write(fd, text, sizeof text));
    RES(write(fd, text, 1));
    printf("signal %d\n", got == SIGXFSZ);
    got = 0;
    RES(pwrite(fd, text, 10, 4995));
    RES(pwrite(fd, text, 10, 5000));
    printf("signal %d\n", got == SIGXFSZ);
    got = 0;
    struct iovec parts[2] = {{text, 4990}, {text, 100}};
    RES(pwritev(fd, parts, 2, 0));
    RES(ftruncate(fd, 5001));
    printf("signal %d\n", got == SIGXFSZ);
    got = 0;
    RES(ftruncate(fd, 5000));
    RES(truncate("sized", 9000));
    RES(posix_fallocate(fd, 0, 6000) == EFBIG);
    int other = open("other", O_CREAT | O_RDWR, 0600), zero = open("/dev/zero", O_RDONLY), ends[2];
    (void)zero;
    RES(lseek(other, 4999, SEEK_SET));
    RES(write(other, text, 10));
    int more = open("sized", O_WRONLY | O_APPEND);
    RES(write(more, text, 1));
    RES(fstat(fd, &s));
    printf("%ld\n", (long)s.st_size);
    // Only files have a size.
    RES(pipe(ends));
    RES(write(ends[1], text, sizeof text));
    signal(SIGXFSZ, SIG_DFL);
    RES(write(more, text, 1));
}

static void descriptors(void)
{
    RES(lower(RLIMIT_NOFILE, 10));
    int fds[12], n = 0;
    while (n < 12 && (fds[n] = dup(0)) >= 0)
        n++;
    printf("highest %d, %s\n", n ? fds[n - 1] : -1, conf_errno(errno));
    RES(open("sized", O_RDONLY));
    RES(dup2(0, 10));
    RES(fcntl(0, F_DUPFD, 10));
    RES(fcntl(0, F_DUPFD, 5));
    RES(lower(RLIMIT_NOFILE, 4));
    RES(close(9));
    RES(dup(0));
    RES(fcntl(8, F_GETFD));
    struct rlimit l = {10, 5};
    RES(setrlimit(RLIMIT_NOFILE, &l));
}

static void address_space(void)
{
    RES(lower(RLIMIT_AS, 64 << 20));
    void *p = mmap(NULL, 256 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%d %s\n", p == MAP_FAILED, conf_errno(errno));
    p = mmap(NULL, 256 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    printf("%d %s\n", p == MAP_FAILED, conf_errno(errno));
    p = mmap(NULL, 8 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    void *q = mremap(p, 8 << 20, 128 << 20, MREMAP_MAYMOVE);
    printf("%d %s\n", q == MAP_FAILED, conf_errno(errno));
    errno = 0;
    printf("%d %s\n", sbrk(128 << 20) == (void *)-1, conf_errno(errno));
}

static void data(void)
{
    RES(lower(RLIMIT_DATA, 16 << 20));
    void *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%d %s\n", p == MAP_FAILED, conf_errno(errno));
    p = mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%d\n", p == MAP_FAILED);
    RES(mprotect(p, 64 << 20, PROT_READ | PROT_WRITE));
    p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    printf("%d\n", p == MAP_FAILED);
    errno = 0;
    printf("%d %s\n", sbrk(64 << 20) == (void *)-1, conf_errno(errno));
}

static void locked(void)
{
    RES(lower(RLIMIT_MEMLOCK, 65536));
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RES(mlock(p, 65536));
    RES(mlock(p + 65536, 4096));
    RES(mlock(p, 32768));
    RES(munlock(p, 4096));
    RES(mlock(p + 65536, 4096));
    RES(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED);
    RES(mlockall(MCL_CURRENT));
    RES(lower(RLIMIT_MEMLOCK, 0));
    RES(munlockall());
    RES(mlock(p, 4096));
    RES(mlockall(MCL_FUTURE));
}

static void queued_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    RES(lower(RLIMIT_SIGPENDING, 3));
    int n = 0;
    while (n < 10 && sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = n}) == 0)
        n++;
    printf("%d %s\n", n, conf_errno(errno));
    RES(kill(getpid(), SIGUSR1)); // a standard signal always comes
    siginfo_t info;
    RES(sigwaitinfo(&set, &info));
    struct timespec now = {0};
    while (n > 0 && sigtimedwait(&set, &info, &now) == SIGRTMIN)
        n--;
    printf("%d left\n", n);
}

// One descriptor on its way in each message; what is received counts no more.
static int pass(int through, int fd)
{
    char byte = 'x', control[CMSG_SPACE(sizeof fd)];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return (int)sendmsg(through, &message, MSG_DONTWAIT);
}
static void on_their_way(void)
{
    int ends[2], n = 0, more = 0;
    char byte;
    RES(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    RES(lower(RLIMIT_NOFILE, 12));
    while (n < 100 && pass(ends[0], 0) == 1)
        n++;
    printf("%d %s\n", n, conf_errno(errno));
    RES(write(ends[0], "plain", 5));
    for (int i = 0; i < 4; i++)
        CHECK(recv(ends[1], &byte, 1, 0) == 1); // drops what came with it
    while (more < 100 && pass(ends[0], 0) == 1)
        more++;
    printf("%d %s\n", more, conf_errno(errno));
}

static void processes(void)
{
    RES(lower(RLIMIT_NPROC, 0));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    printf("fork %s\n", child < 0 ? conf_errno(errno) : "ok");
    if (child > 0)
        waitpid(child, NULL, 0);
}

static void setting(void)
{
    struct rlimit l, old;
    RES(getrlimit(99, &l));
    RES(setrlimit(99, &l));
    RES(prlimit(0, 16, NULL, &l));
    RES(prlimit(-1, RLIMIT_CORE, NULL, &l));
    getrlimit(RLIMIT_RTTIME, &old);
    l = old;
    l.rlim_max = 1000;
    l.rlim_cur = 1001;
    RES(setrlimit(RLIMIT_RTTIME, &l));
    l.rlim_cur = 1000;
    RES(setrlimit(RLIMIT_RTTIME, &l));
    l.rlim_max = 2000;
    if (getuid() != 0) // root may be without the capability
        RES(setrlimit(RLIMIT_RTTIME, &l));
    l.rlim_max = 500;
    l.rlim_cur = RLIM_INFINITY;
    RES(setrlimit(RLIMIT_RTTIME, &l));
    RES(prlimit(getppid(), RLIMIT_CORE, NULL, &l));
    RES(prlimit(1, RLIMIT_CORE, NULL, &l) == 0 || errno == EPERM);
    RES(getrlimit(RLIMIT_CORE, (void *)8));
    // What a child gets.
    l.rlim_cur = 7;
    l.rlim_max = 500;
    RES(setrlimit(RLIMIT_RTTIME, &l));
    pid_t child = fork();
    if (child == 0) {
        getrlimit(RLIMIT_RTTIME, &l);
        _exit(l.rlim_cur == 7 && l.rlim_max == 500 ? 3 : 4);
    }
    int status;
    waitpid(child, &status, 0);
    RES(WEXITSTATUS(status));
}

static void nice_values(void)
{
    RES(lower(RLIMIT_NICE, 0));
    RES(setpriority(PRIO_PROCESS, 0, 5));
    RES(getpriority(PRIO_PROCESS, 0));
    RES(setpriority(PRIO_PROCESS, 0, 3));
    RES(nice(100));
    RES(getpriority(PRIO_PGRP, 0) <= 19);
    RES(setpriority(99, 0, 1));
    RES(getpriority(-1, 0));
    RES(setpriority(PRIO_PROCESS, 0x3ffffff, 1));
    RES(getpriority(PRIO_PROCESS, 0x3ffffff));
    RES(getpriority(PRIO_USER, 54321));
}

static void scheduling(void)
{
    struct sched_param p = {10};
    struct timespec t;
    RES(lower(RLIMIT_RTPRIO, 0));
    RES(sched_setscheduler(0, SCHED_RR, &p));
    RES(sched_getscheduler(0));
    RES(sched_rr_get_interval(0, &t));
    p.sched_priority = 100;
    RES(sched_setscheduler(0, SCHED_FIFO, &p));
    p.sched_priority = 0;
    RES(sched_setscheduler(0, SCHED_FIFO, &p));
    RES(sched_setscheduler(0, SCHED_OTHER, &p));
    p.sched_priority = 1;
    RES(sched_setscheduler(0, SCHED_OTHER, &p));
    p.sched_priority = 0;
    RES(sched_setscheduler(0, SCHED_IDLE, &p));
    RES(sched_getscheduler(0));
    RES(sched_setscheduler(0, SCHED_BATCH, &p));
    RES(sched_setscheduler(0, -1, &p));
    RES(sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &p));
    RES(sched_getscheduler(0));
    RES(sched_setscheduler(0x3ffffff, SCHED_OTHER, &p));
    RES(sched_setscheduler(-1, SCHED_OTHER, &p));
    RES(sched_getparam(0, &p));
    RES(sched_getparam(-1, &p));
    RES(sched_rr_get_interval(-1, &t));
    RES(sched_get_priority_max(SCHED_FIFO));
    RES(sched_get_priority_min(SCHED_RR));
    RES(sched_get_priority_max(SCHED_IDLE));
    RES(sched_get_priority_max(6));
    RES(sched_get_priority_min(-1));
}

static void io_priorities(void)
{
    RES(syscall(SYS_ioprio_get, 1, 0));
    RES(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3));
    RES(syscall(SYS_ioprio_get, 1, 0));
    RES(syscall(SYS_ioprio_set, 1, 0, 3 << 13));
    RES(syscall(SYS_ioprio_get, 1, 0));
    RES(syscall(SYS_ioprio_set, 1, 0, 1 << 13 | 4));
    RES(syscall(SYS_ioprio_set, 1, 0, 0));
    RES(syscall(SYS_ioprio_set, 1, 0, 5));
    RES(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 8));
    RES(syscall(SYS_ioprio_set, 1, 0, 4 << 13));
    RES(syscall(SYS_ioprio_set, 9, 0, 0));
    RES(syscall(SYS_ioprio_get, 9, 0));
    RES(syscall(SYS_ioprio_get, 1, 0x3ffffff));
    RES(syscall(SYS_ioprio_set, 1, 0x3ffffff, 2 << 13 | 3));
}

static void clocks(void)
{
    struct timex t = {0};
    RES(adjtimex(&t) >= 0);
    CHECK(t.tick >= 9000 && t.tick <= 11000 && t.time.tv_sec > 1000000);
    memset(&t, 0, sizeof t);
    RES(clock_adjtime(CLOCK_REALTIME, &t) >= 0);
    RES(clock_adjtime(CLOCK_MONOTONIC, &t));
    RES(clock_adjtime(99, &t));
    RES(adjtimex(NULL));
    if (getuid() == 0)
        return;
    t.modes = ADJ_OFFSET;
    RES(adjtimex(&t));
    t.modes = ADJ_OFFSET_SS_READ;
    RES(adjtimex(&t) >= 0);
    t.modes = ADJ_OFFSET_SINGLESHOT;
    RES(adjtimex(&t));
}

static void settings(void)
{
    int value = -1;
    unsigned long wide = 0;
    char name[16];
    RES(prctl(PR_SET_NAME, "sixteen-letters!"));
    RES(prctl(PR_GET_NAME, name));
    puts(name);
    RES(prctl(PR_SET_PDEATHSIG, 65));
    RES(prctl(PR_SET_PDEATHSIG, SIGTERM));
    RES(prctl(PR_GET_PDEATHSIG, &value));
    RES(value);
    RES(prctl(PR_SET_CHILD_SUBREAPER, 1));
    RES(prctl(PR_GET_CHILD_SUBREAPER, &value));
    RES(value);
    RES(prctl(PR_GET_CHILD_SUBREAPER, 8));
    RES(prctl(PR_SET_DUMPABLE, 2));
    RES(prctl(PR_SET_DUMPABLE, 1));
    RES(prctl(PR_GET_DUMPABLE));
    RES(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    RES(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    RES(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    RES(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    RES(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
    RES(prctl(PR_SET_KEEPCAPS, 1));
    RES(prctl(PR_GET_KEEPCAPS));
    RES(prctl(PR_SET_KEEPCAPS, 2));
    RES(prctl(PR_SET_TIMERSLACK, 12345));
    RES(prctl(PR_GET_TIMERSLACK));
    RES(prctl(PR_SET_TIMERSLACK, 0));
    RES(prctl(PR_GET_TIMERSLACK));
    RES(prctl(PR_GET_TIMING));
    RES(prctl(PR_SET_TIMING, 1));
    RES(prctl(PR_SET_TIMING, 0));
    RES(prctl(PR_GET_SECCOMP));
    RES(prctl(PR_CAPBSET_READ, 0));
    RES(prctl(PR_CAPBSET_READ, 99));
    RES(prctl(PR_GET_TSC, &value));
    RES(value);
    RES(prctl(PR_SET_TSC, 0x77));
    RES(prctl(PR_GET_SECUREBITS));
    RES(prctl(PR_GET_ENDIAN, &value));
    RES(prctl(PR_GET_FPEMU, &value));
    RES(prctl(PR_GET_UNALIGN, &value));
    RES(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    RES(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    RES(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
    RES(prctl(PR_GET_TID_ADDRESS, &wide));
    RES(prctl(123456, 0, 0, 0, 0));
    RES(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
    RES(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0));
    RES(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
}

static void grow(int depth)
{
    volatile char page[4096];
    page[0] = (char)depth;
    if (depth > 0)
        grow(depth - 1);
    page[1] = page[0];
}
static void stack(void)
{
    RES(lower(RLIMIT_STACK, 1 << 20));
    grow(150);
    puts("600 KiB are there");
    grow(600);
    puts("not reached");
}

static void usage(void)
{
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    char *p = mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 256; i++)
        p[i * (128 << 10)] = 1;
    for (int i = 0; i < 5; i++)
        usleep(20000); // long enough that it is not over before the thread gives the processor up, however busy the machine
    getrusage(RUSAGE_SELF, &after);
    RES(after.ru_minflt - before.ru_minflt >= 1);
    RES(after.ru_nvcsw - before.ru_nvcsw >= 5);
    CHECK(after.ru_maxrss > 500);
    RES(getrusage(7, &after));
    RES(getrusage(RUSAGE_SELF, (void *)8));
    RES(getrusage(RUSAGE_THREAD, &after));
}

int main(int argc, char **argv)
{
    CHECK(argc > 1 && chdir(argv[1]) == 0);
    chmod(".", 0777);
    apart("file size", file_size, 0);
    apart("descriptors", descriptors, 0);
    apart("address space", address_space, 0);
    apart("data", data, 0);
    apart("stack", stack, 0);
    apart("locked memory", locked, 0);
    apart("locked memory", locked, 7777);
    apart("queued signals", queued_signals, 7778); // one who has none yet: they count for a user
    apart("descriptors on their way", on_their_way, 7779);
    apart("processes", processes, 0);
    apart("processes", processes, 7777);
    apart("setting", setting, 0);
    apart("setting", setting, 7777);
    apart("nice values", nice_values, 0);
    apart("nice values", nice_values, 7777);
    apart("scheduling", scheduling, 0);
    apart("scheduling", scheduling, 7777);
    apart("io priorities", io_priorities, 0);
    apart("io priorities", io_priorities, 7777);
    apart("clocks", clocks, 0);
    apart("clocks", clocks, 7777);
    apart("settings", settings, 0);
    apart("settings", settings, 7777);
    apart("usage", usage, 0);
    return conf_end();
}
