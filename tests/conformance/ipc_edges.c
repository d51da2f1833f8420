// Corners of IPC and events that stock programs come by: packets in pipes, expirations of timers that share a signal, the rules of
// EPOLLEXCLUSIVE, what a thread alone has used.
#include "conf.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

static char bytes[70000];

static int fill_with_packets(int fd)
{
    int n = 0;
    while (write(fd, "x", 1) == 1) n++;
    return n;
}

static void packets(void)
{
    int p[2], waiting = 0;
    RES(pipe2(p, O_APPEND));
    CHECK(pipe2(p, O_DIRECT | O_NONBLOCK) == 0);
    CHECK((fcntl(p[1], F_GETFL) & O_DIRECT) != 0);
    RES(write(p[1], "abc", 3));
    RES(write(p[1], "defgh", 5));
    RES(write(p[1], bytes, 5000));
    RES(write(p[1], bytes, 0));
    CHECK(ioctl(p[0], FIONREAD, &waiting) == 0);
    printf("%d bytes wait\n", waiting);
    RES(read(p[0], bytes, 2)); // the rest of the packet goes
    RES(read(p[0], bytes, 100));
    CHECK(memcmp(bytes, "defgh", 5) == 0);
    RES(read(p[0], bytes, 4));
    RES(read(p[0], bytes, 60000));
    RES(read(p[0], bytes, 60000));
    printf("packets that fit: %d\n", fill_with_packets(p[1]));
    struct pollfd out = {.fd = p[1], .events = POLLOUT};
    RES(poll(&out, 1, 0));
    RES(read(p[0], bytes, 100));
    RES(poll(&out, 1, 0));
    RES(fcntl(p[1], F_SETPIPE_SZ, 131072));
    printf("packets that fit: %d\n", fill_with_packets(p[1]));
    RES(fcntl(p[1], F_SETPIPE_SZ, 4096));
    int n = 0;
    while (read(p[0], bytes, 4096) == 1) n++;
    printf("packets read: %d\n", n);
    RES(fcntl(p[1], F_SETPIPE_SZ, 4096));
    RES(write(p[1], bytes, 5000));
    RES(write(p[1], bytes, 1));
    RES(read(p[0], bytes, 1));
    RES(read(p[0], bytes, 1));
    // Bytes that are none behind packets: the mode is the writing descriptor's, at each write.
    CHECK(fcntl(p[1], F_SETPIPE_SZ, 65536) == 65536);
    RES(write(p[1], "12", 2));
    RES(write(p[1], "34", 2));
    CHECK(fcntl(p[1], F_SETFL, O_NONBLOCK) == 0);
    RES(write(p[1], "56", 2));
    RES(write(p[1], "78", 2));
    RES(read(p[0], bytes, 100));
    RES(read(p[0], bytes, 1));
    RES(read(p[0], bytes, 3));
    RES(read(p[0], bytes, 100));
    RES(read(p[0], bytes, 100));
    CHECK(fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT) == 0);
    // Round the ring many times, with sizes that do not divide it.
    int bad = 0;
    for (int i = 0; i < 500; i++) {
        size_t size = 1 + (size_t)i * 37 % 4096;
        memset(bytes, 'a' + i % 26, size);
        if (write(p[1], bytes, size) != (ssize_t)size || write(p[1], "end", 3) != 3) bad++;
        memset(bytes, 0, size);
        if (read(p[0], bytes, sizeof bytes) != (ssize_t)size || bytes[0] != 'a' + i % 26 || bytes[size - 1] != bytes[0]) bad++;
        if (read(p[0], bytes, sizeof bytes) != 3 || memcmp(bytes, "end", 3) != 0) bad++;
    }
    printf("wrong packets: %d\n", bad);
    // What splice leaves of a packet is still one, also in a pipe that has grown.
    int other[2];
    CHECK(pipe2(other, O_NONBLOCK) == 0 && fcntl(p[1], F_SETPIPE_SZ, 65536) == 65536);
    RES(write(p[1], bytes, 100));
    RES(write(p[1], "end", 3));
    RES(splice(p[0], NULL, other[1], NULL, 40, 0));
    RES(fcntl(p[1], F_SETPIPE_SZ, 131072));
    RES(read(p[0], bytes, sizeof bytes));
    RES(read(p[0], bytes, sizeof bytes));
    RES(read(p[0], bytes, sizeof bytes));
    printf("packets that fit: %d\n", fill_with_packets(p[1]));
    close(other[0]);
    close(other[1]);
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    RES(write(p[1], "x", 1));
    close(p[1]);
}

static void *write_packets(void *fd)
{
    for (int i = 0; i < 2000; i++) {
        char packet[600];
        memset(packet, i & 0x7f, sizeof packet);
        if (write(*(int *)fd, packet, 1 + (size_t)i % 600) != 1 + i % 600) return (void *)1;
    }
    return NULL;
}

static void waiting_writer(void)
{
    int p[2], bad = 0;
    void *failed;
    pthread_t thread;
    CHECK(pipe2(p, O_DIRECT) == 0);
    CHECK(pthread_create(&thread, NULL, write_packets, &p[1]) == 0);
    for (int i = 0; i < 2000; i++) {
        char packet[600];
        ssize_t n = read(p[0], packet, sizeof packet);
        if (n != 1 + i % 600 || packet[0] != (i & 0x7f) || packet[n - 1] != packet[0]) bad++;
    }
    pthread_join(thread, &failed);
    printf("wrong packets: %d %s\n", bad, failed ? "and writes" : "");
    close(p[0]);
    close(p[1]);
}

static volatile sig_atomic_t handled;
static siginfo_t handled_info;
static void handler(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    handled++;
    handled_info = *info;
}

// Takes `count` signals that must be there, and says whose they are.
static void take(const sigset_t *set, int count)
{
    siginfo_t info;
    struct timespec long_enough = {5, 0}, none = {0, 0};
    int values = 0;
    for (int i = 0; i < count; i++) {
        int signo = sigtimedwait(set, &info, &long_enough);
        CHECK(signo > 0 && info.si_code == SI_TIMER);
        values |= 1 << info.si_value.sival_int;
    }
    printf("timers that came: %x, then %d\n", values, sigtimedwait(set, &info, &none));
}

// Two timers with one signal number: each has its own place in the queue.
static void shared_signal(int signo)
{
    timer_t first, second;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo};
    event.sigev_value.sival_int = 1;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &first) == 0);
    event.sigev_value.sival_int = 2;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &second) == 0);
    struct itimerspec once = {.it_value = {0, 1000000}}, never = {.it_value = {0, 0}};
    struct itimerspec left;
    CHECK(timer_settime(first, 0, &once, NULL) == 0 && timer_settime(second, 0, &once, NULL) == 0);
    do conf_sleep_ms(2);
    while (timer_gettime(first, &left) == 0 && left.it_value.tv_nsec);
    do conf_sleep_ms(2);
    while (timer_gettime(second, &left) == 0 && left.it_value.tv_nsec);
    take(&set, 2);
    // How often it has expired while its signal was pending comes with that signal.
    struct itimerspec often = {{0, 2000000}, {0, 2000000}};
    siginfo_t info;
    CHECK(timer_settime(first, 0, &often, NULL) == 0);
    conf_sleep_ms(60);
    CHECK(sigwaitinfo(&set, &info) == signo);
    CHECK(info.si_overrun >= 10);
    CHECK(timer_getoverrun(first) == info.si_overrun);
    conf_sleep_ms(40);
    CHECK(timer_settime(first, 0, &never, NULL) == 0);
    struct timespec none = {0, 0};
    while (sigtimedwait(&set, &info, &none) > 0) {
    }
    // A handler gets it too.
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(signo, &action, NULL) == 0);
    handled = 0;
    once.it_value.tv_nsec = 1000000;
    once.it_interval.tv_nsec = 2000000;
    CHECK(timer_settime(second, 0, &once, NULL) == 0);
    conf_sleep_ms(60);
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
    CHECK(timer_delete(second) == 0);
    CHECK(handled >= 1 && (handled > 5 || handled_info.si_overrun >= 5));
    CHECK(handled_info.si_value.sival_int == 2 && handled_info.si_code == SI_TIMER);
    RES(timer_delete(second));
    CHECK(timer_delete(first) == 0);
    signal(signo, SIG_DFL);
}

static void exclusive(void)
{
    static const unsigned beside[] = {0, EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLET, EPOLLWAKEUP, EPOLLPRI, EPOLLRDHUP, EPOLLONESHOT, EPOLLRDNORM, EPOLLMSG};
    int epoll = epoll_create1(0), event = eventfd(1, 0);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        struct epoll_event wanted = {.events = EPOLLEXCLUSIVE | beside[i]};
        int added = epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted);
        printf("exclusive and %x: %s", beside[i], added ? conf_errno(errno) : "added");
        wanted.events = EPOLLIN;
        printf(", then %s\n", epoll_ctl(epoll, EPOLL_CTL_MOD, event, &wanted) ? conf_errno(errno) : "changed");
        epoll_ctl(epoll, EPOLL_CTL_DEL, event, NULL);
    }
    struct epoll_event wanted = {.events = EPOLLIN}, got;
    RES(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted));
    wanted.events |= EPOLLEXCLUSIVE;
    RES(epoll_ctl(epoll, EPOLL_CTL_MOD, event, &wanted));
    struct timespec none = {0, 0};
    unsigned long mask = 0;
    RES(syscall(SYS_epoll_pwait2, epoll, &got, 1, &none, &mask, 8));
    RES(syscall(SYS_epoll_pwait2, epoll, &got, 1, &none, &mask, 4));
    RES(syscall(SYS_epoll_pwait2, epoll, &got, 1, &none, NULL, 4));
    close(event);
    close(epoll);
}

static void *touch(void *argument)
{
    struct rusage before, after;
    size_t size = 64 << 20, step = 1 << 20; // far apart, so that no fault brings the next page along
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(getrusage(RUSAGE_THREAD, &before) == 0);
    for (size_t at = 0; at < size; at += step) area[at] = 1;
    CHECK(getrusage(RUSAGE_THREAD, &after) == 0);
    munmap(area, size);
    *(long *)argument = after.ru_minflt - before.ru_minflt;
    return NULL;
}

static void faults(void)
{
    struct rusage before, after, whole;
    long others = 0;
    pthread_t thread;
    CHECK(getrusage(RUSAGE_THREAD, &before) == 0);
    CHECK(pthread_create(&thread, NULL, touch, &others) == 0);
    pthread_join(thread, NULL);
    CHECK(getrusage(RUSAGE_THREAD, &after) == 0 && getrusage(RUSAGE_SELF, &whole) == 0);
    CHECK(others >= 32);
    CHECK(after.ru_minflt - before.ru_minflt < others);
    CHECK(whole.ru_minflt >= after.ru_minflt + others);
}

static void nothing_waited_for(void)
{
    siginfo_t info;
    memset(&info, 0xff, sizeof info);
    RES(waitid(P_ALL, 0, &info, WEXITED));
    printf("then %d %d %d %d\n", info.si_signo, info.si_code, info.si_pid, info.si_status);
    int here = 0;
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .exit_signal = SIGCHLD};
    args.pidfd = args.parent_tid = (unsigned long)&here;
    RES(syscall(SYS_clone3, &args, sizeof args));
}

static void schedule(void)
{
    struct {
        unsigned size, policy;
        unsigned long flags;
        int nice;
        unsigned priority;
        unsigned long deadline[3];
        unsigned clamps[2];
        unsigned long unknown;
    } wanted = {.size = 16};
    RES(syscall(SYS_sched_setattr, 0, &wanted, 0));
    printf("size that is known: %u\n", wanted.size);
    wanted.size = sizeof wanted;
    RES(syscall(SYS_sched_setattr, 0, &wanted, 0));
    wanted.unknown = 1;
    RES(syscall(SYS_sched_setattr, 0, &wanted, 0));
    RES(setpriority(PRIO_PROCESS, -1, 0));
}

static void disarmed(void)
{
    struct itimerval interval = {.it_interval = {7, 0}}, now;
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0 && getitimer(ITIMER_REAL, &now) == 0);
    printf("interval of a disarmed timer: %ld", (long)now.it_interval.tv_sec);
    timer_t timer;
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    struct itimerspec spec = {.it_interval = {7, 0}};
    CHECK(timer_create(CLOCK_MONOTONIC, &none, &timer) == 0 && timer_settime(timer, 0, &spec, NULL) == 0);
    CHECK(timer_gettime(timer, &spec) == 0);
    printf(" %ld\n", (long)spec.it_interval.tv_sec);
    timer_delete(timer);
}

static void seals_on_execution(void)
{
    const int seal_exec = 0x20;
    int fd = (int)syscall(SYS_memfd_create, "sealed", 8u /* MFD_NOEXEC_SEAL */);
    if (fd < 0) return; // before Linux 6.3
    CHECK(fcntl(fd, F_GET_SEALS) == seal_exec);
    CHECK(fchmod(fd, 0777) == -1 && errno == EPERM);
    CHECK(fchmod(fd, 0600) == 0);
    close(fd);
    fd = (int)syscall(SYS_memfd_create, "program", 2u | 16u /* MFD_ALLOW_SEALING | MFD_EXEC */);
    CHECK(fcntl(fd, F_ADD_SEALS, seal_exec) == 0);
    CHECK(fcntl(fd, F_GET_SEALS) == (seal_exec | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
    CHECK(fchmod(fd, 0600) == -1 && errno == EPERM);
    CHECK(write(fd, "x", 1) == -1 && errno == EPERM);
    close(fd);
}

static void splice_to_itself(void)
{
    int p[2];
    CHECK(pipe2(p, O_NONBLOCK) == 0);
    RES(splice(p[0], NULL, p[1], NULL, 10, 0));
    close(p[0]);
    close(p[1]);
}

// A timer that is made where another one was deleted whose signal nobody has taken (Linux drops that signal since 6.13).
static void id_again(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    timer_t timer;
    struct itimerspec once = {.it_value = {0, 1000000}};
    struct timespec limit = {5, 0};
    for (int value = 1; value <= 2; value++) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = value};
        CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &once, NULL) == 0);
        struct itimerspec left;
        do CHECK(timer_gettime(timer, &left) == 0);
        while (left.it_value.tv_nsec);
        conf_sleep_ms(5);
        if (value == 1) CHECK(timer_delete(timer) == 0);
    }
    siginfo_t info = {0};
    do info.si_value.sival_int = 0;
    while (sigtimedwait(&set, &info, &limit) == SIGRTMIN && info.si_value.sival_int == 1);
    printf("the second timer's signal: %d\n", info.si_value.sival_int);
    CHECK(timer_delete(timer) == 0);
}

// execve(2) removes timers, and their signals with them.
static void timer_and_exec(const char *self)
{
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGRTMIN);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
        struct itimerspec once = {.it_value = {0, 1000000}};
        timer_t timer;
        CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &once, NULL) == 0);
        raise(SIGUSR1);
        do sigpending(&set);
        while (!sigismember(&set, SIGRTMIN));
        execl(self, self, "pending", NULL);
        _exit(127);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    printf("pending after execve: %d\n", WEXITSTATUS(status));
}

// A limit of processor time that comes while a process ends, and when it has ended.
static void limit_at_the_end(void)
{
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        struct rlimit limit = {(rlim_t)(i % 2), RLIM_INFINITY};
        for (int k = 0; k < 20; k++)
            prlimit(pid, RLIMIT_CPU, &limit, NULL);
        if (i % 3 == 0) conf_sleep_ms(2);
        CHECK(waitpid(pid, NULL, 0) == pid);
    }
    puts("all of them waited for");
}

// A process that is a new one each time somebody looks: kill(2) of its group catches it.
static void nobody_escapes(void)
{
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, 0);
            while (fork() == 0) {
            }
            _exit(0);
        }
        setpgid(pid, pid);
        conf_sleep_ms(2);
        kill(-pid, SIGKILL);
        while (waitpid(-1, NULL, 0) > 0) {
        }
        CHECK(errno == ECHILD && kill(-pid, 0) == -1 && errno == ESRCH);
    }
    puts("nobody escapes");
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "pending")) {
        sigset_t set;
        CHECK(sigpending(&set) == 0);
        return sigismember(&set, SIGRTMIN) * 2 + sigismember(&set, SIGUSR1);
    }
    nothing_waited_for();
    schedule();
    disarmed();
    seals_on_execution();
    splice_to_itself();
    packets();
    waiting_writer();
    shared_signal(SIGRTMIN);
    shared_signal(SIGUSR1);
    exclusive();
    faults();
    id_again();
    timer_and_exec(argv[0]);
    limit_at_the_end();
    nobody_escapes();
    return conf_failures != 0;
}
