// Locks of files whose descriptor goes while somebody waits for one: fcntl(2) with F_SETLKW and F_OFD_SETLKW, flock(2).
#include "conf.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char path[4096], other_path[4096];

static int lock(int fd, int command, int type, long start, long len)
{
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, command, &l);
}

// What another process would meet at a byte: "free", "read" or "write".
static const char *seen_by_others(long start)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path, O_RDWR);
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
        _exit(fcntl(fd, F_GETLK, &l) != 0 ? 9 : l.l_type);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status) == F_UNLCK ? "free" : WEXITSTATUS(status) == F_RDLCK ? "read" : WEXITSTATUS(status) == F_WRLCK ? "write" : "?";
}

// A child that holds the first byte (or the flock) until it is told.
struct holder {
    pid_t pid;
    int tell;
};
static struct holder hold(int command)
{
    int up[2], down[2];
    char c;
    CHECK(pipe(up) == 0 && pipe(down) == 0);
    struct holder h = {fork(), down[1]};
    if (h.pid == 0) {
        close(down[1]);
        int fd = open(path, O_RDWR);
        int bad = command ? lock(fd, command, F_WRLCK, 0, 1) : flock(fd, LOCK_EX);
        if (write(up[1], "", 1) != 1 || read(down[0], &c, 1) < 0)
            bad = 1;
        _exit(bad != 0);
    }
    CHECK(read(up[0], &c, 1) == 1);
    close(up[0]);
    close(up[1]);
    close(down[0]);
    return h;
}
static void let_go(struct holder h)
{
    int status = -1;
    close(h.tell);
    waitpid(h.pid, &status, 0);
    CHECK(status == 0);
}

struct waiting {
    pthread_t thread;
    int fd, command, result, error;
    volatile int tid;
};
static void *wait_for_lock(void *arg)
{
    struct waiting *w = arg;
    __atomic_store_n(&w->tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    w->result = w->command ? lock(w->fd, w->command, F_WRLCK, 0, 1) : flock(w->fd, LOCK_EX);
    w->error = errno;
    return NULL;
}
static void start(struct waiting *w, int fd, int command)
{
    char name[64];
    *w = (struct waiting){.fd = fd, .command = command};
    pthread_create(&w->thread, NULL, wait_for_lock, w);
    while (__atomic_load_n(&w->tid, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    snprintf(name, sizeof name, "/proc/self/task/%d/stat", w->tid);
    conf_await_stat(name);
}
static void finish(struct waiting *w)
{
    pthread_join(w->thread, NULL);
    printf("  %d %s\n", w->result, w->result ? conf_errno(w->error) : "");
}

static void closed_meanwhile(void)
{
    struct waiting w;
    printf("closed\n");
    int fd = open(path, O_RDWR);
    struct holder h = hold(F_SETLK);
    start(&w, fd, F_SETLKW);
    close(fd);
    let_go(h);
    finish(&w);
    printf("  then %s\n", seen_by_others(0));

    printf("another file in its place\n");
    fd = open(path, O_RDWR);
    h = hold(F_SETLK);
    start(&w, fd, F_SETLKW);
    int other = open(other_path, O_RDWR | O_CREAT, 0600);
    CHECK(dup2(other, fd) == fd);
    let_go(h);
    finish(&w);
    printf("  then %s\n", seen_by_others(0));
    close(other);
    close(fd);

    printf("the same file, opened again, in its place\n");
    fd = open(path, O_RDWR);
    h = hold(F_SETLK);
    start(&w, fd, F_SETLKW);
    other = open(path, O_RDWR);
    CHECK(dup2(other, fd) == fd);
    let_go(h);
    finish(&w);
    printf("  then %s\n", seen_by_others(0));
    close(other);
    close(fd);

    printf("a copy of itself in its place\n");
    fd = open(path, O_RDWR);
    h = hold(F_SETLK);
    start(&w, fd, F_SETLKW);
    other = dup(fd);
    CHECK(dup2(other, fd) == fd);
    let_go(h);
    finish(&w);
    printf("  then %s\n", seen_by_others(0));
    close(other);
    printf("  and %s\n", seen_by_others(0));
    close(fd);
}

// Any close of the file lets go what the process holds, also while a thread waits for more; what it waits for it gets.
static void other_closed_meanwhile(void)
{
    struct waiting w;
    printf("another descriptor closed\n");
    int fd = open(path, O_RDWR), other = open(path, O_RDONLY);
    CHECK(lock(fd, F_SETLK, F_WRLCK, 100, 1) == 0);
    printf("  held %s\n", seen_by_others(100));
    struct holder h = hold(F_SETLK);
    start(&w, fd, F_SETLKW);
    close(other);
    printf("  held %s\n", seen_by_others(100));
    let_go(h);
    finish(&w);
    printf("  then %s\n", seen_by_others(0));
    close(fd);
    printf("  and %s\n", seen_by_others(0));
}

static void closed_owner_is_file(int command)
{
    struct waiting w;
    printf("%s\n", command ? "lock of an open file" : "flock");
    int fd = open(path, O_RDWR);
    struct holder h = hold(command ? F_OFD_SETLK : 0);
    start(&w, fd, command);
    close(fd);
    let_go(h);
    finish(&w);
    fd = open(path, O_RDWR);
    RES(command ? lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1) : flock(fd, LOCK_EX | LOCK_NB));
    close(fd);
}

// Closing against the grant of a lock, at random: whatever comes first, nothing is left behind.
static int volatile race_fd = -1;
static void *close_it(void *arg)
{
    unsigned turns = *(unsigned *)arg;
    for (unsigned i = 0; i < turns; i++)
        sched_yield();
    close(race_fd);
    return NULL;
}
static void races(void)
{
    int left[3] = {0, 0, 0};
    for (unsigned i = 0; i < 300; i++) {
        pthread_t thread;
        unsigned turns = i / 3 % 4;
        int fd = race_fd = open(path, O_RDWR);
        pthread_create(&thread, NULL, close_it, &turns);
        int got = i % 3 == 0 ? lock(fd, F_SETLKW, F_WRLCK, 0, 1) : i % 3 == 1 ? lock(fd, F_OFD_SETLKW, F_WRLCK, 0, 1) : flock(fd, LOCK_EX);
        CHECK(got == 0 || errno == EBADF);
        pthread_join(thread, NULL);
        fd = open(path, O_RDWR);
        left[i % 3] += lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1) != 0 || flock(fd, LOCK_EX | LOCK_NB) != 0;
        close(fd);
    }
    printf("left behind: %d %d %d\n", left[0], left[1], left[2]);
}

int main(int argc, char **argv)
{
    snprintf(path, sizeof path, "%s/locks-file", argc > 1 ? argv[1] : ".");
    snprintf(other_path, sizeof other_path, "%s/locks-other", argc > 1 ? argv[1] : ".");
    close(open(path, O_RDWR | O_CREAT, 0600));
    closed_meanwhile();
    other_closed_meanwhile();
    closed_owner_is_file(F_OFD_SETLKW);
    closed_owner_is_file(0);
    races();
    unlink(path);
    unlink(other_path);
    return conf_failures != 0;
}
