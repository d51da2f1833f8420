// Job control: sessions, their terminals, process groups in the foreground, in the background and orphaned. Every scenario is a session of
// its own: a process that leads it, has a new pseudo terminal as standard input and holds its master too. It starts others by
// posix_spawn of this program with a role as argument.
#include "conf.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>

enum { MASTER = 4 };
static volatile sig_atomic_t got[65];
static void count(int sig)
{
    got[sig]++;
}

static void handle(int sig, void (*handler)(int))
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = handler;
    sigaction(sig, &a, NULL);
}

// Starts this program in a role. group: -1 = mine, 0 = a new one, else that one.
static pid_t start(const char *role, const char *arg, pid_t group)
{
    posix_spawnattr_t a;
    sigset_t set;
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    posix_spawnattr_init(&a);
    sigfillset(&set);
    posix_spawnattr_setsigdefault(&a, &set);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&a, &set);
    if (group >= 0) {
        flags |= POSIX_SPAWN_SETPGROUP;
        posix_spawnattr_setpgroup(&a, group);
    }
    posix_spawnattr_setflags(&a, flags);
    char *argv[] = {"jobs", "role", (char *)role, (char *)(arg ? arg : ""), NULL};
    pid_t pid = -1;
    int e = posix_spawn(&pid, "/proc/self/exe", NULL, &a, argv, environ);
    if (e)
        printf("spawn: %s\n", conf_errno(e));
    posix_spawnattr_destroy(&a);
    return pid;
}

static const char *signame(int sig)
{
    const char *n = sigabbrev_np(sig);
    return n ? n : "?";
}

static void show_status(const char *what, int status)
{
    if (WIFEXITED(status))
        printf("%s: exit %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("%s: killed by %s\n", what, signame(WTERMSIG(status)));
    else if (WIFSTOPPED(status))
        printf("%s: stopped by %s\n", what, signame(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        printf("%s: continued\n", what);
}

static void await(const char *what, pid_t pid, int options)
{
    int status = 0;
    pid_t p;
    while ((p = waitpid(pid, &status, options)) < 0 && errno == EINTR) {
    }
    if (p != pid)
        printf("%s: wait gave %d %s\n", what, (int)p == 0 ? 0 : -1, conf_errno(errno));
    else
        show_status(what, status);
}

static void type(const char *keys)
{
    CHECK(write(MASTER, keys, strlen(keys)) == (long)strlen(keys));
}

static void foreground(pid_t group)
{
    sigset_t ttou, old;
    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    sigprocmask(SIG_BLOCK, &ttou, &old);
    CHECK(tcsetpgrp(0, group) == 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void stat_fields(int *pgrp, int *session, int *tty, int *tpgid, char *state)
{
    char text[1000];
    int fd = open("/proc/self/stat", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    int parent;
    CHECK(sscanf(strrchr(text, ')'), ") %c %d %d %d %d %d", state, &parent, pgrp, session, tty, tpgid) == 6);
}

// --- roles ---

static int role(const char *what, const char *arg)
{
    char b[100];
    errno = 0;
    if (!strcmp(what, "read")) { // a line from the terminal
        if (!strcmp(arg, "ignore"))
            signal(SIGTTIN, SIG_IGN);
        if (!strcmp(arg, "block")) {
            sigset_t s;
            sigemptyset(&s);
            sigaddset(&s, SIGTTIN);
            sigprocmask(SIG_BLOCK, &s, NULL);
        }
        long n = read(0, b, sizeof b);
        if (n < 0)
            printf("read: %s\n", conf_errno(errno));
        return n < 0 ? 50 : (int)n;
    }
    if (!strcmp(what, "write")) {
        if (!strcmp(arg, "ignore"))
            signal(SIGTTOU, SIG_IGN);
        long n = write(0, "w", 1);
        return n < 0 ? 50 : (int)n;
    }
    if (!strcmp(what, "settings")) {
        if (!strcmp(arg, "ignore"))
            signal(SIGTTOU, SIG_IGN);
        struct termios t;
        if (tcgetattr(0, &t))
            return 51;
        return tcsetattr(0, TCSANOW, &t) ? 50 : 7;
    }
    if (!strcmp(what, "front")) { // takes the terminal
        if (!strcmp(arg, "ignore"))
            signal(SIGTTOU, SIG_IGN);
        return tcsetpgrp(0, getpgrp()) ? 50 : 8;
    }
    if (!strcmp(what, "sleep")) {
        if (*arg)
            CHECK(write(atoi(arg), "r", 1) == 1); // ready
        for (;;)
            pause();
    }
    if (!strcmp(what, "note")) { // tells which signals come; ends with TERM
        static const int all[] = {SIGHUP, SIGCONT, SIGINT, SIGTERM};
        sigset_t s;
        sigemptyset(&s);
        for (int i = 0; i < 4; i++)
            sigaddset(&s, all[i]);
        sigprocmask(SIG_BLOCK, &s, NULL);
        CHECK(write(atoi(arg), "r", 1) == 1);
        for (int sig; !sigwait(&s, &sig);) {
            dprintf(atoi(arg), "%s ", signame(sig));
            if (sig == SIGTERM || sig == SIGHUP)
                break;
        }
        return 0;
    }
    if (!strcmp(what, "orphan")) { // starts another in a group of its own and goes
        int p[2];
        CHECK(pipe(p) == 0);
        char fd[20];
        snprintf(fd, sizeof fd, "%d", p[1]);
        pid_t pid = start(arg, fd, 0);
        CHECK(read(p[0], b, 1) == 1);
        if (!strcmp(arg, "stops")) {
            int status;
            CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        }
        return 0;
    }
    if (!strcmp(what, "reads")) { // after the parent has gone
        pid_t parent = getppid();
        CHECK(write(atoi(arg), "r", 1) == 1);
        while (getppid() == parent)
            conf_sleep_ms(2);
        errno = 0;
        long n = read(0, b, sizeof b);
        printf("orphan's read: %ld %s\n", n, conf_errno(errno));
        errno = 0;
        struct termios t;
        tcgetattr(0, &t);
        n = tcsetattr(0, TCSANOW, &t);
        printf("orphan's tcsetattr: %ld %s\n", n, conf_errno(errno));
        raise(SIGTSTP);
        printf("orphan does not stop\n");
        return 0;
    }
    if (!strcmp(what, "stops")) {
        handle(SIGHUP, count);
        handle(SIGCONT, count);
        CHECK(write(atoi(arg), "r", 1) == 1);
        raise(SIGSTOP);
        conf_sleep_ms(20);
        printf("stopped orphan: HUP %d CONT %d\n", got[SIGHUP], got[SIGCONT]);
        return 0;
    }
    if (!strcmp(what, "notty")) { // leaves the terminal alone
        int a = ioctl(0, TIOCNOTTY), b2 = ioctl(0, TIOCNOTTY), fd = open("/dev/tty", O_RDWR);
        printf("left: %d, again: %d, /dev/tty: %s\n", a, b2, fd < 0 ? conf_errno(errno) : "open");
        return 0;
    }
    if (!strcmp(what, "session")) { // a session of its own, with its own idea of a terminal
        CHECK(setsid() == getpid());
        printf("new session: sid %d pgid %d tty %s\n", getsid(0) == getpid(), getpgrp() == getpid(),
               open("/dev/tty", O_RDWR) < 0 ? conf_errno(errno) : "open");
        OK(ioctl(0, TIOCSCTTY, 0));
        OK(tcgetpgrp(0));
        int m = open("/dev/ptmx", O_RDWR), zero = 0;
        CHECK(m >= 0 && ioctl(m, TIOCSPTLCK, &zero) == 0);
        OK(open("/dev/tty", O_RDWR)); // the master never controls
        int s = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY);
        CHECK(s >= 0);
        OK(tcgetpgrp(s));
        OK(ioctl(s, TIOCSCTTY, 0));
        CHECK(tcgetpgrp(s) == getpgrp() && tcgetsid(s) == getpid());
        return 0;
    }
    return 99;
}

// --- scenarios ---

static void controlling(void)
{
    int pgrp, session, tty, tpgid;
    char state;
    struct stat st;
    CHECK(getsid(0) == getpid() && getpgrp() == getpid());
    CHECK(tcgetsid(0) == getpid() && tcgetpgrp(0) == getpid());
    CHECK(tcgetsid(MASTER) == getpid() && tcgetpgrp(MASTER) == getpid());
    CHECK(fstat(0, &st) == 0);
    stat_fields(&pgrp, &session, &tty, &tpgid, &state);
    CHECK(pgrp == getpid() && session == getpid() && tpgid == getpid() && (dev_t)tty == st.st_rdev);
    int fd = open("/dev/tty", O_RDWR);
    CHECK(fd >= 0 && isatty(fd) && tcgetpgrp(fd) == getpid());
    CHECK(fstat(fd, &st) == 0 && st.st_rdev == makedev(5, 0));
    CHECK(write(fd, "x", 1) == 1);
    OK(ioctl(fd, TIOCSCTTY, 0));
    close(fd);
    OK(setsid());
    OK(setpgid(0, 0));
    int m = posix_openpt(O_RDWR | O_NOCTTY), zero = 0;
    CHECK(m >= 0 && ioctl(m, TIOCSPTLCK, &zero) == 0);
    int s = ioctl(m, TIOCGPTPEER, O_RDWR);
    CHECK(s >= 0);
    OK(ioctl(s, TIOCSCTTY, 0));
    OK(tcgetpgrp(s));
    OK(tcsetpgrp(s, getpid()));
    OK(tcgetsid(s));
    close(s);
    close(m);
    OK(tcsetpgrp(0, 99999999));
    OK(tcsetpgrp(0, -5));
    OK(tcsetpgrp(0, getppid()));
    await("new session", start("session", NULL, -1), 0);
    await("leaves", start("notty", NULL, -1), 0);
    CHECK(tcgetpgrp(0) == getpid());
    OK(getsid(99999999));
    OK(getpgid(99999999));
    OK(setpgid(99999999, 0));
    OK(setpgid(-1, 0));
    OK(setpgid(0, -1));
    OK(setpgid(getppid(), 0));
    pid_t child = start("sleep", NULL, -1);
    conf_sleep_ms(20);
    OK(setpgid(child, child)); // it has executed a program
    kill(child, SIGKILL);
    await("child", child, 0);
    OK(setpgid(child, child));
}

static void background(void)
{
    pid_t p = start("read", NULL, 0);
    await("background reader", p, WUNTRACED);
    kill(p, SIGCONT); // still in the background: stops once more, perhaps before this process could see it continued
    await("background reader", p, WUNTRACED);
    foreground(p);
    kill(-p, SIGCONT);
    await("foreground reader", p, WCONTINUED);
    type("line\n");
    await("foreground reader", p, WUNTRACED);
    foreground(getpgrp());
    await("ignores TTIN", start("read", "ignore", 0), WUNTRACED);
    await("blocks TTIN", start("read", "block", 0), WUNTRACED);
    await("background writer", start("write", NULL, 0), WUNTRACED);
    struct termios t;
    CHECK(tcgetattr(0, &t) == 0);
    t.c_lflag |= TOSTOP;
    CHECK(tcsetattr(0, TCSANOW, &t) == 0);
    p = start("write", NULL, 0);
    await("TOSTOP writer", p, WUNTRACED);
    kill(p, SIGKILL);
    await("TOSTOP writer", p, WUNTRACED);
    await("TOSTOP writer that ignores", start("write", "ignore", 0), WUNTRACED);
    p = start("settings", NULL, 0);
    await("background settings", p, WUNTRACED);
    kill(p, SIGTERM);
    kill(p, SIGCONT);
    await("background settings", p, WUNTRACED);
    await("background settings that ignores", start("settings", "ignore", 0), WUNTRACED);
    p = start("front", NULL, 0);
    await("background takes the terminal", p, WUNTRACED);
    kill(p, SIGKILL);
    await("background takes the terminal", p, 0);
    CHECK(tcgetpgrp(0) == getpgrp());
    await("and ignores", start("front", "ignore", 0), WUNTRACED);
    CHECK(tcgetpgrp(0) != getpgrp());
    signal(SIGTTOU, SIG_DFL);
    foreground(getpgrp());
}

static void keys(void)
{
    int p[2];
    char fd[20], b[4];
    CHECK(pipe(p) == 0);
    snprintf(fd, sizeof fd, "%d", p[1]);
    pid_t one = start("sleep", fd, 0), two = start("sleep", fd, one);
    CHECK(getpgid(two) == one);
    CHECK(read(p[0], b, 1) == 1 && read(p[0], b, 1) == 1);
    foreground(one);
    type("\x1a");
    await("first, ^Z", one, WUNTRACED);
    await("second, ^Z", two, WUNTRACED);
    foreground(getpgrp());
    siginfo_t info;
    memset(&info, 0, sizeof info);
    OK(waitid(P_PGID, (id_t)one, &info, WSTOPPED | WNOHANG));
    CHECK(info.si_pid == 0);
    kill(-one, SIGCONT);
    memset(&info, 0, sizeof info);
    OK(waitid(P_PID, (id_t)one, &info, WCONTINUED | WNOWAIT));
    printf("continued: %d %s\n", info.si_code == CLD_CONTINUED, signame(info.si_status));
    await("first", one, WCONTINUED);
    await("first, running", one, WNOHANG | WUNTRACED | WCONTINUED);
    foreground(one);
    type("\x03");
    await("first, ^C", one, 0);
    await("second, ^C", two, 0);
    foreground(getpgrp());
    one = start("sleep", fd, 0);
    CHECK(read(p[0], b, 1) == 1);
    foreground(one);
    type("\x1c");
    await("first, ^\\", one, 0);
    foreground(getpgrp());
    handle(SIGINT, count);
    type("\x03");
    for (int i = 0; i < 5000 && !got[SIGINT]; i++)
        conf_sleep_ms(2);
    printf("INT %d\n", got[SIGINT]);
    handle(SIGTSTP, count);
    CHECK(ioctl(MASTER, TIOCSIG, SIGTSTP) == 0);
    for (int i = 0; i < 5000 && !got[SIGTSTP]; i++)
        conf_sleep_ms(2);
    printf("TSTP %d\n", got[SIGTSTP]);
    // A reader is interrupted.
    close(p[0]);
    close(p[1]);
}

static void windows(void)
{
    handle(SIGWINCH, count);
    struct winsize w = {10, 20, 0, 0};
    OK(ioctl(MASTER, TIOCSWINSZ, &w));
    for (int i = 0; i < 5000 && got[SIGWINCH] < 1; i++)
        conf_sleep_ms(2);
    printf("WINCH %d\n", got[SIGWINCH]);
    OK(ioctl(0, TIOCSWINSZ, &w));
    conf_sleep_ms(10);
    printf("WINCH %d\n", got[SIGWINCH]);
    w.ws_col++;
    OK(ioctl(0, TIOCSWINSZ, &w));
    for (int i = 0; i < 5000 && got[SIGWINCH] < 2; i++)
        conf_sleep_ms(2);
    printf("WINCH %d\n", got[SIGWINCH]);
}

// Who starts an orphan goes at once: its end is told after the orphan's words, whoever is faster.
static void orphaned(const char *what)
{
    int p[2];
    char b[10];
    CHECK(pipe(p) == 0);
    fcntl(p[0], F_SETFD, FD_CLOEXEC);
    pid_t starter = start("orphan", what, 0);
    close(p[1]);
    CHECK(read(p[0], b, 1) == 0); // until the orphan has ended
    close(p[0]);
    await("starter", starter, 0);
}

static void orphans(void)
{
    orphaned("reads");
    orphaned("stops");
}

static void powerless(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0)
            CHECK(setresuid(65534, 65534, 65534) == 0);
        RES(vhangup());
        fflush(stdout);
        _exit(0);
    }
    await("powerless", pid, 0);
}

static void hangup(void)
{
    handle(SIGHUP, count);
    handle(SIGCONT, count);
    close(MASTER);
    for (int i = 0; i < 5000 && !(got[SIGHUP] && got[SIGCONT]); i++)
        conf_sleep_ms(2);
    printf("HUP %d CONT %d\n", got[SIGHUP], got[SIGCONT]);
    char b[4];
    RES(read(0, b, 4));
    RES(write(0, b, 1));
    OK(open("/dev/tty", O_RDWR));
    OK(tcgetpgrp(0));
    int pgrp, session, tty, tpgid;
    char state;
    stat_fields(&pgrp, &session, &tty, &tpgid, &state);
    printf("tty %d tpgid %d\n", tty, tpgid);
    struct pollfd q = {0, POLLIN, 0};
    RES(poll(&q, 1, 0));
    printf("events %#x\n", q.revents);
}

static void gives_up(void)
{
    handle(SIGHUP, count);
    handle(SIGCONT, count);
    OK(ioctl(0, TIOCNOTTY));
    conf_sleep_ms(5);
    printf("HUP %d CONT %d\n", got[SIGHUP], got[SIGCONT]);
    OK(open("/dev/tty", O_RDWR));
    OK(tcgetpgrp(0));
    OK(tcgetsid(MASTER));
    char b[4];
    CHECK(write(MASTER, "abc\n", 4) == 4);
    RES(read(0, b, 4)); // it is an ordinary file now
    OK(ioctl(0, TIOCSCTTY, 0));
    CHECK(tcgetpgrp(0) == getpid());
}

// The leader ends: the foreground group gets SIGHUP, the background one does not.
static int leader_ends_pipe[2];
static void leader_ends(void)
{
    char fd[20], b;
    snprintf(fd, sizeof fd, "%d", leader_ends_pipe[1]);
    pid_t front = start("note", fd, 0);
    CHECK(read(leader_ends_pipe[0], &b, 1) == 1);
    foreground(front);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {{"controlling", controlling}, {"background", background}, {"keys", keys}, {"windows", windows}, {"orphans", orphans}, {"powerless", powerless},
                 {"hangup", hangup}, {"gives_up", gives_up}, {"leader_ends", leader_ends}};

static void run_scenario(const char *name)
{
    int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char slave[64];
    CHECK(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0 && ptsname_r(m, slave, sizeof slave) == 0);
    posix_spawnattr_t a;
    posix_spawnattr_init(&a);
    posix_spawnattr_setflags(&a, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_t f;
    posix_spawn_file_actions_init(&f);
    posix_spawn_file_actions_addopen(&f, 0, slave, O_RDWR, 0); // the leader of a session without a terminal gets it
    posix_spawn_file_actions_adddup2(&f, m, MASTER);
    char *argv[] = {"jobs", "scenario", (char *)name, NULL};
    pid_t pid;
    CHECK(posix_spawn(&pid, "/proc/self/exe", &f, &a, argv, environ) == 0);
    close(m);
    await(name, pid, 0);
    posix_spawn_file_actions_destroy(&f);
    posix_spawnattr_destroy(&a);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && !strcmp(argv[1], "role"))
        return role(argv[2], argv[3]);
    if (argc >= 3 && !strcmp(argv[1], "scenario")) {
        fcntl(MASTER, F_SETFD, FD_CLOEXEC);
        leader_ends_pipe[0] = 5;
        leader_ends_pipe[1] = 6;
        for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
            if (!strcmp(argv[2], scenarios[i].name))
                scenarios[i].run();
        return conf_failures != 0;
    }
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    setsid();
    int p[2];
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        printf("--- %s\n", scenarios[i].name);
        int last = i + 1 == sizeof scenarios / sizeof *scenarios;
        if (last) {
            CHECK(pipe(p) == 0);
            dup2(p[0], 5);
            dup2(p[1], 6);
            close(p[1]);
            fcntl(p[0], F_SETFD, FD_CLOEXEC);
        }
        run_scenario(scenarios[i].name);
        if (last) {
            close(5);
            close(6);
            char b[100];
            long n = 0, k;
            while ((k = read(p[0], b + n, sizeof b - 1 - (size_t)n)) > 0)
                n += k;
            b[n] = 0;
            printf("foreground got: %s\n", b);
        }
    }
    return conf_end();
}
