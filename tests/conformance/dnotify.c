// Directory notification (F_NOTIFY) and who gets the signals of a file (F_SETOWN, F_SETOWN_EX, F_SETSIG).
#include "conf.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static volatile int count, code, descriptor, signo;
static volatile long band;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    count++;
    signo = number;
    code = info->si_code;
    descriptor = info->si_fd;
    band = info->si_band;
}

static int dir;

static void show(const char *what)
{
    // What SIGIO says besides its number is not specified.
    if (count && signo == SIGIO)
        printf("%s: %d SIGIO code %d\n", what, count, code);
    else if (count)
        printf("%s: %d signal %d code %d band %lx our descriptor %d\n", what, count, signo - SIGRTMIN, code, band, descriptor == dir);
    else
        printf("%s: nothing\n", what);
    count = 0;
}

// Asks for events, does something, shows what came, and does it again.
#define TRY_TWICE(events, action) \
    do { \
        RES(fcntl(dir, F_NOTIFY, events)); \
        action; \
        show("  " #action); \
        action; \
        show("  again"); \
        fcntl(dir, F_NOTIFY, 0); \
    } while (0)

static void to_other(void)
{
    CHECK(rename("a/f", "b/f") == 0);
}
static void from_other(void)
{
    CHECK(rename("b/f", "a/f") == 0);
}
static void there_and_back(void)
{
    to_other();
    from_other();
}
static void within(void)
{
    CHECK(rename("a/f", "a/g") == 0);
    CHECK(rename("a/g", "a/f") == 0);
}
static void make_and_remove(void)
{
    int fd = open("a/new", O_CREAT | O_WRONLY | O_EXCL, 0600);
    CHECK(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    CHECK(unlink("a/new") == 0);
}
static void read_file(void)
{
    char c;
    int fd = open("a/f", O_RDONLY);
    CHECK(read(fd, &c, 1) == 1);
    close(fd);
}
static void write_file(void)
{
    int fd = open("a/f", O_WRONLY);
    CHECK(write(fd, "y", 1) == 1);
    close(fd);
}
static void change_mode(void)
{
    CHECK(chmod("a/f", 0640) == 0);
}
static void change_own_mode(void)
{
    CHECK(chmod("a", 0700) == 0);
}
static void in_folder_below(void)
{
    CHECK(mkdir("a/below/deeper", 0700) == 0 && rmdir("a/below/deeper") == 0);
}

static void events(void)
{
    for (int real_time = 0; real_time < 2; real_time++) {
        RES(fcntl(dir, F_SETSIG, real_time ? SIGRTMIN + 2 : 0));
        TRY_TWICE(DN_RENAME, within());
        TRY_TWICE(DN_RENAME | DN_MULTISHOT, within());
        TRY_TWICE(DN_RENAME | DN_MULTISHOT, there_and_back());
        TRY_TWICE(DN_CREATE, there_and_back());
        TRY_TWICE(DN_DELETE | DN_MULTISHOT, there_and_back());
        TRY_TWICE(DN_CREATE | DN_MULTISHOT, make_and_remove());
        TRY_TWICE(DN_DELETE | DN_MULTISHOT, make_and_remove());
        TRY_TWICE(DN_MODIFY | DN_MULTISHOT, write_file());
        TRY_TWICE(DN_ACCESS | DN_MULTISHOT, read_file());
        TRY_TWICE(DN_MODIFY | DN_CREATE | DN_DELETE | DN_MULTISHOT, read_file());
        TRY_TWICE(DN_ATTRIB | DN_MULTISHOT, change_mode());
        TRY_TWICE(DN_ATTRIB | DN_MULTISHOT, change_own_mode());
        TRY_TWICE(DN_CREATE | DN_DELETE | DN_MULTISHOT, in_folder_below());
    }
    RES(fcntl(dir, F_SETSIG, 0));
    // Masks of one open file add up; only DN_MULTISHOT asks for nothing.
    RES(fcntl(dir, F_NOTIFY, DN_CREATE));
    RES(fcntl(dir, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
    make_and_remove();
    show("both");
    RES(fcntl(dir, F_NOTIFY, DN_MULTISHOT));
    make_and_remove();
    show("none");
    int file = open("a/f", O_RDONLY);
    RES(fcntl(file, F_NOTIFY, DN_CREATE));
    RES(fcntl(file, F_NOTIFY, 0));
    close(file);
    int path = open("a", O_PATH);
    RES(fcntl(path, F_NOTIFY, DN_CREATE));
    close(path);
}

static void closing(void)
{
    // Closing any descriptor of the open file ends it; another open file of the folder is not concerned.
    int copy = dup(dir), other = open("a", O_RDONLY);
    RES(fcntl(dir, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
    RES(fcntl(other, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
    close(copy);
    make_and_remove();
    show("after close of a copy");
    close(other);
    make_and_remove();
    show("after both");
    // A child's descriptors are its own: its end changes nothing here, and it asks for nothing by itself.
    RES(fcntl(dir, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    make_and_remove();
    show("after a child's end");
    RES(fcntl(dir, F_NOTIFY, 0));
}

static void owners(void)
{
    struct f_owner_ex owner = {99, 99};
    int fd = open("a", O_RDONLY), ends[2];
    RES(fcntl(fd, F_GETOWN));
    RES(fcntl(fd, F_GETOWN_EX, &owner));
    printf("%d %d\n", owner.type, owner.pid);
    RES(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
    RES(fcntl(fd, F_GETOWN) == getpid());
    RES(fcntl(fd, F_GETOWN_EX, &owner));
    printf("%d %d\n", owner.type, owner.pid == getpid());
    RES(fcntl(fd, F_SETOWN, 0x3ffffff));
    RES(fcntl(fd, F_SETOWN, -0x3ffffff));
    RES(fcntl(fd, F_SETOWN, (int)0x80000000));
    owner.type = 3;
    RES(fcntl(fd, F_SETOWN_EX, &owner));
    owner.type = F_OWNER_PID;
    owner.pid = 0x3ffffff;
    RES(fcntl(fd, F_SETOWN_EX, &owner));
    RES(fcntl(fd, F_SETOWN_EX, NULL));
    RES(fcntl(fd, F_SETSIG, 65));
    RES(fcntl(fd, F_SETSIG, -1));
    RES(fcntl(fd, F_GETSIG));
    owner.type = F_OWNER_TID;
    owner.pid = (int)syscall(SYS_gettid);
    RES(fcntl(fd, F_SETOWN_EX, &owner));
    RES(fcntl(fd, F_GETOWN_EX, &owner));
    printf("%d\n", owner.type);
    make_and_remove();
    show("to a thread");
    RES(fcntl(fd, F_SETOWN, -getpgrp()));
    RES(fcntl(fd, F_GETOWN_EX, &owner));
    printf("%d %d\n", owner.type, owner.pid == getpgrp());
    RES(fcntl(fd, F_GETOWN) == -getpgrp());
    make_and_remove();
    show("to the group");
    RES(fcntl(fd, F_SETOWN, 0));
    make_and_remove();
    show("to nobody");
    // To another process, which tells by its end what it got; a number of nobody is not shown.
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, SIGUSR2);
        sigprocmask(SIG_BLOCK, &one, NULL);
        CHECK(write(ends[1], "r", 1) == 1);
        siginfo_t info;
        int got = sigwaitinfo(&one, &info);
        _exit(got == SIGUSR2 && info.si_code == POLL_MSG ? 5 : 6);
    }
    char c;
    CHECK(read(ends[0], &c, 1) == 1);
    RES(fcntl(fd, F_SETSIG, SIGUSR2));
    RES(fcntl(fd, F_SETOWN, child));
    make_and_remove();
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    RES(WEXITSTATUS(status));
    RES(fcntl(fd, F_GETOWN));
    make_and_remove();
    show("to nobody any more");
    close(fd);
}

int main(int argc, char **argv)
{
    CHECK(argc > 1 && chdir(argv[1]) == 0);
    alarm(60);
    setpgid(0, 0); // signals to the group are for this program alone
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGIO, &sa, NULL);
    sigaction(SIGRTMIN + 2, &sa, NULL);
    CHECK(mkdir("a", 0700) == 0 && mkdir("b", 0700) == 0 && mkdir("a/below", 0700) == 0);
    int fd = open("a/f", O_CREAT | O_WRONLY, 0600);
    CHECK(write(fd, "text", 4) == 4);
    close(fd);
    dir = open("a", O_RDONLY | O_DIRECTORY);
    events();
    closing();
    owners();
    return conf_end();
}
