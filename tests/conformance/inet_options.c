// Options and ioctls of internet sockets (socket(7), ip(7), ipv6(7), tcp(7), netdevice(7)): first values, what is taken, what comes back.
#include "inet.h"
#include <net/if.h>
#include <net/if_arp.h>

static const char *value(int v)
{
    static char text[32];
    if (v < 0 && v != -1)
        return conf_errno(-v);
    snprintf(text, sizeof text, "%d", v);
    return text;
}

// The first value, then what setting each of these numbers does to it.
static void numbers(const char *name, int fd, int level, int option_name)
{
    static const int tries[] = {0, 1, 2, 5, 64, 200, 300, 40000, -1, -2};
    printf("%s: %s", name, value(option(fd, level, option_name)));
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        int r = set_option(fd, level, option_name, tries[i]);
        printf(" %d=%s/", tries[i], r ? conf_errno(errno) : "ok");
        printf("%s", value(option(fd, level, option_name)));
    }
    puts("");
}
#define NUMBERS(fd, level, name) numbers(#name, fd, level, name)

static void of_sockets(int fd)
{
    NUMBERS(fd, SOL_SOCKET, SO_REUSEADDR);
    NUMBERS(fd, SOL_SOCKET, SO_REUSEPORT);
    NUMBERS(fd, SOL_SOCKET, SO_KEEPALIVE);
    NUMBERS(fd, SOL_SOCKET, SO_BROADCAST);
    NUMBERS(fd, SOL_SOCKET, SO_OOBINLINE);
    NUMBERS(fd, SOL_SOCKET, SO_DONTROUTE);
    NUMBERS(fd, SOL_SOCKET, SO_TYPE);
    NUMBERS(fd, SOL_SOCKET, SO_DOMAIN);
    NUMBERS(fd, SOL_SOCKET, SO_PROTOCOL);
    NUMBERS(fd, SOL_SOCKET, SO_ACCEPTCONN);
    NUMBERS(fd, SOL_SOCKET, SO_ERROR);
    NUMBERS(fd, SOL_SOCKET, 9999);
    // what the machine allows at most differs
    static const int names[] = {SO_RCVLOWAT, SO_SNDBUF, SO_RCVBUF}, sizes[] = {0, 1, 2304, 4608, 40000};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++) {
            int r = set_option(fd, SOL_SOCKET, names[i], sizes[j]);
            printf("%d %d: %d %d\n", names[i], sizes[j], r, option(fd, SOL_SOCKET, names[i]));
        }
    RES(set_option(fd, SOL_SOCKET, SO_RCVLOWAT, 1));
    struct ucred who = {7, 7, 7};
    socklen_t n = sizeof who;
    RES(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n));
    printf("%d %d %d %d\n", who.pid, (int)who.uid, (int)who.gid, (int)n);
    struct linger l = {5, 5};
    n = sizeof l;
    RES(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n));
    printf("%d %d\n", l.l_onoff, l.l_linger);
    l = (struct linger){9, 30};
    RES(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
    RES(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n));
    printf("%d %d\n", l.l_onoff, l.l_linger);
    RES(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, 4));
    RES(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &l, 2));
    struct timeval t = {1, 999999};
    n = sizeof t;
    RES(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    t.tv_usec = 1000000;
    RES(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    RES(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &n));
    printf("%d %d\n", (int)t.tv_sec, (int)t.tv_usec);
}

static void of_ip(int fd)
{
    NUMBERS(fd, IPPROTO_IP, IP_TTL);
    NUMBERS(fd, IPPROTO_IP, IP_PKTINFO);
    NUMBERS(fd, IPPROTO_IP, IP_RECVERR);
    NUMBERS(fd, IPPROTO_IP, IP_RECVTTL);
    NUMBERS(fd, IPPROTO_IP, IP_RECVTOS);
    NUMBERS(fd, IPPROTO_IP, IP_FREEBIND);
    NUMBERS(fd, IPPROTO_IP, IP_MULTICAST_LOOP);
    NUMBERS(fd, IPPROTO_IP, 199);
    RES(set_option(fd, IPPROTO_IP, IP_TOS, 0x10));
    RES(option(fd, IPPROTO_IP, IP_TOS));
    unsigned char byte = 32;
    socklen_t n = 1;
    RES(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 1));
    byte = 0;
    RES(getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &n));
    printf("%d %d\n", byte, (int)n);
    RES(option(fd, IPPROTO_IP, IP_MTU));
    n = 0;
    RES(getsockopt(fd, IPPROTO_IP, IP_TTL, &byte, &n));
    RES(setsockopt(fd, IPPROTO_IP, IP_TTL, &byte, 0));
}

static void of_tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    NUMBERS(fd, IPPROTO_TCP, TCP_NODELAY);
    NUMBERS(fd, IPPROTO_TCP, TCP_CORK);
    NUMBERS(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    NUMBERS(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    NUMBERS(fd, IPPROTO_TCP, TCP_KEEPCNT);
    NUMBERS(fd, IPPROTO_TCP, TCP_SYNCNT);
    NUMBERS(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
    NUMBERS(fd, IPPROTO_TCP, 250);
    NUMBERS(fd, IPPROTO_UDP, 1);
    NUMBERS(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    RES(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &fd, 2));
    RES(option(fd, IPPROTO_TCP, TCP_MAXSEG));
    RES(set_option(fd, IPPROTO_TCP, TCP_MAXSEG, 20));
    RES(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "no such", 7));
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    RES(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n));
    RES(info.tcpi_state);
    of_sockets(fd);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    of_ip(fd);
    close(fd);
    // what an accepted socket takes over
    int l = listener4(3);
    set_option(l, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(l, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(l, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    n = sizeof info;
    RES(getsockopt(l, IPPROTO_TCP, TCP_INFO, &info, &n));
    printf("%d %d %d\n", info.tcpi_state, (int)info.tcpi_unacked, (int)info.tcpi_sacked);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect4(c, "127.0.0.1", port_of(l)) == 0);
    int s = accept(l, NULL, NULL);
    printf("%d %d %d\n", option(s, SOL_SOCKET, SO_KEEPALIVE), option(s, IPPROTO_TCP, TCP_NODELAY), option(s, IPPROTO_TCP, TCP_KEEPIDLE));
    CHECK(write(c, "12345", 5) == 5);
    events_of(s, POLLIN);
    n = sizeof info;
    RES(getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &n));
    printf("%d %d\n", info.tcpi_state, (int)info.tcpi_pmtu > 1000);
    RES(getsockopt(c, IPPROTO_TCP, TCP_INFO, &info, &n));
    CHECK(info.tcpi_snd_mss > 500 && info.tcpi_rtt > 0 && info.tcpi_snd_cwnd > 0);
    RES(option(s, IPPROTO_IP, IP_MTU) > 1000);
    close(c);
    events_of(s, POLLRDHUP);
    RES(getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &n));
    RES(info.tcpi_state);
    close(s), close(l);
}

static void of_udp(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    NUMBERS(fd, IPPROTO_TCP, TCP_NODELAY);
    of_sockets(fd);
    of_ip(fd);
    close(fd);
}

static void of_ipv6(void)
{
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        int fd = socket(AF_INET6, type, 0);
        NUMBERS(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
        NUMBERS(fd, IPPROTO_IPV6, IPV6_V6ONLY);
        NUMBERS(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
        NUMBERS(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
        NUMBERS(fd, IPPROTO_IPV6, IPV6_TCLASS);
        NUMBERS(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS);
        NUMBERS(fd, IPPROTO_IP, IP_TOS);
        RES(bind6(fd, "::", 0));
        RES(set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)); // too late
        close(fd);
    }
}

static void interface(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {0};
    strcpy(r.ifr_name, "lo");
    RES(ioctl(fd, SIOCGIFFLAGS, &r));
    printf("%x\n", (unsigned)r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_BROADCAST));
    RES(ioctl(fd, SIOCGIFINDEX, &r));
    RES(r.ifr_ifindex);
    RES(ioctl(fd, SIOCGIFMTU, &r));
    RES(r.ifr_mtu);
    RES(ioctl(fd, SIOCGIFADDR, &r));
    printf("%d %s\n", r.ifr_addr.sa_family, inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
    RES(ioctl(fd, SIOCGIFNETMASK, &r));
    printf("%s\n", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
    RES(ioctl(fd, SIOCGIFHWADDR, &r));
    printf("%d %d\n", r.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK, r.ifr_hwaddr.sa_data[0]);
    strcpy(r.ifr_name, "nosuch0");
    RES(ioctl(fd, SIOCGIFFLAGS, &r));
    RES(ioctl(fd, SIOCGIFADDR, &r));
    RES(if_nametoindex("lo"));
    RES(if_nametoindex("nosuch0"));
    char name[IF_NAMESIZE];
    printf("%s\n", if_indextoname(1, name) ? name : "none");
    printf("%s\n", if_indextoname(999, name) ? name : conf_errno(errno));
    struct ifreq list[8];
    struct ifconf conf = {.ifc_len = sizeof list, .ifc_req = list};
    RES(ioctl(fd, SIOCGIFCONF, &conf));
    printf("%d %s %s\n", conf.ifc_len >= (int)sizeof *list, list[0].ifr_name, inet_ntoa(((struct sockaddr_in *)&list[0].ifr_addr)->sin_addr));
    RES(ioctl(fd, 0x12345, &conf));
    close(fd);
}

// How many bytes of a call or more go out until there is no room.
static long fill(int fd)
{
    static char bytes[32768];
    long total = 0;
    ssize_t n;
    while ((n = send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        total += n;
    CHECK(n == -1 && errno == EAGAIN);
    return total;
}

static long empty(int fd)
{
    static char bytes[32768];
    long total = 0;
    ssize_t n;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 200) == 1 && (n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        total += n;
    return total;
}

// SO_SNDBUF and SO_RCVBUF bound what a connection takes in before somebody reads.
static void small_buffers(void)
{
    int size = 4096, l = listener4(8), c = socket(AF_INET, SOCK_STREAM, 0);
    RES(setsockopt(l, SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
    RES(setsockopt(c, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
    RES(connect4(c, "127.0.0.1", port_of(l)));
    int s = accept(l, NULL, NULL);
    printf("%d %d\n", option(s, SOL_SOCKET, SO_RCVBUF), option(c, SOL_SOCKET, SO_SNDBUF));
    long out = fill(c);
    CHECK(out >= 2048 && out < 65536);
    struct pollfd p = {.fd = c, .events = POLLOUT};
    RES(poll(&p, 1, 0));
    CHECK(empty(s) == out);
    RES(poll(&p, 1, 1000));
    // A peer that closes before it has read everything resets the connection.
    fill(c);
    char few[100];
    RES(recv(s, few, sizeof few, 0));
    close(s);
    p.events = 0;
    RES(poll(&p, 1, 5000)); // the reset has come
    RES(send(c, few, sizeof few, MSG_NOSIGNAL));
    RES(send(c, few, sizeof few, MSG_NOSIGNAL));
    close(c);
    close(l);
}

int main(void)
{
    small_buffers();
    of_tcp();
    of_udp();
    of_ipv6();
    interface();
    return conf_end();
}
