// What the programs for pseudo terminals share: both sides of one in hand, and what comes out of them.
#ifndef TESTS_CONFORMANCE_TTY_H
#define TESTS_CONFORMANCE_TTY_H
#include "conf.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <asm/termbits.h>

extern int grantpt(int), unlockpt(int), posix_openpt(int), ptsname_r(int, char *, size_t);
static int m, s;
static char name[64];

static __attribute__((unused)) void open_pair(void)
{
    m = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(m >= 0);
    CHECK(grantpt(m) == 0 && unlockpt(m) == 0 && ptsname_r(m, name, sizeof name) == 0);
    s = open(name, O_RDWR | O_NOCTTY);
    CHECK(s >= 0);
    fcntl(m, F_SETFL, O_RDWR | O_NONBLOCK);
    fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK);
}

static __attribute__((unused)) void close_pair(void)
{
    close(m);
    close(s);
}

// What was written is at the other side now. Natively a kernel thread brings it, which on a loaded machine is long in coming: what goes
// through another pair arrives after it.
static __attribute__((unused)) void settle(void)
{
    static int other_m = -1, other_s;
    if (other_m < 0) {
        char path[64];
        other_m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        CHECK(other_m >= 0 && grantpt(other_m) == 0 && unlockpt(other_m) == 0 && ptsname_r(other_m, path, sizeof path) == 0);
        other_s = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        CHECK(other_s >= 0);
    }
    for (int i = 0; i < 3; i++) {
        char line[8];
        conf_sleep_ms(5);
        CHECK(write(other_m, "here\n", 5) == 5);
        CHECK(read(other_s, line, sizeof line) == 5);
        CHECK(read(other_m, line, sizeof line) > 0);
    }
    conf_sleep_ms(5);
}

// `patience` in ms, for the first byte: what one side wrote reaches the other a moment later, natively by a kernel thread of its own.
static __attribute__((unused)) void show_within(const char *what, int fd, int patience)
{
    char buf[9000];
    errno = 0;
    long n = 0, k = 0;
    for (int i = 0; i < 20; i++) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, n ? 15 : patience) <= 0)
            break;
        k = read(fd, buf + n, sizeof buf - (size_t)n);
        if (k <= 0)
            break;
        n += k;
        if (fd == s)
            break; // one line at a time
    }
    if (n == 0)
        k = read(fd, buf, sizeof buf), n = k;
    if (n < 0) {
        printf("%s: %s\n", what, conf_errno(errno));
        return;
    }
    printf("%s: %ld \"", what, n);
    for (long i = 0; i < n && i < 200; i++) {
        unsigned char c = (unsigned char)buf[i];
        if (c >= 32 && c < 127 && c != '\\')
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    printf("\"\n");
}

static __attribute__((unused)) void show(const char *what, int fd)
{
    show_within(what, fd, 5000);
}

// Where nothing is to come.
static __attribute__((unused)) void show_quiet(const char *what, int fd)
{
    settle();
    show_within(what, fd, 0);
}

static __attribute__((unused)) void type(const char *keys)
{
    CHECK(write(m, keys, strlen(keys)) == (long)strlen(keys));
}

static __attribute__((unused)) struct termios now(void)
{
    struct termios t;
    memset(&t, 0, sizeof t);
    CHECK(ioctl(s, TCGETS, &t) == 0);
    return t;
}

static __attribute__((unused)) void set(unsigned l_on, unsigned l_off, unsigned i_on, unsigned i_off, unsigned o_on, unsigned o_off)
{
    struct termios t = now();
    t.c_lflag = (t.c_lflag | l_on) & ~l_off;
    t.c_iflag = (t.c_iflag | i_on) & ~i_off;
    t.c_oflag = (t.c_oflag | o_on) & ~o_off;
    CHECK(ioctl(s, TCSETS, &t) == 0);
}

static __attribute__((unused)) void key(int which, int value)
{
    struct termios t = now();
    t.c_cc[which] = (unsigned char)value;
    CHECK(ioctl(s, TCSETS, &t) == 0);
}

enum { nothing = 0, echo = 1, line = 2 };

static __attribute__((unused)) void either(const char *what, const char *keys, int expected)
{
    char text[100];
    type(keys);
    snprintf(text, sizeof text, "%s, echo", what);
    (expected & echo ? show : show_quiet)(text, m);
    snprintf(text, sizeof text, "%s, line", what);
    (expected & line ? show : show_quiet)(text, s);
}

static __attribute__((unused)) void both(const char *what, const char *keys)
{
    either(what, keys, echo | line);
}

struct tty_part {
    const char *name;
    void (*run)(void);
};

static int tty_run(const struct tty_part *parts, size_t count)
{
    setsid(); // whatever started this: no controlling terminal
    signal(SIGHUP, SIG_IGN);
    for (size_t i = 0; i < count; i++) {
        printf("--- %s\n", parts[i].name);
        parts[i].run();
    }
    return conf_end();
}
#endif
