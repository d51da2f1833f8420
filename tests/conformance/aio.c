// Linux AIO by its calls: io_setup, io_submit, io_getevents, io_pgetevents, io_cancel, io_destroy. POSIX's aio_* is libc's own and has threads.
#include "conf.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#ifndef __NR_io_pgetevents
#define __NR_io_pgetevents 333
#endif

static long io_setup(unsigned n, aio_context_t *c) { return syscall(__NR_io_setup, n, c); }
static long io_destroy(aio_context_t c) { return syscall(__NR_io_destroy, c); }
static long io_submit(aio_context_t c, long n, struct iocb **b) { return syscall(__NR_io_submit, c, n, b); }
static long io_cancel(aio_context_t c, struct iocb *b, struct io_event *e) { return syscall(__NR_io_cancel, c, b, e); }
static long io_getevents(aio_context_t c, long least, long most, struct io_event *e, struct timespec *t)
{
    return syscall(__NR_io_getevents, c, least, most, e, t);
}

static const char *error(long result)
{
    static char text[64];
    if (result < 0)
        snprintf(text, sizeof text, "%s", strerrorname_np(errno));
    else
        snprintf(text, sizeof text, "%ld", result);
    return text;
}
#define SAY(what, call) (errno = 0, printf("%s: %s\n", what, error(call)))

static struct iocb block(int opcode, int fd, void *buffer, size_t size, long long offset, unsigned long data)
{
    struct iocb b = {.aio_data = data, .aio_lio_opcode = (unsigned short)opcode, .aio_fildes = (unsigned)fd, .aio_buf = (unsigned long)buffer,
                     .aio_nbytes = size, .aio_offset = offset};
    return b;
}

static struct timespec none, second = {.tv_sec = 1};
static aio_context_t context;

// Submits one and says what became of it.
static void one(const char *what, struct iocb b)
{
    struct iocb *list[] = {&b};
    struct io_event e;
    errno = 0;
    long n = io_submit(context, 1, list);
    printf("%s: %s", what, error(n));
    if (n == 1) {
        CHECK(io_getevents(context, 1, 1, &e, &second) == 1);
        CHECK(e.obj == (unsigned long)&b && e.data == b.aio_data && e.res2 == 0);
        printf(", event %s%lld", e.res < 0 ? strerrorname_np((int)-e.res) : "", e.res < 0 ? 0LL : (long long)e.res);
    }
    printf("\n");
}

static void setup(void)
{
    aio_context_t c = 0, d = 0;
    SAY("setup of none", io_setup(0, &c));
    SAY("setup of too many", io_setup(1u << 30, &c));
    SAY("setup at null", io_setup(1, NULL));
    c = 1;
    SAY("setup, not zero", io_setup(1, &c));
    c = 0;
    SAY("setup", io_setup(8, &c));
    SAY("a second one", io_setup(1, &d));
    CHECK(c != 0 && d != 0 && c != d);
    SAY("destroy", io_destroy(c));
    SAY("destroy again", io_destroy(c));
    SAY("destroy 0", io_destroy(0));
    SAY("submit there", io_submit(c, 0, NULL));
    SAY("getevents there", io_getevents(c, 0, 0, NULL, &none));
    SAY("destroy the other", io_destroy(d));
}

static void transfers(const char *path)
{
    char data[64], back[64] = "";
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), readonly = open(path, O_RDONLY), writeonly = open(path, O_WRONLY), folder = open("/", O_RDONLY);
    CHECK(fd >= 0 && readonly >= 0 && writeonly >= 0 && folder >= 0);
    memset(data, 'a', sizeof data);
    one("pwrite", block(IOCB_CMD_PWRITE, fd, data, 40, 10, 1));
    one("pread", block(IOCB_CMD_PREAD, fd, back, 64, 20, 2));
    CHECK(!memcmp(back, data, 30) && back[30] == 0);
    struct iovec v[2] = {{back, 5}, {back + 32, 7}};
    one("preadv", block(IOCB_CMD_PREADV, fd, v, 2, 10, 3));
    one("pwritev", block(IOCB_CMD_PWRITEV, fd, v, 2, 100, 4));
    one("at the end", block(IOCB_CMD_PREAD, fd, back, 64, 112, 5));
    one("fsync", block(IOCB_CMD_FSYNC, fd, NULL, 0, 0, 6));
    one("fdatasync", block(IOCB_CMD_FDSYNC, fd, NULL, 0, 0, 7));
    one("fsync with a size", block(IOCB_CMD_FSYNC, fd, NULL, 1, 0, 7));
    one("noop", block(IOCB_CMD_NOOP, fd, NULL, 0, 0, 8));
    one("no such command", block(77, fd, NULL, 0, 0, 8));
    one("bad descriptor", block(IOCB_CMD_PREAD, 999, back, 1, 0, 8));
    one("read of a file for writing", block(IOCB_CMD_PREAD, writeonly, back, 1, 0, 8));
    one("write of a file for reading", block(IOCB_CMD_PWRITE, readonly, data, 1, 0, 8));
    one("negative offset", block(IOCB_CMD_PREAD, fd, back, 1, -1, 8));
    one("kernel address", block(IOCB_CMD_PREAD, fd, (void *)-4096L, 1, 0, 8));
    one("bad address", block(IOCB_CMD_PREAD, fd, (void *)8, 1, 10, 8));
    one("negative size", block(IOCB_CMD_PREAD, fd, back, (size_t)-1, 0, 8));
    one("folder", block(IOCB_CMD_PREAD, folder, back, 1, 0, 8));
    struct iocb b = block(IOCB_CMD_PREAD, fd, back, 1, 10, 9);
    b.aio_reserved2 = 1;
    one("reserved word", b);
    b.aio_reserved2 = 0, b.aio_rw_flags = 1u << 20;
    one("unknown flag", b);
    close(fd), close(readonly), close(writeonly), close(folder);
}

static void streams(void)
{
    int p[2], e = eventfd(3, 0);
    char back[16];
    unsigned long long count = 0;
    CHECK(pipe(p) == 0);
    one("write to a pipe", block(IOCB_CMD_PWRITE, p[1], "hello", 5, 0, 1));
    one("read of a pipe", block(IOCB_CMD_PREAD, p[0], back, 16, 0, 2));
    one("fsync of a pipe", block(IOCB_CMD_FSYNC, p[0], NULL, 0, 0, 2));
    CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
    one("read of an empty pipe", block(IOCB_CMD_PREAD, p[0], back, 16, 0, 3));
    one("read of an eventfd", block(IOCB_CMD_PREAD, e, &count, 8, 0, 4));
    CHECK(count == 3);
    struct iocb b = block(IOCB_CMD_PWRITE, p[1], "x", 1, 0, 5);
    b.aio_flags = IOCB_FLAG_RESFD, b.aio_resfd = (unsigned)e;
    one("with an eventfd", b);
    CHECK(read(e, &count, 8) == 8 && count == 1);
    b.aio_resfd = (unsigned)p[0];
    one("with a pipe as eventfd", b);
    b.aio_resfd = 999;
    one("with no eventfd", b);
    close(p[0]), close(p[1]), close(e);
}

static void lists(const char *path)
{
    char text[8][4];
    struct iocb blocks[8], *list[9];
    struct io_event events[8];
    int fd = open(path, O_RDWR);
    for (int i = 0; i < 8; i++)
        blocks[i] = block(i < 6 ? IOCB_CMD_PREAD : IOCB_CMD_NOOP, fd, text[i], 4, 4 * i, 100 + i), list[i] = &blocks[i];
    SAY("six are good", io_submit(context, 8, list));
    SAY("fetch two", io_getevents(context, 1, 2, events, NULL));
    CHECK(events[0].data == 100 && events[1].data == 101);
    SAY("fetch at a bad address", io_getevents(context, 1, 2, (void *)8, NULL));
    SAY("fetch the rest", io_getevents(context, 0, 8, events, &none));
    CHECK(events[0].data == 102 && events[3].data == 105);
    SAY("nothing left", io_getevents(context, 1, 8, events, &none));
    SAY("least above most", io_getevents(context, 3, 2, events, &none));
    SAY("least below zero", io_getevents(context, -1, 2, events, &none));
    SAY("bad time", io_getevents(context, 1, 2, events, (void *)8));
    SAY("count below zero", io_submit(context, -1, list));
    SAY("bad list", io_submit(context, 1, (void *)8));
    list[0] = (void *)8;
    SAY("bad block", io_submit(context, 1, list));
    list[0] = &blocks[0], list[1] = (void *)8;
    SAY("good, then bad block", io_submit(context, 2, list));
    SAY("its event", io_getevents(context, 1, 8, events, &second));
    // As many as fit: far more than were asked for.
    long accepted = 0;
    list[0] = &blocks[0];
    while (accepted < 100000 && io_submit(context, 1, list) == 1)
        accepted++;
    printf("full: %s\n", strerrorname_np(errno));
    CHECK(accepted >= 16 && accepted < 100000);
    while (accepted > 0) {
        long n = io_getevents(context, 1, 8, events, &second);
        CHECK(n > 0);
        accepted -= n;
    }
    struct timespec before, after, wait = {.tv_nsec = 30000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    SAY("wait", io_getevents(context, 1, 8, events, &wait));
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 29);
    close(fd);
}

static struct iocb poll_block(int fd, unsigned events, unsigned long data) { return block(IOCB_CMD_POLL, fd, (void *)(unsigned long)events, 0, 0, data); }

static void readiness(const char *path)
{
    int p[2], e = eventfd(0, EFD_NONBLOCK), fd = open(path, O_RDWR);
    unsigned long long count;
    struct io_event got;
    CHECK(pipe(p) == 0);
    one("poll: ready", poll_block(p[1], POLLOUT, 1));
    one("poll: file", poll_block(fd, POLLIN, 1));
    one("poll: many bits", poll_block(p[0], 1u << 20, 1));
    struct iocb bad = poll_block(p[0], POLLIN, 1);
    bad.aio_nbytes = 1;
    one("poll: with a size", bad);
    struct iocb wait = poll_block(p[0], POLLIN, 7), *list[] = {&wait};
    wait.aio_flags = IOCB_FLAG_RESFD, wait.aio_resfd = (unsigned)e;
    SAY("poll: wait", io_submit(context, 1, list));
    SAY("poll: not yet", io_getevents(context, 1, 1, &got, &none));
    CHECK(read(e, &count, 8) == -1 && errno == EAGAIN);
    pid_t pid = fork();
    if (pid == 0) {
        struct iocb own = poll_block(p[1], POLLOUT, 8), *mine[] = {&own};
        _exit(io_submit(context, 1, mine) == -1 && errno == EINVAL && poll(NULL, 0, 20) == 0 && write(p[1], "x", 1) == 1 ? 0 : 1);
    }
    SAY("poll: event", io_getevents(context, 1, 1, &got, NULL));
    printf("poll: data %llu, bits %lld\n", (unsigned long long)got.data, (long long)got.res & POLLIN);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    struct pollfd told = {e, POLLIN, 0};
    CHECK(poll(&told, 1, 1000) == 1 && read(e, &count, 8) == 8 && count == 1);
    CHECK(read(p[0], &count, 8) == 1);
    SAY("poll: to be cancelled", io_submit(context, 1, list));
    SAY("cancel", io_cancel(context, &wait, &got));
    CHECK(io_getevents(context, 1, 1, &got, &second) == 1 && got.obj == (unsigned long)&wait);
    printf("cancelled: %lld\n", (long long)got.res);
    SAY("cancel again", io_cancel(context, &wait, &got));
    SAY("cancel at a bad address", io_cancel(context, (void *)8, &got));
    struct iocb hang = poll_block(p[0], POLLIN, 9), *last[] = {&hang};
    SAY("poll: the writer goes", io_submit(context, 1, last));
    close(p[1]);
    SAY("poll: event", io_getevents(context, 1, 1, &got, &second));
    printf("poll: bits %lld\n", (long long)got.res);
    close(p[0]), close(e), close(fd);
}

// A poll request in front of them takes no wake-up from those who wait to take a connection.
static void beside_takers(void)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), ready[2];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t size = sizeof name;
    CHECK(pipe(ready) == 0 && bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0 && listen(listener, 4) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&name, &size) == 0);
    for (int accepts = 0; accepts < 2; accepts++) {
        struct iocb wait = poll_block(listener, POLLIN, 11), *list[] = {&wait};
        struct io_event got;
        CHECK(io_submit(context, 1, list) == 1);
        pid_t child = fork();
        if (child == 0) {
            struct epoll_event event = {EPOLLIN | EPOLLEXCLUSIVE, {.fd = listener}};
            int e = epoll_create1(0), ok = epoll_ctl(e, EPOLL_CTL_ADD, listener, &event) == 0 && write(ready[1], "x", 1) == 1;
            _exit(ok && (accepts ? accept(listener, NULL, NULL) >= 0 : epoll_wait(e, &event, 1, 20000) == 1) ? 0 : 1);
        }
        char byte;
        CHECK(read(ready[0], &byte, 1) == 1);
        conf_await_sleep_of(child);
        int client = socket(AF_UNIX, SOCK_STREAM, 0), status = -1;
        CHECK(connect(client, (struct sockaddr *)&name, size) == 0);
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        if (accepts) { // the request may have looked when the connection was taken already
            long cancelled = io_cancel(context, &wait, &got);
            CHECK(cancelled == 0 || errno == EINPROGRESS || errno == EINVAL);
        }
        CHECK(io_getevents(context, 1, 1, &got, &second) == 1 && got.data == 11);
        if (!accepts)
            CHECK(close(accept(listener, NULL, NULL)) == 0);
        close(client);
    }
    puts("poll requests beside takers");
    close(listener), close(ready[0]), close(ready[1]);
}

static void on_alarm(int signo) { (void)signo; }

static void signals(void)
{
    struct sigaction act = {.sa_handler = on_alarm};
    struct io_event e;
    sigaction(SIGALRM, &act, NULL);
    struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    SAY("a signal", io_getevents(context, 1, 1, &e, NULL));
    sigset_t blocked, empty;
    sigemptyset(&empty), sigemptyset(&blocked), sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    struct { sigset_t *set; size_t size; } mask = {&empty, 8}, wrong = {&empty, 4};
    raise(SIGALRM);
    SAY("pgetevents: a signal", syscall(__NR_io_pgetevents, context, 1L, 1L, &e, NULL, &mask));
    SAY("pgetevents: size", syscall(__NR_io_pgetevents, context, 1L, 1L, &e, &none, &wrong));
    SAY("pgetevents: nothing", syscall(__NR_io_pgetevents, context, 1L, 1L, &e, &none, NULL));
    sigset_t now;
    sigprocmask(SIG_UNBLOCK, &blocked, &now);
    CHECK(sigismember(&now, SIGALRM));
}

int main(int argc, char **argv)
{
    char path[256];
    snprintf(path, sizeof path, "%s/aio", argc > 1 ? argv[1] : "/tmp");
    setup();
    CHECK(io_setup(4, &context) == 0);
    transfers(path);
    streams();
    lists(path);
    readiness(path);
    beside_takers();
    signals();
    // With a request under way.
    int p[2];
    CHECK(pipe(p) == 0);
    struct iocb wait = poll_block(p[0], POLLIN, 7), *list[] = {&wait};
    CHECK(io_submit(context, 1, list) == 1);
    SAY("destroy", io_destroy(context));
    CHECK(write(p[1], "x", 1) == 1);
    context = 0;
    CHECK(io_setup(4, &context) == 0 && io_submit(context, 1, list) == 1);
    unlink(path);
    return conf_end();
}
