// Signals: actions, masks, queues, siginfo of faults, alternate stacks, restart, nesting, register state across a handler.
#include "conf.h"
#include <fcntl.h>
#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

static volatile int seen, order[8], depth, max_depth;
static siginfo_t last;

static void note(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (seen < 8)
        order[seen] = sig;
    seen++;
    last = *info;
}

static void set(int sig, void (*f)(int, siginfo_t *, void *), int flags, int blocked)
{
    struct sigaction sa = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&sa.sa_mask);
    if (blocked)
        sigaddset(&sa.sa_mask, blocked);
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void actions(void)
{
    struct sigaction sa, old;
    RES(sigaction(SIGKILL, NULL, &old));
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = SIG_IGN;
    RES(sigaction(SIGKILL, &sa, NULL));
    RES(sigaction(SIGSTOP, &sa, NULL));
    RES(sigaction(65, &sa, NULL));
    RES(sigaction(0, &sa, NULL));
    set(SIGUSR1, note, SA_RESTART | SA_NODEFER, SIGUSR2);
    RES(sigaction(SIGUSR1, NULL, &old));
    printf("%d %x %d %d\n", old.sa_sigaction == note, old.sa_flags, sigismember(&old.sa_mask, SIGUSR2),
           sigismember(&old.sa_mask, SIGUSR1));
    RES(raise(SIGUSR1));
    RES(seen);
    RES(last.si_signo);
    CHECK(last.si_pid == getpid());
    RES(last.si_code == SI_TKILL);
    RES(kill(getpid(), SIGUSR1));
    RES(seen);
    RES(last.si_code == SI_USER);
    RES(kill(getpid(), 0));
    RES(kill(getpid(), 99));
    RES(kill(0x7ffffff0, SIGUSR1));
    RES(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
    RES(syscall(SYS_tgkill, -1, 1, SIGUSR1));
    set(SIGUSR1, note, SA_RESETHAND, 0);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &old);
    RES(old.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    RES(raise(SIGUSR1));
}

static void masks_and_queues(void)
{
    sigset_t set_all, old, pending;
    set(SIGUSR1, note, 0, 0);
    set(SIGUSR2, note, 0, 0);
    for (int s = SIGRTMIN; s <= SIGRTMIN + 2; s++)
        set(s, note, 0, 0);
    sigfillset(&set_all);
    RES(sigprocmask(SIG_BLOCK, &set_all, &old));
    sigprocmask(SIG_BLOCK, NULL, &set_all);
    RES(sigismember(&set_all, SIGKILL));
    RES(sigprocmask(99, &old, NULL));
    seen = 0;
    raise(SIGUSR1);
    raise(SIGUSR1); // a standard signal is pending once
    for (int i = 0; i < 3; i++)
        RES(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 40 + i}));
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7});
    sigpending(&pending);
    printf("pending %d %d %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGRTMIN), sigismember(&pending, SIGRTMIN + 1));
    siginfo_t info;
    sigset_t rt;
    sigemptyset(&rt);
    sigaddset(&rt, SIGRTMIN + 1);
    RES(sigwaitinfo(&rt, &info) == SIGRTMIN + 1);
    RES(info.si_value.sival_int);
    RES(info.si_code == SI_QUEUE);
    RES(seen);
    sigprocmask(SIG_SETMASK, &old, NULL);
    RES(seen);
    for (int i = 0; i < 4; i++)
        printf("%s ", order[i] == SIGUSR1 ? "usr1" : order[i] == SIGRTMIN ? "rt0" : order[i] == SIGRTMIN + 1 ? "rt1" : "?");
    puts("");
    struct timespec soon = {0, 20000000};
    sigprocmask(SIG_BLOCK, &rt, NULL);
    RES(sigtimedwait(&rt, &info, &soon));
    sigprocmask(SIG_UNBLOCK, &rt, NULL);
    signal(SIGCHLD, SIG_DFL);
    RES(raise(SIGCHLD));
    RES(raise(SIGURG));
}

static sigjmp_buf back;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    last = *info;
    siglongjmp(back, 1);
}

static void show_fault(const char *what, int sig, const void *address)
{
    printf("%s: signal %d code %d address %s\n", what, last.si_signo, last.si_code,
           last.si_addr == address ? "right" : last.si_addr == NULL ? "null" : "other");
    CHECK(last.si_signo == sig);
}

static void faults(void)
{
    static const int all[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (int i = 0; i < 5; i++)
        set(all[i], on_fault, 0, 0);
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sigsetjmp(back, 1))
        *(volatile char *)(none + 5) = 1;
    show_fault("store to PROT_NONE", SIGSEGV, none + 5);
    if (!sigsetjmp(back, 1))
        *(volatile char *)0x10;
    show_fault("load from null page", SIGSEGV, (void *)0x10);
    if (!sigsetjmp(back, 1))
        *(volatile char *)(uintptr_t)0x8000000000000000u;
    show_fault("load from non-canonical", SIGSEGV, NULL);
    if (!sigsetjmp(back, 1))
        ((void (*)(void))(uintptr_t)(none + 8))();
    show_fault("jump to PROT_NONE", SIGSEGV, none + 8);
    int zero = 0;
    if (!sigsetjmp(back, 1))
        __asm__ volatile("idivl %0" : : "r"(zero), "a"(1), "d"(0));
    printf("division by zero: signal %d code %d\n", last.si_signo, last.si_code);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("ud2");
    printf("ud2: signal %d code %d\n", last.si_signo, last.si_code);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("hlt");
    printf("hlt: signal %d code %d\n", last.si_signo, last.si_code);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("int3");
    printf("int3: signal %d code %d\n", last.si_signo, last.si_code);
    if (!sigsetjmp(back, 1))
        __asm__ volatile("pushf; orq $0x100, (%rsp); popf; nop; nop");
    printf("single step: signal %d code %d\n", last.si_signo, last.si_code);
    feenableexcept(FE_DIVBYZERO);
    volatile double d = 0;
    if (!sigsetjmp(back, 1))
        d = 1 / d;
    printf("floating point: signal %d code %d\n", last.si_signo, last.si_code);
    fedisableexcept(FE_DIVBYZERO);
    munmap(none, 4096);
}

static void repair(int sig, siginfo_t *info, void *context) // make the page accessible and go on
{
    (void)sig;
    mprotect((void *)((uintptr_t)info->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_R12] += 1;
}

static void edited_context(void)
{
    char *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    set(SIGSEGV, repair, 0, 0);
    register long r12 __asm__("r12") = 41;
    __asm__ volatile("movb $9, (%1)" : "+r"(r12) : "r"(p) : "memory");
    printf("repaired %d, r12 %ld\n", p[0], r12);
    munmap(p, 4096);
}

static char *alt;

static void on_alternate(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    char here;
    stack_t now;
    sigaltstack(NULL, &now);
    printf("handler on the alternate stack: %d, flags %d\n", &here > alt && &here < alt + 65536, now.ss_flags);
    stack_t change = {.ss_sp = alt, .ss_size = 65536};
    RES(sigaltstack(&change, NULL));
    if (sig == SIGSEGV)
        siglongjmp(back, 1);
}

static int deep(volatile char *p)
{
    volatile char room[4096];
    room[0] = *p;
    return deep(room) + room[0];
}

static void alternate_stack(void)
{
    alt = malloc(65536);
    stack_t st = {.ss_sp = alt, .ss_size = 65536}, tiny = {.ss_sp = alt, .ss_size = 100}, off = {.ss_flags = SS_DISABLE}, old;
    RES(sigaltstack(&tiny, NULL));
    RES(sigaltstack(&st, NULL));
    RES(sigaltstack(NULL, &old));
    RES(old.ss_size);
    set(SIGUSR1, on_alternate, SA_ONSTACK, 0);
    raise(SIGUSR1);
    set(SIGSEGV, on_alternate, SA_ONSTACK, 0);
    char c = 1;
    if (!sigsetjmp(back, 1))
        deep(&c);
    puts("stack overflow survived");
    RES(sigaltstack(&off, NULL));
    RES(sigaltstack(NULL, &old));
    RES(old.ss_flags);
}

static void nest(int sig, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    depth++;
    if (depth > max_depth)
        max_depth = depth;
    if (sig == SIGUSR1)
        raise(SIGUSR2); // not blocked: comes at once
    else if (seen < 5)
        raise(SIGUSR2); // blocked while its own handler runs
    depth--;
    seen++;
}

static void nesting(void)
{
    seen = 0;
    set(SIGUSR1, nest, 0, 0);
    set(SIGUSR2, nest, 0, 0);
    raise(SIGUSR1);
    signal(SIGUSR2, SIG_IGN);
    RES(max_depth);
    RES(seen);
}

static void junk_registers(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n pcmpeqd %%xmm7, %%xmm7\n pcmpeqd %%xmm15, %%xmm15\n"
                     "fninit\n fldz\n std\n cld" ::: "xmm0", "xmm7", "xmm15");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vxorps %%ymm7, %%ymm7, %%ymm7" ::: "xmm7");
    seen++;
}

static void register_state(void)
{
    static const double in[4] = {1.5, -2.25, 1e300, 7};
    double out[4], y[8];
    set(SIGUSR1, junk_registers, 0, 0);
    long pid = getpid(), tid = syscall(SYS_gettid), rax;
    __asm__ volatile("movupd (%[in]), %%xmm7\n movupd 16(%[in]), %%xmm15\n fld1\n syscall\n"
                     "movupd %%xmm7, (%[out])\n movupd %%xmm15, 16(%[out])\n fstpl (%[y])"
                     : "=a"(rax)
                     : "a"(SYS_tgkill), "D"(pid), "S"(tid), "d"((long)SIGUSR1), [in] "r"(in), [out] "r"(out), [y] "r"(y)
                     : "rcx", "r11", "xmm7", "xmm15", "memory");
    printf("vector state kept: %d, x87 kept: %g\n", memcmp(in, out, sizeof in) == 0, y[0]);
    if (__builtin_cpu_supports("avx")) {
        double wide[4] = {3, 4, 5, 6}, got[4];
        __asm__ volatile("vmovupd (%[in]), %%ymm7\n syscall\n vmovupd %%ymm7, (%[out])"
                         : "=a"(rax)
                         : "a"(SYS_tgkill), "D"(pid), "S"(tid), "d"((long)SIGUSR1), [in] "r"(wide), [out] "r"(got)
                         : "rcx", "r11", "xmm7", "memory");
        CHECK(memcmp(wide, got, sizeof wide) == 0);
    }
    if (__builtin_cpu_supports("avx512f")) {
        double wide[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[8];
        __asm__ volatile("vmovupd (%[in]), %%zmm21\n syscall\n vmovupd %%zmm21, (%[out])"
                         : "=a"(rax)
                         : "a"(SYS_tgkill), "D"(pid), "S"(tid), "d"((long)SIGUSR1), [in] "r"(wide), [out] "r"(got)
                         : "rcx", "r11", "memory");
        CHECK(memcmp(wide, got, sizeof wide) == 0);
    }
}

static atomic_int thread_id;
static int pipe_ends[2];

static void *blocked_reader(void *arg)
{
    char c = 0;
    atomic_store(&thread_id, (int)syscall(SYS_gettid));
    errno = 0;
    long n = read(pipe_ends[0], &c, 1);
    *(int *)arg = n < 0 ? errno : c;
    return NULL;
}

static void restart(int flags)
{
    pthread_t t;
    int got = 0;
    set(SIGUSR1, note, flags, 0);
    CHECK(pipe(pipe_ends) == 0);
    atomic_store(&thread_id, 0);
    pthread_create(&t, NULL, blocked_reader, &got);
    while (!atomic_load(&thread_id))
        conf_sleep_ms(1);
    conf_await_sleep(thread_id);
    int before = seen;
    pthread_kill(t, SIGUSR1);
    for (int i = 0; i < 5000 && seen == before; i++)
        conf_sleep_ms(1);
    if (flags)
        conf_await_sleep(thread_id);
    CHECK(write(pipe_ends[1], "k", 1) == 1);
    pthread_join(t, NULL);
    printf("%s: handler ran %d, read gave %s\n", flags ? "SA_RESTART" : "no restart", seen - before,
           got == 'k' ? "a byte" : conf_errno(got));
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void *sleeper(void *arg)
{
    struct timespec t = {5, 0}, left = {0, 0};
    atomic_store(&thread_id, (int)syscall(SYS_gettid));
    errno = 0;
    int r = nanosleep(&t, &left);
    *(int *)arg = r == -1 && errno == EINTR && left.tv_sec >= 3;
    return NULL;
}

static void *catcher(void *arg)
{
    int sig;
    (void)sigwait(arg, &sig);
    return (void *)(long)sig;
}

static void threads(void)
{
    pthread_t t;
    int ok = 0;
    void *v;
    set(SIGUSR1, note, SA_RESTART, 0);
    atomic_store(&thread_id, 0);
    pthread_create(&t, NULL, sleeper, &ok);
    while (!atomic_load(&thread_id))
        conf_sleep_ms(1);
    conf_await_sleep(thread_id);
    pthread_kill(t, SIGUSR1);
    pthread_join(t, NULL);
    RES(ok);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &s, NULL); // blocked here and, inherited, in the thread: it waits for it
    pthread_create(&t, NULL, catcher, &s);
    conf_sleep_ms(30);
    kill(getpid(), SIGTERM);
    pthread_join(t, &v);
    RES((long)v);
    sigset_t empty, usr1;
    sigemptyset(&empty);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    seen = 0;
    raise(SIGUSR1);
    RES(seen);
    RES(sigsuspend(&empty));
    RES(seen);
    sigprocmask(SIG_BLOCK, NULL, &empty);
    RES(sigismember(&empty, SIGUSR1));
    sigprocmask(SIG_UNBLOCK, &usr1, NULL);
}

int main(void)
{
    actions();
    masks_and_queues();
    faults();
    edited_context();
    alternate_stack();
    nesting();
    register_state();
    restart(0);
    restart(SA_RESTART);
    threads();
    signal(SIGSEGV, SIG_DFL);
    return conf_end();
}
