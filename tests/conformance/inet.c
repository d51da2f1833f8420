// TCP over the loopback interface (tcp(7), ip(7), socket(7)): names, connections, data, ends, readiness.
#include "inet.h"

static volatile int pipes;
static void on_pipe(int sig)
{
    (void)sig;
    pipes++;
}

static void making(void)
{
    static const int kinds[][3] = {{AF_INET, SOCK_STREAM, 0}, {AF_INET, SOCK_STREAM, IPPROTO_TCP}, {AF_INET, SOCK_DGRAM, 0},
                                   {AF_INET, SOCK_DGRAM, IPPROTO_UDP}, {AF_INET, SOCK_STREAM, IPPROTO_UDP}, {AF_INET, SOCK_DGRAM, IPPROTO_TCP},
                                   {AF_INET, SOCK_STREAM, 300}, {AF_INET, SOCK_STREAM, -1}, {AF_INET, 77, 0}, {AF_INET, SOCK_SEQPACKET, 0},
                                   {AF_INET, SOCK_RDM, 0}, {AF_INET, SOCK_RAW, 0}, {AF_INET6, SOCK_STREAM, 0}, {AF_INET6, SOCK_DGRAM, 0}, {99, SOCK_STREAM, 0}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int fd = socket(kinds[i][0], kinds[i][1], kinds[i][2]);
        printf("socket %d %d %d: %s", kinds[i][0], kinds[i][1], kinds[i][2], fd < 0 ? conf_errno(errno) : "ok");
        if (fd >= 0)
            printf(" %d %d %d", option(fd, SOL_SOCKET, SO_DOMAIN), option(fd, SOL_SOCKET, SO_TYPE), option(fd, SOL_SOCKET, SO_PROTOCOL));
        puts("");
        close(fd);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    RES(fcntl(fd, F_GETFL));
    RES(fcntl(fd, F_GETFD));
    struct stat st;
    RES(fstat(fd, &st));
    printf("%o %d\n", st.st_mode, (int)st.st_size);
    RES(lseek(fd, 0, SEEK_SET));
    int sv[2];
    RES(socketpair(AF_INET, SOCK_STREAM, 0, sv));
    close(fd);
}

static void binding(void)
{
    static const char *addresses[] = {"127.0.0.1", "0.0.0.0", "127.5.6.7", "127.255.255.255", "192.0.2.1", "10.99.99.99", "255.255.255.255", "224.0.0.1"};
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int r = bind4(fd, addresses[i], 0);
        int port = r == 0 ? port_of(fd) : 0;
        printf("bind %s: %s %s\n", addresses[i], r ? conf_errno(errno) : "ok", name_of(fd, 0));
        CHECK(r || (port >= 32768 && port <= 60999));
        close(fd);
    }
    int a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in n = in4("127.0.0.1", 0);
    RES(bind(a, (struct sockaddr *)&n, 8));
    n.sin_family = AF_UNIX;
    RES(bind(a, (struct sockaddr *)&n, sizeof n));
    n.sin_family = AF_UNSPEC;
    RES(bind(a, (struct sockaddr *)&n, sizeof n));
    RES(bind4(a, "127.0.0.1", 0));
    RES(bind4(a, "127.0.0.1", 0)); // has a name already
    int port = port_of(a);
    RES(bind4(b, "127.0.0.1", port));
    RES(bind4(b, "0.0.0.0", port));
    RES(bind4(b, "127.0.0.2", port)); // another address
    close(b);
    // SO_REUSEADDR on both lets them share a port until one listens
    RES(set_option(a, SOL_SOCKET, SO_REUSEADDR, 1));
    b = socket(AF_INET, SOCK_STREAM, 0);
    RES(bind4(b, "127.0.0.1", port));
    RES(set_option(b, SOL_SOCKET, SO_REUSEADDR, 1));
    RES(bind4(b, "127.0.0.1", port));
    RES(listen(a, 1));
    RES(listen(b, 1));
    close(b);
    b = socket(AF_INET, SOCK_STREAM, 0);
    set_option(b, SOL_SOCKET, SO_REUSEADDR, 1);
    RES(bind4(b, "127.0.0.1", port));
    close(a);
    RES(bind4(b, "127.0.0.1", port));
    close(b);
    // listen() without bind() draws a port
    a = socket(AF_INET, SOCK_STREAM, 0);
    RES(listen(a, 1));
    CHECK(port_of(a) >= 32768);
    printf("%s\n", name_of(a, 0));
    RES(listen(a, 5));
    RES(option(a, SOL_SOCKET, SO_ACCEPTCONN));
    RES(connect4(a, "127.0.0.1", port_of(a)));
    close(a);
}

static void reuse_port(void)
{
    int l[2], got[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        l[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        RES(set_option(l[i], SOL_SOCKET, SO_REUSEPORT, 1));
        RES(bind4(l[i], "127.0.0.1", i == 0 ? 0 : port_of(l[0])));
        RES(listen(l[i], 64));
    }
    int c[64];
    for (int i = 0; i < 64; i++) {
        c[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect4(c[i], "127.0.0.1", port_of(l[0])) == 0);
    }
    conf_sleep_ms(20);
    for (int i = 0; i < 2; i++)
        for (int fd; (fd = accept(l[i], NULL, NULL)) >= 0; got[i]++)
            close(fd);
    CHECK(got[0] + got[1] == 64 && got[0] > 0 && got[1] > 0);
    for (int i = 0; i < 64; i++)
        close(c[i]);
    close(l[0]);
    close(l[1]);
}

static void connecting(void)
{
    int l = listener4(8), port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    printf("%x\n", events_of(c, 0)); // not connected: hung up and writable
    RES(connect4(c, "127.0.0.9", port) == -1 ? -errno : 0);
    close(c);
    c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in n = in4("127.0.0.1", port);
    RES(connect(c, (struct sockaddr *)&n, 8));
    n.sin_family = AF_INET6;
    RES(connect(c, (struct sockaddr *)&n, sizeof n));
    RES(send(c, "x", 1, MSG_NOSIGNAL));
    char b[64];
    RES(recv(c, b, sizeof b, 0));
    RES(shutdown(c, SHUT_RDWR));
    printf("%s %s\n", name_of(c, 0), name_of(c, 1));
    RES(connect4(c, "127.0.0.1", port));
    RES(connect4(c, "127.0.0.1", port));
    RES(send(c, "x", 1, MSG_NOSIGNAL)); // the shutdown before still holds
    printf("%s %s\n", name_of(c, 0), name_of(c, 1));
    struct sockaddr_in from = {0};
    socklen_t size = sizeof from;
    int s = accept(l, (struct sockaddr *)&from, &size);
    CHECK(size == sizeof from && ntohs(from.sin_port) == port_of(c));
    printf("%s %s\n", name_of(s, 0), name_of(s, 1));
    CHECK(port_of(s) == port);
    RES(listen(c, 1));
    RES(accept(c, NULL, NULL));
    close(c);
    close(s);
    close(l);
    // nobody listens any more
    c = socket(AF_INET, SOCK_STREAM, 0);
    RES(connect4(c, "127.0.0.1", port));
    RES(option(c, SOL_SOCKET, SO_ERROR));
    RES(connect4(c, "127.0.0.1", port)); // again: a new attempt
    close(c);
    // 0.0.0.0 means this machine
    l = listener4(8);
    c = socket(AF_INET, SOCK_STREAM, 0);
    RES(connect4(c, "0.0.0.0", port_of(l)));
    printf("%s\n", name_of(c, 1));
    // AF_UNSPEC undoes a connection
    n = in4("0.0.0.0", 0);
    n.sin_family = AF_UNSPEC;
    RES(connect(c, (struct sockaddr *)&n, sizeof n));
    printf("%s %s\n", name_of(c, 0), name_of(c, 1));
    s = accept(l, NULL, NULL);
    RES(recv(s, b, sizeof b, 0));
    close(s);
    RES(connect4(c, "127.0.0.1", port_of(l)));
    close(c);
    close(l);
}

static void not_blocking(void)
{
    int l = listener4(8), port = port_of(l);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    RES(connect4(c, "127.0.0.1", port));
    printf("%x\n", events_of(c, POLLOUT));
    RES(option(c, SOL_SOCKET, SO_ERROR));
    RES(connect4(c, "127.0.0.1", port));
    RES(connect4(c, "127.0.0.1", port));
    close(c);
    int s = accept(l, NULL, NULL);
    fcntl(l, F_SETFL, O_NONBLOCK);
    RES(accept(l, NULL, NULL));
    close(s);
    close(l);
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    RES(connect4(c, "127.0.0.1", port));
    printf("%x\n", events_of(c, POLLERR));
    RES(option(c, SOL_SOCKET, SO_ERROR));
    RES(option(c, SOL_SOCKET, SO_ERROR));
    printf("%x\n", events_of(c, 0));
    close(c);
    // a full backlog: the third waits until somebody is accepted
    l = listener4(1);
    int q[3];
    for (int i = 0; i < 3; i++) {
        q[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        RES(connect4(q[i], "127.0.0.1", port_of(l)));
    }
    printf("%x %x\n", events_of(q[0], POLLOUT), events_of(q[1], POLLOUT));
    conf_sleep_ms(20);
    printf("%x\n", events_of(q[2], 0));
    RES(connect4(q[2], "127.0.0.1", port_of(l)));
    RES(send(q[2], "x", 1, MSG_NOSIGNAL));
    char b[4];
    RES(recv(q[2], b, 4, 0));
    RES(getpeername(q[2], (struct sockaddr *)&(struct sockaddr_in){0}, &(socklen_t){16}));
    s = accept(l, NULL, NULL);
    for (int i = 0; i < 4000 && !(events_of(q[2], 0) & POLLOUT); i++)
        conf_sleep_ms(1);
    printf("%x\n", events_of(q[2], 0));
    RES(connect4(q[2], "127.0.0.1", port_of(l)));
    close(s);
    for (int i = 0; i < 3; i++)
        close(q[i]);
    close(l);
}

static void moving(void)
{
    int s[2];
    char b[64] = "";
    tcp_pair(s);
    printf("%x %x\n", events_of(s[0], POLLOUT), events_of(s[1], POLLOUT));
    RES(send(s[0], "hello world", 11, 0));
    printf("%x\n", events_of(s[1], POLLIN));
    int n = 0;
    RES(ioctl(s[1], FIONREAD, &n));
    RES(n);
    RES(recv(s[1], b, 5, MSG_PEEK));
    RES(recv(s[1], b, 5, 0));
    RES(recv(s[1], b, 64, MSG_TRUNC)); // thrown away
    RES(recv(s[1], b, 64, MSG_DONTWAIT));
    RES(sendto(s[0], "to", 2, 0, (struct sockaddr *)&(struct sockaddr_in){0}, sizeof(struct sockaddr_in))); // the address does not count
    struct iovec v[2] = {{b, 1}, {b + 10, 8}};
    struct sockaddr_in from;
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = v, .msg_iovlen = 2};
    events_of(s[1], POLLIN);
    RES(recvmsg(s[1], &m, 0));
    printf("%c%c %d %x\n", b[0], b[10], (int)m.msg_namelen, (unsigned)m.msg_flags);
    RES(write(s[0], "", 0));
    struct mmsghdr mm[3] = {0};
    struct iovec w[3] = {{"ab", 2}, {"cd", 2}, {"ef", 2}};
    for (int i = 0; i < 3; i++)
        mm[i].msg_hdr = (struct msghdr){.msg_iov = &w[i], .msg_iovlen = 1};
    RES(sendmmsg(s[0], mm, 3, 0));
    RES(recv(s[1], b, 6, MSG_WAITALL));
    printf("%.6s\n", b);
    RES(read(s[1], b, 0));
    RES(recv(s[1], b, 0, MSG_DONTWAIT));
    struct timeval t = {0, 20000};
    setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    RES(recv(s[1], b, 1, 0));
    RES(send(s[0], "abc", 3, 0));
    RES(recv(s[1], b, 6, MSG_WAITALL)); // what came before the time was over
    RES(recv(s[1], b, 6, MSG_ERRQUEUE));
    close(s[0]);
    close(s[1]);
}

static void *drain(void *arg)
{
    static char b[65536];
    long total = 0;
    for (ssize_t n; (n = read((int)(long)arg, b, sizeof b)) > 0;)
        total += n;
    return (void *)total;
}

static void bulk(void)
{
    int s[2];
    tcp_pair(s);
    static char b[1 << 20];
    pthread_t t;
    void *total;
    pthread_create(&t, NULL, drain, (void *)(long)s[1]);
    for (int i = 0; i < 32; i++)
        CHECK(write(s[0], b, sizeof b) == sizeof b);
    shutdown(s[0], SHUT_WR);
    pthread_join(t, &total);
    RES((long)total);
    close(s[0]);
    close(s[1]);
    // a writer that must not wait fills the other side, which then has to be read before there is room
    tcp_pair(s);
    fcntl(s[0], F_SETFL, O_NONBLOCK);
    long sent = 0, got = 0;
    for (ssize_t n; (n = write(s[0], b, sizeof b)) > 0 || (events_of(s[0], 0) & POLLOUT);)
        sent += n > 0 ? n : 0;
    CHECK(sent > 65536);
    printf("%x\n", events_of(s[0], 0));
    for (ssize_t n; got < sent && (n = read(s[1], b, sizeof b)) > 0;)
        got += n;
    CHECK(got == sent);
    printf("%x\n", events_of(s[0], POLLOUT));
    close(s[0]);
    close(s[1]);
    // sendfile and splice
    tcp_pair(s);
    int f = memfd_create("data", 0), p[2];
    CHECK(write(f, b, 100000) == 100000 && pipe(p) == 0);
    off_t at = 0;
    pthread_create(&t, NULL, drain, (void *)(long)s[1]);
    for (long left = 100000; left > 0;) {
        ssize_t n = sendfile(s[0], f, &at, (size_t)left);
        CHECK(n > 0);
        left -= n;
    }
    CHECK(write(p[1], "through a pipe", 14) == 14);
    RES(splice(p[0], NULL, s[0], NULL, 14, 0));
    shutdown(s[0], SHUT_WR);
    pthread_join(t, &total);
    RES((long)total);
    RES(write(s[1], "back", 4));
    RES(splice(s[0], NULL, p[1], NULL, 64, 0));
    RES(read(p[0], b, 64));
    close(f), close(p[0]), close(p[1]), close(s[0]), close(s[1]);
}

static void ends(void)
{
    int s[2];
    char b[64];
    signal(SIGPIPE, on_pipe);
    // a half-closed connection
    tcp_pair(s);
    RES(write(s[0], "last", 4));
    RES(shutdown(s[0], SHUT_WR));
    printf("%x\n", events_of(s[1], POLLRDHUP));
    RES(read(s[1], b, 64));
    RES(read(s[1], b, 64));
    RES(read(s[1], b, 64));
    printf("%x %x\n", events_of(s[0], 0), events_of(s[1], 0));
    RES(write(s[0], "x", 1));
    RES(pipes);
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    RES(pipes);
    RES(write(s[1], "answer", 6));
    RES(read(s[0], b, 64));
    RES(shutdown(s[1], SHUT_WR));
    printf("%x %x\n", events_of(s[0], POLLHUP), events_of(s[1], POLLHUP));
    RES(read(s[0], b, 64));
    printf("%s\n", name_of(s[0], 1)); // over on both sides: no peer
    RES(shutdown(s[0], SHUT_RDWR));
    RES(shutdown(s[0], 7));
    close(s[0]), close(s[1]);
    // reading shut: data still comes through
    tcp_pair(s);
    RES(shutdown(s[1], SHUT_RD));
    printf("%x\n", events_of(s[1], POLLRDHUP));
    RES(read(s[1], b, 64));
    RES(write(s[0], "more", 4));
    conf_sleep_ms(5);
    RES(read(s[1], b, 64));
    RES(read(s[1], b, 64));
    close(s[0]), close(s[1]);
    // the peer closed: what it sent is read, the first write goes, the second does not
    tcp_pair(s);
    RES(write(s[1], "bye", 3));
    close(s[1]);
    printf("%x\n", events_of(s[0], POLLRDHUP));
    RES(read(s[0], b, 64));
    RES(read(s[0], b, 64));
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    printf("%x\n", events_of(s[0], POLLERR));
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    RES(read(s[0], b, 64));
    printf("%x %s\n", events_of(s[0], 0), name_of(s[0], 1));
    close(s[0]);
    // closed with unread data: a reset
    tcp_pair(s);
    RES(write(s[0], "unread", 6));
    RES(write(s[1], "sent before", 11));
    events_of(s[1], POLLIN);
    close(s[1]);
    printf("%x\n", events_of(s[0], POLLERR));
    RES(option(s[0], SOL_SOCKET, SO_ERROR));
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    close(s[0]);
    tcp_pair(s);
    RES(write(s[0], "unread", 6));
    events_of(s[1], POLLIN);
    close(s[1]);
    printf("%x\n", events_of(s[0], POLLERR));
    RES(read(s[0], b, 64));
    RES(read(s[0], b, 64));
    RES(write(s[0], "x", 1));
    close(s[0]);
    // SO_LINGER with no time: a reset, too
    tcp_pair(s);
    struct linger now = {1, 0};
    RES(setsockopt(s[1], SOL_SOCKET, SO_LINGER, &now, sizeof now));
    close(s[1]);
    printf("%x\n", events_of(s[0], POLLERR));
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    RES(read(s[0], b, 64));
    close(s[0]);
    // a listener that closes resets whom it did not accept
    int l = listener4(4), c = socket(AF_INET, SOCK_STREAM, 0);
    RES(connect4(c, "127.0.0.1", port_of(l)));
    close(l);
    events_of(c, POLLERR);
    RES(read(c, b, 64));
    close(c);
    // a client that is gone before it is accepted
    l = listener4(4), c = socket(AF_INET, SOCK_STREAM, 0);
    RES(connect4(c, "127.0.0.1", port_of(l)));
    RES(write(c, "early", 5));
    close(c);
    c = accept(l, NULL, NULL);
    RES(read(c, b, 64));
    RES(read(c, b, 64));
    close(c);
    RES(shutdown(l, SHUT_RD));
    RES(accept(l, NULL, NULL));
    RES(shutdown(l, SHUT_RD));
    close(l);
    signal(SIGPIPE, SIG_DFL);
}

static void *shut_soon(void *arg)
{
    conf_sleep_ms(30);
    shutdown((int)(long)arg, SHUT_RDWR);
    return NULL;
}

static void waiting(void)
{
    int s[2];
    char b[8];
    pthread_t t;
    tcp_pair(s);
    pthread_create(&t, NULL, shut_soon, (void *)(long)s[0]);
    RES(read(s[0], b, 8)); // woken by the shutdown of another thread
    pthread_join(t, NULL);
    close(s[0]), close(s[1]);
    int l = listener4(4);
    pthread_create(&t, NULL, shut_soon, (void *)(long)l);
    RES(accept(l, NULL, NULL));
    pthread_join(t, NULL);
    close(l);
    l = listener4(4);
    struct timeval tv = {0, 20000};
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    RES(accept(l, NULL, NULL));
    close(l);
    // epoll: edges and the masks of ends
    tcp_pair(s);
    int e = epoll_create1(0);
    struct epoll_event v = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {0}}, got[4];
    RES(epoll_ctl(e, EPOLL_CTL_ADD, s[1], &v));
    RES(epoll_wait(e, got, 4, 1000));
    printf("%x\n", got[0].events);
    RES(epoll_wait(e, got, 4, 0));
    RES(write(s[0], "x", 1));
    RES(epoll_wait(e, got, 4, 1000));
    printf("%x\n", got[0].events);
    RES(shutdown(s[0], SHUT_WR));
    RES(epoll_wait(e, got, 4, 1000));
    printf("%x\n", got[0].events);
    close(e), close(s[0]), close(s[1]);
}

static void urgent(void)
{
    int s[2], mark = -1;
    char b[16] = "";
    tcp_pair(s);
    RES(recv(s[1], b, 1, MSG_OOB));
    RES(send(s[0], "abcX", 4, MSG_OOB));
    printf("%x\n", events_of(s[1], POLLPRI | POLLIN));
    RES(send(s[0], "def", 3, 0));
    RES(recv(s[1], b, 1, MSG_OOB));
    printf("%c\n", b[0]);
    RES(recv(s[1], b, 1, MSG_OOB));
    conf_sleep_ms(5);
    RES(recv(s[1], b, 16, 0)); // up to the mark
    RES(ioctl(s[1], SIOCATMARK, &mark));
    RES(mark);
    RES(recv(s[1], b, 16, 0));
    printf("%.3s\n", b);
    RES(ioctl(s[1], SIOCATMARK, &mark));
    RES(mark);
    RES(set_option(s[1], SOL_SOCKET, SO_OOBINLINE, 1));
    RES(send(s[0], "ghY", 3, MSG_OOB));
    events_of(s[1], POLLIN);
    RES(recv(s[1], b, 16, 0));
    RES(recv(s[1], b, 16, 0));
    printf("%c\n", b[0]);
    close(s[0]), close(s[1]);
}

// /proc/net/tcp has a line for the listener, with its port, state and inode.
static void tables(void)
{
    int l = listener4(4), found = 0;
    struct stat st;
    CHECK(fstat(l, &st) == 0);
    FILE *f = fopen("/proc/net/tcp", "r");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        unsigned address, port, state, uid;
        unsigned long inode;
        if (sscanf(line, " %*d: %x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %u %*d %lu", &address, &port, &state, &uid, &inode) == 5 && (int)port == port_of(l)) {
            found++;
            printf("%08x %02x %d %d %d\n", address, state, uid == getuid(), inode == st.st_ino, (int)strlen(line));
        }
    }
    RES(found);
    if (f)
        fclose(f);
    close(l);
}

static void processes(void)
{
    int l = listener4(16), port = port_of(l);
    for (int i = 0; i < 4; i++)
        if (fork() == 0) {
            int c = socket(AF_INET, SOCK_STREAM, 0);
            char b[16];
            if (connect4(c, "127.0.0.1", port) || write(c, "ping", 4) != 4 || read(c, b, 16) != 4)
                _exit(1);
            _exit(memcmp(b, "pong", 4) != 0);
        }
    for (int i = 0; i < 4; i++) {
        char b[16];
        int c = accept4(l, NULL, NULL, SOCK_CLOEXEC);
        CHECK(read(c, b, 16) == 4 && write(c, "pong", 4) == 4);
        close(c);
    }
    for (int i = 0, status; i < 4; i++)
        CHECK(wait(&status) > 0 && status == 0);
    close(l);
}

int main(void)
{
    making();
    binding();
    reuse_port();
    connecting();
    not_blocking();
    moving();
    bulk();
    ends();
    waiting();
    urgent();
    tables();
    processes();
    return conf_end();
}
