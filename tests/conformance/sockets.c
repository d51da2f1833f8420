// Unix sockets, descriptors and credentials in messages, memory files, splicing, /dev and /proc as programs use them.
#include "conf.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

static short ready(int fd, short events)
{
    struct pollfd p = {fd, events, 0};
    poll(&p, 1, 0);
    return p.revents;
}

static void stream_pair(void)
{
    int s[2];
    char b[64];
    RES(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    RES(send(s[0], "hello", 5, 0));
    RES(recv(s[1], b, 2, MSG_PEEK));
    int n = 0;
    RES(ioctl(s[1], FIONREAD, &n));
    RES(n);
    RES(recv(s[1], b, sizeof b, 0));
    RES(recv(s[1], b, sizeof b, MSG_DONTWAIT));
    printf("%x %x\n", ready(s[0], POLLIN | POLLOUT), ready(s[1], POLLIN | POLLRDHUP));
    RES(shutdown(s[0], SHUT_WR));
    printf("%x\n", ready(s[1], POLLIN | POLLRDHUP));
    RES(recv(s[1], b, sizeof b, 0));
    RES(send(s[1], "back", 4, 0));
    RES(send(s[0], "x", 1, MSG_NOSIGNAL));
    RES(close(s[1]));
    RES(recv(s[0], b, sizeof b, 0));
    RES(recv(s[0], b, sizeof b, 0));
    printf("%x\n", ready(s[0], POLLIN | POLLOUT | POLLRDHUP));
    close(s[0]);
    RES(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    RES(write(s[1], "unread", 6));
    close(s[0]);
    RES(recv(s[1], b, sizeof b, 0)); // reset: what it sent was never read
    RES(recv(s[1], b, sizeof b, 0));
    close(s[1]);
}

static void *echo_once(void *listener)
{
    char b[16];
    int c = accept4((int)(long)listener, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n = read(c, b, sizeof b);
    CHECK(write(c, b, (size_t)n) == n);
    close(c);
    return NULL;
}

static void names(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"}, got;
    socklen_t length = sizeof got;
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    RES(listen(l, 5));
    RES(connect(c, (struct sockaddr *)&a, sizeof a));
    RES(bind(l, (struct sockaddr *)&a, sizeof a));
    RES(bind(l, (struct sockaddr *)&a, sizeof a));
    RES(connect(c, (struct sockaddr *)&a, sizeof a));
    RES(listen(l, 5));
    struct stat st;
    RES(stat("sock", &st));
    RES(S_ISSOCK(st.st_mode));
    RES(open("sock", O_RDWR));
    pthread_t t;
    pthread_create(&t, NULL, echo_once, (void *)(long)l);
    RES(connect(c, (struct sockaddr *)&a, offsetof(struct sockaddr_un, sun_path) + 5));
    char b[16];
    RES(write(c, "ping", 4));
    RES(read(c, b, sizeof b));
    pthread_join(t, NULL);
    RES(getpeername(c, (struct sockaddr *)&got, &length));
    RES(length);
    length = sizeof got;
    RES(getsockname(c, (struct sockaddr *)&got, &length));
    RES(length);
    RES(connect(c, (struct sockaddr *)&a, sizeof a));
    int on = 0;
    length = sizeof on;
    RES(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &on, &length));
    RES(on);
    RES(getsockopt(c, SOL_SOCKET, SO_TYPE, &on, &length));
    RES(on);
    close(c);
    close(l);
    c = socket(AF_UNIX, SOCK_STREAM, 0);
    RES(connect(c, (struct sockaddr *)&a, sizeof a));
    close(c);
    RES(unlink("sock"));
}

static void datagrams(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = ""}, from;
    snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "c%010d", (int)getpid()); // natively other runs use such names at the same time
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 12, length = sizeof from;
    int r = socket(AF_UNIX, SOCK_DGRAM, 0), s = socket(AF_UNIX, SOCK_DGRAM, 0);
    char b[16];
    RES(bind(r, (struct sockaddr *)&a, size));
    RES(send(s, "x", 1, 0));
    RES(sendto(s, "first", 5, 0, (struct sockaddr *)&a, size));
    RES(connect(s, (struct sockaddr *)&a, size));
    RES(send(s, "second", 6, 0));
    RES(recvfrom(r, b, sizeof b, 0, (struct sockaddr *)&from, &length));
    RES(length);
    RES(recv(r, b, 3, MSG_TRUNC));
    close(r);
    RES(send(s, "x", 1, 0));
    close(s);
    int q[2];
    RES(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, q));
    struct iovec v[2] = {{"ab", 2}, {"cd", 2}};
    struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = v, .msg_iovlen = 2}}, {.msg_hdr = {.msg_iov = v, .msg_iovlen = 1}}};
    RES(sendmmsg(q[0], m, 2, 0));
    struct iovec w = {b, sizeof b};
    struct mmsghdr g[2] = {{.msg_hdr = {.msg_iov = &w, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &w, .msg_iovlen = 1}}};
    RES(recvmmsg(q[1], g, 2, MSG_DONTWAIT, NULL));
    printf("%u %u\n", g[0].msg_len, g[1].msg_len);
    close(q[0]);
    RES(recv(q[1], b, sizeof b, 0));
    close(q[1]);
}

static void control(void)
{
    int s[2], p[2], on = 1;
    char b[16], space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {0};
    RES(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    RES(pipe(p));
    RES(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    struct iovec v = {"m", 1}, w = {b, sizeof b};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = CMSG_SPACE(sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(h), &p[1], sizeof(int));
    RES(sendmsg(s[0], &m, 0));
    close(p[1]);
    struct msghdr g = {.msg_iov = &w, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    RES(recvmsg(s[1], &g, MSG_CMSG_CLOEXEC));
    RES(g.msg_controllen);
    for (h = CMSG_FIRSTHDR(&g); h; h = CMSG_NXTHDR(&g, h)) {
        if (h->cmsg_type == SCM_CREDENTIALS) {
            struct ucred u;
            memcpy(&u, CMSG_DATA(h), sizeof u);
            CHECK(u.pid == getpid() && u.uid == getuid());
        } else {
            int fd;
            memcpy(&fd, CMSG_DATA(h), sizeof fd);
            RES(fcntl(fd, F_GETFD));
            RES(write(fd, "through", 7));
            close(fd);
        }
    }
    RES(read(p[0], b, sizeof b));
    RES(read(p[0], b, sizeof b)); // the last writer is gone
    close(p[0]);
    struct ucred u;
    socklen_t length = sizeof u;
    RES(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &length));
    CHECK(u.pid == getpid());
    close(s[0]);
    close(s[1]);
}

static void memory_files(void)
{
    char b[32], path[40];
    int f = memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC), p[2];
    RES(ftruncate(f, 8192));
    RES(pwrite(f, "abcdefgh", 8, 0));
    snprintf(path, sizeof path, "/proc/self/fd/%d", f);
    memset(b, 0, sizeof b);
    RES(readlink(path, b, sizeof b - 1));
    puts(b);
    RES(fcntl(f, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
    RES(fcntl(f, F_GET_SEALS));
    RES(pwrite(f, "x", 1, 0));
    RES(ftruncate(f, 0));
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0) == MAP_FAILED && errno == EPERM);
    RES(pipe(p));
    loff_t at = 2;
    RES(splice(f, &at, p[1], NULL, 3, 0));
    RES(at);
    struct iovec v = {"vm", 2};
    RES(vmsplice(p[1], &v, 1, 0));
    memset(b, 0, sizeof b);
    RES(read(p[0], b, sizeof b));
    puts(b);
    RES(splice(p[0], NULL, f, NULL, 3, SPLICE_F_NONBLOCK));
    close(p[0]);
    close(p[1]);
    close(f);
}

static void devices(void)
{
    char b[8] = "xxxxxxx";
    int z = open("/dev/zero", O_RDWR), n = open("/dev/null", O_RDWR), f = open("/dev/full", O_RDWR);
    RES(read(z, b, 8));
    RES(b[0] | b[7]);
    RES(read(n, b, 8));
    RES(write(n, b, 8));
    RES(write(f, b, 8));
    RES(lseek(z, 10, SEEK_SET));
    char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, z, 0);
    CHECK(m != MAP_FAILED && m[5000] == 0);
    int c = open("/proc/self/comm", O_RDWR);
    RES(write(c, "renamed", 7));
    memset(b, 0, sizeof b);
    RES(pread(c, b, 7, 0));
    RES(strcmp(b, "renamed"));
    int mem = open("/proc/self/mem", O_RDONLY), value = 77, seen = 0;
    RES(pread(mem, &seen, sizeof seen, (off_t)(long)&value));
    RES(seen);
    RES(open("/proc/self/fd/9999", O_RDONLY));
    RES(open("/proc/nothing", O_RDONLY));
}

int main(int argc, char **argv)
{
    conf_enter_dir(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    stream_pair();
    names();
    datagrams();
    control();
    memory_files();
    devices();
    return conf_end();
}
