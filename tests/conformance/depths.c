// What a program can make deep, wide or circular: epoll instances that watch each other in long chains, in layers or (by two threads) in a
// circle, files that are nearly all hole. None of it may take a call without end, or more of the kernel's stack than there is.
#include "conf.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>

// A chain that is made from above, so that each new link has nothing below it yet.
static void epoll_chain(int depth)
{
    int ends[2], made = 0, *chain = calloc((size_t)depth, sizeof(int));
    struct epoll_event e = {.events = EPOLLIN}, got;
    CHECK(pipe(ends) == 0);
    for (; made < depth; ++made) {
        chain[made] = epoll_create1(0);
        CHECK(chain[made] >= 0);
        if (made > 0 && epoll_ctl(chain[made - 1], EPOLL_CTL_ADD, chain[made], &e) != 0) {
            CHECK(errno == ELOOP || errno == EINVAL);
            ++made;
            break;
        }
    }
    if (epoll_ctl(chain[made - 1], EPOLL_CTL_ADD, ends[0], &e) != 0) CHECK(errno == ELOOP || errno == EINVAL);
    CHECK(write(ends[1], "x", 1) == 1);
    struct pollfd p = {.fd = chain[0], .events = POLLIN};
    CHECK(poll(&p, 1, 0) >= 0);
    CHECK(epoll_wait(chain[0], &got, 1, 0) >= 0);
    for (int i = 0; i < made; ++i) close(chain[i]);
    close(ends[0]);
    close(ends[1]);
    free(chain);
}

// Layers of instances each of which watches all of the next layer: few instances, very many ways through them.
static void epoll_layers(void)
{
    enum { LAYERS = 4, WIDTH = 48 };
    static int fds[LAYERS][WIDTH];
    struct epoll_event e = {.events = EPOLLIN};
    for (int l = LAYERS - 1; l >= 0; --l)
        for (int i = 0; i < WIDTH; ++i) {
            CHECK((fds[l][i] = epoll_create1(0)) >= 0);
            for (int k = 0; l + 1 < LAYERS && k < WIDTH; ++k)
                if (epoll_ctl(fds[l][i], EPOLL_CTL_ADD, fds[l + 1][k], &e) != 0) CHECK(errno == ELOOP || errno == EINVAL);
        }
    for (int l = 0; l < LAYERS; ++l)
        for (int i = 0; i < WIDTH; ++i) close(fds[l][i]);
}

// Two threads add two instances to each other at a time: one of them must be refused.
static int circle[2], circle_results[2];
static pthread_barrier_t together;

static void *close_circle(void *which)
{
    int me = (int)(long)which;
    struct epoll_event e = {.events = EPOLLIN};
    for (int i = 0; i < 500; ++i) {
        pthread_barrier_wait(&together);
        circle_results[me] = epoll_ctl(circle[me], EPOLL_CTL_ADD, circle[!me], &e);
        pthread_barrier_wait(&together);
        if (me == 0) {
            CHECK(circle_results[0] != 0 || circle_results[1] != 0);
            if (circle_results[0] == 0) CHECK(epoll_ctl(circle[0], EPOLL_CTL_DEL, circle[1], &e) == 0);
            if (circle_results[1] == 0) CHECK(epoll_ctl(circle[1], EPOLL_CTL_DEL, circle[0], &e) == 0);
        }
    }
    return NULL;
}

static void epoll_circle(void)
{
    pthread_t other;
    circle[0] = epoll_create1(0);
    circle[1] = epoll_create1(0);
    CHECK(circle[0] >= 0 && circle[1] >= 0);
    pthread_barrier_init(&together, NULL, 2);
    CHECK(pthread_create(&other, NULL, close_circle, (void *)1L) == 0);
    close_circle((void *)0L);
    pthread_join(other, NULL);
    close(circle[0]);
    close(circle[1]);
}

// One thread adds what another one takes out and closes meanwhile.
static atomic_int victim = -1, finished;

static void *remover(void *instance)
{
    struct epoll_event e = {.events = EPOLLIN};
    while (!finished) {
        int fd = victim;
        if (fd < 0) continue;
        epoll_ctl((int)(long)instance, EPOLL_CTL_DEL, fd, &e);
    }
    return NULL;
}

static void *closer(void *unused)
{
    (void)unused;
    while (!finished) {
        int fd = atomic_exchange(&victim, -1);
        if (fd >= 0) close(fd);
    }
    return NULL;
}

static void add_against_close(void *(*against)(void *))
{
    pthread_t other;
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    finished = 0;
    CHECK(pthread_create(&other, NULL, against, (void *)(long)ep) == 0);
    for (int i = 0; i < 2000; ++i) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        victim = ends[0];
        for (int k = 0; k < 3; ++k) epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &e);
        while (against == closer && victim >= 0) {}
        if (against != closer) {
            victim = -1;
            close(ends[0]);
        }
        close(ends[1]);
    }
    finished = 1;
    pthread_join(other, NULL);
    close(ep);
}

static void holes(void)
{
    const off_t size = (off_t)1 << 50;
    int fd = memfd_create("holes", 0);
    CHECK(fd >= 0 && ftruncate(fd, size) == 0);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 'a', 8192);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, size - 200) == 0);
    CHECK(p[99] == 'a' && p[100] == 0 && p[4095] == 0 && p[4096] == 0 && p[8191] == 0);
    CHECK(munmap(p, 8192) == 0 && close(fd) == 0);
}

int main(int argc, char **argv)
{
    alarm(100);
    if (argc > 2) {  // one of them alone
        if (*argv[2] == 'a') add_against_close(remover), add_against_close(closer);
        if (*argv[2] == 'c') epoll_circle();
        if (*argv[2] == 'l') epoll_layers();
        if (*argv[2] == 'h') holes();
        return conf_failures != 0;
    }
    epoll_chain(500);
    puts("chain");
    epoll_layers();
    puts("layers");
    epoll_circle();
    puts("circle");
    add_against_close(remover);
    add_against_close(closer);
    puts("added against");
    holes();
    puts("holes");
    return conf_failures != 0;
}
