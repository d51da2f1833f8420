// What runs in the enclave while the host attacks it (hostile_test.cc): threads that check their memory, registers, signals, faults,
// pipes, files and clocks all the time. Exit status: 0 everything held; 3 a call failed for want of something (memory, the host);
// 4 memory could not be had at an access; 1 something was wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { threads = 4, page = 4096, pages = 12 };
static int rounds = 4;

static void say(const char *what, long a, long b)
{
    char line[160];
    int n = snprintf(line, sizeof line, "victim: %s (%ld, %ld)\n", what, a, b);
    if (write(2, line, (size_t)n) < 0)
        return; // the host's console: it may refuse
}

static void wrong(const char *what, long a, long b)
{
    say(what, a, b);
    _exit(1);
}
#define MUST(cond, a, b) ((cond) ? (void)0 : wrong(#cond, (long)(a), (long)(b)))

// A call that the host can make fail.
static long got(long value, const char *what)
{
    if (value != -1)
        return value;
    say(what, errno, 0);
    _exit(3);
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15ull;
    x ^= x >> 29;
    return x * 0xbf58476d1ce4e5b9ull;
}

static void fill(uint64_t *at, size_t words, uint64_t seed)
{
    for (size_t i = 0; i < words; i++)
        at[i] = mix(seed + i);
}

static void verify(const uint64_t *at, size_t words, uint64_t seed, const char *what)
{
    for (size_t i = 0; i < words; i++)
        if (at[i] != mix(seed + i))
            wrong(what, (long)i, (long)at[i]);
}

// Vector and general registers keep their values whatever interrupts the loop.
static void registers(uint64_t seed)
{
    uint64_t in[4] __attribute__((aligned(16))) = {mix(seed), mix(seed + 1), mix(seed + 2), mix(seed + 3)}, out[4] __attribute__((aligned(16)));
    uint64_t r12, r13, r14, r15, left = 20000;
    uint32_t mxcsr = 0x1f80 | 0x6000, back = 0, normal = 0x1f80;
    __asm__ volatile("ldmxcsr %[mx]\n movdqa %[a], %%xmm3\n movdqa %[b], %%xmm14\n movq %[c], %%r12\n movq %[d], %%r13\n"
                     "movq %%r12, %%r14\n notq %%r14\n movq %%r13, %%r15\n notq %%r15\n"
                     "1: decq %[left]\n jnz 1b\n"
                     "movdqa %%xmm3, %[oa]\n movdqa %%xmm14, %[ob]\n stmxcsr %[bk]\n ldmxcsr %[nm]\n"
                     "movq %%r12, %[r12]\n movq %%r13, %[r13]\n movq %%r14, %[r14]\n movq %%r15, %[r15]\n"
                     : [left] "+r"(left), [oa] "=m"(*(char(*)[16])out), [ob] "=m"(*(char(*)[16])(out + 2)), [bk] "=m"(back), [r12] "=m"(r12),
                       [r13] "=m"(r13), [r14] "=m"(r14), [r15] "=m"(r15)
                     : [a] "m"(*(char(*)[16])in), [b] "m"(*(char(*)[16])(in + 2)), [c] "m"(in[0]), [d] "m"(in[1]), [mx] "m"(mxcsr), [nm] "m"(normal)
                     : "r12", "r13", "r14", "r15", "xmm3", "xmm14", "cc");
    MUST(memcmp(in, out, sizeof in) == 0, out[0], out[3]);
    MUST(r12 == in[0] && r13 == in[1] && r14 == ~in[0] && r15 == ~in[1], r12, r13);
    MUST((back & 0xffc0) == (mxcsr & 0xffc0), back, mxcsr);
}

static __thread char *trap_page;
static __thread long trapped, signalled;
static _Atomic long sent, received;

static void on_segv(int sig, siginfo_t *info, void *context)
{
    (void)context;
    char *at = info->si_addr;
    if (sig == SIGSEGV && trap_page && at >= trap_page && at < trap_page + page) {
        trapped++;
        got(mprotect(trap_page, page, PROT_READ | PROT_WRITE), "mprotect in the handler");
        return;
    }
    say("fault", sig, (long)at);
    _exit(4);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    if (info->si_code != SI_TKILL)
        return; // the host's
    signalled++;
    atomic_fetch_add(&received, 1);
}

static pthread_t all[threads];
static int ring[threads][2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long turn, shared_sum;
static pthread_barrier_t ready, finished;

static void take_turn(long me)
{
    pthread_mutex_lock(&mutex);
    while (turn % threads != me)
        pthread_cond_wait(&changed, &mutex);
    shared_sum += turn++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void faults(uint64_t seed)
{
    uint64_t *words = (uint64_t *)trap_page;
    fill(words, page / 8, seed);
    long before = trapped;
    for (int i = 0; i < 3; i++) {
        got(mprotect(trap_page, page, i == 1 ? PROT_READ : PROT_NONE), "mprotect");
        ((volatile uint64_t *)words)[i] = mix(seed + (uint64_t)i);
    }
    MUST(trapped - before == 3, trapped, before);
    verify(words, page / 8, seed, "trap page");
}

static void file(long me, uint64_t seed)
{
    char name[32];
    uint64_t out[512], in[512];
    snprintf(name, sizeof name, "/tmp/v%ld", me);
    int fd = (int)got(open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), "open");
    fill(out, 512, seed);
    MUST(got(write(fd, out, sizeof out), "write of a file") == sizeof out, 0, 0);
    MUST(got(pread(fd, in, sizeof in, 0), "read of a file") == sizeof in, 0, 0);
    verify(in, 512, seed, "file");
    close(fd);
}

static void *worker(void *arg)
{
    long me = (long)arg;
    struct timespec last = {0}, now;
    char *mine = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    got((long)mine, "mmap");
    trap_page = mine + (pages - 1) * page;
    pthread_barrier_wait(&ready);
    for (int round = 0; round < rounds; round++) {
        uint64_t seed = (uint64_t)(me * 1000003 + round * 7919);
        fill((uint64_t *)mine, (pages - 1) * page / 8, seed);
        registers(seed);
        if (pthread_sigqueue(all[(me + 1) % threads], SIGRTMIN + 1, (union sigval){0}) == 0 || pthread_kill(all[(me + 1) % threads], SIGRTMIN + 2) != 0)
            atomic_fetch_add(&sent, 0);
        if (pthread_kill(all[(me + 2) % threads], SIGRTMIN + 3) == 0)
            atomic_fetch_add(&sent, 1);
        take_turn(me);
        char *fresh = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        got((long)fresh, "mmap of fresh pages");
        for (int i = 0; i < 4 * page / 8; i++)
            MUST(((uint64_t *)fresh)[i] == 0, i, ((uint64_t *)fresh)[i]);
        fill((uint64_t *)fresh, 4 * page / 8, ~seed);
        faults(seed);
        long token = me * 100 + round, from = 0;
        MUST(got(write(ring[(me + 1) % threads][1], &token, sizeof token), "write") == sizeof token, 0, 0);
        ssize_t n;
        while ((n = read(ring[me][0], &from, sizeof from)) == -1 && errno == EINTR) {
        }
        got(n, "read");
        MUST(n == sizeof from && from == (me + threads - 1) % threads * 100 + round, n, from);
        registers(~seed);
        file(me, seed);
        verify((uint64_t *)fresh, 4 * page / 8, ~seed, "fresh pages");
        got(munmap(fresh, 4 * page), "munmap");
        clock_gettime(CLOCK_MONOTONIC, &now);
        MUST(now.tv_sec > last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec), now.tv_sec, now.tv_nsec);
        last = now;
        verify((uint64_t *)mine, (pages - 1) * page / 8, seed, "own pages");
        if (round % 2)
            nanosleep(&(struct timespec){0, 100000}, NULL);
        MUST(syscall(SYS_getpid) == getpid(), getpid(), 0);
    }
    pthread_barrier_wait(&finished);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = atoi(argv[1]);
    struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    sa.sa_sigaction = on_signal;
    sa.sa_flags = SA_SIGINFO | SA_RESTART;
    for (int i = 1; i <= 3; i++)
        sigaction(SIGRTMIN + i, &sa, NULL);
    pthread_barrier_init(&ready, NULL, threads + 1);
    pthread_barrier_init(&finished, NULL, threads + 1);
    for (long i = 0; i < threads; i++)
        got(pipe(ring[i]), "pipe");
    for (long i = 0; i < threads; i++)
        if ((errno = pthread_create(&all[i], NULL, worker, (void *)i)) != 0)
            got(-1, "pthread_create");
    pthread_barrier_wait(&ready);
    if (write(1, "begins\n", 7) != 7)
        _exit(3);
    pthread_barrier_wait(&finished);
    for (long i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    long n = (long)threads * rounds;
    MUST(shared_sum == n * (n - 1) / 2, shared_sum, n);
    MUST(received >= sent, received, sent); // SIGRTMIN+2 and +3 of each thread have been handled before it ended
    char line[64];
    int size = snprintf(line, sizeof line, "all held %ld\n", shared_sum);
    return write(1, line, (size_t)size) == size ? 0 : 3;
}
