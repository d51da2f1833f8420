// UDP over the loopback interface (udp(7), ip(7)): names, datagrams, what comes beside them, errors that come back.
#include "inet.h"

static struct sockaddr_in self(int fd)
{
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    CHECK(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    return a;
}

static void names(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    char x[64];
    printf("%x\n", events_of(a, 0));
    RES(send(a, "x", 1, 0));
    RES(listen(a, 1));
    RES(accept(a, NULL, NULL));
    RES(bind4(a, "127.0.0.1", 0));
    RES(bind4(b, "127.0.0.1", port_of(a)));
    RES(bind4(b, "0.0.0.0", port_of(a)));
    RES(bind4(b, "192.0.2.1", 0));
    RES(set_option(a, SOL_SOCKET, SO_REUSEADDR, 1));
    RES(set_option(b, SOL_SOCKET, SO_REUSEADDR, 1));
    RES(bind4(b, "127.0.0.1", port_of(a)));
    // sending draws a port and leaves the address open
    int c = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = self(a);
    RES(sendto(c, "one", 3, 0, (struct sockaddr *)&to, sizeof to));
    CHECK(port_of(c) >= 32768);
    printf("%s %s\n", name_of(c, 0), name_of(c, 1));
    struct pollfd p[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    RES(poll(p, 2, 1000)); // the one that was bound last has it
    printf("%d %d\n", p[0].revents, p[1].revents);
    close(b);
    RES(sendto(c, "two", 3, 0, (struct sockaddr *)&to, sizeof to));
    struct sockaddr_in from = {0};
    socklen_t n = sizeof from;
    RES(recvfrom(a, x, sizeof x, 0, (struct sockaddr *)&from, &n));
    CHECK(from.sin_port == self(c).sin_port && n == sizeof from);
    printf("%.3s %s\n", x, inet_ntoa(from.sin_addr));
    // errors of addresses
    to.sin_port = 0;
    RES(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    RES(sendto(c, "x", 1, 0, (struct sockaddr *)&to, 8));
    to.sin_family = AF_INET6;
    RES(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    to.sin_family = AF_UNSPEC;
    to.sin_port = self(a).sin_port;
    RES(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    RES(recv(a, x, sizeof x, 0));
    close(a), close(c);
}

static void connected(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
    char x[64];
    CHECK(bind4(a, "127.0.0.1", 0) == 0 && bind4(c, "127.0.0.1", 0) == 0);
    struct sockaddr_in to = self(a);
    RES(connect(b, (struct sockaddr *)&to, sizeof to));
    printf("%s %s\n", name_of(b, 0), name_of(b, 1));
    RES(write(b, "hello", 5));
    RES(read(a, x, 64));
    // it hears its peer alone
    to = self(b);
    RES(sendto(c, "stranger", 8, 0, (struct sockaddr *)&to, sizeof to));
    RES(sendto(a, "friend", 6, 0, (struct sockaddr *)&to, sizeof to));
    RES(recv(b, x, 64, 0));
    RES(recv(b, x, 64, MSG_DONTWAIT));
    // but may send to others
    to = self(c);
    RES(sendto(b, "other", 5, 0, (struct sockaddr *)&to, sizeof to));
    RES(recv(c, x, 64, 0));
    to.sin_family = AF_UNSPEC;
    RES(connect(b, (struct sockaddr *)&to, sizeof to));
    printf("%s %s %d\n", name_of(b, 0), name_of(b, 1), port_of(b));
    RES(send(b, "x", 1, 0));
    // nobody is there: the answer comes with the next call
    to = self(a);
    RES(connect(b, (struct sockaddr *)&to, sizeof to));
    close(a);
    RES(send(b, "x", 1, 0));
    printf("%x\n", events_of(b, POLLERR));
    RES(option(b, SOL_SOCKET, SO_ERROR));
    RES(send(b, "x", 1, 0));
    events_of(b, POLLERR);
    RES(recv(b, x, 64, MSG_DONTWAIT));
    RES(recv(b, x, 64, MSG_DONTWAIT));
    RES(send(b, "x", 1, 0));
    events_of(b, POLLERR);
    RES(send(b, "x", 1, 0));
    close(b);
    b = socket(AF_INET, SOCK_DGRAM, 0);
    RES(sendto(b, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
    conf_sleep_ms(5);
    RES(recv(b, x, 64, MSG_DONTWAIT)); // without a connection nothing is told
    close(b), close(c);
}

static void datagrams(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), n = 0;
    static char big[70000], x[70000];
    CHECK(bind4(a, "127.0.0.1", 0) == 0);
    struct sockaddr_in to = self(a);
    CHECK(connect(b, (struct sockaddr *)&to, sizeof to) == 0);
    RES(send(b, "abcdef", 6, 0));
    RES(send(b, "", 0, 0));
    RES(send(b, "gh", 2, 0));
    events_of(a, POLLIN);
    RES(ioctl(a, FIONREAD, &n));
    RES(n);
    RES(recv(a, x, 3, MSG_PEEK));
    RES(recv(a, x, 3, MSG_PEEK | MSG_TRUNC));
    struct iovec v = {x, 3};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    RES(recvmsg(a, &m, 0));
    printf("%x\n", (unsigned)m.msg_flags);
    RES(read(a, x, 0)); // takes nothing
    RES(recv(a, x, 64, 0));
    RES(recv(a, x, 64, 0));
    memset(big, 'b', sizeof big);
    RES(send(b, big, 65507, 0));
    RES(recv(a, x, sizeof x, 0));
    CHECK(memcmp(big, x, 65507) == 0);
    RES(send(b, big, 65508, 0));
    RES(send(b, big, 70000, 0));
    RES(send(b, "x", 1, MSG_OOB));
    // more than there is room for is dropped, the sender does not wait
    int got = 0;
    for (int i = 0; i < 2000; i++)
        CHECK(send(b, big, 1000, 0) == 1000);
    while (recv(a, x, sizeof x, MSG_DONTWAIT) > 0)
        got++;
    CHECK(got > 20 && got < 2000);
    struct mmsghdr mm[4] = {0};
    struct iovec w[4] = {{"1", 1}, {"22", 2}, {"333", 3}, {"4444", 4}};
    for (int i = 0; i < 4; i++)
        mm[i].msg_hdr = (struct msghdr){.msg_iov = &w[i], .msg_iovlen = 1};
    RES(sendmmsg(b, mm, 4, 0));
    for (int i = 0; i < 4; i++)
        w[i] = (struct iovec){x + i * 100, 100};
    RES(recvmmsg(a, mm, 4, 0, NULL));
    printf("%u %u %u %u\n", mm[0].msg_len, mm[1].msg_len, mm[2].msg_len, mm[3].msg_len);
    // ends
    struct timeval t = {0, 20000};
    RES(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    RES(recv(a, x, 64, 0));
    RES(shutdown(a, SHUT_RD));
    printf("%x\n", events_of(a, 0));
    RES(recv(a, x, 64, 0));
    RES(shutdown(b, SHUT_WR));
    RES(send(b, "x", 1, 0));
    RES(shutdown(b, SHUT_RD));
    printf("%x\n", events_of(b, 0));
    close(a), close(b);
}

static void beside(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind4(a, "0.0.0.0", 0) == 0);
    RES(set_option(a, IPPROTO_IP, IP_PKTINFO, 1));
    RES(set_option(a, IPPROTO_IP, IP_RECVTTL, 1));
    RES(set_option(a, IPPROTO_IP, IP_RECVTOS, 1));
    RES(set_option(b, IPPROTO_IP, IP_TTL, 33));
    RES(set_option(b, IPPROTO_IP, IP_TOS, 0x10));
    struct sockaddr_in to = in4("127.0.0.3", port_of(a));
    RES(sendto(b, "data", 4, 0, (struct sockaddr *)&to, sizeof to));
    char x[64], control[256];
    struct iovec v = {x, sizeof x};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    RES(recvmsg(a, &m, 0));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf("%d %d %d:", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len);
        if (c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *info = (void *)CMSG_DATA(c);
            printf(" %d %s\n", info->ipi_ifindex, inet_ntoa(info->ipi_addr));
        } else {
            printf(" %d\n", c->cmsg_type == IP_TTL ? *(int *)CMSG_DATA(c) : *CMSG_DATA(c));
        }
    }
    RES(sendto(b, "data", 4, 0, (struct sockaddr *)&to, sizeof to));
    m.msg_controllen = 8; // too small
    RES(recvmsg(a, &m, 0));
    printf("%x\n", (unsigned)m.msg_flags);
    RES(set_option(a, SOL_SOCKET, SO_TIMESTAMP, 1));
    RES(set_option(a, IPPROTO_IP, IP_PKTINFO, 0));
    RES(set_option(a, IPPROTO_IP, IP_RECVTTL, 0));
    RES(set_option(a, IPPROTO_IP, IP_RECVTOS, 0));
    RES(sendto(b, "data", 4, 0, (struct sockaddr *)&to, sizeof to));
    m.msg_controllen = sizeof control;
    RES(recvmsg(a, &m, 0));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMP);
    struct timeval *stamp = c ? (void *)CMSG_DATA(c) : NULL;
    CHECK(stamp && labs((long)(stamp->tv_sec - time(NULL))) < 5);
    close(a), close(b);
}

static void *answer(void *arg)
{
    char x[64];
    struct sockaddr_in from;
    socklen_t n = sizeof from;
    ssize_t got = recvfrom((int)(long)arg, x, sizeof x, 0, (struct sockaddr *)&from, &n);
    CHECK(sendto((int)(long)arg, x, (size_t)got, 0, (struct sockaddr *)&from, n) == got);
    return NULL;
}

static void waiting(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind4(a, "127.0.0.1", 0) == 0);
    pthread_t t;
    pthread_create(&t, NULL, answer, (void *)(long)a);
    conf_sleep_ms(10);
    struct sockaddr_in to = self(a);
    RES(sendto(b, "question", 8, 0, (struct sockaddr *)&to, sizeof to));
    char x[64];
    RES(recv(b, x, 64, 0));
    pthread_join(t, NULL);
    int e = epoll_create1(0);
    struct epoll_event v = {EPOLLIN | EPOLLET, {0}};
    RES(epoll_ctl(e, EPOLL_CTL_ADD, a, &v));
    RES(epoll_wait(e, &v, 1, 0));
    RES(sendto(b, "1", 1, 0, (struct sockaddr *)&to, sizeof to));
    RES(epoll_wait(e, &v, 1, 1000));
    RES(epoll_wait(e, &v, 1, 0));
    RES(sendto(b, "2", 1, 0, (struct sockaddr *)&to, sizeof to));
    RES(epoll_wait(e, &v, 1, 1000));
    close(a), close(b), close(e);
}

int main(void)
{
    names();
    connected();
    datagrams();
    beside();
    waiting();
    return conf_end();
}
