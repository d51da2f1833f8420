// fork(2): what the child has of its parent's memory and what it has not, and that each keeps its own whatever the other does.
#include "conf.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/futex.h>

static int reap(pid_t pid) // exit status, or 1000 + signal
{
    int status = 0;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void *map(size_t size, int flags)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static int global = 1;
static const char *constant = "constant";

static void isolation(void)
{
    int local = 2, *heap = malloc(sizeof *heap), *pages = map(1 << 20, MAP_PRIVATE);
    int *shared = map(4096, MAP_SHARED);
    *heap = 3;
    pages[1000] = 4;
    int to_child[2], to_parent[2];
    char c;
    CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(global == 1 && local == 2 && *heap == 3 && pages[1000] == 4 && pages[5000] == 0 && !strcmp(constant, "constant"));
        CHECK(getpid() != getppid());
        global = 11, local = 12, *heap = 13, pages[1000] = 14, pages[5000] = 15;
        *shared = 16;
        CHECK(write(to_parent[1], "a", 1) == 1 && read(to_child[0], &c, 1) == 1);
        CHECK(global == 11 && local == 12 && *heap == 13 && pages[1000] == 14 && pages[5000] == 15 && *shared == 26);
        global = 31, pages[9000] = 39;
        CHECK(write(to_parent[1], "b", 1) == 1 && read(to_child[0], &c, 1) == 1);
        CHECK(global == 31 && local == 12 && pages[9000] == 39 && pages[7000] == 0);
        _exit(conf_failures ? 1 : 42);
    }
    CHECK(read(to_parent[0], &c, 1) == 1);
    CHECK(global == 1 && local == 2 && *heap == 3 && pages[1000] == 4 && pages[5000] == 0 && *shared == 16);
    global = 21, local = 22, *heap = 23, pages[1000] = 24, pages[7000] = 25;
    *shared = 26;
    CHECK(write(to_child[1], "c", 1) == 1 && read(to_parent[0], &c, 1) == 1);
    CHECK(global == 21 && local == 22 && *heap == 23 && pages[1000] == 24 && pages[5000] == 0 && pages[7000] == 25);
    CHECK(write(to_child[1], "d", 1) == 1);
    RES(reap(pid));
    CHECK(global == 21 && local == 22 && *heap == 23 && pages[1000] == 24 && pages[7000] == 25 && pages[9000] == 0);
    free(heap);
    munmap(pages, 1 << 20);
    munmap(shared, 4096);
    close(to_child[0]), close(to_child[1]), close(to_parent[0]), close(to_parent[1]);
}

static void ping_pong(void)
{
    int a[2], b[2];
    CHECK(pipe(a) == 0 && pipe(b) == 0);
    pid_t pid = fork();
    unsigned sum = 0;
    for (unsigned i = 0; i < 200; i++) {
        unsigned n = 0;
        if (pid == 0) {
            CHECK(read(a[0], &n, 4) == 4 && n == i);
            n += 1, sum = sum * 31 + n;
            CHECK(write(b[1], &n, 4) == 4);
        } else {
            CHECK(write(a[1], &i, 4) == 4 && read(b[0], &n, 4) == 4 && n == i + 1);
            sum = sum * 17 + n;
        }
    }
    if (pid == 0)
        _exit(conf_failures || sum % 251 == 0 ? 1 : 7);
    RES(reap(pid));
    printf("sum %u\n", sum);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static int nest(int depth)
{
    int mine[1000];
    for (int i = 0; i < 1000; i++)
        mine[i] = depth * 1000 + i;
    if (depth == 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 1000; i++)
            mine[i] = -i;
        _exit(nest(depth - 1) + 1);
    }
    int sum = reap(pid);
    for (int i = 0; i < 1000; i++)
        CHECK(mine[i] == depth * 1000 + i);
    return sum + (conf_failures ? 100 : 0);
}

static void mappings(const char *dir)
{
    char path[512], text[16] = "";
    snprintf(path, sizeof path, "%s/forkfile", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10 && ftruncate(fd, 8192) == 0);
    char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *gone = map(8192, MAP_PRIVATE), *wiped = map(8192, MAP_PRIVATE), *readonly = map(8192, MAP_PRIVATE);
    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    strcpy(wiped, "secret"), strcpy(gone, "gone"), strcpy(readonly, "readonly");
    CHECK(mprotect(readonly, 8192, PROT_READ) == 0);
    CHECK(private[1] == '1');
    private[0] = 'P';
    OK(madvise(gone, 8192, MADV_DONTFORK));
    OK(madvise(wiped, 8192, MADV_WIPEONFORK));
    pid_t pid = fork();
    if (pid == 0) {
        unsigned char resident;
        CHECK(mincore(gone, 4096, &resident) == -1 && errno == ENOMEM);
        CHECK(wiped[0] == 0 && wiped[5000] == 0);
        CHECK(!strcmp(readonly, "readonly"));
        CHECK(mprotect(readonly, 8192, PROT_READ | PROT_WRITE) == 0);
        strcpy(readonly, "written by the child");
        strcpy(wiped, "child");
        CHECK(private[0] == 'P' && private[1] == '1' && private[2] == '2');
        private[1] = 'C';
        shared[2] = 'S';
        CHECK(munmap(private, 4096) == 0);
        char *again = mmap(private, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        CHECK(again == private && again[0] == 0);
        strcpy(again, "other");
        _exit(conf_failures ? 1 : 5);
    }
    RES(reap(pid));
    CHECK(!strcmp(wiped, "secret") && !strcmp(gone, "gone") && !strcmp(readonly, "readonly"));
    CHECK(private[0] == 'P' && private[1] == '1' && shared[2] == 'S');
    CHECK(pread(fd, text, 10, 0) == 10);
    puts(text);
    munmap(shared, 8192), munmap(private, 8192), munmap(gone, 8192), munmap(wiped, 8192), munmap(readonly, 8192);
    close(fd);
    unlink(path);
}

static void changes(void) // by one of the two, of addresses that both have
{
    size_t size = 16 * 4096;
    char *area = map(size, MAP_PRIVATE);
    for (size_t i = 0; i < size; i += 4096)
        area[i] = (char)(i / 4096 + 1);
    int a[2], b[2];
    char c;
    CHECK(pipe(a) == 0 && pipe(b) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(munmap(area, 4096) == 0);
        CHECK(mprotect(area + 4096, 4096, PROT_NONE) == 0);
        CHECK(madvise(area + 2 * 4096, 4096, MADV_DONTNEED) == 0 && area[2 * 4096] == 0);
        CHECK(mprotect(area + 3 * 4096, 4096, PROT_READ) == 0);
        char *moved = mremap(area + 4 * 4096, 4096, 3 * 4096, MREMAP_MAYMOVE);
        CHECK(moved != MAP_FAILED && moved[0] == 5 && moved[4096] == 0);
        char *over = mmap(area + 6 * 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        CHECK(over == area + 6 * 4096 && over[0] == 0);
        over[0] = 77;
        void *edge = sbrk(0);
        CHECK(sbrk(1 << 20) == edge);
        memset(edge, 0x5a, 1 << 20);
        CHECK(write(b[1], "x", 1) == 1 && read(a[0], &c, 1) == 1);
        CHECK(over[0] == 77 && area[2 * 4096] == 0 && area[3 * 4096] == 4 && moved[0] == 5 && area[7 * 4096] == 8);
        for (int i = 0; i < 1 << 20; i += 4096)
            CHECK(((char *)edge)[i] == 0x5a);
        CHECK(mprotect(area + 4096, 4096, PROT_READ | PROT_WRITE) == 0 && area[4096] == 2);
        _exit(conf_failures ? 1 : 9);
    }
    CHECK(read(b[0], &c, 1) == 1);
    for (size_t i = 0; i < size; i += 4096)
        CHECK(area[i] == (char)(i / 4096 + 1));
    area[7 * 4096] = 100;
    void *edge = sbrk(0);
    CHECK(sbrk(1 << 19) == edge);
    for (int i = 0; i < 1 << 19; i += 4096)
        CHECK(((char *)edge)[i] == 0);
    memset(edge, 1, 1 << 19);
    CHECK(write(a[1], "y", 1) == 1);
    RES(reap(pid));
    for (int i = 0; i < 1 << 19; i += 4096)
        CHECK(((char *)edge)[i] == 1);
    CHECK(area[7 * 4096] == 100 && area[0] == 1 && area[4096] == 2 && area[6 * 4096] == 7);
    munmap(area, size);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void faults(void) // what one has unmapped is gone for it, and only for it
{
    char *area = map(4 * 4096, MAP_PRIVATE);
    memset(area, 1, 4 * 4096);
    pid_t pid = fork();
    if (pid == 0) {
        munmap(area, 4096);
        return _exit(*(volatile char *)area); // dies here
    }
    RES(reap(pid));
    CHECK(area[0] == 1);
    pid = fork();
    if (pid == 0) {
        mprotect(area, 4096, PROT_READ);
        area[0] = 5;
        _exit(0);
    }
    RES(reap(pid));
    area[0] = 2;
    CHECK(area[0] == 2);
    munmap(area, 4 * 4096);
}

static long futex(atomic_int *word, int op, int value)
{
    return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void shared_futex(void)
{
    struct shared {
        atomic_int turn, count;
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        int ready;
    } *s = map(4096, MAP_SHARED);
    pthread_mutexattr_t ma;
    pthread_condattr_t ca;
    pthread_mutexattr_init(&ma), pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
    pthread_condattr_init(&ca), pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->mutex, &ma), pthread_cond_init(&s->cond, &ca);
    pid_t pid = fork();
    for (int i = 0; i < 100; i++) {
        int mine = pid == 0;
        while (atomic_load(&s->turn) != mine)
            futex(&s->turn, FUTEX_WAIT, !mine);
        atomic_fetch_add(&s->count, 1);
        atomic_store(&s->turn, !mine);
        futex(&s->turn, FUTEX_WAKE, 1);
    }
    if (pid == 0) {
        pthread_mutex_lock(&s->mutex);
        s->ready = 1;
        pthread_cond_signal(&s->cond);
        pthread_mutex_unlock(&s->mutex);
        _exit(3);
    }
    pthread_mutex_lock(&s->mutex);
    while (!s->ready)
        pthread_cond_wait(&s->cond, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    RES(reap(pid));
    RES(atomic_load(&s->count));
    // A private futex at the same address is another one in each process.
    static atomic_int word;
    pid = fork();
    if (pid == 0) {
        struct timespec soon = {0, 50000000};
        long r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &soon, NULL, 0);
        _exit(r == -1 && errno == ETIMEDOUT ? 4 : 5);
    }
    for (int i = 0; i < 10; i++) {
        conf_sleep_ms(2);
        CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 1) == 0);
    }
    RES(reap(pid));
    munmap(s, 4096);
}

static void *spin_thread(void *arg)
{
    volatile atomic_int *stop = arg;
    static _Thread_local unsigned long counter;
    while (!*stop)
        counter++;
    return NULL;
}

static void threaded(void)
{
    atomic_int stop = 0;
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, spin_thread, &stop) == 0);
    int data[4096];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4096; i++)
            data[i] = round * i;
        pid_t pid = fork();
        if (pid == 0) {
            for (int i = 0; i < 4096; i++)
                CHECK(data[i] == round * i);
            memset(data, 0xff, sizeof data);
            pthread_t mine; // the child can make threads of its own
            atomic_int now = 1;
            CHECK(pthread_create(&mine, NULL, spin_thread, &now) == 0 && pthread_join(mine, NULL) == 0);
            _exit(conf_failures ? 1 : 20 + round);
        }
        RES(reap(pid));
        for (int i = 0; i < 4096; i++)
            CHECK(data[i] == round * i);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
}

static void limits(void)
{
    struct rlimit old, new;
    getrlimit(RLIMIT_NPROC, &old);
    new = old;
    new.rlim_cur = 0;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setresuid(65534, 65534, 65534) == 0 || geteuid() != 0);
        setrlimit(RLIMIT_NPROC, &new);
        pid_t p = fork();
        if (p == 0)
            _exit(0);
        _exit(p == -1 && errno == EAGAIN ? 6 : 7);
    }
    RES(reap(pid));
}

enum { crowd = 200, words = 3000 };
static unsigned block[words];

static void many(void)
{
    int go[2], done[2], turn;
    pid_t pids[crowd];
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    for (int i = 0; i < crowd; i++) {
        for (int k = 0; k < words; k += 500)
            block[k] = (unsigned)(i * 7919 + k);
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            for (int round = 0; round < 3; round++) {
                if (read(go[0], &turn, sizeof turn) != sizeof turn)
                    _exit(1);
                for (int k = 0; k < words; k += 500) {
                    if (block[k] != (unsigned)(i * 7919 + k + round))
                        _exit(2);
                    block[k]++;
                }
                if (write(done[1], "x", 1) != 1)
                    _exit(3);
            }
            _exit(i % 100);
        }
    }
    int ok = 0;
    char c;
    for (int n = 0; n < 3 * crowd; n++)
        CHECK(write(go[1], &n, sizeof n) == sizeof n);
    for (int n = 0; n < 3 * crowd; n++)
        CHECK(read(done[0], &c, 1) == 1);
    for (int i = 0; i < crowd; i++)
        ok += reap(pids[i]) == i % 100;
    RES(ok);
    close(go[0]), close(go[1]), close(done[0]), close(done[1]);
}

static void big(void)
{
    size_t size = 64 << 20;
    unsigned *area = map(size, MAP_PRIVATE);
    size_t step = 1024;
    for (size_t i = 0; i < size / 4; i += step * 16)
        area[i] = (unsigned)i + 1;
    int a[2], b[2];
    char c;
    CHECK(pipe(a) == 0 && pipe(b) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < size / 4; i += step)
            area[i] = (unsigned)i * 3;
        CHECK(write(b[1], "x", 1) == 1 && read(a[0], &c, 1) == 1);
        for (size_t i = 0; i < size / 4; i += step)
            CHECK(area[i] == (unsigned)i * 3);
        _exit(conf_failures ? 1 : 8);
    }
    CHECK(read(b[0], &c, 1) == 1);
    for (size_t i = 0; i < size / 4; i += step)
        CHECK(area[i] == (i % (step * 16) == 0 ? (unsigned)i + 1 : 0));
    CHECK(write(a[1], "y", 1) == 1);
    RES(reap(pid));
    munmap(area, size);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static volatile sig_atomic_t got;
static void on_signal(int signo) { got = got * 10 + (signo == SIGUSR1 ? 1 : signo == SIGALRM ? 2 : 3); }

static void signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL), sigaction(SIGALRM, &action, NULL);
    sigset_t block_it, empty, pending;
    sigemptyset(&empty), sigemptyset(&block_it), sigaddset(&block_it, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block_it, NULL);
    sigset_t other;
    sigemptyset(&other), sigaddset(&other, SIGUSR2);
    sigaction(SIGUSR2, &action, NULL);
    sigprocmask(SIG_BLOCK, &other, NULL);
    raise(SIGUSR2); // pending in the parent: not in the child
    alarm(100);     // not inherited either
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR2));
        CHECK(alarm(0) == 0);
        for (int i = 0; i < 20; i++) {
            kill(getppid(), 0);
            while (!got)
                sigsuspend(&empty);
            CHECK(got == 1);
            got = 0;
            kill(getppid(), SIGALRM);
        }
        _exit(conf_failures ? 1 : 12);
    }
    CHECK(alarm(0) != 0);
    sigprocmask(SIG_UNBLOCK, &other, NULL);
    CHECK(got == 3);
    sigset_t alarms;
    sigemptyset(&alarms), sigaddset(&alarms, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarms, NULL);
    for (int i = 0; i < 20; i++) {
        got = 0;
        kill(pid, SIGUSR1);
        while (!got)
            sigsuspend(&empty);
        CHECK(got == 2);
    }
    sigprocmask(SIG_UNBLOCK, &alarms, NULL);
    RES(reap(pid));
    // A stopped member does not hold the others up.
    pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    int status;
    kill(pid, SIGSTOP);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    RES(nest(2));
    kill(pid, SIGCONT);
    CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    kill(pid, SIGKILL);
    RES(reap(pid));
}

static int clone_child(void *arg)
{
    int *p = arg;
    *p = 99;
    return 33;
}

static void clones(void)
{
    int value = 5;
    char *stack = map(65536, MAP_PRIVATE);
    pid_t ptid = 0, pid = clone(clone_child, stack + 65536, SIGCHLD | CLONE_PARENT_SETTID, &value, &ptid);
    CHECK(pid > 0 && ptid == pid);
    RES(reap(pid));
    RES(value); // memory of its own
    static pid_t ctid;
    pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_CHILD_SETTID, 0, NULL, &ctid, 0);
    if (pid == 0)
        _exit(ctid == getpid() ? 14 : 15);
    RES(reap(pid));
    RES(ctid); // set in the child's memory only
    pid = (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_FILES, 0, NULL, NULL, 0);
    if (pid == 0) {
        dup2(1, 77);
        _exit(16);
    }
    RES(reap(pid));
    RES(close(77)); // the table was shared
    pid = vfork();
    if (pid == 0) {
        value = 55;
        _exit(17);
    }
    RES(reap(pid));
    RES(value);
    pid = fork();
    if (pid == 0) { // vfork in a forked child
        pid_t inner = vfork();
        if (inner == 0) {
            value = 66;
            _exit(1);
        }
        int r = reap(inner);
        _exit(r + value);
    }
    RES(reap(pid));
    RES(value);
    munmap(stack, 65536);
}

static void bomb(void)
{
    int level = 0, status, failed = 0;
    pid_t top = getpid();
    for (; level < 5; level++)
        fork(); // 32 processes
    while (wait(&status) > 0)
        failed |= status;
    if (getpid() != top)
        _exit(failed ? 1 : 0);
    RES(failed);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[argc - 1] : "/tmp";
    struct {
        const char *name;
        void (*run)(void);
    } parts[] = {{"isolation", isolation}, {"ping_pong", ping_pong}, {"changes", changes}, {"faults", faults}, {"shared_futex", shared_futex},
                 {"threaded", threaded}, {"limits", limits}, {"many", many}, {"big", big}, {"signals", signals}, {"clones", clones}, {"bomb", bomb}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (argc > 2 && strcmp(argv[1], parts[i].name))
            continue;
        printf("--- %s\n", parts[i].name);
        parts[i].run();
    }
    if (argc <= 2 || !strcmp(argv[1], "nest")) {
        puts("--- nest");
        RES(nest(4));
    }
    if (argc <= 2 || !strcmp(argv[1], "mappings")) {
        puts("--- mappings");
        mappings(dir);
    }
    return conf_end();
}
