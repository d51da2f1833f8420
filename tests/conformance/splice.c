// splice(2), tee(2) and vmsplice(2): 0 means the end and nothing else, what waits and what does not, and that nothing gets lost.
#include "conf.h"
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static char block[1 << 17] __attribute__((aligned(4096)));

static int queued(int fd)
{
    int n = -1;
    ioctl(fd, FIONREAD, &n);
    return n;
}

static void drop(int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

static int in[2], out[2];

static void fresh(void)
{
    CHECK(pipe(in) == 0 && pipe(out) == 0);
}

static void fill(int fd)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (write(fd, block, 4096) > 0)
        ;
    fcntl(fd, F_SETFL, 0);
}

static int hits;
static void on_signal(int sig)
{
    hits += sig == SIGPIPE;
}

// Whether a call waits: it is interrupted by an alarm then.
#define WAITS(expr) \
    do { \
        alarm_soon(); \
        RES(expr); \
        alarm_off(); \
    } while (0)

static timer_t timer;
static void alarm_soon(void)
{
    struct itimerspec when = {{0, 50000000}, {0, 100000000}}; // again and again: it may come before the call has begun to wait
    timer_settime(timer, 0, &when, NULL);
}
static void alarm_off(void)
{
    struct itimerspec never = {{0, 0}, {0, 0}};
    timer_settime(timer, 0, &never, NULL);
}

static void empty_pipes(void)
{
    printf("empty input\n");
    fresh();
    RES(tee(in[0], out[1], 100, SPLICE_F_NONBLOCK));
    RES(splice(in[0], NULL, out[1], NULL, 100, SPLICE_F_NONBLOCK));
    WAITS(tee(in[0], out[1], 100, 0));
    WAITS(splice(in[0], NULL, out[1], NULL, 100, 0));
    fcntl(in[0], F_SETFL, O_NONBLOCK);
    RES(tee(in[0], out[1], 100, 0));
    RES(splice(in[0], NULL, out[1], NULL, 100, 0));
    fcntl(in[0], F_SETFL, 0);
    fcntl(out[1], F_SETFL, O_NONBLOCK);
    RES(tee(in[0], out[1], 100, 0));
    RES(splice(in[0], NULL, out[1], NULL, 100, 0));
    fcntl(out[1], F_SETFL, 0);
    close(in[1]);
    RES(tee(in[0], out[1], 100, 0));
    RES(splice(in[0], NULL, out[1], NULL, 100, 0));
    RES(tee(in[0], out[1], 100, SPLICE_F_NONBLOCK));
    RES(splice(in[0], NULL, out[1], NULL, 100, SPLICE_F_NONBLOCK));
    fill(out[1]);
    RES(tee(in[0], out[1], 100, SPLICE_F_NONBLOCK));
    RES(splice(in[0], NULL, out[1], NULL, 100, SPLICE_F_NONBLOCK));
    close(out[0]);
    RES(tee(in[0], out[1], 100, 0));
    RES(splice(in[0], NULL, out[1], NULL, 100, 0));
    printf("SIGPIPE %d\n", hits);
    close(in[0]);
    close(out[1]);
}

static void full_output(void)
{
    printf("full output\n");
    fresh();
    fill(out[1]);
    CHECK(write(in[1], "abc", 3) == 3);
    RES(tee(in[0], out[1], 100, SPLICE_F_NONBLOCK));
    RES(splice(in[0], NULL, out[1], NULL, 100, SPLICE_F_NONBLOCK));
    WAITS(tee(in[0], out[1], 100, 0));
    WAITS(splice(in[0], NULL, out[1], NULL, 100, 0));
    CHECK(queued(in[0]) == 3);
    CHECK(read(out[0], block, 4096) == 4096);
    RES(tee(in[0], out[1], 100, 0));
    CHECK(queued(in[0]) == 3);
    CHECK(read(out[0], block, sizeof block) == 65536 - 4096 + 3);
    RES(splice(in[0], NULL, out[1], NULL, 100, 0));
    CHECK(queued(in[0]) == 0 && queued(out[0]) == 3);
    drop(in);
    drop(out);
}

static void amounts(void)
{
    printf("amounts\n");
    fresh();
    for (unsigned i = 0; i < sizeof block; i++)
        block[i] = (char)(i * 7 + i / 4096);
    static char seen[1 << 16];
    CHECK(write(in[1], block, 65536) == 65536);
    RES(tee(in[0], out[1], 1 << 20, 0));
    CHECK(queued(in[0]) == 65536 && queued(out[0]) == 65536);
    CHECK(read(out[0], seen, 65536) == 65536 && memcmp(seen, block, 65536) == 0);
    RES(tee(in[0], out[1], 5000, 0));
    CHECK(read(out[0], seen, 65536) == 5000 && memcmp(seen, block, 5000) == 0);
    RES(splice(in[0], NULL, out[1], NULL, 1 << 20, 0));
    CHECK(read(out[0], seen, 65536) == 65536 && memcmp(seen, block, 65536) == 0);
    RES(tee(in[0], in[1], 1, 0));
    RES(splice(in[0], NULL, in[1], NULL, 1, 0));
    RES(tee(in[0], out[1], 0, 0));
    RES(tee(in[0], out[1], 0, 0x100));
    RES(splice(in[0], NULL, out[1], NULL, 0, 0x100));
    RES(splice(in[0], NULL, out[1], NULL, 1, 0x100));
    RES(tee(in[1], out[1], 1, 0));
    RES(tee(in[0], out[0], 1, 0));
    drop(in);
    drop(out);
}

static void vectors(void)
{
    printf("vmsplice\n");
    fresh();
    struct iovec all = {block, sizeof block}, some = {block, 3}, none = {block, 0};
    RES(vmsplice(in[1], &all, 1, 0)); // what fits, and no wait for the rest
    RES(vmsplice(in[1], &some, 1, SPLICE_F_NONBLOCK));
    WAITS(vmsplice(in[1], &some, 1, 0));
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    WAITS(vmsplice(in[1], &some, 1, 0)); // O_NONBLOCK says nothing here
    RES(vmsplice(in[0], &all, 1, 0));
    fcntl(in[0], F_SETFL, O_NONBLOCK);
    RES(vmsplice(in[0], &all, 1, SPLICE_F_NONBLOCK));
    WAITS(vmsplice(in[0], &all, 1, 0));
    RES(vmsplice(in[1], &none, 1, 0));
    RES(vmsplice(in[1], &none, 0, 0));
    RES(vmsplice(in[1], &some, 1, 0x100));
    RES(vmsplice(0x7000, &none, 1, 0));
    close(in[0]);
    RES(vmsplice(in[1], &none, 1, 0));
    hits = 0;
    RES(vmsplice(in[1], &some, 1, 0));
    printf("SIGPIPE %d\n", hits);
    CHECK(pipe(in) == 0);
    RES(vmsplice(in[1], &some, 1, 0));
    close(in[1]);
    RES(vmsplice(in[0], &all, 1, 0));
    RES(vmsplice(in[0], &all, 1, 0));
    drop(out);
}

// A signal while the output does not take more: what did not go out is still in the pipe.
static void interrupted(void)
{
    printf("interrupted\n");
    int pair[2];
    fresh();
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    long sent = 0, put = 0;
    for (int i = 0; i < 64; i++) {
        fcntl(in[1], F_SETFL, O_NONBLOCK);
        for (ssize_t n; (n = write(in[1], block, 5000)) > 0;)
            put += n;
        alarm_soon();
        ssize_t n = splice(in[0], NULL, pair[0], NULL, 1 << 20, 0);
        alarm_off();
        if (n < 0) {
            CHECK(errno == EINTR);
            break;
        }
        sent += n;
    }
    int left = queued(in[0]);
    CHECK(sent + left == put);
    long came = 0;
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    for (ssize_t n; (n = read(pair[1], block, sizeof block)) > 0;)
        came += n;
    CHECK(came == sent);
    drop(in);
    drop(out);
    drop(pair);
}

// From a file, by position and by offset: both move by what went into the pipe.
static void files(const char *folder)
{
    printf("files\n");
    char path[4096];
    snprintf(path, sizeof path, "%s/splice-file", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    memset(block, 'x', sizeof block);
    CHECK(write(fd, block, 100000) == 100000 && lseek(fd, 10, SEEK_SET) == 10);
    fresh();
    CHECK(write(in[1], block, 4096) == 4096);
    RES(splice(fd, NULL, in[1], NULL, 90000, 0) > 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 10 + queued(in[0]) - 4096);
    CHECK(read(in[0], block, sizeof block) > 4096);
    off_t offset = 99990;
    RES(splice(fd, &offset, in[1], NULL, 90000, 0));
    printf("offset %ld\n", (long)offset);
    RES(splice(fd, &offset, in[1], NULL, 90000, 0));
    RES(splice(fd, &offset, in[1], NULL, 90000, SPLICE_F_NONBLOCK));
    offset = 0;
    RES(splice(in[0], NULL, fd, &offset, 90000, 0));
    printf("offset %ld\n", (long)offset);
    RES(splice(in[0], NULL, fd, &offset, 90000, SPLICE_F_NONBLOCK));
    RES(splice(in[0], &offset, fd, NULL, 1, 0));
    RES(splice(fd, NULL, in[1], &offset, 1, 0));
    fcntl(fd, F_SETFL, O_APPEND);
    RES(splice(in[0], NULL, fd, NULL, 1, 0));
    close(fd);
    unlink(path);
    drop(in);
    drop(out);
}

// Two threads take from one pipe what a third puts in byte by byte; a fourth tees it. None may see an end before the writer is gone.
static int early_ends;
static volatile int over;
static void *reader(void *unused)
{
    (void)unused;
    char c;
    while (read(in[0], &c, 1) == 1)
        ;
    return NULL;
}
static void *teer(void *unused)
{
    (void)unused;
    static char seen[65536];
    for (;;) {
        ssize_t n = tee(in[0], out[1], 65536, 0);
        if (n > 0)
            CHECK(read(out[0], seen, (size_t)n) == n);
        if (n != 0)
            continue;
        if (!__atomic_load_n(&over, __ATOMIC_SEQ_CST))
            early_ends++;
        else
            return NULL;
    }
}
static void races(void)
{
    printf("races\n");
    fresh();
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, reader, NULL);
    pthread_create(&threads[1], NULL, reader, NULL);
    pthread_create(&threads[2], NULL, teer, NULL);
    for (int i = 0; i < 3000; i++)
        CHECK(write(in[1], "x", 1) == 1);
    __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
    close(in[1]);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    // Linux looks at the pipe once more after it has waited, and returns 0 if another reader was faster: ends are not compared.
    close(in[0]);
    drop(out);
}

int main(int argc, char **argv)
{
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGALRM, &act, NULL);
    sigaction(SIGPIPE, &act, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    empty_pipes();
    full_output();
    amounts();
    vectors();
    interrupted();
    files(argc > 1 ? argv[1] : ".");
    races();
    return conf_failures != 0;
}
