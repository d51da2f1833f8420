// ptrace(2): tracing from the start and attaching, stops at signals and system calls, registers, memory (program text, too), steps,
// events of fork, clone, exec and exit, group stops, the end of tracer and tracee, what is refused.
#include "conf.h"
#include <elf.h>
#include <linux/ptrace.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

// The raw call: PEEK stores through `data`, errors are as the kernel gives them.
static long pt(long request, pid_t pid, unsigned long addr, unsigned long data)
{
    return syscall(SYS_ptrace, request, (long)pid, addr, data);
}
#define P(x) ((unsigned long)(x))
#define OPTIONS(o) P(o)
enum { OSYSGOOD = 1, OFORK = 2, OVFORK = 4, OCLONE = 8, OEXEC = 16, OVFORKDONE = 32, OEXIT = 64, OKILL = 1 << 20 };

static volatile long target_word = 0x1122334455667788;
static int __attribute__((noinline, noipa)) answer(int x)
{
    return x * 2 + 1;
}

static const char *signame(int s)
{
    const char *name = sigabbrev_np(s);
    return name ? name : "?";
}

static void show(const char *what, int status)
{
    if (WIFSTOPPED(status))
        printf("%s: stopped by %s%s, event %d\n", what, signame(WSTOPSIG(status) & 0x7f), WSTOPSIG(status) & 0x80 ? " (call)" : "", status >> 16);
    else if (WIFEXITED(status))
        printf("%s: exited with %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("%s: killed by %s\n", what, signame(WTERMSIG(status)));
    else
        printf("%s: status %x\n", what, status);
}

static int wait_for(pid_t pid)
{
    int status = -1;
    CHECK(waitpid(pid, &status, __WALL) == pid);
    return status;
}

// A child that asks to be traced and stops itself, then runs `body`.
static pid_t traced_child(void (*body)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (pt(PTRACE_TRACEME, 0, 0, 0) != 0)
            _exit(99);
        raise(SIGSTOP);
        body();
        _exit(0);
    }
    show("first stop", wait_for(pid));
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    int status;
    while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
    }
}

// --- system calls ---

static void calls_body(void)
{
    syscall(SYS_getppid);
    syscall(SYS_kill, 0, 77); // EINVAL
    syscall(SYS_getpgid, 0x7ffffff0);
    _exit(7);
}

static void show_info(pid_t pid)
{
    struct ptrace_syscall_info info;
    memset(&info, 0xaa, sizeof info);
    long n = pt(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, P(&info));
    printf("info: %ld bytes, op %d, arch %x", n, info.op, info.arch);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        printf(", nr %llu", info.entry.nr);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && info.exit.is_error)
        printf(", error %lld", info.exit.rval);
    struct user_regs_struct regs;
    CHECK(pt(PTRACE_GETREGS, pid, 0, P(&regs)) == 0);
    CHECK(regs.rip == info.instruction_pointer && regs.rsp == info.stack_pointer);
    printf(", orig_rax %lld%s\n", regs.orig_rax, info.op == PTRACE_SYSCALL_INFO_ENTRY && regs.rax == (unsigned long)-ENOSYS ? ", rax ENOSYS" : "");
}

static void system_calls(void)
{
    puts("-- system calls");
    pid_t pid = traced_child(calls_body);
    RES(pt(PTRACE_SETOPTIONS, pid, 0, OSYSGOOD));
    show_info(pid);
    for (int i = 0; i < 7; i++) {
        RES(pt(PTRACE_SYSCALL, pid, 0, 0));
        show("call", wait_for(pid));
        siginfo_t info;
        memset(&info, 0, sizeof info);
        CHECK(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0 && info.si_signo == SIGTRAP && info.si_code == (SIGTRAP | 0x80) && info.si_pid == pid);
        show_info(pid);
    }
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("end", wait_for(pid));
}

static void change_body(void)
{
    long a = syscall(SYS_getppid);
    long b = syscall(SYS_getppid);
    errno = 0;
    long c = syscall(SYS_getppid);
    _exit(a == 4242 && b == getpid() && c == -1 && errno == ENOTTY ? 11 : 12);
}

static void changes(void)
{
    puts("-- changed calls");
    struct user_regs_struct regs;
    pid_t pid = traced_child(change_body);
    // The result of the first.
    pt(PTRACE_SYSCALL, pid, 0, 0);
    show("entry", wait_for(pid));
    pt(PTRACE_SYSCALL, pid, 0, 0);
    show("exit", wait_for(pid));
    RES(pt(PTRACE_POKEUSR, pid, offsetof(struct user_regs_struct, rax), 4242));
    // The number of the second.
    pt(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid);
    RES(pt(PTRACE_POKEUSR, pid, offsetof(struct user_regs_struct, orig_rax), SYS_getpid));
    pt(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid);
    CHECK(pt(PTRACE_GETREGS, pid, 0, P(&regs)) == 0);
    printf("now call %lld\n", regs.orig_rax);
    CHECK((pid_t)regs.rax == pid);
    // The third is not made, and gets a result of ours.
    pt(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid);
    CHECK(pt(PTRACE_GETREGS, pid, 0, P(&regs)) == 0);
    regs.orig_rax = -1;
    RES(pt(PTRACE_SETREGS, pid, 0, P(&regs)));
    pt(PTRACE_SYSCALL, pid, 0, 0);
    wait_for(pid);
    CHECK(pt(PTRACE_GETREGS, pid, 0, P(&regs)) == 0);
    printf("skipped: %lld\n", (long long)regs.rax);
    regs.rax = -ENOTTY;
    RES(pt(PTRACE_SETREGS, pid, 0, P(&regs)));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("end", wait_for(pid));
}

// --- signals ---

static volatile sig_atomic_t got_signal, got_value;
static void on_signal(int s, siginfo_t *info, void *context)
{
    (void)context;
    got_signal = s;
    got_value = info->si_value.sival_int;
}

static void signals_body(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    signal(SIGWINCH, SIG_IGN);
    int failed = 0;
    raise(SIGUSR1); // suppressed
    failed |= got_signal != 0;
    raise(SIGUSR1); // delivered
    failed |= (got_signal != SIGUSR1) << 1;
    raise(SIGUSR1); // SIGUSR2 in its place
    failed |= (got_signal != SIGUSR2) << 2;
    raise(SIGWINCH); // ignored, but the tracer sees it
    union sigval value = {.sival_int = 5};
    sigqueue(getpid(), SIGUSR1, value); // with another value
    failed |= (got_value != 77) << 3;
    __asm__ volatile("int3");
    _exit(failed);
}

static void next_signal(pid_t pid, int with)
{
    CHECK(pt(PTRACE_CONT, pid, 0, with) == 0);
    int status = wait_for(pid);
    show("signal", status);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (WIFSTOPPED(status)) {
        CHECK(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0);
        printf("info: %s, code %d, own pid %d\n", signame(info.si_signo), info.si_code, info.si_pid == pid);
    }
}

static void signals(void)
{
    puts("-- signals");
    pid_t pid = traced_child(signals_body);
    next_signal(pid, 0);       // SIGUSR1
    next_signal(pid, 0);       // suppressed; again
    next_signal(pid, SIGUSR1); // delivered; again
    next_signal(pid, SIGUSR2); // another; SIGWINCH
    next_signal(pid, SIGWINCH);
    siginfo_t info;
    CHECK(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0);
    printf("queued with %d\n", info.si_value.sival_int);
    info.si_value.sival_int = 77;
    RES(pt(PTRACE_SETSIGINFO, pid, 0, P(&info)));
    next_signal(pid, SIGUSR1); // int3
    next_signal(pid, 0);
    pid = traced_child(signals_body);
    next_signal(pid, 0);
    next_signal(pid, SIGKILL);
    // Masks and what waits behind them.
    pid = traced_child(signals_body);
    sigset_t mask;
    sigfillset(&mask);
    unsigned long bits = ~0UL;
    RES(pt(PTRACE_SETSIGMASK, pid, 8, P(&bits)));
    RES(pt(PTRACE_GETSIGMASK, pid, 8, P(&bits)));
    printf("%lx\n", bits);
    RES(pt(PTRACE_GETSIGMASK, pid, 4, P(&bits)));
    kill(pid, SIGUSR2);
    kill(pid, SIGUSR1);
    kill(pid, SIGRTMIN + 2);
    syscall(SYS_tgkill, pid, pid, SIGTERM);
    siginfo_t infos[5];
    struct ptrace_peeksiginfo_args args = {0, PTRACE_PEEKSIGINFO_SHARED, 5};
    long n = pt(PTRACE_PEEKSIGINFO, pid, P(&args), P(infos));
    for (long i = 0; i < n; i++)
        printf("waits: %s\n", infos[i].si_signo < 32 ? signame(infos[i].si_signo) : "real-time");
    args = (struct ptrace_peeksiginfo_args){0, 0, 5};
    n = pt(PTRACE_PEEKSIGINFO, pid, P(&args), P(infos));
    printf("%ld of its own: %s\n", n, signame(infos[0].si_signo));
    args.flags = 4;
    RES(pt(PTRACE_PEEKSIGINFO, pid, P(&args), P(infos)));
    end(pid);
}

// --- memory and registers ---

static void memory_body(void)
{
    int bad = target_word != 0x0102030405060708;
    bad |= (answer(20) != 99) << 1;
    raise(SIGUSR1); // the text is the old one again
    bad |= (answer(20) != 41) << 2;
    _exit(bad);
}

static void memory(void)
{
    puts("-- memory");
    pid_t pid = traced_child(memory_body);
    long word = 0;
    RES(pt(PTRACE_PEEKDATA, pid, P(&target_word), P(&word)));
    printf("%lx\n", word);
    RES(pt(PTRACE_POKEDATA, pid, P(&target_word), 0x0102030405060708));
    RES(pt(PTRACE_PEEKTEXT, pid, P(&target_word), P(&word)));
    printf("%lx, here %lx\n", word, target_word);
    // mov $99, %eax; ret
    long text = 0;
    RES(pt(PTRACE_PEEKTEXT, pid, P(answer), P(&text)));
    CHECK(memcmp(&text, (void *)answer, 8) == 0);
    unsigned char code[8] = {0xb8, 99, 0, 0, 0, 0xc3, 0x90, 0x90};
    memcpy(&word, code, 8);
    RES(pt(PTRACE_POKETEXT, pid, P(answer), word));
    printf("here %d\n", answer(20));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("signal", wait_for(pid));
    RES(pt(PTRACE_POKETEXT, pid, P(answer), text));
    RES(pt(PTRACE_PEEKDATA, pid, 0, P(&word)));
    RES(pt(PTRACE_PEEKDATA, pid, 0xffffffff80000000, P(&word)));
    RES(pt(PTRACE_POKEDATA, pid, 8, 1));
    RES(pt(PTRACE_PEEKDATA, pid, P(&target_word), 1));
    // The same by /proc/PID/mem.
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/mem", pid);
    int fd = open(name, O_RDWR);
    CHECK(fd >= 0);
    RES(pread(fd, &word, 8, P(&target_word)));
    printf("%lx\n", word);
    CHECK(pread(fd, &word, 8, P(answer)) == 8 && word == text);
    RES(pwrite(fd, &text, 8, P(answer)));
    close(fd);
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("end", wait_for(pid));
}

static void registers_body(void)
{
    register unsigned long rbx __asm__("rbx") = 0x1111, r12 __asm__("r12") = 0x2222;
    double x;
    __asm__ volatile("movq %3, %%xmm5\n\tint3\n\tmovq %%xmm5, %2" : "+r"(rbx), "+r"(r12), "=r"(x) : "r"(1.5) : "xmm5");
    _exit((rbx != 0x3333) | (r12 != 0x2222) << 1 | (x != 2.5) << 2);
}

static void registers(void)
{
    puts("-- registers");
    pid_t pid = traced_child(registers_body);
    CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
    show("int3", wait_for(pid));
    struct user_regs_struct regs, again;
    CHECK(pt(PTRACE_GETREGS, pid, 0, P(&regs)) == 0);
    printf("rbx %llx, r12 %llx, cs %llx, ss %llx, ds %llx, gs_base %llx\n", regs.rbx, regs.r12, regs.cs, regs.ss, regs.ds, regs.gs_base);
    CHECK(regs.fs_base != 0);
    struct iovec v = {&again, sizeof again};
    RES(pt(PTRACE_GETREGSET, pid, NT_PRSTATUS, P(&v)));
    printf("%zu of %zu bytes, equal %d\n", v.iov_len, sizeof again, !memcmp(&regs, &again, sizeof regs));
    v.iov_len = 16;
    RES(pt(PTRACE_GETREGSET, pid, NT_PRSTATUS, P(&v)));
    printf("%zu bytes\n", v.iov_len);
    v.iov_len = 12;
    RES(pt(PTRACE_GETREGSET, pid, NT_PRSTATUS, P(&v)));
    v.iov_len = sizeof again;
    RES(pt(PTRACE_GETREGSET, pid, 0x7777, P(&v)));
    long word;
    RES(pt(PTRACE_PEEKUSR, pid, offsetof(struct user_regs_struct, rbx), P(&word)));
    printf("%lx\n", word);
    RES(pt(PTRACE_PEEKUSR, pid, 3, P(&word)));
    RES(pt(PTRACE_PEEKUSR, pid, sizeof(struct user) + 16, P(&word)));
    RES(pt(PTRACE_PEEKUSR, pid, offsetof(struct user, u_debugreg[7]), P(&word)));
    printf("%lx\n", word);
    RES(pt(PTRACE_POKEUSR, pid, offsetof(struct user, u_debugreg[7]), 0));
    RES(pt(PTRACE_POKEUSR, pid, offsetof(struct user, u_tsize), 1));
    regs.rbx = 0x3333;
    RES(pt(PTRACE_SETREGS, pid, 0, P(&regs)));
    again = regs;
    again.cs = 0;
    RES(pt(PTRACE_SETREGS, pid, 0, P(&again)));
    again = regs;
    again.fs_base = 0xffff800000000000;
    RES(pt(PTRACE_SETREGS, pid, 0, P(&again)));
    // Flags that belong to the system stay.
    again = regs;
    again.eflags |= 0x3000 | 0x4000 | 0x20000; // IOPL, NT, VM
    RES(pt(PTRACE_SETREGS, pid, 0, P(&again)));
    CHECK(pt(PTRACE_GETREGS, pid, 0, P(&again)) == 0);
    printf("%llx\n", again.eflags & 0x33300);
    // xmm5
    struct user_fpregs_struct fp;
    RES(pt(PTRACE_GETFPREGS, pid, 0, P(&fp)));
    double d;
    memcpy(&d, &fp.xmm_space[20], 8);
    printf("xmm5 %g, mxcsr %x\n", d, fp.mxcsr);
    d = 2.0;
    memcpy(&fp.xmm_space[20], &d, 8);
    RES(pt(PTRACE_SETFPREGS, pid, 0, P(&fp)));
    static char image[16384] __attribute__((aligned(64)));
    v = (struct iovec){image, sizeof image};
    RES(pt(PTRACE_GETREGSET, pid, NT_X86_XSTATE, P(&v)));
    CHECK(v.iov_len >= 576 && v.iov_len < sizeof image);
    unsigned long header[2], components;
    memcpy(&components, image + 464, 8);
    memcpy(header, image + 512, 16);
    printf("components %d, in use %lx\n", (components & 3) == 3, header[0] & 3);
    memcpy(&d, image + 160 + 80, 8);
    printf("xmm5 %g\n", d);
    d = 2.5;
    memcpy(image + 160 + 80, &d, 8);
    RES(pt(PTRACE_SETREGSET, pid, NT_X86_XSTATE, P(&v)));
    size_t whole = v.iov_len;
    header[1] = 1;
    memcpy(image + 512, header, 16);
    RES(pt(PTRACE_SETREGSET, pid, NT_X86_XSTATE, P(&v)));
    header[0] |= 1UL << 62;
    header[1] = 0;
    memcpy(image + 512, header, 16);
    RES(pt(PTRACE_SETREGSET, pid, NT_X86_XSTATE, P(&v)));
    v.iov_len = whole - 8;
    RES(pt(PTRACE_SETREGSET, pid, NT_X86_XSTATE, P(&v)));
    fp.mxcsr = 0xffffffff;
    v = (struct iovec){&fp, sizeof fp};
    RES(pt(PTRACE_SETREGSET, pid, NT_PRFPREG, P(&v)));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("end", wait_for(pid));
}

static void wild_body(void)
{
    raise(SIGUSR1);
}

// Addresses that are no program's end in its SIGSEGV.
static void wild(void)
{
    puts("-- wild registers");
    static const unsigned long bad[] = {0, 8, 0x7ffffffffffff000, 0x8000000000000000, 0xffffffff80000000, 0xffffffffffffffff};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad * 2; i++) {
        pid_t pid = traced_child(wild_body);
        CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
        wait_for(pid);
        struct user_regs_struct regs;
        CHECK(pt(PTRACE_GETREGS, pid, 0, P(&regs)) == 0);
        if (i & 1)
            regs.rsp = bad[i / 2];
        else
            regs.rip = bad[i / 2];
        CHECK(pt(PTRACE_SETREGS, pid, 0, P(&regs)) == 0);
        CHECK(pt(PTRACE_CONT, pid, 0, i & 1 ? SIGUSR1 : 0) == 0);
        int status = wait_for(pid);
        if (WIFSTOPPED(status)) {
            show("then", status);
            end(pid);
        } else {
            show("then", status);
        }
    }
}

static void step_body(void)
{
    __asm__ volatile("int3\n\tnop\n\tnop\n\tinc %%rax\n\tnop" : : : "rax");
    syscall(SYS_getppid);
    __asm__ volatile("int3");
    _exit(3);
}

static void steps(void)
{
    puts("-- steps");
    pid_t pid = traced_child(step_body);
    CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
    show("int3", wait_for(pid));
    struct user_regs_struct regs, next;
    CHECK(pt(PTRACE_GETREGS, pid, 0, P(&regs)) == 0);
    static const int lengths[] = {1, 1, 3, 1};
    for (int i = 0; i < 4; i++) {
        RES(pt(PTRACE_SINGLESTEP, pid, 0, 0));
        show("step", wait_for(pid));
        siginfo_t info;
        CHECK(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0);
        CHECK(pt(PTRACE_GETREGS, pid, 0, P(&next)) == 0);
        printf("%lld bytes, code %d, trap flag %d\n", (long long)(next.rip - regs.rip), info.si_code, !!(next.eflags & 0x100));
        CHECK((int)(next.rip - regs.rip) == lengths[i]);
        regs = next;
    }
    // Through libc and a system call to the next int3.
    int n = 0, status;
    do {
        CHECK(pt(PTRACE_SINGLESTEP, pid, 0, 0) == 0);
        status = wait_for(pid);
        siginfo_t info;
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0);
        if (info.si_code == SI_KERNEL)
            break;
    } while (++n < 100000 && WIFSTOPPED(status));
    printf("arrived %d\n", n > 5 && n < 1000);
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("end", wait_for(pid));
}

// --- events ---

static void fork_body(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(21);
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if ((child = vfork()) == 0)
        _exit(22);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WEXITSTATUS(status));
}

static void forks(void)
{
    puts("-- fork and vfork");
    pid_t pid = traced_child(fork_body);
    RES(pt(PTRACE_SETOPTIONS, pid, 0, OFORK | OVFORK | OVFORKDONE | OEXIT));
    CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
    for (int round = 0; round < 2; round++) {
        show("event", wait_for(pid));
        unsigned long child = 0;
        CHECK(pt(PTRACE_GETEVENTMSG, pid, 0, P(&child)) == 0 && child > 1);
        show("its child", wait_for((pid_t)child));
        siginfo_t info;
        CHECK(pt(PTRACE_GETSIGINFO, (pid_t)child, 0, P(&info)) == 0);
        printf("%s, code %d\n", signame(info.si_signo), info.si_code);
        CHECK(pt(PTRACE_CONT, (pid_t)child, 0, 0) == 0);
        if (round)
            CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0); // vfork waits for it
        show("its child", wait_for((pid_t)child));
        unsigned long code = 0;
        RES(pt(PTRACE_GETEVENTMSG, (pid_t)child, 0, P(&code)));
        printf("code %lx\n", code);
        CHECK(pt(PTRACE_CONT, (pid_t)child, 0, 0) == 0);
        show("its child", wait_for((pid_t)child));
        if (round) {
            show("event", wait_for(pid));
            CHECK(pt(PTRACE_GETEVENTMSG, pid, 0, P(&code)) == 0);
            printf("its child %d\n", code == child);
        }
        CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
        // Its child's end is news for it, too.
        int status = wait_for(pid);
        show("signal", status);
        CHECK(pt(PTRACE_CONT, pid, 0, WSTOPSIG(status)) == 0);
    }
    show("exit event", wait_for(pid));
    CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
    show("end", wait_for(pid));
}

static int thread_pipe[2];
static void *thread_main(void *arg)
{
    char c;
    (void)!read(thread_pipe[0], &c, 1);
    return arg;
}
static void thread_body(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, thread_main, NULL);
    (void)!write(thread_pipe[1], "x", 1);
    pthread_join(thread, NULL);
    _exit(31);
}

static void threads(void)
{
    puts("-- threads");
    CHECK(pipe(thread_pipe) == 0);
    pid_t pid = traced_child(thread_body);
    RES(pt(PTRACE_SETOPTIONS, pid, 0, OCLONE));
    CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
    show("event", wait_for(pid));
    unsigned long thread = 0;
    CHECK(pt(PTRACE_GETEVENTMSG, pid, 0, P(&thread)) == 0 && (pid_t)thread != pid);
    show("thread", wait_for((pid_t)thread));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    RES(pt(PTRACE_CONT, (pid_t)thread, 0, 0));
    CHECK(WIFEXITED(wait_for((pid_t)thread))); // with 0, or with the process's code if that has ended before it is asked
    show("end", wait_for(pid));
    RES(waitpid((pid_t)thread, NULL, __WALL));
    close(thread_pipe[0]);
    close(thread_pipe[1]);
}

static void exec_body(void)
{
    execl("/bin/true", "true", NULL);
    _exit(41);
}

static void execs(void)
{
    puts("-- exec");
    pid_t pid = traced_child(exec_body);
    CHECK(pt(PTRACE_CONT, pid, 0, 0) == 0);
    show("without the option", wait_for(pid));
    siginfo_t info;
    CHECK(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0);
    printf("code %d\n", info.si_code);
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("end", wait_for(pid));
    pid = traced_child(exec_body);
    RES(pt(PTRACE_SETOPTIONS, pid, 0, OEXEC | OSYSGOOD));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("with it", wait_for(pid));
    unsigned long former = 0;
    CHECK(pt(PTRACE_GETEVENTMSG, pid, 0, P(&former)) == 0 && (pid_t)former == pid);
    RES(pt(PTRACE_SYSCALL, pid, 0, 0));
    show("exit of the call", wait_for(pid));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("end", wait_for(pid));
}

// --- attaching ---

static pid_t sleeping_child(void)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

static void attaching(void)
{
    puts("-- attach");
    pid_t pid = sleeping_child();
    RES(pt(PTRACE_ATTACH, pid, 0, 0));
    RES(pt(PTRACE_ATTACH, pid, 0, 0));
    show("attached", wait_for(pid));
    char name[64], line[256] = "";
    snprintf(name, sizeof name, "/proc/%d/status", pid);
    FILE *f = fopen(name, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (!strncmp(line, "State:", 6))
            fputs(line, stdout);
        if (!strncmp(line, "TracerPid:", 10))
            printf("traced by us: %d\n", atoi(line + 10) == getpid());
    }
    if (f)
        fclose(f);
    RES(pt(PTRACE_DETACH, pid, 0, 65));
    RES(pt(PTRACE_DETACH, pid, 0, 0));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    RES(waitpid(pid, NULL, WNOHANG));
    RES(kill(pid, SIGTERM));
    show("end", wait_for(pid));
    // One that is no child.
    int fds[2];
    CHECK(pipe(fds) == 0);
    fflush(stdout);
    pid_t middle = fork();
    if (middle == 0) {
        pid_t grandchild = sleeping_child();
        (void)!write(fds[1], &grandchild, sizeof grandchild);
        int status;
        _exit(waitpid(grandchild, &status, 0) == grandchild && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 0 : 1);
    }
    pid_t other = 0;
    CHECK(read(fds[0], &other, sizeof other) == sizeof other);
    close(fds[0]);
    close(fds[1]);
    RES(waitpid(other, NULL, WNOHANG));
    RES(pt(PTRACE_ATTACH, other, 0, 0));
    show("no child", wait_for(other));
    siginfo_t info;
    memset(&info, 0, sizeof info);
    RES(kill(other, SIGTERM));
    RES(pt(PTRACE_CONT, other, 0, 0));
    RES(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT | WSTOPPED | __WALL));
    printf("code %d, status %d\n", info.si_code, info.si_status);
    show("no child", wait_for(other));
    RES(pt(PTRACE_CONT, other, 0, SIGTERM));
    show("its end", wait_for(other));
    RES(waitpid(other, NULL, WNOHANG));
    show("its parent", wait_for(middle));
}

static void seizing(void)
{
    puts("-- seize");
    pid_t pid = sleeping_child();
    RES(pt(PTRACE_SEIZE, pid, 1, 0));
    RES(pt(PTRACE_SEIZE, pid, 0, 1UL << 30));
    RES(pt(PTRACE_SEIZE, pid, 0, OSYSGOOD));
    RES(pt(PTRACE_CONT, pid, 0, 0)); // it runs
    RES(waitpid(pid, NULL, WNOHANG | __WALL));
    RES(pt(PTRACE_INTERRUPT, pid, 0, 0));
    show("interrupted", wait_for(pid));
    siginfo_t info;
    CHECK(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0);
    printf("%s, code %x\n", signame(info.si_signo), info.si_code);
    RES(pt(PTRACE_CONT, pid, 0, 0));
    RES(kill(pid, SIGSTOP));
    show("signal", wait_for(pid));
    RES(pt(PTRACE_CONT, pid, 0, SIGSTOP));
    show("group stop", wait_for(pid));
    CHECK(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)) == 0);
    printf("%s, code %x\n", signame(info.si_signo), info.si_code);
    RES(pt(PTRACE_LISTEN, pid, 0, 0));
    RES(waitpid(pid, NULL, WNOHANG | __WALL));
    RES(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)));
    RES(kill(pid, SIGCONT));
    show("continued", wait_for(pid));
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("signal", wait_for(pid)); // SIGCONT itself
    RES(pt(PTRACE_LISTEN, pid, 0, 0));
    RES(pt(PTRACE_DETACH, pid, 0, SIGTERM));
    show("end", wait_for(pid));
}

static void group_stops(void)
{
    puts("-- group stop of one that was attached");
    pid_t pid = sleeping_child();
    RES(pt(PTRACE_ATTACH, pid, 0, 0));
    show("attached", wait_for(pid));
    RES(pt(PTRACE_CONT, pid, 0, SIGSTOP));
    show("group stop", wait_for(pid));
    siginfo_t info;
    RES(pt(PTRACE_GETSIGINFO, pid, 0, P(&info)));
    RES(pt(PTRACE_INTERRUPT, pid, 0, 0));
    RES(pt(PTRACE_LISTEN, pid, 0, 0));
    RES(pt(PTRACE_DETACH, pid, 0, 0));
    int status;
    RES(waitpid(pid, &status, WNOHANG) == pid);
    RES(kill(pid, SIGCONT));
    RES(kill(pid, SIGTERM));
    do
        wait_for(pid);
    while (0);
    // One that has stopped already.
    pid = sleeping_child();
    kill(pid, SIGSTOP);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid);
    show("stopped", status);
    RES(pt(PTRACE_SEIZE, pid, 0, 0));
    show("seized", wait_for(pid));
    kill(pid, SIGCONT);
    RES(pt(PTRACE_CONT, pid, 0, 0));
    show("continued", wait_for(pid));
    end(pid);
}

// --- ends ---

// A tracer that dies: its tracee goes on, or is killed.
static void tracer_ends(void)
{
    for (int kills = 0; kills < 2; kills++) {
        printf("-- the tracer dies%s\n", kills ? ", EXITKILL" : "");
        fflush(stdout);
        int fds[2], ready[2];
        CHECK(pipe(fds) == 0 && pipe(ready) == 0);
        pid_t target = fork();
        if (target == 0) {
            char c;
            close(fds[1]);
            (void)!read(fds[0], &c, 1); // until it is told
            _exit(50);
        }
        pid_t tracer = fork();
        if (tracer == 0) {
            long seized = pt(PTRACE_SEIZE, target, 0, kills ? OKILL : 0);
            long interrupted = pt(PTRACE_INTERRUPT, target, 0, 0);
            int status;
            waitpid(target, &status, __WALL);
            _exit(seized == 0 && interrupted == 0 && WIFSTOPPED(status) ? 0 : 1);
        }
        show("tracer", wait_for(tracer));
        if (!kills)
            CHECK(write(fds[1], "x", 1) == 1);
        show("tracee", wait_for(target));
        close(fds[0]);
        close(fds[1]);
        close(ready[0]);
        close(ready[1]);
    }
}

static void kills(void)
{
    puts("-- PTRACE_KILL");
    pid_t pid = traced_child(wild_body);
    RES(pt(PTRACE_KILL, pid, 0, 0));
    show("end", wait_for(pid));
    RES(pt(PTRACE_KILL, pid, 0, 0));
}

static void errors(void)
{
    puts("-- errors");
    long word;
    RES(pt(PTRACE_ATTACH, getpid(), 0, 0));
    RES(pt(PTRACE_ATTACH, 0, 0, 0));
    RES(pt(PTRACE_ATTACH, -5, 0, 0));
    RES(pt(PTRACE_ATTACH, 0x7ffffff0, 0, 0));
    RES(pt(PTRACE_PEEKDATA, getppid(), P(&word), P(&word)));
    RES(pt(PTRACE_CONT, 1, 0, 0));
    RES(pt(12345, 1, 0, 0));
    pid_t pid = sleeping_child();
    RES(pt(PTRACE_GETREGS, pid, 0, P(&word)));
    RES(pt(PTRACE_INTERRUPT, pid, 0, 0));
    RES(pt(PTRACE_ATTACH, pid, 0, 0));
    show("attached", wait_for(pid));
    RES(pt(12345, pid, 0, 0));
    RES(pt(PTRACE_SETOPTIONS, pid, 0, 0x1000));
    RES(pt(PTRACE_CONT, pid, 0, 65));
    RES(pt(PTRACE_CONT, pid, 0, -1));
    RES(pt(PTRACE_GETREGS, pid, 0, 8));
    RES(pt(PTRACE_SETREGS, pid, 0, 8));
    RES(pt(PTRACE_GETREGSET, pid, NT_PRSTATUS, 8));
    RES(pt(PTRACE_GETSIGINFO, pid, 0, 8));
    RES(pt(PTRACE_GETEVENTMSG, pid, 0, 8));
    RES(pt(PTRACE_INTERRUPT, pid, 0, 0));
    end(pid);
    pid = fork();
    if (pid == 0) {
        RES(pt(PTRACE_TRACEME, 0, 0, 0));
        RES(pt(PTRACE_TRACEME, 0, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    int status = wait_for(pid);
    show("child", status);
    RES(wait(NULL));
}

int main(void)
{
    signal(SIGCHLD, SIG_DFL);
    system_calls();
    changes();
    signals();
    memory();
    registers();
    wild();
    steps();
    forks();
    threads();
    execs();
    attaching();
    seizing();
    group_stops();
    tracer_ends();
    kills();
    errors();
    return conf_end();
}
