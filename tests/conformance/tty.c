// Pseudo terminals as one process sees them: both sides in hand, no controlling terminal. Line editing, echo, output processing, raw
// modes, flow control, packet mode, windows, hangup, readiness.
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

static void open_pair(void)
{
    m = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(m >= 0);
    CHECK(grantpt(m) == 0 && unlockpt(m) == 0 && ptsname_r(m, name, sizeof name) == 0);
    s = open(name, O_RDWR | O_NOCTTY);
    CHECK(s >= 0);
    fcntl(m, F_SETFL, O_RDWR | O_NONBLOCK);
    fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK);
}

static void close_pair(void)
{
    close(m);
    close(s);
}

// What was written is at the other side now. Natively a kernel thread brings it, which on a loaded machine is long in coming: what goes
// through another pair arrives after it.
static void settle(void)
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
static void show_within(const char *what, int fd, int patience)
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

static void show(const char *what, int fd)
{
    show_within(what, fd, 5000);
}

// Where nothing is to come.
static void show_quiet(const char *what, int fd)
{
    settle();
    show_within(what, fd, 0);
}

static void type(const char *keys)
{
    CHECK(write(m, keys, strlen(keys)) == (long)strlen(keys));
}

static struct termios now(void)
{
    struct termios t;
    memset(&t, 0, sizeof t);
    CHECK(ioctl(s, TCGETS, &t) == 0);
    return t;
}

static void set(unsigned l_on, unsigned l_off, unsigned i_on, unsigned i_off, unsigned o_on, unsigned o_off)
{
    struct termios t = now();
    t.c_lflag = (t.c_lflag | l_on) & ~l_off;
    t.c_iflag = (t.c_iflag | i_on) & ~i_off;
    t.c_oflag = (t.c_oflag | o_on) & ~o_off;
    CHECK(ioctl(s, TCSETS, &t) == 0);
}

static void key(int which, int value)
{
    struct termios t = now();
    t.c_cc[which] = (unsigned char)value;
    CHECK(ioctl(s, TCSETS, &t) == 0);
}

enum { nothing = 0, echo = 1, line = 2 };

static void either(const char *what, const char *keys, int expected)
{
    char text[100];
    type(keys);
    snprintf(text, sizeof text, "%s, echo", what);
    (expected & echo ? show : show_quiet)(text, m);
    snprintf(text, sizeof text, "%s, line", what);
    (expected & line ? show : show_quiet)(text, s);
}

static void both(const char *what, const char *keys)
{
    either(what, keys, echo | line);
}

static void defaults(void)
{
    open_pair();
    struct termios t = now();
    printf("iflag %#x oflag %#x cflag %#x lflag %#x line %d cc", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag, t.c_line);
    for (int i = 0; i < NCCS; i++)
        printf(" %x", t.c_cc[i]);
    printf("\n");
    struct termios2 t2;
    memset(&t2, 0, sizeof t2);
    OK(ioctl(s, TCGETS2, &t2));
    printf("speeds %u %u\n", t2.c_ispeed, t2.c_ospeed);
    t2.c_cflag = (t2.c_cflag & ~CBAUD) | BOTHER;
    t2.c_ospeed = t2.c_ispeed = 12345;
    OK(ioctl(s, TCSETS2, &t2));
    OK(ioctl(s, TCGETS2, &t2));
    printf("speeds %u %u cflag %#x\n", t2.c_ispeed, t2.c_ospeed, t2.c_cflag);
    t = now();
    t.c_cflag = (t.c_cflag & ~(CBAUD | CSIZE)) | B115200 | CS5 | PARENB;
    OK(ioctl(s, TCSETSW, &t));
    OK(ioctl(s, TCGETS2, &t2));
    printf("speeds %u %u cflag %#x\n", t2.c_ispeed, t2.c_ospeed, t2.c_cflag);
    struct termio old;
    memset(&old, 0, sizeof old);
    OK(ioctl(s, TCGETA, &old));
    printf("termio %x %x %x %x %d\n", old.c_iflag, old.c_oflag, old.c_cflag, old.c_lflag, old.c_cc[0]);
    struct stat st, st2;
    CHECK(fstat(s, &st) == 0 && stat(name, &st2) == 0);
    CHECK(S_ISCHR(st.st_mode) && major(st.st_rdev) == 136 && st.st_rdev == st2.st_rdev && st.st_ino == st2.st_ino);
    unsigned n = 99;
    OK(ioctl(m, TIOCGPTN, &n));
    CHECK(n == minor(st.st_rdev));
    unsigned dev = 0;
    OK(ioctl(m, TIOCGDEV, &dev));
    CHECK(dev == st.st_rdev);
    CHECK(isatty(s) && isatty(m));
    char tty[64] = "";
    CHECK(ttyname_r(s, tty, sizeof tty) == 0 && !strcmp(tty, name));
    OK(ioctl(s, TIOCGPTN, &n));
    OK(ioctl(s, TIOCPKT, &n));
    int v = 7;
    OK(ioctl(s, TIOCGETD, &v));
    printf("discipline %d\n", v);
    v = 0;
    OK(ioctl(s, TIOCSETD, &v));
    v = 1000;
    OK(ioctl(s, TIOCSETD, &v));
    OK(ioctl(s, TIOCGPGRP, &v));
    OK(ioctl(s, TIOCGSID, &v));
    OK(ioctl(m, TIOCGSID, &v));
    v = 5;
    OK(ioctl(m, TIOCGPGRP, &v));
    printf("group %d\n", v);
    v = getpgrp();
    OK(ioctl(s, TIOCSPGRP, &v));
    OK(ioctl(s, TIOCNOTTY, 0));
    OK(ioctl(s, TIOCMGET, &v));
    OK(ioctl(s, 0x5499, &v));
    OK(ioctl(s, TCGETS, NULL));
    OK(ioctl(s, TCSETS, NULL));
    OK(lseek(s, 0, SEEK_SET));
    char b;
    OK(pread(s, &b, 1, 0));
    printf("flags %#x\n", fcntl(s, F_GETFL) & 0xfffff);
    close_pair();
}

static void locked(void)
{
    m = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(m >= 0);
    int v = -1;
    OK(ioctl(m, TIOCGPTLCK, &v));
    printf("locked %d\n", v);
    CHECK(ptsname_r(m, name, sizeof name) == 0);
    OK(open(name, O_RDWR | O_NOCTTY));
    OK(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    v = 0;
    OK(ioctl(m, TIOCSPTLCK, &v));
    OK(ioctl(m, TIOCGPTLCK, &v));
    printf("locked %d\n", v);
    s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(s >= 0);
    CHECK(fcntl(s, F_GETFD) == FD_CLOEXEC);
    char tty[64] = "";
    CHECK(ttyname_r(s, tty, sizeof tty) == 0 && !strcmp(tty, name));
    OK(write(s, "peer\n", 5));
    fcntl(m, F_SETFL, O_RDWR | O_NONBLOCK);
    show("peer", m);
    close(s);
    show("slave closed", m);
    // The other side may come back; what was typed meanwhile waits.
    OK(write(m, "kept\n", 5));
    s = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(s >= 0);
    show("opened again", s);
    show("and the master", m);
    close(m);
    OK(open(name, O_RDWR | O_NOCTTY));
    close(s);
}

static void editing(void)
{
    open_pair();
    both("plain", "hello\n");
    both("return", "hello\r");
    both("erase", "abcd\x7f\x7f\n");
    both("erase control", "a\x01""b\x7f\x7f\x7f\n");
    both("erase beyond", "\x7f\x7fx\n");
    both("word", "one two_3  \x17" "four\n");
    both("word at start", "one\x17\x17\n");
    both("kill", "abc\x01x\x15yes\n");
    both("literal", "a\x16\x03" "b\x16\x7f\x16\x04\x16\x16\n");
    both("reprint", "ab\x01" "c\x12" "d\n");
    both("tab", "a\tb\x7f\x7f\x7fx\n");
    both("tabs", "ab\t\tc\x7f\x7f\x7f\x7fz\n");
    both("tab after control", "\x01\t\x7f" "x\n");
    both("end of file after text", "abc\x04");
    either("end of file", "\x04", nothing);
    both("eight bits", "\xe4\xf6\x80\x7fx\n");
    type("one\ntwo\nthree\x04" "four");
    show("echo of several", m);
    int n = -1;
    ioctl(s, FIONREAD, &n);
    printf("readable %d\n", n);
    for (int i = 0; i < 4; i++)
        (i < 3 ? show : show_quiet)("several", s);
    type("\n");
    show("rest", s);
    show("rest of echo", m);
    // A read with less room than the line; the end of file right behind what was read goes with it.
    char b[10];
    type("abcdef\n");
    settle();
    RES(read(s, b, 3));
    RES(read(s, b, 3));
    RES(read(s, b, 3));
    type("abc\x04");
    settle();
    RES(read(s, b, 3));
    RES(read(s, b, 3));
    show("drain", m);

    set(0, ECHOE, 0, 0, 0, 0);
    both("no ECHOE", "ab\x7f\n");
    set(ECHOE | ECHOPRT, 0, 0, 0, 0, 0);
    both("ECHOPRT", "abc\x7f\x7fz\x7f\x7f\x7f\n");
    set(0, ECHOPRT | ECHOKE, 0, 0, 0, 0);
    both("no ECHOKE", "ab\x15" "c\n");
    set(0, ECHOK, 0, 0, 0, 0);
    both("no ECHOK", "ab\x15" "c\n");
    set(ECHOK | ECHOKE, ECHOCTL, 0, 0, 0, 0);
    both("no ECHOCTL", "a\x01\x7f\x7f" "c\n");
    set(ECHOCTL, ECHO, 0, 0, 0, 0);
    either("no ECHO", "ab\x7f\x15" "c\n", line);
    set(ECHONL, 0, 0, 0, 0, 0);
    both("ECHONL", "abc\n");
    set(ECHO, ECHONL, 0, 0, 0, 0);
    set(0, IEXTEN, 0, 0, 0, 0);
    both("no IEXTEN", "ab\x17\x16\x12\n");
    set(IEXTEN, 0, IUTF8, 0, 0, 0);
    both("UTF-8", "a\xc3\xa4\xe2\x82\xac\x7f\x7f\x62\n");
    set(0, 0, 0, IUTF8, 0, 0);
    key(VEOL, ';');
    key(VEOL2, '!');
    type("a;b!c\n");
    show("end characters, echo", m);
    show("end characters", s);
    show("end characters", s);
    show("end characters", s);
    key(VERASE, 0);
    both("no erase key", "a\x7f" "b\n");
    close_pair();
}

static void long_lines(void)
{
    open_pair();
    static char big[9000];
    memset(big, 'x', sizeof big);
    set(0, ECHO, 0, 0, 0, 0);
    long n = 0;
    while (n < 6000) {
        long k = write(m, big, 500);
        if (k <= 0)
            break;
        n += k;
        conf_sleep_ms(1);
    }
    printf("typed %ld\n", n);
    int count = -1;
    OK(ioctl(s, FIONREAD, &count));
    type("y\n");
    settle();
    OK(ioctl(s, FIONREAD, &count));
    printf("readable %d\n", count);
    long got = read(s, big, sizeof big);
    printf("line of %ld, ends %02x %02x\n", got, big[got - 2], big[got - 1]);
    set(0, ICANON, 0, 0, 0, 0);
    n = 0;
    memset(big, 'z', sizeof big);
    for (int i = 0; i < 100; i++) {
        long k = write(m, big, 1000);
        conf_sleep_ms(1);
        if (k > 0)
            n += k;
        else
            break;
    }
    CHECK(n >= 4095 && n < 65536);
    long sum = 0;
    for (int i = 0; i < 5000 && sum < n; i++) {
        long k = read(s, big, sizeof big);
        if (k > 0)
            sum += k;
        else
            conf_sleep_ms(1);
    }
    CHECK(sum == n);
    // The other way: the writer is told when there is no room.
    n = 0;
    for (int i = 0; i < 1000; i++) {
        long k = write(s, big, 1000);
        if (k < 0) {
            printf("full: %s\n", conf_errno(errno));
            break;
        }
        n += k;
    }
    struct pollfd p = {s, POLLOUT, 0};
    sum = 0;
    for (int i = 0; i < 5000 && sum < n; i++) {
        long k = read(m, big, sizeof big);
        if (k > 0)
            sum += k;
        else
            conf_sleep_ms(1);
    }
    CHECK(sum == n);
    RES(poll(&p, 1, 100));
    CHECK(p.revents == POLLOUT);
    close_pair();
}

static void input_flags(void)
{
    open_pair();
    set(0, 0, IGNCR, 0, 0, 0);
    both("IGNCR", "a\rb\n");
    set(0, 0, INLCR, IGNCR | ICRNL, 0, 0);
    type("a\nb\r");
    show("INLCR, echo", m);
    show_quiet("INLCR", s);
    type("\x04");
    show("INLCR, end", s);
    set(0, 0, ICRNL, INLCR, 0, 0);
    set(0, 0, ISTRIP, 0, 0, 0);
    both("ISTRIP", "\xe1\xe2\n");
    set(0, 0, IUCLC, ISTRIP, 0, 0);
    both("IUCLC", "AbC\n");
    set(0, 0, PARMRK, IUCLC, 0, 0);
    both("PARMRK", "a\xff" "b\n");
    set(0, 0, 0, PARMRK, 0, 0);
    set(0, ICANON, 0, 0, 0, 0);
    both("raw echo", "a\n\r\x04\x7f\x15z");
    set(0, 0, INLCR, ICRNL, 0, 0);
    both("raw INLCR", "a\n\r");
    set(EXTPROC, 0, 0, 0, 0, 0);
    either("EXTPROC", "a\n\x7f\r", line);
    close_pair();
}

static void output_flags(void)
{
    open_pair();
    set(0, ECHO, 0, 0, 0, 0);
    const char *text = "ab\ncd\r\te\bf\r\rg\n";
    OK(write(s, text, strlen(text)));
    show("ONLCR", m);
    set(0, 0, 0, 0, 0, ONLCR);
    OK(write(s, text, strlen(text)));
    show("plain", m);
    set(0, 0, 0, 0, OCRNL, 0);
    OK(write(s, text, strlen(text)));
    show("OCRNL", m);
    set(0, 0, 0, 0, ONOCR, OCRNL);
    OK(write(s, text, strlen(text)));
    show("ONOCR", m);
    set(0, 0, 0, 0, ONLRET, ONOCR);
    OK(write(s, "a\n\tb\n", 5));
    show("ONLRET", m);
    set(0, 0, 0, 0, XTABS, ONLRET);
    OK(write(s, "\r\n\ta\tbcdefghi\tj\b\b\tk", 18));
    show("XTABS", m);
    set(0, 0, 0, 0, OLCUC, XTABS);
    OK(write(s, "aBc\xe4\n", 5));
    show("OLCUC", m);
    set(0, 0, 0, 0, ONLCR, OPOST);
    OK(write(s, text, strlen(text)));
    show("no OPOST", m);
    close_pair();
}

static void timed(const char *what, int vmin, int vtime, const char *first, int later_ms, const char *later, size_t room);

struct typist {
    int ms;
    const char *keys;
};
static void *typist(void *arg)
{
    struct typist *t = arg;
    for (const char *k = t->keys; *k; k++) {
        conf_sleep_ms(t->ms);
        CHECK(write(m, k, 1) == 1);
    }
    return NULL;
}

static void timed(const char *what, int vmin, int vtime, const char *first, int later_ms, const char *later, size_t room)
{
    struct termios t = now();
    t.c_lflag &= ~(unsigned)(ICANON | ECHO);
    t.c_cc[VMIN] = (unsigned char)vmin;
    t.c_cc[VTIME] = (unsigned char)vtime;
    CHECK(ioctl(s, TCSETSF, &t) == 0);
    type(first);
    settle();
    struct typist keys = {later_ms, later};
    pthread_t thread;
    pthread_create(&thread, NULL, typist, &keys);
    char buf[100];
    double start = conf_now(CLOCK_MONOTONIC);
    long n = read(s, buf, room);
    double took = conf_now(CLOCK_MONOTONIC) - start;
    pthread_join(thread, NULL);
    printf("%s: MIN %d TIME %d: %ld", what, vmin, vtime, n);
    if (n > 0)
        printf(" \"%.*s\"", (int)n, buf);
    printf("%s\n", took < 0.1 ? " at once" : took < 3 ? " later" : " late");
    while (1) {
        struct pollfd p = {s, POLLIN, 0};
        if (vmin > 1 ? (ioctl(s, TCFLSH, TCIFLUSH), 1) : poll(&p, 1, 0) <= 0)
            break;
        if (read(s, buf, sizeof buf) <= 0)
            break;
    }
}

static void raw_modes(void)
{
    open_pair();
    fcntl(s, F_SETFL, O_RDWR);
    timed("nothing there", 0, 0, "", 0, "", 10);
    timed("some there", 0, 0, "abc", 0, "", 10);
    timed("more than room", 0, 0, "abcdef", 0, "", 3);
    timed("time runs out", 0, 2, "", 0, "", 10);
    timed("time, one comes", 0, 9, "", 150, "x", 10);
    timed("one", 1, 0, "", 150, "x", 10);
    timed("three", 3, 0, "a", 60, "bc", 10);
    timed("three, room for two", 3, 0, "a", 150, "bcd", 2);
    timed("between", 5, 6, "a", 60, "bc", 10);
    timed("between, enough", 3, 9, "", 60, "abc", 10);
    timed("first one starts the clock", 2, 1, "", 250, "a", 10);
    // poll counts MIN unless TIME is set.
    key(VMIN, 3);
    key(VTIME, 0);
    struct pollfd p = {s, POLLIN, 0};
    type("ab");
    RES(poll(&p, 1, 50));
    type("c");
    RES(poll(&p, 1, 2000));
    char buf[10];
    RES(read(s, buf, 10));
    key(VTIME, 1);
    type("a");
    RES(poll(&p, 1, 2000));
    RES(read(s, buf, 10));
    fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK);
    key(VTIME, 0);
    RES(read(s, buf, 10));
    type("a");
    settle();
    RES(read(s, buf, 10));
    key(VMIN, 0);
    RES(read(s, buf, 10));
    // What was typed raw becomes a line, and the reverse.
    key(VMIN, 1);
    type("typed raw");
    settle();
    set(ICANON, 0, 0, 0, 0, 0);
    show("raw to lines", s);
    type("half a line\x04 and");
    settle();
    set(0, ICANON, 0, 0, 0, 0);
    show("lines to raw", s);
    type("gone");
    settle();
    struct termios t = now();
    OK(ioctl(s, TCSETSF, &t));
    show_quiet("flushed", s);
    close_pair();
}

static void flow(void)
{
    open_pair();
    set(0, ECHO, 0, 0, 0, 0);
    type("\x13");
    settle();
    RES(write(s, "stopped", 7));
    struct pollfd p = {s, POLLOUT, 0};
    RES(poll(&p, 1, 0));
    type("\x11");
    settle();
    RES(write(s, "started", 7));
    show("after start", m);
    type("\x13");
    type("x");
    settle();
    RES(write(s, "still", 5));
    set(0, 0, IXANY, 0, 0, 0);
    type("y");
    settle();
    RES(write(s, "any key", 7));
    type("\x13");
    settle();
    set(0, 0, 0, IXON, 0, 0);
    RES(write(s, "no IXON", 7));
    type("\x13\x11\n");
    show("as text", s);
    OK(ioctl(s, TCXONC, TCOOFF));
    RES(write(s, "x", 1));
    OK(ioctl(s, TCXONC, TCOON));
    RES(write(s, "x", 1));
    show("output", m);
    OK(ioctl(s, TCXONC, TCIOFF));
    OK(ioctl(s, TCXONC, TCION));
    show("sent keys", m);
    OK(ioctl(s, TCXONC, 9));
    OK(ioctl(s, TCFLSH, 9));
    OK(ioctl(s, TCSBRK, 1));
    OK(ioctl(s, TCSBRK, 0));
    OK(ioctl(s, TCSBRKP, 1));
    OK(ioctl(s, TIOCSBRK, 0));
    OK(ioctl(s, TIOCCBRK, 0));
    int n = -1;
    OK(ioctl(s, TIOCOUTQ, &n));
    printf("queued %d\n", n);
    type("flush me\n");
    settle();
    OK(ioctl(s, FIONREAD, &n));
    printf("readable %d\n", n);
    OK(ioctl(s, TCFLSH, TCIFLUSH));
    OK(ioctl(s, FIONREAD, &n));
    printf("readable %d\n", n);
    RES(write(s, "in the master", 13));
    settle();
    OK(ioctl(m, FIONREAD, &n));
    printf("readable %d\n", n);
    OK(ioctl(m, TCFLSH, TCIFLUSH));
    show_quiet("master flushed", m);
    close_pair();
}

static void packets(void)
{
    open_pair();
    set(0, ECHO, 0, 0, 0, 0);
    int on = 1, v = 0;
    OK(ioctl(m, TIOCGPKT, &v));
    printf("mode %d\n", v);
    OK(ioctl(m, TIOCPKT, &on));
    OK(ioctl(m, TIOCGPKT, &v));
    printf("mode %d\n", v);
    RES(write(s, "data", 4));
    show("data", m);
    struct pollfd p = {m, POLLIN | POLLPRI, 0};
    OK(ioctl(s, TCFLSH, TCIFLUSH));
    RES(poll(&p, 1, 0));
    printf("events %#x\n", p.revents);
    show("flush read", m);
    OK(ioctl(s, TCFLSH, TCOFLUSH));
    show("flush write", m);
    OK(ioctl(s, TCFLSH, TCIOFLUSH));
    show("flush both", m);
    type("\x13");
    show("stop", m);
    type("\x11");
    show("start", m);
    set(0, 0, 0, IXON, 0, 0);
    show("no flow control", m);
    set(0, 0, IXON, 0, 0, 0);
    show("flow control", m);
    type("\x03");
    show("interrupt", m);
    RES(write(s, "data", 4));
    settle();
    OK(ioctl(s, TCFLSH, TCIFLUSH));
    char b[3];
    RES(read(m, b, 3));
    printf("%d\n", b[0]);
    RES(read(m, b, 3));
    printf("%d %c%c\n", b[0], b[1], b[2]);
    RES(read(m, b, 3));
    printf("%d %c%c\n", b[0], b[1], b[2]);
    RES(read(m, b, 3));
    on = 0;
    OK(ioctl(m, TIOCPKT, &on));
    RES(write(s, "plain", 5));
    show("plain", m);
    close_pair();
}

static void windows(void)
{
    open_pair();
    struct winsize w = {1, 2, 3, 4};
    OK(ioctl(s, TIOCGWINSZ, &w));
    printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    w = (struct winsize){25, 80, 640, 480};
    OK(ioctl(m, TIOCSWINSZ, &w));
    memset(&w, 0, sizeof w);
    OK(ioctl(s, TIOCGWINSZ, &w));
    printf("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    w.ws_row = 50;
    OK(ioctl(s, TIOCSWINSZ, &w));
    OK(ioctl(m, TIOCGWINSZ, &w));
    printf("%d %d\n", w.ws_row, w.ws_col);
    OK(ioctl(s, TIOCSWINSZ, NULL));
    int v = 5;
    OK(ioctl(s, TIOCGEXCL, &v));
    printf("exclusive %d\n", v);
    OK(ioctl(s, TIOCEXCL, 0));
    OK(ioctl(s, TIOCGEXCL, &v));
    printf("exclusive %d\n", v);
    OK(ioctl(s, TIOCNXCL, 0));
    OK(ioctl(m, TIOCSIG, SIGUSR1));
    OK(ioctl(m, TIOCSIG, SIGINT));
    close_pair();
}

// TIOCSLCKTRMIOS(2const): settings that stay as they are.
static void locked_settings(void)
{
    struct termios t = {0}, locks = {.c_lflag = ECHO}, seen;
    open_pair();
    OK(ioctl(s, TIOCGLCKTRMIOS, &seen));
    CHECK(seen.c_iflag == 0 && seen.c_oflag == 0 && seen.c_cflag == 0 && seen.c_lflag == 0 && seen.c_cc[VINTR] == 0);
    OK(ioctl(s, TIOCGLCKTRMIOS, NULL));
    locks.c_cc[VINTR] = 1;
    if (ioctl(m, TIOCSLCKTRMIOS, &locks) == 0) {
        CHECK(ioctl(s, TIOCGLCKTRMIOS, &seen) == 0 && seen.c_lflag == ECHO && seen.c_cc[VINTR] == 1);
        CHECK(ioctl(s, TCGETS, &t) == 0 && (t.c_lflag & ECHO) && t.c_cc[VINTR] == 3);
        t.c_lflag &= (tcflag_t) ~(ECHO | ICANON);
        t.c_cc[VINTR] = 7, t.c_cc[VQUIT] = 8;
        CHECK(ioctl(s, TCSETS, &t) == 0 && ioctl(s, TCGETS, &t) == 0);
        CHECK((t.c_lflag & ECHO) && !(t.c_lflag & ICANON) && t.c_cc[VINTR] == 3 && t.c_cc[VQUIT] == 8);
    } else
        CHECK(errno == EPERM);
    close_pair();
}

static void hangup(void)
{
    char b[10];
    open_pair();
    struct pollfd p[2] = {{m, POLLIN | POLLOUT, 0}, {s, POLLIN | POLLOUT, 0}};
    RES(poll(p, 2, 0));
    printf("both open: %#x %#x\n", p[0].revents, p[1].revents);
    RES(write(s, "last words", 10));
    settle();
    close(s);
    RES(poll(p, 1, 0));
    printf("slave closed: %#x\n", p[0].revents);
    show("last words", m);
    RES(read(m, b, 10));
    RES(poll(p, 1, 0));
    printf("and read: %#x\n", p[0].revents);
    s = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
    RES(poll(p, 1, 0));
    printf("open again: %#x\n", p[0].revents);
    RES(read(m, b, 10));
    type("unread\n");
    settle();
    close(m);
    p[1].fd = s;
    RES(poll(p + 1, 1, 0));
    printf("master closed: %#x\n", p[1].revents);
    RES(read(s, b, 10));
    RES(write(s, "x", 1));
    struct termios t;
    OK(ioctl(s, TCGETS, &t));
    int v = 1;
    OK(ioctl(s, TIOCSPGRP, &v));
    OK(ioctl(s, TIOCGWINSZ, &v));
    CHECK(!isatty(s));
    // Another program may take the number as soon as it is free: then the name is there, and made later.
    struct stat was, is;
    OK(fstat(s, &was));
    close(s);
    CHECK(stat(name, &is) != 0 || is.st_ctim.tv_sec != was.st_ctim.tv_sec || is.st_ctim.tv_nsec != was.st_ctim.tv_nsec);
}

static void *blocked_reader(void *arg)
{
    char b[10];
    errno = 0;
    long n = read(*(int *)arg, b, 10);
    return (void *)(n < 0 ? -(long)errno : n);
}

static void blocked(void)
{
    void *result;
    pthread_t thread;
    open_pair();
    fcntl(m, F_SETFL, O_RDWR);
    fcntl(s, F_SETFL, O_RDWR);
    pthread_create(&thread, NULL, blocked_reader, &s);
    conf_sleep_ms(30);
    type("wake\n");
    pthread_join(thread, &result);
    printf("slave's reader: %ld\n", (long)result);
    show("echo", m);
    pthread_create(&thread, NULL, blocked_reader, &m);
    conf_sleep_ms(30);
    RES(write(s, "up", 2));
    pthread_join(thread, &result);
    printf("master's reader: %ld\n", (long)result);
    pthread_create(&thread, NULL, blocked_reader, &m);
    conf_sleep_ms(30);
    close(s);
    pthread_join(thread, &result);
    printf("slave closes: %s\n", conf_errno((int)-(long)result));
    s = open(name, O_RDWR | O_NOCTTY);
    pthread_create(&thread, NULL, blocked_reader, &s);
    conf_sleep_ms(30);
    close(m);
    pthread_join(thread, &result);
    CHECK((long)result == -EIO || (long)result == 0);
    close(s);
}

static void readiness(void)
{
    open_pair();
    int e = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN | EPOLLET, {.fd = s}}, got[4];
    CHECK(epoll_ctl(e, EPOLL_CTL_ADD, s, &ev) == 0);
    RES(epoll_wait(e, got, 4, 0));
    type("half");
    RES(epoll_wait(e, got, 4, 30));
    type(" line\n");
    RES(epoll_wait(e, got, 4, 1000));
    printf("events %#x\n", got[0].events);
    RES(epoll_wait(e, got, 4, 0));
    type("more\n");
    RES(epoll_wait(e, got, 4, 1000));
    fd_set r, w;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(s, &r);
    FD_SET(s, &w);
    struct timeval zero = {0, 0};
    RES(select(s + 1, &r, &w, NULL, &zero));
    CHECK(FD_ISSET(s, &r) && FD_ISSET(s, &w));
    close(e);
    close_pair();
}

static void many(void)
{
    int fds[40];
    for (int i = 0; i < 40; i++) {
        fds[i] = posix_openpt(O_RDWR | O_NOCTTY);
        CHECK(fds[i] >= 0);
        CHECK(ptsname_r(fds[i], name, sizeof name) == 0 && access(name, F_OK) == 0);
    }
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    CHECK(access(name, F_OK) != 0);
    // Without a controlling terminal there is no /dev/tty.
    OK(open("/dev/tty", O_RDWR));
}

int main(void)
{
    setsid(); // whatever started this: no controlling terminal
    signal(SIGHUP, SIG_IGN);
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"defaults", defaults}, {"locked", locked}, {"editing", editing}, {"long lines", long_lines}, {"input flags", input_flags},
                 {"output flags", output_flags}, {"raw modes", raw_modes}, {"flow", flow}, {"packets", packets}, {"windows", windows}, {"locked settings", locked_settings},
                 {"hangup", hangup}, {"blocked", blocked}, {"readiness", readiness}, {"many", many}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        printf("--- %s\n", parts[i].name);
        parts[i].run();
    }
    return conf_end();
}
