// MSG_PEEK while others read the same datagrams and records: what is seen of a message is all of it, bytes and descriptors alike.
#include "conf.h"
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

enum { MESSAGES = 2000, MOST = 4, END = 100 };

struct end {
    int fd, flags;
    long seen;
};

// A message whose byte is the number of its descriptors.
static void give(int to, int count, int fd)
{
    char byte = (char)count;
    struct iovec iov = {&byte, 1};
    char control[CMSG_SPACE(sizeof(int) * MOST)];
    memset(control, 0, sizeof control);
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    int fds[MOST];
    for (int i = 0; i < MOST; i++) fds[i] = fd;
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    CHECK(sendmsg(to, &msg, 0) == 1);
}

static void *receive(void *argument)
{
    struct end *end = argument;
    for (;;) {
        char byte = 0;
        struct iovec iov = {&byte, 1};
        char control[CMSG_SPACE(sizeof(int) * MOST)];
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        // Not asleep in recvmsg(): Linux wakes one sleeper for a message, and if he only peeks the others sleep on.
        struct pollfd p = {.fd = end->fd, .events = POLLIN};
        CHECK(poll(&p, 1, -1) == 1);
        ssize_t got = recvmsg(end->fd, &msg, end->flags | MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) continue;
        CHECK(got == 1);
        if (got != 1) return NULL;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        int count = c ? (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;
        for (int i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + sizeof(int) * (size_t)i, sizeof fd);
            CHECK(close(fd) == 0);
        }
        if (byte == END) return NULL;
        CHECK(count == byte);
        end->seen++;
    }
}

static void peeked(const char *what, int type)
{
    int fds[2], pipe_fds[2];
    CHECK(socketpair(AF_UNIX, type, 0, fds) == 0);
    CHECK(pipe(pipe_fds) == 0);
    struct end ends[4] = {{.fd = fds[1]}, {.fd = fds[1]}, {.fd = fds[1], .flags = MSG_PEEK}, {.fd = fds[1], .flags = MSG_PEEK}};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, receive, &ends[i]) == 0);
    for (int i = 0; i < MESSAGES; i++) give(fds[0], 1 + i % MOST, pipe_fds[1]);
    // Each reader takes one; the last one stays until those who peek have seen it.
    char end = END;
    for (int i = 0; i < 3; i++) CHECK(send(fds[0], &end, 1, 0) == 1);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    CHECK(ends[0].seen + ends[1].seen == MESSAGES);
    close(fds[0]);
    close(fds[1]);
    // No descriptor is left anywhere: the pipe is at its end.
    close(pipe_fds[1]);
    char byte;
    printf("%s: %ld read, then %zd\n", what, ends[0].seen + ends[1].seen, read(pipe_fds[0], &byte, 1));
    close(pipe_fds[0]);
}

int main(void)
{
    peeked("datagrams", SOCK_DGRAM);
    peeked("records", SOCK_SEQPACKET);
    return conf_failures != 0;
}
