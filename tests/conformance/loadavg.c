// The load averages: /proc/loadavg, getloadavg(3), sysinfo(2) say the same, and threads that run show in them.
#include "conf.h"
#include <pthread.h>
#include <signal.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

struct line {
    double loads[3];
    unsigned running, total;
    int last_pid;
};

static struct line read_line(void)
{
    char text[128] = "";
    struct line line = {{-1, -1, -1}, 0, 0, 0};
    int fd = open("/proc/loadavg", O_RDONLY);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    CHECK(sscanf(text, "%lf %lf %lf %u/%u %d\n", &line.loads[0], &line.loads[1], &line.loads[2], &line.running, &line.total, &line.last_pid) == 6);
    char again[128];
    snprintf(again, sizeof again, "%.2f %.2f %.2f %u/%u %d\n", line.loads[0], line.loads[1], line.loads[2], line.running, line.total, line.last_pid);
    CHECK(strcmp(text, again) == 0);
    return line;
}

static int near(double a, double b)
{
    return a - b < 0.011 && b - a < 0.011;
}

// Between two readings that are the same the third must be the same, too.
static void agree(void)
{
    double loads[3] = {-1, -1, -1};
    struct sysinfo info;
    struct line before, after;
    do {
        before = read_line();
        CHECK(getloadavg(loads, 3) == 3);
        CHECK(sysinfo(&info) == 0);
        after = read_line();
    } while (memcmp(before.loads, after.loads, sizeof before.loads) != 0);
    for (int i = 0; i < 3; i++) {
        CHECK(near(loads[i], before.loads[i]));
        CHECK(near((double)info.loads[i] / 65536, before.loads[i]));
    }
}

static pthread_barrier_t barrier;

static void *wait_for_end(void *arg)
{
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return arg;
}

static void counts(void)
{
    enum { THREADS = 20 };
    pthread_t threads[THREADS];
    struct line before = read_line();
    CHECK(before.running >= 1 && before.total >= before.running);
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, wait_for_end, NULL) == 0);
    pthread_barrier_wait(&barrier);
    // Other programs come and go meanwhile, on Linux.
    CHECK(read_line().total + THREADS / 2 >= before.total + THREADS);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(read_line().last_pid >= pid);
    CHECK(wait(NULL) == pid);
}

// Three children compute for somewhat more than a period: at least one count falls into that time.
static void rises(void)
{
    pid_t pids[3];
    struct line before = read_line();
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            for (volatile unsigned long x = 0;; x++) {
            }
    }
    unsigned most = 0;
    for (int i = 0; i < 55; i++) {
        struct line now = read_line();
        if (now.running > most)
            most = now.running;
        conf_sleep_ms(100);
    }
    struct line after = read_line();
    for (int i = 0; i < 3; i++) {
        kill(pids[i], SIGKILL);
        CHECK(waitpid(pids[i], NULL, 0) == pids[i]);
    }
    CHECK(most >= 4);
    // A count of three raises 0 to 0.24; a higher load falls by at most a twelfth in a period, and two may have passed.
    CHECK(after.loads[0] >= 0.2 && after.loads[0] >= before.loads[0] * 0.84);
    CHECK(after.loads[1] >= before.loads[1] * 0.96);
    printf("the load rises\n");
}

int main(void)
{
    agree();
    counts();
    rises();
    agree();
    return conf_end();
}
