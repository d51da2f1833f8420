// Pipes, eventfd, signalfd, poll, select and epoll between the threads of one process.
#include "conf.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int p[2];

static void pipes(void)
{
    char buf[100000] = {0};
    CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
    RES(fcntl(p[0], F_GETFD));
    RES(read(p[0], buf, 10));
    RES(write(p[1], "abcdef", 6));
    int n = 0;
    RES(ioctl(p[0], FIONREAD, &n));
    RES(n);
    RES(read(p[0], buf, 4));
    RES(read(p[0], buf, 10));
    RES(fcntl(p[1], F_GETPIPE_SZ));
    RES(write(p[1], buf, sizeof buf));
    RES(write(p[1], buf, 10));
    RES(read(p[0], buf, sizeof buf));
    RES(fcntl(p[1], F_SETPIPE_SZ, 1 << 20));
    RES(write(p[1], buf, sizeof buf));
    RES(lseek(p[0], 0, SEEK_SET));
    RES(pread(p[0], buf, 1, 0));
    RES(write(p[0], buf, 1));
    RES(read(p[1], buf, 1));
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    RES(write(p[1], buf, 1));
    close(p[1]);
    CHECK(pipe(p) == 0);
    RES(write(p[1], "xy", 2));
    close(p[1]);
    RES(read(p[0], buf, 10));
    RES(read(p[0], buf, 10));
    close(p[0]);
    RES(pipe2(p, 0x7777));
}

static void *pump(void *arg)
{
    unsigned char buf[5000];
    unsigned x = 1;
    (void)arg;
    for (int i = 0; i < 400; i++) {
        for (size_t k = 0; k < sizeof buf; k++)
            buf[k] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
        size_t done = 0;
        while (done < sizeof buf) {
            ssize_t n = write(p[1], buf + done, sizeof buf - done);
            if (n < 0)
                return (void *)1;
            done += (size_t)n;
        }
    }
    close(p[1]);
    return NULL;
}

// /proc/self/fd opens a pipe again, and waits for nobody.
static void pipe_again(void)
{
    char name[64], text[16];
    CHECK(pipe(p) == 0 && write(p[1], "left", 4) == 4);
    close(p[1]);
    snprintf(name, sizeof name, "/proc/self/fd/%d", p[0]);
    int again = open(name, O_RDONLY);
    CHECK(again >= 0);
    RES(read(again, text, 16));
    RES(read(p[0], text, 16));
    close(p[0]);
    RES(read(again, text, 16));
    close(again);
    CHECK(pipe(p) == 0);
    close(p[0]);
    snprintf(name, sizeof name, "/proc/self/fd/%d", p[1]);
    again = open(name, O_WRONLY | O_NONBLOCK);
    CHECK(again >= 0);
    signal(SIGPIPE, SIG_IGN);
    RES(write(again, text, 1));
    snprintf(name, sizeof name, "/proc/self/fd/%d", again);
    int back = open(name, O_RDONLY); // the other direction
    CHECK(back >= 0);
    RES(write(p[1], "round", 5));
    RES(read(back, text, 16));
    close(again);
    close(back);
    close(p[1]);
}

static void stream(void)
{
    pthread_t t;
    unsigned char buf[3333];
    unsigned long sum = 0, total = 0;
    CHECK(pipe(p) == 0);
    pthread_create(&t, NULL, pump, NULL);
    for (ssize_t n; (n = read(p[0], buf, sizeof buf)) > 0; total += (unsigned long)n)
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 31 + buf[i];
    pthread_join(t, NULL);
    printf("%lu bytes, checksum %lx\n", total, sum);
    close(p[0]);
}

static void event_counters(void)
{
    uint64_t v = 5;
    int fd;
    OK(fd = eventfd(3, EFD_NONBLOCK));
    RES(read(fd, &v, 8));
    RES(v);
    RES(read(fd, &v, 8));
    RES(write(fd, &v, 8));
    v = ~0ull;
    RES(write(fd, &v, 8));
    v = ~0ull - 1;
    RES(write(fd, &v, 8));
    RES(write(fd, &v, 4));
    close(fd);
    OK(fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    RES(read(fd, &v, 8));
    RES(v);
    RES(read(fd, &v, 8));
    RES(read(fd, &v, 8));
    close(fd);
    RES(eventfd(0, 0x777));
}

static void *write_later(void *arg)
{
    conf_sleep_ms(30);
    return (void *)(long)write((int)(long)arg, "l", 1);
}

static void polling(void)
{
    pthread_t t;
    char c;
    CHECK(pipe(p) == 0);
    struct pollfd f[3] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {-1, POLLIN, 7}};
    RES(poll(f, 3, 0));
    printf("%x %x %x\n", f[0].revents, f[1].revents, f[2].revents);
    RES(poll(f, 1, 20));
    pthread_create(&t, NULL, write_later, (void *)(long)p[1]);
    RES(poll(f, 1, -1));
    printf("%x\n", f[0].revents);
    pthread_join(t, NULL);
    RES(read(p[0], &c, 1));
    close(p[1]);
    RES(poll(f, 2, 0));
    printf("%x %x\n", f[0].revents, f[1].revents);
    close(p[0]);
    CHECK(pipe(p) == 0);
    close(p[0]);
    f[0].fd = p[1];
    f[0].events = POLLOUT;
    RES(poll(f, 1, 0));
    printf("%x\n", f[0].revents);
    close(p[1]);
    struct timespec ts = {0, 10000000}, bad = {0, 2000000000};
    RES(ppoll(NULL, 0, &ts, NULL));
    RES(ppoll(NULL, 0, &bad, NULL));
    fd_set r, w;
    CHECK(pipe(p) == 0);
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(p[0], &r);
    FD_SET(p[1], &w);
    RES(select(p[1] + 1, &r, &w, NULL, NULL));
    printf("%d %d\n", FD_ISSET(p[0], &r), FD_ISSET(p[1], &w));
    struct timeval tv = {0, 10000};
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    RES(select(p[0] + 1, &r, NULL, NULL, &tv));
    RES(FD_ISSET(p[0], &r));
    RES(select(-1, NULL, NULL, NULL, &tv));
    FD_SET(900, &r);
    RES(select(901, &r, NULL, NULL, &tv));
    close(p[0]);
    close(p[1]);
    int file = open("/dev/null", O_RDWR);
    f[0] = (struct pollfd){file, POLLIN | POLLOUT, 0};
    RES(poll(f, 1, 0));
    printf("%x\n", f[0].revents);
    close(file);
}

static void epoll(void)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 11}, got[4];
    pthread_t t;
    char c;
    int e;
    OK(e = epoll_create1(EPOLL_CLOEXEC));
    RES(epoll_create(0));
    RES(epoll_create1(3));
    CHECK(pipe(p) == 0);
    RES(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    RES(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    RES(epoll_ctl(e, EPOLL_CTL_MOD, p[1], &ev));
    RES(epoll_ctl(e, EPOLL_CTL_DEL, p[1], NULL));
    RES(epoll_ctl(e, EPOLL_CTL_ADD, e, &ev));
    RES(epoll_ctl(e, EPOLL_CTL_ADD, 999, &ev));
    RES(epoll_ctl(e, 9, p[0], &ev));
    RES(epoll_wait(e, got, 4, 0));
    RES(epoll_wait(e, got, 0, 0));
    RES(epoll_wait(p[0], got, 1, 0));
    RES(write(p[1], "ab", 2));
    RES(epoll_wait(e, got, 4, -1));
    printf("%x %lu\n", got[0].events, (unsigned long)got[0].data.u64);
    RES(epoll_wait(e, got, 4, 0)); // level triggered: again
    ev.events = EPOLLIN | EPOLLET;
    RES(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
    RES(epoll_wait(e, got, 4, 0));
    RES(epoll_wait(e, got, 4, 0)); // edge triggered: not again
    RES(write(p[1], "c", 1));
    RES(epoll_wait(e, got, 4, 0));
    ev.events = EPOLLIN | EPOLLONESHOT;
    RES(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
    RES(epoll_wait(e, got, 4, 0));
    RES(epoll_wait(e, got, 4, 0));
    char rest[8];
    RES(read(p[0], rest, 8));
    ev.events = EPOLLIN;
    RES(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
    pthread_create(&t, NULL, write_later, (void *)(long)p[1]);
    RES(epoll_wait(e, got, 4, 5000));
    pthread_join(t, NULL);
    RES(read(p[0], &c, 1));
    int outer = epoll_create1(0);
    ev.data.u64 = 22;
    RES(epoll_ctl(outer, EPOLL_CTL_ADD, e, &ev)); // nested
    RES(epoll_wait(outer, got, 4, 0));
    RES(write(p[1], "n", 1));
    RES(epoll_wait(outer, got, 4, 0));
    RES(got[0].data.u64);
    RES(epoll_ctl(e, EPOLL_CTL_ADD, outer, &ev));
    RES(read(p[0], &c, 1));
    close(p[1]);
    RES(epoll_wait(e, got, 4, 0));
    printf("%x\n", got[0].events);
    close(p[0]);
    RES(epoll_wait(e, got, 4, 10));
    close(outer);
    close(e);
}

// All that is ready in one call, each event once; more than the kernel may handle in one go.
static void epoll_many(void)
{
    enum { count = 200 };
    static struct epoll_event got[count + 10];
    int e = epoll_create1(0), fd[count];
    for (int i = 0; i < count; i++) {
        struct epoll_event ev = {.events = EPOLLIN | (i % 2 ? EPOLLET : 0), .data.u64 = i};
        fd[i] = eventfd(1, 0);
        CHECK(epoll_ctl(e, EPOLL_CTL_ADD, fd[i], &ev) == 0);
    }
    RES(epoll_wait(e, got, 70, 0));
    RES(epoll_wait(e, got, count + 10, 0));
    int seen[count] = {0}, twice = 0;
    for (int i = 0; i < count - 35; i++)
        twice += seen[got[i].data.u64]++;
    RES(twice);
    RES(epoll_wait(e, got, count + 10, 0)); // the level-triggered half
    for (int i = 0; i < count; i++)
        close(fd[i]);
    close(e);
}

static int shared_epoll;
static pthread_barrier_t both;

static void *take_one(void *unused)
{
    struct epoll_event got;
    int n = epoll_wait(shared_epoll, &got, 1, 10000);
    CHECK(n == 1);
    pthread_barrier_wait(&both); // does not come back before the other has its event
    return unused;
}

// Two events at once are for two sleepers, even if each takes one event at a time and does not return soon.
static void epoll_two_sleepers(void)
{
    shared_epoll = epoll_create1(0);
    pthread_barrier_init(&both, NULL, 3);
    for (int round = 0; round < 20; round++) {
        pthread_t t[2];
        int fd[2];
        for (int i = 0; i < 2; i++) {
            struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = i};
            fd[i] = eventfd(0, 0);
            CHECK(epoll_ctl(shared_epoll, EPOLL_CTL_ADD, fd[i], &ev) == 0);
        }
        for (int i = 0; i < 2; i++)
            pthread_create(&t[i], NULL, take_one, NULL);
        usleep(round % 4 * 500);
        for (int i = 0; i < 2; i++)
            CHECK(eventfd_write(fd[i], 1) == 0);
        pthread_barrier_wait(&both);
        for (int i = 0; i < 2; i++) {
            pthread_join(t[i], NULL);
            close(fd[i]);
        }
    }
    close(shared_epoll);
}

static void signal_descriptor(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    sigprocmask(SIG_BLOCK, &s, NULL);
    int fd;
    OK(fd = signalfd(-1, &s, SFD_NONBLOCK));
    if (fd < 0)
        return;
    struct signalfd_siginfo info;
    RES(read(fd, &info, sizeof info));
    raise(SIGUSR1);
    struct pollfd f = {fd, POLLIN, 0};
    RES(poll(&f, 1, 0));
    RES(read(fd, &info, sizeof info));
    RES(info.ssi_signo);
    RES(read(fd, &info, 5));
    close(fd);
}

int main(void)
{
    pipes();
    pipe_again();
    stream();
    event_counters();
    polling();
    epoll();
    epoll_many();
    epoll_two_sleepers();
    signal_descriptor();
    return conf_end();
}
