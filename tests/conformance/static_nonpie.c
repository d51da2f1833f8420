// Linked statically at its fixed address: no loader, no relocation, threads and TLS of its own.
#include "conf.h"
#include <pthread.h>
#include <stdint.h>

static __thread int mine = 3;
static const char *const table[] = {"fixed", "addresses", "in", "data"};

static void *thread(void *arg)
{
    mine += (int)(long)arg;
    return (void *)(long)mine;
}

int main(int argc, char **argv)
{
    pthread_t t;
    void *v;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        printf("%s ", table[i]);
    puts("");
    CHECK(pthread_create(&t, NULL, thread, (void *)4) == 0);
    CHECK(pthread_join(t, &v) == 0);
    RES((long)v);
    RES(mine);
#ifdef FIXED
    printf("main below 1 GiB: %d\n", (uintptr_t)main < (1u << 30));
#endif
    printf("%d arguments\n", argc);
    (void)argv;
    CHECK(getpid() > 0);
    return conf_end();
}
