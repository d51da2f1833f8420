// Signal-driven I/O: O_ASYNC, F_SETOWN, F_SETSIG and FIOASYNC on pipes, sockets, terminals and inotify, and on files that have none.
#include "conf.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>

extern int grantpt(int), unlockpt(int), posix_openpt(int), ptsname_r(int, char *, size_t);
static volatile int got, code, from, band_in, band_out, thread;

static void on_io(int s, siginfo_t *info, void *context)
{
    (void)s;
    (void)context;
    code = info->si_code;
    from = info->si_fd;
    band_in = (info->si_band & 1) != 0;
    band_out = (info->si_band & 4) != 0;
    thread = (int)syscall(SYS_gettid);
    got++;
}

static const char *code_name(void)
{
    static const char *const names[] = {"none", "POLL_IN", "POLL_OUT", "POLL_MSG", "POLL_ERR", "POLL_PRI", "POLL_HUP"};
    return code == SI_KERNEL ? "SI_KERNEL" : code >= 0 && code < 7 ? names[code] : "other";
}

// What has come since the last call, from this descriptor. Natively a terminal's bytes come a moment later.
static void told(const char *what, int fd)
{
    for (int i = 0; i < 3000 && got == 0; i++)
        conf_sleep_ms(1);
    printf("%s: %s %s%s%s\n", what, got ? code_name() : "nothing", code == SI_KERNEL ? "" : from == fd ? "here" : "elsewhere", band_in ? " in" : "",
           band_out ? " out" : "");
    got = code = from = band_in = band_out = 0;
}

static void quiet(const char *what)
{
    conf_sleep_ms(20);
    printf("%s: %s\n", what, got ? code_name() : "nothing");
    got = 0;
}

static void async(int fd, int signo, int on)
{
    CHECK(fcntl(fd, F_SETOWN, getpid()) == 0);
    CHECK(fcntl(fd, F_SETSIG, signo) == 0);
    int flags = fcntl(fd, F_GETFL);
    CHECK(fcntl(fd, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC) == 0);
    CHECK(((fcntl(fd, F_GETFL) & O_ASYNC) != 0) == on);
}

static void pipes(void)
{
    int p[2];
    char b[65536] = "";
    CHECK(pipe2(p, O_NONBLOCK) == 0);
    async(p[0], 0, 1);
    CHECK(write(p[1], "x", 1) == 1);
    told("pipe, SIGIO", p[0]);
    async(p[0], SIGRTMIN, 1);
    CHECK(write(p[1], "x", 1) == 1);
    told("pipe, SIGRTMIN", p[0]);
    int copy = dup(p[0]);
    async(p[0], SIGRTMIN, 0);
    CHECK(write(p[1], "x", 1) == 1);
    quiet("off");
    async(copy, SIGRTMIN, 1);
    CHECK(write(p[1], "x", 1) == 1);
    told("through a copy", copy);
    close(copy);
    CHECK(read(p[0], b, sizeof b) == 4);
    while (write(p[1], b, sizeof b) > 0) {
    }
    quiet("filled"), got = 0;
    async(p[1], SIGRTMIN, 1);
    while (read(p[0], b, sizeof b) > 0) {
    }
    told("room", p[1]);
    async(p[1], SIGRTMIN, 0);
    async(p[0], SIGRTMIN, 1);
    close(p[1]);
    told("last writer has gone", p[0]);
    close(p[0]);
    CHECK(pipe(p) == 0);
    async(p[1], SIGRTMIN, 1);
    close(p[0]);
    told("last reader has gone", p[1]);
    close(p[1]);
    // No owner, no signal.
    CHECK(pipe(p) == 0);
    CHECK(fcntl(p[0], F_SETFL, O_ASYNC) == 0);
    CHECK(write(p[1], "x", 1) == 1);
    quiet("nobody");
    int on = 1;
    RES(ioctl(p[0], FIOASYNC, &on));
    CHECK(fcntl(p[0], F_SETOWN, getpid()) == 0);
    CHECK(write(p[1], "x", 1) == 1);
    told("FIOASYNC", p[0]);
    on = 0;
    RES(ioctl(p[0], FIOASYNC, &on));
    CHECK((fcntl(p[0], F_GETFL) & O_ASYNC) == 0);
    CHECK(write(p[1], "x", 1) == 1);
    quiet("FIOASYNC off");
    close(p[0]);
    close(p[1]);
}

static void sockets(int type, const char *name)
{
    int s[2];
    char b[16], what[64];
    CHECK(socketpair(AF_UNIX, type, 0, s) == 0);
    async(s[0], SIGRTMIN, 1);
    CHECK(send(s[1], "x", 1, 0) == 1);
    snprintf(what, sizeof what, "%s, data", name);
    told(what, s[0]);
    CHECK(recv(s[0], b, sizeof b, 0) == 1);
    got = 0;
    CHECK(shutdown(s[1], SHUT_WR) == 0);
    snprintf(what, sizeof what, "%s, shutdown", name);
    if (type != SOCK_DGRAM)
        told(what, s[0]);
    got = 0;
    close(s[1]);
    snprintf(what, sizeof what, "%s, close", name);
    if (type != SOCK_DGRAM)
        told(what, s[0]);
    got = 0;
    close(s[0]);
}

static void terminals(void)
{
    char name[64];
    int m = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0 && ptsname_r(m, name, sizeof name) == 0);
    int s = open(name, O_RDWR | O_NOCTTY);
    CHECK(s >= 0);
    async(s, SIGRTMIN, 1);
    CHECK(write(m, "line\n", 5) == 5);
    told("terminal, line", s);
    async(s, SIGRTMIN, 0);
    got = 0;
    close(s);
    close(m);
}

static void *worker(void *arg)
{
    *(volatile int *)arg = (int)syscall(SYS_gettid);
    for (int i = 0; i < 3000 && got == 0; i++)
        conf_sleep_ms(1);
    return NULL;
}

static void one_thread(void)
{
    int p[2];
    volatile int tid = 0;
    pthread_t t;
    CHECK(pipe(p) == 0);
    pthread_create(&t, NULL, worker, (void *)&tid);
    while (tid == 0)
        conf_sleep_ms(1);
    struct f_owner_ex owner = {F_OWNER_TID, tid};
    RES(fcntl(p[0], F_SETOWN_EX, &owner));
    CHECK(fcntl(p[0], F_SETSIG, SIGRTMIN) == 0 && fcntl(p[0], F_SETFL, O_ASYNC) == 0);
    CHECK(write(p[1], "x", 1) == 1);
    pthread_join(t, NULL);
    printf("told the thread: %d\n", thread == tid);
    got = 0;
    owner.pid = -1;
    CHECK(fcntl(p[0], F_GETOWN_EX, &owner) == 0);
    printf("gone: %d\n", owner.pid);
    close(p[0]);
    close(p[1]);
}

static void others(void)
{
    int in = inotify_init1(IN_NONBLOCK);
    CHECK(in >= 0 && inotify_add_watch(in, ".", IN_CREATE) >= 0);
    async(in, SIGRTMIN, 1);
    close(open("made", O_CREAT | O_WRONLY, 0600));
    told("inotify", in);
    close(in);
    struct {
        const char *name;
        int fd;
    } none[] = {{"file", open("made", O_RDWR)}, {"directory", open(".", O_RDONLY)}, {"eventfd", eventfd(0, 0)}, {"epoll", epoll_create1(0)},
                {"/dev/null", open("/dev/null", O_RDWR)}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        int on = 1, fd = none[i].fd;
        CHECK(fd >= 0);
        RES(fcntl(fd, F_SETFL, O_ASYNC));
        printf("%s: %s\n", none[i].name, fcntl(fd, F_GETFL) & O_ASYNC ? "on" : "stays off");
        RES(ioctl(fd, FIOASYNC, &on));
        close(fd);
    }
    unlink("made");
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    struct sigaction sa = {.sa_sigaction = on_io, .sa_flags = SA_SIGINFO | SA_RESTART};
    CHECK(sigaction(SIGIO, &sa, NULL) == 0 && sigaction(SIGRTMIN, &sa, NULL) == 0);
    alarm(60);
    pipes();
    sockets(SOCK_STREAM, "stream");
    sockets(SOCK_SEQPACKET, "seqpacket");
    sockets(SOCK_DGRAM, "datagram");
    terminals();
    one_thread();
    others();
    return conf_end();
}
