// IPv6 sockets on the loopback interface (ipv6(7)): names, both families on one socket, TCP and UDP.
#include "inet.h"

static void stream(const char *bound, const char *target, int v4, int only)
{
    int l = socket(AF_INET6, SOCK_STREAM, 0), c = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    printf("%s <- %s%s:", bound, target, only ? " v6only" : "");
    set_option(l, IPPROTO_IPV6, IPV6_V6ONLY, only);
    if (bind6(l, bound, 0) || listen(l, 3)) {
        printf(" %s\n", conf_errno(errno));
        close(l), close(c);
        return;
    }
    if ((v4 ? connect4 : connect6)(c, target, port_of(l))) {
        printf(" %s\n", conf_errno(errno));
        close(l), close(c);
        return;
    }
    struct sockaddr_in6 from = {0};
    socklen_t n = sizeof from;
    int s = accept(l, (struct sockaddr *)&from, &n);
    char text[64];
    inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text);
    printf(" %s %d %d", text, (int)n, from.sin6_family);
    printf(" | %s", name_of(c, 0));
    printf(" %s", name_of(c, 1));
    printf(" | %s", name_of(s, 0));
    printf(" %s", name_of(s, 1));
    CHECK(write(c, "six", 3) == 3 && read(s, text, sizeof text) == 3);
    printf(" %d %d\n", option(s, SOL_SOCKET, SO_DOMAIN), option(s, IPPROTO_IPV6, IPV6_V6ONLY));
    close(s), close(l), close(c);
}

static void binding(void)
{
    static const char *addresses[] = {"::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "2001:db8::1", "fe80::1", "ff02::1", "::ffff:192.0.2.1"};
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++)
        for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
            for (int only = 0; only < 2; only++) {
                int fd = socket(AF_INET6, type, 0);
                set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, only);
                int r = bind6(fd, addresses[i], 0);
                printf("bind %d %s %d: %s %s\n", type, addresses[i], only, r ? conf_errno(errno) : "ok", name_of(fd, 0));
                close(fd);
            }
    int a = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 n = in6("::1", 0);
    RES(bind(a, (struct sockaddr *)&n, 20));
    RES(bind(a, (struct sockaddr *)&n, 24));
    close(a);
    a = socket(AF_INET6, SOCK_STREAM, 0);
    n.sin6_family = AF_INET;
    RES(bind(a, (struct sockaddr *)&n, sizeof n));
    RES(connect(a, (struct sockaddr *)&n, sizeof n));
    close(a);
    // who is in whose way
    static const char *const firsts[] = {"::", "::1", "::ffff:127.0.0.1"};
    for (int i = 0; i < 3; i++)
        for (int only = 0; only < 2; only++) {
            int b[4] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET6, SOCK_STREAM, 0), socket(AF_INET6, SOCK_STREAM, 0)};
            a = socket(AF_INET6, SOCK_STREAM, 0);
            set_option(a, IPPROTO_IPV6, IPV6_V6ONLY, only);
            // A port that nobody else on this machine has, in either family.
            int probe = socket(AF_INET6, SOCK_STREAM, 0);
            set_option(probe, IPPROTO_IPV6, IPV6_V6ONLY, 0);
            int port = bind6(probe, "::", 0) == 0 ? port_of(probe) : 0;
            close(probe);
            if (bind6(a, firsts[i], port) == 0) {
                printf("beside %s %d:", firsts[i], only);
                printf(" %d", bind4(b[0], "127.0.0.1", port));
                close(b[0]);
                printf(" %d", bind4(b[1], "0.0.0.0", port));
                close(b[1]);
                printf(" %d", bind6(b[2], "::1", port));
                close(b[2]);
                set_option(b[3], IPPROTO_IPV6, IPV6_V6ONLY, 1);
                printf(" %d\n", bind6(b[3], "::", port));
                close(b[3]);
            } else {
                for (int j = 0; j < 4; j++)
                    close(b[j]);
            }
            close(a);
        }
}

static void both_listen(void)
{
    // the listener of the own family comes first
    int six = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), four = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    set_option(six, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    RES(bind6(six, "::", 0));
    RES(bind4(four, "0.0.0.0", port_of(six)));
    RES(listen(six, 3));
    RES(listen(four, 3));
    int c = socket(AF_INET, SOCK_STREAM, 0), d = socket(AF_INET6, SOCK_STREAM, 0);
    RES(connect4(c, "127.0.0.1", port_of(six)));
    RES(connect6(d, "::1", port_of(six)));
    int s = accept(four, NULL, NULL), t = accept(six, NULL, NULL);
    CHECK(s >= 0 && t >= 0);
    printf("%s", name_of(s, 1));
    printf(" %s\n", name_of(t, 1));
    close(c), close(d), close(s), close(t), close(six), close(four);
}

static void datagrams(void)
{
    int a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
    RES(bind6(a, "::", 0));
    RES(set_option(a, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
    RES(set_option(a, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1));
    struct sockaddr_in6 to = in6("::1", port_of(a)), mapped = in6("::ffff:127.0.0.1", port_of(a));
    struct sockaddr_in four = in4("127.0.0.1", port_of(a));
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            RES(sendto(b, "one", 3, 0, (struct sockaddr *)&to, sizeof to));
        else if (i == 1)
            RES(sendto(b, "two", 3, 0, (struct sockaddr *)&mapped, sizeof mapped));
        else
            RES(sendto(c, "three", 5, 0, (struct sockaddr *)&four, sizeof four));
        char x[64], control[256], text[64];
        struct iovec v = {x, sizeof x};
        struct sockaddr_in6 from;
        struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        RES(recvmsg(a, &m, 0));
        printf("%s %d\n", inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof text), (int)m.msg_namelen);
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
            if (h->cmsg_level == IPPROTO_IPV6 && h->cmsg_type == IPV6_PKTINFO)
                printf("to %s\n", inet_ntop(AF_INET6, CMSG_DATA(h), text, sizeof text));
            else
                printf("%d %d\n", h->cmsg_level, h->cmsg_type);
    }
    // a hop limit for one datagram
    char x[8], control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {x, 1};
    struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){CMSG_LEN(sizeof(int)), IPPROTO_IPV6, IPV6_HOPLIMIT};
    *(int *)CMSG_DATA(h) = 7;
    RES(sendmsg(b, &m, 0));
    RES(set_option(a, IPPROTO_IPV6, IPV6_RECVPKTINFO, 0));
    m.msg_name = NULL;
    RES(recvmsg(a, &m, 0));
    RES(*(int *)CMSG_DATA(CMSG_FIRSTHDR(&m)));
    *(int *)CMSG_DATA(h) = 300;
    m.msg_name = &to, m.msg_namelen = sizeof to;
    RES(sendmsg(b, &m, 0));
    RES(sendto(b, "x", 1, 0, (struct sockaddr *)&four, sizeof four)); // an address of the other family
    close(b);
    b = socket(AF_INET6, SOCK_DGRAM, 0);
    RES(set_option(b, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    RES(sendto(b, "x", 1, 0, (struct sockaddr *)&mapped, sizeof mapped));
    RES(connect(b, (struct sockaddr *)&mapped, sizeof mapped));
    RES(connect(b, (struct sockaddr *)&to, sizeof to));
    printf("%s", name_of(b, 0));
    printf(" %s\n", name_of(b, 1));
    close(a);
    RES(send(b, "x", 1, 0));
    events_of(b, POLLERR);
    RES(option(b, SOL_SOCKET, SO_ERROR));
    close(b), close(c);
}

int main(void)
{
    stream("::1", "::1", 0, 0);
    stream("::", "::1", 0, 0);
    stream("::", "127.0.0.1", 1, 0);
    stream("::", "127.0.0.1", 1, 1);
    stream("::", "::ffff:127.0.0.1", 0, 0);
    stream("::", "::", 0, 0);
    stream("::1", "127.0.0.1", 1, 0);
    stream("::ffff:127.0.0.1", "127.0.0.1", 1, 0);
    stream("::ffff:127.0.0.1", "::1", 0, 0);
    stream("::", "::1", 0, 1);
    int c = socket(AF_INET6, SOCK_STREAM, 0);
    set_option(c, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    RES(connect6(c, "::ffff:127.0.0.1", 9));
    RES(connect6(c, "fe80::1", 9));
    close(c);
    binding();
    both_listen();
    datagrams();
    return conf_end();
}
