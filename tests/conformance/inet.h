// What the programs for internet sockets share: addresses on the loopback interface, connected pairs.
#ifndef TESTS_CONFORMANCE_INET_H
#define TESTS_CONFORMANCE_INET_H
#include "conf.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

static __attribute__((unused)) struct sockaddr_in in4(const char *address, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, address, &a.sin_addr);
    return a;
}

static __attribute__((unused)) struct sockaddr_in6 in6(const char *address, int port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
    inet_pton(AF_INET6, address, &a.sin6_addr);
    return a;
}

static __attribute__((unused)) int bind4(int fd, const char *address, int port)
{
    struct sockaddr_in a = in4(address, port);
    return bind(fd, (struct sockaddr *)&a, sizeof a);
}
static __attribute__((unused)) int connect4(int fd, const char *address, int port)
{
    struct sockaddr_in a = in4(address, port);
    return connect(fd, (struct sockaddr *)&a, sizeof a);
}
static __attribute__((unused)) int bind6(int fd, const char *address, int port)
{
    struct sockaddr_in6 a = in6(address, port);
    return bind(fd, (struct sockaddr *)&a, sizeof a);
}
static __attribute__((unused)) int connect6(int fd, const char *address, int port)
{
    struct sockaddr_in6 a = in6(address, port);
    return connect(fd, (struct sockaddr *)&a, sizeof a);
}

static __attribute__((unused)) int port_of(int fd)
{
    struct sockaddr_in6 a = {0}; // the port is at the same place in both families
    socklen_t n = sizeof a;
    CHECK(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    return ntohs(a.sin6_port);
}

// The address alone, as text.
static __attribute__((unused)) const char *name_of(int fd, int peer)
{
    static char text[2][64];
    static int turn;
    char *out = text[turn ^= 1];
    struct sockaddr_in6 a = {0};
    socklen_t n = sizeof a;
    if ((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&a, &n))
        return conf_errno(errno);
    if (a.sin6_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, out, 64);
    else
        inet_ntop(AF_INET6, &a.sin6_addr, out, 64);
    return out;
}

// A listener on a port that the kernel draws.
static __attribute__((unused)) int listener4(int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && bind4(fd, "127.0.0.1", 0) == 0 && listen(fd, backlog) == 0);
    return fd;
}

// A connected pair: s[0] connected, s[1] accepted.
static __attribute__((unused)) void tcp_pair(int s[2])
{
    int l = listener4(8);
    s[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect4(s[0], "127.0.0.1", port_of(l)) == 0);
    s[1] = accept(l, NULL, NULL);
    CHECK(s[1] >= 0);
    close(l);
}

// Events that are there, or come soon: on Linux a segment may still be on its way.
static __attribute__((unused)) short events_of(int fd, short until)
{
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    for (int i = 0; i < 500; i++) {
        p.revents = 0;
        poll(&p, 1, 0);
        if ((p.revents & until) == until)
            break;
        conf_sleep_ms(2);
    }
    return p.revents;
}

static __attribute__((unused)) int option(int fd, int level, int name)
{
    int v = -1;
    socklen_t n = sizeof v;
    return getsockopt(fd, level, name, &v, &n) ? -errno : v;
}
static __attribute__((unused)) int set_option(int fd, int level, int name, int v)
{
    return setsockopt(fd, level, name, &v, sizeof v);
}
#endif
