// micro - small system benchmark: what one operation of the system costs a process.
//
//   micro [options] [NAME...]       run the named sub-benchmarks (default: all but the optional ones)
//   -l        list the names, one a line         -f        also run the optional ones (fork)
//   -d DIR    where file tests put their files (default .)
//   -s PATH   this program's own path, as a new process must name it (default: argv[0] or /proc/self/exe)
//   -p PATH   the 14 MB program for spawn_pad14 (default: <own path>-pad14)
//   -t MS     length of a batch (default 20)     -b N      batches (default 9)
//   -m MIB    size of the test file (default 64) -v        also print the lowest and highest batch
//   -x LABEL=COMMAND   also time posix_spawn + wait of COMMAND (split at blanks, '' and "" quote)
//
// Each result is a line: name TAB value TAB unit. A missing feature: name TAB unsupported TAB errno
// (ECHILD, 10: the child started and did not exit with 0).
// The value is the median of the batches. Units ns and us: less is better; MB/s (10^6): more is better.
// Two-process tests start the peer with posix_spawn of this same program with a role (@echo, @sink...).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#ifdef PAD_MB
// Bytes that are in the file and in a loaded segment, and not zero: a loader that copies segments copies them.
__asm__(".pushsection .rodata.pad,\"a\",@progbits\n.globl micro_pad\nmicro_pad:\n"
        ".fill " PAD_MB "*131072, 8, 0x0123456789abcdef\n.popsection");
extern const unsigned char micro_pad[];
#endif

enum { PEER_R = 20, PEER_W = 21 };  // descriptors at which a peer finds its ends

static const char *opt_self, *opt_pad, *opt_dir = ".";
static double opt_batch_ns = 20e6;
static int opt_batches = 9, opt_verbose;
static size_t opt_file = (size_t)64 << 20;
static const double max_bench_ns = 2.5e9;  // a slow sub-benchmark stops after this long

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// ---- full reads and writes; 0 or an errno value ----

static int write_all(int fd, const void *buf, size_t n)
{
    const char *p = buf;
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? errno : EIO;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static int read_all(int fd, void *buf, size_t n)
{
    char *p = buf;
    while (n) {
        ssize_t k = read(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? errno : EPIPE;  // end of file: the peer is gone
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

// ---- measuring ----

typedef int (*op_fn)(void *ctx, uint64_t n);  // does n operations; 0 or an errno value

static void print_unsupported(const char *name, int err)
{
    printf("%s\tunsupported\t%d\n", name, err);
    fflush(stdout);
}

static int cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// v: one ns-per-operation figure a batch. bytes: what one operation moves, 0 for a latency.
static void print_result(const char *name, double *v, int n, double bytes)
{
    const char *unit = "ns";
    double mid, lo, hi;
    qsort(v, (size_t)n, sizeof *v, cmp_double);
    mid = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    lo = v[0];
    hi = v[n - 1];
    if (bytes > 0) {
        double fast = bytes * 1e3 / lo, slow = bytes * 1e3 / hi;
        unit = "MB/s";
        mid = bytes * 1e3 / mid;
        lo = slow;
        hi = fast;
    } else if (mid >= 20e3) {
        unit = "us";
        mid /= 1e3;
        lo /= 1e3;
        hi /= 1e3;
    }
    int digits = mid < 100 ? 2 : mid < 10000 ? 1 : 0;
    if (opt_verbose)
        printf("%s\t%.*f\t%s\t%.*f\t%.*f\n", name, digits, mid, unit, digits, lo, digits, hi);
    else
        printf("%s\t%.*f\t%s\n", name, digits, mid, unit);
    fflush(stdout);
}

// Finds how many operations fill a batch (this is the warm-up too), then times the batches.
static int measure(const char *name, op_fn op, void *ctx, double bytes)
{
    double *v = malloc((size_t)opt_batches * sizeof *v), start = now_ns(), t;
    uint64_t n = 1;
    int err = v ? 0 : ENOMEM, k = 0;
    while (!err) {
        t = now_ns();
        err = op(ctx, n);
        t = now_ns() - t;
        if (err || t > opt_batch_ns / 2 || n > UINT64_C(1) << 40)
            break;
        n = t < opt_batch_ns / 50 ? n * 8 : (uint64_t)((double)n * opt_batch_ns / t) + 1;
    }
    while (!err && k < opt_batches && (k == 0 || now_ns() - start < max_bench_ns)) {
        t = now_ns();
        err = op(ctx, n);
        v[k++] = (now_ns() - t) / (double)n;
    }
    if (err)
        print_unsupported(name, err);
    else
        print_result(name, v, k, bytes);
    free(v);
    return err;
}

// ---- starting processes ----

// Starts the program at path with up to three arguments; a peer's ends go to PEER_R and PEER_W (-1: none).
static int start(pid_t *pid, const char *path, int rfd, int wfd, const char *role, const char *a, const char *b)
{
    char *argv[] = {(char *)path, (char *)role, (char *)a, (char *)b, NULL};
    posix_spawn_file_actions_t fa;
    int err;
    if (rfd < 0 && wfd < 0)
        return posix_spawn(pid, path, NULL, NULL, argv, environ);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, rfd, PEER_R);
    posix_spawn_file_actions_adddup2(&fa, wfd, PEER_W);
    err = posix_spawn(pid, path, &fa, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    return err;
}

static int wait_ok(pid_t pid)
{
    int st;
    while (waitpid(pid, &st, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(st) && WEXITSTATUS(st) == 0 ? 0 : ECHILD;
}

// ---- the peer of a two-process test ----

enum transport { PIPE, UNIX, TCP };

struct peer {
    pid_t pid;
    int r, w;      // our ends; the same descriptor twice for a socket
    size_t chunk;  // bytes of one write in a throughput test
    char *buf;
};

static void close_pair(int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

static int peer_stop(struct peer *p)
{
    int st;
    if (p->r >= 0)
        close(p->r);
    if (p->w >= 0 && p->w != p->r)
        close(p->w);
    for (int i = 0; i < 2000; i++) {
        if (waitpid(p->pid, &st, WNOHANG) != 0)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = i < 20 ? 50000 : 1000000}, NULL);
    }
    kill(p->pid, SIGKILL);
    waitpid(p->pid, &st, 0);
    return ETIMEDOUT;
}

static int start_tcp(struct peer *p, const char *role, const char *chunk)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    char port[16];
    int err = 0, one = 1, ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ls < 0)
        return errno;
    if (bind(ls, (struct sockaddr *)&sa, sizeof sa) || listen(ls, 1) ||
        getsockname(ls, (struct sockaddr *)&sa, &len))
        err = errno;
    snprintf(port, sizeof port, "%d", ntohs(sa.sin_port));
    if (!err)
        err = start(&p->pid, opt_self, -1, -1, role, chunk, port);
    if (!err) {
        struct pollfd pf = {.fd = ls, .events = POLLIN};
        if (poll(&pf, 1, 5000) != 1 || (p->r = p->w = accept4(ls, NULL, NULL, SOCK_CLOEXEC)) < 0) {
            err = ETIMEDOUT;
            p->r = p->w = -1;
            peer_stop(p);
        } else {
            setsockopt(p->r, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        }
    }
    close(ls);
    return err;
}

static int peer_start(struct peer *p, enum transport how, const char *role)
{
    int down[2], up[2], err;
    char chunk[24];
    p->r = p->w = -1;
    snprintf(chunk, sizeof chunk, "%zu", p->chunk);
    if (how == TCP)
        return start_tcp(p, role, chunk);
    if (how == UNIX) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, down))
            return errno;
        err = start(&p->pid, opt_self, down[1], down[1], role, chunk, NULL);
        close(down[1]);
        if (err)
            close(down[0]);
        else
            p->r = p->w = down[0];
        return err;
    }
    if (pipe2(down, O_CLOEXEC))
        return errno;
    if (pipe2(up, O_CLOEXEC)) {
        err = errno;
        close_pair(down);
        return err;
    }
    err = start(&p->pid, opt_self, down[0], up[1], role, chunk, NULL);
    close(down[0]);
    close(up[1]);
    if (err) {
        close(down[1]);
        close(up[0]);
    } else {
        p->w = down[1];
        p->r = up[0];
    }
    return err;
}

static int op_pingpong(void *ctx, uint64_t n)  // one operation: there and back
{
    struct peer *p = ctx;
    char c = 'x';
    int err = 0;
    while (!err && n--)
        if (!(err = write_all(p->w, &c, 1)))
            err = read_all(p->r, &c, 1);
    return err;
}

static int op_stream(void *ctx, uint64_t n)  // n writes of a chunk; the peer says when it has read them all
{
    struct peer *p = ctx;
    uint64_t total = n * p->chunk;
    char c;
    int err = write_all(p->w, &total, sizeof total);
    while (!err && n--)
        err = write_all(p->w, p->buf, p->chunk);
    return err ? err : read_all(p->r, &c, 1);
}

static void two_processes(const char *name, enum transport how, size_t chunk)
{
    struct peer p = {.chunk = chunk};
    int err = peer_start(&p, how, chunk ? "@sink" : "@echo");
    if (err) {
        print_unsupported(name, err);
        return;
    }
    if (chunk) {
        p.buf = malloc(chunk);
        memset(p.buf, 'y', chunk);
        measure(name, op_stream, &p, (double)chunk);
        free(p.buf);
    } else {
        measure(name, op_pingpong, &p, 0);
    }
    peer_stop(&p);
}

// ---- what a child of ours does ----

static int role_main(int argc, char **argv)
{
    int r = PEER_R, w = PEER_W, one = 1;
    size_t chunk = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    char *buf, c;
    if (!strcmp(argv[1], "@noop"))
        return 0;
    if (argc > 3) {  // a port: connect to it
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        sa.sin_port = htons((uint16_t)atoi(argv[3]));
        r = w = socket(AF_INET, SOCK_STREAM, 0);
        if (r < 0 || connect(r, (struct sockaddr *)&sa, sizeof sa))
            return 2;
        setsockopt(r, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (!strcmp(argv[1], "@echo")) {
        while (!read_all(r, &c, 1))
            if (write_all(w, &c, 1))
                return 3;
        return 0;
    }
    if (!strcmp(argv[1], "@sink") && chunk && (buf = malloc(chunk))) {
        uint64_t left;
        int ok = 1;
        while (ok && !read_all(r, &left, sizeof left)) {
            while (ok && left) {  // reads of the writer's size
                ssize_t k = read(r, buf, left < chunk ? (size_t)left : chunk);
                ok = k > 0;
                left -= ok ? (uint64_t)k : 0;
            }
            ok = ok && !write_all(w, "a", 1);
        }
        free(buf);
        return ok ? 0 : 3;
    }
    return 4;
}

// ---- single-process operations ----

static int op_getpid(void *ctx, uint64_t n)
{
    (void)ctx;
    while (n--)
        if (syscall(SYS_getpid) < 0)
            return errno;
    return 0;
}

static int op_getppid(void *ctx, uint64_t n)
{
    (void)ctx;
    while (n--)
        (void)getppid();
    return 0;
}

static int op_gettid(void *ctx, uint64_t n)
{
    (void)ctx;
    while (n--)
        if (syscall(SYS_gettid) < 0)
            return errno;
    return 0;
}

static int op_umask(void *ctx, uint64_t n)
{
    (void)ctx;
    while (n--)
        (void)umask(022);
    return 0;
}

static int op_read1(void *ctx, uint64_t n)
{
    char c;
    while (n--)
        if (read(*(int *)ctx, &c, 1) != 1)
            return errno ? errno : EIO;
    return 0;
}

static int op_clock(void *ctx, uint64_t n)
{
    struct timespec t;
    (void)ctx;
    while (n--)
        if (clock_gettime(CLOCK_MONOTONIC, &t))
            return errno;
    return 0;
}

static int op_spawn(void *ctx, uint64_t n)
{
    pid_t pid;
    int err = 0;
    while (!err && n--)
        if (!(err = start(&pid, ctx, -1, -1, "@noop", NULL, NULL)))
            err = wait_ok(pid);
    return err;
}

static int op_command(void *ctx, uint64_t n)
{
    char **argv = ctx;
    pid_t pid;
    int err = 0;
    while (!err && n--)
        if (!(err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ)))
            err = wait_ok(pid);
    return err;
}

static int op_vfork_exec(void *ctx, uint64_t n)
{
    char *argv[] = {(char *)opt_self, "@noop", NULL};
    int err = 0;
    (void)ctx;
    while (!err && n--) {
        pid_t pid = vfork();
        if (pid < 0)
            return errno;
        if (pid == 0) {
            execve(argv[0], argv, environ);
            _exit(127);
        }
        err = wait_ok(pid);
    }
    return err;
}

static int op_fork(void *ctx, uint64_t n)
{
    int err = 0;
    (void)ctx;
    while (!err && n--) {
        pid_t pid = fork();
        if (pid < 0)
            return errno;
        if (pid == 0)
            _exit(0);
        err = wait_ok(pid);
    }
    return err;
}

// fork while the process has 2 MB of memory that it goes on writing: ctx is that memory.
static int op_fork_2m(void *ctx, uint64_t n)
{
    volatile char *p = ctx;
    int err = 0;
    while (!err && n--) {
        for (size_t i = 0; i < (size_t)2 << 20; i += 4096)
            p[i]++;
        err = op_fork(NULL, 1);
    }
    return err;
}

// A million steps of integer work without a system call.
static int op_cpu(void *ctx, uint64_t n)
{
    volatile uint64_t *out = ctx;
    uint64_t x = 88172645463325252ull;
    while (n--)
        for (int i = 0; i < 1000000; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
    *out = x;
    return 0;
}

static int futex(atomic_int *word, int op, int val)
{
    return (int)syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, NULL, NULL, 0);
}

static int give_turn(atomic_int *turn, int to)
{
    atomic_store(turn, to);
    return futex(turn, FUTEX_WAKE, 1) < 0 ? errno : 0;
}

static int await_turn_change(atomic_int *turn, int from)
{
    while (atomic_load(turn) == from)
        if (futex(turn, FUTEX_WAIT, from) < 0 && errno != EAGAIN && errno != EINTR)
            return errno;
    return 0;
}

static void *futex_partner(void *arg)  // turn: 0 ours (main), 1 the partner's, 2 the end
{
    atomic_int *turn = arg;
    while (!await_turn_change(turn, 0) && atomic_load(turn) == 1)
        give_turn(turn, 0);
    return NULL;
}

static int op_futex(void *ctx, uint64_t n)  // one operation: there and back
{
    int err = 0;
    while (!err && n--)
        if (!(err = give_turn(ctx, 1)))
            err = await_turn_change(ctx, 1);
    return err;
}

static void *thread_nothing(void *arg)
{
    return arg;
}

static int op_thread(void *ctx, uint64_t n)
{
    pthread_t t;
    int err = 0;
    (void)ctx;
    while (!err && n--)
        if (!(err = pthread_create(&t, NULL, thread_nothing, NULL)))
            err = pthread_join(t, NULL);
    return err;
}

static int op_mmap(void *ctx, uint64_t n)
{
    const size_t len = 1 << 20;
    (void)ctx;
    while (n--) {
        char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return errno;
        for (size_t i = 0; i < len; i += 4096)
            ((volatile char *)p)[i] = 1;
        if (munmap(p, len))
            return errno;
    }
    return 0;
}

static int op_epoll(void *ctx, uint64_t n)
{
    struct epoll_event ev;
    while (n--)
        if (epoll_wait(*(int *)ctx, &ev, 1, -1) != 1)
            return errno;
    return 0;
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int sig)
{
    (void)sig;
    signals_seen++;
}

static int op_signal(void *ctx, uint64_t n)
{
    pid_t me = getpid();
    (void)ctx;
    while (n--) {
        sig_atomic_t before = signals_seen;
        if (kill(me, SIGUSR1))
            return errno;
        for (double t = 0; signals_seen == before;) {  // at once on Linux: kill has delivered it on return
            if (t == 0)
                t = now_ns();
            else if (now_ns() - t > 1e9)
                return ETIMEDOUT;
        }
    }
    return 0;
}

struct copy {
    uint64_t *from, *to;
    size_t bytes;
};

static int op_memcpy(void *ctx, uint64_t n)
{
    struct copy *c = ctx;
    while (n--) {
        memcpy(c->to, c->from, c->bytes);
        __asm__ volatile("" ::: "memory");
    }
    return 0;
}

static int op_copy_words(void *ctx, uint64_t n)
{
    struct copy *c = ctx;
    while (n--)
        for (size_t i = 0; i < c->bytes / 8; i += 8) {
            for (size_t j = i; j < i + 8; j++)
                c->to[j] = c->from[j];
            __asm__ volatile("" ::: "memory");
        }
    return 0;
}

static void bench_copy(const char *name, op_fn op, size_t bytes)
{
    struct copy c = {.from = malloc(bytes), .to = malloc(bytes), .bytes = bytes};
    if (c.from && c.to) {
        memset(c.from, 3, bytes);
        memset(c.to, 4, bytes);
        measure(name, op, &c, (double)bytes);
    } else {
        print_unsupported(name, ENOMEM);
    }
    free(c.from);
    free(c.to);
}

// ---- files ----

static char file_path[4096];

static int op_open_close(void *ctx, uint64_t n)
{
    while (n--) {
        int fd = open(ctx, O_RDONLY);
        if (fd < 0 || close(fd))
            return errno;
    }
    return 0;
}

static int op_stat(void *ctx, uint64_t n)
{
    struct stat st;
    while (n--)
        if (stat(ctx, &st))
            return errno;
    return 0;
}

static int op_create_unlink(void *ctx, uint64_t n)
{
    while (n--) {
        int fd = open(ctx, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || close(fd) || unlink(ctx))
            return errno;
    }
    return 0;
}

static uint64_t next_random(void)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

struct random_read {
    int fd;
    char *buf;
};

static int op_pread_random(void *ctx, uint64_t n)
{
    struct random_read *r = ctx;
    while (n--)
        if (pread(r->fd, r->buf, 4096, (off_t)(next_random() % (opt_file / 4096) * 4096)) != 4096)
            return errno ? errno : EIO;
    return 0;
}

static int whole_file(int fd, char *buf, size_t io, int writing)
{
    int err = 0;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return errno;
    for (size_t done = 0; !err && done < opt_file; done += io)
        err = writing ? write_all(fd, buf, io) : read_all(fd, buf, io);
    return err;
}

enum file_mode { WRITE, WRITE_SYNC, READ, READ_RANDOM };

// Each batch is one pass over the whole file. WRITE creates it anew, WRITE_SYNC also ends with an fsync;
// READ reads what was just written, so it comes from whatever cache the system keeps.
static void bench_file(const char *name, enum file_mode mode, size_t io)
{
    double v[5], start = now_ns(), t;
    int err = 0, k = 0, fd = -1;
    char *buf = malloc(io);
    memset(buf, 'z', io);
    if (mode >= READ) {
        fd = open(file_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        err = fd < 0 ? errno : whole_file(fd, buf, io, 1);
        if (!err)
            err = whole_file(fd, buf, io, 0);  // warm-up
    }
    if (!err && mode == READ_RANDOM) {
        measure(name, op_pread_random, &(struct random_read){.fd = fd, .buf = buf}, 0);
        goto out;
    }
    for (int i = 0; !err && i < 6 && (k == 0 || now_ns() - start < max_bench_ns); i++) {
        t = now_ns();
        if (mode == READ) {
            err = whole_file(fd, buf, io, 0);
        } else {
            fd = open(file_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
            err = fd < 0 ? errno : whole_file(fd, buf, io, 1);
            if (!err && mode == WRITE_SYNC && fsync(fd))
                err = errno;
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
        t = now_ns() - t;
        if (mode != READ)
            unlink(file_path);
        if (i > 0 || t > max_bench_ns / 2)  // the first pass is the warm-up, unless it is all there is time for
            v[k++] = t;
    }
    if (err)
        print_unsupported(name, err);
    else
        print_result(name, v, k, (double)opt_file);
out:
    if (fd >= 0)
        close(fd);
    unlink(file_path);
    free(buf);
}

// On the path of a small existing file, or of one that does not exist (fresh).
static void bench_path(const char *name, op_fn op, int fresh)
{
    int fd = fresh ? 0 : open(file_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        print_unsupported(name, errno);
        return;
    }
    if (!fresh)
        close(fd);
    measure(name, op, file_path, 0);
    unlink(file_path);
}

// ---- the list ----

static void b_getpid(const char *s) { measure(s, op_getpid, NULL, 0); }
static void b_getppid(const char *s) { measure(s, op_getppid, NULL, 0); }
static void b_gettid(const char *s) { measure(s, op_gettid, NULL, 0); }
static void b_umask(const char *s) { measure(s, op_umask, NULL, 0); }
static void b_clock(const char *s) { measure(s, op_clock, NULL, 0); }
static void b_pipe_lat(const char *s) { two_processes(s, PIPE, 0); }
static void b_pipe_64(const char *s) { two_processes(s, PIPE, 64); }
static void b_pipe_4k(const char *s) { two_processes(s, PIPE, 4096); }
static void b_pipe_64k(const char *s) { two_processes(s, PIPE, 65536); }
static void b_unix_lat(const char *s) { two_processes(s, UNIX, 0); }
static void b_unix_64k(const char *s) { two_processes(s, UNIX, 65536); }
static void b_tcp_lat(const char *s) { two_processes(s, TCP, 0); }
static void b_tcp_64k(const char *s) { two_processes(s, TCP, 65536); }
static void b_spawn(const char *s) { measure(s, op_spawn, (void *)opt_self, 0); }
static void b_spawn_pad14(const char *s) { measure(s, op_spawn, (void *)opt_pad, 0); }
static void b_vfork_exec(const char *s) { measure(s, op_vfork_exec, NULL, 0); }
static void b_fork(const char *s) { measure(s, op_fork, NULL, 0); }
static void b_fork_2m(const char *s)
{
    void *p = calloc(1, (size_t)2 << 20);
    if (!p)
        print_unsupported(s, ENOMEM);
    else
        measure(s, op_fork_2m, p, 0);
    free(p);
}
static void b_cpu(const char *s)
{
    uint64_t out;
    measure(s, op_cpu, &out, 0);
}
static void b_thread(const char *s) { measure(s, op_thread, NULL, 0); }
static void b_mmap(const char *s) { measure(s, op_mmap, NULL, 0); }
static void b_write_4k(const char *s) { bench_file(s, WRITE, 4096); }
static void b_wsync_4k(const char *s) { bench_file(s, WRITE_SYNC, 4096); }
static void b_read_4k(const char *s) { bench_file(s, READ, 4096); }
static void b_write_1m(const char *s) { bench_file(s, WRITE, 1 << 20); }
static void b_wsync_1m(const char *s) { bench_file(s, WRITE_SYNC, 1 << 20); }
static void b_read_1m(const char *s) { bench_file(s, READ, 1 << 20); }
static void b_pread_4k(const char *s) { bench_file(s, READ_RANDOM, 4096); }
static void b_open_close(const char *s) { bench_path(s, op_open_close, 0); }
static void b_stat(const char *s) { bench_path(s, op_stat, 0); }
static void b_create_unlink(const char *s) { bench_path(s, op_create_unlink, 1); }
static void b_memcpy_64k(const char *s) { bench_copy(s, op_memcpy, 65536); }
static void b_memcpy_64m(const char *s) { bench_copy(s, op_memcpy, 64 << 20); }
static void b_copy_64m(const char *s) { bench_copy(s, op_copy_words, 64 << 20); }

static void b_read_zero(const char *s)
{
    int fd = open("/dev/zero", O_RDONLY);
    if (fd < 0) {
        print_unsupported(s, errno);
        return;
    }
    measure(s, op_read1, &fd, 0);
    close(fd);
}

static void b_futex(const char *s)
{
    atomic_int turn = 0;
    pthread_t t;
    int err = pthread_create(&t, NULL, futex_partner, &turn);
    if (err) {
        print_unsupported(s, err);
        return;
    }
    measure(s, op_futex, &turn, 0);
    give_turn(&turn, 2);
    pthread_join(t, NULL);
}

static void b_epoll(const char *s)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int p[2], ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0 || pipe2(p, O_CLOEXEC)) {
        print_unsupported(s, errno);
    } else {
        if (write(p[1], "x", 1) != 1 || epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev))
            print_unsupported(s, errno);
        else
            measure(s, op_epoll, &ep, 0);
        close_pair(p);
    }
    if (ep >= 0)
        close(ep);
}

static void b_signal(const char *s)
{
    struct sigaction sa = {.sa_handler = on_signal};
    if (sigaction(SIGUSR1, &sa, NULL)) {
        print_unsupported(s, errno);
        return;
    }
    measure(s, op_signal, NULL, 0);
    signal(SIGUSR1, SIG_DFL);
}

static const struct bench {
    const char *name;
    void (*run)(const char *name);
    int optional;
} benches[] = {
    {"getpid", b_getpid, 0},
    {"getppid", b_getppid, 0},
    {"gettid", b_gettid, 0},
    {"umask", b_umask, 0},
    {"read_zero", b_read_zero, 0},
    {"clock_gettime", b_clock, 0},
    {"epoll_ready", b_epoll, 0},
    {"signal_self", b_signal, 0},
    {"futex_pingpong", b_futex, 0},
    {"thread_create_join", b_thread, 0},
    {"mmap_touch_1m", b_mmap, 0},
    {"cpu_1m_steps", b_cpu, 0},
    {"pipe_pingpong", b_pipe_lat, 0},
    {"pipe_bw_64", b_pipe_64, 0},
    {"pipe_bw_4k", b_pipe_4k, 0},
    {"pipe_bw_64k", b_pipe_64k, 0},
    {"unix_pingpong", b_unix_lat, 0},
    {"unix_bw_64k", b_unix_64k, 0},
    {"tcp_pingpong", b_tcp_lat, 0},
    {"tcp_bw_64k", b_tcp_64k, 0},
    {"spawn", b_spawn, 0},
    {"spawn_pad14", b_spawn_pad14, 0},
    {"vfork_exec", b_vfork_exec, 0},
    {"fork", b_fork, 1},
    {"fork_2m", b_fork_2m, 1},
    {"open_close", b_open_close, 0},
    {"stat", b_stat, 0},
    {"create_unlink", b_create_unlink, 0},
    {"pread_rand_4k", b_pread_4k, 0},
    {"file_read_4k", b_read_4k, 0},
    {"file_read_1m", b_read_1m, 0},
    {"file_write_4k", b_write_4k, 0},
    {"file_write_1m", b_write_1m, 0},
    {"file_wsync_4k", b_wsync_4k, 0},
    {"file_wsync_1m", b_wsync_1m, 0},
    {"memcpy_64k", b_memcpy_64k, 0},
    {"memcpy_64m", b_memcpy_64m, 0},
    {"copyloop_64m", b_copy_64m, 0},
};
enum { NBENCH = sizeof benches / sizeof *benches };

// Splits "LABEL=COMMAND" in place and times the command.
static int bench_command(char *spec)
{
    char *argv[64], *p = strchr(spec, '=');
    int argc = 0;
    if (!p || p == spec)
        return -1;
    *p++ = 0;
    while (argc < 63) {
        char *out;
        while (*p == ' ')
            p++;
        if (!*p)
            break;
        argv[argc++] = out = p;
        for (char quote = 0; *p && (quote || *p != ' '); p++) {
            if (quote ? *p == quote : *p == '\'' || *p == '"')
                quote = quote ? 0 : *p;
            else
                *out++ = *p;
        }
        if (*p)
            p++;
        *out = 0;
    }
    argv[argc] = NULL;
    if (!argc)
        return -1;
    measure(spec, op_command, argv, 0);
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: micro [-lfv] [-d dir] [-s self] [-p padded] [-t ms] [-b batches] [-m MiB] "
                    "[-x label=command]... [name...]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static char self[4096], pad[4096 + 8];
    char *commands[16];
    int c, ncommands = 0, all = 0;
#ifdef PAD_MB
    __asm__ volatile("" ::"r"(micro_pad));
#endif
    if (argc > 1 && argv[1][0] == '@')
        return role_main(argc, argv);
    while ((c = getopt(argc, argv, "lfvd:s:p:t:b:m:x:")) != -1)
        switch (c) {
        case 'l':
            for (int i = 0; i < NBENCH; i++)
                printf("%s\n", benches[i].name);
            return 0;
        case 'f': all = 1; break;
        case 'v': opt_verbose = 1; break;
        case 'd': opt_dir = optarg; break;
        case 's': opt_self = optarg; break;
        case 'p': opt_pad = optarg; break;
        case 't': opt_batch_ns = atof(optarg) * 1e6; break;
        case 'b': opt_batches = atoi(optarg); break;
        case 'm': opt_file = (size_t)atol(optarg) << 20; break;
        case 'x':
            if (ncommands == 16)
                return usage();
            commands[ncommands++] = optarg;
            break;
        default: return usage();
        }
    if (opt_batches < 1 || opt_batch_ns <= 0 || opt_file < 1 << 20)
        return usage();
    if (!opt_self) {
        ssize_t k = strchr(argv[0], '/') ? -1 : readlink("/proc/self/exe", self, sizeof self - 1);
        opt_self = k > 0 ? self : argv[0];
    }
    if (!opt_pad) {
        snprintf(pad, sizeof pad, "%s-pad14", opt_self);
        opt_pad = pad;
    }
    snprintf(file_path, sizeof file_path, "%s/micro-file.%ld", opt_dir, (long)getpid());
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < ncommands; i++)
        if (bench_command(commands[i]))
            return usage();
    for (int j = optind; j < argc; j++) {
        int i = 0;
        while (i < NBENCH && strcmp(benches[i].name, argv[j]))
            i++;
        if (i == NBENCH) {
            fprintf(stderr, "micro: no sub-benchmark '%s' (-l lists them)\n", argv[j]);
            return 2;
        }
        benches[i].run(benches[i].name);
    }
    if (optind == argc && !ncommands)
        for (int i = 0; i < NBENCH; i++)
            if (all || !benches[i].optional)
                benches[i].run(benches[i].name);
    return 0;
}
