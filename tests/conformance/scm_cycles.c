// Descriptors that only Unix sockets in flight hold: cycles are found and chains fall without end. Each holds the writing end of a pipe, so
// that its reader sees the end once it is gone.
#include "conf.h"
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/un.h>

static void give(int by, const int *fds, int count)
{
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    char control[CMSG_SPACE(sizeof(int) * 8)];
    memset(control, 0, sizeof control);
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    CHECK(sendmsg(by, &msg, 0) == 1);
}

static int take(int from)
{
    char byte;
    struct iovec iov = {&byte, 1};
    char control[CMSG_SPACE(sizeof(int) * 8)];
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK(recvmsg(from, &msg, 0) == 1);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fd = -1;
    CHECK(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)));
    if (c)
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static void pair(int type, int fds[2])
{
    CHECK(socketpair(AF_UNIX, type, 0, fds) == 0);
}

// Linux looks for garbage when a Unix socket closes, and does it in a worker.
static void collected(const char *what, int reader)
{
    int gone = 0;
    for (int i = 0; i < 500 && !gone; i++) {
        int fds[2];
        pair(SOCK_STREAM, fds);
        close(fds[0]);
        close(fds[1]);
        struct pollfd p = {reader, POLLIN, 0};
        gone = poll(&p, 1, 10) == 1 && (p.revents & POLLHUP);
    }
    CHECK(gone);
    printf("%s: %s\n", what, gone ? "collected" : "still there");
    close(reader);
}

static void itself(int type, const char *what)
{
    int p[2], s[2];
    CHECK(pipe(p) == 0);
    pair(type, s);
    give(s[1], (int[]){s[0], p[1]}, 2); // into its own queue
    close(p[1]);
    close(s[0]);
    close(s[1]);
    collected(what, p[0]);
}

static void each_other(int type, const char *what)
{
    int p[2], a[2], b[2];
    CHECK(pipe(p) == 0);
    pair(type, a);
    pair(type, b);
    give(a[1], (int[]){b[0], b[1], p[1]}, 3);
    give(b[1], (int[]){a[0], a[1]}, 2);
    close(p[1]);
    close(a[0]);
    close(a[1]);
    close(b[0]);
    close(b[1]);
    collected(what, p[0]);
}

// The listener waits in the queue of a connection that waits in its backlog.
static void listener(void)
{
    int p[2], l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t size = sizeof name;
    CHECK(pipe(p) == 0);
    CHECK(bind(l, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0 && listen(l, 4) == 0);
    CHECK(getsockname(l, (struct sockaddr *)&name, &size) == 0);
    CHECK(connect(c, (struct sockaddr *)&name, size) == 0);
    give(c, (int[]){l, p[1]}, 2);
    close(p[1]);
    close(c);
    close(l);
    collected("a listener in its own backlog", p[0]);
}

enum { DEPTH = 1000 };

// Each socket's queue holds the next one.
static void chain(int cycle)
{
    int p[2], first[2], last[2];
    CHECK(pipe(p) == 0);
    pair(SOCK_STREAM, first);
    last[0] = dup(first[0]);
    last[1] = dup(first[1]);
    for (int i = 0; i < DEPTH; i++) {
        int next[2];
        pair(i % 2 ? SOCK_STREAM : SOCK_DGRAM, next);
        give(last[1], next, 1);
        close(last[0]);
        close(last[1]);
        last[0] = next[0];
        last[1] = next[1];
    }
    give(last[1], &p[1], 1);
    if (cycle)
        give(last[1], first, 1);
    close(p[1]);
    close(last[0]);
    close(last[1]);
    struct pollfd there = {p[0], POLLIN, 0};
    CHECK(poll(&there, 1, 0) == 0);
    close(first[0]);
    close(first[1]);
    collected(cycle ? "a long cycle" : "a long chain", p[0]);
}

// A cycle that somebody can still get at stays as it is.
static void alive(void)
{
    int p[2], a[2], b[2], junk[2];
    CHECK(pipe(p) == 0);
    pair(SOCK_STREAM, a);
    pair(SOCK_STREAM, b);
    give(a[1], &b[0], 1); // a[0] holds b[0], which holds a[0] and the pipe
    give(b[1], &a[0], 1);
    give(b[1], &p[1], 1);
    close(p[1]);
    close(b[0]);
    close(b[1]);
    close(a[1]);
    for (int i = 0; i < 20; i++) {
        pair(SOCK_STREAM, junk);
        close(junk[0]);
        close(junk[1]);
    }
    conf_sleep_ms(50);
    int got_b = take(a[0]), got_a = take(got_b), writer = take(got_b);
    CHECK(write(writer, "alive", 5) == 5);
    char text[8] = "";
    CHECK(read(p[0], text, sizeof text) == 5 && strcmp(text, "alive") == 0);
    close(got_a);
    close(got_b);
    close(a[0]);
    close(writer);
    CHECK(read(p[0], text, sizeof text) == 0);
    close(p[0]);
    puts("what can be reached stays");
}

// Cycles come and go while other threads pass descriptors around: none of theirs may get lost.
static volatile int stop;
static void *pass_around(void *arg)
{
    for (long i = 0; !stop; i++) {
        int s[2], inner[2];
        pair(SOCK_STREAM, s);
        pair(SOCK_STREAM, inner);
        give(s[0], &inner[1], 1);
        close(inner[1]);
        inner[1] = take(s[1]);
        char c = (char)i;
        CHECK(write(inner[0], &c, 1) == 1 && read(inner[1], &c, 1) == 1 && c == (char)i);
        close(s[0]);
        close(s[1]);
        close(inner[0]);
        close(inner[1]);
    }
    return arg;
}

static void busy(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, pass_around, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        int p[2], a[2];
        CHECK(pipe(p) == 0);
        pair(SOCK_STREAM, a);
        give(a[1], (int[]){a[0], p[1]}, 2);
        close(p[1]);
        close(a[0]);
        close(a[1]);
        struct pollfd gone = {p[0], POLLIN, 0};
        CHECK(poll(&gone, 1, 10000) == 1);
        close(p[0]);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    puts("cycles beside others at work");
}

// What chaos.c looks at: the kernel's own counts, inside.
static long sockets_alive(void)
{
    char line[256];
    long count = -1, found = -1;
    FILE *file = fopen("/proc/slabinfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "sock_inode_cache %ld", &count) == 1)
            found = count;
    if (file)
        fclose(file);
    return found;
}

int main(void)
{
    struct rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &limit);
    char text[64] = "";
    int fd = open("/proc/cmdline", O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    int inside = !strncmp(text, "occlum", 6);
    long before = sockets_alive();
    itself(SOCK_STREAM, "a stream socket in its own queue");
    itself(SOCK_DGRAM, "a datagram socket in its own queue");
    itself(SOCK_SEQPACKET, "a packet socket in its own queue");
    each_other(SOCK_STREAM, "two stream sockets");
    each_other(SOCK_DGRAM, "two datagram sockets");
    listener();
    chain(0);
    chain(1);
    alive();
    busy();
    CHECK(!inside || sockets_alive() == before);
    return conf_end();
}
