// Buffer sizes of Unix sockets: what SO_SNDBUF bounds, how many datagrams wait, who is told when there is room again.
#include "conf.h"
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int size_of(int fd, int option)
{
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) ? -1 : value;
}

static int set_size(int fd, int option, int value)
{
    return setsockopt(fd, SOL_SOCKET, option, &value, sizeof value);
}

static const char *name_of(int type)
{
    return type == SOCK_STREAM ? "stream" : type == SOCK_DGRAM ? "dgram" : "seqpacket";
}

static int is_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    poll(&p, 1, 0);
    return (p.revents & POLLOUT) != 0;
}

static void values(int type)
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, type, 0, fds) == 0);
    printf("%s: send %d receive %d\n", name_of(type), size_of(fds[0], SO_SNDBUF), size_of(fds[0], SO_RCVBUF));
    static const int wanted[] = {0, 1, 1000, 2304, 2305, 30000, 106496, 212992};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        CHECK(set_size(fds[0], SO_SNDBUF, wanted[i]) == 0 && set_size(fds[0], SO_RCVBUF, wanted[i]) == 0);
        printf("%d: send %d receive %d\n", wanted[i], size_of(fds[0], SO_SNDBUF), size_of(fds[0], SO_RCVBUF));
    }
    printf("the other end: send %d receive %d\n", size_of(fds[1], SO_SNDBUF), size_of(fds[1], SO_RCVBUF));
    RES(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, "ab", 2));
    if (geteuid() == 0) {
        CHECK(set_size(fds[0], SO_SNDBUFFORCE, 1000000) == 0 && set_size(fds[0], SO_RCVBUFFORCE, 1000000) == 0);
        CHECK(size_of(fds[0], SO_SNDBUF) == 2000000 && size_of(fds[0], SO_RCVBUF) == 2000000);
    }
    close(fds[0]);
    close(fds[1]);
}

// Fills it with writes of `chunk` bytes: how many bytes went in.
static long fill(int fd, size_t chunk)
{
    static char bytes[65536];
    long total = 0;
    for (;;) {
        ssize_t n = send(fd, bytes, chunk, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            CHECK(errno == EAGAIN);
            return total;
        }
        total += n;
    }
}

static long drain(int fd)
{
    static char bytes[65536];
    long total = 0;
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;) total += n;
    return total;
}

static void streams(void)
{
    static const int wanted[] = {1, 8192, 50000, 106496, 212992};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int fds[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        CHECK(set_size(fds[0], SO_SNDBUF, wanted[i]) == 0);
        CHECK(set_size(fds[1], SO_RCVBUF, 1) == 0); // means nothing
        long most = size_of(fds[0], SO_SNDBUF);
        CHECK(is_writable(fds[0]));
        long all = fill(fds[0], 65536);
        CHECK(all >= most / 2 && all <= most + most / 2);
        CHECK(!is_writable(fds[0]));
        CHECK(is_writable(fds[1]));
        CHECK(drain(fds[1]) == all);
        CHECK(is_writable(fds[0]));
        // More than a quarter of it in use: not writable by poll(), though a send would do.
        all = 0;
        while (is_writable(fds[0]) && send(fds[0], "0123456789abcdef", 16, MSG_DONTWAIT) == 16) all += 16;
        CHECK(all > 0 && all <= most / 4 + 16);
        RES(send(fds[0], "x", 1, MSG_DONTWAIT));
        // A larger buffer makes room.
        all += fill(fds[0], 1024);
        CHECK(set_size(fds[0], SO_SNDBUF, 212992) == 0);
        if (most < 425984) CHECK(fill(fds[0], 1024) > 0);
        close(fds[0]);
        close(fds[1]);
    }
}

struct writer {
    int fd;
    size_t size;
    ssize_t sent;
    int error;
};

static void *write_all(void *argument)
{
    struct writer *w = argument;
    char *bytes = malloc(w->size);
    memset(bytes, 'w', w->size);
    w->sent = write(w->fd, bytes, w->size);
    w->error = errno;
    free(bytes);
    return NULL;
}

static void blocked_stream(void)
{
    int fds[2];
    pthread_t thread;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK(set_size(fds[0], SO_SNDBUF, 8192) == 0);
    struct writer w = {.fd = fds[0], .size = 1000000};
    CHECK(pthread_create(&thread, NULL, write_all, &w) == 0);
    long got = 0;
    char bytes[3000];
    while (got < 1000000) {
        ssize_t n = read(fds[1], bytes, sizeof bytes);
        if (n <= 0) break;
        got += n;
        int waiting = 0;
        CHECK(ioctl(fds[1], FIONREAD, &waiting) == 0 && waiting <= 16384 + 8192);
    }
    pthread_join(thread, NULL);
    printf("blocked stream: %ld read, %zd written\n", got, w.sent);
    // A timeout while it is full.
    struct timeval soon = {.tv_usec = 20000};
    CHECK(setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) == 0);
    fill(fds[0], 4096);
    RES(write(fds[0], bytes, 10));
    close(fds[1]);
    RES(send(fds[0], bytes, 10, MSG_NOSIGNAL));
    close(fds[0]);
}

static void lengths(int type)
{
    static char bytes[500000];
    int fds[2];
    CHECK(socketpair(AF_UNIX, type, 0, fds) == 0);
    static const int wanted[] = {1, 10000, 106496, 212992};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        CHECK(set_size(fds[0], SO_SNDBUF, wanted[i]) == 0);
        int most = size_of(fds[0], SO_SNDBUF);
        printf("%s %d:", name_of(type), most);
        for (int more = -33; more <= -31; more++) {
            ssize_t n = send(fds[0], bytes, (size_t)(most + more), MSG_DONTWAIT);
            printf(" %d=%s", more, n < 0 ? conf_errno(errno) : n == most + more ? "all" : "part");
            if (n > 0) CHECK(recv(fds[1], bytes, sizeof bytes, MSG_DONTWAIT) == n);
        }
        printf("\n");
    }
    close(fds[0]);
    close(fds[1]);
}

// A pair: the sender's buffer bounds how many wait, not their number.
static void counts(int type)
{
    int fds[2];
    CHECK(socketpair(AF_UNIX, type, 0, fds) == 0);
    int count = 0;
    while (send(fds[0], "x", 1, MSG_DONTWAIT) == 1) count++;
    RES(send(fds[0], "x", 1, MSG_DONTWAIT));
    CHECK(count >= 150 && count <= 500);
    CHECK(!is_writable(fds[0]));
    CHECK(is_writable(fds[1]));
    char byte;
    for (int i = 0; i < count; i++) CHECK(recv(fds[1], &byte, 1, MSG_DONTWAIT) == 1);
    CHECK(is_writable(fds[0]));
    CHECK(set_size(fds[0], SO_SNDBUF, 1) == 0);
    count = 0;
    while (send(fds[0], "x", 1, MSG_DONTWAIT) == 1) count++;
    CHECK(count >= 2 && count <= 12);
    // A waiting sender goes on when something was read, and when the buffer grows.
    struct writer w = {.fd = fds[0], .size = 1};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, write_all, &w) == 0);
    conf_sleep_ms(20);
    while (recv(fds[1], &byte, 1, MSG_DONTWAIT) == 1) {
    }
    pthread_join(thread, NULL);
    printf("%s: a waiting sender sent %zd\n", name_of(type), w.sent);
    // Its message may have been read above or not; one that is surely unread decides how the end is told.
    while (recv(fds[1], &byte, 1, MSG_DONTWAIT) == 1) {
    }
    CHECK(send(fds[0], "x", 1, MSG_DONTWAIT) == 1);
    close(fds[1]);
    RES(send(fds[0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
    close(fds[0]);
}

static socklen_t abstract_name(struct sockaddr_un *address, const char *what)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int n = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "conf-buffers-%d-%s", (int)getpid(), what);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static void *read_one(void *argument)
{
    char byte;
    conf_sleep_ms(30);
    CHECK(recv(*(int *)argument, &byte, 1, MSG_DONTWAIT) == 1);
    return NULL;
}

// A server that has no peer: ten datagrams wait and one more.
static void queue_length(void)
{
    struct sockaddr_un address;
    int server = socket(AF_UNIX, SOCK_DGRAM, 0), first = socket(AF_UNIX, SOCK_DGRAM, 0), second = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t length = abstract_name(&address, "server");
    CHECK(bind(server, (struct sockaddr *)&address, length) == 0);
    CHECK(connect(first, (struct sockaddr *)&address, length) == 0);
    CHECK(connect(second, (struct sockaddr *)&address, length) == 0);
    int count = 0, limit = 0;
    while (send(first, "x", 1, MSG_DONTWAIT) == 1) count++;
    FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "r");
    CHECK(file && fscanf(file, "%d", &limit) == 1);
    fclose(file);
    printf("datagrams beyond max_dgram_qlen: %d\n", count - limit);
    printf("writable: %d %d\n", is_writable(first), is_writable(second));
    RES(sendto(second, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&address, length));
    // Those who watch are told, though none of their own datagrams was read.
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, second, &event) == 0);
    RES(epoll_wait(epoll, &event, 1, 0));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, read_one, &server) == 0);
    RES(epoll_wait(epoll, &event, 1, 5000));
    pthread_join(thread, NULL);
    RES(send(second, "x", 1, MSG_DONTWAIT));
    CHECK(!is_writable(second));
    struct pollfd p = {.fd = second, .events = POLLOUT};
    CHECK(pthread_create(&thread, NULL, read_one, &server) == 0);
    RES(poll(&p, 1, 5000));
    pthread_join(thread, NULL);
    // A sender that waits.
    while (send(first, "x", 1, MSG_DONTWAIT) == 1) {
    }
    CHECK(pthread_create(&thread, NULL, read_one, &server) == 0);
    RES(send(second, "y", 1, 0));
    pthread_join(thread, NULL);
    // The server goes: everybody may write, and learns it.
    close(server);
    printf("writable: %d %d\n", is_writable(first), is_writable(second));
    RES(send(first, "x", 1, MSG_DONTWAIT));
    close(first);
    close(second);
    close(epoll);
}

// To its own name the sender's buffer bounds how many wait, connected or not.
static void own_name(void)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t length = abstract_name(&address, "own");
    CHECK(bind(fd, (struct sockaddr *)&address, length) == 0);
    for (int connected = 0; connected < 2; connected++) {
        int count = 0;
        if (connected) RES(connect(fd, (struct sockaddr *)&address, length));
        while (sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&address, length) == 1) count++;
        RES(sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&address, length));
        CHECK(count >= 150 && count <= 500);
        CHECK(!is_writable(fd));
        CHECK(drain(fd) == count);
        CHECK(is_writable(fd));
        for (int i = 0; i < 30; i++) CHECK(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, length) == 1);
        printf("own name: %ld\n", drain(fd));
    }
    close(fd);
}

// What one sender has on its way to several receivers counts together.
static void several_receivers(void)
{
    struct sockaddr_un address;
    static char bytes[4096];
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0), receivers[8], total = 0;
    CHECK(set_size(sender, SO_SNDBUF, 16384) == 0);
    for (int i = 0; i < 8; i++) {
        char what[8];
        snprintf(what, sizeof what, "r%d", i);
        socklen_t length = abstract_name(&address, what);
        receivers[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
        CHECK(bind(receivers[i], (struct sockaddr *)&address, length) == 0);
        for (int j = 0; j < 3; j++)
            if (sendto(sender, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&address, length) > 0) total++;
    }
    CHECK(total >= 2 && total <= 8);
    CHECK(!is_writable(sender));
    for (int i = 0; i < 8; i++) close(receivers[i]);
    CHECK(is_writable(sender));
    close(sender);
}

int main(void)
{
    values(SOCK_STREAM);
    values(SOCK_DGRAM);
    values(SOCK_SEQPACKET);
    streams();
    blocked_stream();
    lengths(SOCK_DGRAM);
    lengths(SOCK_SEQPACKET);
    counts(SOCK_DGRAM);
    counts(SOCK_SEQPACKET);
    queue_length();
    own_name();
    several_receivers();
    return conf_failures != 0;
}
