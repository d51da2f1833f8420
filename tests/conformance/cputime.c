// User and system time, told apart everywhere: a program that computes has user time, one that lives in long system calls has system time.
#include "conf.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>

static char buffer[1 << 20];
static volatile unsigned long sink;

// Both use so much processor time of the thread.
static void compute(double seconds)
{
    double until = conf_now(CLOCK_THREAD_CPUTIME_ID) + seconds;
    do {
        for (int i = 0; i < 200000; i++)
            sink = sink * 3 + 1;
    } while (conf_now(CLOCK_THREAD_CPUTIME_ID) < until);
}

static void call(double seconds)
{
    double until = conf_now(CLOCK_THREAD_CPUTIME_ID) + seconds;
    int fd = memfd_create("cputime", 0);
    CHECK(fd >= 0);
    do {
        for (int i = 0; i < 4; i++)
            CHECK(pwrite(fd, buffer, sizeof buffer, 0) == sizeof buffer);
    } while (conf_now(CLOCK_THREAD_CPUTIME_ID) < until);
    close(fd);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

struct times_of {
    double user, system;
};

static struct times_of usage(int who)
{
    struct rusage u;
    CHECK(getrusage(who, &u) == 0);
    return (struct times_of){seconds(u.ru_utime), seconds(u.ru_stime)};
}

static struct times_of from_stat(const char *name, int children)
{
    char text[1024] = "";
    int fd = open(name, O_RDONLY);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    char *at = strrchr(text, ')');
    CHECK(at);
    for (int field = 2; field < (children ? 16 : 14) && at; field++)
        at = strchr(at + 1, ' ');
    unsigned long user = 0, system = 0;
    CHECK(at && sscanf(at, "%lu %lu", &user, &system) == 2);
    return (struct times_of){(double)user / 100, (double)system / 100};
}

static struct times_of from_times(int children)
{
    struct tms t;
    CHECK(times(&t) != (clock_t)-1);
    return children ? (struct times_of){(double)t.tms_cutime / 100, (double)t.tms_cstime / 100}
                    : (struct times_of){(double)t.tms_utime / 100, (double)t.tms_stime / 100};
}

// The limits leave room for a machine that does much else: a sample stands for all the time since the one before it, also for what other
// programs took of it.
static void differ(const char *what, struct times_of before, struct times_of after, double least_user, double least_system, double most_other)
{
    double user = after.user - before.user, system = after.system - before.system;
    int good = user >= least_user && system >= least_system && (least_user > 0 || user <= most_other) && (least_system > 0 || system <= most_other);
    printf("%s: %s\n", what, good ? "as it should be" : "wrong");
    if (!good) {
        conf_failures++;
        printf("user %.3f system %.3f\n", user, system);
    }
}

static void own(void)
{
    struct times_of r = usage(RUSAGE_SELF), t = usage(RUSAGE_THREAD), s = from_stat("/proc/self/stat", 0), m = from_times(0);
    compute(0.5);
    differ("computing, getrusage", r, usage(RUSAGE_SELF), 0.33, 0, 0.18);
    differ("computing, its thread", t, usage(RUSAGE_THREAD), 0.33, 0, 0.18);
    differ("computing, /proc/self/stat", s, from_stat("/proc/self/stat", 0), 0.32, 0, 0.19);
    differ("computing, times", m, from_times(0), 0.32, 0, 0.19);
    r = usage(RUSAGE_SELF), t = usage(RUSAGE_THREAD), s = from_stat("/proc/thread-self/stat", 0), m = from_times(0);
    call(0.5);
    differ("calling, getrusage", r, usage(RUSAGE_SELF), 0, 0.3, 0.2);
    differ("calling, its thread", t, usage(RUSAGE_THREAD), 0, 0.3, 0.2);
    differ("calling, /proc/thread-self/stat", s, from_stat("/proc/thread-self/stat", 0), 0, 0.29, 0.21);
    differ("calling, times", m, from_times(0), 0, 0.29, 0.21);
    double all = conf_now(CLOCK_PROCESS_CPUTIME_ID);
    r = usage(RUSAGE_SELF);
    CHECK(r.user + r.system >= all - 0.001 && r.user + r.system <= all + 0.1);
    clockid_t clock = (clockid_t)(~0u << 3 | 1); // user time of this process
    CHECK(conf_now(clock) > 0.1 && conf_now(clock) < all - 0.1); // Linux counts ticks here and scales nothing: on a busy machine far off
    CHECK(conf_now((clockid_t)(~0u << 3)) > all / 2); // user and system time by Linux's ticks: no exact sum
}

static void never_back(void)
{
    struct times_of last = usage(RUSAGE_SELF);
    for (int i = 0; i < 400; i++) {
        i % 2 ? compute(0.0002) : call(0.0002);
        struct times_of now = usage(RUSAGE_SELF);
        CHECK(now.user >= last.user && now.system >= last.system);
        last = now;
    }
}

static void *caller(void *arg)
{
    call(0.3);
    return arg;
}

static void threads(void)
{
    struct times_of all = usage(RUSAGE_SELF), one = usage(RUSAGE_THREAD);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, caller, NULL) == 0);
    compute(0.3);
    pthread_join(thread, NULL);
    differ("the computing thread", one, usage(RUSAGE_THREAD), 0.15, 0, 0.16);
    differ("both threads", all, usage(RUSAGE_SELF), 0.15, 0.15, 0);
}

static pid_t child_of_both(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            call(0.3);
            _exit(0);
        }
        CHECK(wait(NULL) > 0);
        compute(0.3);
        _exit(0);
    }
    return pid;
}

static void children(void)
{
    struct times_of before = usage(RUSAGE_CHILDREN), t = from_times(1), s = from_stat("/proc/self/stat", 1), none = {0, 0};
    struct rusage u;
    int status = -1;
    pid_t pid = child_of_both();
    CHECK(wait4(pid, &status, 0, &u) == pid && status == 0);
    differ("a child and its child, wait4", none, (struct times_of){seconds(u.ru_utime), seconds(u.ru_stime)}, 0.15, 0.15, 0);
    differ("RUSAGE_CHILDREN", before, usage(RUSAGE_CHILDREN), 0.15, 0.15, 0);
    differ("times", t, from_times(1), 0.14, 0.14, 0);
    differ("/proc/self/stat", s, from_stat("/proc/self/stat", 1), 0.14, 0.14, 0);
    pid = child_of_both();
    siginfo_t info;
    CHECK(syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOWAIT, &u) == 0);
    differ("waitid", none, (struct times_of){seconds(u.ru_utime), seconds(u.ru_stime)}, 0.15, 0.15, 0);
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    differ("the zombie's own", none, from_stat(name, 0), 0.15, 0, 0.16);
    differ("the zombie's children's", none, from_stat(name, 1), 0, 0.14, 0.17);
    CHECK(wait4(pid, &status, 0, NULL) == pid);
}

static volatile int virtual_alarms, profile_alarms;

static void on_alarm(int sig)
{
    *(sig == SIGVTALRM ? &virtual_alarms : &profile_alarms) += 1;
}

static void interval_timers(void)
{
    struct itimerval it = {{0, 20000}, {0, 20000}}, none = {{0, 0}, {0, 0}}, left;
    signal(SIGVTALRM, on_alarm);
    signal(SIGPROF, on_alarm);
    CHECK(setitimer(ITIMER_VIRTUAL, &it, NULL) == 0 && setitimer(ITIMER_PROF, &it, NULL) == 0);
    compute(0.4);
    CHECK(virtual_alarms >= 2 && virtual_alarms <= 40);
    CHECK(profile_alarms >= 2 && profile_alarms <= 40);
    CHECK(getitimer(ITIMER_VIRTUAL, &left) == 0 && left.it_interval.tv_usec >= 20000);
    virtual_alarms = profile_alarms = 0;
    call(0.4);
    CHECK(virtual_alarms <= 10);
    CHECK(profile_alarms >= 2 && profile_alarms <= 40);
    CHECK(setitimer(ITIMER_VIRTUAL, &none, NULL) == 0 && setitimer(ITIMER_PROF, &none, NULL) == 0);
}

static volatile int limits_reached;

static void on_limit(int sig)
{
    (void)sig;
    limits_reached++;
}

// The limit counts both.
static void limit(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGXCPU, on_limit);
        struct rlimit one = {1, 2};
        CHECK(setrlimit(RLIMIT_CPU, &one) == 0);
        compute(0.55);
        CHECK(limits_reached == 0);
        call(0.65);
        CHECK(limits_reached == 1);
        call(5);
        _exit(3);
    }
    int status = 0;
    struct rusage u;
    CHECK(wait4(pid, &status, 0, &u) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    differ("up to the limit", (struct times_of){0, 0}, (struct times_of){seconds(u.ru_utime), seconds(u.ru_stime)}, 0.35, 0.9, 0);
}

static struct times_of machine(void)
{
    FILE *file = fopen("/proc/stat", "r");
    unsigned long user = 0, nice = 0, system = 0;
    CHECK(file && fscanf(file, "cpu %lu %lu %lu", &user, &nice, &system) == 3);
    fclose(file);
    return (struct times_of){(double)(user + nice) / 100, (double)system / 100};
}

static void whole_machine(void)
{
    struct times_of before = machine();
    compute(0.4);
    struct times_of between = machine();
    call(0.4);
    struct times_of after = machine();
    CHECK(between.user - before.user > 0.15); // samples: fewer of them on a machine that does much else
    CHECK(after.system - between.system > 0.12);
}

// Time is divided by samples, of which there are few on a machine that does much else; what runs when nothing is sampled is shared out
// later. So a part that fails is tried again, each time in a process of its own: what is wrong for another reason is wrong each time.
static int attempt(void (*part)(void), char *text, size_t size)
{
    int ends[2], status = -1;
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        conf_failures = 0;
        part();
        fflush(stdout);
        _exit(conf_failures != 0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], text + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = 0;
    close(ends[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void try_part(void (*part)(void))
{
    char text[4096];
    int good = 0;
    for (int i = 0; i < 6 && !good; i++)
        good = attempt(part, text, sizeof text);
    fputs(text, stdout);
    conf_failures += !good;
}

int main(void)
{
    try_part(own);
    try_part(never_back);
    try_part(threads);
    try_part(children);
    try_part(interval_timers);
    try_part(limit);
    try_part(whole_machine);
    return conf_end();
}
