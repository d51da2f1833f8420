// Runs in an instance with little memory (oom.py). `oom pages`: processes with different oom_score_adj hold memory, then one more grows until
// the last of them is killed: one SIGKILL at a time, in the order of badness. `oom aside`: children of a fork that all write their memory, so
// that more has to be set aside than the kernel's heap holds. `oom copy`: read(2) into memory that cannot be had.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(ok) ((ok) ? (void)0 : (printf("%s:%d: %s\n", __FILE__, __LINE__, #ok), fflush(stdout), exit(1)))
enum { MB = 1 << 20 };

static void write_number(const char *path, int number)
{
    char text[16];
    int fd = open(path, O_WRONLY), n = snprintf(text, sizeof text, "%d", number);
    CHECK(fd >= 0 && write(fd, text, (size_t)n) == n);
    close(fd);
}

static long read_number(pid_t pid, const char *name)
{
    char path[64], text[32] = "";
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return atol(text);
}

static char *take(size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

// A process that holds `size` bytes and waits for its end.
static pid_t holder(int adjust, size_t size)
{
    int ready[2];
    char byte;
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        write_number("/proc/self/oom_score_adj", adjust);
        memset(take(size), 1, size);
        CHECK(write(ready[1], "r", 1) == 1);
        for (;;)
            pause();
    }
    CHECK(pid > 0 && read(ready[0], &byte, 1) == 1);
    close(ready[0]), close(ready[1]);
    return pid;
}

static void ends_killed(pid_t pid, const char *name)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    printf("%s: %s\n", name, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? "killed" : "ended otherwise");
    fflush(stdout);
}

static int lives(pid_t pid) { return waitpid(pid, NULL, WNOHANG) == 0; }

static void grow_for_ever(void)
{
    for (;;)
        memset(take(MB), 1, MB);
}

static void pages(void)
{
    pid_t never = holder(-1000, 32 * MB), large = holder(0, 96 * MB), some = holder(500, 8 * MB), first = holder(1000, 4 * MB);
    printf("scores: %d %d\n", read_number(first, "oom_score") > read_number(some, "oom_score"), read_number(some, "oom_score") > read_number(large, "oom_score"));
    printf("never: %ld\n", read_number(never, "oom_score"));
    fflush(stdout);
    pid_t grower = fork();
    if (grower == 0) {
        // Less than 4 + 8 + 96 MB more than there is: it takes the memory of all three, and then it is worst itself.
        write_number("/proc/self/oom_score_adj", 100);
        grow_for_ever();
    }
    ends_killed(first, "adjusted by 1000");
    ends_killed(some, "adjusted by 500");
    ends_killed(grower, "the one that grows");
    printf("others: %d %d\n", lives(large), lives(never));
    kill(large, SIGKILL), kill(never, SIGKILL);
    ends_killed(large, "large"), ends_killed(never, "never");
}

static void aside(void)
{
    enum { CHILDREN = 30, EACH = 4 * MB };
    static pid_t pids[CHILDREN];
    char *p = take(EACH);
    memset(p, 1, EACH);
    int go[2], done[2];
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    int started = 0;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char byte;
            write_number("/proc/self/oom_score_adj", 900);
            close(go[1]);
            CHECK(read(go[0], &byte, 1) == 0);
            // More than was there at the fork, at addresses that are the same in all of them.
            for (int round = 0; round < 4; round++) {
                memset(p, i + round, EACH);
                poll(NULL, 0, 10);
                for (int at = 0; at < EACH; at += 512)
                    if (p[at] != (char)(i + round))
                        _exit(3);
            }
            _exit(0);
        }
        if (pids[i] < 0) {
            CHECK(errno == ENOMEM || errno == EAGAIN);
            break;
        }
        started++;
    }
    close(go[1]);
    int right = 0, killed = 0, wrong = 0;
    for (int i = 0; i < started; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            right++;
        else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            killed++;
        else
            wrong++;
    }
    for (int at = 0; at < EACH; at++)
        CHECK(p[at] == 1);
    printf("children: some %s, wrong %d, all accounted for %d\n", right > 0 ? "right" : "none", wrong, right + killed + wrong == started);
    fprintf(stderr, "started %d, right %d, killed %d\n", started, right, killed);
}

static void copy(void)
{
    pid_t grower = fork();
    if (grower == 0) {
        write_number("/proc/self/oom_score_adj", 1000);
        int fd = open("/dev/zero", O_RDONLY);
        for (;;)
            CHECK(read(fd, take(MB), MB) == MB);
    }
    ends_killed(grower, "reads until there is no memory");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    write_number("/proc/self/oom_score_adj", -1000);
    if (!strcmp(argv[1], "pages"))
        pages();
    else if (!strcmp(argv[1], "aside"))
        aside();
    else
        copy();
    printf("still here\n");
    return 0;
}
