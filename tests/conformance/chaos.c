// Chaos: `chaos SECONDS [SEED]`. 50 processes spawn, fork, exec, kill, stop, continue and exit at random, with descriptors, memory and sockets of
// their own. Afterwards everything is accounted for: no process is left, no descriptor, and inside the kernel's own counts of
// objects (/proc/slabinfo) are what they were after a first, shorter round. Natively other programs use the same caches: there only
// the processes and descriptors are looked at. At the end something is held on purpose, and the counts must show it.
#include "conf.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

enum { WORKERS = 50, KINDS = 64 };
enum { SPAWN, FORK, EXEC, KILL, STOP, CONTINUE, EXIT, ACTIONS };
static const char *const action_names[ACTIONS] = {"spawn", "fork", "exec", "kill", "stop", "continue", "exit"};

static struct shared {
    atomic_int pids[WORKERS]; // 0: the place is free
    atomic_long done[ACTIONS];
    atomic_int stop;
} *shared;
static unsigned state;

static unsigned dice(unsigned n)
{
    state = state * 1103515245 + 12345;
    return (state >> 16) % n;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *idle(void *arg)
{
    poll(NULL, 0, (int)(long)arg);
    return NULL;
}

// Takes what a process can take, and gives back a part of it: the rest is for exit to find.
static void take_things(void)
{
    int fds[2], e = eventfd(0, EFD_NONBLOCK), pair[2] = {-1, -1};
    if (pipe(fds) == 0 && write(fds[1], "chaos", 5) == 5 && dice(2))
        close(fds[0]);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && dice(2)) {
        // A descriptor that is on its way when everybody goes.
        char space[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
        struct iovec iov = {&byte, 1};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &e, sizeof e);
        sendmsg(pair[0], &m, MSG_DONTWAIT);
    }
    size_t size = 4096 * (1 + dice(64));
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, dice(2) ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        memset(p, 1, size);
    pthread_t t;
    if (dice(4) == 0 && pthread_create(&t, NULL, idle, (void *)(long)dice(20)) == 0)
        pthread_detach(t);
}

static void worker(int place);

static void count(int action) { atomic_fetch_add(&shared->done[action], 1); }

// A child that the worker waits for, unless it is killed meanwhile: then pid 1 or the main process does.
static void short_child(int action, const char *self)
{
    pid_t pid = -1;
    char *const argv[] = {(char *)self, "0", NULL};
    if (action == SPAWN) {
        if (posix_spawn(&pid, self, NULL, NULL, argv, environ) != 0)
            return;
    } else {
        pid = fork();
        if (pid == 0) {
            if (dice(2))
                take_things();
            if (action == EXEC)
                execv(self, argv);
            _exit(0);
        }
    }
    if (pid > 0) {
        count(action);
        if (dice(4))
            waitpid(pid, NULL, 0);
    }
}

static const char *self_path;

static void worker(int place)
{
    state ^= (unsigned)getpid() * 2654435761u;
    while (!atomic_load(&shared->stop)) {
        int action = (int)dice(ACTIONS), other = shared->pids[dice(WORKERS)];
        while (waitpid(-1, NULL, WNOHANG) > 0) {}
        switch (action) {
        case SPAWN:
        case FORK:
        case EXEC:
            short_child(action, self_path);
            break;
        case KILL:
        case STOP:
            if (other > 0 && other != getpid() && dice(action == KILL ? 4 : 2) == 0 &&
                kill(other, action == STOP ? SIGSTOP : dice(2) ? SIGKILL : SIGTERM) == 0)
                count(action);
            break;
        case CONTINUE:
            for (int i = 0; i < WORKERS; i++)
                if ((other = shared->pids[i]) > 0)
                    kill(other, SIGCONT);
            count(action);
            break;
        default:
            take_things();
            if (dice(8) == 0) {
                count(EXIT);
                _exit((int)dice(100));
            }
        }
        if (dice(4) == 0)
            poll(NULL, 0, (int)dice(3));
    }
    _exit(place & 0);
}

static void start(int place)
{
    pid_t pid = fork();
    if (pid == 0)
        worker(place);
    shared->pids[place] = pid > 0 ? pid : 0;
    state += 7919;
}

// Every child of this process, and what its children have left to it (it is their subreaper).
static int reap_all(void)
{
    int reaped = 0;
    for (double limit = now() + 20; now() < limit;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid > 0) {
            reaped++;
            continue;
        }
        if (pid < 0 && errno == ECHILD)
            return reaped;
        poll(NULL, 0, 1);
    }
    CHECK(!"a process does not end");
    return reaped;
}

static void round_of(double seconds)
{
    atomic_store(&shared->stop, 0);
    for (int i = 0; i < WORKERS; i++)
        start(i);
    for (double end = now() + seconds; now() < end;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        for (int i = 0; pid > 0 && i < WORKERS; i++)
            if (shared->pids[i] == pid) {
                shared->pids[i] = 0;
                start(i);
            }
        if (pid <= 0) {
            // All may have been stopped.
            for (int i = 0; i < WORKERS; i++)
                if (shared->pids[i] > 0)
                    kill(shared->pids[i], SIGCONT);
            poll(NULL, 0, 5);
        }
    }
    atomic_store(&shared->stop, 1);
    for (int i = 0; i < WORKERS; i++)
        if (shared->pids[i] > 0)
            kill(shared->pids[i], SIGKILL);
    reap_all();
    for (int i = 0; i < WORKERS; i++)
        shared->pids[i] = 0;
}

static int open_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static struct counts {
    int kinds;
    struct {
        char name[32];
        long used;
    } of[KINDS];
} before, after;
static int inside;

static void take_counts(struct counts *c)
{
    static char text[16384];
    int fd = open("/proc/slabinfo", O_RDONLY);
    ssize_t n = 0, got;
    while (fd >= 0 && (got = read(fd, text + n, sizeof text - 1 - (size_t)n)) > 0)
        n += got;
    close(fd);
    text[n > 0 ? n : 0] = 0;
    c->kinds = 0;
    for (char *line = strchr(text, '\n'); line && c->kinds < KINDS; line = strchr(line + 1, '\n'))
        if (line[1] != '#' && sscanf(line + 1, "%31s %ld", c->of[c->kinds].name, &c->of[c->kinds].used) == 2)
            c->kinds++;
}

// What may lie in caches: names of files, memory of ended threads' stacks that the next ones get. Objects of programs may not.
static long allowance(const char *name)
{
    if (!strncmp(name, "kmalloc", 7))
        return 150;
    // Pages of text and stacks that are kept for the next process: the kernel limits their number itself.
    if (!strcmp(name, "cached_page"))
        return 1 << 20;
    if (!strcmp(name, "user_page"))
        return 64;
    // The main process's pages that its last children saw too.
    if (!strcmp(name, "page_version"))
        return 128;
    return !strcmp(name, "dentry") || !strcmp(name, "inode_cache") ? 32 : 0;
}

// Whether there is more than before; says of what, if asked.
static int has_more(int say)
{
    int more = 0;
    take_counts(&after);
    CHECK(before.kinds == after.kinds && before.kinds > 10);
    for (int i = 0; i < after.kinds; i++) {
        long grown = after.of[i].used - before.of[i].used;
        if (grown <= allowance(after.of[i].name))
            continue;
        more = 1;
        if (say)
            printf("left over: %ld %s (%ld before)\n", grown, after.of[i].name, before.of[i].used);
    }
    return more;
}

static int grown(const char *name)
{
    take_counts(&after);
    for (int i = 0; i < after.kinds; i++)
        if (!strcmp(after.of[i].name, name))
            return (int)(after.of[i].used - before.of[i].used);
    return -1;
}

// Holds things on purpose: a check that does not see them would not see a leak.
static void hold_things(void)
{
    if (!inside)
        return;
    take_counts(&before);
    int fds[2];
    CHECK(pipe(fds) == 0);
    CHECK(grown("filp") == 2 && grown("pipe_inode_cache") == 1);
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    CHECK(grown("task_struct") == 1 && grown("signal_cache") == 1 && grown("mm_struct") == 1);
    CHECK(has_more(0));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(p != MAP_FAILED && grown("user_page") >= 256);
    munmap(p, 1 << 20);
    static int many[400];
    for (int i = 0; i < 400; i++)
        many[i] = eventfd(0, 0);
    CHECK(grown("filp") == 402);
    for (int i = 0; i < 400; i++)
        close(many[i]);
    close(fds[0]), close(fds[1]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "0"))
        return 0;
    double seconds = argc > 1 ? atof(argv[1]) : 15;
    state = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    self_path = argv[0];
    char text[64] = "";
    int fd = open("/proc/cmdline", O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    inside = !strncmp(text, "occlum", 6);
    signal(SIGPIPE, SIG_IGN);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    round_of(seconds / 4);
    poll(NULL, 0, inside ? 300 : 0); // what ended last may still be on its way out
    if (inside)
        take_counts(&before);
    int descriptors = open_descriptors();
    round_of(seconds);
    CHECK(open_descriptors() == descriptors);
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    if (inside) {
        for (double limit = now() + 10; has_more(0) && now() < limit;)
            poll(NULL, 0, 20);
        CHECK(!has_more(1));
    }
    for (int i = 0; i < ACTIONS; i++) {
        printf("%s: %s\n", action_names[i], shared->done[i] > 10 ? "many" : "few");
        fprintf(stderr, "%s: %ld\n", action_names[i], shared->done[i]);
    }
    hold_things();
    return conf_end();
}
