// Pseudo terminals beyond lines: raw modes, flow control, packet mode, windows, locked settings, hangup, readiness, many of them.
#include "tty.h"

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
    static const struct tty_part parts[] = {{"raw modes", raw_modes},
                                        {"flow", flow},
                                        {"packets", packets},
                                        {"windows", windows},
                                        {"locked settings", locked_settings},
                                        {"hangup", hangup},
                                        {"blocked", blocked},
                                        {"readiness", readiness},
                                        {"many", many}};
    return tty_run(parts, sizeof parts / sizeof *parts);
}
