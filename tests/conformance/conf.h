// What the conformance programs share. Each program prints lines that must be the same on Linux and inside the enclave, and exits
// with 0 if everything it checked by itself held. Nothing that may differ by right is printed: addresses, times, pids, inodes.
#ifndef TESTS_CONFORMANCE_CONF_H
#define TESTS_CONFORMANCE_CONF_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int conf_failures;

static __attribute__((constructor, unused)) void conf_start(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); // what was printed before a crash or hang is seen
}

// Counts a failure and names the place; the line is printed, so it also shows as a difference.
#define CHECK(cond) \
    do { \
        if (!(cond)) { \
            conf_failures++; \
            printf("%s:%d: not true: %s (errno %s)\n", __FILE__, __LINE__, #cond, conf_errno(errno)); \
        } \
    } while (0)

// Prints a call's value, or its errno by name. RES for values that are the same everywhere, OK for those that only tell success.
#define RES(expr) \
    do { \
        errno = 0; \
        long conf_v = (long)(expr); \
        if (conf_v < 0) \
            printf("%s = %ld %s\n", #expr, conf_v, conf_errno(errno)); \
        else \
            printf("%s = %ld\n", #expr, conf_v); \
    } while (0)
#define OK(expr) \
    do { \
        errno = 0; \
        long conf_v = (long)(expr); \
        printf("%s: %s\n", #expr, conf_v == -1 ? conf_errno(errno) : "ok"); \
    } while (0)

static __attribute__((unused)) const char *conf_errno(int e)
{
#ifdef __GLIBC__
    const char *name = e == 0 ? "0" : strerrorname_np(e);
    return name ? name : "?";
#else
    static char text[16];
    snprintf(text, sizeof text, "%d", e);
    return text;
#endif
}

static __attribute__((unused)) double conf_now(clockid_t clock)
{
    struct timespec t = {0, 0};
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static __attribute__((unused)) void conf_sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR) {
    }
}

// Waits until a thread, of this process or the first of another one, sleeps: on a busy machine that takes longer than any fixed time.
static __attribute__((unused)) void conf_await_stat(const char *name)
{
    char line[256] = "";
    for (int i = 0; i < 5000; i++) {
        int fd = open(name, O_RDONLY);
        CHECK(fd >= 0);
        long n = read(fd, line, sizeof line - 1);
        close(fd);
        line[n > 0 ? n : 0] = 0;
        char *after = strrchr(line, ')');
        if (after && after[2] == 'S')
            return;
        conf_sleep_ms(1);
    }
    CHECK(!"the thread sleeps");
}

static __attribute__((unused)) void conf_await_sleep(int tid)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/task/%d/stat", tid);
    conf_await_stat(name);
}

static __attribute__((unused)) void conf_await_sleep_of(int pid)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    conf_await_stat(name);
}

// The folder that the test may write in is the program's last argument; it goes there.
static __attribute__((unused)) void conf_enter_dir(int argc, char **argv)
{
    if (argc > 1 && chdir(argv[argc - 1])) {
        perror(argv[argc - 1]);
        exit(2);
    }
}

static __attribute__((unused)) int conf_end(void)
{
    if (conf_failures)
        printf("%d checks failed\n", conf_failures);
    else
        puts("all checks held");
    return conf_failures ? 1 : 0;
}
#endif
