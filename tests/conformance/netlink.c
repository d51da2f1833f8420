// Route netlink (rtnetlink(7)) about the loopback interface, and what glibc makes of it: getifaddrs, if_nameindex, getaddrinfo.
#include "inet.h"
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>

static int ask(int fd, int type, int flags, unsigned char family)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg m;
    } request = {{sizeof request, (unsigned short)type, (unsigned short)(NLM_F_REQUEST | flags), 77, 0}, {.ifi_family = family}};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    return (int)sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel);
}

// Reads the answer: what is told of interface 1, and how it ends.
static void hear(int fd, const char *what)
{
    static char b[65536];
    struct sockaddr_nl self;
    socklen_t size = sizeof self;
    CHECK(getsockname(fd, (struct sockaddr *)&self, &size) == 0);
    for (int done = 0, found = 0; !done;) {
        struct sockaddr_nl from;
        socklen_t n = sizeof from;
        ssize_t got = recvfrom(fd, b, sizeof b, MSG_PEEK | MSG_TRUNC, NULL, NULL);
        CHECK(got == recvfrom(fd, b, sizeof b, 0, (struct sockaddr *)&from, &n));
        CHECK(got > 0 && n == sizeof from && from.nl_family == AF_NETLINK && from.nl_pid == 0);
        for (struct nlmsghdr *h = (void *)b; NLMSG_OK(h, (unsigned)got); h = NLMSG_NEXT(h, got)) {
            CHECK(h->nlmsg_seq == 77 && h->nlmsg_pid == self.nl_pid);
            if (h->nlmsg_type == NLMSG_DONE) {
                printf("%s: done, %s\n", what, found ? "lo is there" : "no lo");
                done = 1;
            } else if (h->nlmsg_type == NLMSG_ERROR) {
                printf("%s: %s\n", what, conf_errno(-((struct nlmsgerr *)NLMSG_DATA(h))->error));
                done = 1;
            } else if (h->nlmsg_type == RTM_NEWLINK) {
                struct ifinfomsg *m = NLMSG_DATA(h);
                if (m->ifi_index != 1)
                    continue;
                found = 1;
                CHECK((m->ifi_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING)) == (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
                int left = (int)IFLA_PAYLOAD(h);
                for (struct rtattr *a = IFLA_RTA(m); RTA_OK(a, left); a = RTA_NEXT(a, left))
                    if (a->rta_type == IFLA_IFNAME)
                        printf("name %s\n", (char *)RTA_DATA(a));
                    else if (a->rta_type == IFLA_MTU)
                        printf("mtu %u\n", *(unsigned *)RTA_DATA(a));
                if (!(h->nlmsg_flags & NLM_F_MULTI)) {
                    printf("%s: one\n", what);
                    done = 1;
                }
            } else if (h->nlmsg_type == RTM_NEWADDR) {
                struct ifaddrmsg *m = NLMSG_DATA(h);
                found |= m->ifa_index == 1;
                if (m->ifa_index == 1)
                    printf("address %d/%d scope %d\n", m->ifa_family, m->ifa_prefixlen, m->ifa_scope);
            } else if (h->nlmsg_type == RTM_NEWROUTE) {
                found = 1;
            }
        }
    }
}

static void sockets(void)
{
    RES(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), other = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
    struct sockaddr_nl a = {.nl_family = AF_NETLINK}, b;
    socklen_t n = sizeof b;
    RES(bind(fd, (struct sockaddr *)&a, sizeof a));
    RES(getsockname(fd, (struct sockaddr *)&b, &n));
    CHECK(b.nl_pid == (unsigned)getpid() && n == sizeof b);
    RES(bind(other, (struct sockaddr *)&a, sizeof a));
    RES(getsockname(other, (struct sockaddr *)&b, &n));
    CHECK(b.nl_pid != (unsigned)getpid() && b.nl_pid != 0);
    a.nl_pid = (unsigned)getpid();
    close(other);
    other = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    RES(bind(other, (struct sockaddr *)&a, sizeof a));
    RES(bind(other, (struct sockaddr *)&a, 4));
    close(other);
    RES(listen(fd, 1));
    RES(accept(fd, NULL, NULL));
    RES(set_option(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1));
    RES(set_option(fd, SOL_NETLINK, 99, 1));
    char x[8];
    RES(recv(fd, x, sizeof x, MSG_DONTWAIT));
    printf("%x\n", events_of(fd, 0));
    RES(ask(fd, RTM_GETLINK, NLM_F_DUMP, AF_UNSPEC));
    printf("%x\n", events_of(fd, POLLIN));
    hear(fd, "links");
    RES(ask(fd, RTM_GETADDR, NLM_F_DUMP, AF_INET));
    hear(fd, "addresses of IPv4");
    RES(ask(fd, RTM_GETADDR, NLM_F_DUMP, AF_INET6));
    hear(fd, "addresses of IPv6");
    RES(ask(fd, RTM_GETROUTE, NLM_F_DUMP, AF_INET));
    hear(fd, "routes");
    RES(ask(fd, 2000, 0, AF_UNSPEC));
    hear(fd, "no such request");
    struct {
        struct nlmsghdr h;
        struct ifinfomsg m;
    } one = {{sizeof one, RTM_GETLINK, NLM_F_REQUEST, 77, 0}, {.ifi_index = 1}};
    RES(send(fd, &one, sizeof one, 0));
    hear(fd, "one link");
    one.m.ifi_index = 9999;
    RES(send(fd, &one, sizeof one, 0));
    hear(fd, "no such link");
    RES(recv(fd, x, sizeof x, MSG_DONTWAIT));
    close(fd);
}

static void in_libc(void)
{
    struct ifaddrs *all, *i;
    RES(getifaddrs(&all));
    for (i = all; i; i = i->ifa_next)
        if (!strcmp(i->ifa_name, "lo")) {
            char text[64] = "";
            int family = i->ifa_addr ? i->ifa_addr->sa_family : 0;
            if (family == AF_INET)
                inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof text);
            else if (family == AF_INET6)
                inet_ntop(AF_INET6, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, text, sizeof text);
            printf("%s %d %s %x\n", i->ifa_name, family, text, i->ifa_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
        }
    freeifaddrs(all);
    struct if_nameindex *names = if_nameindex();
    CHECK(names != NULL);
    if (names)
        printf("%u %s\n", names[0].if_index, names[0].if_name);
    if_freenameindex(names);
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
    RES(getaddrinfo("127.0.0.1", "80", &want, &found));
    printf("%d %d\n", found->ai_family, ntohs(((struct sockaddr_in *)found->ai_addr)->sin_port));
    freeaddrinfo(found);
    RES(getaddrinfo("::1", "80", &want, &found));
    printf("%d\n", found->ai_family);
    freeaddrinfo(found);
}

int main(void)
{
    sockets();
    in_libc();
    return conf_end();
}
