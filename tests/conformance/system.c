// Identity and limits: uname, ids, rlimits, scheduling, prctl, getrandom, capabilities, cpu features, unknown calls.
#include "conf.h"
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <cpuid.h>

static void identity(void)
{
    struct utsname u;
    RES(uname(&u));
    int major = 0, minor = 0;
    printf("%s %s\n", u.sysname, u.machine);
    CHECK(sscanf(u.release, "%d.%d", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 10)));
    char host[256];
    RES(gethostname(host, sizeof host));
    CHECK(strcmp(host, u.nodename) == 0);
    RES(gethostname(host, 0) == 0 || errno == ENAMETOOLONG);
    RES(getuid());
    RES(geteuid());
    RES(getgid());
    RES(getegid());
    CHECK(getpid() > 0 && syscall(SYS_gettid) == getpid());
    CHECK(getpgid(0) == getpgrp() && getsid(0) > 0);
    RES(getpgid(0x7ffffff0));
    RES(getpriority(PRIO_PROCESS, 0) >= -20);
    uid_t r, e, s;
    RES(getresuid(&r, &e, &s));
    printf("%u %u %u\n", r, e, s);
    CHECK(getgroups(0, NULL) >= 0);
    CHECK(umask(022) <= 0777);
}

static void limits(void)
{
    struct rlimit l, old;
    for (int i = 0; i < RLIM_NLIMITS; i++)
        printf("limit %d: %d\n", i, getrlimit(i, &l));
    RES(getrlimit(99, &l));
    RES(getrlimit(RLIMIT_NOFILE, &old));
    CHECK(old.rlim_cur >= 256);
    l = old;
    l.rlim_cur = 10;
    RES(setrlimit(RLIMIT_NOFILE, &l));
    int fd, opened = 0;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0 && opened < 50)
        opened++;
    printf("open beyond the limit: %s, below ten: %d\n", conf_errno(errno), opened <= 7);
    CHECK(sysconf(_SC_OPEN_MAX) == 10);
    RES(setrlimit(RLIMIT_NOFILE, &old));
    RES(close_range(3, 9, 0));
    l.rlim_cur = old.rlim_max;
    l.rlim_max = 1;
    RES(setrlimit(RLIMIT_NOFILE, &l));
    l = (struct rlimit){0, RLIM_INFINITY};
    getrlimit(RLIMIT_CORE, &old);
    l.rlim_max = old.rlim_max;
    RES(setrlimit(RLIMIT_CORE, &l));
    RES(prlimit(0, RLIMIT_CORE, NULL, &old));
    RES(old.rlim_cur);
    RES(prlimit(0x7ffffff0, RLIMIT_CORE, NULL, &old));
}

static void scheduling(void)
{
    struct sched_param p = {0};
    cpu_set_t set;
    RES(sched_getscheduler(0));
    RES(sched_getparam(0, &p));
    RES(p.sched_priority);
    RES(sched_get_priority_max(SCHED_FIFO));
    RES(sched_get_priority_min(SCHED_RR));
    RES(sched_get_priority_max(SCHED_OTHER));
    RES(sched_get_priority_max(77));
    p.sched_priority = 500;
    RES(sched_setscheduler(0, SCHED_FIFO, &p));
    p.sched_priority = 0;
    RES(sched_setscheduler(0, SCHED_BATCH, &p));
    RES(sched_getscheduler(0));
    RES(sched_setscheduler(0, SCHED_OTHER, &p));
    RES(sched_setscheduler(0, 99, &p));
    RES(sched_getscheduler(-1));
    RES(sched_getaffinity(0, sizeof set, &set));
    CHECK(CPU_COUNT(&set) >= 1 && CPU_COUNT(&set) <= sysconf(_SC_NPROCESSORS_CONF));
    RES(sched_setaffinity(0, sizeof set, &set));
    CPU_ZERO(&set);
    RES(sched_setaffinity(0, sizeof set, &set));
    RES(sched_getaffinity(0, 1, &set));
    RES(sched_getaffinity(-1, sizeof set, &set));
    RES(sched_setaffinity(-1, sizeof set, &set));
    CHECK(sched_getcpu() >= 0 && sched_getcpu() < 4096);
    unsigned cpu = 9999, node = 9999;
    RES(syscall(SYS_getcpu, &cpu, &node, NULL));
    CHECK(cpu < 4096 && node < 64);
    RES(setpriority(PRIO_PROCESS, 0, 5));
    RES(getpriority(PRIO_PROCESS, 0));
    RES(getpriority(9, 0));
}

static void control(void)
{
    char name[17] = {0};
    RES(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
    RES(prctl(PR_GET_NAME, name));
    puts(name);
    RES(prctl(PR_GET_DUMPABLE));
    RES(prctl(PR_SET_DUMPABLE, 0));
    RES(prctl(PR_GET_DUMPABLE));
    RES(prctl(PR_SET_PDEATHSIG, SIGTERM));
    int sig = 0;
    RES(prctl(PR_GET_PDEATHSIG, &sig));
    RES(sig);
    RES(prctl(PR_SET_PDEATHSIG, 0));
    RES(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    RES(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    RES(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    RES(prctl(0x7777));
    RES(personality(0xffffffff) >= 0);
}

static void randomness(void)
{
    unsigned char a[64] = {0}, b[64] = {0};
    RES(getrandom(a, sizeof a, 0));
    RES(getrandom(b, sizeof b, GRND_NONBLOCK));
    CHECK(memcmp(a, b, sizeof a) != 0);
    RES(getrandom(a, 0, 0));
    RES(getrandom(a, 8, 0x777));
    RES(getrandom(a, sizeof a, GRND_RANDOM) > 0);
    RES(getentropy(a, sizeof a));
    RES(getentropy(a, 257));
    unsigned char *big = malloc(1 << 20);
    RES(getrandom(big, 1 << 20, 0));
    unsigned counts[256] = {0};
    for (int i = 0; i < 1 << 20; i++)
        counts[big[i]]++;
    int odd = 0;
    for (int i = 0; i < 256; i++)
        odd += counts[i] < 3500 || counts[i] > 4700;
    RES(odd);
    free(big);
}

static void processor(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    char vendor[13] = {0};
    CHECK(__get_cpuid(0, &a, &b, &c, &d));
    memcpy(vendor, &b, 4);
    memcpy(vendor + 4, &d, 4);
    memcpy(vendor + 8, &c, 4);
    CHECK(strlen(vendor) == 12);
    CHECK(__get_cpuid(1, &a, &b, &c, &d) && (d & bit_SSE2) && (d & bit_FXSAVE));
    printf("%d %d\n", __builtin_cpu_supports("avx") != 0, __builtin_cpu_supports("avx2") != 0);
    RES(get_nprocs() >= 1);
    struct sysinfo info;
    RES(sysinfo(&info));
    CHECK(info.totalram > 0 && info.mem_unit > 0 && info.procs > 0);
    unsigned long fs = 0;
    RES(syscall(SYS_arch_prctl, 0x1003, &fs));
    CHECK(fs == (unsigned long)__builtin_thread_pointer());
    RES(syscall(SYS_arch_prctl, 0x7777, 0));
}

static void unknown_calls(void)
{
    static const int none[] = {423, 500, 600, 1000, 100000, -1};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        printf("call %d: %ld %s\n", none[i], syscall(none[i], 0, 0, 0, 0, 0, 0), conf_errno(errno));
    RES(syscall(SYS_membarrier, 0, 0, 0) >= 0);
    RES(syscall(SYS_vmsplice, -1, 0, 0, 0));
    RES(syscall(SYS_accept4, -1, 0, 0, 0));
}

int main(void)
{
    identity();
    limits();
    scheduling();
    control();
    randomness();
    processor();
    unknown_calls();
    return conf_end();
}
