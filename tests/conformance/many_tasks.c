// A thousand threads at once, one of them spinning for good: all make progress, fairly enough, on however few virtual CPUs there are.
#include "conf.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { count = 1000, rounds = 20 };
static atomic_int arrived, stop;
static atomic_long spins;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int generation, waiting;

static void *spin(void *arg)
{
    while (!atomic_load(&stop))
        atomic_fetch_add(&spins, 1);
    return arg;
}

static void meet(void) // all threads, once a round
{
    pthread_mutex_lock(&mutex);
    int mine = generation;
    if (++waiting == count) {
        waiting = 0;
        generation++;
        pthread_cond_broadcast(&changed);
    }
    while (mine == generation)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void *work(void *arg)
{
    long sum = (long)arg;
    atomic_fetch_add(&arrived, 1);
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < 200; k++)
            sum = sum * 31 + k;
        if (i % 7 == (long)arg % 7)
            sched_yield();
        meet();
    }
    return (void *)(sum & 0xffff);
}

int main(void)
{
    static pthread_t threads[count];
    pthread_t spinner;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 32 * 1024);
    CHECK(pthread_create(&spinner, &small, spin, NULL) == 0);
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], &small, work, (void *)i)) {
            printf("thread %ld: %s\n", i, conf_errno(errno));
            return 1;
        }
    unsigned long sum = 0;
    for (int i = 0; i < count; i++) {
        void *v;
        CHECK(pthread_join(threads[i], &v) == 0);
        sum += (unsigned long)v;
    }
    RES(arrived);
    RES(sum);
    RES(generation);
    CHECK(atomic_load(&spins) > 0);
    atomic_store(&stop, 1);
    CHECK(pthread_join(spinner, NULL) == 0);
    return conf_end();
}
