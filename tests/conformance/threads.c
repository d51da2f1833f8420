// Threads of libc: create and join, mutexes of all kinds, condition variables, barriers, rwlocks, TLS, keys, cancellation, many.
#include "conf.h"
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long counter;
static __thread long local = 7;
static __thread char big_local[5000] = "initialised";

static void *add(void *arg)
{
    for (long i = 0; i < (long)arg; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    local += (long)arg;
    return (void *)(local + (strcmp(big_local, "initialised") == 0));
}

static void create_and_join(void)
{
    pthread_t t[8];
    void *got;
    for (long i = 0; i < 8; i++)
        CHECK(pthread_create(&t[i], NULL, add, (void *)(20000 + i)) == 0);
    for (int i = 0; i < 8; i++) {
        RES(pthread_join(t[i], &got));
        RES((long)got);
    }
    RES(counter);
    RES(local);
}

static void *empty(void *arg)
{
    return arg;
}

static atomic_int alive;
static pthread_barrier_t all_here;

static void *wait_for_all(void *arg)
{
    atomic_fetch_add(&alive, 1);
    pthread_barrier_wait(&all_here);
    return arg;
}

static void many(void)
{
    enum { n = 200 };
    static pthread_t t[n];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    pthread_barrier_init(&all_here, NULL, n + 1);
    for (long i = 0; i < n; i++)
        CHECK(pthread_create(&t[i], &small, wait_for_all, (void *)i) == 0);
    pthread_barrier_wait(&all_here);
    RES(alive);
    long sum = 0;
    for (int i = 0; i < n; i++) {
        void *v;
        CHECK(pthread_join(t[i], &v) == 0);
        sum += (long)v;
    }
    RES(sum);
    for (int i = 0; i < 1000; i++) { // one after the other: what threads leave behind is given back
        CHECK(pthread_create(&t[0], &small, empty, NULL) == 0);
        CHECK(pthread_join(t[0], NULL) == 0);
    }
    pthread_barrier_destroy(&all_here);
}

static int turn;

static void *ping(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != (int)(long)arg)
            pthread_cond_wait(&cond, &mutex);
        turn = !turn;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void conditions(void)
{
    pthread_t a, b;
    pthread_create(&a, NULL, ping, (void *)0);
    pthread_create(&b, NULL, ping, (void *)1);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    RES(turn);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 30000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    double start = conf_now(CLOCK_MONOTONIC);
    pthread_mutex_lock(&mutex);
    RES(pthread_cond_timedwait(&cond, &mutex, &t) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
    CHECK(conf_now(CLOCK_MONOTONIC) - start >= 0.025);
}

static void *try_lock(void *m)
{
    return (void *)(long)pthread_mutex_trylock(m);
}

static long locked_elsewhere(pthread_mutex_t *m)
{
    pthread_t t;
    void *v;
    pthread_create(&t, NULL, try_lock, m);
    pthread_join(t, &v);
    return (long)v;
}

static void *die_with_lock(void *m)
{
    pthread_mutex_lock(m);
    return NULL;
}

static void mutex_kinds(void)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t m;
    pthread_t t;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&m, &attr);
    RES(pthread_mutex_lock(&m));
    RES(pthread_mutex_lock(&m));
    RES(pthread_mutex_unlock(&m));
    RES(locked_elsewhere(&m) == EBUSY);
    RES(pthread_mutex_unlock(&m));
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&m, &attr);
    RES(pthread_mutex_lock(&m));
    RES(pthread_mutex_lock(&m) == EDEADLK);
    RES(pthread_mutex_unlock(&m));
    RES(pthread_mutex_unlock(&m) == EPERM);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m, &attr);
    pthread_create(&t, NULL, die_with_lock, &m);
    pthread_join(t, NULL);
    RES(pthread_mutex_lock(&m) == EOWNERDEAD);
    RES(pthread_mutex_consistent(&m));
    RES(pthread_mutex_unlock(&m));
    pthread_mutexattr_init(&attr);
    RES(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
    RES(pthread_mutex_init(&m, &attr));
    RES(pthread_mutex_lock(&m));
    RES(locked_elsewhere(&m) == EBUSY);
    RES(pthread_mutex_unlock(&m));
}

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static long shared_value, torn;

static void *reader_or_writer(void *arg)
{
    for (int i = 0; i < 3000; i++) {
        if ((long)arg == 0 && i % 10 == 0) {
            pthread_rwlock_wrlock(&rw);
            shared_value++;
            __asm__ volatile("" ::: "memory");
            shared_value++;
        } else {
            pthread_rwlock_rdlock(&rw);
            torn += shared_value & 1;
        }
        pthread_rwlock_unlock(&rw);
    }
    return NULL;
}

static sem_t sem;
static pthread_key_t key;
static atomic_int destroyed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_runs;

static void destroy(void *v)
{
    atomic_fetch_add(&destroyed, (int)(long)v);
}

static void run_once(void)
{
    once_runs++;
}

static void *use_key(void *arg)
{
    pthread_setspecific(key, arg);
    pthread_once(&once, run_once);
    sem_post(&sem);
    return NULL;
}

static void cleanup(void *arg)
{
    *(int *)arg = 1;
}

static void *wait_forever(void *arg)
{
    pthread_cleanup_push(cleanup, arg);
    for (;;)
        conf_sleep_ms(1000);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *spin_forever(void *arg)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    atomic_store((atomic_int *)arg, 1);
    for (;;) {
    }
    return NULL;
}

static void the_rest(void)
{
    pthread_t t[4];
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, reader_or_writer, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    RES(shared_value);
    RES(torn);
    pthread_key_create(&key, destroy);
    sem_init(&sem, 0, 0);
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, use_key, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        CHECK(sem_wait(&sem) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    RES(destroyed);
    RES(once_runs);
    RES(sem_trywait(&sem));
    int cleaned = 0;
    void *v;
    pthread_create(&t[0], NULL, wait_forever, &cleaned);
    conf_sleep_ms(20);
    RES(pthread_cancel(t[0]));
    RES(pthread_join(t[0], &v));
    RES(v == PTHREAD_CANCELED);
    RES(cleaned);
    atomic_int spinning = 0;
    pthread_create(&t[0], NULL, spin_forever, &spinning);
    while (!atomic_load(&spinning)) {
    }
    RES(pthread_cancel(t[0]));
    RES(pthread_join(t[0], &v));
    pthread_attr_t attr;
    void *stack;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    RES(pthread_attr_getstack(&attr, &stack, &size));
    CHECK((char *)stack < (char *)&attr && (char *)&attr < (char *)stack + size);
    CHECK(syscall(SYS_gettid) == getpid());
}

static void *outlive_main(void *arg)
{
    pthread_join(*(pthread_t *)arg, NULL);
    puts("main is gone, the process is not");
    exit(conf_end());
}

int main(void)
{
    create_and_join();
    many();
    conditions();
    mutex_kinds();
    the_rest();
    pthread_t me = pthread_self(), last;
    static pthread_t keep;
    keep = me;
    pthread_create(&last, NULL, outlive_main, &keep);
    pthread_exit(NULL);
}
