// Clocks, sleeping, interval timers, POSIX timers, timerfd.
#include "conf.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>

static volatile int alarms;

static void on_alarm(int sig)
{
    (void)sig;
    alarms++;
}

static void clocks(void)
{
    static const clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                                    CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
    struct timespec a, b, sys;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        printf("clock %d: %d", all[i], clock_gettime(all[i], &a));
        CHECK(a.tv_nsec >= 0 && a.tv_nsec < 1000000000);
        for (int k = 0; k < 10000; k++) { // never backwards
            clock_gettime(all[i], &b);
            CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
            a = b;
        }
        CHECK(syscall(SYS_clock_gettime, all[i], &sys) == 0); // the call and the vDSO agree
        CHECK(labs((long)(sys.tv_sec - b.tv_sec)) <= 1);
        struct timespec res;
        printf(" %d %d\n", clock_getres(all[i], &res), res.tv_sec == 0 && res.tv_nsec > 0);
    }
    RES(clock_gettime(77, &a));
    RES(clock_settime(CLOCK_MONOTONIC, &a));
    struct timeval tv;
    RES(gettimeofday(&tv, NULL));
    CHECK(labs((long)(tv.tv_sec - time(NULL))) <= 1);
    CHECK(time(NULL) > 1600000000);
    double m = conf_now(CLOCK_MONOTONIC), r = conf_now(CLOCK_REALTIME);
    conf_sleep_ms(100);
    m = conf_now(CLOCK_MONOTONIC) - m;
    r = conf_now(CLOCK_REALTIME) - r;
    CHECK(m >= 0.1 && m < 3 && r >= 0.09 && r < 3);
    clockid_t other;
    RES(pthread_getcpuclockid(pthread_self(), &other));
    RES(clock_gettime(other, &a));
    RES(clock_getcpuclockid(0, &other));
}

static void cpu_time(void)
{
    double before = conf_now(CLOCK_PROCESS_CPUTIME_ID), wall = conf_now(CLOCK_MONOTONIC), used;
    volatile unsigned long x = 1;
    // On a loaded machine the processor may be long in coming.
    do {
        for (int i = 0; i < 100000; i++)
            x = x * 3 + 1;
        used = conf_now(CLOCK_PROCESS_CPUTIME_ID) - before;
    } while (used < 0.05 && conf_now(CLOCK_MONOTONIC) - wall < 20);
    CHECK(used > 0.02 && used < 1 && used <= conf_now(CLOCK_MONOTONIC) - wall + 0.02);
    struct rusage u;
    RES(getrusage(RUSAGE_SELF, &u));
    CHECK((double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 + (double)u.ru_stime.tv_usec / 1e6 > 0.01);
    RES(getrusage(RUSAGE_THREAD, &u));
    RES(getrusage(RUSAGE_CHILDREN, &u));
    RES(getrusage(55, &u));
    struct tms t;
    CHECK(times(&t) != (clock_t)-1 && t.tms_utime + t.tms_stime > 0);
    RES(sysconf(_SC_CLK_TCK));
}

static void sleeping(void)
{
    struct timespec t = {0, 0}, bad = {0, -1}, huge = {-1, 5};
    RES(nanosleep(&t, NULL));
    RES(nanosleep(&bad, NULL));
    RES(nanosleep(&huge, NULL));
    double start = conf_now(CLOCK_MONOTONIC);
    t.tv_nsec = 30000000;
    RES(clock_nanosleep(CLOCK_REALTIME, 0, &t, NULL));
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += 0;
    t.tv_nsec += 30000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    RES(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
    RES(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)); // already past
    RES(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL) == EINVAL);
    double took = conf_now(CLOCK_MONOTONIC) - start;
    CHECK(took >= 0.055 && took < 3);
    CHECK(usleep(1000) == 0);
    RES(poll(NULL, 0, 10));
    RES(sched_yield());
}

static void interval_timers(void)
{
    signal(SIGALRM, on_alarm);
    struct itimerval it = {{0, 10000}, {0, 10000}}, old;
    RES(setitimer(ITIMER_REAL, &it, NULL));
    while (alarms < 5)
        pause();
    RES(getitimer(ITIMER_REAL, &old));
    RES(old.it_interval.tv_usec);
    memset(&it, 0, sizeof it);
    RES(setitimer(ITIMER_REAL, &it, &old));
    RES(old.it_interval.tv_usec);
    RES(setitimer(9, &it, NULL));
    int before = alarms;
    conf_sleep_ms(50);
    CHECK(alarms - before <= 1);
    RES(alarm(100));
    RES(alarm(0));
    signal(SIGVTALRM, on_alarm);
    before = alarms;
    it.it_value.tv_usec = 20000;
    RES(setitimer(ITIMER_VIRTUAL, &it, NULL));
    double start = conf_now(CLOCK_MONOTONIC);
    while (alarms == before && conf_now(CLOCK_MONOTONIC) - start < 5)
        for (volatile int i = 0; i < 100000; i++) {
        }
    RES(alarms - before);
}

static volatile int timer_value;

static void on_timer(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    timer_value = info->si_value.sival_int;
    alarms++;
}

static void posix_timers(void)
{
    struct sigaction sa = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN + 3, &sa, NULL);
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 77};
    timer_t t;
    RES(timer_create(CLOCK_MONOTONIC, &ev, &t));
    struct itimerspec it = {{0, 5000000}, {0, 5000000}}, now;
    alarms = 0;
    RES(timer_settime(t, 0, &it, NULL));
    double start = conf_now(CLOCK_MONOTONIC);
    while (alarms < 3 && conf_now(CLOCK_MONOTONIC) - start < 5)
        conf_sleep_ms(1);
    RES(timer_value);
    CHECK(alarms >= 3);
    RES(timer_gettime(t, &now));
    RES(now.it_interval.tv_nsec);
    CHECK(timer_getoverrun(t) >= 0);
    RES(timer_delete(t));
    RES(timer_create(99, &ev, &t));
}

static void timer_descriptors(void)
{
    uint64_t n = 0;
    int fd;
    OK(fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    if (fd < 0)
        return;
    RES(read(fd, &n, 8));
    struct itimerspec it = {{0, 10000000}, {0, 10000000}}, old;
    RES(timerfd_settime(fd, 0, &it, NULL));
    struct pollfd p = {fd, POLLIN, 0};
    RES(poll(&p, 1, 3000));
    conf_sleep_ms(35);
    RES(read(fd, &n, 4));
    RES(read(fd, &n, 8));
    CHECK(n >= 3 && n < 300);
    RES(timerfd_gettime(fd, &old));
    RES(old.it_interval.tv_nsec);
    memset(&it, 0, sizeof it);
    RES(timerfd_settime(fd, 0, &it, &old));
    RES(timerfd_settime(fd, 77, &it, &old));
    RES(timerfd_create(55, 0));
    RES(write(fd, &n, 8));
    close(fd);
}

int main(void)
{
    clocks();
    cpu_time();
    sleeping();
    interval_timers();
    posix_timers();
    timer_descriptors();
    return conf_end();
}
