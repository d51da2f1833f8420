// The line discipline of pseudo terminals: line editing, echo, input and output processing.
#include "tty.h"

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

int main(void)
{
    static const struct tty_part parts[] = {{"defaults", defaults},
                                        {"locked", locked},
                                        {"editing", editing},
                                        {"long lines", long_lines},
                                        {"input flags", input_flags},
                                        {"output flags", output_flags}};
    return tty_run(parts, sizeof parts / sizeof *parts);
}
