// The futex call itself, and what clone, exit and robust lists do with memory words.
#include "conf.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static long futex(void *word, int op, uint32_t val, const void *timeout, void *word2, uint32_t val3)
{
    return syscall(SYS_futex, word, op, val, timeout, word2, val3);
}

static atomic_int word, word2, woken, ready;
static uint32_t wait_bits = FUTEX_BITSET_MATCH_ANY;

static volatile int tids[8];
static void *waiter(void *arg)
{
    (void)arg;
    tids[atomic_fetch_add(&ready, 1)] = (int)syscall(SYS_gettid);
    long r = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, wait_bits);
    if (r == 0)
        atomic_fetch_add(&woken, 1);
    return (void *)r;
}

static void start(pthread_t *t, int n)
{
    atomic_store(&ready, 0);
    memset((void *)tids, 0, sizeof tids);
    atomic_store(&woken, 0);
    for (int i = 0; i < n; i++)
        pthread_create(&t[i], NULL, waiter, NULL);
    for (int i = 0; i < n; i++) {
        while (tids[i] == 0)
            conf_sleep_ms(1);
        conf_await_sleep(tids[i]);
    }
}

static void join(pthread_t *t, int n)
{
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
}

static void errors(void)
{
    struct timespec t = {0, 10000000}, bad = {0, 1000000000}, negative = {-1, 0};
    RES(futex(&word, FUTEX_WAIT, 5, NULL, NULL, 0));
    RES(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0));
    RES(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0));
    RES(futex(&word, FUTEX_WAIT, 0, &negative, NULL, 0));
    RES(futex((char *)&word + 1, FUTEX_WAIT, 0, NULL, NULL, 0));
    RES(futex(NULL, FUTEX_WAIT, 0, NULL, NULL, 0));
    RES(futex((void *)0x7000, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    RES(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
    RES(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
    RES(futex(&word, 77, 0, NULL, NULL, 0));
    RES(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0));
    struct timespec past = {0, 1};
    RES(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, ~0u));
    RES(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &past, NULL, ~0u));
}

static void waking(void)
{
    pthread_t t[6];
    start(t, 5);
    RES(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    RES(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    join(t, 5);
    RES(woken);
    wait_bits = 4;
    start(t, 3);
    RES(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 3));
    RES(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 6));
    join(t, 3);
    wait_bits = FUTEX_BITSET_MATCH_ANY;
    start(t, 6);
    RES(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)100L, &word2, 9));
    RES(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)100L, &word2, 0));
    RES(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    RES(futex(&word2, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    RES(futex(&word2, FUTEX_REQUEUE_PRIVATE, 0, (void *)100L, &word, 0));
    RES(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    join(t, 6);
    start(t, 2);
    uint32_t op = FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0);
    atomic_store(&word2, 0);
    RES(futex(&word2, FUTEX_WAKE_OP_PRIVATE, 1, (void *)10L, &word, op)); // word: 0 -> 5, was 0, so its sleepers wake
    RES(word);
    join(t, 2);
    atomic_store(&word, 0);
}

static void *lock_pi(void *arg)
{
    long r = futex(arg, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    if (r == 0)
        r = futex(arg, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    return (void *)r;
}

static void priority_inheritance(void)
{
    atomic_uint pi = 0;
    pthread_t t;
    void *v;
    RES(futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    CHECK((pi & FUTEX_TID_MASK) == (uint32_t)syscall(SYS_gettid));
    RES(futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    RES(futex(&pi, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    pthread_create(&t, NULL, lock_pi, &pi);
    for (int i = 0; i < 5000 && !(pi & FUTEX_WAITERS); i++)
        conf_sleep_ms(1);
    CHECK(pi & FUTEX_WAITERS);
    RES(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    pthread_join(t, &v);
    RES((long)v);
    RES(pi & FUTEX_TID_MASK);
    RES(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
}

// A thread by hand, so that clear_child_tid and the robust list can be seen without libc.
static struct robust_list_head head;
static struct {
    struct robust_list list;
    atomic_uint lock;
} held;

static int by_hand(void *arg)
{
    head.list.next = &held.list;
    head.futex_offset = (long)((char *)&held.lock - (char *)&held.list);
    held.list.next = (struct robust_list *)&head;
    syscall(SYS_set_robust_list, &head, sizeof head);
    atomic_store(&held.lock, (unsigned)syscall(SYS_gettid));
    atomic_store((atomic_int *)arg, 1);
    syscall(SYS_exit, 0);
    return 0;
}

extern int clone(int (*)(void *), void *, int, void *, ...);

static void exits(void)
{
    char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static atomic_int child_tid, parent_tid, started;
    atomic_store(&child_tid, -1);
    int flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x100000 | 0x200000; // VM FS FILES SIGHAND THREAD SYSVSEM *TID
    long tid = clone(by_hand, stack + 65536, flags, &started, &parent_tid, NULL, &child_tid);
    CHECK(tid > 0 && parent_tid == tid);
    int old;
    while ((old = atomic_load(&child_tid)) != 0)
        futex(&child_tid, FUTEX_WAIT, (uint32_t)old, NULL, NULL, 0);
    RES(started);
    RES((held.lock & FUTEX_OWNER_DIED) != 0);
    RES(syscall(SYS_set_robust_list, &head, 3));
    for (int i = 0; i < 5000 && syscall(SYS_tgkill, getpid(), tid, 0) == 0; i++)
        conf_sleep_ms(1);
    RES(syscall(SYS_tgkill, getpid(), tid, 0));
    munmap(stack, 65536);
}

int main(void)
{
    errors();
    waking();
    priority_inheritance();
    exits();
    RES(syscall(SYS_clone, 0x10000, 0, 0, 0, 0)); // CLONE_THREAD without CLONE_SIGHAND
    return conf_end();
}
