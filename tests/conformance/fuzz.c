// A system-call fuzzer. Everything follows from the seed, so that a run can be repeated.
//
//   fuzz errno SEED CALLS DIR [verbose]   calls with half-sensible arguments in DIR; prints what each said: the same natively and inside
//   fuzz smash SEED CALLS         any call with any arguments, in threads, beside a neighbour whose memory must not change. Only
//                                 inside an instance (OCCLUM=yes): natively it could kill or erase what it meets.
#include "conf.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static uint64_t state;

static uint64_t next_random(void) // xorshift64*
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
}

static uint64_t below(uint64_t n)
{
    return (next_random() >> 33) % n;
}

#define PICK(list) (list[below(sizeof(list) / sizeof *(list))])

// ---- errno mode ----

// Kinds of arguments: f descriptor, p path, P second path, F open flags, m mode, s size of the buffer, b buffer, B buffer or a bad
// pointer, o offset, w whence, v iovec and its count, a address and length in our region, r protection, x advice, c clock,
// e fallocate mode, t time, n any small number, k fcntl command with its argument, 0 zero, N AT_ flags, 1 rename flags,
// L flock operation that does not wait.
struct call {
    int nr;
    const char *name, *kinds;
    int value; // the value is the same everywhere
};
#define CALL(name, kinds, value) {SYS_##name, #name, kinds, value}
static const struct call calls[] = {
    CALL(openat, "dpFm", 1), CALL(openat, "dpFm", 1), CALL(openat, "dpFm", 1), CALL(close, "f", 1), CALL(close, "f", 1), CALL(close, "f", 1), CALL(read, "fBs", 1), CALL(write, "fBs", 1),
    CALL(write, "fbs", 1), CALL(pread64, "fBso", 1), CALL(pwrite64, "fBso", 1), CALL(readv, "fv", 1), CALL(writev, "fv", 1), CALL(lseek, "fow", 0),
    CALL(ftruncate, "fo", 1), CALL(fstat, "fB", 1), CALL(newfstatat, "dpBN", 1), CALL(mkdirat, "dpm", 1), CALL(unlinkat, "dpN", 1),
    CALL(renameat2, "dpdP1", 1), CALL(linkat, "dpdPN", 1), CALL(symlinkat, "pdP", 1), CALL(readlinkat, "dpBs", 1), CALL(faccessat, "dpn", 1),
    CALL(fchmodat, "dpm", 1), CALL(fchmod, "fm", 1), CALL(dup, "f", 1), CALL(dup2, "ff", 1), CALL(fcntl, "fk", 1), CALL(getdents64, "fBs", 0),
    CALL(fsync, "f", 1), CALL(utimensat, "dptN", 1), CALL(fallocate, "feoo", 1), CALL(statx, "dpNnB", 1), CALL(pipe2, "Bn", 1),
    CALL(eventfd2, "nn", 1), CALL(epoll_create1, "n", 1), CALL(getcwd, "Bs", 0), CALL(umask, "m", 1),
    CALL(mmap, "!", 0), CALL(munmap, "a", 1), CALL(mprotect, "ar", 1), CALL(madvise, "ax", 1), CALL(mincore, "aB", 1), CALL(msync, "an", 1),
    CALL(clock_gettime, "cB", 1), CALL(clock_getres, "cB", 1), CALL(nanosleep, "t0", 1), CALL(getrandom, "Bsn", 1), CALL(getrlimit, "nB", 1),
    CALL(sched_getparam, "0B", 1), CALL(sched_get_priority_max, "w", 1), CALL(sched_get_priority_min, "w", 1), CALL(rt_sigprocmask, "nB08", 1),
    CALL(rt_sigpending, "B8", 1), CALL(sigaltstack, "0B", 1), CALL(uname, "B", 1), CALL(sysinfo, "B", 1), CALL(getitimer, "nB", 1),
    CALL(getpriority, "n0", 1), CALL(prlimit64, "0n0B", 1), CALL(getrusage, "nB", 1), CALL(timerfd_create, "nT", 1),
    CALL(copy_file_range, "f0f0s0", 1), CALL(sendfile, "ff0s", 1), CALL(flock, "fL", 1), CALL(truncate, "po", 1), CALL(rmdir, "p", 1), CALL(creat, "pm", 1),
};

enum { region_pages = 16 };
static char *region, *buffer, *bad;
static struct iovec vectors[8];
static struct timespec times_[2];

static const char *const paths[] = {"a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/f", "l", "l/a", "none/x", "", ".", "..", "a/", "d/", "./d/../a", "d/./e/../b"};

static void add(long *args, int *n, long value)
{
    if (*n < 6)
        args[(*n)++] = value;
}

static int add_special(long *args, int *n, char kind) // kinds that stand for two arguments
{
    static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC, 999};
    if (kind == 'v') {
        for (int i = 0; i < 8; i++)
            vectors[i] = (struct iovec){below(20) ? buffer + below(1000) : bad, below(30) ? below(600) : (size_t)-1};
        add(args, n, (long)vectors);
        add(args, n, (long)below(10) - 1);
    } else if (kind == 'a') {
        long misaligned = below(10) == 0;
        long first = (long)below(region_pages);
        add(args, n, (long)region + first * 4096 + misaligned);
        add(args, n, (long)below((uint64_t)(region_pages - first) + 1) * 4096);
    } else if (kind == 'k') {
        int command = PICK(commands);
        add(args, n, command);
        add(args, n, command == F_SETFL ? O_NONBLOCK | (long)(below(2) * O_APPEND) : command == F_DUPFD || command == F_DUPFD_CLOEXEC ? (long)below(14) : (long)below(2));
    } else {
        return 0;
    }
    return 1;
}

static long argument(char kind)
{
    static const long sizes[] = {0, 1, 7, 100, 511, 4096, 5000, 100}, offsets[] = {0, 1, 100, 4095, 4096, 10000, 100000, -1, -4096};
    static const int opens[] = {0, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_CREAT | O_TRUNC, O_CLOEXEC};
    static const int modes[] = {0, 0600, 0644, 0755, 07777}, at[] = {0, 0, 0, AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW};
    static const int renames[] = {0, 1, 2, 3, 6, 7, 8}; // without RENAME_WHITEOUT, which not every file system has
    static const int falloc[] = {0, 1, 2, 3, 999}, clocks[] = {0, 1, 2, 3, 4, 5, 6, 7, 11, 10, 12, 99, -1}, advice[] = {0, 1, 2, 3, 4, 99};
    switch (kind) {
    case 'f': return below(12) ? 3 + (long)below(12) : below(2) ? -1 : 700;
    case 'd': return below(10) ? AT_FDCWD : 3 + (long)below(12);
    case 'p': case 'P': return below(25) ? (long)PICK(paths) : (long)bad;
    case 'F': return (long)below(3) | PICK(opens) | O_NONBLOCK;
    case 'm': return PICK(modes);
    case 's': return PICK(sizes);
    case 'b': return (long)buffer;
    case 'B': return below(12) ? (long)buffer + 2048 : below(2) ? (long)bad : 8;
    case 'o': return PICK(offsets);
    case 'w': return (long)below(6);
    case 'r': return (long)below(8) & ~2;
    case 'x': return PICK(advice);
    case 'e': return PICK(falloc);
    case 'c': return PICK(clocks);
    case 'n': return (long)below(18) - 1;
    case 'N': return PICK(at);
    case 'T': return below(4) ? O_NONBLOCK : 3;
    case 'L': return LOCK_NB | (long)below(9);
    case '1': return below(3) ? 0 : PICK(renames);
    case '8': return below(8) ? 8 : 4;
    case 't':
        times_[0] = (struct timespec){below(4) ? 0 : -1, below(3) ? (long)below(1000) : 2000000000};
        times_[1] = (struct timespec){(time_t)below(2000000000), below(3) ? (long)below(1000000000) : UTIME_OMIT};
        return below(15) ? (long)times_ : (long)bad;
    default: return 0;
    }
}

// What a batch left behind goes, so that one difference between two systems does not make all later calls differ.
static void fresh_start(void)
{
    syscall(SYS_close_range, 3, 60, 0);
    umask(022);
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
            if (unlinkat(AT_FDCWD, paths[i], 0) && errno != ENOENT)
                unlinkat(AT_FDCWD, paths[i], AT_REMOVEDIR);
    mmap(region, region_pages * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    mkdir("d", 0755);
    close(open("a", O_CREAT | O_WRONLY, 0644));
    syscall(SYS_openat, AT_FDCWD, "b", O_CREAT | O_RDWR, 0600); // descriptor 3
}

// For who looks for the cause of a difference: what the call gets, on standard error.
static void show(long i, const struct call *c, const long *args)
{
    char name[64], link[128];
    fprintf(stderr, "%ld %s(", i, c->name);
    for (int k = 0; k < 6; k++) {
        const char *text = NULL;
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
            if (args[k] == (long)paths[p])
                text = paths[p];
        if (text)
            fprintf(stderr, "\"%s\", ", text);
        else if (args[k] >= (long)bad - 16 && args[k] < (long)bad + 4096)
            fprintf(stderr, "bad, ");
        else if (args[k] >= (long)buffer && args[k] < (long)buffer + 5 * 4096)
            fprintf(stderr, "buffer+%ld, ", args[k] - (long)buffer);
        else if (args[k] >= (long)region && args[k] <= (long)region + region_pages * 4096)
            fprintf(stderr, "region+%ld, ", args[k] - (long)region);
        else if (args[k] == (long)vectors)
            fprintf(stderr, "[%zd %zd %zd%s ...], ", vectors[0].iov_len, vectors[1].iov_len, vectors[2].iov_len, vectors[0].iov_base == bad ? " bad" : "");
        else if (args[k] == (long)times_)
            fprintf(stderr, "[%ld.%ld %ld.%ld], ", times_[0].tv_sec, times_[0].tv_nsec, times_[1].tv_sec, times_[1].tv_nsec);
        else
            fprintf(stderr, "%ld, ", args[k]);
    }
    for (int k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", (int)args[k]);
        ssize_t n = args[k] >= 0 && args[k] < 40 ? readlink(name, link, sizeof link) : -1;
        if (n > 0)
            fprintf(stderr, " %ld=%.*s", args[k], (int)n, link);
    }
    fprintf(stderr, ")\n");
}

static void errno_mode(long count, int verbose)
{
    region = mmap(NULL, (region_pages + 2) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    region += 4096;
    buffer = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bad = hole + 16;
    struct rlimit few = {40, 40}; // the lowest free descriptor and EMFILE are part of what is compared
    setrlimit(RLIMIT_NOFILE, &few);
    signal(SIGPIPE, SIG_IGN);
    for (long i = 0; i < count; i++) {
        if (i % 50 == 0)
            fresh_start();
        const struct call *c = &PICK(calls);
        long args[6] = {0}, v;
        int n = 0;
        if (c->kinds[0] == '!') { // mmap over a part of our region
            long first = (long)below(region_pages), pages = 1 + (long)below((uint64_t)(region_pages - first));
            long fixed[6] = {(long)region + first * 4096, pages * 4096, (long)below(4), MAP_PRIVATE | MAP_FIXED | (below(3) ? MAP_ANONYMOUS : 0), 3 + (long)below(12),
                             below(8) ? (long)below(3) * 4096 : 17};
            memcpy(args, fixed, sizeof args);
        } else {
            for (const char *k = c->kinds; *k; k++)
                if (!add_special(args, &n, *k))
                    add(args, &n, argument(*k));
        }
        if (c->nr == SYS_pipe2 || c->nr == SYS_eventfd2)
            args[1] = below(6) ? O_NONBLOCK : 5;
        struct stat st;
        if (c->nr == SYS_lseek && args[2] > 1 && args[2] < 5) // SEEK_DATA, SEEK_HOLE and the end of a folder are the file system's own
            args[2] = args[2] == SEEK_END && fstat((int)args[0], &st) == 0 && S_ISREG(st.st_mode) ? SEEK_END : 5;
        // A write beyond the end that fails leaves the file longer on ext4, but not on other file systems.
        if ((c->nr == SYS_write || c->nr == SYS_pwrite64) && args[1] != (long)buffer + 2048 && fstat((int)args[0], &st) == 0 &&
            (c->nr == SYS_pwrite64 ? args[3] : lseek((int)args[0], 0, SEEK_CUR)) > st.st_size)
            args[1] = (long)buffer;
        int lenient = c->nr == SYS_getpriority && args[0] == PRIO_USER; // the best of all the machine's processes of this user
        for (int k = 0; k < 4096; k++) // never the answer of an earlier call
            buffer[k] = (char)('a' + k % 26);
        if (verbose)
            show(i, c, args);
        errno = 0;
        v = syscall(c->nr, args[0], args[1], args[2], args[3], args[4], args[5]);
        if (v == -1)
            printf("%ld %s: %s\n", i, c->name, conf_errno(errno));
        else if (c->value && !lenient)
            printf("%ld %s: %ld\n", i, c->name, v);
        else
            printf("%ld %s: ok\n", i, c->name);
    }
}

// ---- smash mode ----

// Calls that would end or blind this program by doing what they are asked to.
static int excluded(long nr)
{
    static const int own[] = {SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pause,
                              SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_munmap, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_brk,
                              SYS_madvise, SYS_shmat, SYS_shmdt, SYS_execve, SYS_execveat, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_close,
                              SYS_close_range, SYS_dup2, SYS_dup3, SYS_select, SYS_poll, SYS_ppoll, SYS_pselect6, SYS_nanosleep, SYS_clock_nanosleep, SYS_arch_prctl,
                              SYS_set_tid_address, SYS_set_robust_list, SYS_setrlimit, SYS_prlimit64, SYS_alarm, SYS_setitimer, SYS_timer_settime, SYS_rt_sigaction,
                              SYS_rt_sigprocmask, SYS_sigaltstack, SYS_process_vm_writev, SYS_ptrace, SYS_reboot, SYS_chroot, SYS_seccomp, SYS_prctl,
                              SYS_wait4, SYS_waitid, SYS_sched_setscheduler, SYS_sched_setaffinity, SYS_umount2, SYS_sync, SYS_setuid, SYS_setresuid,
                              SYS_setreuid, SYS_setgid, SYS_setresgid, SYS_setregid, SYS_capset, SYS_personality, SYS_unshare, SYS_rseq, SYS_pkey_mprotect,
                              SYS_epoll_pwait2, SYS_sched_setattr, 449 /* futex_waitv: may wait for ever */, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,
                              SYS_accept, SYS_accept4, SYS_connect, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_vmsplice};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (own[i] == nr)
            return 1;
    return 0;
}

static uint64_t wild(char *scratch)
{
    static const uint64_t corners[] = {0, 1, 8, 4095, 4096, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffull, 0x800000000000ull, 0x7fffffffffffffffull,
                                       0x8000000000000000ull, ~0ull, ~0xfffull, 0xffff800000000000ull};
    switch (below(6)) {
    case 0: return next_random();
    case 1: return PICK(corners);
    case 2: return below(20);
    case 3: return (uint64_t)(uintptr_t)scratch + below(8192);
    case 4: return ((uint64_t)1 << (16 + below(48))) - below(3) * 8; // edges of whatever regions there are
    default: return 3 + below(60);
    }
}

struct batch {
    uint64_t seed;
    long count, made;
};

static const struct timespec no_time;

static void *smash_batch(void *arg)
{
    struct batch *b = arg;
    char *scratch = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    state = b->seed;
    while (b->made < b->count) {
        long nr = below(50) ? (long)below(460) : (long)next_random();
        uint64_t a[6];
        for (int i = 0; i < 6; i++)
            a[i] = wild(scratch);
        if (excluded(nr) || (nr == SYS_fcntl && (a[1] == F_SETLKW || a[1] == F_OFD_SETLKW)) || nr == SYS_flock)
            continue;
        if (nr == SYS_futex)
            a[1] = (a[1] & ~127ul) | 1; // wake: the others may wait for ever
        if (nr == SYS_read || nr == SYS_write || nr == SYS_readv || nr == SYS_writev || nr == SYS_pread64 || nr == SYS_pwrite64 || nr == SYS_preadv2 ||
            nr == SYS_pwritev2 || nr == SYS_splice || nr == SYS_tee || nr == SYS_sendfile)
            a[0] = 1024 + a[0] % 900; // above RLIMIT_NOFILE: not the output of the test, nor an event file that blocks
        if (a[0] < 3)
            a[0] += 77;
        if (nr == SYS_epoll_wait || nr == SYS_epoll_pwait || nr == SYS_io_getevents)
            a[3] = 0;
        // Nobody posts to the semaphores and queues that calls before have made.
        if (nr == SYS_semop)
            nr = SYS_semtimedop;
        if (nr == SYS_semtimedop)
            a[3] = (uint64_t)(uintptr_t)&no_time;
        if (nr == SYS_mq_timedsend || nr == SYS_mq_timedreceive)
            a[4] = (uint64_t)(uintptr_t)&no_time;
        if (nr == SYS_msgsnd || nr == SYS_msgrcv)
            a[nr == SYS_msgsnd ? 3 : 4] |= IPC_NOWAIT;
        syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
        b->made++;
    }
    munmap(scratch, 16384);
    return NULL;
}

static unsigned char neighbour_memory[1 << 16];
static atomic_int neighbour_stop;
static atomic_long neighbour_rounds;

static void *neighbour(void *arg)
{
    while (!atomic_load(&neighbour_stop)) {
        for (size_t i = 0; i < sizeof neighbour_memory; i++)
            if (neighbour_memory[i] != (unsigned char)(i * 167 + 13))
                *(long *)arg += 1;
        atomic_fetch_add(&neighbour_rounds, 1);
        sched_yield();
    }
    return NULL;
}

static void smash_mode(uint64_t seed, long count)
{
    enum { per_thread = 500 };
    long changed = 0, made = 0;
    pthread_t beside, t;
    for (size_t i = 0; i < sizeof neighbour_memory; i++)
        neighbour_memory[i] = (unsigned char)(i * 167 + 13);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(pthread_create(&beside, NULL, neighbour, &changed) == 0);
    for (long i = 0; made < count; i++) {
        struct batch b = {.seed = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15ull | 1, .count = per_thread};
        CHECK(pthread_create(&t, NULL, smash_batch, &b) == 0);
        CHECK(pthread_join(t, NULL) == 0);
        made += b.made;
    }
    atomic_store(&neighbour_stop, 1);
    pthread_join(beside, NULL);
    CHECK(changed == 0);
    CHECK(neighbour_rounds > 0);
    printf("%ld calls\n", made);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    long count = argc > 3 ? atol(argv[3]) : 1000;
    state = seed * 0x9e3779b97f4a7c15ull | 1;
    if (argc > 4 && strcmp(argv[1], "errno") == 0) {
        if (chdir(argv[4]) || umask(022) > 0777)
            return 2;
        for (int i = 0; i < 6; i++) // links to ".." must not lead out of the folder
            if (mkdir("w", 0700) || chdir("w"))
                return 2;
        errno_mode(count, argc > 5);
        return 0;
    }
    const char *inside = getenv("OCCLUM");
    if (argc > 1 && strcmp(argv[1], "smash") == 0 && inside && strcmp(inside, "yes") == 0 && access("/.inside-an-instance", F_OK) == 0) {
        smash_mode(seed, argc > 3 ? count : 10000);
        return conf_end();
    }
    fprintf(stderr, "usage: fuzz errno SEED CALLS DIR | fuzz smash SEED CALLS (only inside an instance)\n");
    return 2;
}
